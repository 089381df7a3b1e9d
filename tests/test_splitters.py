"""Splitters over lists of trajectories: folds, gaps, groups, and that nothing leaks."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn import config_context
from sklearn.model_selection import KFold, ShuffleSplit, cross_validate
from small_fits import make_pipe

from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.estimator import check_gap
from graphkoopman.estimator._gap import frame_ranges
from graphkoopman.model_selection import (
    LeaveOneTrajectoryOut,
    SegmentKFold,
    SegmentShuffleSplit,
    TargetKFold,
)
from graphkoopman.trajectories import Trajectory, join_adjacent, segments, split_targets


def run(n_frames=40, seed=0, n_atoms=1, parent=None):
    positions = np.random.default_rng(seed).normal(size=(n_frames, n_atoms, 3))
    return Trajectory(
        positions, None, [3] * n_atoms, timestep=1.0, targets="element Li", parent=parent
    )


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
    for seeded in (lambda: np.random.RandomState(1), lambda: np.random.default_rng(1)):
        first, second = (folds(SegmentShuffleSplit(3, random_state=seeded()), X) for _ in range(2))
        assert first == second


def test_groups_stay_together():
    X = [run(seed=i) for i in range(6)]
    groups = ["a", "b", "c", "a", "b", "c"]
    expected = [([1, 2, 4, 5], [0, 3]), ([0, 2, 3, 5], [1, 4]), ([0, 1, 3, 4], [2, 5])]
    assert folds(SegmentKFold(3), X, groups=groups) == expected
    assert folds(LeaveOneTrajectoryOut(), X, groups=groups) == expected
    assert LeaveOneTrajectoryOut().get_n_splits(X, groups=groups) == 3
    for train, test in SegmentShuffleSplit(5, random_state=0).split(X, groups=groups):
        assert not {groups[i] for i in train} & {groups[i] for i in test}


def test_a_group_that_cuts_a_run_keeps_the_gap():
    X = segments(run(), 6)
    groups = [0, 0, 0, 1, 1, 1]
    assert folds(LeaveOneTrajectoryOut(), X, groups=groups) == [
        ([4, 5], [0, 1, 2]),
        ([0, 1], [3, 4, 5]),
    ]


def test_groups_reach_the_splitter_by_metadata_routing():
    with config_context(enable_metadata_routing=True):
        request = SegmentKFold(3).get_metadata_routing()
        assert request.consumes("split", ["groups"]) == {"groups"}


def test_targets_instead_of_time():
    runs = [run(seed=i, n_atoms=7) for i in range(2)]
    shares = [share for one in runs for share in split_targets(one, 3)]
    taken = [np.ravel(share.targets).tolist() for share in shares[:3]]
    assert taken == [[0, 3, 6], [1, 4], [2, 5]]
    assert len({share.parent for share in shares}) == 6
    assert [(train, test) for train, test in folds(TargetKFold(3), shares)] == [
        ([1, 2, 4, 5], [0, 3]),
        ([0, 2, 3, 5], [1, 4]),
        ([0, 1, 3, 4], [2, 5]),
    ]
    # pieces in time of one share are on one side as well
    pieces = [piece for share in shares[:3] for piece in segments(share, 2)]
    assert folds(TargetKFold(3), pieces)[0] == ([2, 3, 4, 5], [0, 1])
    graphs = GraphFeaturizer(n_neighbors=2, n_hops=1).transform(shares)
    assert folds(TargetKFold(3), graphs) == folds(TargetKFold(3), shares)


def test_target_sets_that_overlap_are_refused():
    one = run(n_atoms=6)
    with pytest.raises(ValueError, match="same targets or none in common, got atom 0"):
        folds(TargetKFold(2), [*split_targets(one, 2), *split_targets(run(seed=1, n_atoms=6), 3)])
    with pytest.raises(ValueError, match=r"n must not exceed the number of targets .6., got 7"):
        split_targets(one, 7)


def test_leave_one_trajectory_out():
    X = [*segments(run(), 3), run(seed=1), run(seed=2)]
    assert LeaveOneTrajectoryOut().get_n_splits(X) == 3
    assert folds(LeaveOneTrajectoryOut(), X) == [
        ([3, 4], [0, 1, 2]),
        ([0, 1, 2, 4], [3]),
        ([0, 1, 2, 3], [4]),
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SegmentKFold(1), "n_splits must be an integer >= 2, got 1"),
        (lambda: SegmentKFold(3, gap=-1), "gap must be an integer >= 0, got -1"),
        (lambda: SegmentShuffleSplit(0), "n_splits must be an integer >= 1, got 0"),
        (lambda: SegmentShuffleSplit(test_size=1.0), "test_size must be between 0 and 1, got 1.0"),
        (lambda: folds(SegmentKFold(3), [run()]), "n_splits must not exceed .* .1., got 3"),
        (lambda: folds(SegmentKFold(2), []), "at least one trajectory, got an empty list"),
        (lambda: folds(SegmentKFold(2), segments(run(), 2)), "2 of which 1 .* 1 lie within gap=1"),
        (lambda: folds(SegmentKFold(2), segments(run(), 4), groups=[0, 1]), "one label per"),
        (
            lambda: folds(SegmentKFold(2), [*segments(run(), 2), *segments(run(), 4)]),
            "pieces of one run must not overlap in time",
        ),
        (lambda: folds(LeaveOneTrajectoryOut(), segments(run(), 3)), "two runs or groups"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_one_trajectory_cannot_be_split():
    with pytest.raises(TypeError, match="cut a single trajectory with segments"):
        folds(SegmentKFold(2), run())


# --- nothing leaks -------------------------------------------------------------------------------


def leaks(train, test, lagtime):
    """Whether a lagged pair of training frames comes within a lag of a test frame of its run.

    Frame by frame, as slowly and plainly as can be; knows nothing of gaps or segments.
    """
    test_frames = [{*range(p.start, p.start + len(p))} for p in test]
    for piece in join_adjacent(train):
        frames = range(piece.start, piece.start + len(piece))
        in_pairs = {f for t in frames if t + lagtime in frames for f in (t, t + lagtime)}
        for other, frames_of_test in zip(test, test_frames, strict=True):
            if piece.parent is None or piece.parent != other.parent:
                continue
            near = {f + d for f in in_pairs for d in range(-lagtime, lagtime + 1)}
            if near & frames_of_test:
                return True
    return False


def scored(train, test, lagtime):
    """Whether an estimator of this lag, fitted on the training pieces, scores the test pieces."""
    fitted = SimpleNamespace(lagtime=lagtime, training_frames_=frame_ranges(join_adjacent(train)))
    try:
        check_gap(fitted, test)
    except ValueError:
        return False
    return True


@st.composite
def lists_of_pieces(draw):
    """Runs of random lengths, some whole, some cut, in any order."""
    X = []
    for i in range(draw(st.integers(1, 3))):
        one = run(draw(st.integers(12, 60)), i, parent=f"run {i}" if draw(st.booleans()) else None)
        n = draw(st.integers(1, 8))
        X += segments(one, n) if n > 1 else [one]
    return draw(st.permutations(X))


@st.composite
def splitters(draw):
    gap = draw(st.integers(0, 3))
    seed = draw(st.integers(0, 99))
    return draw(
        st.sampled_from(
            [
                SegmentKFold(draw(st.integers(2, 4)), gap=gap),
                SegmentShuffleSplit(3, test_size=0.3, gap=gap, random_state=seed),
                LeaveOneTrajectoryOut(gap=gap),
            ]
        )
    )


def splits(splitter, X, groups=None):
    """Folds as lists of pieces; none where there are too few pieces, which has its own tests."""
    try:
        indices = list(splitter.split(X, groups=groups))
    except ValueError as error:
        if "cut more segments" in str(error) or "cut it with segments" in str(error):
            return []
        raise
    return [([X[i] for i in train], [X[i] for i in test]) for train, test in indices]


def assert_partition_of_sides(train, test, X):
    """No piece is on both sides, and none came from elsewhere."""
    assert {id(p) for p in train}.isdisjoint({id(p) for p in test})
    assert {id(p) for p in [*train, *test]} <= {id(p) for p in X}
    assert train
    assert test


def assert_no_leak(splitter, X, lagtime, groups=None):
    """What every splitter promises: a gap that is long enough, or an estimator that refuses."""
    for train, test in splits(splitter, X, groups):
        assert_partition_of_sides(train, test, X)
        shortest = min(len(piece) for piece in X)
        if splitter.gap * shortest >= lagtime:
            assert not leaks(train, test, lagtime), "gap of enough frames, and yet a leak"
            assert scored(train, test, lagtime), "no leak, but the estimator refuses"
        elif leaks(train, test, lagtime):
            assert not scored(train, test, lagtime), "leak that the estimator does not see"


@given(splitters(), lists_of_pieces(), st.integers(1, 12), st.randoms(use_true_random=False))
@settings(max_examples=400)
def test_no_training_pair_comes_within_a_lag_of_the_test(splitter, X, lagtime, random):
    assert_no_leak(splitter, X, lagtime)
    groups = [random.randrange(4) for _ in X]
    assert_no_leak(splitter, X, lagtime, groups)


@given(lists_of_pieces(), st.integers(1, 12), st.integers(0, 99))
@settings(max_examples=200)
def test_estimator_refuses_leaks_of_any_splitter(X, lagtime, seed):
    if len(X) < 2:
        return
    for splitter in (KFold(2, shuffle=True, random_state=seed), ShuffleSplit(2, random_state=seed)):
        for train, test in splits(splitter, X):
            assert not (leaks(train, test, lagtime) and scored(train, test, lagtime))


@given(st.integers(3, 9), st.integers(1, 3), st.integers(2, 3), st.integers(1, 4))
@settings(max_examples=100)
def test_no_target_is_on_both_sides_of_a_fold_of_targets(n_atoms, n_runs, n_splits, n_pieces):
    runs = [run(n_atoms=n_atoms, seed=i) for i in range(n_runs)]
    shares = [share for one in runs for share in split_targets(one, 3)]
    X = [piece for share in shares for piece in segments(share, n_pieces)]
    n_tested = 0
    for sides in splits(TargetKFold(n_splits), X):
        train, test = (
            {int(atom) for piece in side for atom in np.ravel(piece.targets)} for side in sides
        )
        assert train
        assert not train & test
        n_tested += len(sides[1])
    assert n_tested == len(X)


class NoGap(SegmentKFold):
    """Claims a gap and keeps none."""

    def split(self, X, y=None, groups=None):
        return SegmentKFold(self.n_splits, gap=0).split(X, y, groups)


class GapOnOneSide(SegmentKFold):
    """Drops the pieces before the test, and none after it."""

    def split(self, X, y=None, groups=None):
        for train, test in super().split(X, y, groups):
            yield np.union1d(train, np.setdiff1d([test[-1] + 1], np.r_[test, len(X)])), test


class TrainsOnTest(SegmentKFold):
    """Leaves a test piece among the training pieces."""

    def split(self, X, y=None, groups=None):
        for train, test in super().split(X, y, groups):
            yield np.union1d(train, test[:1]), test


@pytest.mark.parametrize("broken", [NoGap, GapOnOneSide, TrainsOnTest])
def test_the_leak_test_catches_broken_splitters(broken):
    X = segments(run(48), 8)
    assert_no_leak(SegmentKFold(3, gap=1), X, lagtime=5)
    with pytest.raises(AssertionError):
        assert_no_leak(broken(3, gap=1), X, lagtime=5)


def test_the_leak_test_catches_an_estimator_that_looks_away(monkeypatch):
    monkeypatch.setattr("test_splitters.check_gap", lambda *args: None)
    with pytest.raises(AssertionError, match="leak that the estimator does not see"):
        assert_no_leak(SegmentKFold(3, gap=0), segments(run(48), 8), lagtime=5)


# --- with a fitted estimator ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def hopping():
    return make_hopping(chain_rates(2, slowest=20.0), 480, random_state=0).trajectory


# scores at other lags on the same data, in this test and in those before, are on purpose
@pytest.mark.filterwarnings("ignore::graphkoopman.model_selection.MixedLagWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_gap_shorter_than_the_lag_is_an_error(hopping, tmp_path):
    X = segments(hopping, 24)  # of 20 frames
    fitted = make_pipe(lagtime=20).fit(X[:12])
    assert fitted[-1].training_frames_ == [(X[0].parent, 0, 240)]
    assert fitted.score(X[13:]) > 1.0
    assert fitted.score(X[:12]) > 1.0  # a training score
    assert fitted.score([hopping]) > 1.0  # not known to be of the same run
    with pytest.raises(ValueError, match=r"lagtime=20 frames away .* only 0 frames away from"):
        fitted.score(X[12:])
    with pytest.raises(ValueError, match="frames 220-480 of a run that overlap"):
        fitted.score(X[11:])
    fitted[-1].save(tmp_path / "model.safetensors")
    loaded = GDyNetEstimator.load(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="frames 220-480 of a run that overlap"):
        loaded.score(fitted[0].transform(X[11:]))
    with pytest.raises(ValueError, match=r"SegmentKFold\(gap=...\)"):
        cross_validate(make_pipe(lagtime=21), X, cv=SegmentKFold(2, gap=1), error_score="raise")
    scores = cross_validate(
        make_pipe(lagtime=20), X, cv=SegmentKFold(2, gap=1), return_train_score=True
    )
    assert np.isfinite([scores["test_score"], scores["train_score"]]).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_no_pair_is_lost_or_invented(hopping):
    X = segments(hopping, 6)
    train, _ = next(iter(SegmentKFold(3, gap=1).split(X)))
    fitted = make_pipe(lagtime=3).fit([X[i] for i in train])
    lengths = [len(piece) for piece in join_adjacent([X[i] for i in train])]
    n_targets = len(np.atleast_1d(fitted[0].transform(X[:1])[0].target_offsets)) - 1
    assert fitted[-1].model_.moments.n_pairs == n_targets * sum(n - 3 for n in lengths)
