"""Molecular dynamics trajectories: container, readers, targets and contiguous pieces.

Lengths are in Å and times in ps everywhere behind this door; mdtraj's nm are converted here.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.trajectories._basis import follow_basis
    from graphkoopman.trajectories._blocks import block_split
    from graphkoopman.trajectories._cells import (
        MissingCellWarning as MissingCellWarning,
        OtherCellWarning as OtherCellWarning,
    )
    from graphkoopman.trajectories._fractions import check_not_fractional
    from graphkoopman.trajectories._gdynet import load_gdynet_npz
    from graphkoopman.trajectories._inspect import (
        Finding,
        TrajectoryReport as TrajectoryReport,
        inspect,
    )
    from graphkoopman.trajectories._like import TargetsLike, TrajectoriesLike
    from graphkoopman.trajectories._minimum_image import minimum_image, reduce_cell
    from graphkoopman.trajectories._molecules import molecules
    from graphkoopman.trajectories._readers import read_trajectory
    from graphkoopman.trajectories._seams import (
        Seam as Seam,
        concatenate,
        find_seams,
        group_runs,
        join_runs,
    )
    from graphkoopman.trajectories._segments import adjacent_runs, join_adjacent, segments
    from graphkoopman.trajectories._source import Source
    from graphkoopman.trajectories._species import (
        is_species,
        species_label,
        species_mass,
        species_number,
    )
    from graphkoopman.trajectories._steps import LongStepWarning as LongStepWarning
    from graphkoopman.trajectories._target_split import split_targets
    from graphkoopman.trajectories._targets import (
        Targets as Targets,
        resolve_targets,
        species_labels,
    )
    from graphkoopman.trajectories._trajectory import (
        Trajectory,
        as_trajectories,
        height_limit,
        items_of,
    )
    from graphkoopman.trajectories._unwrap import (
        target_centers,
        unwrap,
        whole_centers,
        whole_targets,
    )
    from graphkoopman.trajectories._validation import check_integer
    from graphkoopman.trajectories.objects._registry import (
        UnknownTimestepWarning as UnknownTimestepWarning,
        as_trajectory,
        converter,
    )
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "TargetsLike",
    "TrajectoriesLike",
    "Trajectory",
    "as_trajectory",
    "converter",
    "find_seams",
    "inspect",
    "join_runs",
    "load_gdynet_npz",
    "molecules",
    "read_trajectory",
    "resolve_targets",
    "segments",
    "species_labels",
    "split_targets",
    "unwrap",
]
