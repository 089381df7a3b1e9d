r"""Koopman matrices that satisfy constraints exactly: `stochastic`, `reversible`.

Both solve the same convex problem, the matrix closest to the free estimate in the norm of the
prediction error,

.. math::
    \min_K \|C_{00}^{1/2}(K - K_\mathrm{free})\|_F
    = \min_K \langle\|\chi_{t+\tau} - K^T\chi_t\|^2\rangle + \mathrm{const},

with different linear constraints.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from graphkoopman.koopman._spectrum import decompose

__all__ = ["reversible", "stochastic"]

Array = NDArray[np.float64]

_FEASIBLE = 1e-12
# Directions without data are given this share of the largest moment, to make the answer unique.
_FLOOR = 1e-8


def stochastic(free: Array, c00: Array) -> Array:
    """Row-stochastic matrix with the smallest prediction error.

    Parameters
    ----------
    free : ndarray of shape (n_states, n_states)
        Free estimate; rows sum to one.
    c00 : ndarray of shape (n_states, n_states)
        Instantaneous moment, the metric of the error.

    Returns
    -------
    ndarray of shape (n_states, n_states)
        Non-negative, rows sum to one; `free` itself where it is already.
    """
    if free.min() >= 0.0:
        return free
    return _closest(free, c00, _row_sums(len(free)), np.ones(len(free)))


def reversible(free: Array, c00: Array, reference: Array) -> Array:
    r"""Row-stochastic matrix in detailed balance with its stationary distribution.

    .. math::
        \pi_i K_{ij} = \pi_j K_{ji}

    Parameters
    ----------
    free : ndarray of shape (n_states, n_states)
        Free estimate; rows sum to one.
    c00 : ndarray of shape (n_states, n_states)
        Instantaneous moment, the metric of the error.
    reference : ndarray of shape (n_states,)
        Empirical populations; choose among several stationary distributions.

    Returns
    -------
    ndarray of shape (n_states, n_states)

    Notes
    -----
    :math:`\pi` is the stationary distribution of the stochastic estimate, which is kept; the
    matrix closest to the free estimate is then sought among those in detailed balance with it.
    An estimate that is reversible already, as every two-state one is, is returned unchanged.
    """
    start = stochastic(free, c00)
    stationary = decompose(start, reference).stationary
    # Transient states have no population, but rounding may give them some.
    stationary = np.where(stationary > _FEASIBLE, stationary, 0.0)
    stationary /= stationary.sum()
    flux = stationary[:, None] * start
    if np.abs(flux - flux.T).max() <= _FEASIBLE:
        return start
    n_states = len(free)
    balance = []
    for i in range(n_states):
        for j in range(i):
            if stationary[i] == stationary[j] == 0.0:
                continue
            row = np.zeros((n_states, n_states))
            row[i, j], row[j, i] = stationary[i], -stationary[j]
            # Scaled, so that a rare state's balance is met as well as a common one's.
            balance.append(row.ravel() / max(stationary[i], stationary[j]))
    equalities = np.vstack([_row_sums(n_states), *balance])
    right_side = np.concatenate([np.ones(n_states), np.zeros(len(balance))])
    return _closest(free, c00, equalities, right_side)


def _row_sums(n_states: int) -> Array:
    """Matrix that maps a flattened Koopman matrix to its row sums."""
    return np.repeat(np.eye(n_states), n_states, axis=1)


def _closest(free: Array, c00: Array, equalities: Array, right_side: Array) -> Array:
    """Non-negative matrix closest to `free` in the metric `c00`, under linear equalities."""
    n_states = len(free)
    values, vectors = np.linalg.eigh(c00)
    root = np.sqrt(np.maximum(values, _FLOOR * values[-1]))[:, None] * vectors.T
    # || C00^(1/2) (K - K_free) || as a least-squares problem in the entries of K
    metric = np.kron(root, np.eye(n_states))
    target = metric @ free.ravel()

    start, null = _affine_space(equalities, right_side)
    q, r = np.linalg.qr(metric @ null)
    free_coordinates = q.T @ (target - metric @ start)
    directions = np.linalg.solve(r.T, null.T).T
    # The margin keeps entries that the equalities fix at zero feasible in spite of rounding.
    bounds = -(start + directions @ free_coordinates) - _FEASIBLE
    solution = start + directions @ (free_coordinates + _least_distance(directions, bounds))
    polished = _polish(solution, metric, target, equalities, right_side)
    return polished.reshape(n_states, n_states)


def _least_distance(g: Array, h: Array) -> Array:
    """Shortest y with ``g @ y >= h`` (Lawson and Hanson's LDP, by non-negative least squares)."""
    dual = np.vstack([g.T, h])
    unit = np.zeros(len(dual))
    unit[-1] = 1.0
    multipliers, _ = nnls(dual, unit, maxiter=30 * dual.shape[1])
    residual = dual @ multipliers - unit
    # the residual of the dual problem points to the shortest y
    shortest: Array = -residual[:-1] / residual[-1]
    return shortest


def _polish(
    solution: Array, metric: Array, target: Array, equalities: Array, right_side: Array
) -> Array:
    """Solve once more on the support found, so that the constraints hold to rounding."""
    support = solution > 1e-9
    polished = np.zeros_like(solution)
    for _ in range(len(solution)):
        start, null = _affine_space(equalities[:, support], right_side)
        columns = metric[:, support]
        coordinates = np.linalg.lstsq(columns @ null, target - columns @ start, rcond=None)[0]
        polished[:] = 0.0
        polished[support] = start + null @ coordinates
        if polished.min() >= 0.0:
            break
        support &= polished > 0.0
    return polished


def _affine_space(equalities: Array, right_side: Array) -> tuple[Array, Array]:
    """One solution of ``equalities @ x = right_side`` and a basis of the null space."""
    u, s, vt = np.linalg.svd(equalities)
    rank = int(np.sum(s > 1e-12 * s[0]))
    start = vt[:rank].T @ ((u.T @ right_side)[:rank] / s[:rank])
    return start, vt[rank:].T
