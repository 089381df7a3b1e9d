"""Every other format of ASE: its own .traj, POSCAR, OUTCAR, cif and what ``format=`` names."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from graphkoopman._optional import missing
from graphkoopman.trajectories.readers._contents import (
    Contents,
    FileFormatError,
    FrameBlock,
    Structure,
)
from graphkoopman.trajectories.readers._elements import atoms_from_guesses
from graphkoopman.trajectories.readers._registry import Reader, reader
from graphkoopman.trajectories.readers._text import lines_of

NEVER_BY_NAME = re.compile(r"(?!)")
PREFIX = r"(.*[._-])?"
SUFFIX = r"([._-].*)?"


def ase_format(name: str) -> Reader | None:
    """Reader of a format in ASE's spelling; None for what ASE does not know."""
    try:
        from ase.io.formats import ioformats
    except ImportError:
        return None
    if name not in ioformats or not ioformats[name].can_read:
        return None
    return Reader(name, partial(_opened, format=name), NEVER_BY_NAME, None, True, True, False)


@reader("ase", r".*\.traj", holds_times=False)
def read_ase(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """Any file that ASE knows by its name or its beginning."""
    return _opened(path, structure, chunk, None)


@reader("poscar", PREFIX + "(poscar|contcar)" + SUFFIX + r"|.*\.vasp", holds_times=False)
def read_poscar(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """One frame, as VASP reads it."""
    return _opened(path, structure, chunk, "vasp")


@reader("outcar", PREFIX + "outcar" + SUFFIX, compressed=True, holds_times=False)
def read_outcar(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """Every ionic step of VASP's OUTCAR, or an error: ASE passes over those without electrons."""
    with lines_of(path, "OUTCAR") as lines:
        n_steps = 0
        while (line := lines.next()) is not None:
            n_steps += "POSITION  " in line and "TOTAL-FORCE" in line
    contents = _opened(path, structure, chunk, "vasp-out")
    return replace(contents, blocks=_counted(path, contents.blocks, n_steps))


def _counted(path: Path, blocks: Iterator[FrameBlock], n_steps: int) -> Iterator[FrameBlock]:
    n_read = 0
    for block in blocks:
        n_read += len(block.positions)
        yield block
    if n_read != n_steps:
        raise FileFormatError(
            f"frames must all be read, got {n_read} of the {n_steps} steps in {path} from ASE's "
            "reader (machine-learned steps have none of what it looks for); read the XDATCAR or "
            "vasprun.xml of the run"
        )


def _opened(path: Path, structure: Structure | None, chunk: int, format: str | None) -> Contents:
    """The elements are those that ASE says."""
    frames = _frames(path, format)
    first = next(frames, None)
    if first is None:
        raise FileFormatError(f"path must hold at least one frame, got none in {path}")
    guesses = [(int(number), "stated") for number in first.numbers]
    atoms = atoms_from_guesses(first.get_chemical_symbols(), guesses)
    blocks = _blocks(path, itertools.chain([first], frames), first.numbers, chunk)
    periodic = True if first.pbc.all() else None
    return Contents(format or "ase", len(first), blocks, atoms, periodic=periodic)


def _frames(path: Path, format: str | None) -> Iterator[Any]:
    try:
        import ase.io
    except ImportError as error:
        raise missing("ase", f"reading {path}") from error
    n_read = 0
    try:
        for atoms in ase.io.iread(path, index=":", format=format):
            yield atoms
            n_read += 1
    except ImportError:
        raise
    except Exception as error:  # each parser of ASE fails in its own way
        raise FileFormatError(
            f"path must be a complete, readable {format or 'ASE'} file, got {path}: ASE's reader "
            f"failed after frame {n_read} ({type(error).__name__}: {error}); cut it to whole "
            "frames, write it again, or say what it is with format= (--format)"
        ) from error


def _blocks(path: Path, frames: Iterator[Any], numbers: Any, chunk: int) -> Iterator[FrameBlock]:
    n_read = 0
    while batch := list(itertools.islice(frames, chunk)):
        for frame, atoms in enumerate(batch, start=n_read):
            if not np.array_equal(atoms.numbers, numbers):
                raise FileFormatError(
                    f"frames must hold the same atoms, got other elements in frame {frame} of "
                    f"{path} than in the first; write the atoms in one order throughout"
                )
            if atoms.pbc.any() and not atoms.pbc.all():
                raise FileFormatError(
                    "frames must be periodic in all directions or none, got "
                    f"pbc={atoms.pbc.tolist()} in frame {frame} of {path}; enlarge the cell with "
                    "vacuum and mark it periodic throughout"
                )
        cells = np.array([atoms.cell.array * atoms.pbc.all() for atoms in batch])
        yield FrameBlock(
            np.array([atoms.positions for atoms in batch]), cells if np.any(cells) else None
        )
        n_read += len(batch)
