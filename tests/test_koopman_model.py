"""KoopmanModel: spectrum, timescales and the numbers read off a known matrix."""

import pickle

import numpy as np
import pytest
from deeptime.covariance import Covariance
from deeptime.decomposition import VAMP, TransferOperatorModel
from hypothesis import given, settings, strategies as st
from koopman_chains import CYCLE, THREE_STATE, TWO_STATE, observe, simulate, stationary

from graphkoopman.koopman import (
    FixedStateWarning,
    InvalidTimescaleWarning,
    KoopmanModel,
    OscillatingTimescaleWarning,
    StationaryDistributionWarning,
    estimate_koopman,
)


@given(a=st.floats(1e-4, 0.49), b=st.floats(1e-4, 0.49), lagtime=st.integers(1, 1000))
def test_two_states_are_analytic(a, b, lagtime):
    model = KoopmanModel([[1 - a, a], [b, 1 - b]], lagtime=lagtime, timestep=0.2)
    timescale = -lagtime / np.log1p(-(a + b))
    np.testing.assert_allclose(model.timescales(), [timescale], rtol=1e-9)
    np.testing.assert_allclose(model.timescales_ps(), [0.2 * timescale], rtol=1e-9)
    pi = np.array([b, a]) / (a + b)
    np.testing.assert_allclose(model.stationary_distribution, pi, rtol=1e-9)
    # Unit norm in pi, orthogonal to the constant.
    second = np.array([pi[1], -pi[0]]) / np.sqrt(pi[0] * pi[1])
    second *= np.sign(second[np.argmax(np.abs(second) > (1 - 1e-6) * np.abs(second).max())])
    np.testing.assert_allclose(model.eigenvectors[:, 1], second, rtol=1e-6)


@given(seed=st.integers(0, 2**32 - 1), n_states=st.integers(2, 8))
@settings(deadline=None)
def test_spectrum_of_random_stochastic_matrices(seed, n_states):
    rng = np.random.default_rng(seed)
    matrix = rng.dirichlet(np.full(n_states, 0.5), size=n_states)
    model = KoopmanModel(matrix, lagtime=1)
    values, right, left = model.eigenvalues, model.eigenvectors, model.left_eigenvectors
    np.testing.assert_array_equal(right[:, 0], 1.0)
    np.testing.assert_allclose(left[:, 0], model.stationary_distribution, atol=1e-12)
    assert np.all(np.diff(np.abs(values)) <= 1e-11)
    # 1e-8: condition number of random non-normal eigenvectors times rounding
    np.testing.assert_allclose(matrix @ right, right * values, atol=1e-8)
    np.testing.assert_allclose(left.T @ right, np.eye(n_states), atol=1e-8)
    np.testing.assert_allclose((right * values) @ left.T, matrix, atol=1e-8)
    largest = right[np.abs(right).argmax(axis=0), np.arange(n_states)]
    assert np.all(largest.real > 0)


def test_three_states_match_matrix_power():
    model = KoopmanModel(THREE_STATE, lagtime=2)
    np.testing.assert_allclose(model.stationary_distribution, stationary(THREE_STATE), rtol=1e-10)
    p0 = np.array([1.0, 0.0, 0.0])
    np.testing.assert_allclose(model.propagate(p0, 0), p0)
    np.testing.assert_allclose(model.propagate(p0, 3), p0 @ THREE_STATE @ THREE_STATE @ THREE_STATE)
    assert model.propagate(np.eye(3)[None], 2).shape == (1, 3, 3)
    assert model.timescales(1).shape == (1,)
    assert model.timescales(9).shape == (2,)


def test_is_a_deeptime_model():
    model = KoopmanModel(THREE_STATE, lagtime=2, timestep=0.5)
    assert isinstance(model, TransferOperatorModel)
    np.testing.assert_array_equal(model.forward(np.eye(3)), THREE_STATE)
    copies = model.copy(), pickle.loads(pickle.dumps(model))
    for copy in copies:
        np.testing.assert_array_equal(copy.koopman_matrix, THREE_STATE)
        np.testing.assert_array_equal(copy.timescales(), model.timescales())
        assert (copy.lagtime, copy.timestep) == (2, 0.5)
    assert repr(model) == "KoopmanModel(n_states=3, lagtime=2, timestep=0.5)"
    assert set(model.get_params()) == {"koopman_matrix", "lagtime", "timestep", "moments"}


def test_matrix_cannot_be_changed_behind_the_spectrum():
    matrix = TWO_STATE.copy()
    model = KoopmanModel(matrix, lagtime=1)
    matrix[0] = 0.5
    np.testing.assert_array_equal(model.koopman_matrix, TWO_STATE)
    with pytest.raises(ValueError, match="read-only"):
        model.koopman_matrix[0, 0] = 0.0


def test_complex_pairs_decay_with_their_envelope():
    model = KoopmanModel(CYCLE, lagtime=3, timestep=0.5)
    with pytest.warns(OscillatingTimescaleWarning, match=r"0.4\+0.3464j, .* constraint=\"revers"):
        times = model.timescales()
    # a damped rotation: the distance from equilibrium falls by |λ|^3 with every lag of three, so
    # by exp(-1) in the time given, whatever the phase
    start = np.array([1.0, 0.0, 0.0]) - 1 / 3
    power = np.linalg.matrix_power(CYCLE, 4)
    np.testing.assert_allclose(
        np.linalg.norm(start @ power), np.linalg.norm(start) * np.exp(-12 / times[0]), rtol=1e-9
    )
    np.testing.assert_array_equal(times[0], times[1])
    with pytest.warns(OscillatingTimescaleWarning):
        np.testing.assert_allclose(model.timescales_ps(1), 0.5 * times[:1])


def test_what_does_not_decay_has_no_timescale():
    flip = KoopmanModel([[0.2, 0.8], [0.8, 0.2]], lagtime=1)
    with pytest.warns(InvalidTimescaleWarning, match="eigenvalues -0.6 at lagtime 1"):
        assert np.isnan(flip.timescales()).all()
    # a rotation that grows: rows sum to one, |λ| = 1.06
    growing = np.full((3, 3), 1 / 3) + 2.0 * (CYCLE - 1 / 3)
    grows = KoopmanModel(growing, lagtime=1)
    assert np.abs(grows.eigenvalues[1]) > 1
    with pytest.warns(InvalidTimescaleWarning, match="NaN is returned"):
        assert np.isnan(grows.timescales()).all()


def test_eigenvalue_above_one_does_not_displace_the_constant():
    matrix = np.array([[1.02, -0.02], [-0.01, 1.01]])
    model = KoopmanModel(matrix, lagtime=1)
    np.testing.assert_allclose(model.eigenvalues, [1.0, 1.03])
    np.testing.assert_array_equal(model.eigenvectors[:, 0], 1.0)
    with pytest.warns(InvalidTimescaleWarning, match="eigenvalues 1.03"):
        assert np.isnan(model.timescales()).all()


def test_negative_stationary_distribution_warns():
    matrix = np.array([[0.9, 0.1], [-0.01, 1.01]])
    model = KoopmanModel(matrix, lagtime=1)
    with pytest.warns(StationaryDistributionWarning, match='constraint="stochastic"'):
        pi = model.stationary_distribution
    np.testing.assert_allclose(pi @ matrix, pi, atol=1e-12)


def test_disconnected_states_keep_the_empirical_populations():
    probs = np.eye(2)[np.repeat([[0, 0, 0, 1]], 20, axis=0)]
    with pytest.warns(FixedStateWarning, match=r"states \[0\]: 3 targets; states \[1\]: 1"):
        model = estimate_koopman(probs, 1)
    np.testing.assert_allclose(model.koopman_matrix, np.eye(2), atol=1e-12)
    with pytest.warns(StationaryDistributionWarning, match="not unique"):
        np.testing.assert_allclose(model.stationary_distribution, [0.75, 0.25])


def test_degenerate_real_eigenvalues_stay_real():
    # A symmetric star: one eigenvalue three times.
    matrix = np.full((5, 5), 0.0)
    matrix[0] = 0.2
    matrix[1:, 0], matrix[1:, 1:] = 0.3, 0.7 * np.eye(4)
    model = KoopmanModel(matrix, lagtime=1)
    assert np.isrealobj(model.eigenvalues)
    np.testing.assert_allclose(model.eigenvalues[1:4], 0.7, rtol=1e-12)


def test_score_is_deeptimes():
    states = simulate(THREE_STATE, 3000, 1, seed=0)
    probs = observe(states, 3, noise=0.3)[:, 0]
    train, test = probs[:2000], probs[2000:]
    ours = [estimate_koopman(part, 4) for part in (train, test)]
    theirs = []
    for part in (train, test):
        covariance = Covariance(
            4, compute_c0t=True, compute_ctt=True, remove_data_mean=False, bessels_correction=False
        )
        covariance.fit(part)
        theirs.append(VAMP(epsilon=1e-10).fit_from_covariances(covariance).fetch_model())
    for r in (1, 2, "E"):
        for held_out in (None, 1):
            mine = ours[0].score(r, None if held_out is None else ours[1])
            expected = theirs[0].score(r, None if held_out is None else theirs[1], epsilon=1e-10)
            np.testing.assert_allclose(mine, expected, rtol=1e-10)
    assert 1.0 < ours[0].score(2) < 3.0


def test_permutation_reorders_everything():
    probs = observe(simulate(THREE_STATE, 500, 2, seed=1), 3, noise=0.2)
    order = [2, 0, 1]
    model, expected = estimate_koopman(probs, 2), estimate_koopman(probs[..., order], 2)
    permuted = model.permute(order)
    np.testing.assert_allclose(permuted.koopman_matrix, expected.koopman_matrix, atol=1e-12)
    np.testing.assert_allclose(permuted.empirical_populations, expected.empirical_populations)
    np.testing.assert_allclose(permuted.timescales(), model.timescales(), rtol=1e-9)
    np.testing.assert_allclose(permuted.score(2), model.score(2), rtol=1e-10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: KoopmanModel([[0.9, 0.2], [0.1, 0.9]], lagtime=1), "rows that sum to one"),
        (lambda: KoopmanModel([[np.nan, 1], [0.1, 0.9]], lagtime=1), "rows that sum to one"),
        (lambda: KoopmanModel([[1.0]], lagtime=1), "at least two states"),
        (lambda: KoopmanModel(TWO_STATE, lagtime=0), "lagtime must be a positive"),
        (lambda: KoopmanModel(TWO_STATE, lagtime=1, timestep=0.0), "timestep must be positive"),
        (lambda: KoopmanModel(TWO_STATE, lagtime=1).timescales_ps(), "pass timestep="),
        (lambda: KoopmanModel(TWO_STATE, lagtime=1).score(), "score needs the moments"),
        (
            lambda: KoopmanModel(TWO_STATE, lagtime=1).empirical_populations,
            "empirical_populations needs the moments",
        ),
        (lambda: KoopmanModel(TWO_STATE, lagtime=1).propagate([1, 0, 0]), r"2 states .* \(3,\)"),
        (lambda: KoopmanModel(TWO_STATE, lagtime=1).propagate([1, 0], -1), "n must be a whole"),
        (lambda: KoopmanModel(TWO_STATE, lagtime=1).permute([0, 0]), r"permutation of 0\.\.\.1"),
        (
            lambda: KoopmanModel([[1.1, -0.1], [0.1, 0.9]], lagtime=1).to_msm(),
            'constraint="stochastic"',
        ),
    ],
)
def test_errors_name_the_argument_and_the_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()
