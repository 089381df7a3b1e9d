"""Splitters over lists of trajectories: folds, gaps, groups, and that nothing leaks."""

import numpy as np

from graphkoopman.model_selection import LeaveOneTrajectoryOut, SegmentKFold, SegmentShuffleSplit
from graphkoopman.trajectories import Trajectory, segments


def run(n_frames=40, seed=0):
    positions = np.random.default_rng(seed).normal(size=(n_frames, 1, 3))
    return Trajectory(positions, None, [3], timestep=1.0)


def folds(splitter, X, **kwargs):
    return [(train.tolist(), test.tolist()) for train, test in splitter.split(X, **kwargs)]


def test_segment_kfold_drops_neighbours_of_the_same_run_only():
    X = [*segments(run(), 4), *segments(run(seed=1), 2)]
    assert folds(SegmentKFold(3), X) == [
        ([3, 4, 5], [0, 1]),
        ([0, 4, 5], [2, 3]),
        ([0, 1, 2, 3], [4, 5]),
    ]
    assert folds(SegmentKFold(3, gap=0), X)[0] == ([2, 3, 4, 5], [0, 1])


def test_order_of_the_list_does_not_matter():
    X = segments(run(), 8)
    shuffled = np.random.default_rng(0).permutation(8)
    expected = [({*train}, {*test}) for train, test in folds(SegmentKFold(3), X)]
    found = [
        ({*shuffled[train]}, {*shuffled[test]})
        for train, test in folds(SegmentKFold(3), [X[i] for i in shuffled])
    ]
    assert found == expected


def test_shuffle_split_is_reproducible():
    X = segments(run(), 20)
    splitter = SegmentShuffleSplit(3, random_state=0)
    assert folds(splitter, X) == folds(splitter, X)
    assert all(len(test) == 4 for _, test in folds(splitter, X))


def test_leave_one_trajectory_out():
    X = [*segments(run(), 3), run(seed=1), run(seed=2)]
    assert LeaveOneTrajectoryOut().get_n_splits(X) == 3
    assert folds(LeaveOneTrajectoryOut(), X) == [
        ([3, 4], [0, 1, 2]),
        ([0, 1, 2, 4], [3]),
        ([0, 1, 2, 3], [4]),
    ]
