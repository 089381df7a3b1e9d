"""AMBER's mdcrd: positions by mdtraj; lengths of the file, angles of the topology."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mdtraj.formats import MDCRDTrajectoryFile

from graphkoopman.trajectories.readers._contents import Contents, FrameBlock, Structure
from graphkoopman.trajectories.readers._registry import reader
from graphkoopman.trajectories.readers._topology import topology_of


@reader("mdcrd", r".*\.(mdcrd|crd|trj)", names_atoms=False, holds_times=False)
def read_mdcrd(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """A truncated octahedron is three lengths here: its angles are in the topology alone."""
    n_atoms = topology_of(structure).n_atoms
    cell = None if structure is None else structure.cell
    blocks = _blocks(path, n_atoms, cell, chunk)
    return Contents("mdcrd", n_atoms, blocks, angles_assumed=cell is None)


def _blocks(path: Path, n_atoms: int, cell: np.ndarray | None, chunk: int) -> Iterator[FrameBlock]:
    # rows of length one, of the cell that the topology has
    shape = np.eye(3) if cell is None else cell / np.linalg.norm(cell, axis=1)[:, None]
    with MDCRDTrajectoryFile(str(path), n_atoms) as file:
        while True:
            positions, lengths = file.read(chunk)
            if len(positions) == 0:
                return
            cells = None if lengths is None else lengths.astype(np.float64)[:, :, None] * shape
            yield FrameBlock(positions, cells)
