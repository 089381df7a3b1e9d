"""What the functions of this layer take, checked once: `check_runs`, `check_range`.

Public here: `EmptyStateWarning`.
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphkoopman.checks import check_integer
from graphkoopman.probabilities import ProbabilitiesLike, TargetRun, check_rows, pair_runs
from graphkoopman.trajectories import (
    TargetsLike,
    TrajectoriesLike,
    check_not_fractional,
    height_limit,
    whole_centers,
)

__all__ = ["EmptyStateWarning", "Runs", "StructureRun", "check_range", "check_runs"]

Array = NDArray[np.float64]

# Coordinates converted to double precision at a time.
COORDINATES_PER_PART = 3_000_000


class EmptyStateWarning(UserWarning):
    """A state has no weight in the data, so that its averages are undefined."""


class StructureRun(TargetRun):
    """A trajectory with its targets and their probabilities, and what the geometry needs."""

    def owners(self) -> NDArray[np.int64]:
        """Target that each atom belongs to, (n_atoms,); -1 for the others."""
        owners = np.full(self.trajectory.n_atoms, -1, dtype=np.int64)
        targets = np.arange(self.targets.n_targets)
        owners[self.targets.atoms] = np.repeat(targets, np.diff(self.targets.offsets))
        return owners

    def cells(self, start: int, stop: int) -> Array:
        """Cells of frames, (n, 3, 3) in Å; (0, 3, 3) for a run without a cell."""
        cells = self.trajectory.cells
        return np.empty((0, 3, 3)) if cells is None else cells[start:stop]

    def parts(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Frame ranges between ``start`` and ``stop`` that fit in memory as doubles."""
        step = max(1, COORDINATES_PER_PART // (3 * self.trajectory.n_atoms))
        for first in range(start, stop, step):
            yield first, min(first + step, stop)

    def centers(self, start: int, stop: int) -> Array:
        """Mass-weighted centres of the targets, (n, n_targets, 3) in Å.

        They are whole across the boundary in their own frame, but not unwrapped over time: where
        the cell changes, a path that follows the atoms leaves the lattice of the current frame.
        """
        return whole_centers(self.trajectory[start:stop], self.targets)


Runs: TypeAlias = Sequence[StructureRun]


def check_runs(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    *,
    periodic_for: str | None = None,
) -> list[StructureRun]:
    """Pair trajectories with probabilities.

    Parameters
    ----------
    trajs, probs, targets
        See `graphkoopman.probabilities.pair_runs`.
    periodic_for : str or None
        What the trajectories need a cell for.

    Returns
    -------
    runs : list of StructureRun

    Raises
    ------
    ValueError
        If numbers of trajectories, frames, targets or states differ, a value is not finite, rows
        are not probabilities, or a cell is needed and missing.
    """
    runs = []
    for i, run in enumerate(pair_runs(trajs, probs, targets)):
        whole = run.probs.dtype.kind in "iub"
        runs.append(
            StructureRun(
                run.trajectory, run.targets, run.probs.astype(float) if whole else run.probs
            )
        )
        check_rows(runs[-1].probs, f"probs[{i}]")
        check_not_fractional(run.trajectory)
        if periodic_for is not None and run.trajectory.cell is None:
            raise ValueError(
                f"trajs must be periodic for {periodic_for}, got trajectory {i} without a cell; "
                "give it one, such as the box that the system was simulated in"
            )
    return runs


def check_range(runs: list[StructureRun], r_max: float, n_bins: int) -> tuple[float, int]:
    """Largest distance and number of bins, or what is wrong with them."""
    n_bins = check_integer(n_bins, "n_bins", 1)
    r_max = check_radius("r_max", r_max, min(height_limit(run.trajectory) for run in runs))
    return r_max, n_bins


def check_radius(name: str, value: Any, limit: float) -> float:
    """A length in Å that is positive and within the limit of the cell."""
    radius = float(value)
    if not 0.0 < radius < np.inf:
        raise ValueError(f"{name} must be > 0 and finite, got {value!r}; pass a length in Å")
    # a limit computed by the caller may differ in the last bits
    if radius > limit * (1.0 + 1e-9):
        raise ValueError(
            f"{name} must be <= half the smallest height of the cell over all frames "
            f"({limit:.6g} Å), got {radius:.6g} Å; lower {name}, use a larger cell, or give a "
            "strongly skewed one by shorter lattice vectors"
        )
    return radius


def warn_empty_states(populations: Array) -> None:
    """Warn of states without weight."""
    empty = np.flatnonzero(populations <= 0.0).tolist()
    if empty:
        warnings.warn(
            f"states {empty} have no weight in these data, their averages are NaN; use data that "
            "visit them",
            EmptyStateWarning,
            stacklevel=3,
        )
