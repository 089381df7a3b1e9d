"""Known Markov chains, and the estimates made from their labels."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.linalg import expm

from graphkoopman.datasets import (
    TooFewTransitionsError,
    chain_rates,
    label_timescales,
    projected_transition_matrix,
    relaxation_timescales,
    stationary_distribution,
)
from graphkoopman.datasets._chains import sample_chain

CYCLE = np.array([[-1.0, 0.9, 0.1], [0.1, -1.0, 0.9], [0.9, 0.1, -1.0]])


@given(
    n_states=st.integers(2, 8),
    slowest=st.floats(1e-2, 1e4),
    separation=st.floats(1.1, 10.0),
)
def test_chain_rates_have_the_timescales_they_promise(n_states, slowest, separation):
    rates = chain_rates(n_states, slowest=slowest, separation=separation)
    pi = stationary_distribution(rates)
    expected = slowest / separation ** np.arange(n_states - 1)
    # eigenvalues carry eps * (fastest / slowest rate) = 1e-16 * 1e7
    np.testing.assert_allclose(relaxation_timescales(rates), expected, rtol=1e-7)
    flux = pi[:, None] * rates
    np.testing.assert_allclose(flux, flux.T, atol=1e-9 * np.abs(flux).max())
    assert (rates[~np.eye(n_states, dtype=bool)] > 0).all()
    assert np.ptp(pi) > 0.05


def test_chain_rates_take_populations():
    rates = chain_rates(3, slowest=10.0, populations=[1, 2, 5])
    np.testing.assert_allclose(stationary_distribution(rates), [0.125, 0.25, 0.625])


def test_oscillating_chains_decay_with_the_real_part():
    # circulant matrix: λ = -1 + 0.9 ω + 0.1 ω²
    decay = 1 - (0.9 + 0.1) * np.cos(2 * np.pi / 3)
    np.testing.assert_allclose(relaxation_timescales(CYCLE), [1 / decay, 1 / decay])
    np.testing.assert_allclose(stationary_distribution(CYCLE), np.full(3, 1 / 3))


def test_projection_of_nothing_is_the_chain_itself():
    rates = chain_rates(4, slowest=30.0)
    np.testing.assert_allclose(projected_transition_matrix(rates, None, 7.0), expm(7.0 * rates))


def test_projection_agrees_with_counting():
    rates = np.array([[-0.2, 0.2, 0.0], [0.05, -0.06, 0.01], [0.0, 0.01, -0.01]])
    visible = np.array([0, 1, 1])
    exact = projected_transition_matrix(rates, visible, 5.0)
    labels = visible[sample_chain(rates, 50_000, 20, 1.0, np.random.default_rng(0))]
    counted = label_timescales(labels, 5, 1.0)
    # 10⁶ frames hold about 10⁴ events; their relative error 1 % times T_ij < 0.5
    np.testing.assert_allclose(counted.transition_matrix, exact, atol=0.015)
    # a hidden slow state makes the projection remember
    twice = projected_transition_matrix(rates, visible, 10.0)
    assert np.abs(twice - exact @ exact).max() > 0.02


@pytest.mark.parametrize("reversible", [False, True])
def test_label_timescales_converge(reversible):
    rates = chain_rates(3, slowest=60.0)
    labels = sample_chain(rates, 20_000, 10, 1.0, np.random.default_rng(4))
    known = label_timescales(labels, 5, 1.0, reversible=reversible)
    assert (np.abs(known.timescales - [60.0, 20.0]) < 3.5 * known.timescales_error).all()
    assert (known.timescales_error < 0.1 * known.timescales).all()
    np.testing.assert_allclose(known.transition_matrix.sum(axis=1), 1)
    np.testing.assert_allclose(known.populations.sum(), 1)
    assert known.n_transitions == (labels[1:] != labels[:-1]).sum()
    if reversible:
        pi = np.linalg.matrix_power(known.transition_matrix, 10_000)[0]
        flux = pi[:, None] * known.transition_matrix
        np.testing.assert_allclose(flux, flux.T, atol=1e-8)


def test_label_errors_are_calibrated():
    rates = chain_rates(2, slowest=10.0)
    timescales, errors, populations, population_errors = [], [], [], []
    for seed in range(120):
        labels = sample_chain(rates, 2000, 4, 1.0, np.random.default_rng(seed))
        known = label_timescales(labels, 2, 1.0)
        timescales.append(known.timescales[0])
        errors.append(known.timescales_error[0])
        populations.append(known.populations[0])
        population_errors.append(known.populations_error[0])
    # the spread of 120 values is known to 6.5 %, a jackknife over 20 blocks to 16 % each
    assert np.mean(errors) == pytest.approx(np.std(timescales), rel=0.2)
    assert np.mean(population_errors) == pytest.approx(np.std(populations), rel=0.2)
    assert np.mean(timescales) == pytest.approx(10.0, abs=3.5 * np.std(timescales) / 120**0.5)


def test_one_target_may_be_a_plain_array():
    labels = sample_chain(chain_rates(2, slowest=5.0), 3000, 1, 1.0, np.random.default_rng(0))
    flat, column = label_timescales(labels[:, 0], 1, 0.5), label_timescales(labels, 1, 0.5)
    np.testing.assert_array_equal(flat.timescales, column.timescales)
    assert flat.n_blocks == 20


def test_eigenvalues_without_a_timescale_are_reported():
    labels = sample_chain(CYCLE, 5000, 2, 0.5, np.random.default_rng(0))
    with pytest.warns(UserWarning, match="timescales \\[0, 1\\] at lagtime=1 are NaN"):
        known = label_timescales(labels, 1, 0.5)
    assert np.isnan(known.timescales).all()


def test_too_few_transitions():
    with pytest.raises(TooFewTransitionsError, match="got 2 separate sets from 1 transitions"):
        label_timescales(np.repeat([0, 1], 50), 1, 1.0)
    with pytest.raises(TooFewTransitionsError, match="the 2 states must be connected"):
        label_timescales(np.zeros(50, dtype=int), 1, 1.0)


@pytest.mark.parametrize(
    ("labels", "arguments", "message"),
    [
        (np.zeros(10), {}, "labels must be integers of shape"),
        (np.zeros((2, 2, 2), dtype=int), {}, "labels must be integers of shape"),
        (
            np.zeros(10, dtype=int),
            {"lagtime": 10},
            "lagtime must be between 1 and n_frames - 1 = 9",
        ),
        (np.zeros(10, dtype=int), {"timestep": 0.0}, "timestep must be a positive number"),
        (np.arange(10), {"n_states": 5}, "between 0 and n_states - 1 = 4, got 0 to 9"),
        (np.zeros(10, dtype=int), {"n_states": 1}, "n_states must be >= 2, got 1"),
    ],
)
def test_bad_labels(labels, arguments, message):
    with pytest.raises(ValueError, match=message):
        label_timescales(labels, **{"lagtime": 1, "timestep": 1.0, **arguments})


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        (np.ones((2, 3)), "must be square"),
        (np.array([[0.0]]), "at least 2 states"),
        (np.array([[-1.0, np.nan], [1.0, -1.0]]), "must be finite"),
        (np.array([[1.0, -1.0], [1.0, -1.0]]), "off-diagonal entries >= 0, got -1 at \\(0, 1\\)"),
        (np.array([[-1.0, 2.0], [1.0, -1.0]]), "rows that sum to zero"),
        (np.array([[-1.0, 1.0], [0.0, 0.0]]), "must be irreducible, got 2 sets"),
        (np.zeros((2, 2)), "must be irreducible"),
    ],
)
def test_bad_rate_matrices(rates, message):
    with pytest.raises(ValueError, match=message):
        stationary_distribution(rates)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_states": 1}, "n_states must be >= 2, got 1"),
        ({"slowest": 0.0}, "slowest must be a positive time"),
        ({"separation": 1.0}, "separation must be > 1"),
        ({"populations": [0.5, 0.5, 0.0]}, "populations must be 2 positive numbers"),
    ],
)
def test_bad_chains(arguments, message):
    with pytest.raises(ValueError, match=message):
        chain_rates(**{"n_states": 2, "slowest": 1.0, **arguments})
