"""Formats that ASE reads: VASP's XDATCAR and vasprun.xml, extended xyz, LAMMPS dumps."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._frames import FrameBlock
from graphkoopman.trajectories._lammps import lammps_header
from graphkoopman.trajectories._mdtraj import species_of
from graphkoopman.trajectories._truncation import check_xyz

# name without its compression -> format in ASE's spelling
FORMATS = {
    r".*xdatcar.*": "vasp-xdatcar",
    r".*vasprun.*\.xml": "vasp-xml",
    r".*\.(ext)?xyz": "extxyz",
    r".*\.(dump|lammpstrj)": "lammps-dump-text",
}


def ase_format(path: Path) -> str | None:
    """ASE's name of a file's format; None where ASE is not the reader for it."""
    name = re.sub(r"\.(gz|bz2|xz)$", "", path.name.lower())
    return next((f for pattern, f in FORMATS.items() if re.fullmatch(pattern, name)), None)


def ase_blocks(
    path: Path, topology: md.Topology | None, chunk: int
) -> tuple[NDArray[np.int64], Iterator[FrameBlock]]:
    """Atomic numbers, and the frames in blocks of ``chunk``.

    Raises
    ------
    ImportError
        Without ASE.
    ValueError
        For damaged files, atoms that change, mixed periodicity, and dumps without elements.
    """
    frames = _frames(path, topology is None)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"path must hold at least one frame, got none in {path}")
    if topology is not None and topology.n_atoms != len(first):
        raise ValueError(
            f"top must describe the atoms of {path}, got {topology.n_atoms} atoms for frames of "
            f"{len(first)}; use the topology that the run was written with"
        )
    numbers = first.numbers.astype(np.int64)
    blocks = _blocks(path, itertools.chain([first], frames), numbers, chunk)
    return numbers if topology is None else species_of(topology), blocks


def _frames(path: Path, needs_elements: bool) -> Iterator[Any]:
    """`ase.Atoms`, frame by frame."""
    try:
        import ase.io
    except ImportError as error:
        raise ImportError(f'reading {path} needs ASE: pip install "graphkoopman[ase]"') from error
    format_name = ase_format(path)
    if format_name == "lammps-dump-text":
        header = lammps_header(path)
        # ASE would take type 1 for hydrogen
        if needs_elements and not header.names_elements:
            raise ValueError(
                f"top must be given for {path}: the dump holds atom types but no elements; pass a "
                "topology, or write the column with LAMMPS' dump_modify element"
            )
    if format_name == "extxyz":
        check_xyz(path)
    n_read = 0
    try:
        for atoms in ase.io.iread(path, index=":", format=format_name):
            yield atoms
            n_read += 1
    except Exception as error:  # each parser of ASE fails in its own way
        raise ValueError(
            f"path must be a complete, readable {format_name} file, got {path}: damaged or "
            f"truncated after frame {n_read} ({type(error).__name__}: {error}); cut it to whole "
            "frames or write it again"
        ) from error


def _blocks(
    path: Path, frames: Iterator[Any], numbers: NDArray[np.int64], chunk: int
) -> Iterator[FrameBlock]:
    n_read = 0
    while batch := list(itertools.islice(frames, chunk)):
        for frame, atoms in enumerate(batch, start=n_read):
            _check_frame(path, frame, atoms, numbers)
        periodic = {bool(atoms.pbc.all()) for atoms in batch}
        if len(periodic) > 1:
            raise ValueError(
                f"frames must be periodic throughout or not at all, got both in {path}"
            )
        cells = np.array([atoms.cell.array for atoms in batch]) if periodic == {True} else None
        yield FrameBlock(np.array([atoms.positions for atoms in batch]), cells, None)
        n_read += len(batch)


def _check_frame(path: Path, frame: int, atoms: Any, numbers: NDArray[np.int64]) -> None:
    if len(atoms) != len(numbers):
        raise ValueError(
            f"frames must hold the same atoms, got {len(atoms)} atoms in frame {frame} of {path} "
            f"and {len(numbers)} in the first; the file is truncated, or not one run"
        )
    if not np.array_equal(atoms.numbers, numbers):
        raise ValueError(
            f"frames must hold the same atoms, got other elements in frame {frame} of {path}; "
            "write the atoms in one order throughout"
        )
    if atoms.pbc.any() and not atoms.pbc.all():
        raise ValueError(
            f"frames must be periodic in all directions or none, got pbc={atoms.pbc.tolist()} in "
            f"frame {frame} of {path}; enlarge the cell with vacuum and mark it periodic throughout"
        )
