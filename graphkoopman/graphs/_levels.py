"""Groups of atoms between atom and target, for hierarchical pooling: `levels_of`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphkoopman.trajectories import Trajectory

TOPOLOGY = ("residue", "chain")


def levels_of(levels: Any, trajectory: Trajectory) -> dict[str, np.ndarray]:
    """Groups of the atoms of a trajectory, level by level.

    Parameters
    ----------
    levels : sequence of str or of array-like of shape (n_atoms,), or a mapping of names to these
        ``"residue"`` and ``"chain"`` are those of the topology; arrays hold a label per atom.
    trajectory : Trajectory

    Returns
    -------
    dict of str to ndarray of shape (n_atoms,), int64
        Numbers of groups from zero on.

    Raises
    ------
    ValueError
        If a name is unknown, the topology is missing, or an array does not fit.
    """
    if isinstance(levels, str):
        raise ValueError(f"levels must be a sequence, got {levels!r}; give levels=({levels!r},)")
    if isinstance(levels, Mapping):
        named = dict(levels)
    else:
        named = {
            level if isinstance(level, str) else f"level {i}": level
            for i, level in enumerate(levels)
        }
    return {str(name): _groups(name, level, trajectory) for name, level in named.items()}


def _groups(name: str, level: Any, trajectory: Trajectory) -> np.ndarray:
    if isinstance(level, str):
        if level not in TOPOLOGY:
            raise ValueError(
                f"levels must be among {TOPOLOGY} or arrays of labels per atom, got {level!r}"
            )
        topology = trajectory.topology
        if topology is None:
            raise ValueError(
                f"levels={level!r} needs a topology, the trajectory has none; give one, or an "
                "array of labels per atom"
            )
        parts = [atom.residue if level == "residue" else atom.residue.chain
                 for atom in topology.atoms]  # fmt: skip
        labels = np.array([part.index for part in parts])
    else:
        labels = np.asarray(level)
    if labels.shape != (trajectory.n_atoms,) or labels.dtype.kind not in "biuU":
        raise ValueError(
            f"levels must hold one integer or string per atom ({trajectory.n_atoms}), got shape "
            f"{labels.shape} and dtype {labels.dtype} for {name!r}"
        )
    return np.unique(labels, return_inverse=True)[1].reshape(-1).astype(np.int64)
