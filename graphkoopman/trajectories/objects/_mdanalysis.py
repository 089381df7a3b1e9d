"""`MDAnalysis.Universe` and `AtomGroup` as trajectories."""

from typing import Any

import numpy as np

from graphkoopman.trajectories._like import TargetsLike
from graphkoopman.trajectories._mdanalysis import atoms_of, frames_of
from graphkoopman.trajectories._mdtraj import constant_or_per_frame
from graphkoopman.trajectories._times import timestep_from_times
from graphkoopman.trajectories._trajectory import Trajectory
from graphkoopman.trajectories.objects._registry import converter, unknown_timestep
from graphkoopman.trajectories.readers._identity import identify

CHUNK = 1000


@converter("an MDAnalysis Universe", "MDAnalysis.core.universe.Universe")
def from_universe(X: Any, *, timestep: float | None, targets: TargetsLike) -> Trajectory:
    """Convert all atoms and frames; transformations of the Universe are applied."""
    atoms = atoms_of(X)
    identity = identify("the Universe", len(X.atoms), atoms, None)
    blocks = list(frames_of(X.trajectory, CHUNK))
    if len({block.cells is None for block in blocks}) > 1:
        raise ValueError("frames must be periodic throughout or not at all, got both")
    cells = None
    if blocks[0].cells is not None:
        cells = constant_or_per_frame(np.concatenate([block.cells for block in blocks]))
    if timestep is None:
        timestep = _timestep(X.trajectory, [block.times for block in blocks])
    return Trajectory(
        np.concatenate([block.positions for block in blocks]),
        cells,
        identity.species,
        timestep=timestep,
        topology=identity.topology,
        targets=targets,
    )


@converter("an MDAnalysis AtomGroup", "MDAnalysis.core.groups.AtomGroup")
def from_atom_group(X: Any, *, timestep: float | None, targets: TargetsLike) -> Trajectory:
    """Convert the Universe of a group whose atoms are the targets, one each."""
    own = X.ix.copy() if targets is None else targets
    return from_universe(X.universe, timestep=timestep, targets=own)


def _timestep(trajectory: Any, times: list[Any]) -> float:
    if times[0] is None:
        return unknown_timestep("a Universe without times")
    together = np.concatenate(times)
    if len(together) == 1:
        return float(trajectory.ts.dt)
    return timestep_from_times(together, "the Universe")
