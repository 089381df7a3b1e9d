"""`block_split`: contiguous training and validation blocks for early stopping."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphkoopman.randomness import RandomState, as_random_state
from graphkoopman.trajectories._segments import adjacent_runs
from graphkoopman.trajectories._validation import check_integer

MAX_BLOCKS = 20
LAGS_PER_BLOCK = 5

Block = tuple[int, int, int]


def block_split(
    lengths: Sequence[int],
    fraction: float,
    *,
    lagtime: int,
    random_state: RandomState = None,
) -> tuple[list[Block], list[Block]]:
    """Split frames into training and validation blocks that are long against the lag time.

    Trajectories are cut into blocks of equal length, as many as possible up to 20 in all such
    that every block keeps more than five lags (down to one lag where the data would not split
    otherwise); shorter trajectories are blocks as they are. A random subset is validation.
    Frame pairs (t, t + lagtime) inside blocks never straddle the two sets.

    Parameters
    ----------
    lengths : sequence of n_trajectories ints
        Frames of each trajectory.
    fraction : float
        Share of frames for validation, between 0 and 1; met to within about half a block.
    lagtime : int
        Frames.
    random_state : int, RandomState, Generator or None

    Returns
    -------
    train, validation : list of (trajectory_index, start, stop)
        In order, neighbouring blocks of one set merged; every block is longer than ``lagtime``.

    Raises
    ------
    ValueError
        If a trajectory is not longer than the lag, or there is nothing to split.

    Examples
    --------
    >>> from graphkoopman.trajectories import block_split
    >>> block_split([100, 100], 0.5, lagtime=30, random_state=0)
    ([(0, 0, 100)], [(1, 0, 100)])
    """
    lagtime = check_integer(lagtime, "lagtime", 1)
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be between 0 and 1, got {fraction}")
    sizes = [check_integer(length, "lengths", 1) for length in lengths]
    if not sizes or min(sizes) <= lagtime:
        raise ValueError(
            f"lagtime must be < the shortest trajectory ({min(sizes, default=0)} frames), "
            f"got {lagtime}; lower lagtime or drop short runs"
        )
    blocks = _cut(sizes, lagtime)
    chosen = _choose(np.array([stop - start for _, start, stop in blocks]), fraction, random_state)
    train = [block for block, held in zip(blocks, chosen, strict=True) if not held]
    validation = [block for block, held in zip(blocks, chosen, strict=True) if held]
    return _merge(train), _merge(validation)


def _cut(sizes: list[int], lagtime: int) -> list[Block]:
    """Blocks of all trajectories, at least two."""
    for lags in range(LAGS_PER_BLOCK, 0, -1):
        counts = _block_counts(sizes, lags * lagtime + 1)
        if sum(counts) > 1:
            break
    else:
        raise ValueError(
            f"a validation split needs two blocks longer than lagtime ({lagtime} frames), got a "
            f"single trajectory of {sizes[0]} frames; it needs {2 * (lagtime + 1)}: lower lagtime, "
            "add data, or train without validation"
        )
    blocks = []
    for trajectory, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        edges = [size * i // count for i in range(count + 1)]
        blocks += [(trajectory, a, b) for a, b in itertools.pairwise(edges)]
    return blocks


def _block_counts(sizes: list[int], min_frames: int) -> list[int]:
    """Blocks per trajectory: the longest blocks are divided first, up to 20 in all."""
    counts = [1] * len(sizes)
    while sum(counts) < MAX_BLOCKS:
        divisible = [i for i, size in enumerate(sizes) if size // (counts[i] + 1) >= min_frames]
        if not divisible:
            break
        counts[max(divisible, key=lambda i: sizes[i] / counts[i])] += 1
    return counts


def _choose(
    lengths: NDArray[np.int64], fraction: float, random_state: RandomState
) -> NDArray[np.bool_]:
    """A random proper subset of blocks whose total comes close to a fraction of the frames."""
    missing = fraction * lengths.sum()
    chosen = np.zeros(len(lengths), dtype=bool)
    for i in as_random_state(random_state).permutation(len(lengths)):
        takes_it_closer = abs(missing - lengths[i]) < abs(missing)
        if takes_it_closer and chosen.sum() < len(lengths) - 1:
            chosen[i] = True
            missing -= lengths[i]
    if not chosen.any():
        chosen[np.argmin(lengths)] = True
    return chosen


def _merge(blocks: list[Block]) -> list[Block]:
    trajectories = [trajectory for trajectory, _, _ in blocks]
    starts = [start for _, start, _ in blocks]
    runs = adjacent_runs(trajectories, starts, [stop - start for _, start, stop in blocks])
    return [(blocks[run[0]][0], blocks[run[0]][1], blocks[run[-1]][2]) for run in runs]
