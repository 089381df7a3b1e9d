"""Continuous-time Markov chains whose timescales and populations are known exactly.

Public: :func:`chain_rates`, :func:`stationary_distribution`, :func:`relaxation_timescales`,
:func:`projected_transition_matrix`. A rate matrix Q (1/ps) has rows that sum to zero, so that the
transition matrix at a lag of t picoseconds is expm(Q t).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import expm
from scipy.sparse.csgraph import connected_components

from graphkoopman._compiling import njit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# rows of a rate matrix that a user typed in decimal sum to zero only to rounding
_ROW_SUM_TOLERANCE = 1e-8


def check_rate_matrix(rate_matrix: ArrayLike) -> FloatArray:
    """Return the rate matrix as float64, or raise a ValueError that says what is wrong."""
    rates = np.array(rate_matrix, dtype=np.float64)
    if rates.ndim != 2 or rates.shape[0] != rates.shape[1] or len(rates) < 2:
        raise ValueError(
            f"rate_matrix must be square with at least 2 states, got shape {rates.shape}"
        )
    if not np.isfinite(rates).all():
        raise ValueError("rate_matrix must be finite, got NaN or infinite entries")
    off_diagonal = rates - np.diag(np.diag(rates))
    if (off_diagonal < 0).any():
        i, j = np.argwhere(off_diagonal < 0)[0]
        raise ValueError(
            f"rate_matrix must have off-diagonal entries >= 0, got {rates[i, j]:g} at ({i}, {j})"
        )
    row_sums = rates.sum(axis=1)
    if np.abs(row_sums).max() > _ROW_SUM_TOLERANCE * max(np.abs(rates).max(), 1e-300):
        raise ValueError(
            f"rate_matrix must have rows that sum to zero, got row sums {row_sums}; "
            "set each diagonal entry to minus the sum of the others in its row"
        )
    n_components, _ = connected_components(off_diagonal > 0, connection="strong")
    if n_components > 1:
        raise ValueError(
            f"rate_matrix must be irreducible, got {n_components} sets of states that do not all "
            "reach each other; add the missing rates or simulate the sets separately"
        )
    np.fill_diagonal(rates, 0.0)
    np.fill_diagonal(rates, -rates.sum(axis=1))
    return rates


def stationary_distribution(rate_matrix: ArrayLike) -> FloatArray:
    """Solve πᵀQ = 0 with Σπ = 1.

    Parameters
    ----------
    rate_matrix : ndarray of shape (n_states, n_states)
        Irreducible rate matrix in 1/ps.

    Returns
    -------
    ndarray of shape (n_states,)
        Populations.

    Examples
    --------
    >>> from graphkoopman.datasets import stationary_distribution
    >>> stationary_distribution([[-1.0, 1.0], [3.0, -3.0]]).round(6)
    array([0.75, 0.25])
    """
    rates = check_rate_matrix(rate_matrix)
    n_states = len(rates)
    scale = np.abs(rates).max()
    # the balance equations πᵀQ = 0 and Σπ = 1 in one least-squares problem, scaled alike
    equations = np.vstack([rates.T / scale, np.ones(n_states)])
    populations = np.linalg.lstsq(equations, np.append(np.zeros(n_states), 1.0), rcond=None)[0]
    return populations / populations.sum()


def relaxation_timescales(rate_matrix: ArrayLike) -> FloatArray:
    """Timescales -1/Re(λ) of the non-zero eigenvalues of a rate matrix, slowest first.

    Parameters
    ----------
    rate_matrix : ndarray of shape (n_states, n_states)
        Irreducible rate matrix in 1/ps.

    Returns
    -------
    ndarray of shape (n_states - 1,)
        Decay times in ps. Without detailed balance eigenvalues may be complex; the decay of such
        an oscillating mode is the real part, and both of its pair are listed.

    Examples
    --------
    >>> from graphkoopman.datasets import relaxation_timescales
    >>> relaxation_timescales([[-1.0, 1.0], [3.0, -3.0]]).round(6)
    array([0.25])
    """
    decay_rates = np.sort(-np.linalg.eigvals(check_rate_matrix(rate_matrix)).real)
    return 1.0 / decay_rates[1:]


def chain_rates(
    n_states: int,
    *,
    slowest: float,
    separation: float = 3.0,
    populations: ArrayLike | None = None,
) -> FloatArray:
    """Reversible rate matrix whose timescales form an exact geometric series.

    The states are split off one after the other, state 0 from all others by the slowest process,
    state 1 from the rest by the next, and so on. With Q_ij = π_j q_min(i,j) for i ≠ j the process
    that splits state v from the later ones has the eigenvalue

        -λ_v = q_v Σ_{j≥v} π_j + Σ_{u<v} q_u π_u,

    which is solved for q_v, one v at a time, so that -1/λ_v = slowest / separation**v.

    Parameters
    ----------
    n_states
        Number of states, at least 2.
    slowest
        Slowest relaxation time in ps.
    separation
        Ratio of consecutive relaxation times, above 1.
    populations : array-like of shape (n_states,), optional
        Positive stationary populations, normalised here. By default they fall linearly,
        proportional to n_states + 1, ..., 3, 2.

    Returns
    -------
    ndarray of shape (n_states, n_states)
        Rate matrix in 1/ps that obeys detailed balance; every off-diagonal rate is positive.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from graphkoopman.datasets import chain_rates, relaxation_timescales
    >>> relaxation_timescales(chain_rates(3, slowest=90.0)).round(6)
    array([90., 30.])
    """
    if n_states < 2:
        raise ValueError(f"n_states must be >= 2, got {n_states}")
    if not slowest > 0:
        raise ValueError(f"slowest must be a positive time in ps, got {slowest}")
    if not separation > 1:
        raise ValueError(f"separation must be > 1, got {separation}")
    weights = np.arange(n_states + 1, 1, -1.0) if populations is None else np.array(populations)
    if weights.shape != (n_states,) or not (weights > 0).all():
        raise ValueError(
            f"populations must be {n_states} positive numbers, got {np.asarray(populations)}"
        )
    pi = weights / weights.sum()
    rates = np.zeros((n_states, n_states))
    inherited = 0.0  # Σ_{u<v} q_u π_u
    for v in range(n_states - 1):
        # 1 / t_v = separation^v / slowest, solved for q_v
        q = (separation**v / slowest - inherited) / pi[v:].sum()
        rates[v, v + 1 :] = q * pi[v + 1 :]
        rates[v + 1 :, v] = q * pi[v]
        inherited += q * pi[v]
    np.fill_diagonal(rates, -rates.sum(axis=1))
    return rates


def check_visible(visible: ArrayLike | None, n_states: int) -> IntArray:
    """Return the map from Markov states to visible states; None is the identity."""
    if visible is None:
        return np.arange(n_states)
    mapping = np.asarray(visible)
    if mapping.shape != (n_states,) or not np.issubdtype(mapping.dtype, np.integer):
        raise ValueError(
            f"visible must hold one integer for each of the {n_states} Markov states, "
            f"got shape {mapping.shape} and dtype {mapping.dtype}"
        )
    if not np.array_equal(np.unique(mapping), np.arange(mapping.max() + 1)):
        raise ValueError(
            f"visible must use every number from 0 to its largest, got {mapping.tolist()}; "
            "renumber the visible states without gaps"
        )
    return mapping.astype(np.int64)


def projected_transition_matrix(
    rate_matrix: ArrayLike, visible: ArrayLike | None, lag: float
) -> FloatArray:
    """Exact transition matrix between visible states at one lag.

    T_AB(t) = Σ_{i∈A, j∈B} π_i [expm(Q t)]_ij / Σ_{i∈A} π_i, the large-data limit of counting
    transitions between the visible states. It is Markovian only where the projection is, so
    comparing T(n t) with T(t)ⁿ gives the exact Chapman-Kolmogorov error at every lag.

    Parameters
    ----------
    rate_matrix : ndarray of shape (n_states, n_states)
        Irreducible rate matrix in 1/ps.
    visible : array-like of int of shape (n_states,), optional
        Visible state of each Markov state; None keeps all of them apart.
    lag
        Lag in ps.

    Returns
    -------
    ndarray of shape (n_visible, n_visible)
        Row-stochastic matrix.

    Examples
    --------
    >>> from graphkoopman.datasets import projected_transition_matrix
    >>> projected_transition_matrix([[-1.0, 1.0], [3.0, -3.0]], None, 0.25).round(3)
    array([[0.842, 0.158],
           [0.474, 0.526]])
    """
    rates = check_rate_matrix(rate_matrix)
    mapping = check_visible(visible, len(rates))
    joint = stationary_distribution(rates)[:, None] * expm(rates * lag)
    membership = np.eye(mapping.max() + 1)[mapping]  # (n_states, n_visible)
    projected = membership.T @ joint @ membership
    return projected / projected.sum(axis=1, keepdims=True)


def sample_chain(
    rate_matrix: FloatArray,
    n_frames: int,
    n_chains: int,
    timestep: float,
    rng: np.random.Generator,
) -> IntArray:
    """Independent stationary chains, (n_frames, n_chains); expm(Q dt) makes every frame exact."""
    cumulative = np.cumsum(expm(rate_matrix * timestep), axis=1)
    start = np.cumsum(stationary_distribution(rate_matrix))
    uniform = rng.random((n_frames, n_chains))
    return _invert_cumulative(cumulative, start, uniform)


@njit(cache=True)
def _invert_cumulative(cumulative, start, uniform):  # pragma: no cover - compiled
    last = len(start) - 1
    labels = np.empty(uniform.shape, dtype=np.int64)
    for chain in range(uniform.shape[1]):
        row = start
        for frame in range(uniform.shape[0]):
            state = 0
            while state < last and uniform[frame, chain] > row[state]:
                state += 1
            labels[frame, chain] = state
            row = cumulative[state]
    return labels
