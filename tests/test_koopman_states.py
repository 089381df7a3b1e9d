"""States are found again behind any mixing; singular functions are deeptime's."""

import numpy as np
import pytest
from deeptime.decomposition import VAMP
from hypothesis import given, strategies as st

from graphkoopman.koopman import identify_states, inner_simplex, singular_functions

LAG = 3


def trajectory_of(n_states, n_frames, seed):
    """One-hot states of a chain that leaves a state every 20 frames, unequal populations."""
    rng = np.random.default_rng(seed)
    targets = rng.dirichlet(np.full(n_states, 4.0))
    states = np.zeros(n_frames, int)
    for t in range(1, n_frames):
        stay = rng.random() > 1 / 20
        states[t] = states[t - 1] if stay else rng.choice(n_states, p=targets)
    return np.eye(n_states)[states]


def mixed(states, seed):
    """Softmax-like features: a random invertible mixture of the states, rows sum to one."""
    rng = np.random.default_rng(seed)
    n_states = states.shape[1]
    mixing = 0.6 * np.eye(n_states) + 0.4 * rng.dirichlet(np.ones(n_states), size=n_states)
    return states @ mixing


@given(st.integers(2, 5), st.integers(0, 30))
def test_states_behind_a_mixture(n_states, seed):
    states = trajectory_of(n_states, 3000, seed)
    chi = mixed(states, seed + 100)
    found = identify_states(chi[:-LAG], chi[LAG:])
    memberships = found(chi)
    order = np.argsort(-states[:-LAG].mean(axis=0), kind="stable")
    # exact but for rounding in the inverse of a mixture whose condition is below a hundred
    np.testing.assert_allclose(memberships, states[:, order], atol=1e-9)
    np.testing.assert_allclose(found.populations, states[:-LAG].mean(axis=0)[order], atol=1e-9)
    assert found.n_distinct == n_states
    assert found.clipped_mass == pytest.approx(0.0, abs=1e-9)


def test_what_noise_cuts_off_is_counted():
    states = trajectory_of(2, 5000, 0)
    noise = np.random.default_rng(1).normal(0.0, 0.05, len(states))
    chi = mixed(states, 2) + np.column_stack([noise, -noise])
    found = identify_states(chi[:-LAG], chi[LAG:])
    raw = chi[:-LAG] @ found.weight + found.bias
    assert found.clipped_mass == pytest.approx(np.maximum(-raw, 0.0).sum(axis=1).mean())
    assert 0.005 < found.clipped_mass < 0.1
    np.testing.assert_allclose(found(chi).sum(axis=1), 1.0, atol=1e-12)
    assert np.abs(found.populations - np.sort(states[:-LAG].mean(axis=0))[::-1]).max() < 0.02


def test_features_of_fewer_states_leave_states_empty():
    states = trajectory_of(2, 2000, 3)
    chi = states @ [[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]]
    found = identify_states(chi[:-LAG], chi[LAG:])
    assert found.n_distinct == 2
    assert np.all(found(chi)[:, 2] == 0.0)


CONSTANT, CHANGING = np.full((50, 2), 0.5), mixed(trajectory_of(2, 50, 4), 5)


@pytest.mark.parametrize(
    ("chi_0", "chi_t"), [(CONSTANT, CONSTANT), (CONSTANT, CHANGING), (CHANGING, CONSTANT)]
)
def test_constant_features_are_one_state(chi_0, chi_t):
    found = identify_states(chi_0, chi_t)
    assert found.n_distinct == 1
    np.testing.assert_array_equal(found(chi_0), np.tile([1.0, 0.0], (50, 1)))
    assert singular_functions(chi_0, chi_t)[0].shape == (2, 0)


def test_singular_functions_are_those_of_deeptime():
    chi = mixed(trajectory_of(4, 4000, 6), 7)
    coefficients, offset = singular_functions(chi[:-LAG], chi[LAG:])
    functions = (chi[:-LAG] - offset) @ coefficients
    np.testing.assert_allclose(functions.mean(axis=0), 0.0, atol=1e-10)
    np.testing.assert_allclose(np.cov(functions.T, bias=True), np.eye(3), atol=1e-8)
    theirs = VAMP(lagtime=LAG, epsilon=1e-12).fit_fetch((chi[:-LAG], chi[LAG:]))
    ours_of_theirs = np.corrcoef(functions.T, theirs.transform(chi[:-LAG]).T[:3])[:3, 3:]
    # the same functions in the same order, up to their sign
    np.testing.assert_allclose(np.abs(ours_of_theirs), np.eye(3), atol=1e-6)


@given(st.integers(1, 4), st.integers(0, 50))
def test_corners_of_a_simplex(dim, seed):
    rng = np.random.default_rng(seed)
    corners = rng.normal(size=(dim + 1, dim)) + 3.0 * np.eye(dim + 1, dim)
    inside = rng.dirichlet(np.full(dim + 1, 2.0), size=200) @ corners
    found = inner_simplex(np.concatenate([inside, corners]))
    # every corner once, in whatever order
    distance = np.linalg.norm(found[:, None] - corners[None], axis=2)
    assert sorted(distance.argmin(axis=1)) == list(range(dim + 1))
    np.testing.assert_allclose(distance.min(axis=1), 0.0, atol=1e-12)


def test_points_on_a_line_span_no_plane():
    line = np.linspace(-1.0, 1.0, 20)[:, None] * [[1.0, 2.0]]
    assert inner_simplex(line) is None
