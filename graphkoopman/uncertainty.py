"""What every interval rests on: `effective_units`, `t_quantile`, `block_counts`.

Estimates of `koopman`, `structure` and `transport` resample different things, but all take a number
of independent units from weights, quantiles from Student's t, and blocks from runs of any lengths.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = ["CONFIDENCE", "FEWEST_BLOCKS", "block_counts", "effective_units", "t_quantile"]

Array = NDArray[np.float64]

CONFIDENCE = 0.95
# Fewer blocks have a quantile above four, and an interval that hardly says anything.
FEWEST_BLOCKS = 4


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


def t_quantile(n_units: ArrayLike, confidence: float = CONFIDENCE, fewest: float = 1e-9) -> Array:
    """Two-sided quantile of Student's t for a number of independent units.

    Parameters
    ----------
    n_units : array-like of shape (...)
        Need not be whole.
    confidence : float
        Coverage aimed at.
    fewest : float
        Degrees of freedom, one less than the units, below which nothing is known of the scatter.

    Returns
    -------
    ndarray of shape (...)
        Infinite below ``fewest`` degrees of freedom.

    Examples
    --------
    >>> from graphkoopman.uncertainty import t_quantile
    >>> t_quantile([1, 2, 10, 1000]).round(2)
    array([  inf, 12.71,  2.26,  1.96])
    """
    degrees = np.asarray(n_units, dtype=np.float64) - 1.0
    known = degrees >= fewest
    quantile = stats.t.ppf(0.5 * (1.0 + confidence), np.where(known, degrees, 1.0))
    return np.where(known, quantile, np.inf)[()]


def block_counts(
    lengths: Sequence[int],
    block: float,
    *,
    shortest: float = 1.0,
    copies: Sequence[int] | None = None,
) -> list[int]:
    """Number of blocks of time in each run.

    Parameters
    ----------
    lengths : sequence of n_runs ints
        Frames of each run.
    block : float
        Frames that a block should have; it shrinks until there are four blocks.
    shortest : float
        Frames below which it does not shrink.
    copies : sequence of n_runs ints or None
        Units that a block of each run is worth, such as its targets; one by default.

    Returns
    -------
    counts : list of n_runs ints
        At least one, and at most the frames of a run.

    Examples
    --------
    >>> from graphkoopman.uncertainty import block_counts
    >>> block_counts([1000, 250], 100.0)
    [10, 2]
    """
    copies = [1] * len(lengths) if copies is None else copies
    while True:
        counts = [max(1, min(int(n / block), n)) for n in lengths]
        if np.dot(counts, copies) >= FEWEST_BLOCKS or block <= shortest:
            return counts
        block = max(block / 1.1, shortest)
