"""`ase.Atoms`, lists of them and `ase.io.Trajectory` as trajectories."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._like import TargetsLike
from graphkoopman.trajectories._mdtraj import constant_or_per_frame
from graphkoopman.trajectories._trajectory import Trajectory
from graphkoopman.trajectories.objects._registry import converter, unknown_timestep


@converter("an ase.io.Trajectory", "ase.io.trajectory.TrajectoryReader")
def from_ase_file(X: Any, *, timestep: float | None, targets: TargetsLike) -> Trajectory:
    """Convert an open file of ASE."""
    return from_atoms([X[i] for i in range(len(X))], timestep=timestep, targets=targets)


@converter("ase.Atoms", "ase.atoms.Atoms", frames=True)
def from_atoms(X: Sequence[Any], *, timestep: float | None, targets: TargetsLike) -> Trajectory:
    """Convert a list of `ase.Atoms`, one per frame, in Å."""
    first = X[0].numbers
    for k, atoms in enumerate(X):
        if not np.array_equal(atoms.numbers, first):
            raise ValueError(
                "frames must hold the same atoms in one order, got other elements in frame "
                f"{k} of the ase.Atoms than in the first"
            )
    return Trajectory(
        np.array([atoms.positions for atoms in X]),
        _cells(X),
        first.astype(np.int64),
        timestep=unknown_timestep("a list of ase.Atoms") if timestep is None else timestep,
        targets=targets,
    )


def _cells(X: Sequence[Any]) -> NDArray[np.float64] | None:
    periodic = np.array([atoms.pbc for atoms in X])
    if not periodic.any():
        return None
    if not periodic.all():
        frame = int(np.argmin(periodic.all(axis=1)))
        raise ValueError(
            "frames must be periodic in all directions or none, throughout, got "
            f"pbc={periodic[frame].tolist()} in frame {frame} of the ase.Atoms; enlarge the cell "
            "with vacuum and mark it periodic with atoms.pbc = True"
        )
    return constant_or_per_frame(np.array([atoms.cell.array for atoms in X]))
