"""Lagged moments of state probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from graphkoopman import probabilities
from graphkoopman.koopman import SkippedTrajectoryWarning, lagged_moments


def direct(arrays, lagtime):
    chi_0 = np.concatenate([a[:-lagtime].reshape(-1, a.shape[-1]) for a in arrays])
    chi_t = np.concatenate([a[lagtime:].reshape(-1, a.shape[-1]) for a in arrays])
    n = len(chi_0)
    return chi_0.T @ chi_0 / n, chi_0.T @ chi_t / n, chi_t.T @ chi_t / n


@given(
    n_frames=st.lists(st.integers(8, 40), min_size=1, max_size=3),
    n_targets=st.integers(1, 4),
    lagtime=st.integers(1, 7),
    part_bytes=st.sampled_from([1, 300, 10**6]),
)
@settings(max_examples=40, deadline=None)
def test_moments_equal_the_direct_formula_in_blocks_of_any_size(
    n_frames, n_targets, lagtime, part_bytes
):
    rng = np.random.default_rng(0)
    arrays = [rng.dirichlet(np.ones(3), size=(n, n_targets)) for n in n_frames]
    original = probabilities.PART_BYTES
    probabilities.PART_BYTES = part_bytes
    try:
        moments = lagged_moments(arrays, lagtime)
    finally:
        probabilities.PART_BYTES = original
    found = moments.c00, moments.c0t, moments.ctt
    for matrix, expected in zip(found, direct(arrays, lagtime), strict=True):
        np.testing.assert_allclose(matrix, expected, rtol=1e-12, atol=1e-15)
    rows = np.concatenate([a.reshape(-1, 3) for a in arrays])
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-12)
    assert moments.n_pairs == sum((n - lagtime) * n_targets for n in n_frames)
    np.testing.assert_allclose(moments.mean_0, moments.c0t.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(moments.mean_t, moments.c0t.sum(axis=0), rtol=1e-12)


def test_one_array_and_one_target_are_accepted():
    probs = np.random.default_rng(1).dirichlet(np.ones(2), size=20)
    two_dimensional = lagged_moments(probs, 3)
    three_dimensional = lagged_moments([probs[:, None]], 3)
    np.testing.assert_array_equal(two_dimensional.c0t, three_dimensional.c0t)


def test_float32_rows_are_normalised_in_float64():
    probs = np.random.default_rng(2).dirichlet(np.ones(4), size=(50, 3)).astype(np.float32)
    moments = lagged_moments(probs, 1)
    assert moments.c00.dtype == np.float64
    # Float32 row sums alone would leave 1e-7.
    np.testing.assert_allclose(moments.c00.sum(), 1.0, rtol=1e-14)


def test_input_is_not_changed():
    probs = np.random.default_rng(2).dirichlet(np.ones(2), size=20)
    before = probs.copy()
    lagged_moments(probs, 1)
    np.testing.assert_array_equal(probs, before)


def test_short_trajectories_are_skipped_with_a_warning():
    probs = np.random.default_rng(3).dirichlet(np.ones(2), size=30)
    with pytest.warns(SkippedTrajectoryWarning, match="1 of 2 trajectories are no longer than"):
        moments = lagged_moments([probs[:5], probs], 5)
    assert moments.n_pairs == 25
    np.testing.assert_allclose(moments.mean, probs.mean(axis=0))


@pytest.mark.parametrize(
    ("probs", "lagtime", "message"),
    [
        ([], 1, "at least one trajectory"),
        (
            np.full((10, 2), 0.5),
            10,
            r"lagtime must be < the longest trajectory \(10 frames\), got 1",
        ),
        (np.full((10, 2), 0.5), 0, "lagtime must be a positive whole number of frames, got 0"),
        (np.full((10, 2), 0.5), 1.5, "got 1.5"),
        (np.full(10, 0.5), 1, r"got shape \(10,\) at index 0"),
        (np.full((0, 1, 2), 0.5), 1, "no empty axis"),
        ([np.full((9, 2), 0.5), np.full((9, 3), 1 / 3)], 1, r"same number of states .* \[2, 3\]"),
        (np.full((10, 2), 0.7), 1, "got a sum of 1.4"),
        (np.full((10, 2), np.nan), 1, "must be finite and sum to one"),
    ],
)
def test_bad_input_is_named(probs, lagtime, message):
    with pytest.raises(ValueError, match=message):
        lagged_moments(probs, lagtime)
