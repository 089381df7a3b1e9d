"""Rows of a comparison: two sides, the ratio between them, whether they agree.

Public: :class:`Row`, :func:`peak_memory`, :func:`status`, :func:`rows_table`,
:func:`report`.
"""

import ctypes
import gc
import json
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks._tables import markdown
from graphkoopman.cli._timing import spread, spread_text

RESULTS = Path("benchmarks/results")
MMAP_THRESHOLD, LARGE_ARRAY = -3, 2**16  # of mallopt; bytes


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes
    ----------
    name, system, against : str
        What was measured, on what, and against what.
    ratios : sequence of float
        Theirs over ours, above one where ours is better; one per repeat. The exponent itself in
        rows of exponents.
    same : bool or None
        Whether both sides computed the same; None where there is one side only.
    details : dict
        Figures behind the ratio.
    """

    name: str
    system: str
    against: str
    ratios: Sequence[float]
    same: bool | None
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The row with minimum, median and maximum of the ratios."""
        row = asdict(self)
        row["ratio"] = dict(zip(("min", "median", "max"), spread(self.ratios), strict=True))
        return row


def rows_table(rows: Sequence[Row]) -> str:
    """Markdown table of rows."""
    body = [
        [
            row.name,
            row.system,
            row.against,
            spread_text(row.ratios),
            {True: "yes", False: "NO", None: ""}[row.same],
            "; ".join(f"{key} {_text(value)}" for key, value in row.details.items()),
        ]
        for row in rows
    ]
    return markdown(["row", "system", "against", "ratio", "same result", "details"], body)


def report(name: str, rows: Sequence[Row], folder: Path = RESULTS) -> None:
    """Print rows as a Markdown table, and keep them as ``name.json`` and ``name.md``."""
    table = rows_table(rows)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps([row.as_json() for row in rows], indent=1)
    (folder / f"{name}.json").write_text(text + "\n")
    (folder / f"{name}.md").write_text(table + "\n")
    print(table, flush=True)


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def peak_memory(prepare: Callable[..., Callable[[], Any]], *arguments: Any) -> float:
    """Bytes that a call needs above what was resident before it, in a process of its own (Linux).

    Parameters
    ----------
    prepare : callable
        Importable by name. Returns the call to measure; what it builds is not counted.
    *arguments
        For ``prepare``.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak_memory, (prepare, *arguments))


def _peak_memory(prepare: Callable[..., Callable[[], Any]], *arguments: Any) -> float:
    torch.set_num_threads(1)
    libc = ctypes.CDLL(None)
    # arrays go back to the system when they are freed: glibc would learn to keep those of the
    # preparations and of the first chunk, and the peak would be of the gaps between them, too
    libc.mallopt(MMAP_THRESHOLD, LARGE_ARRAY)
    call = prepare(*arguments)
    gc.collect()
    libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before = status("VmRSS")
    call()
    return status("VmHWM") - before


def status(name: str) -> float:
    """Bytes of a field of this process' /proc status, such as VmRSS (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return 1024.0 * float(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {name}")
