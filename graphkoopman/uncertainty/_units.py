"""The vocabulary of independent units: `UNITS`, `check_unit`, `unit_labels`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.uncertainty._blocks import Block

__all__ = ["UNITS", "check_unit", "unit_labels"]

UNITS = (
    "auto",
    "trajectories",
    "blocks",
    "targets",
    "trajectories+targets",
    "blocks+targets",
    "chunks",
)
# The paper's error bars come from four pieces of the test set.
N_CHUNKS = 4


def check_unit(unit: Any, allowed: Sequence[str] = UNITS) -> tuple[str, int | None]:
    """Name of a unit and number of chunks, or what is wrong with it.

    Parameters
    ----------
    unit : str or int
        "trajectories": each run, all targets together. "blocks": stretches of time of a run, all
        targets together. "targets": each target over all runs. "trajectories+targets" and
        "blocks+targets": each target of each of them. "chunks": the paper's four equal pieces of
        all data; a number gives so many. "auto" is "blocks".
    allowed : sequence of str
        Names of the units that an analysis can tell apart.

    Returns
    -------
    name : str
        Never "auto".
    n_chunks : int or None
        For "chunks" only.
    """
    if isinstance(unit, int | np.integer) and not isinstance(unit, bool) and "chunks" in allowed:
        return "chunks", int(unit)
    if not isinstance(unit, str) or unit not in allowed:
        number = "a number of chunks or " if "chunks" in allowed else ""
        raise ValueError(f"unit must be {number}one of {tuple(allowed)}, got {unit!r}")
    # Targets of one run never count as independent unless the user says so: they melt together.
    name = "blocks" if unit == "auto" else unit
    return name, N_CHUNKS if name == "chunks" else None


def unit_labels(
    name: str,
    blocks: Sequence[Block],
    n_targets: Sequence[int],
    block_of: Sequence[int] | None = None,
) -> list[NDArray[np.int64]]:
    """Unit of every (block, target), by number.

    Parameters
    ----------
    name : str
        As `check_unit` returns it, except "chunks".
    blocks : sequence of Block
    n_targets : sequence of n_trajectories ints
        Targets, or groups of targets, of each trajectory.
    block_of : sequence of n_blocks ints or None
        Block that each of them is a piece of; by default each is one of its own.

    Returns
    -------
    labels : list of ndarray of shape (n_targets of the block's trajectory,)
        Numbers from zero, none left out.
    """
    if name == "targets" and len(set(n_targets)) > 1:
        raise ValueError(
            'unit="targets" needs the same targets in every trajectory, got '
            f'{list(n_targets)} targets; use unit="trajectories+targets"'
        )
    keys = []
    numbers = range(len(blocks)) if block_of is None else block_of
    for number, block in zip(numbers, blocks, strict=True):
        time = {"trajectories": block.trajectory, "blocks": number}.get(name.split("+")[0], 0)
        for target in range(n_targets[block.trajectory]):
            keys.append((time, target if "targets" in name else 0))
    _, labels = np.unique(np.array(keys), axis=0, return_inverse=True)
    ends = np.cumsum([n_targets[block.trajectory] for block in blocks])
    return np.split(labels.ravel(), ends[:-1])
