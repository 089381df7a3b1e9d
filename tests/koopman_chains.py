"""Chains and probabilities that several tests of the Koopman layer share."""

import numpy as np

from graphkoopman.koopman import LaggedMoments

TWO_STATE = np.array([[0.98, 0.02], [0.06, 0.94]])
THREE_STATE = np.array([[0.97, 0.02, 0.01], [0.04, 0.95, 0.01], [0.02, 0.01, 0.97]])
FOUR_STATE = np.array(
    [[0.93, 0.05, 0.02, 0], [0.08, 0.9, 0.02, 0], [0.03, 0.02, 0.85, 0.1], [0, 0, 0.12, 0.88]]
)
FIVE_STATE = np.array(
    [
        [0.9, 0.1, 0, 0, 0],
        [0.1, 0.87, 0.03, 0, 0],
        [0, 0.04, 0.94, 0.02, 0],
        [0, 0, 0.03, 0.85, 0.12],
        [0, 0, 0, 0.2, 0.8],
    ]
)
CYCLE = np.array([[0.6, 0.4, 0.0], [0.0, 0.6, 0.4], [0.4, 0.0, 0.6]])


def stationary(transition):
    """Stationary distribution by brute force."""
    return np.linalg.matrix_power(transition, 2**20)[0]


def simulate(transition, n_frames, n_targets, seed, *, shared=False):
    """States (n_frames, n_targets) from the stationary start; `shared`: all targets alike."""
    rng = np.random.default_rng(seed)
    cumulative = np.cumsum(transition, axis=1)[:, :-1]
    width = 1 if shared else n_targets
    draws = rng.random((n_frames, width))
    states = np.empty((n_frames, width), dtype=int)
    states[0] = (draws[0, :, None] > np.cumsum(stationary(transition))[:-1]).sum(axis=1)
    for t in range(1, n_frames):
        states[t] = (draws[t, :, None] > cumulative[states[t - 1]]).sum(axis=1)
    return np.repeat(states, n_targets, axis=1) if shared else states


def observe(states, n_states, noise=0.0, seed=0):
    """Probabilities (n_frames, n_targets, n_states), mixed with independent uniform noise."""
    crisp = np.eye(n_states)[states]
    if noise == 0.0:
        return crisp
    rng = np.random.default_rng(seed)
    return (1 - noise) * crisp + noise * rng.dirichlet(np.ones(n_states), size=states.shape)


def exact_moments(transition, lagtime, start=None):
    """Moments of infinitely many pairs of a crisp chain, from `start` or from equilibrium."""
    start = stationary(transition) if start is None else np.asarray(start)
    step = np.linalg.matrix_power(transition, lagtime)
    c00 = np.diag(start)
    return LaggedMoments(c00, c00 @ step, np.diag(start @ step), start, 10**9, lagtime)


def seen_through_noise(transition, lagtime, noise):
    """Exact populations and timescales (frames) of a chain whose probabilities `observe` mixes.

    Noise of single frames is in C00 and not in C0t, so K decays faster than the chain.
    """
    n_states = len(transition)
    mean = (1 - noise) * np.eye(n_states) + noise / n_states
    # covariance of uniform Dirichlet noise
    scatter = (np.eye(n_states) / n_states - 1 / n_states**2) / (n_states + 1)
    weighted = mean.T * stationary(transition)
    c00 = weighted @ mean + noise**2 * scatter
    c0t = weighted @ np.linalg.matrix_power(transition, lagtime) @ mean
    decay = np.sort(np.linalg.eigvals(np.linalg.solve(c00, c0t)).real)[::-1]
    return stationary(transition) @ mean, -lagtime / np.log(decay[1:])
