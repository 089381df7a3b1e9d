"""estimate_koopman: convergence, degenerate data and constraints."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from koopman_chains import (
    CYCLE,
    FIVE_STATE,
    FOUR_STATE,
    THREE_STATE,
    TWO_STATE,
    exact_moments,
    observe,
    seen_through_noise,
    simulate,
    stationary,
)
from scipy.optimize import minimize

from graphkoopman.koopman import RankDeficientWarning, estimate_koopman
from graphkoopman.koopman._constraints import reversible, stochastic
from graphkoopman.koopman._solve import solve_koopman
from graphkoopman.koopman._spectrum import decompose


@pytest.mark.parametrize("transition", [TWO_STATE, THREE_STATE, CYCLE])
@pytest.mark.parametrize("lagtime", [1, 5])
def test_exact_moments_give_the_exact_matrix(transition, lagtime):
    expected = np.linalg.matrix_power(transition, lagtime)
    start = np.random.default_rng(0).dirichlet(np.ones(len(transition)))
    for moments in (exact_moments(transition, lagtime), exact_moments(transition, lagtime, start)):
        np.testing.assert_allclose(solve_koopman(moments), expected, atol=1e-14)


@pytest.mark.parametrize("transition", [TWO_STATE, THREE_STATE])
def test_estimates_converge_to_the_chain(transition):
    n_states = len(transition)
    exact = -1.0 / np.log(np.sort(np.linalg.eigvals(transition).real)[::-1][1:])
    for n_frames, tolerance in ((2000, 0.6), (200_000, 0.06)):
        probs = observe(simulate(transition, n_frames // 10, 10, seed=0), n_states)
        model = estimate_koopman(probs, 1)
        # Three standard errors of the slowest mode, about 0.2 and 0.02 over seeds.
        np.testing.assert_allclose(model.timescales(), exact, rtol=tolerance)
        np.testing.assert_allclose(
            model.stationary_distribution, stationary(transition), atol=tolerance
        )
        np.testing.assert_allclose(
            model.empirical_populations, stationary(transition), atol=tolerance
        )


@pytest.mark.parametrize("transition", [TWO_STATE, THREE_STATE, FOUR_STATE, FIVE_STATE])
def test_noisy_estimates_converge_like_the_square_root_of_the_data(transition):
    n_states, noise, lagtime = len(transition), 0.2, 2
    populations, timescales = seen_through_noise(transition, lagtime, noise)
    errors = np.empty((2, 6, 2 * n_states - 1))
    for length, n_frames in enumerate((500, 8000)):
        for seed in range(6):
            probs = observe(simulate(transition, n_frames, 10, seed=seed), n_states, noise, seed)
            model = estimate_koopman(probs, lagtime)
            errors[length, seed, : n_states - 1] = model.timescales() / timescales - 1
            errors[length, seed, n_states - 1 :] = model.empirical_populations / populations - 1
    short, long = np.sqrt((errors**2).mean(axis=1))
    # a quarter is expected of 16 times the data; six seeds know a spread to 30 %
    assert np.sqrt((long**2).mean() / (short**2).mean()) < 0.45
    # no bias is left: the mean of six is within three of its standard errors
    assert np.all(np.abs(errors[1].mean(axis=0)) < 3 * np.maximum(long, 1e-3) / np.sqrt(6) + 0.01)


def test_frame_noise_fades_with_the_lag_time():
    probs = observe(simulate(TWO_STATE, 20_000, 5, seed=6), 2, noise=0.3)
    crisp = observe(simulate(TWO_STATE, 20_000, 5, seed=6), 2)
    errors = [
        abs(
            estimate_koopman(probs, lag).timescales() / estimate_koopman(crisp, lag).timescales()
            - 1
        )
        for lag in (1, 4, 16)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.1


@given(seed=st.integers(0, 2**32 - 1), n_states=st.integers(2, 6), scale=st.floats(1e-3, 1.0))
@settings(deadline=None)
def test_rows_sum_to_one(seed, n_states, scale):
    """Also where all states are nearly uniform, as before a network has learned."""
    rng = np.random.default_rng(seed)
    logits = scale * rng.normal(size=(60, 2, n_states))
    probs = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    for dtype in (np.float64, np.float32):
        matrix = estimate_koopman(probs.astype(dtype), 1).koopman_matrix
        np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-10, rtol=0)


def test_a_state_never_visited_relaxes_to_the_mean():
    probs = observe(simulate(TWO_STATE, 500, 2, seed=0), 2, noise=0.1)
    padded = np.insert(probs, 1, 0.0, axis=-1)
    with pytest.warns(RankDeficientWarning, match=r"only 2 of 3 states: states \[1\] are never"):
        model = estimate_koopman(padded, 1)
    two = estimate_koopman(probs, 1)
    np.testing.assert_allclose(
        model.koopman_matrix[np.ix_([0, 2], [0, 2])], two.koopman_matrix, atol=1e-10
    )
    np.testing.assert_allclose(model.koopman_matrix[:, 1], 0.0, atol=1e-12)
    np.testing.assert_allclose(model.koopman_matrix.sum(axis=1), 1.0, atol=1e-10)
    np.testing.assert_allclose(model.stationary_distribution[[0, 2]], two.stationary_distribution)
    np.testing.assert_allclose(model.eigenvalues, [1.0, two.eigenvalues[1], 0.0], atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_identical_states_share_their_row(dtype):
    probs = observe(simulate(TWO_STATE, 500, 2, seed=0), 2, noise=0.1)
    split = np.concatenate([probs[..., :1], probs[..., 1:] / 2, probs[..., 1:] / 2], axis=-1)
    with pytest.warns(RankDeficientWarning, match="1 of the visited states depend linearly"):
        model = estimate_koopman(split.astype(dtype), 1)
    matrix = model.koopman_matrix
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-10)
    np.testing.assert_allclose(matrix[1], matrix[2], atol=1e-6)
    np.testing.assert_allclose(matrix[:, 1], matrix[:, 2], atol=1e-6)
    # The prediction of the merged state is that of two states.
    merged = np.c_[matrix[:2, 0], matrix[:2, 1:].sum(axis=1)]
    np.testing.assert_allclose(merged, estimate_koopman(probs, 1).koopman_matrix, atol=1e-6)


def test_uniform_probabilities_do_not_crash():
    with pytest.warns(RankDeficientWarning, match="only 1 of 3 states"):
        model = estimate_koopman(np.full((20, 2, 3), 1 / 3), 1)
    np.testing.assert_allclose(model.koopman_matrix, 1 / 3)


def random_problem(seed, n_states):
    """A free estimate with negative entries and a metric, as little data give."""
    rng = np.random.default_rng(seed)
    features = rng.dirichlet(np.ones(n_states), size=50)
    free = rng.dirichlet(np.ones(n_states), size=n_states)
    free += 0.3 * rng.normal(size=free.shape)
    free -= (free.sum(axis=1, keepdims=True) - 1.0) / n_states
    return free, features.T @ features / 50


@given(seed=st.integers(0, 2**32 - 1), n_states=st.integers(2, 6))
@settings(deadline=None, max_examples=60)
def test_constraints_hold_to_rounding(seed, n_states):
    free, c00 = random_problem(seed, n_states)
    for matrix in (stochastic(free, c00), reversible(free, c00, np.full(n_states, 1 / n_states))):
        assert matrix.min() >= 0.0
        np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-10, rtol=0)
    # Uniform start: the limit is stationary even if states are disconnected.
    lazy = (matrix + np.eye(n_states)) / 2
    pi = np.full(n_states, 1 / n_states) @ np.linalg.matrix_power(lazy, 2**30)
    flux = pi[:, None] * matrix
    np.testing.assert_allclose(flux, flux.T, atol=1e-10, rtol=0)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("constraint", ["stochastic", "reversible"])
def test_constrained_matrix_is_the_optimum(seed, constraint):
    """Against a general-purpose solver, which stops at 1e-8 of the optimum."""
    free, c00 = random_problem(seed, 4)
    uniform = np.full(4, 0.25)
    best = stochastic(free, c00)
    pi = decompose(best, uniform).stationary
    constraints = [{"type": "eq", "fun": lambda flat: flat.reshape(4, 4).sum(axis=1) - 1}]
    if constraint == "reversible":
        best = reversible(free, c00, uniform)
        above = np.triu_indices(4, 1)

        def imbalance(flat):
            flux = pi[:, None] * flat.reshape(4, 4)
            return (flux - flux.T)[above]

        constraints.append({"type": "eq", "fun": imbalance})

    def loss(flat):
        delta = flat.reshape(4, 4) - free
        return np.trace(delta.T @ c00 @ delta)

    found = minimize(
        loss,
        np.full(16, 0.25),
        method="SLSQP",
        bounds=[(0, 1)] * 16,
        constraints=constraints,
        options={"ftol": 1e-13, "maxiter": 500},
    )
    assert loss(best.ravel()) <= found.fun + 1e-9


def test_constraints_change_nothing_where_they_hold():
    moments = exact_moments(THREE_STATE, 1, start=[0.2, 0.5, 0.3])
    free = solve_koopman(moments)
    np.testing.assert_array_equal(stochastic(free, moments.c00), free)
    # Detailed balance, though the data do not start from equilibrium.
    balanced = np.array([[0.9, 0.1, 0.0], [0.05, 0.9, 0.05], [0.0, 0.2, 0.8]])
    moments = exact_moments(balanced, 1, start=[0.2, 0.5, 0.3])
    np.testing.assert_allclose(
        reversible(solve_koopman(moments), moments.c00, moments.mean), balanced, atol=1e-12
    )


def test_two_states_are_always_reversible():
    probs = observe(simulate(TWO_STATE, 300, 2, seed=3), 2, noise=0.2)
    free = estimate_koopman(probs, 1).koopman_matrix
    for constraint in ("stochastic", "reversible"):
        constrained = estimate_koopman(probs, 1, constraint=constraint).koopman_matrix
        np.testing.assert_allclose(constrained, free, atol=1e-12)


def test_reversible_estimate_of_a_cycle_has_no_current():
    probs = observe(simulate(CYCLE, 3000, 2, seed=3), 3)
    model = estimate_koopman(probs, 1, constraint="reversible")
    flux = model.stationary_distribution[:, None] * model.koopman_matrix
    np.testing.assert_allclose(flux, flux.T, atol=1e-10)
    assert np.isrealobj(model.eigenvalues)
    # A cycle's best reversible matrix hops both ways equally often.
    np.testing.assert_allclose(model.koopman_matrix, (CYCLE + CYCLE.T) / 2, atol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"constraint": "markov"}, 'constraint must be None, "stochastic" or "reversible"'),
        ({"n_bootstrap": -1}, "n_bootstrap must be 0"),
        ({"n_bootstrap": 1}, "at least 2, got 1"),
        ({"n_bootstrap": 5, "unit": "atoms"}, "unit must be a number of chunks or one of"),
        (
            {"n_bootstrap": 5, "unit": "trajectories"},
            "unit='trajectories' gives 1; use unit=\"blocks\"",
        ),
        ({"n_bootstrap": 5, "unit": 1}, r"number of chunks must be in 2\.\.\.99 .* got 1"),
    ],
)
def test_errors_name_the_argument_and_the_remedy(options, message):
    with pytest.raises(ValueError, match=message):
        estimate_koopman(observe(simulate(TWO_STATE, 100, 1, seed=0), 2), 1, **options)
