"""`follow_basis`: one choice of lattice vectors for all frames of a cell that changes."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def follow_basis(cells: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """The same lattices in the vectors that are nearest to those of a reference.

    A simulation in a tilted box may exchange its vectors for others of the same lattice (``fix
    npt`` and ``fix deform`` of LAMMPS flip a box that is tilted too far). Positions do not change
    then, fractions of the cell do.

    Parameters
    ----------
    cells : array-like of shape (..., 3, 3)
        Lattice vectors as rows, Å.
    reference : array-like of shape (3, 3)
        Å.

    Returns
    -------
    cells : ndarray of shape (..., 3, 3)
        Integer combinations of the rows, of the same volume.

    Raises
    ------
    ValueError
        If a cell is so different that no vectors of its lattice correspond to the reference's.

    Examples
    --------
    >>> from graphkoopman.trajectories import follow_basis
    >>> before = [[10.0, 0.0, 0.0], [4.9, 10.0, 0.0], [0.0, 0.0, 10.0]]
    >>> after = [[10.0, 0.0, 0.0], [-4.9, 10.0, 0.0], [0.0, 0.0, 10.0]]
    >>> follow_basis(after, before).tolist()
    [[10.0, 0.0, 0.0], [5.1, 10.0, 0.0], [0.0, 0.0, 10.0]]
    """
    cells = np.asarray(cells, dtype=np.float64)
    reference = np.asarray(reference, dtype=np.float64)
    combinations = np.rint(reference @ np.linalg.inv(cells))
    volumes = np.rint(np.linalg.det(combinations))
    other = np.abs(volumes) != 1
    if other.any():
        cell = cells[other][0] if cells.ndim > 2 else cells
        raise ValueError(
            "cells must be near enough to each other to be compared, got "
            f"{cell.round(3).tolist()} beside {reference.round(3).tolist()} Å; analyse runs of "
            "other cells apart, and a cell that grows in pieces"
        )
    return combinations @ cells
