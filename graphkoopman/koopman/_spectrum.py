"""Eigenvalues and eigenvectors of a matrix whose rows sum to one: `Spectrum`, `decompose`."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Spectrum", "decompose"]

Array = NDArray[np.float64]

# Components closer than this to the largest count as equally large when a sign is chosen.
_SIGN_TOLERANCE = 1e-6
_PAIR_TOLERANCE = 1e-12
# A mode that decays by less than this per lag time does not decay at all.
_NO_RELAXATION = 1e-10


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues, eigenvectors and stationary distribution of a Koopman matrix.

    Attributes
    ----------
    eigenvalues : ndarray of shape (n_states,)
        One first, then by falling magnitude; complex only if some are.
    right, left : ndarray of shape (n_states, n_states)
        Eigenvectors as columns, biorthonormal: ``left.T @ right`` is the identity.
    stationary : ndarray of shape (n_states,), float64
        First left eigenvector; sums to one.
    is_unique : bool
        Whether there is only one stationary distribution.
    """

    eigenvalues: NDArray[Any]
    right: NDArray[Any]
    left: NDArray[Any]
    stationary: Array
    is_unique: bool


def decompose(koopman_matrix: Array, reference: Array) -> Spectrum:
    r"""Spectrum with the constant first and the signs fixed.

    The constant vector is a right eigenvector by construction, so it is split off before the
    eigenvalue problem is solved. It stays first even if sampling noise makes another eigenvalue
    larger than one, and it is exact when several eigenvalues equal one.

    Parameters
    ----------
    koopman_matrix : ndarray of shape (n_states, n_states)
        Rows sum to one.
    reference : ndarray of shape (n_states,)
        Distribution used to choose among several stationary ones: the closest is returned.

    Returns
    -------
    Spectrum
    """
    n_states = len(koopman_matrix)
    complement = _complement(n_states)
    reduced = complement.T @ koopman_matrix @ complement
    stationary, is_unique = _stationary(koopman_matrix, complement, reduced, reference)

    values, vectors = _join_real_pairs(*np.linalg.eig(reduced))
    order = np.lexsort((-values.imag, -values.real, -np.round(np.abs(values), 12)))
    values, vectors = values[order], vectors[:, order]
    right = complement @ vectors
    right = right - stationary @ right  # orthogonal to the stationary distribution
    right = _normalise(right, np.abs(stationary))
    left = complement @ np.linalg.pinv(complement.T @ right).T
    return Spectrum(
        eigenvalues=np.concatenate([[1.0], values]),
        right=np.column_stack([np.ones(n_states), right]),
        left=np.column_stack([stationary, left]),
        stationary=stationary,
        is_unique=is_unique,
    )


@lru_cache(maxsize=32)
def _complement(n_states: int) -> Array:
    """Orthonormal columns orthogonal to the constant vector, (n_states, n_states - 1)."""
    complement: Array = np.linalg.svd(np.ones((1, n_states)))[2][1:].T
    complement.setflags(write=False)
    return complement


def _join_real_pairs(values: NDArray[Any], vectors: NDArray[Any]) -> tuple[Any, Any]:
    """Make real what only rounding made complex: equal real eigenvalues split into a pair."""
    if not np.iscomplexobj(values):
        return values, vectors
    rounding = (values.imag != 0) & (np.abs(values.imag) < _PAIR_TOLERANCE)
    vectors = np.where(rounding & (values.imag < 0), vectors.imag, vectors)
    vectors = np.where(rounding & (values.imag > 0), vectors.real, vectors)
    values = np.where(rounding, values.real, values)
    if np.all(values.imag == 0):
        return values.real, vectors.real
    return values, vectors


def _stationary(
    koopman_matrix: Array, complement: Array, reduced: Array, reference: Array
) -> tuple[Array, bool]:
    """Solve K^T pi = pi by the smallest correction of `reference`."""
    start = reference / reference.sum()
    residual = complement.T @ (koopman_matrix.T @ start - start)
    u, s, vt = np.linalg.svd(np.eye(len(reduced)) - reduced.T)
    solvable = s > _NO_RELAXATION
    correction = vt[solvable].T @ ((u.T @ residual)[solvable] / s[solvable])
    stationary = start + complement @ correction
    return stationary / stationary.sum(), bool(solvable.all())


def _normalise(vectors: NDArray[Any], weights: Array) -> NDArray[Any]:
    """Give each column unit weighted norm and a positive (real) largest component."""
    out = np.array(vectors)
    for column in out.T:
        norm = np.sqrt(np.sum(weights * np.abs(column) ** 2))
        if norm <= 1e-8 * np.abs(column).max():
            # An unvisited state has no weight; its mode is normalised without weights.
            norm = np.sqrt(np.sum(np.abs(column) ** 2))
        size = np.abs(column)
        leading = column[np.argmax(size >= (1.0 - _SIGN_TOLERANCE) * size.max())]
        column *= np.abs(leading) / (leading * norm)
    return out
