"""Which frames make one VAMP estimate, and which of them are pairs.

A statistics batch spans as much of the training time as it can. Frames inside it are ``spacing``
apart, where ``spacing`` divides the lag, so that every frame is evaluated once and serves as both
ends of its pairs. Where one divisor of the lag takes far too many frames and the next far too few,
as that of a prime lag, the batch is several such combs at different phases. One window of a slow
process has nearly singular moments, so when even frames a whole lag apart are too many, the batch
is made of many random windows, each several lags long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from graphkoopman.samples import Samples

Block = tuple[int, int, int]  # trajectory, first frame, one past the last frame
WINDOW_LAGS = 5


@dataclass(frozen=True, eq=False)
class Run:
    """Evenly spaced frames of one block: ``frames[i]`` pairs with ``frames[i + lag_steps]``."""

    trajectory: int
    frames: np.ndarray  # (n_frames,)
    lag_steps: int


@dataclass(frozen=True, eq=False)
class StatisticsBatch:
    """Frames of one VAMP estimate, in the order in which their features are stacked.

    Attributes
    ----------
    runs : list of Run
    n_targets : list of int
        Targets of every trajectory.
    """

    runs: list[Run]
    n_targets: list[int]

    @property
    def n_frames(self) -> int:
        """Number of frames evaluated."""
        return sum(len(run.frames) for run in self.runs)

    @property
    def n_rows(self) -> int:
        """Rows of the stacked features, those of all frames and targets."""
        return sum(len(run.frames) * self.n_targets[run.trajectory] for run in self.runs)

    @property
    def start_rows(self) -> np.ndarray:
        """Rows of the stacked features at the first ends, (n_pairs,), int32 if that is enough."""
        return self._rows[0]

    @property
    def end_rows(self) -> np.ndarray:
        """Rows at the second ends, in the same order."""
        return self._rows[1]

    @cached_property
    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        dtype = np.int32 if self.n_rows <= np.iinfo(np.int32).max else np.int64
        starts, ends = [], []
        row = 0
        for run in self.runs:
            n_targets = self.n_targets[run.trajectory]
            n_rows, shift = len(run.frames) * n_targets, run.lag_steps * n_targets
            starts.append(np.arange(row, row + n_rows - shift, dtype=dtype))
            ends.append(np.arange(row + shift, row + n_rows, dtype=dtype))
            row += n_rows
        return np.concatenate(starts), np.concatenate(ends)


def spacing_for(n_frames: int, lagtime: int, batch_size: int | None) -> int:
    """Largest divisor of the lag that keeps a batch over all frames at ``batch_size`` or above.

    Parameters
    ----------
    n_frames : int
        Frames to span.
    lagtime : int
        Frames.
    batch_size : int or None
        Frames per estimate; None evaluates every frame.

    Returns
    -------
    int
        Between 1 and ``lagtime``.
    """
    if batch_size is None:
        return 1
    ratio = n_frames / batch_size
    return max(d for d in range(1, lagtime + 1) if lagtime % d == 0 and (d == 1 or d <= ratio))


def sample_batch(
    blocks: Sequence[Block],
    graphs: Sequence[Samples],
    lagtime: int,
    batch_size: int | None,
    rng: np.random.RandomState | None,
) -> StatisticsBatch:
    """Draw the frames of one VAMP estimate.

    Parameters
    ----------
    blocks : sequence of Block
        Contiguous stretches, each longer than the lag; pairs never leave them.
    graphs : sequence of Samples
    lagtime : int
        Frames.
    batch_size : int or None
        Frames to evaluate (about); None takes every frame.
    rng : RandomState or None
        Draws the phases of the spaced frames, or the windows; None takes phase zero and, where
        several or windows are needed, evenly spaced ones.

    Returns
    -------
    StatisticsBatch
    """
    n_frames = sum(stop - start for _, start, stop in blocks)
    spacing = spacing_for(n_frames, lagtime, batch_size)
    n_combs = 1
    if batch_size is not None and n_frames / spacing > 2 * batch_size:
        if spacing < lagtime:
            spacing = min(d for d in range(spacing + 1, lagtime + 1) if lagtime % d == 0)
            n_combs = max(1, batch_size * spacing // n_frames)
        else:
            # whatever the phase, a window of this length holds that many frames a lag apart
            length = (WINDOW_LAGS + 1) * lagtime
            blocks = _windows(blocks, length, batch_size // (WINDOW_LAGS + 1) + 1, rng)
    runs = []
    for trajectory, start, stop in blocks:
        # a late phase must leave at least one pair
        n_phases = min(spacing, stop - start - lagtime)
        for phase in _phases(n_phases, min(n_combs, n_phases), rng):
            frames = np.arange(start + phase, stop, spacing)
            runs.append(Run(trajectory, frames, lagtime // spacing))
    return StatisticsBatch(runs, [g.n_targets for g in graphs])


def all_frames(trajectory: int, n_frames: int) -> StatisticsBatch:
    """Every frame of one trajectory in order, to evaluate; its rows are not known."""
    return StatisticsBatch([Run(trajectory, np.arange(n_frames), n_frames)], [])


def _phases(n_phases: int, n_drawn: int, rng: np.random.RandomState | None) -> np.ndarray:
    """Different phases: random ones, or evenly spaced ones from zero on."""
    if rng is None:
        return np.arange(n_drawn) * n_phases // n_drawn
    if n_drawn == 1:
        return rng.randint(n_phases, size=1)  # without a permutation of all
    return np.sort(rng.permutation(n_phases)[:n_drawn])


def _windows(
    blocks: Sequence[Block], length: int, n_windows: int, rng: np.random.RandomState | None
) -> list[Block]:
    """Windows of ``length`` frames, placed uniformly over all positions that fit in a block."""
    room = np.array([max(1, stop - start - length + 1) for _, start, stop in blocks])
    total = room.sum()
    if rng is None:
        places = np.linspace(0, total - 1, n_windows).astype(np.int64)
    else:
        places = np.sort(rng.randint(total, size=n_windows))
    owner = np.searchsorted(np.cumsum(room), places, side="right")
    offset = places - np.concatenate([[0], np.cumsum(room)])[owner]
    windows = []
    for b, o in zip(owner, offset, strict=True):
        trajectory, start, stop = blocks[b]
        windows.append((trajectory, start + int(o), min(stop, start + int(o) + length)))
    return windows
