"""How far the data are correlated: `correlation_time`, `are_targets_independent`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.koopman._model import implied_timescales_of
from graphkoopman.koopman._moments import Moments, accumulate, lagged_moments
from graphkoopman.koopman._solve import solve_koopman
from graphkoopman.probabilities import as_probabilities

__all__ = ["are_targets_independent", "correlation_time"]

Array = NDArray[np.float64]

_MAX_LAG_DOUBLINGS = 4


def correlation_time(arrays: list[NDArray[Any]], pooled: Moments) -> float:
    """Slowest relaxation time in the data, in frames.

    The slowest timescale of K at the given lag time, estimated again at a lag of about itself as
    long as it grows: where the states are not Markovian, a short lag time sees too fast a decay.

    Parameters
    ----------
    arrays : list of ndarray of shape (n_frames, n_targets, n_states)
    pooled : Moments
        Pooled moments at the lag time.

    Returns
    -------
    float
        At least the lag time; at most the longest trajectory.
    """
    longest = max(len(array) for array in arrays)
    time = _slowest(pooled, longest)
    for _ in range(_MAX_LAG_DOUBLINGS):
        lagtime = round(time)
        kept = [array for array in arrays if len(array) > 2 * lagtime]
        if not kept or lagtime <= pooled.lagtime:
            break
        again = _slowest(lagged_moments(kept, lagtime), longest)
        if again < 1.5 * time:
            return max(time, again)
        time = again
    return time


def _slowest(moments: Moments, longest: int) -> float:
    """Slowest timescale of the free estimate, between the lag time and the longest trajectory."""
    matrix = solve_koopman(moments, warn=False)
    eigenvalues = np.linalg.eigvals(matrix)
    # Drop the constant; the rest decide by their decay whether or not they oscillate.
    others = np.sort(np.abs(np.delete(eigenvalues, np.argmin(np.abs(eigenvalues - 1.0)))))
    if others[-1] >= 1.0:
        return float(longest)
    time = implied_timescales_of(others[-1:], moments.lagtime)[0]
    return float(np.clip(np.nan_to_num(time), moments.lagtime, max(longest, moments.lagtime)))


def are_targets_independent(arrays: list[NDArray[Any]], pooled: Moments, time: float) -> bool:
    r"""Whether targets of the same trajectory fluctuate independently of one another.

    The lagged covariance of the mean over n targets is 1/n of that of one target if they are
    independent, and up to n times larger if they follow a common mode. Lagged, because noise in
    single frames is independent even where the states are not.

    Parameters
    ----------
    arrays : list of ndarray of shape (n_frames, n_targets, n_states)
    pooled : Moments
        Pooled moments.
    time : float
        Correlation time in frames.

    Returns
    -------
    bool
        False if the ratio exceeds one by more than two and a half standard errors in any state.
    """
    single = np.diag(pooled.c0t) - pooled.mean**2
    observed, expected, n_frames = np.zeros(pooled.n_states), np.zeros(pooled.n_states), 0
    for array in arrays:
        if array.shape[1] == 1:
            continue
        # (n_frames, n_states); small, whatever the number of targets
        mean = np.concatenate([as_probabilities(part).mean(axis=1) for part in _parts(array)])
        sums, totals = accumulate(mean[:, None, :], pooled.lagtime)
        second = mean[pooled.lagtime :].sum(axis=0)
        n_pairs = len(mean) - pooled.lagtime
        deviation = np.diag(sums[1]) - pooled.mean * (totals + second) + n_pairs * pooled.mean**2
        observed += deviation
        expected += n_pairs * single / array.shape[1]
        n_frames += n_pairs
    visible = single > 1e-12
    ratio = observed[visible] / expected[visible]
    standard_error = np.sqrt(2.0 * time / n_frames)
    return bool(np.all(ratio < 1.0 + 2.5 * standard_error))


def _parts(array: NDArray[Any]) -> list[NDArray[Any]]:
    n_rows = max(1, 2**21 // (array.shape[1] * array.shape[2]))
    return [array[start : start + n_rows] for start in range(0, len(array), n_rows)]
