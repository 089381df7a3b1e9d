r"""States that remember more than one lag time: `transfer_tensors`, `propagators`.

A Koopman matrix of states that do not span an invariant space predicts one lag time only. What is
observed after 1, 2, ... lag times gives the discrete memory kernel of the states, and with it all
times.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.trajectories import check_integer

__all__ = ["propagators", "transfer_tensors"]

Array = NDArray[np.float64]


def transfer_tensors(matrices: ArrayLike) -> Array:
    r"""Discrete memory kernel of state probabilities.

    .. math:: K(n\tau)=\sum_{m=1}^{n}T_m\,K((n-m)\tau),\qquad K(0)=1

    :math:`T_1=K(\tau)`, and the others are zero for states without memory.

    Parameters
    ----------
    matrices : array-like of shape (..., n_lags, n_states, n_states)
        :math:`K(\tau), K(2\tau), \ldots`, as `GDyNetEstimator.koopman_models` and
        `estimate_koopman` give them at multiples of a lag time.

    Returns
    -------
    tensors : ndarray of shape (..., n_lags, n_states, n_states)
        :math:`T_1, T_2, \ldots` Their size tells how long states remember.

    Raises
    ------
    ValueError
        For another shape.

    Notes
    -----
    Each tensor is a difference of what was observed; where data are few, long ones are noise, and
    adding them spoils a prediction.

    References
    ----------
    .. [1] J. Cerrillo and J. Cao, Phys. Rev. Lett. 112, 110401 (2014), eqs. (3), (4).

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.generation import transfer_tensors
    >>> k = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> np.abs(transfer_tensors([k, k @ k, k @ k @ k])[1:]).max().round(12)
    np.float64(0.0)
    """
    given = np.asarray(matrices, dtype=np.float64)
    if given.ndim < 3 or given.shape[-1] != given.shape[-2] or not given.size:
        raise ValueError(
            "matrices must have shape (n_lags, n_states, n_states), Koopman matrices at 1, 2, ... "
            f"lag times, got {given.shape}"
        )
    tensors = np.empty_like(given)
    for n in range(given.shape[-3]):
        known = sum(
            (tensors[..., m, :, :] @ given[..., n - 1 - m, :, :] for m in range(n)),
            np.zeros_like(given[..., 0, :, :]),
        )
        tensors[..., n, :, :] = given[..., n, :, :] - known
    return tensors


def propagators(tensors: ArrayLike, n_steps: int) -> Array:
    r"""State probabilities after 0, 1, 2, ... lag times, by `transfer_tensors`.

    Parameters
    ----------
    tensors : array-like of shape (..., n_lags, n_states, n_states)
        Later ones count as zero.
    n_steps : int

    Returns
    -------
    ndarray of shape (n_steps + 1, ..., n_states, n_states)
        :math:`K(n\tau)`; the matrices that tensors were made of, and what follows.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.generation import propagators
    >>> propagators([[[0.9, 0.1], [0.2, 0.8]]], 2)[2].round(3)
    array([[0.83, 0.17],
           [0.34, 0.66]])
    """
    kernel = np.asarray(tensors, dtype=np.float64)
    check_integer(n_steps, "n_steps", 0)
    found = np.zeros((n_steps + 1, *kernel.shape[:-3], *kernel.shape[-2:]))
    found[0] = np.eye(kernel.shape[-1])
    for n in range(1, n_steps + 1):
        for m in range(min(n, kernel.shape[-3])):
            found[n] += kernel[..., m, :, :] @ found[n - 1 - m]
    return found
