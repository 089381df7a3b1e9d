"""Sphinx settings: pages in Markdown, the API from docstrings, tutorials that are run."""

import os
import re
import runpy
from pathlib import Path

import graphkoopman

os.environ.setdefault("GRAPHKOOPMAN_TUTORIAL_SIZE", "small")

project = "graphkoopman"
author = "The graphkoopman developers"
release = graphkoopman.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "furo"
html_static_path = ["_static"]

# every reference must have a target; a name in single backticks is a link where it is public
nitpicky = True
# pages of others, and what numpy's ArrayLike is made of
OTHERS = r"(deeptime|mdtraj|sklearn|joblib|ase|collections\.abc|numpy)\..*"
nitpick_ignore_regex = [("py:.*", OTHERS)]
default_role = "autolink"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False

TUTORIALS = Path(__file__).parents[1] / "tutorials"
LEFT_OUT = r"_\w+|run_all"
# how a tutorial asks for its folder of trajectories, see tutorials/_real_data.py
NEEDS_DATA = re.compile(r'\bfolders\("([\w-]+)"')
MISSING = """

.. admonition:: Not run
   :class: warning

   The trajectories that this tutorial reads were not at hand when this page was built, so it shows
   no output. {origin}
"""


def is_without_data(path):
    """Whether a tutorial reads trajectories that are not on this machine."""
    needed = NEEDS_DATA.findall(path.read_text())
    data = runpy.run_path(str(TUTORIALS / "_real_data.py"))["default_folder"]()
    return not all((data / name).is_dir() for name in needed)


NOT_RUN = sorted(
    path.stem
    for path in TUTORIALS.glob("*.py")
    if not re.fullmatch(LEFT_OUT, path.stem) and is_without_data(path)
)


def say_what_is_missing(app, docname, source):
    """Say at the end of a tutorial without data why it shows no output."""
    folder, _, name = docname.rpartition("/")
    if folder == "tutorials" and name in NOT_RUN:
        origin = (
            "Name their folder in the environment variable ``GRAPHKOOPMAN_DATA`` to run it; "
            "what they are and where they come from is said at the top of the page."
        )
        source[0] += MISSING.format(origin=origin)


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
    app.connect("source-read", say_what_is_missing)
    app.connect("missing-reference", find_at_home)


sphinx_gallery_conf = {
    "examples_dirs": str(TUTORIALS),
    "gallery_dirs": "tutorials",
    "filename_pattern": rf"[\\/](?!(?:{'|'.join([LEFT_OUT, *NOT_RUN])})\.py$)\w+\.py$",
    "ignore_pattern": rf"(?:^|[\\/])(?:{LEFT_OUT})\.py$",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 1,
    "remove_config_comments": True,
}
