"""Time blocks and the intervals from them: `Division`, `divide`, `ratio_interval`,
`influence_interval`.

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
    check_unit,
    correlation_time,
    cut_blocks,
    cut_pieces,
    error_of_mean,
    piece_scatter,
    t_quantile,
)

__all__ = ["UNITS", "Division", "divide", "influence_interval", "ratio_interval"]

Array = NDArray[np.float64]

# Sums over shells and bins are of all targets: they cannot be told apart afterwards.
UNITS = ("auto", "trajectories", "blocks")


@dataclass(frozen=True, eq=False)
class Division:
    """Blocks of time of all trajectories, cut into pieces, and what their scatter shows.

    Its length and entries are those of the pieces: sums are taken over them.

    Attributes
    ----------
    blocks : list of Block
    pieces : list of Block
        Equally many of each block, in its order.
    scatter : Scatter
        For blocks weighted by their frames, with the block of each piece.
    """

    blocks: list[Block]
    pieces: list[Block]
    scatter: Scatter

    @classmethod
    def of(
        cls, blocks: list[Block], time: float, n_targets: Sequence[int] | None = None
    ) -> "Division":
        """Cut blocks into pieces, for states of that correlation time."""
        pieces, block_of = cut_pieces(blocks)
        weights = [
            piece.n_frames * (1 if n_targets is None else n_targets[piece.trajectory])
            for piece in pieces
        ]
        return cls(blocks, pieces, piece_scatter(pieces, block_of, time, weights=weights))

    def __len__(self) -> int:
        return len(self.pieces)

    def __iter__(self) -> Iterator[Block]:
        return iter(self.pieces)

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def follows(self) -> NDArray[np.bool_]:
        """Whether each block but the first begins where the one before it ends."""
        return np.array([b.follows(a) for a, b in pairwise(self.blocks)], dtype=bool)


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
    return Division.of(blocks, time, [run.n_targets for run in runs])


def _continued(trajectories: Sequence[Trajectory]) -> list[tuple[int, int]]:
    """Run of each trajectory, by number, and its first frame there: pieces of one are one run."""
    parents: dict[object, int] = {}
    found = []
    for i, item in enumerate(trajectories):
        run = parents.setdefault(("own", i) if item.parent is None else item.parent, len(parents))
        found.append((run, item.start))
    return found


def ratio_interval(
    numerator: Array,
    denominator: Array,
    division: Division,
    *,
    lowest: float = 0.0,
    is_slow: bool = False,
) -> tuple[Array, Array]:
    r"""Ratio of sums over pieces of time with its 95 % interval.

    With :math:`R = \sum_p x_p / \sum_p y_p`, a piece adds :math:`(x_p - R y_p)/\sum_p y_p` to it;
    see `influence_interval`.

    Parameters
    ----------
    numerator : ndarray of shape (n_pieces, ...)
    denominator : ndarray of shape (n_pieces, ...)
        Not negative; broadcasts against the numerator.
    division : Division
        Into ``n_pieces`` pieces.
    lowest : float
        Bound that the quantity cannot be below.
    is_slow : bool
        Whether it is a population of states, which is as slow as these.

    Returns
    -------
    ratio : ndarray of shape (...)
        NaN where the denominator is zero everywhere.
    interval : ndarray of shape (..., 2)
        Low and high; ``lowest`` and infinity where the data are those of one block only.
    """
    total = denominator.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = numerator.sum(axis=0) / total
        influence = (numerator - ratio * denominator) / total
    interval = influence_interval(ratio, influence, denominator, division, is_slow=is_slow)
    return ratio, np.maximum(interval, lowest)


def influence_interval(
    estimate: Array,
    influence: Array,
    weights: Array,
    division: Division,
    *,
    is_slow: bool = False,
) -> Array:
    """95 % interval of an estimate from what each piece of time adds to it, (..., 2).

    Student's t with error and degrees of freedom of `graphkoopman.uncertainty.error_of_mean`, where
    blocks that follow one another count with the correlation that is seen between them, too.

    Parameters
    ----------
    estimate : ndarray of shape (...)
    influence : ndarray of shape (n_pieces, ...)
    weights : ndarray of shape (n_pieces, ...)
    division : Division
        Into these pieces.
    is_slow : bool
        See `ratio_interval`.
    """
    error, n_units = error_of_mean(
        influence, weights, division.scatter, division.follows, is_slow=is_slow
    )
    quantile = t_quantile(n_units)
    with np.errstate(invalid="ignore"):
        half = np.where(np.isfinite(quantile), quantile * error, np.inf)
    half = np.where(np.isnan(estimate), np.nan, half)
    return np.stack([estimate - half, estimate + half], axis=-1)
