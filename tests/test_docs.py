"""The reference pages name everything that is public."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import graphkoopman
from graphkoopman._lazy import _declared, _source

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ["api.rst", "results.rst", "internals.rst"]
MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(graphkoopman.__path__, "graphkoopman.")
    if not any(part.startswith("_") for part in name.split("."))
]
PACKAGES = [name for name in MODULES if hasattr(importlib.import_module(name), "__path__")]


def listed_names(page="api.rst"):
    """Full names in the autosummary tables of a page."""
    module, names = "", set()
    for line in (DOCS / page).read_text().splitlines():
        if match := re.fullmatch(r"\.\. currentmodule:: (\S+)", line):
            module = match[1]
        elif match := re.fullmatch(r"   (\w+)", line):
            names.add(f"{module}.{match[1]}")
    return names


def public_names(module_name):
    return getattr(importlib.import_module(module_name), "__all__", ())


def names_in(module):
    return [name.rpartition(".")[2] for name in names_of(module, listed_names("results.rst"))]


def names_of(module, listed):
    return {name for name in listed if name.rpartition(".")[0] == module}


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_those_that_have_a_page(module):
    public = {f"{module}.{name}" for name in public_names(module)}
    assert public == names_of(module, listed_names())


def test_a_name_stands_on_one_page():
    pages = [listed_names(page) for page in PAGES]
    assert sum(map(len, pages)) == len(set.union(*pages))


@pytest.mark.parametrize("module", PACKAGES)
def test_what_packages_share_is_listed_as_internal(module):
    offered = {f"{module}.{name}" for name, _ in _declared(_source(module))}
    described = listed_names() | listed_names("results.rst")
    # perhaps under the name of another package
    objects = [value for value in map(_resolve, described) if callable(value)]
    undescribed = {
        name for name in offered - described if not any(_resolve(name) is one for one in objects)
    }
    assert undescribed <= names_of(module, listed_names("internals.rst"))


def test_results_are_exported_for_annotations():
    """``import Name as Name``: type checkers let users import what ``__all__`` does not name."""
    for full in listed_names("results.rst"):
        module, _, name = full.rpartition(".")
        assert re.search(rf"\b{name} as {name}\b", _source(module)), full


def test_public_functions_return_what_has_a_page():
    described = {id(_resolve(name)) for page in PAGES[:2] for name in listed_names(page)}
    for full in listed_names():
        value = _resolve(full)
        if not inspect.isfunction(value):
            continue
        for kind in _classes(typing.get_type_hints(value).get("return")):
            ours = getattr(kind, "__module__", "").startswith("graphkoopman")
            if ours and not getattr(kind, "_is_protocol", False):  # of functions that register
                assert id(kind) in described, (full, kind)


def _classes(hint):
    parts = typing.get_args(hint)
    return [each for part in parts for each in _classes(part)] if parts else [hint]


def test_every_public_package_is_an_attribute():
    # modules without ``__all__`` are what other packages stand on; no user needs them by name
    names = [
        name.removeprefix("graphkoopman.")
        for name in MODULES
        if name.count(".") == 1 and hasattr(importlib.import_module(name), "__all__")
    ]
    code = f"import graphkoopman as gk; [getattr(gk, name).__name__ for name in {names}]"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_names_of_the_package_itself_have_a_page_where_they_live():
    listed = {id(_resolve(name)) for name in listed_names()}
    assert {id(getattr(graphkoopman, name)) for name in graphkoopman.__all__} <= listed


@pytest.mark.parametrize("page", PAGES)
def test_nothing_listed_is_gone(page):
    for name in listed_names(page):
        _resolve(name)


def test_every_warning_class_is_explained():
    text = (DOCS / "warnings.md").read_text()
    classes = {
        f"graphkoopman.{module}.{name}"
        for module in (
            "estimator",
            "generation",
            "koopman",
            "model_selection",
            "structure",
            "trajectories",
            "transport",
        )
        for name in names_in(f"graphkoopman.{module}")
        if _is_warning(_resolve(f"graphkoopman.{module}.{name}"))
    }
    defined = {c.__name__ for c in _subclasses(UserWarning) if c.__module__.startswith("graphk")}
    assert {name.rpartition(".")[2] for name in classes} == defined
    assert [name for name in classes if name not in text] == []


def _resolve(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def _is_warning(value):
    return isinstance(value, type) and issubclass(value, Warning)


def _subclasses(base):
    for child in base.__subclasses__():
        yield child
        yield from _subclasses(child)
