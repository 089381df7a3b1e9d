"""Independent units of the data, for resampling: `UnitMoments`, `unit_moments`, `unit_moments_at`.

A unit is a set of (frame, target) pairs that is treated as one independent draw. Every pair belongs
to exactly one unit, that of its first frame, so the units' moments add up to the pooled ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.koopman._correlation import are_targets_independent, correlation_time
from graphkoopman.koopman._moments import Moments, accumulate, lagged_moments
from graphkoopman.probabilities import as_probabilities
from graphkoopman.uncertainty import block_counts, effective_units

__all__ = ["UNITS", "UnitMoments", "unit_moments", "unit_moments_at"]

Array = NDArray[np.float64]

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
_N_CHUNKS = 4
_ENOUGH_UNITS = 10


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
    leakage : float
        Share of the variance that correlation between neighbouring units hides.
    """

    sums: Array
    totals: Array
    n_rows: Array
    n_pairs: Array
    lagtime: int
    unit: str
    leakage: float

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.sums)

    @property
    def n_effective(self) -> float:
        """Number of units of equal size that would carry the same information (Kish)."""
        return float(effective_units(self.n_pairs))

    def weighted(self, weights: Array) -> Moments:
        """Pooled moments with each unit counted `weights` times, (n_units,)."""
        n_pairs = weights @ self.n_pairs
        c00, c0t, ctt = np.tensordot(weights, self.sums, axes=1) / n_pairs
        mean = weights @ self.totals / (weights @ self.n_rows)
        return Moments(c00, c0t, ctt, mean, round(float(n_pairs)), self.lagtime)


@dataclass(frozen=True, eq=False)
class _Piece:
    """Frames of one trajectory whose pairs start in [start, stop), and the unit they belong to."""

    trajectory: int
    start: int
    stop: int
    label: int


def unit_moments(
    arrays: list[NDArray[Any]], lagtime: int, unit: str | int, pooled: Moments
) -> UnitMoments:
    """Moments of each independent unit.

    Parameters
    ----------
    arrays : list of ndarray of shape (n_frames, n_targets, n_states)
        All longer than `lagtime`.
    lagtime : int
        Lag time in frames.
    unit : str or int
        One of `UNITS`, or a number of equal chunks of the whole data.
    pooled : Moments
        Pooled moments, from which the correlation time follows.

    Returns
    -------
    UnitMoments

    Raises
    ------
    ValueError
        If the unit is unknown, or gives fewer than two units.
    """
    lengths = np.array([len(array) - lagtime for array in arrays])
    name, pieces, leakage = _pieces(arrays, lengths, unit, pooled)
    return _gather(arrays, lagtime, name, pieces, leakage)


def unit_moments_at(
    arrays: list[NDArray[Any]], lagtimes: Sequence[int], unit: str | int
) -> list[UnitMoments]:
    """Moments of the same units at several lags, over the same first frames of pairs.

    Parameters
    ----------
    arrays : list of ndarray of shape (n_frames, n_targets, n_states)
        All longer than the longest lag, whose pairs say which first frames are used.
    lagtimes : sequence of int
        Lag times in frames; the correlation time, and with it the units, follow from the first.
    unit : str or int
        One of `UNITS`, or a number of equal chunks of the whole data.

    Returns
    -------
    list of UnitMoments
    """
    longest = max(lagtimes)
    lengths = np.array([len(array) - longest for array in arrays])
    name, pieces, leakage = _pieces(arrays, lengths, unit, lagged_moments(arrays, lagtimes[0]))
    return [
        _gather(
            [array[: n + lag] for array, n in zip(arrays, lengths, strict=True)],
            lag,
            name,
            pieces,
            leakage,
        )
        for lag in lagtimes
    ]


def _gather(
    arrays: list[NDArray[Any]], lagtime: int, name: str, pieces: list[_Piece], leakage: float
) -> UnitMoments:
    """Add up the pieces and targets of every unit."""
    cells: dict[tuple[int, int], list[Any]] = {}
    for key, values in _cell_sums(arrays, lagtime, pieces, "targets" in name):
        known = cells.get(key)
        cells[key] = (
            values if known is None else [a + b for a, b in zip(known, values, strict=True)]
        )
    if len(cells) < 2:
        raise ValueError(
            "unit must split the data into at least two units, but "
            f"unit={name!r} gives {len(cells)}; "
            'use unit="blocks" or give more data'
        )
    sums, totals, n_rows, n_pairs = (
        np.array(column, float) for column in zip(*cells.values(), strict=True)
    )
    return UnitMoments(sums, totals, n_rows, n_pairs, lagtime, name, leakage)


def _pieces(
    arrays: list[NDArray[Any]], lengths: NDArray[np.int_], unit: str | int, pooled: Moments
) -> tuple[str, list[_Piece], float]:
    """Cut the trajectories in time; returns the unit ("auto" resolved), pieces and leakage."""
    is_number = isinstance(unit, Integral) and not isinstance(unit, bool)
    name = "chunks" if is_number else str(unit)
    if name not in UNITS:
        raise ValueError(f"unit must be a number of chunks or one of {UNITS}, got {unit!r}")
    if name in ("trajectories", "trajectories+targets"):
        return name, [_Piece(i, 0, n, i) for i, n in enumerate(lengths)], 0.0
    if name == "targets":
        if len({array.shape[1] for array in arrays}) > 1:
            raise ValueError(
                'unit="targets" needs the same targets in every trajectory, got '
                f'{[array.shape[1] for array in arrays]} targets; use unit="trajectories+targets"'
            )
        return name, [_Piece(i, 0, n, 0) for i, n in enumerate(lengths)], 0.0
    time = correlation_time(arrays, pooled)
    if name == "auto":
        has_targets = any(array.shape[1] > 1 for array in arrays)
        independent = has_targets and are_targets_independent(arrays, pooled, time)
        name = "blocks+targets" if independent else "blocks"
    if name == "chunks":
        pieces = _cut_chunks(lengths, int(unit) if is_number else _N_CHUNKS)
    else:
        per_target = name == "blocks+targets"
        n_targets = [array.shape[1] if per_target else 1 for array in arrays]
        pieces = _cut_blocks(lengths, n_targets, time)
    return name, pieces, _leakage(lengths, len(pieces), time)


def _leakage(lengths: NDArray[np.int_], n_pieces: int, time: float) -> float:
    r"""Share of the variance that blocks miss because neighbours are correlated.

    With correlation :math:`e^{-s/t}`, the variance of the mean over a block of length L falls short
    of its long-time limit by t/L; ends of trajectories cut no correlation.
    """
    n_cuts = n_pieces - len(lengths)
    return float(min(time * n_cuts / lengths.sum(), 0.5))


def _cut_blocks(lengths: NDArray[np.int_], n_targets: list[int], time: float) -> list[_Piece]:
    r"""Contiguous blocks within each trajectory, long against the correlation time.

    The block length is :math:`2.2\,t^{2/3}T^{1/3}`, with T the independent time in the data: the
    correlation between blocks and the scatter of the variance over blocks then fall together as
    the data grow. It shrinks to no less than 4t to reach ten units, and further only to reach four.
    """
    total = float(np.dot(lengths, n_targets))
    block = 2.2 * time ** (2 / 3) * total ** (1 / 3)
    if total / block < _ENOUGH_UNITS:
        block = min(block, max(total / _ENOUGH_UNITS, 4.0 * time))
    counts = block_counts(lengths.tolist(), block, copies=n_targets)
    pieces: list[_Piece] = []
    for i, (n, count) in enumerate(zip(lengths, counts, strict=True)):
        edges = np.linspace(0, n, count + 1).astype(int)
        pieces += [_Piece(i, a, b, len(pieces) + k) for k, (a, b) in enumerate(pairwise(edges))]
    return pieces


def _cut_chunks(lengths: NDArray[np.int_], n_chunks: int) -> list[_Piece]:
    """Equal shares of the frames of all trajectories in their order."""
    if not 2 <= n_chunks <= lengths.sum():
        raise ValueError(
            f"unit as a number of chunks must be in 2...{lengths.sum()} (pairs of frames), "
            f"got {n_chunks}"
        )
    ends = np.cumsum(lengths)
    cuts = np.linspace(0, ends[-1], n_chunks + 1).astype(int)
    pieces = []
    for i, (begin, end) in enumerate(zip(ends - lengths, ends, strict=True)):
        edges = np.unique(np.clip(cuts, begin, end))
        edges = np.unique([begin, *edges, end])
        for a, b in pairwise(edges):
            label = int(np.searchsorted(cuts, a, side="right")) - 1
            pieces.append(_Piece(i, int(a - begin), int(b - begin), label))
    return pieces


def _cell_sums(
    arrays: list[NDArray[Any]], lagtime: int, pieces: list[_Piece], per_target: bool
) -> Iterator[tuple[tuple[int, int], list[Any]]]:
    """Yield the unit's key and its (sums, totals, n_rows, n_pairs) for each piece and target."""
    for piece in pieces:
        array = arrays[piece.trajectory]
        part = array[piece.start : piece.stop + lagtime]
        sums, totals = (
            accumulate(part, lagtime, per_target=True) if per_target else accumulate(part, lagtime)
        )
        n_pairs = piece.stop - piece.start
        n_rows = n_pairs
        if piece.stop == len(array) - lagtime:
            # The last frames start no pair; they count for the populations of the last unit.
            tail = as_probabilities(array[-lagtime:]).sum(axis=0)
            totals = totals + (tail if per_target else tail.sum(axis=0))
            n_rows += lagtime
        if not per_target:
            n_targets = array.shape[1]
            yield (piece.label, 0), [sums, totals, n_rows * n_targets, n_pairs * n_targets]
            continue
        for k in range(array.shape[1]):
            yield (piece.label, k), [sums[k], totals[k], n_rows, n_pairs]
