"""Sums of probabilities over bins of the cell: `binned_sums`, `reference_cells`.

Bins divide lattice vectors, which a run may exchange for others of the same lattice, so all frames
are seen in the basis of the first.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.structure._blocks import Division
from graphkoopman.structure._inputs import StructureRun
from graphkoopman.trajectories import follow_basis

__all__ = ["binned_sums", "reference_cells"]

Array = NDArray[np.float64]

ALIKE = 0.2  # relative difference of lengths and angles, squared, that a barostat makes


def binned_sums(
    runs: Sequence[StructureRun], blocks: Division, shape: NDArray[np.int64], fold: NDArray[Any]
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
    all_cells = reference_cells(runs)
    sums = np.zeros((len(blocks), n_states, n_bins))
    counts = np.zeros((len(blocks), n_bins))
    for k, block in enumerate(blocks):
        run = runs[block.trajectory]
        for start, stop in run.parts(block.start, block.stop):
            cells = all_cells[block.trajectory][start:stop]
            fractions = run.centers(start, stop) @ np.linalg.inv(cells)
            # a remainder just below one rounds up to the bin behind the last
            bins = np.floor(np.mod(fractions * fold, 1.0) * shape).astype(np.int64) % shape
            # (n * n_targets,) flat index of the voxel that each target is in
            index = np.ravel_multi_index(tuple(np.moveaxis(bins, -1, 0)), shape).ravel()
            counts[k] += np.bincount(index, minlength=n_bins)
            for state in range(n_states):
                weights = run.probs[start:stop, :, state].ravel()
                sums[k, state] += np.bincount(index, weights=weights, minlength=n_bins)
    return sums.reshape(len(blocks), n_states, *shape), counts.reshape(len(blocks), *shape)


def reference_cells(runs: Sequence[StructureRun]) -> list[Array]:
    """Cells of every run, (n_frames, 3, 3) in Å, in one basis.

    Raises
    ------
    ValueError
        If cells differ so much that their vectors do not correspond.
    """
    first = runs[0].cells(0, 1)[0]
    found = []
    for run in runs:
        cells = run.cells(0, run.n_frames)
        # Gram matrices hold lengths and angles, and do not turn with the cell
        own = cells[0] @ cells[0].T, first @ first.T
        # a run that is turned as a whole has the basis of the first one, too
        alike = np.abs(own[0] - own[1]).max() < ALIKE * np.abs(own[1]).max()
        reference = cells[0] if alike else first
        constant = run.trajectory.cell is not None and run.trajectory.cell.ndim == 2
        one = follow_basis(cells[:1] if constant else cells, reference)
        found.append(np.broadcast_to(one, cells.shape))
    return found
