"""What every analysis of this layer starts from: `Run`, `prepare_runs`, `target_blocks`.

A run is one trajectory with the probabilities of its targets, checked against each other.
"""

import operator
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.trajectories import (
    Targets,
    Trajectory,
    as_trajectories,
    resolve_targets,
    target_centers,
)
from graphkoopman.transport._drift import Drift, drift_path
from graphkoopman.transport._warnings import ShortTrajectoryWarning

Array = NDArray[np.float64]

# float32 softmax rows miss one by 1e-7 and half precision by 1e-3; more is not a probability
ROW_SUM_TOLERANCE = 1e-3
BLOCK_ELEMENTS = 2**23


@dataclass(frozen=True, eq=False)
class Run:
    """One trajectory and the states of its targets.

    Attributes
    ----------
    trajectory : Trajectory
    targets : Targets
    probs : ndarray of shape (n_frames, n_targets, n_states)
    drift : ndarray of shape (n_frames, 3) or None
        Path that is subtracted from every target, Å.
    """

    trajectory: Trajectory
    targets: Targets
    probs: NDArray[Any]
    drift: Array | None

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.trajectory.n_frames

    @property
    def n_targets(self) -> int:
        """Number of targets."""
        return self.targets.n_targets

    @property
    def n_states(self) -> int:
        """Number of states."""
        return self.probs.shape[2]


def prepare_runs(
    trajs: Any, probs: Any, targets: Any, longest_lag: int, drift: Drift, name: str = "lags"
) -> list[Run]:
    """Check trajectories against probabilities; keep the runs that are longer than the lag.

    Parameters
    ----------
    trajs : Trajectory, mdtraj.Trajectory, or list of these
    probs : array or list of arrays, each of shape (n_frames, n_targets, n_states)
    targets : see `graphkoopman.trajectories.resolve_targets`
    longest_lag : int
        Frames.
    drift : see `drift_path`
    name : str
        Argument that the lag came from, for messages.
    """
    trajectories = as_trajectories(trajs)
    arrays = [probs] if hasattr(probs, "ndim") else list(probs)
    if len(arrays) != len(trajectories):
        raise ValueError(
            f"probs must hold one array per trajectory ({len(trajectories)}), got {len(arrays)}; "
            "pass the list that transform returned for these trajectories"
        )
    timesteps = {round(trajectory.timestep, 9) for trajectory in trajectories}
    if len(timesteps) > 1:
        raise ValueError(
            f"trajs must share one timestep, got {sorted(timesteps)} ps; a lag in frames would be "
            "another time in each of them, so analyse them apart or resample with trajectory[::n]"
        )
    kept = _longer_than(trajectories, longest_lag, name)
    groups = [resolve_targets(targets, trajectory) for trajectory in trajectories]
    checked = [
        check_probs(array, i, trajectory.n_frames, group.n_targets)
        for i, (array, trajectory, group) in enumerate(
            zip(arrays, trajectories, groups, strict=True)
        )
    ]
    n_states = sorted({array.shape[2] for array in checked})
    if len(n_states) > 1:
        raise ValueError(f"probs must have the same states in every trajectory, got {n_states}")
    return [
        Run(trajectories[i], groups[i], checked[i], drift_path(trajectories[i], groups[i], drift))
        for i in kept
    ]


def check_probs(array: ArrayLike, index: int, n_frames: int, n_targets: int) -> NDArray[Any]:
    """Probabilities of one trajectory as (n_frames, n_targets, n_states), without a copy."""
    chi = np.asarray(array)
    if chi.ndim == 2 and n_targets == 1:
        chi = chi[:, None]
    if chi.ndim != 3 or chi.shape[:2] != (n_frames, n_targets) or chi.shape[2] == 0:
        raise ValueError(
            f"probs[{index}] must have shape (n_frames, n_targets, n_states) = "
            f"({n_frames}, {n_targets}, n_states) of its trajectory, got {chi.shape}; "
            "one state is np.ones((n_frames, n_targets, 1))"
        )
    return chi


def check_lags(lags: ArrayLike, name: str = "lags") -> NDArray[np.int64]:
    """Sorted, distinct, positive lags in frames."""
    frames = np.atleast_1d(np.asarray(lags))
    whole = frames.dtype.kind in "iu" or (
        frames.dtype.kind == "f" and bool((frames == np.rint(frames)).all())
    )
    if frames.ndim != 1 or frames.size == 0 or not whole or frames.min() < 1:
        raise ValueError(
            f"{name} must be positive whole numbers of frames, got {lags!r}; "
            "divide a time in ps by the timestep"
        )
    return np.unique(frames.astype(np.int64))


def check_count(value: Any, name: str) -> int:
    """A whole number of at least one."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"{name} must be a whole number >= 1, got {value!r}")
    return number


def target_blocks(run: Run) -> Iterator[tuple[slice, Array, Array]]:
    """Targets a block at a time, so that memory does not grow with their number.

    Yields
    ------
    block : slice
        Of the targets.
    paths : ndarray of shape (n_block, n_frames, 3)
        Unwrapped centres without the drift, Å.
    chi : ndarray of shape (n_block, n_states, n_frames)
        Probabilities, rows divided by their sum.
    """
    size = max(1, BLOCK_ELEMENTS // (run.n_frames * (6 + 3 * run.n_states)))
    for start in range(0, run.n_targets, size):
        block = slice(start, min(start + size, run.n_targets))
        first, last = run.targets.offsets[[block.start, block.stop]]
        part = Targets(
            atoms=run.targets.atoms[first:last],
            offsets=run.targets.offsets[block.start : block.stop + 1] - first,
        )
        paths = target_centers(run.trajectory, part)
        if run.drift is not None:
            paths -= run.drift[:, None]
        chi = as_probabilities(run.probs[:, block])
        yield block, _contiguous(paths, (1, 0, 2)), _contiguous(chi, (1, 2, 0))


def as_probabilities(chi: NDArray[Any]) -> Array:
    """Float64 copy with rows divided by their sum; raises where rows are no probabilities."""
    rows = np.asarray(chi, dtype=np.float64)
    sums = rows.sum(axis=-1, keepdims=True)
    bad = ~(np.abs(sums - 1.0) <= ROW_SUM_TOLERANCE)  # also catches NaN
    if bad.any():
        raise ValueError(
            "probs must be finite and sum to one over the last axis (states), got a sum of "
            f"{sums[bad][0]:.6g}; pass softmax outputs or memberships, not raw features"
        )
    return rows / sums


def _contiguous(array: Array, axes: Iterable[int]) -> Array:
    return np.ascontiguousarray(array.transpose(tuple(axes)))


def _longer_than(trajectories: list[Trajectory], lag: int, name: str) -> list[int]:
    lengths = [trajectory.n_frames for trajectory in trajectories]
    kept = [i for i, length in enumerate(lengths) if length > lag]
    if not kept:
        raise ValueError(
            f"{name} must be < the longest trajectory ({max(lengths)} frames), got a lag of {lag}; "
            "shorten the lags or give longer trajectories"
        )
    if len(kept) < len(lengths):
        # a curve over lags whose ends come from different runs would have a false slope
        warnings.warn(
            f"{len(lengths) - len(kept)} of {len(lengths)} trajectories are no longer than the "
            f"longest lag ({lag} frames; the shortest has {min(lengths)}) and were left out",
            ShortTrajectoryWarning,
            stacklevel=4,
        )
    return kept
