"""Blocks of time that serve every interval of the package: `Block`, `cut_blocks`."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = ["Block", "cut_blocks"]

ENOUGH_BLOCKS = 10
# Fewer have so few degrees of freedom that the interval hardly says anything.
FEWEST_BLOCKS = 6
MOST_BLOCKS = 50


@dataclass(frozen=True)
class Block:
    """Frames ``start`` to ``stop`` of one trajectory, all targets together.

    Attributes
    ----------
    trajectory, start, stop : int
    run : int
        Run that the trajectory is a piece of; blocks of one run are correlated.
    offset : int
        Frames of the run before the trajectory.
    """

    trajectory: int
    start: int
    stop: int
    run: int
    offset: int = 0

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.stop - self.start

    def follows(self, other: "Block") -> bool:
        """Whether the block begins where the other ends, in the same run."""
        return self.run == other.run and self.offset + self.start == other.offset + other.stop


def cut_blocks(
    lengths: Sequence[int],
    time: float,
    *,
    lagtime: int = 0,
    n_blocks: int | None = None,
    runs: Sequence[tuple[int, int]] | None = None,
) -> list[Block]:
    r"""Cut trajectories into contiguous blocks that are long against the correlation time.

    A block has :math:`2.2\,t^{2/3}T^{1/3}` frames, with T those of all data: the correlation
    between blocks and the scatter of the variance over blocks then fall together as the data grow.
    It shrinks to no less than 4t to reach ten blocks, and further only to reach six; it has at
    least two lag times, or one lag time where that takes six blocks.

    Parameters
    ----------
    lengths : sequence of n_trajectories ints
        Frames of each, or first frames of pairs.
    time : float
        Correlation time in frames.
    lagtime : int
        Lag of the pairs in frames, 0 for none.
    n_blocks : int or None
        So many blocks in all instead; more if there are more trajectories, fewer if there are
        fewer frames.
    runs : sequence of n_trajectories (run, offset)
        Run that each trajectory is a piece of, and frames of that run before it. By default every
        trajectory is a run of its own.

    Returns
    -------
    list of Block
        In the order of the trajectories; at least one for each.

    Examples
    --------
    >>> from graphkoopman.uncertainty import cut_blocks
    >>> [(b.trajectory, b.start, b.stop) for b in cut_blocks([120, 40], 10.0, n_blocks=4)]
    [(0, 0, 40), (0, 40, 80), (0, 80, 120), (1, 0, 40)]
    """
    if runs is None:
        runs = [(i, 0) for i in range(len(lengths))]
    total = _number_of_blocks(lengths, time, lagtime) if n_blocks is None else n_blocks
    counts = _share_out(lengths, total)
    blocks: list[Block] = []
    for i, (length, count) in enumerate(zip(lengths, counts, strict=True)):
        edges = [length * k // count for k in range(count + 1)]
        blocks += [Block(i, start, stop, *runs[i]) for start, stop in pairwise(edges)]
    return blocks


def _number_of_blocks(lengths: Sequence[int], time: float, lagtime: int) -> int:
    total = float(sum(lengths))
    # frames of a block: the length where the two errors of the docstring balance, n^(1/3) t^(2/3)
    block = max(2.2 * time ** (2 / 3) * total ** (1 / 3), total / MOST_BLOCKS)
    if total / block < ENOUGH_BLOCKS:
        block = min(block, max(total / ENOUGH_BLOCKS, 4.0 * time))
    block = max(block, 2.0 * lagtime)
    if total / block < FEWEST_BLOCKS:
        block = max(total / FEWEST_BLOCKS, lagtime)
    # Pairs of a lag longer than a quarter of the data overlap in any case.
    return max(int(total / block + 1e-9), min(4, int(total)))


def _share_out(lengths: Sequence[int], total: int) -> list[int]:
    """Numbers of blocks: one for each trajectory, the rest where blocks are longest."""
    counts = np.ones(len(lengths), dtype=int)
    frames = np.asarray(lengths, dtype=float)
    for _ in range(min(total, int(frames.sum())) - len(lengths)):
        # the next cut goes to the run whose blocks are longest
        counts[np.argmax(frames / counts)] += 1
    return counts.tolist()
