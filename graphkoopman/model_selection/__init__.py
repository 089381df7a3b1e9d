"""Lag-safe cross-validation over lists of trajectories."""

from graphkoopman.model_selection._cross_val import cross_val_transform
from graphkoopman.model_selection._splitters import (
    LeaveOneTrajectoryOut,
    SegmentKFold,
    SegmentShuffleSplit,
    TargetKFold,
)

__all__ = [
    "LeaveOneTrajectoryOut",
    "SegmentKFold",
    "SegmentShuffleSplit",
    "TargetKFold",
    "cross_val_transform",
]
