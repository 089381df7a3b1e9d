"""The part of a statistics batch that one process evaluates: `Share`, `share_of`.

All ranks draw the same batch from what they know of all runs, and each evaluates its own frames.
A pair whose ends lie on two ranks is counted by that of its first end. Both ranks need the features
of the other end, a few numbers, for the derivative with respect to their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np

from graphkoopman.training._batches import Run, StatisticsBatch
from graphkoopman.training._runs import SharedRun


@dataclass(frozen=True, eq=False)
class Share:
    """Frames of a batch on this rank, and the pairs that they are in.

    Attributes
    ----------
    runs : list of Run
        Frames that are evaluated here.
    rows : ndarray of shape (n_own_rows,)
        Where their features are among those of the whole batch; empty for a process by itself.
    start_rows, end_rows : ndarray of shape (n_own_pairs,)
        Rows of the features evaluated here, followed by ``n_exchanged`` of the exchange.
    sizes : list of int
        Pairs, the first ones, that are counted on this rank, of every trajectory that has some.
    n_pairs : int
        Of the batch.
    lent_rows, places : ndarray of shape (n_lent,)
        Rows evaluated here that other ranks need, and where they are among the exchanged ones.
    n_exchanged : int
        Rows that are exchanged between all ranks.
    """

    runs: list[Run]
    rows: np.ndarray
    start_rows: np.ndarray
    end_rows: np.ndarray
    sizes: list[int]
    n_pairs: int
    lent_rows: np.ndarray
    places: np.ndarray
    n_exchanged: int


def whole(batch: StatisticsBatch) -> Share:
    """All of a batch, for a process by itself."""
    none = np.empty(0, np.int64)
    sizes = [
        (run.trajectory, (len(run.frames) - run.lag_steps) * batch.n_targets[run.trajectory])
        for run in batch.runs
    ]
    return Share(
        runs=batch.runs,
        rows=none,  # all of them
        start_rows=batch.start_rows,
        end_rows=batch.end_rows,
        sizes=_of_trajectories(sizes),
        n_pairs=len(batch.start_rows),
        lent_rows=none,
        places=none,
        n_exchanged=0,
    )


def share_of(batch: StatisticsBatch, samples: Sequence[Any], rank: int) -> Share:
    """What this rank does of a batch.

    Parameters
    ----------
    batch : StatisticsBatch
    samples : sequence of SharedRun
    rank : int

    Returns
    -------
    Share
    """
    parts = [_Part(run, samples[run.trajectory], rank) for run in batch.runs]
    n_own = sum(part.n_own for part in parts)
    n_rows = n_before = n_exchanged = n_pairs = 0
    rows: list[np.ndarray] = []
    counted: list[list[np.ndarray]] = []
    uncounted: list[list[np.ndarray]] = []
    lent: list[list[np.ndarray]] = []
    for part in parts:
        rows.append(n_rows + _spread(np.flatnonzero(part.mine), part.n_targets))
        # where the features of each of its frames are: here, or among the exchanged
        places = n_exchanged + part.n_targets * (np.cumsum(part.crossing) - 1)
        here = n_before + part.n_targets * (np.cumsum(part.mine) - 1)
        found = np.where(part.mine, here, n_own + places)
        for pairs, chosen in ((counted, part.starts_here), (uncounted, part.only_ends_here)):
            first = np.flatnonzero(chosen)
            pairs.append(
                [_spread_rows(found[first + shift], part.n_targets) for shift in (0, part.lag)]
            )
        given = part.mine & part.crossing
        lent.append([_spread_rows(at[given], part.n_targets) for at in (here, places)])
        n_rows += len(part.mine) * part.n_targets
        n_before += part.n_own
        n_exchanged += int(part.crossing.sum()) * part.n_targets
        n_pairs += max(0, len(part.mine) - part.lag) * part.n_targets
    start_rows, end_rows = (
        np.concatenate(column) for column in zip(*counted, *uncounted, strict=True)
    )
    lent_rows, places = (np.concatenate(column) for column in zip(*lent, strict=True))
    return Share(
        runs=[part.own_run for part in parts if part.n_own],
        rows=np.concatenate(rows),
        start_rows=start_rows,
        end_rows=end_rows,
        sizes=_of_trajectories(
            [(run.trajectory, len(ends[0])) for run, ends in zip(batch.runs, counted, strict=True)]
        ),
        n_pairs=n_pairs,
        lent_rows=lent_rows,
        places=places,
        n_exchanged=n_exchanged,
    )


class _Part:
    """One run of a batch as a rank sees it: whose its frames are."""

    def __init__(self, run: Run, samples: SharedRun, rank: int) -> None:
        piece_of = samples.owners(run.frames)
        owner = np.array([piece.rank for piece in samples.pieces])[piece_of]
        self.lag, self.n_targets = run.lag_steps, samples.n_targets
        self.mine = owner == rank
        self.own_run = Run(run.trajectory, run.frames[self.mine], run.lag_steps)
        n_pairs = max(0, len(owner) - self.lag)
        across = owner[:n_pairs] != owner[len(owner) - n_pairs :]
        self.crossing = np.zeros(len(owner), bool)
        self.crossing[:n_pairs] |= across
        self.crossing[len(owner) - n_pairs :] |= across
        self.starts_here = self.mine[:n_pairs]
        self.only_ends_here = ~self.starts_here & self.mine[len(owner) - n_pairs :]

    @property
    def n_own(self) -> int:
        """Rows evaluated here."""
        return len(self.own_run.frames) * self.n_targets


def _of_trajectories(numbers: Sequence[tuple[int, int]]) -> list[int]:
    """Pairs of every trajectory that has some, from those of its runs, which stand together."""
    having = [(trajectory, n) for trajectory, n in numbers if n > 0]
    return [sum(n for _, n in own) for _, own in groupby(having, key=itemgetter(0))]


def _spread(frames: np.ndarray, n_targets: int) -> np.ndarray:
    """Rows of some frames, all targets of each."""
    return _spread_rows(frames * n_targets, n_targets)


def _spread_rows(first: np.ndarray, n_targets: int) -> np.ndarray:
    return (first[:, None] + np.arange(n_targets)).ravel()
