"""Resampling units, samples and intervals of Koopman models."""

import pickle
import warnings

import numpy as np
import pytest
from deeptime.base import BayesianModel
from hypothesis import given, settings, strategies as st
from koopman_chains import THREE_STATE, TWO_STATE, observe, simulate

from graphkoopman.koopman import (
    BeyondDataWarning,
    FewUnitsWarning,
    InvalidTimescaleWarning,
    KoopmanModel,
    estimate_koopman,
    lagged_moments,
)
from graphkoopman.koopman._bootstrap import dirichlet_concentration
from graphkoopman.koopman._events import error_of_counts
from graphkoopman.koopman._units import UnitMoments, unit_moments
from graphkoopman.uncertainty import UNITS, Scatter


@pytest.fixture(scope="module")
def independent():
    return observe(simulate(THREE_STATE, 3000, 6, seed=1), 3, noise=0.1)


@pytest.fixture(scope="module")
def shared():
    return observe(simulate(THREE_STATE, 6000, 6, seed=2, shared=True), 3, noise=0.1)


@given(
    n_frames=st.lists(st.integers(30, 200), min_size=2, max_size=4),
    lagtime=st.integers(1, 10),
    unit=st.sampled_from([*UNITS, 2, 7]),
)
@settings(deadline=None, max_examples=60)
def test_units_add_up_to_the_pooled_moments(n_frames, lagtime, unit):
    rng = np.random.default_rng(0)
    arrays = [rng.dirichlet(np.ones(3), size=(n, 4)) for n in n_frames]
    pooled = lagged_moments(arrays, lagtime)
    (units,) = unit_moments(arrays, [lagtime], unit, with_double=True)
    total = units.weighted(np.ones(units.n_units))
    assert total.n_pairs == pooled.n_pairs
    assert units.n_rows.sum() == 4 * sum(n_frames)
    for name in ("c00", "c0t", "ctt", "mean"):
        np.testing.assert_allclose(getattr(total, name), getattr(pooled, name), rtol=1e-11)
    if total.double is None:
        assert max(n_frames) <= 2 * lagtime
    else:
        longer = [a for a in arrays if len(a) > 2 * lagtime]
        twice = lagged_moments(longer, 2 * lagtime)
        assert total.double.n_pairs == twice.n_pairs
        np.testing.assert_allclose(total.double.c0t, twice.c0t, rtol=1e-11)


def test_number_of_units():
    probs = observe(simulate(TWO_STATE, 400, 5, seed=0), 2)
    arrays = [probs, probs[:200], probs[:300]]
    for unit, n_units in (
        ("trajectories", 3),
        ("targets", 5),
        ("trajectories+targets", 15),
        ("chunks", 4),
        (9, 9),
    ):
        assert unit_moments(arrays, [2], unit)[0].n_units == n_units
    (chunks,) = unit_moments(arrays, [2], 9)
    assert np.ptp(chunks.n_pairs) <= 5 * 1  # one frame of five targets
    with pytest.raises(ValueError, match=r"same targets in every trajectory, got \[5, 4\]"):
        unit_moments([probs, probs[:, :4]], [2], "targets")


def test_targets_count_as_independent_only_if_asked_for(independent, shared):
    for probs in (independent, shared):
        assert estimate(probs, n_bootstrap=5).unit == "blocks"
    assert estimate(independent, "targets", n_bootstrap=5).n_units == 6


def test_common_mode_needs_no_assumption(shared):
    """Six targets that follow one chain say no more than one of them."""
    widths = {
        unit: np.diff(np.log(estimate(shared, unit).timescales_interval()[0]))[0]
        for unit in ("blocks+targets", "auto")
    }
    one = np.diff(np.log(estimate(shared[:, :1], "auto").timescales_interval()[0]))[0]
    # The width is itself known to about 1 / sqrt(2 n_units) = 15 %.
    assert widths["auto"] == pytest.approx(one, rel=0.5)
    assert widths["blocks+targets"] < 0.6 * one


def estimate(probs, unit="auto", n_bootstrap=100, **options):
    return estimate_koopman(probs, 2, n_bootstrap=n_bootstrap, unit=unit, random_state=0, **options)


def test_intervals_hold_the_estimate_and_shrink_with_data(independent):
    model, less = estimate(independent, timestep=0.1), estimate(independent[:1500])
    intervals = {
        "timescales": (model.timescales_interval(), model.prior.timescales()),
        "ps": (model.timescales_ps_interval(), model.prior.timescales_ps()),
        "populations": (model.populations_interval(), model.prior.empirical_populations),
        "stationary": (
            model.stationary_distribution_interval(),
            model.prior.stationary_distribution,
        ),
        "matrix": (model.koopman_matrix_interval(), model.koopman_matrix),
    }
    for interval, value in intervals.values():
        assert interval.shape == (*value.shape, 2)
        assert np.all((interval[..., 0] < value) & (value < interval[..., 1]))
    assert np.all(model.populations_interval() > 0)
    narrow, wide = (np.diff(np.log(m.timescales_interval())) for m in (model, less))
    assert np.all(narrow < wide)
    assert model.timescales_interval(1).shape == (1, 2)
    wider = np.diff(model.timescales_interval(confidence=0.99))
    assert np.all(wider > np.diff(model.timescales_interval()))


def test_intervals_of_what_has_no_logarithm(independent):
    """A time of zero, as a logarithm: nothing is known of the side the samples do not reach."""
    model = estimate(independent)
    low, high = model.t_interval(-np.inf, np.full(100, -np.inf))
    assert low == -np.inf
    assert np.isnan(high)
    low, high = model.t_interval(0.0, np.r_[np.full(50, -np.inf), np.linspace(0.0, 1.0, 50)])
    assert low == -np.inf
    assert 0.0 < high < np.inf


def test_samples_are_models_and_reproducible(independent):
    first, again = estimate(independent), estimate(independent)
    assert isinstance(first, BayesianModel)
    assert len(first.samples) == 100
    assert all(isinstance(sample, KoopmanModel) for sample in first)
    np.testing.assert_array_equal(
        first.evaluate_samples("koopman_matrix"), again.evaluate_samples("koopman_matrix")
    )
    timescales, samples = first.timescales_ps(1) if first.timestep else first.timescales(1)
    assert timescales.shape == (1,)
    assert len(samples) == 100
    copy = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(copy.timescales_interval(), first.timescales_interval())
    assert repr(first).startswith("BootstrapKoopmanModel(n_states=3, lagtime=2, n_samples=100")


@pytest.mark.parametrize("constraint", ["stochastic", "reversible"])
def test_samples_obey_the_constraint(constraint):
    probs = observe(simulate(THREE_STATE, 400, 12, seed=4), 3, noise=0.3)
    for sample in estimate(probs, "blocks+targets", 20, constraint=constraint).samples:
        assert sample.koopman_matrix.min() >= 0
        if constraint == "reversible":
            flux = sample.stationary_distribution[:, None] * sample.koopman_matrix
            np.testing.assert_allclose(flux, flux.T, atol=1e-10)


def test_permutation_moves_estimate_and_samples(independent):
    model = estimate(independent, n_bootstrap=10)
    permuted = model.permute([2, 0, 1])
    np.testing.assert_allclose(
        permuted.populations_interval(), model.populations_interval()[[2, 0, 1]], rtol=1e-12
    )
    assert permuted.exchanges[0, 1] == model.exchanges[2, 0]


@pytest.mark.parametrize("rare", [0.02, 0.5])
def test_error_of_counts_of_two_states(rare):
    """One over the root of the events of either way, in the closed form of two slow rates."""
    rates = 1e-4 * np.array([rare, 1.0 - rare])
    model = KoopmanModel([[1.0 - rates[0], rates[0]], [rates[1], 1.0 - rates[1]]], lagtime=1)
    events = np.array([[0, 4], [9, 0]])
    share = rates / rates.sum()
    of_time = error_of_counts(lambda m: np.log(m.timescales()), model, events)
    np.testing.assert_allclose(of_time, np.sqrt(share[0] ** 2 / 4 + share[1] ** 2 / 9), rtol=1e-3)

    def log_odds(m):
        return np.log(m.stationary_distribution[1] / m.stationary_distribution[0])

    of_odds = error_of_counts(log_odds, model, events)
    np.testing.assert_allclose(of_odds, np.sqrt(1 / 4 + 1 / 9), rtol=1e-3)
    # a way that nobody went has no error of its own
    assert error_of_counts(log_odds, model, np.array([[0, 4], [0, 0]])) == pytest.approx(0.5, 1e-3)


def test_two_visits_that_last_equally_long_leave_a_time_open():
    """Blocks have nothing to scatter by; two events are known to a factor of four."""
    states = np.zeros(12_000, dtype=int)
    for begin in (3000, 9000):
        states[begin : begin + 500] = 1
    model = estimate_koopman(np.eye(2)[states], 20, n_bootstrap=100, random_state=0)
    (time,) = model.prior.timescales()
    assert model.exchanges.tolist() == [[0, 2], [2, 0]]
    low, high = model.timescales_interval()[0] / time
    # exp(1.96 * sqrt((p0**2 + p1**2) / 2)), p the populations
    assert low == pytest.approx(0.28, abs=0.02)
    assert high == pytest.approx(1 / low)
    model.exchanges = None
    assert model.timescales_interval()[0, 1] < 1.5 * time


def test_few_units_warn_and_widen(independent):
    with pytest.warns(FewUnitsWarning, match=r"only 4.0 independent units \(chunks\)"):
        model = estimate(independent, "chunks")
    # Same standard error, but t = 3.18 instead of 1.96 at three degrees of freedom.
    half = np.diff(np.log(model.timescales_interval()), axis=1)[:, 0] / 2
    samples = np.log([sample.timescales() for sample in model.samples])
    spread = np.diff(np.quantile(samples, [0.1587, 0.8413], axis=0), axis=0)[0] / 2
    factor = 3.182 * np.sqrt((4 * model.concentration + 1) / 3 / model.dynamics.share)
    np.testing.assert_allclose(half, factor * spread, rtol=0.05)


def fake_units(n_units, share=1.0):
    sums, totals, ones = np.zeros((n_units, 3, 2, 2)), np.zeros((n_units, 2)), np.ones(n_units)
    scatter = Scatter(share, n_units - 1.0)
    return UnitMoments(sums, totals, ones, ones, 1, "blocks", scatter, scatter, 1.0, n_units)


@pytest.mark.parametrize("share", [1.0, 0.9])
def test_concentration_gives_samples_the_spread_of_a_t_interval(share):
    # Variance of a mean over Dirichlet weights is S^2 / (n a + 1).
    for n_units, quantile in ((15, 2.1448), (30, 2.0452), (1000, 1.9623)):
        concentration = dirichlet_concentration(fake_units(n_units, share))
        found = np.sqrt((n_units - 1) / (n_units * concentration + 1)) * 1.95996
        assert found == pytest.approx(quantile / np.sqrt(share), rel=1e-3)
    assert dirichlet_concentration(fake_units(3)) == 0.5


def test_short_data_say_how_short_they_are():
    probs = observe(simulate(np.array([[0.99, 0.01], [0.01, 0.99]]), 250, 20, seed=0), 2)
    with pytest.warns(FewUnitsWarning, match=r"the data last \d\.\d correlation times"):
        model = estimate(probs)
    # five correlation times: three degrees of freedom instead of those of twenty targets
    assert model.means.degrees < 4.5
    assert model.dynamics.degrees <= 5.0


def test_a_run_shorter_than_its_process_tells_nothing_about_it():
    """Frozen targets and one that moves once: no sample of the scatter in time."""
    states = np.tile(np.arange(10) % 2, (100, 1))
    states[60:, 0] = 1
    with (
        pytest.warns(FewUnitsWarning, match="correlation times"),
        pytest.warns(BeyondDataWarning, match="exchanges seen: 0→1: 1"),
    ):
        model = estimate(np.eye(2)[states])
    low, high = model.timescales_interval()[0]
    assert (low, high) == (0.0, np.inf)


def test_undefined_timescales_are_reported():
    # A fast second mode whose eigenvalue is zero within noise.
    fast = np.array([[0.9, 0.05, 0.05], [0.1, 0.45, 0.45], [0.1, 0.45, 0.45]])
    probs = observe(simulate(fast, 2000, 4, seed=0), 3)
    model = estimate(probs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        timescales, samples = model.timescales()
    assert {w.category for w in caught} == {InvalidTimescaleWarning}
    interval = model.timescales_interval()
    assert np.isfinite(interval[0]).all()
    assert len(samples) == 100
    if np.isnan(timescales[1]):
        assert np.isnan(interval[1]).all()
    else:
        assert interval[1, 0] == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.timescales_ps(), "pass timestep="),
        (lambda model: model.timescales_interval(confidence=95), "confidence must be between"),
    ],
)
def test_errors_name_the_argument_and_the_remedy(independent, call, message):
    with pytest.raises(ValueError, match=message):
        call(estimate(independent, n_bootstrap=5))
