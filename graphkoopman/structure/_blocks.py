"""Time blocks and the intervals from them: `Block`, `cut_blocks`, `ratio_interval`.

Every average of this layer is a ratio of two sums over frames and targets, such as counted
neighbours over expected ones. Blocks hold all targets of their frames, so targets that move
together do not make an interval too narrow.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories import Trajectory
from graphkoopman.uncertainty import effective_units, t_quantile

__all__ = ["DEFAULT_BLOCKS", "Block", "cut_blocks", "ratio_interval"]

Array = NDArray[np.float64]

DEFAULT_BLOCKS = 20
# Below this many degrees of freedom a single block holds nearly all the data: nothing is known
# about the scatter.
FEWEST_FREEDOM = 0.5


@dataclass(frozen=True)
class Block:
    """Frames ``start`` to ``stop`` of one trajectory.

    Attributes
    ----------
    trajectory, start, stop : int
    follows : bool
        Whether the block begins where the one before it ends, in the same run.
    """

    trajectory: int
    start: int
    stop: int
    follows: bool


def cut_blocks(trajectories: Sequence[Trajectory], n_blocks: int) -> list[Block]:
    """Cut trajectories into contiguous blocks of about equal length.

    Parameters
    ----------
    trajectories : sequence of Trajectory
    n_blocks : int
        Blocks in all; more if there are more trajectories, fewer if there are fewer frames.

    Returns
    -------
    blocks : list of Block
        In the order of the trajectories.
    """
    if isinstance(n_blocks, bool) or not isinstance(n_blocks, int | np.integer) or n_blocks < 2:
        raise ValueError(
            f"n_blocks must be an integer >= 2, got {n_blocks!r}; an interval needs the scatter "
            "between blocks"
        )
    lengths = [len(trajectory) for trajectory in trajectories]
    counts = [1] * len(lengths)
    for _ in range(min(n_blocks, sum(lengths)) - len(lengths)):
        longest = max(range(len(lengths)), key=lambda i: lengths[i] / counts[i])
        counts[longest] += 1
    blocks: list[Block] = []
    for i, (length, count) in enumerate(zip(lengths, counts, strict=True)):
        edges = [length * k // count for k in range(count + 1)]
        for start, stop in itertools.pairwise(edges):
            follows = start > 0 or (i > 0 and _continues(trajectories[i], trajectories[i - 1]))
            blocks.append(Block(i, start, stop, follows))
    return blocks


def _continues(piece: Trajectory, before: Trajectory) -> bool:
    same_run = piece.parent is not None and piece.parent == before.parent
    return same_run and piece.start == before.start + len(before)


def ratio_interval(
    numerator: Array, denominator: Array, blocks: Sequence[Block], *, lowest: float = 0.0
) -> tuple[Array, Array]:
    r"""Ratio of sums over blocks with its 95 % interval.

    With :math:`R = \sum_b x_b / \sum_b y_b`, residuals :math:`e_b = (x_b - R y_b) /
    \sqrt{1 - h_b}` and leverages :math:`h_b = y_b / \sum_b y_b`, the squared standard error is
    :math:`\left[\sum_b e_b^2 + 2 \max(0, \sum_b e_b e_{b+1})\right] / (\sum_b y_b)^2`. The second
    sum, over blocks that follow one another, adds the correlation that reaches into the next
    block; the interval is Student's t with :math:`(\sum_b y_b)^2 / \sum_b y_b^2 - 1` degrees of
    freedom.

    Parameters
    ----------
    numerator : ndarray of shape (n_blocks, ...)
    denominator : ndarray of shape (n_blocks, ...)
        Not negative; broadcasts against the numerator.
    blocks : sequence of n_blocks Block
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
    # a block that holds all the data has no scatter of its own, whatever rounding leaves of it
    residual = np.where(leverage < 1.0, residual, 0.0)
    follows = np.array([block.follows for block in blocks[1:]], dtype=bool)
    variance = np.sum(residual**2, axis=0)
    neighbours = np.sum(residual[1:][follows] * residual[:-1][follows], axis=0)
    error = np.sqrt(variance + 2.0 * np.maximum(neighbours, 0.0))
    quantile = t_quantile(effective_units(denominator), fewest=FEWEST_FREEDOM)
    with np.errstate(invalid="ignore"):
        half = np.where(np.isfinite(quantile), quantile * error, np.inf)
    half = np.where(np.isnan(ratio), np.nan, half)
    interval = np.stack([np.maximum(ratio - half, lowest), ratio + half], axis=-1)
    return ratio, interval
