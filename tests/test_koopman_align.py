"""Matching of states between models."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from koopman_chains import THREE_STATE, observe, simulate

from graphkoopman.koopman import align_states, state_correlation

STATES = simulate(THREE_STATE, 300, 2, seed=0)
PROBS = observe(STATES, 3, noise=0.2)


@given(order=st.permutations(range(3)), noise=st.floats(0.0, 0.8))
@settings(deadline=None)
def test_permuted_and_noisy_states_are_matched(order, noise):
    other = observe(STATES, 3, noise=noise, seed=1)[..., order]
    found = align_states(PROBS, other)
    np.testing.assert_array_equal(np.asarray(order)[found], [0, 1, 2])


def test_rare_states_count_as_much_as_common_ones():
    # Both states of the second model overlap most with the common state.
    labels = np.repeat([0, 1], [980, 20])
    reference = np.eye(2)[labels]
    other = 0.55 + 0.4 * (reference - 0.5)[:, ::-1]
    other /= other.sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(align_states(reference, other), [1, 0])


def test_lists_of_trajectories_and_of_models():
    order = [1, 2, 0]
    parts = [PROBS[:100], PROBS[100:]]
    others = [part[..., order] for part in parts]
    np.testing.assert_array_equal(align_states(parts, others), [2, 0, 1])
    several = align_states(PROBS, [PROBS, PROBS[..., order]])
    np.testing.assert_array_equal(several, [[0, 1, 2], [2, 0, 1]])
    several = align_states(parts, [parts, others])
    np.testing.assert_array_equal(several, [[0, 1, 2], [2, 0, 1]])


def test_correlation_is_numpys():
    other = observe(STATES, 3, noise=0.6, seed=2)
    rows = np.concatenate([PROBS.reshape(-1, 3), other.reshape(-1, 3)], axis=1)
    expected = np.corrcoef(rows.T)[:3, 3:]
    np.testing.assert_allclose(state_correlation(PROBS, other), expected, atol=1e-12)


def test_a_constant_state_correlates_with_nothing():
    padded = np.insert(PROBS, 3, 0.0, axis=-1)
    np.testing.assert_array_equal(state_correlation(padded, padded)[3], 0.0)
    np.testing.assert_array_equal(align_states(padded, padded[..., [3, 0, 1, 2]]), [1, 2, 3, 0])


def test_different_frames_are_an_error():
    with pytest.raises(ValueError, match=r"reference \[\(300, 2, 3\)\], got \[\(299, 2, 3\)\]"):
        align_states(PROBS, PROBS[1:])
