"""Sphinx settings."""

import graphkoopman

project = "graphkoopman"
author = "The graphkoopman developers"
release = graphkoopman.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
html_theme = "furo"
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
