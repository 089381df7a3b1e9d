"""Formats that mdtraj reads right: h5, mmcif, arc, AMBER's restarts, dtr."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np

from graphkoopman.trajectories._times import real_times
from graphkoopman.trajectories.readers._contents import Contents, FrameBlock, Structure
from graphkoopman.trajectories.readers._identity import other_atoms
from graphkoopman.trajectories.readers._registry import reader
from graphkoopman.trajectories.readers._topology import (
    NM_TO_ANGSTROM,
    load_structure,
    topology_of,
)


@reader("mdtraj", r".*\.(pdbx|cif|mmcif|h5|hdf5|lh5|arc)")
def read_self_describing(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """Files that hold a topology."""
    own = load_structure(path, "path")
    return Contents("mdtraj", own.n_atoms, mdtraj_blocks(path, None, chunk, own.n_atoms), own.atoms)


@reader("mdtraj-top", r".*\.(rst7|restrt|inpcrd|ncrst|dtr|stk)", names_atoms=False)
def read_with_topology(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """Files that need one."""
    topology = topology_of(structure)
    blocks = mdtraj_blocks(path, topology, chunk, topology.n_atoms)
    return Contents("mdtraj-top", topology.n_atoms, blocks)


# mdtraj cannot read these in pieces
WHOLE = re.compile(r".*\.(pdbx|cif|mmcif|arc|rst7|restrt|inpcrd|ncrst)(\.gz)?")


def _pieces(path: Path, chunk: int, options: dict[str, Any]) -> Iterator[md.Trajectory]:
    if WHOLE.fullmatch(path.name.lower()):
        yield md.load(str(path), **options)
    else:
        yield from md.iterload(str(path), chunk=chunk, **options)


def mdtraj_blocks(
    path: Path, topology: md.Topology | None, chunk: int, n_atoms: int
) -> Iterator[FrameBlock]:
    """Frames in Å and ps; lengths and angles become a cell with a along x."""
    options = {} if topology is None else {"top": topology}
    try:
        for piece in _pieces(path, chunk, options):
            if piece.n_atoms != n_atoms:
                raise other_atoms(path, n_atoms, piece.n_atoms)
            cells = piece.unitcell_vectors
            cells = None if cells is None else cells.astype(np.float64) * NM_TO_ANGSTROM
            piece.xyz *= np.float32(NM_TO_ANGSTROM)
            yield FrameBlock(piece.xyz, cells, real_times(piece.time))
    except ValueError as error:
        if "must be shape" in str(error):
            raise other_atoms(path, n_atoms, None) from error
        raise
