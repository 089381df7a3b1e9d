"""Units, blocks and what their scatter shows, correlation times and quantiles."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from koopman_chains import THREE_STATE, TWO_STATE, observe, simulate
from scipy import stats
from scipy.signal import lfilter

from graphkoopman import Trajectory
from graphkoopman.koopman import FewUnitsWarning, estimate_koopman
from graphkoopman.structure import state_profile
from graphkoopman.transport import transition_displacements
from graphkoopman.uncertainty import (
    UNITS,
    Block,
    Scatter,
    block_scatter,
    check_unit,
    correlation_time,
    cut_blocks,
    effective_units,
    t_quantile,
    unit_labels,
)


def test_equal_weights_count_and_one_heavy_unit_does_not():
    assert effective_units(np.full(7, 0.3)) == pytest.approx(7.0)
    assert effective_units([1e9, 1.0, 1.0]) == pytest.approx(1.0)
    weights = np.random.default_rng(0).random((5, 3, 2))
    expected = weights.sum(0) ** 2 / (weights**2).sum(0)
    np.testing.assert_allclose(effective_units(weights), expected)
    np.testing.assert_array_equal(effective_units(np.zeros((3, 2))), [0.0, 0.0])


def test_quantiles_are_students_and_without_end_where_nothing_is_known():
    np.testing.assert_allclose(t_quantile([5, 12.5]), stats.t.ppf(0.975, [4, 11.5]))
    np.testing.assert_allclose(t_quantile(5, 0.68), stats.t.ppf(0.84, 4))
    np.testing.assert_array_equal(t_quantile([0.0, 1.0, 1.4]), np.inf)


def test_blocks_cover_every_frame_once():
    blocks = cut_blocks([100, 30, 7], 0.0, n_blocks=12)
    assert len(blocks) == 12
    for i, length in enumerate((100, 30, 7)):
        own = [block for block in blocks if block.trajectory == i]
        frames = np.concatenate([np.arange(block.start, block.stop) for block in own])
        np.testing.assert_array_equal(frames, np.arange(length))
        assert [b.follows(a) for a, b in pairwise(own)] == [True] * (len(own) - 1)
    assert max(b.n_frames for b in blocks) <= 2 * min(b.n_frames for b in blocks)
    assert len(cut_blocks([3], 0.0, n_blocks=20)) == 3
    assert len(cut_blocks([3] * 5, 0.0, n_blocks=2)) == 5


def test_pieces_of_one_run_follow_one_another():
    runs = [(0, 0), (0, 10), (0, 20), (1, 0)]
    blocks = cut_blocks([10, 10, 5, 10], 0.0, n_blocks=4, runs=runs)
    assert [b.follows(a) for a, b in pairwise(blocks)] == [True, True, False]
    apart = cut_blocks([10, 5], 0.0, n_blocks=2, runs=[(0, 0), (0, 20)])
    assert not apart[1].follows(apart[0])


@pytest.mark.parametrize(
    ("frames", "time", "lagtime", "expected"),
    [
        (100_000, 1.0, 0, 50),  # no more than fifty
        (20_000, 50.0, 0, 24),  # 2.2 t^(2/3) T^(1/3) = 810
        (500, 50.0, 0, 6),  # ten correlation times: six blocks are worth shortening them
        (100, 50.0, 0, 6),
        (1000, 2.0, 100, 6),  # at least two lags, or one where that takes six
        (300, 2.0, 100, 4),
        (3, 1.0, 1, 3),
    ],
)
def test_blocks_are_long_against_the_correlation_time(frames, time, lagtime, expected):
    assert len(cut_blocks([frames], time, lagtime=lagtime)) == expected


def series_of(n_sets, n_frames, time, seed=0):
    """Gaussian processes that forget exponentially, (n_sets, n_frames), from equilibrium."""
    rng = np.random.default_rng(seed)
    decay = np.exp(-1.0 / time)
    kicks = np.sqrt(1 - decay**2) * rng.normal(size=(n_sets, n_frames))
    kicks[:, 0] /= np.sqrt(1 - decay**2)
    return lfilter([1.0], [1.0, -decay], kicks, axis=1)


@pytest.mark.parametrize("n_times", [2, 5, 10, 50])
def test_scatter_of_blocks_of_a_short_run(n_times):
    """Share, degrees of freedom and coverage against 4000 simulated runs, down to two times."""
    time, n_sets = 40.0, 4000
    runs = series_of(n_sets, round(n_times * time), time)
    blocks = cut_blocks([runs.shape[1]], time)
    means = np.stack([runs[:, b.start : b.stop].mean(axis=1) for b in blocks], axis=1)
    weights = np.array([b.n_frames for b in blocks]) / runs.shape[1]
    mean = means @ weights
    naive = (weights**2 * (means - mean[:, None]) ** 2).sum(axis=1) * len(blocks)
    naive /= len(blocks) - 1.0
    scatter = block_scatter(blocks, time)
    # 4000 sets give the mean of a chi-square of three degrees to 1.3 %; frames are discrete
    assert naive.mean() / mean.var() == pytest.approx(scatter.share, rel=0.06)
    assert 2 * naive.mean() ** 2 / naive.var() == pytest.approx(scatter.degrees, rel=0.15)
    half = scatter.quantile() * np.sqrt(naive)
    # blocks of a third of a correlation time scatter less like a chi-square than the formula has it
    assert -0.012 < np.mean(np.abs(mean) < half) - 0.95 < (0.025 if n_times == 2 else 0.012)


def test_scatter_of_weighted_units_and_runs():
    """Unequal blocks of two runs, some taken together: against the covariance by brute force."""
    time = 15.0
    blocks = [Block(0, 0, 10, 0), Block(0, 10, 50, 0), Block(1, 0, 20, 1), Block(1, 20, 70, 1)]
    weights, labels = np.array([10.0, 80.0, 20.0, 50.0]), [0, 1, 0, 2]
    frames = np.concatenate([np.arange(b.start, b.stop, 0.05) for b in blocks])
    owner = np.repeat(np.arange(4), [round(b.n_frames / 0.05) for b in blocks])
    run = np.array([b.run for b in blocks])[owner]
    near = np.exp(-np.abs(frames[:, None] - frames) / time) * (run[:, None] == run)
    average = (owner == np.arange(4)[:, None]) / np.bincount(owner)[:, None]
    share = weights / weights.sum()
    covariance = (average @ near @ average.T) * np.outer(share, share)
    unit = np.array([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    w = unit @ share
    residual = np.eye(3) - np.outer(w, np.ones(3))
    g = residual @ (unit @ covariance @ unit.T) @ residual.T
    scatter = block_scatter(blocks, time, weights=weights, labels=labels)
    expected = np.trace(g) * 1.5 / covariance.sum()
    assert scatter.share == pytest.approx(min(expected, 1.0), rel=2e-3)
    kish = 1 / (w**2).sum() - 1
    assert scatter.degrees == pytest.approx(min(np.trace(g) ** 2 / np.sum(g * g), kish), rel=5e-3)


def test_runs_of_their_own_and_independent_copies_hide_nothing():
    runs = cut_blocks([50] * 8, 10.0, n_blocks=8)
    assert block_scatter(runs, 10.0) == Scatter(1.0, 7.0)
    whole = cut_blocks([50], 10.0, n_blocks=1)
    assert block_scatter(whole, 10.0, n_copies=30).share == 1.0
    assert block_scatter(whole, 10.0, n_copies=30).degrees == pytest.approx(29.0)
    assert block_scatter(whole, 10.0).degrees == 0.0


def test_correlation_time_is_the_slowest_timescale():
    probs = observe(simulate(THREE_STATE, 3000, 6, seed=1), 3, noise=0.1)
    assert correlation_time([probs]) == pytest.approx(24.5, rel=0.3)
    # Blurred over frames, the states are not Markovian and K sees too fast a decay; not so here.
    weights = np.random.default_rng(0).uniform(0.3, 1.0, size=probs.shape[:2])[..., None]
    blurred = weights * probs + (1 - weights) / 3
    assert correlation_time([blurred]) > 1.5 * estimate_koopman(blurred, 1).timescales()[0]


def test_correlation_time_of_what_does_not_move():
    assert correlation_time([np.ones((20, 3, 1))]) == 0.0
    frozen = np.eye(2)[np.tile([0, 1, 1], (20, 1))]
    assert correlation_time([frozen], with_static=True) == 200.0
    # a fixed property of targets beside a process: sums over targets only know the process
    moving = simulate(TWO_STATE, 2000, 3, seed=1)
    states = np.concatenate([moving, np.full_like(moving, 2)], axis=1)
    assert correlation_time([np.eye(3)[states]]) == pytest.approx(12.0, rel=0.3)
    assert correlation_time([np.eye(3)[states]], with_static=True) == 20_000.0
    assert correlation_time([frozen]) == 0.0


def test_vocabulary():
    assert check_unit("auto") == ("blocks", None)
    assert check_unit("chunks") == ("chunks", 4)
    assert check_unit(np.int64(7)) == ("chunks", 7)
    with pytest.raises(ValueError, match=r"unit must be a number of chunks or one of .*'auto'"):
        check_unit("block")
    with pytest.raises(ValueError, match=r"unit must be one of \('auto', 'blocks'\), got 3"):
        check_unit(3, ("auto", "blocks"))


def test_labels():
    blocks = cut_blocks([4, 2], 0.0, n_blocks=3)
    expected = {
        "trajectories": [[0, 0], [0, 0], [1, 1]],
        "blocks": [[0, 0], [1, 1], [2, 2]],
        "targets": [[0, 1], [0, 1], [0, 1]],
        "trajectories+targets": [[0, 1], [0, 1], [2, 3]],
        "blocks+targets": [[0, 1], [2, 3], [4, 5]],
    }
    for name, labels in expected.items():
        found = [label.tolist() for label in unit_labels(name, blocks, [2, 2])]
        assert found == labels


def test_one_unit_means_the_same_in_every_package():
    """Two runs of three targets: as many units of each kind, whoever counts them."""
    rng = np.random.default_rng(0)
    states = [simulate(TWO_STATE, 600, 3, seed=seed) for seed in (0, 1)]
    probs = [np.eye(2)[s] for s in states]
    runs = [
        Trajectory(
            rng.uniform(0, 5, (3, 3)) + rng.normal(0, 0.1, (600, 3, 3)),
            5 * np.eye(3),
            [3, 3, 3],
            timestep=1.0,
        )
        for _ in states
    ]
    counts = {}
    for unit in [u for u in UNITS if u != "chunks"]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewUnitsWarning)
            model = estimate_koopman(probs, 1, n_bootstrap=2, unit=unit)
        moved = transition_displacements(runs, probs, "element Li", 1, unit=unit)
        assert moved.n_units == model.n_units
        assert moved.unit == model.unit
        counts[unit] = model.n_units
    assert counts["trajectories"] == 2
    assert counts["targets"] == 3
    assert counts["trajectories+targets"] == 6
    assert counts["blocks+targets"] == 3 * counts["blocks"]
    assert counts["auto"] == counts["blocks"]
    profile = state_profile(runs, probs, "element Li", axis="c", n_bins=2)
    assert profile.n_blocks == counts["blocks"]
    by_run = state_profile(runs, probs, "element Li", axis="c", n_bins=2, unit="trajectories")
    assert by_run.n_blocks == 2
