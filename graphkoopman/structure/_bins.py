"""Sums of probabilities over bins of the cell: `binned_sums`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.structure._blocks import Block
from graphkoopman.structure._inputs import Run

__all__ = ["binned_sums"]

Array = NDArray[np.float64]


def binned_sums(
    runs: Sequence[Run], blocks: Sequence[Block], shape: NDArray[np.int64], fold: NDArray[Any]
) -> tuple[Array, Array]:
    """Sum probabilities and count targets in parallelepipeds of the cell.

    Parameters
    ----------
    runs, blocks : sequences
    shape : ndarray of shape (3,)
        Bins n_a, n_b, n_c along each cell vector.
    fold : ndarray of shape (3,)
        Repeats of the mapped unit along each cell vector.

    Returns
    -------
    sums : ndarray of shape (n_blocks, n_states, n_a, n_b, n_c)
    counts : ndarray of shape (n_blocks, n_a, n_b, n_c)
        Frames times targets.
    """
    n_states, n_bins = runs[0].n_states, int(np.prod(shape))
    sums = np.zeros((len(blocks), n_states, n_bins))
    counts = np.zeros((len(blocks), n_bins))
    for k, block in enumerate(blocks):
        run = runs[block.trajectory]
        for start, stop in run.parts(block.start, block.stop):
            fractions = run.centers(start, stop) @ np.linalg.inv(run.cells(start, stop))
            # a remainder just below one rounds up to the bin behind the last
            bins = np.floor(np.mod(fractions * fold, 1.0) * shape).astype(np.int64) % shape
            index = np.ravel_multi_index(tuple(np.moveaxis(bins, -1, 0)), shape).ravel()
            counts[k] += np.bincount(index, minlength=n_bins)
            for state in range(n_states):
                weights = run.probs[start:stop, :, state].ravel()
                sums[k, state] += np.bincount(index, weights=weights, minlength=n_bins)
    return sums.reshape(len(blocks), n_states, *shape), counts.reshape(len(blocks), *shape)
