"""What users may pass for trajectories and for targets, as types.

Public: :data:`TrajectoriesLike`, :data:`TargetsLike`. They are for type checkers; mdtraj, ASE and
MDAnalysis are not imported for them.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import mdtraj as md
    from ase import Atoms
    from MDAnalysis import AtomGroup, Universe
    from numpy.typing import ArrayLike

    from graphkoopman.trajectories._targets import Targets
    from graphkoopman.trajectories._trajectory import Trajectory

    TrajectoryLike: TypeAlias = Trajectory | md.Trajectory | Universe | AtomGroup | Sequence[Atoms]
    TrajectoriesLike: TypeAlias = TrajectoryLike | Collection[TrajectoryLike]
    TargetsLike: TypeAlias = (
        str | ArrayLike | Sequence[ArrayLike] | Callable[[md.Topology], ArrayLike] | Targets | None
    )
else:
    TrajectoryLike = TrajectoriesLike = TargetsLike = Any
