"""On the page of every public name, the tutorials that use it."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "tutorials"


def _names_used():
    """Imported names of each tutorial, with its title."""
    used = {}
    for path in sorted(FOLDER.glob("*.ipynb")):
        text = path.with_suffix(".py").read_text("utf-8")
        title = re.search(r"^# # (.+)$", text, flags=re.MULTILINE)[1]
        imports = re.findall(
            r"^from graphkoopman\S* import (\([^)]*\)|.*)$", text, flags=re.MULTILINE
        )
        for name in re.findall(r"\w+", " ".join(imports)):
            used.setdefault(name, []).append((path.stem, title))
    return used


def add_tutorials(app, what, name, obj, options, lines):
    """Add a list of links to a docstring."""
    found = app.env.tutorials_of.get(name.rpartition(".")[2], ())
    if what not in ("class", "function") or not found:
        return
    lines += ["", ".. rubric:: Tutorials", ""]
    lines += [f"- :doc:`{title} </tutorials/{stem}>`" for stem, title in found]


def read_tutorials(app):
    """Once before pages are read."""
    app.env.tutorials_of = _names_used()


def setup(app):
    """Connect the functions above."""
    app.connect("builder-inited", read_tutorials)
    app.connect("autodoc-process-docstring", add_tutorials, priority=900)  # after numpydoc
    return {"parallel_read_safe": True, "parallel_write_safe": True}
