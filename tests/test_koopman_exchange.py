"""Mean times between pairs of states."""

import numpy as np
import pytest
from deeptime.markov.tools.analysis import mfpt

from graphkoopman.koopman import KoopmanModel, estimate_koopman, exchange_times


def test_two_states_are_exact():
    model = KoopmanModel([[0.9, 0.1], [0.3, 0.7]], lagtime=5, timestep=0.1)
    np.testing.assert_allclose(exchange_times(model).mean, [[0, 5.0], [0.5 / 0.3, 0]], rtol=1e-12)


def test_deeptime_gives_the_same():
    rng = np.random.default_rng(0)
    matrix = rng.dirichlet(np.ones(5), size=5)
    times = exchange_times(KoopmanModel(matrix, lagtime=3, timestep=2.0)).mean
    for end in range(5):
        np.testing.assert_allclose(times[:, end], mfpt(matrix, end, tau=6.0), rtol=1e-10)


def test_intervals_hold_the_truth_of_a_known_chain():
    rng = np.random.default_rng(1)
    matrix = np.array([[0.95, 0.05, 0.0], [0.03, 0.94, 0.03], [0.0, 0.06, 0.94]])
    covered = []
    for _ in range(6):
        states = np.zeros((2000, 30), dtype=int)
        states[0] = rng.integers(0, 3, 30)
        for t in range(1, 2000):
            draws = rng.random(30)
            states[t] = (draws[:, None] > matrix.cumsum(axis=1)[states[t - 1]]).sum(axis=1)
        model = estimate_koopman(
            np.eye(3)[states], 1, timestep=1.0, n_bootstrap=100, random_state=0
        )
        result = exchange_times(model)
        truth = exchange_times(KoopmanModel(matrix, lagtime=1, timestep=1.0)).mean
        off = ~np.eye(3, dtype=bool)
        covered += list((result.interval[off][:, 0] < truth[off])
                        & (truth[off] < result.interval[off][:, 1]))  # fmt: skip
    # 36 intervals of nominal 0.95, correlated within a draw
    assert np.mean(covered) > 0.8


def test_states_without_a_way_take_forever():
    model = KoopmanModel([[1.0, 0.0], [0.2, 0.8]], lagtime=1, timestep=1.0)
    np.testing.assert_allclose(exchange_times(model).mean, [[0, np.inf], [5.0, 0]])
    frame = exchange_times(model).to_dataframe()
    np.testing.assert_allclose(frame["mean time to reach / ps"], [np.inf, 5.0])
    with pytest.raises(ValueError, match="timestep must be known"):
        exchange_times(KoopmanModel([[0.9, 0.1], [0.3, 0.7]], lagtime=1))


def test_pairs_that_nobody_was_seen_to_go_have_a_lower_limit_only():
    model = KoopmanModel(
        [[0.9, 0.1 - 1e-7, 1e-7], [0.3, 0.7 - 1e-8, 1e-8], [0.0, 0.1, 0.9]], lagtime=2, timestep=0.5
    )
    assert exchange_times(model).mean[0, 2] > 1e6
    least = np.full((3, 3), np.nan)
    least[:2, 2] = 40.0
    result = exchange_times(model, least)
    assert result.seen.tolist() == [[True, True, False], [True, True, False], [True, True, True]]
    assert np.isnan(result.mean[:2, 2]).all()
    np.testing.assert_array_equal(result.interval[0, 2], [40.0, np.inf])
    np.testing.assert_array_equal(result.mean[2], exchange_times(model).mean[2])
    with pytest.raises(ValueError, match=r"least must have shape \(3, 3\)"):
        exchange_times(model, [1.0])
