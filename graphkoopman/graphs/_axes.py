"""Directions of targets that are given from outside: `axes_of_targets`."""

from typing import Any

import numpy as np

from graphkoopman.trajectories import Trajectory


def axes_of_targets(axes: Any, trajectory: Trajectory, n_targets: int) -> np.ndarray | None:
    """Unit vector of every target in every frame.

    Parameters
    ----------
    axes : array-like of shape (n_targets, 3) or (n_frames, n_targets, 3), callable or None
        Of any length but zero; a function of the trajectory returns one of these.
    trajectory : Trajectory
    n_targets : int

    Returns
    -------
    ndarray of shape (n_frames, n_targets, 3), float32, or None

    Raises
    ------
    ValueError
        If they do not fit, or a vector has no direction.
    """
    if axes is None:
        return None
    vectors = np.asarray(axes(trajectory) if callable(axes) else axes)
    shape = (len(trajectory), n_targets, 3)
    if vectors.dtype.kind not in "iuf" or vectors.shape not in (shape, shape[1:]):
        raise ValueError(
            f"axes must hold a vector per target, shape {shape[1:]}, or per frame and target, "
            f"{shape}, got shape {vectors.shape} and dtype {vectors.dtype}; for several "
            "trajectories give a function of the trajectory"
        )
    vectors = np.broadcast_to(vectors.astype(np.float64), shape)
    lengths = np.linalg.norm(vectors, axis=2, keepdims=True)
    bad = np.argwhere(~(np.isfinite(lengths) & (lengths > 0.0)))
    if len(bad):
        frame, target, _ = bad[0]
        raise ValueError(
            f"axes must be finite and of a length above zero, got {vectors[frame, target]} in "
            f"frame {frame} for target {target}"
        )
    return (vectors / lengths).astype(np.float32)
