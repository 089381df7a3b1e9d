"""Sums over spherical shells around targets, block by block: `block_shell_sums`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphkoopman.structure._blocks import Division
from graphkoopman.structure._inputs import StructureRun
from graphkoopman.structure._pairs import add_shell_sums

__all__ = ["block_populations", "block_shell_sums"]

Array = NDArray[np.float64]


def block_shell_sums(
    runs: Sequence[StructureRun],
    blocks: Division,
    columns: Sequence[NDArray[np.int64]],
    weights: Sequence[Array],
    shape: tuple[int, int],
    r_max: float,
) -> Array:
    r"""Weights of the atoms around targets, :math:`\sum_{t,a} p_i(t,a)\, w(\text{shell})`.

    Parameters
    ----------
    runs, blocks : sequences
    columns : sequence of n_runs ndarray of shape (n_atoms,)
        Column in which an atom counts, -1 for none.
    weights : sequence of n_runs ndarray of shape (n_atoms,)
    shape : (n_columns, n_bins)
    r_max : float
        Å.

    Returns
    -------
    sums : ndarray of shape (n_blocks, n_states, n_columns, n_bins)
    """
    sums = np.zeros((len(blocks), runs[0].n_states, *shape))
    owners = [run.owners() for run in runs]
    # one block of time after the other: its sums are one sample of the interval
    for block, block_sums in zip(blocks, sums, strict=True):
        i = block.trajectory
        for start, stop in runs[i].parts(block.start, block.stop):
            positions, cells, centers, probs = _frames(runs[i], start, stop)
            add_shell_sums(
                positions, cells, centers, owners[i], columns[i], weights[i], probs, r_max,
                block_sums,
            )  # fmt: skip
    return sums


def _frames(run: StructureRun, start: int, stop: int) -> list[Array]:
    """Positions, cells, centres and probabilities of frames, for the compiled loop."""
    arrays = (
        run.trajectory.positions[start:stop],
        run.cells(start, stop),
        run.centers(start, stop),
        run.probs[start:stop],
    )
    # copies of one layout, writable: other types of array would be compiled for anew
    return [np.array(array, dtype=np.float64, order="C") for array in arrays]


def block_populations(runs: Sequence[StructureRun], blocks: Division) -> tuple[Array, Array]:
    """Summed probabilities (n_blocks, n_states) and the numbers of frames times targets."""
    sums = np.empty((len(blocks), runs[0].n_states))
    rows = np.empty(len(blocks))
    for k, block in enumerate(blocks):
        part = runs[block.trajectory].probs[block.start : block.stop]
        sums[k] = part.sum(axis=(0, 1), dtype=np.float64)
        rows[k] = part.shape[0] * part.shape[1]
    return sums, rows
