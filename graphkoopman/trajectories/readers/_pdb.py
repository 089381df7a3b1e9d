"""pdb: atoms and positions by mdtraj; the cell of every model, and the times of GROMACS' titles."""

import math
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import mdtraj as md
import numpy as np

from graphkoopman.trajectories.readers._cell import NM_TO_ANGSTROM, cryst1_cell
from graphkoopman.trajectories.readers._contents import (
    Contents,
    FileFormatError,
    FrameBlock,
    Structure,
)
from graphkoopman.trajectories.readers._registry import reader
from graphkoopman.trajectories.readers._text import Lines, lines_of
from graphkoopman.trajectories.readers._topology import load_structure

GROMACS_TIME = re.compile(r"^TITLE\s.*\bt=\s*([-+.\deE]+)(?:\s+step=\s*(\d+))?\s*$")


@reader("pdb", r".*\.(pdb|ent)")
def read_pdb(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """mdtraj takes the first CRYST1 for all models; here every model has its own."""
    n_lines, cells, times = _models(path)  # what is wrong is said by line
    own = load_structure(path, "path")
    if own.n_atoms < n_lines:
        warnings.warn(
            f"{n_lines - own.n_atoms} of {n_lines} atoms in {path.name} are alternate locations of "
            "others and are left out; keep one location of each to choose which",
            UserWarning,
            stacklevel=4,
        )
    return Contents("pdb", own.n_atoms, _blocks(path, chunk, cells, times), own.atoms)


def _blocks(
    path: Path, chunk: int, cells: np.ndarray, times: np.ndarray | None
) -> Iterator[FrameBlock]:
    done = 0
    for piece in md.iterload(str(path), chunk=chunk):
        part = slice(done, done + len(piece))
        done += len(piece)
        piece.xyz *= np.float32(NM_TO_ANGSTROM)
        if done > len(cells):
            break
        yield FrameBlock(piece.xyz, cells[part], None if times is None else times[part])
    if done != len(cells):
        raise FileFormatError(
            f"path must be a complete, readable pdb file, got {path}: truncated after frame "
            f"{min(done, len(cells))} of at least {max(done, len(cells))}; cut it to whole models, "
            "each from MODEL to ENDMDL, or write it again"
        )


def _models(path: Path) -> tuple[int, np.ndarray, np.ndarray | None]:
    """Atoms of the first model; cell of each, zero where there is none; times if all have one."""
    cells, times = [], []
    cell, time = np.zeros((3, 3)), None
    inside, n_lines = False, 0
    with lines_of(path, "pdb") as lines:
        while (line := lines.next()) is not None:
            if line.startswith(("ATOM  ", "HETATM")):
                inside = True
                n_lines += lines.frame == 0
                _check_atom(lines, line)
            elif line.startswith("CRYST1"):
                cell = _cell(lines, line)
            elif line.startswith("TITLE") and (match := GROMACS_TIME.match(line)):
                time = match[1]
            elif line.startswith(("MODEL ", "ENDMDL", "END")) and inside:
                if line.startswith("MODEL"):
                    raise lines.error("MODEL inside a model", lines.number)
                cells.append(cell)
                times.append(time)
                inside, time = False, None
                lines.frame += 1
        if inside:
            cells.append(cell)
            times.append(time)
    without = [not cell.any() for cell in cells]
    if any(without) and not all(without):
        frame = without.index(True)
        raise FileFormatError(
            f"frames must be periodic throughout or not at all, got no CRYST1 above model {frame} "
            f"of {path} and one for others; put one above the first model, or give cell= (--cell)"
        )
    known = [float(word) for word in times if word is not None and _is_number(word)]
    return (
        n_lines,
        np.array(cells).reshape(-1, 3, 3),
        (np.array(known) if len(known) == len(cells) and known else None),
    )


def _check_atom(lines: Lines, line: str) -> None:
    try:
        x, y, z = (float(line[first : first + 8]) for first in (30, 38, 46))
    except ValueError:
        problem = f"coordinates in columns 31 to 54 expected, got {line.rstrip()!r}"
        raise lines.error(problem, lines.number) from None
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        raise lines.error(f"coordinates must be finite, got {line[30:54].strip()!r}", lines.number)


def _is_number(word: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", word) is not None


def _cell(lines: Lines, line: str) -> np.ndarray:
    try:
        cell = cryst1_cell(line)
    except ValueError:
        problem = f"a CRYST1 record expected, got {line.strip()[:60]!r}"
        raise lines.error(problem, lines.number) from None
    return np.zeros((3, 3)) if cell is None else cell
