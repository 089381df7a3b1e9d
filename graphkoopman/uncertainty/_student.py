"""Numbers of units from weights, and quantiles: `effective_units`, `t_quantile`."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = ["CONFIDENCE", "effective_units", "t_quantile"]

Array = NDArray[np.float64]

CONFIDENCE = 0.95
# Below this many degrees of freedom a single unit holds nearly all the data: nothing is known
# about the scatter.
FEWEST_DEGREES = 0.5


def effective_units(weights: ArrayLike) -> Array:
    r"""Number of units of equal weight with the same information.

    .. math:: n_\mathrm{eff} = \frac{(\sum_u w_u)^2}{\sum_u w_u^2}

    Parameters
    ----------
    weights : array-like of shape (n_units, ...)
        Not negative.

    Returns
    -------
    ndarray of shape (...)
        Zero where all weights are.

    References
    ----------
    Kish, Survey Sampling (Wiley, 1965).

    Examples
    --------
    >>> from graphkoopman.uncertainty import effective_units
    >>> effective_units([1.0, 1.0, 2.0]).round(3)
    np.float64(2.667)
    """
    weights = np.asarray(weights, dtype=np.float64)
    total, squares = weights.sum(axis=0), (weights**2).sum(axis=0)
    return np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)[()]


def t_quantile(n_units: ArrayLike, confidence: float = CONFIDENCE) -> Array:
    """Two-sided quantile of Student's t for a number of independent units.

    Parameters
    ----------
    n_units : array-like of shape (...)
        One more than the degrees of freedom; need not be whole.
    confidence : float
        Coverage aimed at.

    Returns
    -------
    ndarray of shape (...)
        Infinite below half a degree of freedom.

    Examples
    --------
    >>> from graphkoopman.uncertainty import t_quantile
    >>> t_quantile([1, 2, 10, 1000]).round(2)
    array([  inf, 12.71,  2.26,  1.96])
    """
    degrees = np.asarray(n_units, dtype=np.float64) - 1.0
    known = degrees >= FEWEST_DEGREES
    quantile = stats.t.ppf(0.5 * (1.0 + confidence), np.where(known, degrees, 1.0))
    return np.where(known, quantile, np.inf)[()]
