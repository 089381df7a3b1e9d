"""Lag-safe cross-validation over lists of trajectories."""

from graphkoopman.model_selection._splitters import (
    LeaveOneTrajectoryOut,
    SegmentKFold,
    SegmentShuffleSplit,
)

__all__ = ["LeaveOneTrajectoryOut", "SegmentKFold", "SegmentShuffleSplit"]
