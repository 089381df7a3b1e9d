"""Markdown tables and resumable rows, shared by the benchmarks."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed


def markdown(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def resumable(
    path: Path,
    keys: Iterable[Sequence[Any]],
    compute: Callable[..., dict[str, Any]],
    n_jobs: int = 1,
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
    n_jobs : int
        Processes, of one thread each where there are several.
    """
    keys = [list(key) for key in keys]
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines() if path.exists() else []
    done = {json.dumps(row["key"]): row for row in map(json.loads, lines)}
    missing = [key for key in keys if json.dumps(key) not in done]
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    for row in parallel(delayed(_row)(compute, key) for key in missing):
        done[json.dumps(row["key"])] = row
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
    return [done[json.dumps(key)] for key in keys]


def _row(compute: Callable[..., dict[str, Any]], key: list[Any]) -> dict[str, Any]:
    return {"key": key, **compute(*key)}
