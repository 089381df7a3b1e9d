"""Formulas as MathML, which browsers show by themselves: no script, no font, no network."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError
from sphinx.util import logging

logger = logging.getLogger(__name__)


def _markup(node, *, as_block):
    # sizes of brackets, which MathML chooses by itself
    text = re.sub(r"\\[bB]igg?[lr]?(?![a-zA-Z])", "", node.astext())
    try:
        return tex2mathml(text, as_block=as_block)
    except MathError as error:
        logger.warning("formula %r: %s", node.astext(), error, location=node)
        return f"<code>{node.astext()}</code>"


def visit_inline(translator, node):
    """A formula in a line of text."""
    translator.body.append(_markup(node, as_block=False))
    raise nodes.SkipNode


def visit_block(translator, node):
    """A formula on a line of its own."""
    if node.get("number"):
        raise ExtensionError("numbered equations are not supported; write the number as text")
    translator.body.append(f'<div class="math">{_markup(node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Register the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
