"""Pieces of the page: sections, figures, tables. All text is escaped."""

import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from graphkoopman.tables import html_table, rows_of

__all__ = ["copyable", "figure", "paragraph", "section", "svg_of", "table_of"]

WIDE = 560  # pixels, beyond which a phone scrolls in place of shrinking
SVG: dict[Any, Any] = {"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10.0}


def svg_of(drawing: Figure, name: str) -> str:
    """A figure as SVG whose ids are no other figure's, and close it."""
    buffer = io.StringIO()
    # no date: equal results make equal pages
    with plt.rc_context({**SVG, "svg.hashsalt": name}):
        drawing.savefig(
            buffer, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None}
        )
    plt.close(drawing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    ids = set(re.findall(r'\bid="([^"]+)"', text))
    seen: set[str] = set()

    def own_id(match: re.Match[str]) -> str:
        # equal images have one id, by their content
        is_new = match[1] not in seen
        seen.add(match[1])
        return f'id="{name}-{match[1]}"' if is_new else ""

    text = re.sub(r'\bid="([^"]+)"', own_id, text)
    text = re.sub(
        r'(url\(#|href="#)([^")]+)',
        lambda m: f"{m[1]}{name}-{m[2]}" if m[2] in ids else m[0],
        text,
    )
    # the page sets the size; the view box keeps the shape
    return re.sub(r'(<svg[^>]*?) width="([\d.]+)pt" height="[\d.]+pt"', _sized, text, count=1)


def _sized(match: re.Match[str]) -> str:
    width = float(match[2]) * 4.0 / 3.0
    return f'{match[1]} style="width:{width:.0f}px" role="img"'


def figure(drawing: Figure, name: str, caption: str) -> str:
    """A figure with its caption."""
    text = svg_of(drawing, "svg-" + name)
    found = re.search(r'style="width:(\d+)px"', text)
    width = int(found[1]) if found else WIDE
    kind = ' class="wide"' if width > WIDE else ""
    return (
        f'<figure id="{name}"{kind} style="width:{width}px" aria-label="{html.escape(caption)}">'
        f"{text}<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def section(name: str, title: str, *parts: str) -> str:
    """A section that the page's navigation leads to; empty if it has no parts."""
    inside = "\n".join(part for part in parts if part)
    if not inside:
        return ""
    return f'<section id="{name}"><h2>{html.escape(title)}</h2>\n{inside}\n</section>'


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{html.escape(text)}</p>"


def table_of(columns: Mapping[str, Any], caption: str) -> str:
    """Columns that broadcast against each other, as a table that can be copied."""
    return copyable(list(columns), rows_of(columns), caption)


def copyable(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """A table with a button that copies it."""
    table = html_table(header, [[_short(cell) for cell in row] for row in rows])
    table = table.replace("<table>", f"<table><caption>{html.escape(caption)}</caption>", 1)
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{html.escape(caption)}">'
        f'<button type="button" class="copy">copy</button>{table}</div>'
    )


def _short(text: str) -> str:
    """Four digits of a number are enough to read."""
    try:
        value = float(text)
    except ValueError:
        return text
    if text.lstrip("-").isdecimal() or value != value:
        return text
    return f"{value:.4g}".replace("inf", "∞")
