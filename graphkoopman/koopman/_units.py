"""Moments of each independent unit of the data, for resampling: `UnitMoments`, `unit_moments`.

A unit is a set of (frame, target) pairs that is treated as one independent draw. Every pair belongs
to exactly one unit, that of its first frame, so the units' moments add up to the pooled ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.koopman._moments import LaggedMoments
from graphkoopman.probabilities import as_probabilities, lagged_sums
from graphkoopman.uncertainty import (
    Block,
    Scatter,
    block_scatter,
    check_unit,
    correlation_time,
    cut_blocks,
    effective_units,
    unit_labels,
)

__all__ = ["UnitMoments", "unit_moments"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class UnitMoments:
    """Summed moments of each independent unit of the data.

    Attributes
    ----------
    sums : ndarray of shape (n_units, 3, n_states, n_states)
        Summed outer products (C00, C0t, Ctt).
    totals : ndarray of shape (n_units, n_states)
        Summed probabilities over all frames.
    n_rows, n_pairs : ndarray of shape (n_units,)
        Numbers of frames and of pairs, times targets.
    lagtime : int
        Lag time in frames.
    unit : str
        What a unit is; the choice made where "auto" was asked for.
    means : Scatter
        What the scatter of the units says of means over time, such as populations.
    dynamics : Scatter
        The same of the Koopman matrix. Its error is a sum over time of what nobody could foretell
        a lag time before, so units are correlated over the lag only.
    correlation_time : float
        Frames.
    n_frames : int
        Frames of all runs.
    double : UnitMoments or None
        The same units at twice the lag; None where no run is so long.
    """

    sums: Array
    totals: Array
    n_rows: Array
    n_pairs: Array
    lagtime: int
    unit: str
    means: Scatter
    dynamics: Scatter
    correlation_time: float
    n_frames: int
    double: "UnitMoments | None" = None

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.sums)

    @property
    def n_effective(self) -> float:
        """Number of units of equal size that would carry the same information (Kish)."""
        return float(effective_units(self.n_pairs))

    def weighted(self, weights: Array) -> LaggedMoments:
        """Pooled moments with each unit counted `weights` times, (n_units,)."""
        n_pairs = weights @ self.n_pairs
        c00, c0t, ctt = np.tensordot(weights, self.sums, axes=1) / n_pairs
        mean = weights @ self.totals / (weights @ self.n_rows)
        double = None if self.double is None else self.double.weighted(weights)
        return LaggedMoments(c00, c0t, ctt, mean, round(float(n_pairs)), self.lagtime, double)


@dataclass(frozen=True, eq=False)
class _Division:
    """Blocks of time and the unit of each of their targets."""

    name: str
    blocks: list[Block]
    labels: list[NDArray[np.int64]]
    means: Scatter
    dynamics: Scatter
    time: float

    @property
    def per_target(self) -> bool:
        return "targets" in self.name

    @property
    def n_units(self) -> int:
        return 1 + max(int(labels.max()) for labels in self.labels)


def unit_moments(
    arrays: list[NDArray[Any]],
    lagtimes: Sequence[int],
    unit: str | int,
    *,
    with_double: bool = False,
) -> list[UnitMoments]:
    """Moments of the same units at one or several lags, over the same first frames of pairs.

    Parameters
    ----------
    arrays : list of ndarray of shape (n_frames, n_targets, n_states)
        All longer than the longest lag, whose pairs say which first frames are used.
    lagtimes : sequence of int
        Lag times in frames; the correlation time, and with it the units, follow from the first.
    unit : str or int
        See `graphkoopman.uncertainty.check_unit`.
    with_double : bool
        Whether to add the moments at twice each lag, of the pairs that there are.

    Returns
    -------
    list of UnitMoments

    Raises
    ------
    ValueError
        If the unit is unknown, or gives fewer than two units.
    """
    # first frames of pairs of the longest lag, so that all lags rest on the same units
    lengths = [len(array) - max(lagtimes) for array in arrays]
    division = _divide(arrays, lengths, lagtimes, unit)
    if division.n_units < 2:
        raise ValueError(
            "unit must split the data into at least two units, but "
            f"unit={division.name!r} gives {division.n_units}; "
            'use unit="blocks" or give more data'
        )
    found = []
    for lag in lagtimes:
        parts = [array[: n + lag] for array, n in zip(arrays, lengths, strict=True)]
        double = None
        if with_double and max(len(array) for array in arrays) > 2 * lag:
            double = _gather(arrays, 2 * lag, division)
        found.append(_gather(parts, lag, division, double))
    return found


def _divide(
    arrays: list[NDArray[Any]], lengths: list[int], lagtimes: Sequence[int], unit: str | int
) -> _Division:
    """Cut the runs in time, give every target of a block its unit, and say what these show."""
    name, n_chunks = check_unit(unit)
    time = correlation_time(arrays, lagtimes[0], with_static=True)
    lagtime = max(lagtimes)
    n_targets = [array.shape[1] for array in arrays]
    chunk_of = None
    if n_chunks is not None:
        blocks, chunk_of = _cut_chunks(lengths, n_chunks)
        labels = [
            np.full(n_targets[block.trajectory], chunk)
            for block, chunk in zip(blocks, chunk_of, strict=True)
        ]
    else:
        whole = None if name.startswith("blocks") else len(arrays)
        blocks = cut_blocks(lengths, time, lagtime=lagtime, n_blocks=whole)
        labels = unit_labels(name, blocks, n_targets)
    copies = 1
    if "targets" in name:
        copies = round(np.average(n_targets, weights=lengths))
        if name == "targets":
            chunk_of = [0] * len(blocks)
    weights = [b.n_frames * n_targets[b.trajectory] for b in blocks]
    # pairs of frames overlap over the lag: on average their memory is half of it
    scatter = [
        block_scatter(blocks, t, weights=weights, labels=chunk_of, n_copies=copies)
        for t in (max(time, 0.5 * lagtime), 0.5 * lagtime)
    ]
    means, dynamics = scatter
    # events of one slow mode are no more than its correlation times, however many targets show it
    n_times = copies * sum(lengths) / max(time, 1e-9)
    dynamics = Scatter(dynamics.share, min(dynamics.degrees, n_times))
    return _Division(name, blocks, labels, means, dynamics, time)


def _gather(
    arrays: list[NDArray[Any]],
    lagtime: int,
    division: _Division,
    double: UnitMoments | None = None,
) -> UnitMoments:
    """Add up the blocks and targets of every unit."""
    n_states, n_units = arrays[0].shape[2], division.n_units
    # C00, C0t and Ctt of every unit, not yet divided by its number of pairs
    sums, totals = np.zeros((n_units, 3, n_states, n_states)), np.zeros((n_units, n_states))
    n_rows, n_pairs = np.zeros(n_units), np.zeros(n_units)
    for block, labels in zip(division.blocks, division.labels, strict=True):
        array = arrays[block.trajectory]
        # a block ends where its last pair begins, and pairs reach a lag beyond it
        stop = min(block.stop, len(array) - lagtime)
        pairs = stop - block.start
        if pairs < 1:
            continue
        piece_sums, piece_totals = lagged_sums(
            array[block.start : stop + lagtime], lagtime, per_target=division.per_target
        )
        rows = pairs
        if stop == len(array) - lagtime:
            # The last frames start no pair; they count for the populations of the last unit.
            tail = as_probabilities(array[-lagtime:]).sum(axis=0)
            piece_totals = piece_totals + (tail if division.per_target else tail.sum(axis=0))
            rows += lagtime
        if division.per_target:
            np.add.at(sums, labels, piece_sums)
            np.add.at(totals, labels, piece_totals)
        else:
            sums[labels[0]] += piece_sums
            totals[labels[0]] += piece_totals
        np.add.at(n_rows, labels, rows)
        np.add.at(n_pairs, labels, pairs)
    return UnitMoments(
        sums,
        totals,
        n_rows,
        n_pairs,
        lagtime,
        division.name,
        division.means,
        division.dynamics,
        division.time,
        sum(len(array) for array in arrays),
        double,
    )


def _cut_chunks(lengths: list[int], n_chunks: int) -> tuple[list[Block], list[int]]:
    """Equal shares of the frames of all trajectories in their order, and the share of each."""
    total = sum(lengths)
    if not 2 <= n_chunks <= total:
        raise ValueError(
            f"unit as a number of chunks must be in 2...{total} (pairs of frames), got {n_chunks}"
        )
    # runs end to end on one line of frames, cut into equal shares: a chunk may span two runs
    ends = np.cumsum(lengths)
    cuts = np.linspace(0, total, n_chunks + 1).astype(int)
    blocks, chunk_of = [], []
    for i, (begin, end) in enumerate(zip(ends - lengths, ends, strict=True)):
        edges = np.unique([begin, *np.clip(cuts, begin, end), end]).tolist()
        for a, b in pairwise(edges):
            blocks.append(Block(i, int(a - begin), int(b - begin), run=i))
            chunk_of.append(int(np.searchsorted(cuts, a, side="right")) - 1)
    return blocks, chunk_of
