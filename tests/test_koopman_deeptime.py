"""Every deeptime function that a Koopman model is meant for; warnings are errors here."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from deeptime.plots import plot_ck_test, plot_implied_timescales
from deeptime.util.validation import ck_test, implied_timescales
from koopman_chains import THREE_STATE, TWO_STATE, observe, simulate

from graphkoopman.koopman import KoopmanModel, StateObservable, estimate_koopman

LAGTIMES = (1, 2, 4, 6)


@pytest.fixture(scope="module")
def probs():
    return observe(simulate(THREE_STATE, 4000, 8, seed=0), 3, noise=0.05)


@pytest.fixture(scope="module")
def models(probs):
    return [estimate_koopman(probs, lag) for lag in LAGTIMES]


@pytest.fixture(scope="module")
def sampled(probs):
    return [estimate_koopman(probs, lag, n_bootstrap=30, random_state=0) for lag in LAGTIMES]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("kind", ["models", "sampled"])
def test_implied_timescales(kind, request):
    data = implied_timescales(request.getfixturevalue(kind))
    assert data.has_samples == (kind == "sampled")
    np.testing.assert_array_equal(data.lagtimes, LAGTIMES)
    np.testing.assert_allclose(data.timescales_for_process(0)[-1], 24.5, rtol=0.15)
    ax = plot_implied_timescales(data)
    assert len(ax.lines) >= 2
    assert implied_timescales(request.getfixturevalue(kind), n_its=1).max_n_processes == 1


def test_own_ck_test(models, probs):
    test = models[1].ck_test(models[:0:-1])
    np.testing.assert_array_equal(test.lagtimes, [0, 2, 4, 6])
    np.testing.assert_array_equal(test.estimates[0], np.eye(3))
    np.testing.assert_array_equal(test.predictions[0], np.eye(3))
    matrix = models[1].koopman_matrix
    np.testing.assert_allclose(test.predictions[3], matrix @ matrix @ matrix)
    np.testing.assert_array_equal(test.estimates[2], models[2].koopman_matrix)
    # Markovian chain, little noise: eq. (6) holds within sampling error.
    np.testing.assert_allclose(test.estimates, test.predictions, atol=0.02)
    assert not test.has_errors
    grid = plot_ck_test(test)
    assert grid.axes.shape == (3, 3)


def test_own_ck_test_with_samples(models, sampled):
    test = sampled[0].ck_test(sampled)
    assert test.has_errors
    assert test.err_est
    assert [len(samples) for samples in test.estimates_samples] == [1, 30, 30, 30, 30]
    np.testing.assert_array_equal(test.estimates_samples[1], test.predictions_samples[1])
    plot_ck_test(test)
    without = sampled[0].ck_test(models)
    assert without.has_errors
    assert not without.err_est
    plot_ck_test(without)


@pytest.mark.parametrize("kind", ["models", "sampled"])
def test_deeptimes_ck_test_agrees(kind, request):
    chosen = request.getfixturevalue(kind)
    theirs, ours = ck_test(chosen, StateObservable(3)), chosen[0].ck_test(chosen)
    np.testing.assert_array_equal(theirs.lagtimes, ours.lagtimes)
    np.testing.assert_allclose(theirs.estimates, ours.estimates)
    np.testing.assert_allclose(theirs.predictions, ours.predictions)
    plot_ck_test(theirs)
    if kind == "sampled":
        plot_ck_test(ck_test(chosen, StateObservable(3), err_est=True))


def test_ck_test_errors(models):
    with pytest.raises(ValueError, match=r"\(2 frames\), got 1; estimate them at 2, 4, "):
        models[1].ck_test(models)
    with pytest.raises(ValueError, match="at least one model"):
        models[0].ck_test([])
    two = KoopmanModel(TWO_STATE, lagtime=1)
    with pytest.raises(ValueError, match=r"3 states of the tested model, got \[2\]"):
        models[0].ck_test([two])


def test_gather_stats(sampled):
    stats = sampled[0].gather_stats("koopman_matrix", store_samples=True)
    assert stats.samples.shape == (30, 3, 3)
    np.testing.assert_allclose(stats.mean, sampled[0].koopman_matrix, atol=0.02)
    assert np.all(stats.L <= stats.R)
    assert sampled[0].gather_stats("timescales", k=1).mean.shape == (1,)
    np.testing.assert_allclose(sampled[0].gather_stats("stationary_distribution").mean.sum(), 1.0)


def test_bands_agree_with_the_intervals(probs):
    """From ten units on, percentiles of the samples match the t interval."""
    model = estimate_koopman(probs, 2, n_bootstrap=1000, random_state=0)
    stats = model.gather_stats("timescales")
    interval = model.timescales_interval()
    assert model.n_units >= 10
    # Percentiles of 1000 samples scatter by a few percent of the width.
    np.testing.assert_allclose(stats.R - stats.L, np.diff(interval)[:, 0], rtol=0.2)


@pytest.mark.parametrize("constraint", [None, "stochastic", "reversible"])
def test_markov_state_model(probs, constraint):
    model = estimate_koopman(probs, 2, constraint=constraint)
    msm = model.to_msm()
    assert msm.lagtime == 2
    np.testing.assert_allclose(msm.timescales(), model.timescales(), rtol=1e-6)
    np.testing.assert_allclose(msm.stationary_distribution, model.stationary_distribution)
    # Mean first passage from 0 to 2 solves (1 - K_AA) m = lag.
    inner = np.eye(2) - model.koopman_matrix[:2, :2]
    expected = np.linalg.solve(inner, np.full(2, 2.0))[0]
    assert msm.mfpt([0], [2]) == pytest.approx(expected, rel=1e-8)
    flux = msm.reactive_flux([0], [2])
    assert flux.total_flux > 0
    np.testing.assert_allclose(flux.forward_committor[[0, 2]], [0, 1])
    assert msm.reversible is (constraint == "reversible")


def test_pcca_needs_and_accepts_a_reversible_model(probs):
    pcca = estimate_koopman(probs, 2, constraint="reversible").to_msm().pcca(2)
    # States 0 and 1 exchange fastest; state 2 is the other metastable set.
    assert pcca.assignments[0] == pcca.assignments[1] != pcca.assignments[2]
