"""How the package is built, counted: what hangs on what, sizes of files and functions, comments.

``python -m benchmarks.structure [FOLDER]`` reads the sources below a folder, by default those of
this package, and prints one line per count. Code lines are lines with a token that is neither
comment nor docstring. ``git worktree add ../before COMMIT`` gives an earlier state to compare with.
"""

import argparse
import ast
import io
import statistics
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MENTIONED = ("hop_counts", "pooled_scale", "target_offsets", "estimator: Any")
LARGE_FUNCTION = 40
SMALL_FILE = 60
LAYOUT = (
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
)  # fmt: skip
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """A file, parsed, with the numbers of its lines of code and of comments."""

    path: Path
    text: str
    tree: ast.Module
    code: frozenset[int]
    n_comments: int

    def code_lines(self, node: ast.AST) -> int:
        """Lines of code of a definition, decorators left out."""
        lines = range(node.lineno, node.end_lineno + 1)  # type: ignore[attr-defined]
        return len(self.code.intersection(lines))


def docstring_lines(tree: ast.Module) -> set[int]:
    """Numbers of the lines of all docstrings."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | Definition) or not node.body:
            continue
        first = node.body[0]
        text = first.value if isinstance(first, ast.Expr) else None
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            lines.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def read(path: Path) -> Source:
    """A file of Python."""
    text = path.read_text()
    tree = ast.parse(text)
    code: set[int] = set()
    n_comments = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT:
            code.update(range(token.start[0], token.end[0] + 1))
        n_comments += token.type == tokenize.COMMENT and not token.string.startswith(
            ("# fmt", "# type", "# noqa", "# pragma", "# isort")
        )
    return Source(path, text, tree, frozenset(code - docstring_lines(tree)), n_comments)


def definitions(sources: list[Source]) -> Iterator[tuple[Source, Definition]]:
    """Every function and class."""
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, Definition):
                yield source, node


def whole_number_checks(sources: list[Source]) -> list[str]:
    """Functions that decide what a whole number is."""
    found = []
    for source, node in definitions(sources):
        if isinstance(node, FUNCTIONS):
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            names |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
            if "Integral" in names or ("is_integer" in names - {node.name} and _calls_float(node)):
                found.append(f"{source.path.stem}.{node.name}")
    return found


def _calls_float(node: ast.AST) -> bool:
    """Whether the method of floats is meant, not a function of this name."""
    return any(
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "is_integer"
        for call in ast.walk(node)
    )


def public_names(sources: list[Source]) -> list[str]:
    """Entries of every ``__all__`` of a package or a public module."""
    names = []
    for source in public_modules(sources):
        for node in source.tree.body:
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
            ):
                names += ast.literal_eval(node.value)
    return names


def results_and_warnings(sources: list[Source]) -> list[str]:
    """Classes that a package exports (``Name as Name``) for annotations and filters only."""
    return [
        alias.name
        for source in public_modules(sources)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name and alias.name[0].isupper()
    ]


def public_modules(sources: list[Source]) -> list[Source]:
    """Packages, and modules whose name is not private."""
    return [s for s in sources if not s.path.stem.startswith("_") or s.path.name == "__init__.py"]


def counts(folder: Path) -> dict[str, str]:
    """What is printed, by name."""
    sources = [read(path) for path in sorted(folder.rglob("*.py"))]
    private = [
        s for s in sources if s.path.name.startswith("_") and not s.path.name.startswith("__")
    ]
    classes = [node.name for _, node in definitions(sources) if isinstance(node, ast.ClassDef)]
    named = [node.name for _, node in definitions(sources)]
    aliases = [
        target.id
        for s in sources
        for node in s.tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    sizes = {s.path.relative_to(folder): len(s.code) for s in sources}
    functions = {
        f"{s.path.relative_to(folder)}:{node.name}": s.code_lines(node)
        for s, node in definitions(sources)
        if isinstance(node, FUNCTIONS)
    }
    largest_file, largest = max(sizes, key=sizes.__getitem__), max(functions, key=functions.get)
    n_code, n_comments = sum(sizes.values()), sum(s.n_comments for s in sources)
    names = public_names(sources)
    checks = whole_number_checks(sources)
    small = sum(len(s.code) < SMALL_FILE for s in private)
    return {
        **{f"files with {word!r}": f"{sum(word in s.text for s in sources)}" for word in MENTIONED},
        "functions that take 'estimator: Any'": (
            f"{sum(s.text.count('estimator: Any') for s in sources)}"
        ),
        "checks of whole numbers": f"{len(checks)} ({', '.join(checks)})",
        "definitions with 'block'": f"{sum('block' in n.lower() for n in named + aliases)}",
        "classes called Run": f"{sum(name in ('Run', '_Run') for name in classes)}",
        "public names": (
            f"{len(set(names))} ({len(names)} entries), of which plot_*: "
            f"{sum(name.startswith('plot_') for name in set(names))}"
        ),
        "results, warnings and errors": f"{len(set(results_and_warnings(sources)))}",
        "files": f"{len(sources)}",
        "private files": f"{len(private)}, of which below {SMALL_FILE} lines of code: {small}",
        "code lines": f"{n_code}",
        "file, code lines": (
            f"median {statistics.median(sizes.values()):g}, largest {sizes[largest_file]} "
            f"({largest_file})"
        ),
        "function, code lines": (
            f"median {statistics.median(functions.values()):g}, largest {functions[largest]} "
            f"({largest}), above {LARGE_FUNCTION}: "
            f"{sum(n > LARGE_FUNCTION for n in functions.values()) / len(functions):.1%}"
        ),
        "comments per code line": f"{n_comments / n_code:.3f}",
    }


def main() -> None:
    """Print the counts of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).parents[1] / "graphkoopman"
    parser.add_argument("folder", type=Path, nargs="?", default=default)
    for name, value in counts(parser.parse_args().folder).items():
        print(f"{name:38} {value}")


if __name__ == "__main__":
    main()
