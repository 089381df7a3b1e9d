"""How long the states of targets are correlated: `correlation_time`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.probabilities import lagged_sums

__all__ = ["correlation_time"]

Array = NDArray[np.float64]

MOST_DOUBLINGS = 4
# Directions with less than this share of the largest (scaled) variance are rounding.
RELATIVE_RANK = 1e-12
NO_VARIANCE = 1e-14
# A process that does not decay within the data is not told from one slower than this many runs.
LONGEST = 10.0


def correlation_time(
    arrays: Sequence[NDArray[Any]], lagtime: int = 1, *, with_static: bool = False
) -> float:
    r"""Slowest relaxation time of state probabilities, in frames.

    :math:`-\tau/\ln|\lambda|` with the largest eigenvalue of :math:`C_{00}^{-1}C_{0t}` (centred)
    at the given lag, estimated again at a lag of about itself as long as it grows: where the states
    are not Markovian, a short lag time sees too fast a decay.

    Parameters
    ----------
    arrays : sequence of ndarray of shape (n_frames, n_targets, n_states)
    lagtime : int
        Lag time in frames to start with.
    with_static : bool
        Whether to count what hardly changes: a process slower than ten times the longest
        trajectory. Such are states that are a fixed property of targets; sums over all targets do
        not fluctuate with them.

    Returns
    -------
    float
        At most ten times the longest trajectory, and zero where nothing changes.
    """
    longest = max(len(array) for array in arrays)
    kept = [array for array in arrays if len(array) > lagtime]
    if not kept:
        return 0.0
    slowest = LONGEST * longest
    time = _slowest(kept, lagtime, slowest, with_static)
    for _ in range(MOST_DOUBLINGS):
        at = round(time)
        kept = [array for array in arrays if len(array) > 2 * at]
        if not kept or at <= lagtime:
            break
        again = _slowest(kept, at, slowest, with_static)
        if again < 1.5 * time:
            return max(time, again)
        time = again
    return time


def _slowest(
    arrays: Sequence[NDArray[Any]], lagtime: int, longest: float, with_static: bool
) -> float:
    n_states, n_pairs = arrays[0].shape[2], 0
    sums = np.zeros((3, n_states, n_states))
    for array in arrays:
        sums += lagged_sums(array, lagtime)[0]
        n_pairs += (len(array) - lagtime) * array.shape[1]
    c00, c0t, ctt = sums / n_pairs
    # The states sum to one, so a row of moments sums to a mean.
    mean_0, mean_t = c00.sum(axis=1), ctt.sum(axis=1)
    c00, c0t = c00 - np.outer(mean_0, mean_0), c0t - np.outer(mean_0, mean_t)
    variance = np.diag(c00)
    seen = variance > NO_VARIANCE
    if not seen.any():
        return 0.0
    # scaled by their spread, rare states count as much as populated ones in what is rounding
    scale = np.where(seen, 1.0 / np.sqrt(np.where(seen, variance, 1.0)), 0.0)
    values, vectors = np.linalg.eigh(scale[:, None] * c00 * scale)
    rank = values > RELATIVE_RANK * values[-1]
    whiten = scale[:, None] * vectors[:, rank] / np.sqrt(values[rank])
    # eigenvalues of C00⁻¹ C0t in the whitened basis: what is left of each process after the lag
    size = np.abs(np.linalg.eigvals(whiten.T @ c0t @ whiten))
    with np.errstate(divide="ignore"):
        times = -lagtime / np.log(np.clip(size, 0.0, 1.0))
    # -log 1 is minus zero: a process that never decays
    times = np.minimum(np.where(size >= 1.0, np.inf, times), longest)
    if not with_static:
        times = times[times < longest]
    return float(times.max(initial=0.0))
