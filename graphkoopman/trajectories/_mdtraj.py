"""Between mdtraj's containers and arrays: elements, cells and their orientation."""

from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._species import N_ELEMENTS, species_label


def check_elements(topology: md.Topology | None, species: NDArray[np.int64] | None = None) -> None:
    """Raise unless there is a topology, and, with species, all of its atoms have one."""
    if topology is None:
        raise ValueError(
            "topology must be present to know the elements, got None; "
            "build a Trajectory from positions, cell and species instead"
        )
    if species is not None and 0 in species:
        atom = topology.atom(int(np.argmin(species)))
        raise ValueError(
            f"topology must know the element of every atom, got none for atom {atom.index} "
            f"({atom}); set its element, or drop virtual sites with atom_slice"
        )


def constant_or_per_frame(cells: Any, scale: float = 1.0) -> NDArray[np.float64] | None:
    """Cells of shape (n_frames, 3, 3), times a scale, as (3, 3) where they never change.

    None and cells that are zero throughout are the two ways formats spell "not periodic".
    """
    if cells is None or not np.any(cells):
        return None
    cells = np.asarray(cells, dtype=np.float64)
    if np.array_equal(cells, np.broadcast_to(cells[0], cells.shape)):
        return cells[0] * scale
    return cells * scale


def make_topology(species: NDArray[np.int64]) -> md.Topology:
    """A topology without chemistry: one residue, named by its element, per atom."""
    topology = md.Topology()
    chain = topology.add_chain()
    for number in species.tolist():
        label = species_label(number) if number else "X"
        is_element = 0 < number <= N_ELEMENTS
        # what is no element is a virtual site to mdtraj
        element = md.element.Element.getByAtomicNumber(number) if is_element else md.element.virtual
        topology.add_atom(label, element, topology.add_residue(label.upper(), chain))
    return topology


def standard_orientation(
    positions: NDArray[np.floating], cell: NDArray[np.float64] | None
) -> tuple[NDArray[np.floating], NDArray[np.float64] | None]:
    """Rotate positions and cell so that a points along x and b lies in the xy plane."""
    if cell is None or not np.any(np.triu(cell, 1)):
        return positions, cell
    # cell = lower @ rotation.T, from the QR decomposition of the transpose
    rotation, upper = np.linalg.qr(np.swapaxes(cell, -1, -2))
    signs = np.sign(np.diagonal(upper, axis1=-2, axis2=-1))
    rotation = rotation * signs[..., None, :]
    lower = np.tril(cell @ rotation)
    return positions @ rotation, lower
