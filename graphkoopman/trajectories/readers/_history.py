"""DL_POLY's HISTORY: atoms by their ids, the times of its headers.

ASE and MDAnalysis read its positions, but no times; ASE leaves atoms in the order of each frame.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories.readers._contents import Contents, FrameBlock, Structure
from graphkoopman.trajectories.readers._elements import atoms_from_masses
from graphkoopman.trajectories.readers._registry import reader
from graphkoopman.trajectories.readers._text import Lines, lines_of

FREE, BOXES, SLAB = 0, (1, 2, 3), 6  # imcon, DL_POLY's key of the boundaries


class Frame(NamedTuple):
    """Atoms of a frame in the order of their ids."""

    names: tuple[str, ...]
    ids: NDArray[np.int64]
    masses: NDArray[np.float64]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    time: float


def _is_history(head: bytes) -> bool:
    lines = head.split(b"\n", 3)
    return len(lines) > 2 and lines[2].lstrip().startswith(b"timestep ")


@reader("dlpoly-history", r"history([._-].*)?|.*\.history", sniff=_is_history, compressed=True)
def read_history(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """Times in ps from the header of every frame."""
    frames = _frames(path)
    first = next(frames)
    atoms = atoms_from_masses(first.masses.tolist(), first.names, ids=first.ids)
    return Contents(
        "dlpoly-history",
        len(first.names),
        _blocks(first, frames, chunk),
        atoms,
        periodic=bool(np.any(first.cell)),
    )


def _blocks(first: Frame, frames: Iterator[Frame], chunk: int) -> Iterator[FrameBlock]:
    waiting = [first]
    for frame in frames:
        if len(waiting) == chunk:
            yield _block(waiting)
            waiting = []
        waiting.append(frame)
    yield _block(waiting)


def _block(frames: list[Frame]) -> FrameBlock:
    return FrameBlock(
        np.array([frame.positions for frame in frames]),
        np.array([frame.cell for frame in frames]),
        np.array([frame.time for frame in frames]),
    )


def _frames(path: Path) -> Iterator[Frame]:
    with lines_of(path, "HISTORY") as lines:
        lines.need("a title")
        header = lines.need("level, boundaries and number of atoms")
        keys = _numbers(lines, header, 3)
        level, boundaries, n_atoms = (int(key) for key in keys[:3])
        n_announced = _n_announced(header)
        if level not in (0, 1, 2) or boundaries not in (FREE, *BOXES) or n_atoms < 1:
            what = "a slab" if boundaries == SLAB else f"level {level}, boundaries {boundaries}"
            raise lines.error(
                f"levels 0 to 2 in a box or without one are read, got {what}",
                lines.number,
                "read it with another package into an ase.Atoms list and a cell of its own",
            )
        first: Frame | None = None
        while (line := lines.next()) is not None and line.strip():
            frame = _frame(lines, line, level, boundaries, n_atoms)
            if first is not None and not np.array_equal(frame.ids, first.ids):
                raise lines.error("the ids of the atoms are not those of the first frame")
            if first is not None and frame.names != first.names:
                raise lines.error("atoms of these ids have other names in the first frame")
            first = first or frame
            lines.frame += 1
            yield frame
        if first is None:
            raise lines.ended("a frame, 'timestep …'")
        if lines.frame < n_announced:
            raise lines.ended(f"frame {lines.frame + 1} of the {n_announced} that it announces")


def _n_announced(header: str) -> int:
    """Frames by the header of DL_POLY 4, which counts them and their records; 0 of others."""
    words = header.split()
    return int(words[3]) if len(words) > 4 and words[3].isdigit() else 0


def _frame(lines: Lines, header: str, level: int, boundaries: int, n_atoms: int) -> Frame:
    words = header.split()
    if words[0] != "timestep" or len(words) < 6:
        raise lines.error(f"'timestep …' expected, got {header.strip()[:60]!r}", lines.number)
    step, found, own_level, _, length = _numbers(lines, " ".join(words[1:6]), 5)
    if int(found) != n_atoms or int(own_level) != level:
        raise lines.error(f"{n_atoms} atoms of level {level} expected", lines.number)
    time = float(words[6]) if len(words) > 6 else step * length
    cell = np.zeros((3, 3))
    after = lines.need("the cell or an atom")
    lines.give_back(after)
    if len(after.split()) == 3 and _is_number(after.split()[0]):
        rows = [_numbers(lines, lines.need("three lines of the cell"), 3) for _ in range(3)]
        cell = np.array(rows) if boundaries != FREE else cell
    body = lines.need_many(n_atoms * (level + 2), "the lines of the atoms")
    heads = [line.split() for line in body[:: level + 2]]
    above = lines.number - len(body)
    try:
        ids = np.array([int(head[1]) for head in heads])
        masses = np.array([float(head[2]) for head in heads])
        positions = np.array([line.split()[:3] for line in body[1 :: level + 2]], dtype=np.float64)
        if positions.shape != (n_atoms, 3) or len(np.unique(ids)) != n_atoms:
            raise ValueError
    except (ValueError, IndexError):
        problem = "name, id, mass and charge of every atom above its position expected"
        raise lines.error(problem, above + 1) from None
    order = np.argsort(ids)
    names = tuple(heads[i][0] for i in order)
    return Frame(names, ids[order], masses[order], positions[order], cell, time)


def _numbers(lines: Lines, text: str, n: int) -> list[float]:
    words = text.split()[:n]
    if len(words) < n or not all(_is_number(word) for word in words):
        raise lines.error(f"{n} numbers expected, got {text.strip()[:60]!r}", lines.number)
    return [float(word) for word in words]


def _is_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False
