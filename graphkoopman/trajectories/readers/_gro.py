"""GROMACS' gro, of any number of decimals, with all nine numbers of the box."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories.readers._cell import NM_TO_ANGSTROM, gro_box
from graphkoopman.trajectories.readers._contents import (
    Contents,
    FileFormatError,
    FrameBlock,
    Structure,
)
from graphkoopman.trajectories.readers._registry import reader
from graphkoopman.trajectories.readers._text import Lines, lines_of
from graphkoopman.trajectories.readers._topology import load_structure

TIME = re.compile(r"\bt\s*=\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)")
LABEL = slice(0, 15)  # residue and name; numbers of atoms wrap around at 100000
FIRST_POSITION = 20


@reader("gro", r".*\.gro", compressed=True)
def read_gro(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """Times of the titles where all frames have one."""
    blocks = _blocks(path, chunk)
    first = next(blocks)  # a damaged first frame is said by line, not by mdtraj
    own = load_structure(path, "path")
    return Contents("gro", own.n_atoms, _chain(first, blocks), own.atoms)


def _chain(first: FrameBlock, rest: Iterator[FrameBlock]) -> Iterator[FrameBlock]:
    yield first
    yield from rest


def _blocks(path: Path, chunk: int) -> Iterator[FrameBlock]:
    with lines_of(path, "gro") as lines:
        frames: list[tuple[Any, ...]] = []
        first_labels: list[str] | None = None
        while (title := lines.next()) is not None:
            if not title.strip() and _at_end(lines):
                break
            labels, positions, cell = _frame(lines)
            first_labels = first_labels or labels
            _check_same(path, lines.frame, first_labels, labels)
            time = TIME.search(title)
            frames.append((positions, cell, None if time is None else _number(time[1])))
            lines.frame += 1
            if len(frames) == chunk or lines.frame == 1:
                yield _block(frames)
                frames = []
        if lines.frame == 0:
            raise lines.ended("a title")
        if frames:
            yield _block(frames)


def _at_end(lines: Lines) -> bool:
    """Whether nothing but blank lines follows."""
    while (line := lines.next()) is not None:
        if line.strip():
            lines.give_back(line)
            return False
    return True


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _frame(lines: Lines) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    text = lines.need("a number of atoms")
    if not text.strip().isdigit() or not 0 < len(text.strip()) < 12 or int(text) < 1:
        problem = f"a number of atoms expected, got {text.strip()[:60]!r}"
        raise lines.error(problem, lines.number)
    above = lines.number
    body = lines.need_many(int(text), "the lines of the atoms")
    # the distance of two decimal points is the width of a number
    dots = [i for i, letter in enumerate(body[0]) if letter == "." and i > FIRST_POSITION][:2]
    width = dots[1] - dots[0] if len(dots) == 2 else 8
    starts = [FIRST_POSITION + axis * width for axis in range(3)]
    try:
        values = [float(line[s : s + width]) for line in body for s in starts]
    except ValueError:
        raise _bad_line(lines, body, above, starts, width) from None
    box = lines.need("the box")
    try:
        cell = gro_box(box)
    except ValueError:
        problem = f"a box of three or nine numbers expected, got {box.strip()[:60]!r}"
        raise lines.error(problem, lines.number) from None
    positions = np.round(np.array(values).reshape(-1, 3) * NM_TO_ANGSTROM, 9)
    return [line[LABEL] for line in body], positions, np.zeros((3, 3)) if cell is None else cell


def _bad_line(
    lines: Lines, body: list[str], above: int, starts: list[int], width: int
) -> FileFormatError:
    for number, line in enumerate(body, start=above + 1):
        try:
            [float(line[start : start + width]) for start in starts]
        except ValueError:
            return lines.error(f"an atom expected, got {line.strip()[:60]!r}", number)
    return lines.error("positions", above + 1)


def _check_same(path: Path, frame: int, first: list[str], labels: list[str]) -> None:
    if len(labels) != len(first):
        raise FileFormatError(
            f"frames must hold the same atoms, got {len(labels)} atoms in frame {frame} of {path} "
            f"and {len(first)} in the first; the file is damaged, or not one run"
        )
    if labels != first:
        atom = next(
            i for i, pair in enumerate(zip(first, labels, strict=True)) if pair[0] != pair[1]
        )
        raise FileFormatError(
            f"frames must hold the same atoms, got {labels[atom].strip()!r} for atom {atom} in "
            f"frame {frame} of {path}, which is {first[atom].strip()!r} in the first; write the "
            "atoms in one order throughout"
        )


def _block(frames: list[tuple[Any, ...]]) -> FrameBlock:
    positions, cells, times = zip(*frames, strict=True)
    known = None not in times
    return FrameBlock(np.array(positions), np.array(cells), np.array(times) if known else None)
