"""State probabilities as analyses take them: `TargetRun`, `pair_runs`, `as_probabilities`.

Arrays stay as they came, in any precision, until a piece of them is needed as probabilities.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories import Targets, Trajectory, as_trajectories, resolve_targets

__all__ = ["ROW_SUM_TOLERANCE", "TargetRun", "as_probabilities", "pair_runs"]

# Float32 softmax rows miss one by 1e-7 and half precision by 1e-3; more is not a probability.
ROW_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class TargetRun:
    """A trajectory with its targets and their state probabilities.

    Attributes
    ----------
    trajectory : Trajectory
    targets : Targets
    probs : ndarray of shape (n_frames, n_targets, n_states)
    """

    trajectory: Trajectory
    targets: Targets
    probs: NDArray[Any]

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


def pair_runs(trajs: Any, probs: Any, targets: Any) -> list[TargetRun]:
    """Pair trajectories with the probabilities of their targets.

    Parameters
    ----------
    trajs : Trajectory, mdtraj.Trajectory, or list of these
    probs : array or list of arrays of shape (n_frames, n_targets, n_states)
        One array per trajectory; (n_frames, n_states) is accepted for a single target.
    targets : str, array-like, list of array-like, callable or None
        See `graphkoopman.trajectories.resolve_targets`.

    Returns
    -------
    runs : list of TargetRun

    Raises
    ------
    ValueError
        If numbers of trajectories, frames, targets or states differ.
    TypeError
        If the arrays are not of real numbers.
    """
    trajectories = as_trajectories(trajs)
    arrays = list(probs) if isinstance(probs, list | tuple) else [probs]
    if len(arrays) != len(trajectories):
        raise ValueError(
            f"probs must hold one array per trajectory ({len(trajectories)}), got {len(arrays)}; "
            "pass the list that transform returned for these trajectories"
        )
    runs = []
    for i, (trajectory, array) in enumerate(zip(trajectories, arrays, strict=True)):
        resolved = resolve_targets(targets, trajectory)
        chi = _check_array(np.asarray(array), i, trajectory.n_frames, resolved.n_targets)
        runs.append(TargetRun(trajectory, resolved, chi))
    n_states = sorted({run.n_states for run in runs})
    if len(n_states) > 1:
        raise ValueError(
            f"probs must have the same number of states in every trajectory, got {n_states}; "
            "take all arrays from one model"
        )
    return runs


def as_probabilities(chi: NDArray[Any]) -> NDArray[np.float64]:
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


def _check_array(chi: NDArray[Any], index: int, n_frames: int, n_targets: int) -> NDArray[Any]:
    """Probabilities of one trajectory as (n_frames, n_targets, n_states), without a copy."""
    if chi.ndim == 2 and n_targets == 1:
        chi = chi[:, None]
    if chi.ndim != 3 or chi.shape[:2] != (n_frames, n_targets) or chi.shape[2] == 0:
        raise ValueError(
            f"probs[{index}] must have shape (n_frames, n_targets, n_states) = "
            f"({n_frames}, {n_targets}, n_states), got {chi.shape}; use the targets and frames "
            "that they were computed for (one state is np.ones((n_frames, n_targets, 1)))"
        )
    if chi.dtype.kind not in "iufb":
        raise TypeError(f"probs[{index}] must be real numbers, got dtype {chi.dtype}")
    return chi
