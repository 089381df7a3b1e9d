"""Pairing of trajectories with state probabilities."""

import numpy as np
import pytest

from graphkoopman.probabilities import as_probabilities, pair_runs
from graphkoopman.trajectories import Trajectory


def trajectory(n_frames=5, n_atoms=3):
    return Trajectory(np.zeros((n_frames, n_atoms, 3)), None, [3] * n_atoms, timestep=1.0)


def test_arrays_are_paired_without_a_copy():
    probs = np.full((5, 3, 2), 0.5, dtype=np.float16)
    (run,) = pair_runs(trajectory(), probs, "element Li")
    assert np.shares_memory(run.probs, probs)
    assert (run.n_frames, run.n_targets, run.n_states) == (5, 3, 2)


def test_one_target_needs_no_axis_of_its_own():
    runs = pair_runs([trajectory(), trajectory(4)], [np.ones((5, 2)), np.ones((4, 1, 2))], [1])
    assert [run.probs.shape for run in runs] == [(5, 1, 2), (4, 1, 2)]


@pytest.mark.parametrize(
    ("probs", "error", "message"),
    [
        ([np.ones((5, 3, 1))] * 2, ValueError, r"one array per trajectory \(1\), got 2"),
        (np.ones((4, 3, 1)), ValueError, r"= \(5, 3, n_states\), got \(4, 3, 1\)"),
        (np.ones((5, 3)), ValueError, r"got \(5, 3\)"),
        (np.ones((5, 3, 0)), ValueError, r"got \(5, 3, 0\)"),
        (np.ones((5, 3, 1), complex), TypeError, "must be real numbers, got dtype complex128"),
    ],
)
def test_what_does_not_fit_is_named(probs, error, message):
    with pytest.raises(error, match=message):
        pair_runs(trajectory(), probs, "element Li")


def test_all_trajectories_have_the_same_states():
    arrays = [np.ones((5, 3, 1)), np.full((5, 3, 2), 0.5)]
    with pytest.raises(ValueError, match=r"same number of states .* got \[1, 2\]"):
        pair_runs([trajectory()] * 2, arrays, "element Li")


def test_rows_of_any_precision_sum_to_one_in_double():
    rows = np.random.default_rng(0).dirichlet(np.ones(3), size=(4, 2)).astype(np.float32)
    # one division per entry
    np.testing.assert_allclose(as_probabilities(rows).sum(axis=-1), 1.0, rtol=1e-15)
    for bad in (np.full((1, 1, 2), 0.4), np.full((1, 1, 2), np.nan)):
        with pytest.raises(ValueError, match=r"sum to one .* got a sum of"):
            as_probabilities(bad)
