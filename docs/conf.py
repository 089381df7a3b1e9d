"""Sphinx settings: pages in Markdown, the API from docstrings, tutorials as they were executed."""

import json
import sys
from pathlib import Path

import graphkoopman

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

project = "graphkoopman"
author = "The graphkoopman developers"
release = graphkoopman.__version__
extensions = [
    "command_help",
    "mathml",
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "tutorials_of",
    "sphinx_design",
]
exclude_patterns = ["_build", "_inventories", "extensions"]
templates_path = ["_templates"]
html_theme = "furo"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_math_renderer = "mathml"

html_css_files = ["custom.css"]
html_title = "graphkoopman"
html_show_sourcelink = False

# pages of others; where there is no network, the names that these pages use are in _inventories
OTHERS = {
    "ase": "https://ase-lib.org/",
    "deeptime": "https://deeptime-ml.github.io/latest/",
    "joblib": "https://joblib.readthedocs.io/en/stable/",
    "matplotlib": "https://matplotlib.org/stable/",
    "mdtraj": "https://mdtraj.readthedocs.io/en/latest/",
    "numpy": "https://numpy.org/doc/stable/",
    "pandas": "https://pandas.pydata.org/docs/",
    "python": "https://docs.python.org/3/",
    "sklearn": "https://scikit-learn.org/stable/",
    "torch": "https://docs.pytorch.org/docs/stable/",
}
intersphinx_mapping = {
    name: (address, (None, str(HERE / "_inventories" / f"{name}.inv")))
    for name, address in OTHERS.items()
}
intersphinx_timeout = 10

# every reference must have a target; a name in single backticks is a link where it is public
nitpicky = True
# what numpy's ArrayLike is made of
nitpick_ignore_regex = [("py:.*", r"(numpy\._.*|numpy\.typing.*|collections\.abc\..*)")]
default_role = "autolink"
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks hold their results: tutorials/build.py
nb_merge_streams = True
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False


def copy_tutorials(app):
    """Notebooks live beside their sources; pages need them below this folder."""
    folder = HERE / "tutorials"
    folder.mkdir(exist_ok=True)
    for page in folder.glob("*.ipynb"):
        page.unlink()
    for notebook in sorted((HERE.parent / "tutorials").glob("*.ipynb")):
        content = json.loads(notebook.read_text("utf-8"))
        head = content["cells"][0]
        link = f"\n\n{{download}}`Download this notebook <../../tutorials/{notebook.name}>`"
        # the pages read no attachments
        figure = f"(../_static/tutorials/{notebook.stem}.png)"
        head["source"] = "".join(head["source"]).replace("(attachment:answer.png)", figure) + link
        head.pop("attachments", None)
        (folder / notebook.name).write_text(json.dumps(content), "utf-8")


def find_at_home(app, env, node, contnode):
    """Link ``graphkoopman.NAME`` to the page of the module that the name lives in."""
    package, _, name = node.get("reftarget", "").rpartition(".")
    if package != "graphkoopman" or name not in graphkoopman.__all__:
        return None
    path = getattr(graphkoopman, name).__module__.split(".")
    home = ".".join(part for part in path if not part.startswith("_"))
    domain = env.get_domain("py")
    target = f"{home}.{name}"
    return domain.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], target, node, contnode
    )


def setup(app):
    """Connect the functions above."""
    app.connect("builder-inited", copy_tutorials)
    app.connect("missing-reference", find_at_home)
