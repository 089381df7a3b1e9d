"""Lagged second moments of state probabilities: `LaggedMoments`, `lagged_moments`.

Every estimate of this layer is a function of these moments. They are uncentred, pooled over
trajectories and targets, and accumulated in float64 whatever the dtype of the probabilities.
"""

import operator
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.koopman._warnings import SkippedTrajectoryWarning
from graphkoopman.probabilities import as_probabilities, lagged_sums, probability_arrays
from graphkoopman.ranks import Reducer

__all__ = ["LaggedMoments", "check_lagtime", "lagged_moments"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LaggedMoments:
    r"""Uncentred moments of state probabilities at one lag time.

    Averages run over all pairs of frames :math:`(t, t+\tau)` of all targets and trajectories.

    Attributes
    ----------
    c00, c0t, ctt : ndarray of shape (n_states, n_states), float64
        :math:`\langle\chi_t\chi_t^T\rangle`, :math:`\langle\chi_t\chi_{t+\tau}^T\rangle` and
        :math:`\langle\chi_{t+\tau}\chi_{t+\tau}^T\rangle`.
    mean : ndarray of shape (n_states,), float64
        Mean probability over *all* frames, which is the empirical population of each state.
    n_pairs : int
        Number of pairs, summed over targets and trajectories.
    lagtime : int
        Lag time in frames.
    double : LaggedMoments or None
        Moments of the same data at twice the lag, where they are known.
    """

    c00: Array
    c0t: Array
    ctt: Array
    mean: Array
    n_pairs: int
    lagtime: int
    double: "LaggedMoments | None" = None

    @property
    def n_states(self) -> int:
        """Number of states."""
        return self.c00.shape[0]

    @property
    def mean_0(self) -> Array:
        """Mean probability over the first frames of the pairs, (n_states,)."""
        # The states sum to one, so the mean is the moment with the constant.
        return self.c00.sum(axis=1)

    @property
    def mean_t(self) -> Array:
        """Mean probability over the second frames of the pairs, (n_states,)."""
        return self.ctt.sum(axis=1)

    def permute(self, order: ArrayLike) -> "LaggedMoments":
        """Moments of the same data with state ``order[i]`` moved to position i."""
        index = np.asarray(order)
        square = np.ix_(index, index)
        return LaggedMoments(
            c00=self.c00[square],
            c0t=self.c0t[square],
            ctt=self.ctt[square],
            mean=self.mean[index],
            n_pairs=self.n_pairs,
            lagtime=self.lagtime,
            double=None if self.double is None else self.double.permute(index),
        )


def check_lagtime(lagtime: Any) -> int:
    """Return `lagtime` as int, or raise if it is not a positive whole number of frames."""
    try:
        frames = operator.index(lagtime)
    except TypeError:
        frames = int(lagtime) if isinstance(lagtime, float) and lagtime.is_integer() else 0
    if frames < 1:
        raise ValueError(
            f"lagtime must be a positive whole number of frames, got {lagtime!r}; "
            "divide a time in ps by the timestep"
        )
    return frames


def lagged_moments(probs: ArrayLike | Sequence[ArrayLike], lagtime: int) -> LaggedMoments:
    r"""Uncentred moments of state probabilities, pooled over trajectories and targets.

    .. math::
        C_{00} = \langle\chi_t\chi_t^T\rangle,\quad
        C_{0t} = \langle\chi_t\chi_{t+\tau}^T\rangle,\quad
        C_{tt} = \langle\chi_{t+\tau}\chi_{t+\tau}^T\rangle

    Parameters
    ----------
    probs : array or list of arrays
        State probabilities, each of shape (n_frames, n_targets, n_states), or
        (n_frames, n_states) for a single target. Frame and target counts may differ.
    lagtime : int
        Lag time :math:`\tau` in frames.

    Returns
    -------
    LaggedMoments

    Raises
    ------
    ValueError
        If no trajectory is longer than `lagtime`, or `probs` are not probabilities.

    Warns
    -----
    SkippedTrajectoryWarning
        If some, but not all, trajectories are no longer than `lagtime`.

    Notes
    -----
    Rows are divided by their sum in float64. Float32 rows miss one by about 1e-7, and the constant
    would then be only that close to the span of the states. Memory does not grow with the length
    of the trajectories: frames are converted and reduced block by block.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.koopman import lagged_moments
    >>> probs = np.eye(2)[[0, 0, 1, 1, 0]]
    >>> lagged_moments(probs, lagtime=1).c0t
    array([[0.25, 0.25],
           [0.25, 0.25]])
    """
    lagtime = check_lagtime(lagtime)
    arrays = longer_than(probability_arrays(probs), lagtime)
    n_states = arrays[0].shape[2]
    sums, total, n_rows, n_pairs = np.zeros((3, n_states, n_states)), np.zeros(n_states), 0, 0
    for array in arrays:
        piece, first = lagged_sums(array, lagtime)
        sums += piece
        total += first + as_probabilities(array[-lagtime:]).sum(axis=(0, 1))
        n_rows += array.shape[0] * array.shape[1]
        n_pairs += (array.shape[0] - lagtime) * array.shape[1]
    c00, c0t, ctt = sums / n_pairs
    return LaggedMoments(c00, c0t, ctt, total / n_rows, n_pairs, lagtime)


def shared_moments(
    pieces: Sequence[tuple[NDArray[Any], int]], n_states: int, lagtime: int, reducer: Reducer
) -> LaggedMoments | None:
    """`lagged_moments` of runs whose pieces lie on several processes.

    Parameters
    ----------
    pieces : sequence of (ndarray of shape (n_frames, n_targets, n_states), int)
        Probabilities of the pieces of this process, each followed by as many frames of the next
        piece of its run as the lag needs, and its number of frames without them.
    n_states : int
    lagtime : int
        Frames.
    reducer : Reducer

    Returns
    -------
    LaggedMoments or None
        None where no run is longer than the lag.
    """
    import torch

    sums, total = np.zeros((3, n_states, n_states)), np.zeros(n_states)
    counts = np.zeros(2)  # exact in float64 up to 10^15
    for array, n_frames in pieces:
        followed = array[: n_frames + lagtime]
        n_targets = array.shape[1]
        if len(followed) > lagtime:
            sums += lagged_sums(followed, lagtime)[0]
            counts[0] += (len(followed) - lagtime) * n_targets
        total += as_probabilities(array[:n_frames]).sum(axis=(0, 1))
        counts[1] += n_frames * n_targets
    reducer.add(*(torch.from_numpy(array) for array in (sums, total, counts)))
    n_pairs, n_rows = counts
    if n_pairs == 0:
        return None
    c00, c0t, ctt = sums / n_pairs
    return LaggedMoments(c00, c0t, ctt, total / n_rows, int(n_pairs), lagtime)


def longer_than(arrays: list[NDArray[Any]], lagtime: int) -> list[NDArray[Any]]:
    """Keep the trajectories that hold at least one pair; say which were left out."""
    lengths = [len(p) for p in arrays]
    kept = [p for p in arrays if len(p) > lagtime]
    if not kept:
        raise ValueError(
            f"lagtime must be < the longest trajectory ({max(lengths)} frames), got {lagtime}; "
            "lower lagtime or give longer trajectories"
        )
    if len(kept) < len(arrays):
        warnings.warn(
            f"{len(arrays) - len(kept)} of {len(arrays)} trajectories are no longer than lagtime "
            f"({lagtime} frames; the shortest has {min(lengths)}) and were skipped",
            SkippedTrajectoryWarning,
            stacklevel=3,
        )
    return kept
