"""Residence times of the states with censoring at the edges: `residence_times`."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.sparse.csgraph import shortest_path

from graphkoopman.checks import check_integer
from graphkoopman.probabilities import as_probabilities
from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.transport._warnings import UnvisitedStateWarning
from graphkoopman.uncertainty import CONFIDENCE, with_refits

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ResidenceTimes(Tabular):
    """How long targets stay in each state.

    Attributes
    ----------
    mean : ndarray of shape (n_states,)
        Mean residence time in ps; infinite where no exit was seen, NaN where no target ever was.
    mean_interval : ndarray of shape (n_states, 2)
        95 % interval, ps; exact for exponential residence.
    times : ndarray of shape (n_times,)
        Ages in ps, from zero.
    survival : ndarray of shape (n_states, n_times)
        Kaplan-Meier probability that a visit lasts longer than each age; NaN where no visit of
        that age was at risk.
    survival_interval : ndarray of shape (n_states, n_times, 2)
        95 % interval by Greenwood's formula on the log-log scale.
    n_exits : ndarray of shape (n_states,)
        int64; visits whose end was seen.
    n_censored : ndarray of shape (n_states,)
        int64; visits cut by the end of a trajectory.
    timestep : float
        ps per frame.
    core : float or None
        Probability that a state had to reach to be entered; None for the most probable state.
    transitions : ndarray of shape (n_states, n_states)
        int64; exits from each state (rows) to each other.
    exposure : ndarray of shape (n_states,)
        ps; time that all targets were watched in each state.
    """

    figure = "plot_residence_times"

    mean: Array
    mean_interval: Array
    times: Array
    survival: Array
    survival_interval: Array
    n_exits: NDArray[np.int64]
    n_censored: NDArray[np.int64]
    timestep: float
    core: float | None
    transitions: NDArray[np.int64]
    exposure: Array

    def __repr__(self) -> str:
        means = ", ".join(f"{mean:.3g}" for mean in self.mean)
        return f"ResidenceTimes(mean=[{means}] ps, core={self.core})"

    def table(self) -> dict[str, Any]:
        """One row per state."""
        return {
            "state": np.arange(len(self.mean)),
            **interval_columns("residence time / ps", self.mean, self.mean_interval),
            "exits": self.n_exits,
            "censored": self.n_censored,
        }

    def least_times(self) -> Array:
        r"""Least mean times, ps, from state to state where no way between them was seen.

        States that are reached from one by exits that were seen are watched for a time T in all,
        in which nobody left them for the other states. With 95 % confidence the mean time of that
        is more than :math:`T/\ln 20`, "the rule of three".

        Returns
        -------
        ndarray of shape (n_states, n_states)
            From the row's state to the column's; NaN where a way was seen.

        Notes
        -----
        Visits are taken as independent and without memory. A state in which no target ever was
        gives zero: nothing is known of it.

        References
        ----------
        Hanley and Lippman-Hand, J. Am. Med. Assoc. 249, 1743 (1983).
        """
        steps = shortest_path(self.transitions > 0, unweighted=True)
        seen = np.isfinite(steps)
        watched = np.where(seen, self.exposure, 0.0).sum(axis=1)
        least = watched / -np.log(1.0 - CONFIDENCE)
        return np.where(seen, np.nan, least[:, None])


@with_refits
def residence_times(
    probs_or_labels: ArrayLike | list[ArrayLike],
    *,
    timestep: float,
    n_states: int | None = None,
    n_times: int | None = None,
    core: float | None = None,
) -> ResidenceTimes:
    r"""Residence time of each state.

    A target is in its most probable state, or, with ``core``, in the state whose probability last
    reached that value (transition-based assignment): what comes close to a border and turns back
    has not left. With :math:`n` exits seen in :math:`m` frames that have
    a next frame, the probability of leaving within a frame is :math:`h=n/m` and

    .. math::
        \bar t = -\Delta t/\ln(1-h),

    the maximum-likelihood estimate for exponential residence sampled every :math:`\Delta t`.
    Visits cut by either end of a trajectory count with the frames that were seen, which leaves the
    estimate without bias; averages over completed visits alone are too short.

    Parameters
    ----------
    probs_or_labels : array or list of arrays
        Probabilities (n_frames, n_targets, n_states) as floats, or integer labels
        (n_frames, n_targets) or (n_frames,).
    timestep : float
        ps per frame.
    n_states : int or None
        Needed for labels in which the last states do not occur.
    n_times : int or None
        Ages at which the survival is given; None is up to the longest visit.
    core : float or None
        Between 0.5 and 1; for probabilities only. Before any core is reached, the first one counts.

    Returns
    -------
    ResidenceTimes

    Raises
    ------
    ValueError
        If an argument is not as described.

    Warns
    -----
    UnvisitedStateWarning
        If no target is ever in a state.

    Notes
    -----
    The survival follows visits whose beginning was seen, so it needs no exponential law; compare
    it with :math:`e^{-t/\bar t}` before the mean is trusted. Recrossings count as exits: noisy
    probabilities shorten residence, and returns within one frame lengthen it; with ``core`` they do
    not count. The interval takes visits as independent.

    Neither is a relaxation time: residence is of one state and one target, relaxation is how fast
    populations of all states return to equilibrium. For two states without memory
    :math:`1/t = 1/\bar t_0 + 1/\bar t_1`.

    References
    ----------
    Buchete and Hummer, J. Phys. Chem. B 112, 6057 (2008), transition-based assignment.

    Examples
    --------
    >>> from graphkoopman.transport import residence_times
    >>> result = residence_times([0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0], timestep=2.0)
    >>> result.n_exits, result.n_censored
    (array([2, 2]), array([1, 0]))
    """
    if isinstance(timestep, bool) or not np.isfinite(timestep) or timestep <= 0:
        raise ValueError(f"timestep must be a positive number of ps per frame, got {timestep!r}")
    if n_times is not None:
        check_integer(n_times, "n_times", 1)
    arrays, n_states = _labels(probs_or_labels, n_states, _check_core(core))
    transitions = np.zeros((n_states, n_states), dtype=np.int64)
    frames = np.zeros(n_states)
    n_exits, n_censored = np.zeros((2, n_states), dtype=np.int64)
    visits = []
    for labels in arrays:
        # (n_frames - 1, n_targets): whether the state is another one in the next frame
        left = labels[:-1] != labels[1:]
        np.add.at(transitions, (labels[:-1][left], labels[1:][left]), 1)
        frames += np.bincount(labels[:-1].ravel(), minlength=n_states)
        n_exits += np.bincount(labels[:-1][left], minlength=n_states)
        n_censored += np.bincount(labels[-1], minlength=n_states)
        visits += [_visits(path) for path in labels.T]
    state, duration, ended = (np.concatenate(column) for column in zip(*visits, strict=True))
    _warn_unvisited(frames)
    longest = int(duration.max()) if len(duration) else 1
    n_times = longest + 1 if n_times is None else n_times
    curves = [_survival(duration[state == i], ended[state == i], n_times) for i in range(n_states)]
    mean, interval = _exponential(n_exits, frames)
    return ResidenceTimes(
        mean=mean * timestep,
        mean_interval=interval * timestep,
        times=np.arange(n_times, dtype=np.float64) * timestep,
        survival=np.array([curve for curve, _ in curves]),
        survival_interval=np.array([limits for _, limits in curves]),
        n_exits=n_exits,
        n_censored=n_censored,
        timestep=float(timestep),
        core=None if core is None else float(core),
        transitions=transitions,
        exposure=frames * timestep,
    )


def _check_core(core: float | None) -> float | None:
    if core is not None and not 0.5 < core <= 1.0:
        raise ValueError(f"core must be above 0.5 and at most 1, or None, got {core!r}")
    return core


def _labels(
    data: Any, n_states: int | None, core: float | None = None
) -> tuple[list[NDArray[np.int64]], int]:
    """Labels of each trajectory, (n_frames, n_targets), and the number of states."""
    is_list = isinstance(data, list | tuple) and len(data) > 0 and np.ndim(data[0]) > 0
    arrays = [np.asarray(array) for array in (data if is_list else [data])]
    expected = 1 if n_states is None else check_integer(n_states, "n_states", 1)
    labels, found = [], []
    for array in arrays:
        is_label = array.dtype.kind in "iu" and array.ndim in (1, 2)
        if array.size == 0 or not (is_label or (array.dtype.kind == "f" and array.ndim == 3)):
            raise ValueError(
                "probs_or_labels must be float probabilities (n_frames, n_targets, n_states) or "
                f"integer labels (n_frames, n_targets), got {array.dtype} of shape {array.shape}"
            )
        if not is_label:
            array = as_probabilities(array)
            found.append(array.shape[2])
            array = array.argmax(axis=2) if core is None else _last_cores(array, core)
        elif core is not None:
            raise ValueError("core needs probabilities, got labels; set core=None")
        labels.append(array.reshape(len(array), -1).astype(np.int64))
        found.append(int(labels[-1].max()) + 1)
    if min(array.min() for array in labels) < 0 or (n_states and max(found) > expected):
        raise ValueError(
            f"probs_or_labels must hold states from 0 to n_states - 1 = {max(expected, 1) - 1}, "
            f"got labels from {min(array.min() for array in labels)} to {max(found) - 1}"
        )
    return labels, max(expected, *found)


def _last_cores(probs: Array, core: float) -> NDArray[np.int64]:
    """State whose probability last reached ``core``, (n_frames, n_targets)."""
    labels = probs.argmax(axis=2)
    inside = probs.max(axis=2) >= core
    frames = np.arange(len(labels))[:, None]
    # frame in which a core was last visited, carried forward until the next
    last = np.maximum.accumulate(np.where(inside, frames, -1), axis=0)
    # before the first core, the first one; without any, the most probable state throughout
    last = np.where(last < 0, inside.argmax(axis=0), last)
    found = np.take_along_axis(labels, last, axis=0)
    return np.where(inside.any(axis=0), found, labels)


def _visits(path: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], Any]:
    """State, duration and whether the end was seen, of the visits whose beginning was seen."""
    changes = np.flatnonzero(path[1:] != path[:-1]) + 1
    edges = np.append(changes, len(path))
    ended = edges[1:] < len(path)
    # nobody saw whether a visit went on after the last frame, so that frame was not at risk
    return path[changes], np.diff(edges) - ~ended, ended


def _exponential(n_exits: NDArray[np.int64], frames: Array) -> tuple[Array, Array]:
    """Mean residence in frames and its interval from the exact limits of a binomial hazard."""
    tail = 0.5 * (1.0 - CONFIDENCE)
    stays = frames - n_exits
    with np.errstate(divide="ignore", invalid="ignore"):
        # Clopper-Pearson limits of h = n / m, then t̄ = -1 / ln(1 - h) of all three
        hazard = n_exits / frames
        highest = np.where(stays > 0, stats.beta.isf(tail, n_exits + 1, np.maximum(stays, 1)), 1.0)
        lowest = np.where(n_exits > 0, stats.beta.ppf(tail, np.maximum(n_exits, 1), stays + 1), 0.0)
        mean, low, high = (-1.0 / np.log1p(-h) for h in (hazard, highest, lowest))
    low, high = np.where(frames > 0, low, 0.0), np.where(frames > 0, high, np.inf)
    return np.abs(mean), np.stack([np.abs(low), np.abs(high)], axis=-1)


def _survival(
    duration: NDArray[np.int64], ended: NDArray[np.bool_], n_times: int
) -> tuple[Array, Array]:
    """Kaplan-Meier estimate at ages 0, 1, ... frames, and Greenwood's interval."""
    ages = np.arange(n_times)
    size = max(n_times, int(duration.max(initial=0)) + 1)
    deaths = np.bincount(duration[ended], minlength=size)[:n_times]
    leaving = np.bincount(duration, minlength=size)
    at_risk = (leaving.sum() - np.concatenate([[0], np.cumsum(leaving)[:-1]]))[:n_times]
    seen = at_risk > 0
    ratio = deaths / np.maximum(at_risk, 1)
    survival = np.where(seen, np.cumprod(1.0 - ratio), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(deaths / (at_risk * (at_risk - deaths)))
        half = stats.norm.ppf(0.5 * (1.0 + CONFIDENCE)) * np.sqrt(greenwood) / np.log(survival)
        limits = np.stack([survival ** np.exp(-half), survival ** np.exp(half)], axis=-1)
    # without a death, or without survivors, the formula says nothing
    known = np.isfinite(limits).all(axis=-1) & seen
    limits = np.where(known[:, None], limits, [0.0, 1.0])
    limits[(survival == 1.0) & (ages == 0)] = 1.0
    return survival, np.sort(limits, axis=-1)


def _warn_unvisited(frames: Array) -> None:
    unvisited = np.flatnonzero(frames == 0)
    if len(unvisited):
        warnings.warn(
            f"states {unvisited.tolist()} are never visited before the last frame: their "
            "residence times are NaN; use fewer states or more data",
            UnvisitedStateWarning,
            stacklevel=3,
        )
