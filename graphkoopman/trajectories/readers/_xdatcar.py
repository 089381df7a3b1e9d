"""VASP's XDATCAR, of every version and put together from several runs, frame by frame."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories.readers._contents import (
    Atoms,
    Contents,
    FileFormatError,
    FrameBlock,
    Structure,
)
from graphkoopman.trajectories.readers._elements import UNKNOWN, atoms_from_guesses, parse_symbol
from graphkoopman.trajectories.readers._registry import reader
from graphkoopman.trajectories.readers._text import Lines, lines_of

FRAME = re.compile(
    r"\s*(?:(direct|cartesian)\s*(?:configuration)?|konfig)\s*=?\s*(\d*|\*+)\s*$", re.I
)
GLUED = re.compile(r"(?<=[\d.])-(?=\d*\.)")  # a minus sign that Fortran left no space before
N_HEADER = 7


class Preamble(NamedTuple):
    """Cell in Å, scale of Cartesian positions, and atoms, until the next preamble."""

    cell: NDArray[np.float64]
    scale: NDArray[np.float64]
    symbols: tuple[str, ...] | None
    counts: tuple[int, ...]


def _is_xdatcar(head: bytes) -> bool:
    return re.search(rb"^\s*(Direct configuration|Konfig)\s*=", head, re.M) is not None


@reader("xdatcar", r".*xdatcar.*", sniff=_is_xdatcar, compressed=True, holds_times=False)
def read_xdatcar(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """Steps from the numbers of the configurations, where there are some."""
    blocks = _blocks(path, chunk)
    first, preamble = next(blocks)
    rest = _only_blocks(first, blocks)
    return Contents("xdatcar", sum(preamble.counts), rest, _atoms(preamble))


def _only_blocks(first: FrameBlock, rest: Iterator[tuple[FrameBlock, Any]]) -> Iterator[FrameBlock]:
    yield first
    for block, _ in rest:
        yield block


def _atoms(preamble: Preamble) -> Atoms:
    if preamble.symbols is None:
        names = [str(i + 1) for i, n in enumerate(preamble.counts) for _ in range(n)]
        return atoms_from_guesses(names, [UNKNOWN] * len(names), types=tuple(names))
    names = [s for s, n in zip(preamble.symbols, preamble.counts, strict=True) for _ in range(n)]
    known = {symbol: parse_symbol(symbol) for symbol in preamble.symbols}
    guesses = [(known[name], "stated") if known[name] else UNKNOWN for name in names]
    # "Li_sv/5e0f28" is called by its symbol, too
    return atoms_from_guesses(names, guesses)


def _blocks(path: Path, chunk: int) -> Iterator[tuple[FrameBlock, Preamble]]:
    with lines_of(path, "XDATCAR") as lines:
        preamble = first = _preamble(lines)
        frames: list[NDArray[np.float64]] = []
        cells: list[NDArray[np.float64]] = []
        steps: list[int | None] = []
        while (mark := _next_frame(lines)) is not None:
            if isinstance(mark, Preamble):
                preamble = mark
                if (preamble.symbols, preamble.counts) != (first.symbols, first.counts):
                    raise _other_atoms(path, lines, first, preamble)
                continue
            cartesian, step = mark
            values = _positions(lines, sum(preamble.counts))
            frames.append(values * preamble.scale if cartesian else values @ preamble.cell)
            cells.append(preamble.cell)
            steps.append(step)
            lines.frame += 1
            if len(frames) == chunk or lines.frame == 1:
                yield _block(frames, cells, steps), first
                frames, cells, steps = [], [], []
        if lines.frame == 0:
            raise lines.ended("a line 'Direct configuration='")
        if frames:
            yield _block(frames, cells, steps), first


def _block(frames: list[Any], cells: list[Any], steps: list[int | None]) -> FrameBlock:
    numbers = None if None in steps else np.array(steps, dtype=np.int64)
    return FrameBlock(np.array(frames), np.array(cells), None, numbers)


def _next_frame(lines: Lines) -> Preamble | tuple[bool, int | None] | None:
    """What follows a frame: the mark of the next, a preamble, or the end (None)."""
    n_blank = 0
    while (line := lines.next()) is not None:
        if not line.strip():
            n_blank += 1
            continue
        mark = FRAME.match(line)
        if mark is not None:
            kind = (mark[1] or "direct").lower()
            return kind == "cartesian", int(mark[2]) if mark[2].isdigit() else None
        lines.give_back(line)
        if n_blank and _is_numbers(line):
            return False, None  # old VASP marks frames by a blank line
        return _preamble(lines)
    return None


def _preamble(lines: Lines) -> Preamble:
    start = lines.number + 1
    title = lines.need("a title")
    scale = _floats(lines, "the scale of the cell", (1, 3))
    rows = np.array([_floats(lines, "a lattice vector", (3,)) for _ in range(3)])
    if len(scale) == 3:
        factor = np.array(scale)
    elif scale[0] < 0:  # minus the volume
        factor = np.full(3, np.cbrt(-scale[0] / abs(np.linalg.det(rows))))
    else:
        factor = np.full(3, scale[0])
    words = lines.need("symbols of the elements").split()
    symbols: tuple[str, ...] | None = tuple(words)
    if words and all(word.isdigit() for word in words):
        # VASP 4: the symbols are the title, if anywhere
        counts = words
        symbols = tuple(title.split())
        if len(symbols) != len(counts) or not all(parse_symbol(symbol) for symbol in symbols):
            symbols = None
    else:
        counts = lines.need("numbers of atoms").split()
    if not counts or not all(word.isdigit() for word in counts) or sum(map(int, counts)) < 1:
        raise lines.error(f"numbers of atoms expected, got {' '.join(counts)[:60]!r}", lines.number)
    if symbols is not None and len(symbols) != len(counts):
        raise lines.error(
            f"{len(symbols)} symbols ({' '.join(symbols)[:60]}) for {len(counts)} numbers of atoms",
            start + 5,
            "write a symbol for every number",
        )
    return Preamble(rows * factor, factor, symbols, tuple(map(int, counts)))


def _floats(lines: Lines, what: str, lengths: tuple[int, ...]) -> list[float]:
    line = lines.need(what)
    try:
        values = [float(word) for word in GLUED.sub(" -", line).split()]
    except ValueError:
        values = []
    if len(values) not in lengths or not np.isfinite(values).all():
        hint = "; files of VASP before 4.6 hold no lattice vectors" if lines.number < 5 else ""
        raise lines.error(f"{what} expected, got {line.strip()[:60]!r}{hint}", lines.number)
    return values


def _positions(lines: Lines, n_atoms: int) -> NDArray[np.float64]:
    above = lines.number
    body = lines.need_text(n_atoms, "the positions of a frame")
    words = body.split()
    if len(words) == 3 * n_atoms:
        try:
            return np.array(list(map(float, words))).reshape(n_atoms, 3)
        except ValueError:
            pass
    rows = []
    for number, line in enumerate(body.split("\n")[:n_atoms], start=above + 1):
        words = GLUED.sub(" -", line).split()[:3]  # more columns: flags, symbols
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) != 3:
            problem = f"three coordinates expected, got {line.strip()[:60]!r}"
            raise lines.error(problem, number, "edit that line, or cut the file before its frame")
        rows.append(row)
    return np.array(rows)


def _is_numbers(line: str) -> bool:
    words = GLUED.sub(" -", line).split()
    try:
        return len([float(word) for word in words]) >= 3
    except ValueError:
        return False


def _other_atoms(path: Path, lines: Lines, first: Preamble, other: Preamble) -> FileFormatError:
    def name(preamble: Preamble) -> str:
        symbols = preamble.symbols or [""] * len(preamble.counts)
        pairs = zip(symbols, preamble.counts, strict=True)
        return " ".join(f"{symbol}{count}" for symbol, count in pairs)

    return FileFormatError(
        f"frames must hold the same atoms, got {name(other)} after frame {lines.frame} of {path} "
        f"(line {lines.number}) and {name(first)} in the first; the file is put together from "
        "different runs: split it there"
    )
