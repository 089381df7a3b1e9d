"""Time blocks and the intervals from them: `Division`, `divide`, `ratio_interval`, `block_error`.

Every average of this layer is a ratio of two sums over frames and targets, such as counted
neighbours over expected ones. Blocks hold all targets of their frames, so targets that move
together do not make an interval too narrow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from graphkoopman.checks import is_integer
from graphkoopman.structure._inputs import StructureRun
from graphkoopman.trajectories import Trajectory
from graphkoopman.uncertainty import (
    Block,
    Scatter,
    block_scatter,
    check_unit,
    correlation_time,
    cut_blocks,
    effective_units,
    t_quantile,
)

__all__ = ["UNITS", "Division", "block_error", "divide", "ratio_interval"]

Array = NDArray[np.float64]

# Sums over shells and bins are of all targets: they cannot be told apart afterwards.
UNITS = ("auto", "trajectories", "blocks")


@dataclass(frozen=True, eq=False)
class Division:
    """Blocks of time of all trajectories, and what their scatter shows.

    Attributes
    ----------
    blocks : list of Block
    scatter : Scatter
        For blocks weighted by their frames.
    """

    blocks: list[Block]
    scatter: Scatter

    def __len__(self) -> int:
        return len(self.blocks)

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)


def divide(runs: Sequence[StructureRun], unit: str, n_blocks: int | None) -> Division:
    """Cut trajectories into blocks of time.

    Parameters
    ----------
    runs : sequence of StructureRun
    unit : {"auto", "trajectories", "blocks"}
        See `graphkoopman.uncertainty.check_unit`.
    n_blocks : int or None
        Number of blocks in all; None has the correlation time of the states choose.

    Returns
    -------
    Division
    """
    name, _ = check_unit(unit, UNITS)
    if not (n_blocks is None or is_integer(n_blocks, 2)):
        raise ValueError(
            f"n_blocks must be an integer >= 2 or None, got {n_blocks!r}; an interval needs the "
            "scatter between blocks"
        )
    if name == "trajectories":
        n_blocks = len(runs)
    time = correlation_time([run.probs for run in runs])
    blocks = cut_blocks(
        [run.n_frames for run in runs],
        time,
        n_blocks=n_blocks,
        runs=_continued([run.trajectory for run in runs]),
    )
    weights = [block.n_frames * runs[block.trajectory].n_targets for block in blocks]
    return Division(blocks, block_scatter(blocks, time, weights=weights))


def _continued(trajectories: Sequence[Trajectory]) -> list[tuple[int, int]]:
    """Run of each trajectory, by number, and its first frame there: pieces of one are one run."""
    parents: dict[object, int] = {}
    found = []
    for i, item in enumerate(trajectories):
        run = parents.setdefault(("own", i) if item.parent is None else item.parent, len(parents))
        found.append((run, item.start))
    return found


def ratio_interval(
    numerator: Array, denominator: Array, division: Division, *, lowest: float = 0.0
) -> tuple[Array, Array]:
    r"""Ratio of sums over blocks with its 95 % interval.

    With :math:`R = \sum_b x_b / \sum_b y_b`, residuals :math:`e_b = (x_b - R y_b) /
    \sqrt{1 - h_b}` and leverages :math:`h_b = y_b / \sum_b y_b`, the squared standard error is
    the larger of two,

    .. math::
        \frac{\sum_b e_b^2}{s\,(\sum_b y_b)^2}\quad\text{and}\quad
        \frac{\sum_b e_b^2 + 2 \max(0, \sum_b e_b e_{b+1})}{(\sum_b y_b)^2},

    with the share s of the variance that blocks of the states' correlation time show, and the
    correlation that is seen between blocks that follow one another. The interval is Student's t
    with :math:`(\sum_b y_b)^2 / \sum_b y_b^2 - 1` degrees of freedom, or those of the blocks if
    these are fewer.

    Parameters
    ----------
    numerator : ndarray of shape (n_blocks, ...)
    denominator : ndarray of shape (n_blocks, ...)
        Not negative; broadcasts against the numerator.
    division : Division
        Into ``n_blocks`` blocks.
    lowest : float
        Bound that the quantity cannot be below.

    Returns
    -------
    ratio : ndarray of shape (...)
        NaN where the denominator is zero in all blocks.
    interval : ndarray of shape (..., 2)
        Low and high; ``lowest`` and infinity where the data are those of one block only.
    """
    total = denominator.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = numerator.sum(axis=0) / total
        leverage = denominator / total
        residual = (numerator - ratio * denominator) / np.sqrt(1.0 - leverage) / total
    # a block that holds all the data has no scatter of its own: what is left is rounding
    residual = np.where(leverage < 1.0, residual, 0.0)
    error = block_error(residual, division)
    quantile = t_quantile(np.minimum(effective_units(denominator), 1.0 + division.scatter.degrees))
    with np.errstate(invalid="ignore"):
        half = np.where(np.isfinite(quantile), quantile * error, np.inf)
    half = np.where(np.isnan(ratio), np.nan, half)
    interval = np.stack([np.maximum(ratio - half, lowest), ratio + half], axis=-1)
    return ratio, interval


def block_error(deviations: Array, division: Division) -> Array:
    """Standard error from what each block adds to an estimate, as in `ratio_interval`.

    Parameters
    ----------
    deviations : ndarray of shape (n_blocks, ...)
    division : Division

    Returns
    -------
    ndarray of shape (...)
    """
    follows = np.array([b.follows(a) for a, b in pairwise(division.blocks)], dtype=bool)
    variance = np.sum(deviations**2, axis=0)
    neighbours = np.sum(deviations[1:][follows] * deviations[:-1][follows], axis=0)
    return np.sqrt(
        np.maximum(variance / division.scatter.share, variance + 2.0 * np.maximum(neighbours, 0.0))
    )
