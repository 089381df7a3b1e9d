"""Packages take from one another what their ``__init__`` offers."""

import ast
from pathlib import Path

import graphkoopman

ROOT = Path(graphkoopman.__file__).parent


def test_no_package_imports_a_private_module_of_another():
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        own = path.relative_to(ROOT).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.ImportFrom) and (node.module or "").startswith(ROOT.name)):
                continue
            package, *inside = node.module.split(".")[1:] or [""]
            names = [*inside, *(alias.name for alias in node.names if package)]
            # private modules of the package itself, such as _lazy, are for all
            if package != own and any(name.startswith("_") for name in names):
                found.append((str(path.relative_to(ROOT)), node.module))
    assert found == []
