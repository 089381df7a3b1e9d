"""The free Koopman matrix K = C00^-1 C0t by a rank-revealing solve: `solve_koopman`."""

import warnings

import numpy as np
from numpy.typing import NDArray

from graphkoopman.koopman._moments import LaggedMoments
from graphkoopman.koopman._warnings import RankDeficientWarning

__all__ = ["solve_koopman", "undetermined_states"]

Array = NDArray[np.float64]

# A state seen with mean square probability below this was never visited.
_UNVISITED = 1e-14
# Float32 rounding makes two identical states differ by a variance of 1e-14 of their own.
_RELATIVE_CUTOFF = 1e-12


def solve_koopman(moments: LaggedMoments, *, warn: bool = True) -> Array:
    r"""Koopman matrix of eq. (2) by least squares, without ridge.

    .. math::
        K = C_{00}^{-1} C_{0t},\qquad \chi_{t+\tau}\approx K^T\chi_t

    Parameters
    ----------
    moments : LaggedMoments
        Uncentred moments of the states.
    warn : bool
        Whether to report directions that the data leave undetermined.

    Returns
    -------
    ndarray of shape (n_states, n_states), float64
        Its rows sum to one.

    Warns
    -----
    RankDeficientWarning
        If a state is never visited, or states are linearly dependent.

    Notes
    -----
    :math:`C_{00}` is scaled to a unit diagonal, so that a rare state is not mistaken for a missing
    one, and eigenvalues below 1e-12 of the largest are left out. What remains undetermined does
    not change the prediction of any frame seen: the part of the constant function that lies there
    is sent to the mean of :math:`\chi_{t+\tau}`. The row of a state that was never visited is
    therefore that mean, and identical states share their row; each contributes an eigenvalue 0.
    """
    visited = np.diag(moments.c00) > _UNVISITED
    scale = np.where(visited, np.sqrt(np.where(visited, np.diag(moments.c00), 1.0)), 0.0)
    inverse_scale = np.divide(1.0, scale, out=np.zeros_like(scale), where=visited)
    values, vectors = np.linalg.eigh(inverse_scale[:, None] * moments.c00 * inverse_scale)
    kept = values > _RELATIVE_CUTOFF * values[-1]
    if warn and not kept.all():
        warnings.warn(
            undetermined_states(visited, int(kept.sum())), RankDeficientWarning, stacklevel=5
        )
    basis = inverse_scale[:, None] * vectors[:, kept]
    koopman_matrix = (basis / values[kept]) @ (basis.T @ moments.c0t)
    # Also removes the rounding error of an ill-conditioned solve from the row sums.
    missing = 1.0 - koopman_matrix.sum(axis=1)
    return koopman_matrix + np.outer(missing, moments.mean_t / moments.mean_t.sum())


def undetermined_states(visited: NDArray[np.bool_], rank: int) -> str:
    """Message that says which states the data leave undetermined, and what to do."""
    n_states = len(visited)
    unvisited = np.flatnonzero(~visited).tolist()
    cause = f"states {unvisited} are never visited" if unvisited else ""
    if rank < n_states - len(unvisited):
        n_dependent = n_states - len(unvisited) - rank
        joint = " and " if cause else ""
        cause += f"{joint}{n_dependent} of the visited states depend linearly on the others"
    return (
        f"probs span only {rank} of {n_states} states: {cause}; the undetermined part of the "
        "Koopman matrix relaxes to the mean populations in one lag time. Use fewer states or more "
        "data"
    )
