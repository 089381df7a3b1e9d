"""pymatgen's `Trajectory`, and lists of `Structure` or `Molecule`, as trajectories."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._like import TargetsLike
from graphkoopman.trajectories._mdtraj import constant_or_per_frame
from graphkoopman.trajectories._trajectory import Trajectory
from graphkoopman.trajectories.objects._registry import converter, unknown_timestep

FS_PER_PS = 1000.0
STRUCTURES = ("Structure", "IStructure", "Molecule", "IMolecule")


@converter(
    "a pymatgen Structure or Molecule",
    *(f"pymatgen.core.structure.{name}" for name in STRUCTURES),
    frames=True,
)
def from_structures(
    X: Sequence[Any], *, timestep: float | None, targets: TargetsLike
) -> Trajectory:
    """Convert a list of structures, one per frame."""
    species = _numbers(X[0].species_and_occu)
    for k, structure in enumerate(X):
        same = len(structure) == len(species)
        if not same or not np.array_equal(_numbers(structure.species_and_occu), species):
            raise ValueError(
                "frames must hold the same atoms in one order, got other elements in frame "
                f"{k} of the structures than in the first"
            )
    lattices: list[Any] = [getattr(structure, "lattice", None) for structure in X]
    periodic = {lattice is not None for lattice in lattices}
    if len(periodic) > 1:
        raise ValueError("frames must be periodic throughout or not at all, got both")
    cells = None
    if periodic == {True}:
        cells = constant_or_per_frame(np.array([lattice.matrix for lattice in lattices]))
    return Trajectory(
        np.array([structure.cart_coords for structure in X]),
        cells,
        species,
        timestep=unknown_timestep("a list of structures") if timestep is None else timestep,
        targets=targets,
    )


@converter("a pymatgen Trajectory", "pymatgen.core.trajectory.Trajectory")
def from_trajectory(X: Any, *, timestep: float | None, targets: TargetsLike) -> Trajectory:
    """Convert a trajectory, whose coordinates are fractions of its lattice and its times fs."""
    coords = np.asarray(X.coords, dtype=np.float64)
    if X.coords_are_displacement:
        coords = np.asarray(X.base_positions, dtype=np.float64) + np.cumsum(coords, axis=0)
    cell = None
    if X.lattice is not None:
        lattice = np.asarray(X.lattice, dtype=np.float64)
        cell = lattice.reshape(3, 3) if lattice.size == 9 else constant_or_per_frame(lattice)
        coords = coords @ lattice
    if timestep is None:
        in_fs = X.time_step
        timestep = (
            unknown_timestep("a pymatgen Trajectory without time_step")
            if in_fs is None
            else float(in_fs) / FS_PER_PS
        )
    return Trajectory(coords, cell, _numbers(X.species), timestep=timestep, targets=targets)


def _numbers(species: Sequence[Any]) -> NDArray[np.int64]:
    """Atomic numbers; charges of ions are dropped, mixed sites are an error."""
    numbers = []
    for site, kind in enumerate(species):
        elements = getattr(kind, "elements", [kind])  # of a Composition
        number = getattr(elements[0], "Z", None) if len(elements) == 1 else None
        whole = abs(getattr(kind, "num_atoms", 1.0) - 1.0) < 1e-8
        if number is None or not whole:
            raise ValueError(
                f"species must be one element per site, got {kind} at site {site}; choose an "
                "occupation of disordered sites, and drop dummies"
            )
        numbers.append(int(number))
    return np.array(numbers, dtype=np.int64)
