"""What every analysis of this layer starts from: `TransportRun`, `prepare_runs`, `target_parts`.

A run is one trajectory with the probabilities of its targets, checked against each other.
"""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.probabilities import ProbabilitiesLike, TargetRun, as_probabilities, pair_runs
from graphkoopman.trajectories import Targets, TargetsLike, TrajectoriesLike, target_centers
from graphkoopman.transport._drift import Drift, drift_path
from graphkoopman.transport._warnings import ShortTrajectoryWarning

Array = NDArray[np.float64]

PART_ELEMENTS = 2**23
R = TypeVar("R", bound=TargetRun)


@dataclass(frozen=True, eq=False)
class TransportRun(TargetRun):
    """One trajectory and the states of its targets.

    Attributes
    ----------
    trajectory, targets, probs
        See `graphkoopman.probabilities.TargetRun`.
    drift : ndarray of shape (n_frames, 3) or None
        Path that is subtracted from every target, Å.
    """

    drift: Array | None


def prepare_runs(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    longest_lag: int,
    drift: Drift,
    name: str = "lags",
) -> list[TransportRun]:
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
    runs = pair_runs(trajs, probs, targets)
    timesteps = {round(run.trajectory.timestep, 9) for run in runs}
    if len(timesteps) > 1:
        raise ValueError(
            f"trajs must share one timestep, got {sorted(timesteps)} ps; a lag in frames would be "
            "another time in each of them, so analyse them apart or resample with trajectory[::n]"
        )
    return [
        TransportRun(
            run.trajectory, run.targets, run.probs, drift_path(run.trajectory, run.targets, drift)
        )
        for run in longer_than(runs, longest_lag, name)
    ]


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


def target_parts(run: TransportRun) -> Iterator[tuple[slice, Array, Array]]:
    """A part of the targets at a time, so that memory does not grow with their number.

    Yields
    ------
    part : slice
        Of the targets.
    paths : ndarray of shape (n_part, n_frames, 3)
        Unwrapped centres without the drift, Å.
    chi : ndarray of shape (n_part, n_states, n_frames)
        Probabilities, rows divided by their sum.
    """
    size = max(1, PART_ELEMENTS // (run.n_frames * (6 + 3 * run.n_states)))
    for start in range(0, run.n_targets, size):
        part = slice(start, min(start + size, run.n_targets))
        first, last = run.targets.offsets[[part.start, part.stop]]
        own = Targets(
            atoms=run.targets.atoms[first:last],
            offsets=run.targets.offsets[part.start : part.stop + 1] - first,
        )
        paths = target_centers(run.trajectory, own)
        if run.drift is not None:
            paths -= run.drift[:, None]
        chi = as_probabilities(run.probs[:, part])
        yield part, _contiguous(paths, (1, 0, 2)), _contiguous(chi, (1, 2, 0))


def _contiguous(array: Array, axes: Iterable[int]) -> Array:
    return np.ascontiguousarray(array.transpose(tuple(axes)))


def longer_than(runs: list[R], lag: int, name: str) -> list[R]:
    """Runs with more frames than a lag; warns of the others."""
    lengths = [run.n_frames for run in runs]
    kept = [run for run in runs if run.n_frames > lag]
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
