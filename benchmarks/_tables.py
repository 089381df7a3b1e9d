"""Markdown tables and resumable rows, shared by the benchmarks."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any


def markdown(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def resumable(
    path: Path, keys: Iterable[Sequence[Any]], compute: Callable[..., dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows of ``compute(*key)``, one JSON line each; rows already in the file are not repeated.

    Parameters
    ----------
    path : Path
        Delete it to start again.
    keys : iterable of sequences
        Arguments, anything JSON holds.
    compute : callable
        Returns a dictionary of plain numbers and strings.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines() if path.exists() else []
    done = {json.dumps(row["key"]): row for row in map(json.loads, lines)}
    rows = []
    for key in keys:
        name = json.dumps(list(key))
        if name not in done:
            done[name] = {"key": list(key), **compute(*key)}
            with path.open("a") as file:
                file.write(json.dumps(done[name]) + "\n")
            print(json.dumps(done[name]), flush=True)
        rows.append(done[name])
    return rows
