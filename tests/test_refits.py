"""Intervals that hold the training: refits of an estimator, and analyses of several sets."""

import numpy as np
import pytest
from koopman_chains import TWO_STATE, observe, simulate
from small_fits import LAG, make_estimator, make_featurizer

from graphkoopman import GDyNetEstimator, Trajectory
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.estimator._refits import _half, _pieces
from graphkoopman.koopman import BootstrapKoopmanModel, ck_error, estimate_koopman
from graphkoopman.structure import state_profile, state_rdf
from graphkoopman.transport import residence_times, transition_diffusion
from graphkoopman.uncertainty import probability_sets
from graphkoopman.uncertainty._refits import spread_of_refits, widened

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def graphs():
    data = make_hopping(chain_rates(2, slowest=20.0), 500, random_state=0)
    return make_featurizer().fit_transform([data.trajectory])


@pytest.fixture(scope="module")
def fitted(graphs):
    return make_estimator(max_epochs=5).fit(graphs)


def sets_of(n_frames=1500, n_targets=4, blur=(0.0, 0.1, 0.25)):
    """One truth as three networks see it: two that blur it more and more."""
    states = simulate(TWO_STATE, n_frames, n_targets, seed=0)
    return [[observe(states, 2, noise=noise, seed=1)] for noise in blur]


def test_sets_are_lists_of_lists():
    probs = sets_of()
    assert len(probability_sets(probs)) == 3
    assert len(probability_sets(probs[0])) == 1
    assert len(probability_sets(probs[0][0])) == 1
    assert len(probability_sets([probs[0][0][:, 0], probs[0][0][:, 1]])) == 1
    with pytest.raises(ValueError, match="same frames, targets and states"):
        probability_sets([probs[0], [probs[1][0][:-1]]])


def test_spread_is_students_about_the_estimate():
    below, above = spread_of_refits(1.0, [1.1, 0.9, 1.2, 0.8])
    assert below == above == pytest.approx(2.776 * np.sqrt(0.025), rel=1e-3)
    below, above = spread_of_refits(0.0, [0.1, np.inf])
    assert np.isinf(above)
    assert np.isfinite(below)


def test_widening_adds_squares_and_keeps_bounds():
    np.testing.assert_allclose(
        widened(-1.0, [-2.0, 0.0], [-1.5, -0.5]), -1 + np.hypot(1, 4.303 * 0.5) * np.r_[-1, 1],
        rtol=1e-3,
    )  # fmt: skip
    # positive everywhere: on a logarithmic scale
    low, high = widened(2.0, [1.0, 4.0], [2.0, 2.0])
    assert (low, high) == pytest.approx((1.0, 4.0))
    low, high = widened(2.0, [1.0, 4.0], [1.0, 4.0])
    assert 0 < low < 0.5
    assert low * high == pytest.approx(4.0)
    assert widened(0.9, [0.5, 1.0], [0.99, 0.4], at_most=1.0)[1] == 1.0
    assert np.isnan(widened(np.nan, [np.nan, np.nan], [np.nan, np.nan])).all()


def test_a_model_of_several_sets_is_the_first_with_wider_intervals():
    sets = sets_of()
    alone = estimate_koopman(sets[0], 2, n_bootstrap=100, random_state=0)
    model = estimate_koopman(sets, 2, n_bootstrap=100, random_state=0, timestep=1.0)
    assert isinstance(model, BootstrapKoopmanModel)
    assert len(model.refits) == 2
    np.testing.assert_array_equal(model.koopman_matrix, alone.koopman_matrix)
    for name in ("timescales_interval", "populations_interval", "koopman_matrix_interval"):
        narrow, wide = getattr(alone, name)(), getattr(model, name)()
        assert (wide[..., 0] < narrow[..., 0]).all()
        assert (wide[..., 1] > narrow[..., 1]).all()
    times = np.log([refit.timescales()[0] / model.prior.timescales()[0] for refit in model.refits])
    net = 4.303 * np.sqrt(np.mean(times**2))
    low, high = np.log(model.timescales_interval()[0] / model.prior.timescales()[0])
    data = np.log(alone.timescales_interval()[0] / alone.prior.timescales()[0])
    np.testing.assert_allclose([low, high], np.hypot(data, net) * [-1, 1], rtol=1e-3)
    bounds, bare = model.timescale_bounds(), alone.timescale_bounds()
    assert (bounds[:, 0] < bare[:, 0]).all()
    np.testing.assert_allclose(
        model.permute([1, 0]).populations_interval(), model.populations_interval()[::-1]
    )
    assert estimate_koopman(sets, 2, random_state=0).n_states == 2
    errors = ck_error(sets, 2, 10), ck_error(sets[0], 2, 10)
    assert errors[0].error == errors[1].error
    assert errors[0].standard_error > errors[1].standard_error


def test_equal_sets_change_nothing():
    one = sets_of()[0]
    alone = estimate_koopman(one, 2, n_bootstrap=50, random_state=0)
    same = estimate_koopman([one, one], 2, n_bootstrap=50, random_state=0)
    np.testing.assert_allclose(same.timescales_interval(), alone.timescales_interval())


def test_analyses_take_sets_and_widen():
    sets = sets_of(400)
    rng = np.random.default_rng(0)
    steps = rng.normal(scale=0.1, size=(400, 4, 3)) * (1 + sets[0][0][..., :1])
    positions = np.cumsum(steps, axis=0) + rng.uniform(0, 12, (4, 3))
    run = Trajectory(positions, 12 * np.eye(3), [3] * 4, timestep=1.0)
    calls = {
        "populations": lambda p: state_rdf(run, p, "element Li", r_max=5.0, n_bins=4),
        "density": lambda p: state_profile(run, p, "element Li", axis="a", n_bins=2),
        "diffusion": lambda p: transition_diffusion(run, p, "element Li", 4, method="secant"),
        "mean": lambda p: residence_times(p, timestep=1.0),
    }
    for name, call in calls.items():
        alone, several = call(sets[0]), call(sets)
        np.testing.assert_array_equal(getattr(several, name), getattr(alone, name))
        narrow, wide = (getattr(result, f"{name}_interval") for result in (alone, several))
        # equal up to the rounding of a logarithm and its inverse
        assert (wide[..., 0] <= narrow[..., 0] + 1e-9).all()
        assert (wide[..., 1] >= narrow[..., 1] * (1 - 1e-9)).all()
        assert (np.diff(wide) > np.diff(narrow)).any()
        if name == "diffusion":  # the curve inside is widened, too
            inside, bare = several.msd.msd_interval, alone.msd.msd_interval
            assert (np.diff(inside) >= np.diff(bare) * (1 - 1e-9)).all()


def test_refits_learn_from_half_of_the_data(graphs):
    pieces = _pieces(graphs, LAG)
    assert len(pieces) == 20
    frames = np.concatenate([np.arange(a, b) for _, a, b in pieces])
    np.testing.assert_array_equal(frames, np.arange(500))
    half = _half(pieces, np.random.RandomState(0))
    assert len(half) == 10
    assert half == sorted(half)
    # too little to cut: all of it, with other random numbers
    assert _pieces([graphs[0][:30]], LAG) == [(0, 0, 30)]


def test_models_with_refits(fitted, graphs):
    model = fitted.koopman_model(graphs, n_bootstrap=50, n_refits=3)
    assert len(model.refits) == 3
    again = fitted.koopman_model(graphs, n_bootstrap=50, n_refits=3)
    np.testing.assert_array_equal(again.timescales_interval(), model.timescales_interval())
    alone = fitted.koopman_model(graphs, n_bootstrap=50)
    np.testing.assert_array_equal(model.koopman_matrix, alone.koopman_matrix)
    assert (model.timescales_interval()[0, 0] < alone.timescales_interval()[0, 0]).all()
    sets = fitted.transform_refits(graphs, 2)
    assert len(sets) == 3
    for refit in sets[1:]:
        correlation = np.corrcoef(refit[0][..., 0].ravel(), sets[0][0][..., 0].ravel())[0, 1]
        assert correlation > 0.5  # the same states in the same order
        assert not np.array_equal(refit[0], sets[0][0])
    assert fitted.transform_refits(graphs, 0)[0][0].shape == sets[0][0].shape


def test_every_second_refit_is_drawn_anew(fitted, graphs, monkeypatch):
    starts = []
    fit = GDyNetEstimator.fit

    def watched(self, X, y=None):
        starts.append((self.init_from, self.n_init, self.max_epochs))
        return fit(self, X, y)

    monkeypatch.setattr(GDyNetEstimator, "fit", watched)
    fitted.transform_refits(graphs, 4)
    warm, anew = (fitted, 1, 2), (None, 1, fitted.max_epochs)
    assert starts == [warm, anew, warm, anew]


@pytest.mark.parametrize("n_refits", [-1, 1.5, True])
def test_a_bad_number_of_refits(fitted, graphs, n_refits):
    with pytest.raises((ValueError, TypeError), match="n_refits must be an integer"):
        fitted.koopman_model(graphs, n_refits=n_refits)
