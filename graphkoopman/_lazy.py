"""Public names of a package that are imported when they are first used (SPEC 1).

A package says what it offers where type checkers look for it, and nowhere else::

    from typing import TYPE_CHECKING

    if TYPE_CHECKING:
        from graphkoopman.structure._rdf import StateRDF, state_rdf
    else:
        from graphkoopman._lazy import attach

        __getattr__, __dir__ = attach(__name__)

    __all__ = ["StateRDF", "state_rdf"]

torch, deeptime, numba and matplotlib take seconds to import; ``import graphkoopman`` and the help
of its commands need none of them. With ``EAGER_IMPORT`` set in the environment, as in SPEC 1,
everything is imported at once, so that an import that fails is seen.

Public: :func:`attach`.
"""

import ast
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any


def attach(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` for the names that a package imports for type checkers.

    Parameters
    ----------
    package : str
        Its ``__name__``.

    Returns
    -------
    get, names : callable
        The first imports a name and keeps it in the package, so that it runs once per name.
    """
    origins = dict(_declared(_source(package)))

    def get(name: str) -> Any:
        if name not in origins:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, attribute = origins[name]
        if module == package:
            value = importlib.import_module(f"{package}.{attribute}")
        else:
            value = getattr(importlib.import_module(module), attribute)
        vars(sys.modules[package])[name] = value
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *origins})

    if os.environ.get("EAGER_IMPORT"):
        for name in origins:
            get(name)
    return get, names


def _source(package: str) -> str:
    loader: Any = find_spec(package).loader  # type: ignore[union-attr]
    return loader.get_source(package)


def _declared(source: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Name, and the module and attribute it comes from, of the imports for type checkers."""
    for block in ast.parse(source).body:
        if not (isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"):
            continue
        for line in block.body:
            if isinstance(line, ast.ImportFrom):
                for alias in line.names:
                    yield alias.asname or alias.name, (line.module or "", alias.name)
