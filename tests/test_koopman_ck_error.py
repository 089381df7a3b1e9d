"""The Chapman-Kolmogorov error as one number: known answers, invariances, coverage."""

import numpy as np
import pytest
from koopman_chains import THREE_STATE, observe, simulate

from graphkoopman.datasets import make_hopping, projected_transition_matrix
from graphkoopman.koopman import ck_error, estimate_koopman

# 0 and 2 look alike: 0 is left within a few frames, 2 is not
HIDDEN = np.array([[-0.3, 0.25, 0.05], [0.1, -0.1, 0.0], [0.02, 0.0, -0.02]])
VISIBLE = np.array([0, 1, 0])


def hidden_probs(n_frames, seed, n_targets=8):
    data = make_hopping(
        HIDDEN, n_frames, n_targets=n_targets, visible=VISIBLE, n_ligands=2, random_state=seed
    )
    return np.eye(2)[data.visible_labels]


def test_it_is_the_mean_diagonal_deviation_of_the_estimates():
    probs = observe(simulate(THREE_STATE, 800, 3, seed=0), 3, noise=0.3)
    result = ck_error(probs, 2, 9)
    assert result.times == (4, 6, 8)
    # both sides use the frames that start a pair of the longest time
    first = estimate_koopman(probs[: len(probs) - 6], 2).koopman_matrix
    deviations = [
        estimate_koopman(probs[: len(probs) - 8 + t], t).koopman_matrix
        - np.linalg.matrix_power(first, t // 2)
        for t in result.times
    ]
    # two orders of summation
    assert result.error == pytest.approx(np.mean([np.trace(d) / 3 for d in deviations]), abs=1e-12)
    assert result.largest == pytest.approx(np.abs(deviations).max(), abs=1e-12)


def test_long_data_with_memory_give_the_exact_error():
    result = ck_error(hidden_probs(20_000, seed=1), 2, 20)
    exact = [
        np.trace(
            projected_transition_matrix(HIDDEN, VISIBLE, t)
            - np.linalg.matrix_power(projected_transition_matrix(HIDDEN, VISIBLE, 2), t // 2)
        )
        / 2
        for t in result.times
    ]
    # three standard errors of 160 000 frames
    assert result.error == pytest.approx(np.mean(exact), abs=3.0 * result.standard_error)
    assert result.error > 10.0 * result.standard_error


def test_memory_makes_it_positive_and_longer_lags_lower_it():
    probs = hidden_probs(20_000, seed=2)
    errors = [ck_error(probs, lag, 32).error for lag in (2, 4, 8, 16)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] > 0.0


def test_mixing_the_states_changes_nothing():
    probs = observe(simulate(THREE_STATE, 600, 4, seed=3), 3)
    mixing = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
    one, other = ck_error(probs, 3, 12), ck_error(probs @ mixing, 3, 12)
    # the condition number of the mixed moments times rounding
    assert other.error == pytest.approx(one.error, abs=1e-12)
    assert other.standard_error == pytest.approx(one.standard_error, rel=1e-9)


@pytest.mark.parametrize("n_targets", [1, 6])
def test_the_interval_covers_zero_for_a_markov_chain(n_targets):
    n_sets = 120
    covered = 0
    for seed in range(n_sets):
        probs = observe(simulate(THREE_STATE, 1500, n_targets, seed=seed), 3)
        low, high = ck_error(probs, 2, 12).interval()
        covered += low <= 0.0 <= high
    # nominal 95 %; the binomial spread of 120 sets is 2 %, three of them and 4 % of the method
    assert covered / n_sets >= 0.85


def test_too_short_a_horizon_or_run_is_an_error():
    probs = observe(simulate(THREE_STATE, 50, 2, seed=0), 3)
    with pytest.raises(ValueError, match="horizon must be at least two lag times"):
        ck_error(probs, 5, 9)
    with pytest.raises(ValueError, match="lower lagtime"):
        ck_error(probs, 5, 60)


def test_a_state_that_is_never_visited_adds_no_error():
    probs = observe(simulate(THREE_STATE, 600, 4, seed=5), 3)
    padded = np.concatenate([probs, np.zeros_like(probs[..., :1])], axis=-1)
    one, other = ck_error(probs, 2, 8), ck_error(padded, 2, 8)
    # the trace is the same, the mean over states is over one more
    assert other.error == pytest.approx(0.75 * one.error, abs=1e-12)
