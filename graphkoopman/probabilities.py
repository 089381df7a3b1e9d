"""State probabilities as analyses take them, and every check of them.

Public objects: `probability_arrays`, `as_probabilities`, `check_rows`, `TargetRun`, `pair_runs`.
Arrays stay as they came, in any precision, until a piece of them is needed as probabilities.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.trajectories import (
    Targets,
    TargetsLike,
    TrajectoriesLike,
    Trajectory,
    as_trajectories,
    resolve_targets,
)

__all__ = [
    "ProbabilitiesLike",
]

Array = NDArray[np.float64]
# one array of shape (n_frames, n_targets, n_states), or one for each trajectory
ProbabilitiesLike: TypeAlias = ArrayLike | Sequence[ArrayLike]

# Float32 softmax rows miss one by 1e-7 and half precision by 1e-3; more is not a probability.
ROW_SUM_TOLERANCE = 1e-3
PART_BYTES = 2**24


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


def pair_runs(
    trajs: TrajectoriesLike, probs: ProbabilitiesLike, targets: TargetsLike
) -> list[TargetRun]:
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


def probability_arrays(probs: ArrayLike | Sequence[ArrayLike]) -> list[NDArray[Any]]:
    """State probabilities as a list of three-dimensional arrays, without copying.

    Parameters
    ----------
    probs : array or list of arrays
        Each of shape (n_frames, n_targets, n_states), or (n_frames, n_states) for one target.

    Returns
    -------
    list of ndarray of shape (n_frames, n_targets, n_states)
        Their rows are checked where they are used, by `as_probabilities`.

    Raises
    ------
    ValueError
        If the list is empty, or shapes do not agree.
    """
    is_single = hasattr(probs, "ndim")
    arrays = [np.asarray(p) for p in ([probs] if is_single else probs)]  # type: ignore[union-attr]
    if not arrays:
        raise ValueError("probs must hold at least one trajectory, got an empty list")
    for i, array in enumerate(arrays):
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise ValueError(
                "probs must be arrays of shape (n_frames, n_targets, n_states) or "
                f"(n_frames, n_states) with no empty axis, got shape {array.shape} at index {i}"
            )
    arrays = [p[:, None, :] if p.ndim == 2 else p for p in arrays]
    n_states = {p.shape[2] for p in arrays}
    if len(n_states) > 1:
        raise ValueError(
            f"probs must have the same number of states in every trajectory, got {sorted(n_states)}"
        )
    return arrays


def check_rows(chi: NDArray[Any], name: str = "probs") -> Array:
    """Sums over the states, (..., 1); raises where rows are no probabilities.

    Parameters
    ----------
    chi : ndarray of shape (..., n_states)
    name : str
        What the array is called in the message.

    Raises
    ------
    ValueError
        If a value is not finite or below zero by more than rounding, or a row does not sum to one.
    """
    sums = chi.sum(axis=-1, keepdims=True, dtype=np.float64)
    # NaN and infinity fail the comparison too
    bad = ~(np.abs(sums[..., 0] - 1.0) <= ROW_SUM_TOLERANCE)
    bad |= chi.min(axis=-1) < -ROW_SUM_TOLERANCE
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        axes = zip(("frame", "target"), place, strict=False)
        where = ", ".join(f"{axis} {i}" for axis, i in axes)
        raise ValueError(
            f"{name} must be finite and sum to one over the last axis (states), not "
            f"negative, got a sum of {sums[place][0]:.6g}: {chi[place].tolist()} at {where}; pass "
            "the output of transform, softmax outputs or memberships, not features or labels"
        )
    return sums


def as_probabilities(chi: NDArray[Any]) -> Array:
    """Float64 copy with rows divided by their sum; raises where rows are no probabilities."""
    rows = np.asarray(chi, dtype=np.float64)
    probabilities: Array = rows / check_rows(rows)
    return probabilities


def lagged_sums(
    array: NDArray[Any], lagtime: int, *, per_target: bool = False
) -> tuple[Array, Array]:
    """Sums over the pairs of one piece of a trajectory, part by part.

    Parameters
    ----------
    array : ndarray of shape (n_frames, n_targets, n_states)
    lagtime : int
        Lag time in frames.
    per_target : bool
        Whether to keep targets apart, as a first axis of both results.

    Returns
    -------
    sums : ndarray of shape ([n_targets,] 3, n_states, n_states)
        Summed outer products: first with first, first with second, second with second frames.
    totals : ndarray of shape ([n_targets,] n_states)
        Summed probabilities of the first frames.
    """
    n_targets, n_states = array.shape[1:]
    sums = np.zeros((n_targets if per_target else 1, 3, n_states, n_states))
    totals = np.zeros((len(sums), n_states))
    n_pairs = len(array) - lagtime
    n_part = max(1, PART_BYTES // (8 * n_targets * n_states), lagtime)
    for start in range(0, n_pairs, n_part):
        stop = min(start + n_part, n_pairs)
        chi = as_probabilities(array[start : stop + lagtime])
        # (n_targets or 1, n_rows, n_states)
        chi_0, chi_t = chi[:-lagtime], chi[lagtime:]
        if per_target:
            chi_0, chi_t = chi_0.transpose(1, 0, 2), chi_t.transpose(1, 0, 2)
        else:
            chi_0, chi_t = chi_0.reshape(1, -1, n_states), chi_t.reshape(1, -1, n_states)
        # C00, C0t and Ctt as matrix products over all rows of the part
        for k, (first, second) in enumerate([(chi_0, chi_0), (chi_0, chi_t), (chi_t, chi_t)]):
            sums[:, k] += first.transpose(0, 2, 1) @ second
        totals += chi_0.sum(axis=1)
    return (sums, totals) if per_target else (sums[0], totals[0])


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
