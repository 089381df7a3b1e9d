"""Residence times of processes whose residence is known, censored at both edges."""

import numpy as np
import pytest

from graphkoopman.transport import UnvisitedStateWarning, residence_times

TIMESTEP = 0.2


def two_state_labels(mean_times, n_frames, n_targets, rng):
    """Labels of a process that leaves state i within a frame with 1 - exp(-Δt/t_i)."""
    leave = 1 - np.exp(-TIMESTEP / np.asarray(mean_times))
    labels = np.empty((n_frames, n_targets), dtype=int)
    labels[0] = rng.random(n_targets) < leave[0] / leave.sum()
    for t in range(1, n_frames):
        moves = rng.random(n_targets) < leave[labels[t - 1]]
        labels[t] = np.where(moves, 1 - labels[t - 1], labels[t - 1])
    return labels


def test_short_windows_leave_no_bias():
    # runs are as long as the slow state's residence: half of its visits are cut
    rng = np.random.default_rng(0)
    labels = [two_state_labels([10.0, 2.0], 50, 100, rng) for _ in range(20)]
    result = residence_times(labels, timestep=TIMESTEP)
    completed = result.n_exits / (result.n_exits + result.n_censored)
    assert completed[0] < 0.6
    # about 1500 exits: 2.6 % standard error
    np.testing.assert_allclose(result.mean, [10.0, 2.0], rtol=0.09)
    for mean, (low, high) in zip([10.0, 2.0], result.mean_interval, strict=True):
        assert low < mean < high


def test_intervals_cover():
    rng = np.random.default_rng(1)
    hits = []
    for _ in range(200):
        result = residence_times(two_state_labels([5.0, 3.0], 200, 2, rng), timestep=TIMESTEP)
        hits.append((result.mean_interval[:, 0] < [5, 3]) & (result.mean_interval[:, 1] > [5, 3]))
    # exact limits are conservative; binomial standard error 0.011
    assert 0.92 < np.mean(hits) <= 1.0


def test_survival_is_exponential_and_handles_the_last_frames():
    rng = np.random.default_rng(2)
    labels = [two_state_labels([4.0, 4.0], 60, 200, rng) for _ in range(10)]
    result = residence_times(labels, timestep=TIMESTEP, n_times=25)
    np.testing.assert_allclose(result.times, np.arange(25) * TIMESTEP)
    # about 2500 visits begin: 1 % standard error at most, and neighbouring ages go together
    expected = np.broadcast_to(np.exp(-result.times / 4.0), (2, 25))
    np.testing.assert_allclose(result.survival, expected, atol=0.03)
    low, high = result.survival_interval[..., 0], result.survival_interval[..., 1]
    assert ((low <= result.survival) & (result.survival <= high)).all()
    assert (high - low)[:, 1:].max() < 0.06


def test_survival_counts_a_small_case_by_hand():
    # visits that begin inside: 1 for 2 frames, 0 for 3, 1 for 1, 0 for at least 2 (cut)
    result = residence_times([0, 1, 1, 0, 0, 0, 1, 0, 0], timestep=1.0)
    np.testing.assert_array_equal(result.n_exits, [2, 2])
    np.testing.assert_array_equal(result.n_censored, [1, 0])
    # of state 0: one visit of 3, one known to have outlived 1
    np.testing.assert_allclose(result.survival[0], [1.0, 1.0, 1.0, 0.0])
    np.testing.assert_allclose(result.survival[1][:3], [1.0, 0.5, 0.0])
    # five frames of state 0 have a next one, two of them leave
    np.testing.assert_allclose(result.mean, [-1 / np.log(1 - 2 / 5), -1 / np.log(1 - 2 / 3)])


def test_probabilities_are_labels_of_the_most_probable_state():
    rng = np.random.default_rng(3)
    labels = two_state_labels([2.0, 1.0], 100, 5, rng)
    probs = np.eye(2, dtype=np.float32)[labels] * 0.6 + 0.2
    first = residence_times(probs, timestep=TIMESTEP)
    second = residence_times([labels], timestep=TIMESTEP)
    np.testing.assert_allclose(first.mean, second.mean)
    np.testing.assert_allclose(first.survival, second.survival)


def test_a_state_that_is_never_left_has_a_lower_limit():
    result = residence_times(np.zeros((100, 3), dtype=int), timestep=1.0)
    assert result.mean[0] == np.inf
    low, high = result.mean_interval[0]
    # 0.975 quantile of no exit in 297 frames: 1 - 0.025^(1/297) per frame
    np.testing.assert_allclose(low, -297 / np.log(0.025), rtol=1e-3)
    assert high == np.inf


def test_unvisited_states_are_named():
    with pytest.warns(UnvisitedStateWarning, match=r"states \[2\] are never visited"):
        result = residence_times([0, 1, 0, 1, 1, 0], timestep=1.0, n_states=3)
    assert np.isnan(result.mean[2])
    np.testing.assert_array_equal(result.mean_interval[2], [0.0, np.inf])


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ([0, 1], {"timestep": 0.0}, "timestep must be a positive number"),
        (np.ones((5, 2)), {"timestep": 1.0}, "probs_or_labels must be float probabilities"),
        (np.ones((5, 2, 2)), {"timestep": 1.0}, "sum to one"),
        ([0, -1], {"timestep": 1.0}, "labels from -1 to 0"),
        ([0, 2], {"timestep": 1.0, "n_states": 2}, "states from 0 to n_states - 1 = 1"),
        ([0, 1], {"timestep": 1.0, "n_times": 0}, "n_times must be"),
        ([], {"timestep": 1.0}, "probs_or_labels must be"),
    ],
)
def test_residence_errors(data, options, message):
    with pytest.raises(ValueError, match=message):
        residence_times(data, **options)


def test_a_core_ignores_what_turns_back_at_the_border():
    rng = np.random.default_rng(0)
    states = np.repeat(rng.permutation(np.arange(400) % 2), 25).reshape(-1, 20, order="F")
    # what the network says flickers around one half in one frame of ten
    probs = np.where(states[..., None] == np.arange(2), 0.95, 0.05)
    unsure = rng.random(states.shape) < 0.1
    probs[unsure] = rng.permuted(np.full((unsure.sum(), 2), [0.45, 0.55]), axis=1)
    crisp = residence_times(np.eye(2)[states], timestep=1.0)
    plain = residence_times(probs, timestep=1.0)
    cores = residence_times(probs, timestep=1.0, core=0.8)
    assert plain.mean.max() < 0.6 * crisp.mean.min()
    np.testing.assert_allclose(cores.mean, crisp.mean, rtol=0.05)
    np.testing.assert_array_equal(cores.transitions.sum(axis=1), cores.n_exits)
    assert cores.core == 0.8
    for wrong in (0.5, 1.1):
        with pytest.raises(ValueError, match="core must be"):
            residence_times(probs, timestep=1.0, core=wrong)
    with pytest.raises(ValueError, match="core needs probabilities"):
        residence_times(states, timestep=1.0, core=0.8)


def test_pairs_without_a_way_that_was_seen_have_least_times():
    # 0 and 1 exchange, 2 is left for 0 once: nobody goes to 2
    paths = [[0, 0, 1, 1, 0, 0], [2, 2, 2, 0, 0, 0]]
    least = residence_times(np.array(paths).T, timestep=0.5).least_times()
    # of 0 and 1, seven frames have a next one
    np.testing.assert_allclose(least[:2, 2], 0.5 * 7 / np.log(20.0))
    assert np.isnan(least[:2, :2]).all()
    # 2 reaches 1 by 0, though no target went all the way
    assert np.isnan(least[2]).all()
    with pytest.warns(UnvisitedStateWarning):
        nothing = residence_times([0, 0, 0], timestep=1.0, n_states=2).least_times()
    np.testing.assert_allclose(nothing[0, 1], 2.0 / np.log(20.0))
    assert nothing[1, 0] == 0.0


@pytest.mark.filterwarnings("ignore::graphkoopman.transport.UnvisitedStateWarning")
def test_least_times_are_below_the_truth_in_95_of_100_cases():
    # as long as the limit is worst: the truth is at most what 3.1 of its own length leave unseen
    rng = np.random.default_rng(5)
    mean, wrong = 100.0, 0
    n_frames = round(1.05 * np.log(20.0) * mean / TIMESTEP)
    for _ in range(600):
        left = rng.random(n_frames) < -np.expm1(-TIMESTEP / mean)
        path = (np.cumsum(left) > 0).astype(int)
        if not path[0] and not path.any():
            least = residence_times(path, timestep=TIMESTEP, n_states=2).least_times()[0, 1]
            wrong += least > mean
    # binomial standard error 0.009
    assert wrong / 600 < 0.05 + 3 * 0.009
    assert wrong > 0
