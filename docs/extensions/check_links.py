"""Links between the built pages lead somewhere: ``python docs/extensions/check_links.py HTML``.

Pages, files and anchors are looked up in the folder, the network is not asked. No page
may load a script, style, font or picture from the network.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src"}
HARMLESS = {"canonical", "search", "index", "next", "prev"}  # relations that load nothing


class Page(HTMLParser):
    """Links, anchors and what is loaded from elsewhere, of one page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors, self.foreign = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Collect from one tag."""
        values = dict(attrs)
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}
        target = values.get("href") if tag == "a" else values.get(LOADED.get(tag, ""))
        if not target:
            return
        if tag == "a" or not urlsplit(target).netloc:
            self.links.add(target)
        elif values.get("rel") not in HARMLESS:
            self.foreign.add(target)


def broken_links(folder):
    """Sentences about what leads nowhere."""
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(folder.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(folder)
        yield from (f"{name} loads {target}" for target in sorted(page.foreign))
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                yield f"{name} links to {link}, which is not there"
            elif (
                parts.fragment
                and target in pages
                and unquote(parts.fragment) not in pages[target].anchors
            ):
                yield f"{name} links to {link}, whose anchor is not there"


if __name__ == "__main__":
    found = list(broken_links(Path(sys.argv[1]).resolve()))
    sys.exit("\n".join(found) or 0)
