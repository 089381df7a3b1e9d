"""Signatures of public names are typed, and checkers of users see them."""

import importlib
import inspect
from pathlib import Path

import pytest
from test_docs import MODULES, public_names

import graphkoopman


def functions_of(module):
    """Public functions, classes and their public methods, with their names."""
    for name in public_names(module):
        value = getattr(importlib.import_module(module), name)
        if inspect.isclass(value) and not issubclass(value, Warning):
            for method, function in vars(value).items():
                if inspect.isfunction(function) and not method.startswith("_"):
                    yield f"{module}.{name}.{method}", function
        elif inspect.isfunction(value):
            yield f"{module}.{name}", value


def test_checkers_are_told_that_types_are_there():
    assert (Path(graphkoopman.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("module", MODULES)
def test_public_signatures_are_typed(module):
    for name, function in functions_of(module):
        signature = inspect.signature(function)
        bare = [
            parameter.name
            for parameter in signature.parameters.values()
            if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
        ]
        assert (name, bare) == (name, [])
        assert signature.return_annotation is not signature.empty, name
