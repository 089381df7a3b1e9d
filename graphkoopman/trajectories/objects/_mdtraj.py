"""`mdtraj.Trajectory` as a trajectory, see `Trajectory.from_mdtraj`."""

from typing import Any

from graphkoopman.trajectories._like import TargetsLike
from graphkoopman.trajectories._trajectory import Trajectory
from graphkoopman.trajectories.objects._registry import converter


@converter("an mdtraj.Trajectory", "mdtraj.core.trajectory.Trajectory")
def from_mdtraj(X: Any, *, timestep: float | None, targets: TargetsLike) -> Trajectory:
    """Convert an `mdtraj.Trajectory`."""
    return Trajectory.from_mdtraj(X, timestep=timestep, targets=targets)
