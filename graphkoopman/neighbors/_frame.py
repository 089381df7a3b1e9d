"""Neighbours of the atoms of one frame: `k_nearest`, `within`, `check_frame`, and checks."""

import math
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman._compiling import njit
from graphkoopman.checks import is_integer
from graphkoopman.neighbors._grid import build_grid
from graphkoopman.neighbors._search import (
    nearest_of,
    occupancy_for_cutoff,
    occupancy_for_nearest,
    within_of,
)

# No bond is shorter than H-H, 0.74 Å; in nm, nearest neighbours are 0.1 to 0.4 apart.
SHORTEST_BOND = 0.5
# A cell flatter than this fraction of its edges has no volume in double precision.
FLATTEST_CELL = 1e-10
NO_CELL = np.zeros((3, 3))


def k_nearest(
    positions: ArrayLike,
    cell: ArrayLike | None,
    k: int,
    centers: ArrayLike | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the k nearest neighbours of atoms.

    Parameters
    ----------
    positions : array-like of shape (n_atoms, 3)
        In Å; they need not be wrapped into the cell.
    cell : array-like of shape (3, 3) or None
        Lattice vectors in rows, Å; None for a system without periodic boundaries.
    k : int
        Neighbours per atom.
    centers : array-like of shape (n_centers,), optional
        Atoms to find neighbours of; all atoms if None.

    Returns
    -------
    indices : ndarray of shape (n_centers, k), int64
        Neighbours by rising distance, those of equal distance by rising index.
    distances : ndarray of shape (n_centers, k), float64
        In Å.

    Raises
    ------
    ValueError
        If an argument has a wrong shape or value, or a system without a cell has fewer than
        k + 1 atoms.

    Notes
    -----
    Distances that are equal by symmetry may differ in the last bits after a rotation or a
    translation. In a perfect crystal, if k cuts through a shell, which of its atoms are kept is
    then a matter of rounding.

    Examples
    --------
    Simple cubic lattice, one atom per cell: the six neighbours are its own images.

    >>> import numpy as np
    >>> from graphkoopman.neighbors import k_nearest
    >>> indices, distances = k_nearest(np.zeros((1, 3)), 3.0 * np.eye(3), k=7)
    >>> indices[0].tolist()
    [0, 0, 0, 0, 0, 0, 0]
    >>> distances[0].round(3).tolist()
    [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 4.243]
    """
    positions, box = _check_shapes(positions, cell)
    k = _check_k(k, len(positions), periodic=cell is not None)
    atoms = _check_centers(centers, len(positions))
    indices = np.empty((len(atoms), k), np.int64)
    distances = np.empty((len(atoms), k), np.float64)
    if not _fill_nearest(positions, box, cell is not None, atoms, indices, distances):
        _refuse(positions, box)
    return indices, distances


def within(
    positions: ArrayLike,
    cell: ArrayLike | None,
    cutoff: float,
    centers: ArrayLike | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Find all neighbours of atoms that are nearer than a cutoff.

    Parameters
    ----------
    positions : array-like of shape (n_atoms, 3)
        In Å; they need not be wrapped into the cell.
    cell : array-like of shape (3, 3) or None
        Lattice vectors in rows, Å; None for a system without periodic boundaries.
    cutoff : float
        In Å; neighbours are strictly nearer. It may exceed the cell.
    centers : array-like of shape (n_centers,), optional
        Atoms to find neighbours of; all atoms if None.

    Returns
    -------
    center : ndarray of shape (n_pairs,), int64
        The atom each neighbour belongs to, in the order of ``centers``.
    neighbor : ndarray of shape (n_pairs,), int64
        Neighbours of each center by rising distance, those of equal distance by rising index.
    distance : ndarray of shape (n_pairs,), float64
        In Å.

    Raises
    ------
    ValueError
        If an argument has a wrong shape or value.

    Examples
    --------
    >>> from graphkoopman.neighbors import within
    >>> center, neighbor, distance = within([[0, 0, 0], [0, 0, 1], [0, 0, 3]], None, cutoff=2.5)
    >>> center.tolist(), neighbor.tolist(), distance.tolist()
    ([0, 1, 1, 2], [1, 0, 2, 1], [1.0, 1.0, 2.0, 2.0])
    """
    positions, box = check_frame(positions, cell)
    cutoff = _check_cutoff(cutoff)
    atoms = _check_centers(centers, len(positions))
    counts, neighbor, distance = _collect_within(positions, box, cell is not None, atoms, cutoff)
    return np.repeat(atoms, counts), neighbor, distance


def check_not_nanometre(distances: ArrayLike) -> None:
    """Raise if atoms are so close that their positions are probably in nm.

    Parameters
    ----------
    distances : array-like of shape (n_centers, k) or (n_centers,)
        Distances from each atom to its neighbours, nearest first, as `k_nearest` returns them.

    Raises
    ------
    ValueError
        If the nearest neighbour of a typical (median) atom is nearer than 0.5 Å. The median lets
        single contacts and massless sites inside a molecule pass.
    """
    distances = np.asarray(distances, dtype=np.float64)
    nearest = distances[:, 0] if distances.ndim == 2 else distances
    if nearest.size and np.median(nearest) < SHORTEST_BOND:
        raise ValueError(
            f"positions must be in Å, got nearest neighbours {np.median(nearest):.3g} apart "
            f"(median), below {SHORTEST_BOND} Å; if positions and cell are in nm, multiply both "
            "by 10"
        )


def check_frame(
    positions: ArrayLike, cell: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions and cell as the compiled functions take them, or say what is wrong.

    Parameters
    ----------
    positions : array-like of shape (n_atoms, 3)
        In Å.
    cell : array-like of shape (3, 3) or None
        Lattice vectors in rows, Å.

    Returns
    -------
    positions : ndarray of shape (n_atoms, 3), float64, C-contiguous
    cell : ndarray of shape (3, 3), float64, C-contiguous
        Zeros if there is no cell.

    Raises
    ------
    ValueError
        If a shape is wrong, a value is not finite, there are no atoms, or the cell is singular.
    """
    positions, box = _check_shapes(positions, cell)
    if not np.isfinite(positions).all() or (cell is not None and not _has_volume(box)):
        _refuse(positions, box)
    return positions, box


def _check_shapes(
    positions: ArrayLike, cell: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    positions = np.ascontiguousarray(positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3 or len(positions) == 0:
        raise ValueError(
            f"positions must have shape (n_atoms, 3) with at least one atom, got "
            f"{positions.shape}; pass one frame, positions[i], of a trajectory"
        )
    box = NO_CELL if cell is None else np.ascontiguousarray(cell, dtype=np.float64)
    if box.shape != (3, 3):
        raise ValueError(
            f"cell must have shape (3, 3), lattice vectors in rows, got {box.shape}; "
            "pass np.diag(lengths) for an orthogonal cell, None for no cell"
        )
    return positions, box


def _has_volume(cell: NDArray[np.float64]) -> bool:
    lengths = np.linalg.norm(cell, axis=1)
    return bool(abs(np.linalg.det(cell)) > FLATTEST_CELL * lengths.prod())


def _refuse(positions: NDArray[np.float64], cell: NDArray[np.float64]) -> NoReturn:
    """Say which number is wrong: an atom is nowhere, or the cell has no volume."""
    if not np.isfinite(positions).all():
        atom = int(np.flatnonzero(~np.isfinite(positions).all(axis=1))[0])
        raise ValueError(
            f"positions must be finite, got {positions[atom]} for atom {atom}; "
            "drop or repair the frame"
        )
    if not np.isfinite(cell).all():
        raise ValueError(f"cell must be finite, got {cell.tolist()}; pass None for no cell")
    raise ValueError(
        f"cell must have three independent lattice vectors, got {cell.tolist()} of volume "
        "zero; pass None for no cell, or a long vector along a direction without period"
    )


def _check_k(k: int, n_atoms: int, *, periodic: bool) -> int:
    if not is_integer(k, 1):
        raise ValueError(f"k must be an integer >= 1, got {k!r}; ask for at least one neighbour")
    if not periodic and n_atoms < k + 1:
        raise ValueError(
            f"a system without a cell must have at least k + 1 = {k + 1} atoms, got {n_atoms}; "
            f"lower k to {n_atoms - 1} or less, or pass the cell"
        )
    return int(k)


def _check_cutoff(cutoff: float) -> float:
    cutoff = float(cutoff)
    if not 0.0 < cutoff < np.inf:
        raise ValueError(f"cutoff must be > 0 and finite, got {cutoff}; pass a length in Å")
    return cutoff


def _check_centers(centers: ArrayLike | None, n_atoms: int) -> NDArray[np.int64]:
    if centers is None:
        return np.arange(n_atoms)
    centers = np.asarray(centers)
    if centers.size == 0 and centers.ndim == 1:
        return np.empty(0, np.int64)
    if centers.ndim != 1 or not np.issubdtype(centers.dtype, np.integer):
        raise ValueError(
            f"centers must be integers of shape (n_centers,), got {centers.dtype} of shape "
            f"{centers.shape}; turn a mask into indices with np.flatnonzero"
        )
    if centers.min() < 0 or centers.max() >= n_atoms:
        worst = centers.min() if centers.min() < 0 else centers.max()
        raise ValueError(
            f"centers must be between 0 and {n_atoms - 1} (n_atoms - 1), got {worst}; "
            "count atoms from zero"
        )
    return np.ascontiguousarray(centers, dtype=np.int64)


@njit(cache=True, nogil=True)
def _fill_nearest(positions, cell, periodic, atoms, indices, distances):
    """Fill the outputs; False, and nothing filled, where `check_frame` would raise."""
    if not _is_sound(positions, cell, periodic):
        return False
    grid = build_grid(positions, cell, periodic, occupancy_for_nearest(indices.shape[1]))
    for row in range(len(atoms)):
        nearest_of(atoms[row], grid, indices[row], distances[row])
    return True


@njit(cache=True, error_model="numpy")
def _is_sound(positions, cell, periodic):
    """Whether all numbers are finite and the cell has a volume; numpy takes 7 µs to tell."""
    for i in range(len(positions)):
        for x in range(3):
            if not math.isfinite(positions[i, x]):
                return False
    if not periodic:
        return True
    lengths, volume = 1.0, 0.0
    for x in range(3):
        a, b, c = cell[x, 0], cell[x, 1], cell[x, 2]
        y, z = (x + 1) % 3, (x + 2) % 3
        lengths *= math.sqrt(a * a + b * b + c * c)
        volume += cell[0, x] * (cell[1, y] * cell[2, z] - cell[1, z] * cell[2, y])
    # false for NaN and infinities, too
    return abs(volume) > FLATTEST_CELL * lengths


@njit(cache=True, nogil=True)
def _collect_within(positions, cell, periodic, atoms, cutoff):
    """Return neighbours per atom, and all neighbours and distances one atom after the other."""
    occupancy = occupancy_for_cutoff(len(positions), cell, periodic, cutoff)
    grid = build_grid(positions, cell, periodic, occupancy)
    counts = np.empty(len(atoms), np.int64)
    neighbor = np.empty(32 * len(atoms), np.int64)
    distance = np.empty(32 * len(atoms), np.float64)
    filled = 0
    for row in range(len(atoms)):
        found = within_of(atoms[row], grid, cutoff, neighbor[filled:], distance[filled:])
        if filled + found > neighbor.size:
            capacity = 2 * (filled + found)
            neighbor = _enlarged(neighbor, filled, capacity)
            distance = _enlarged(distance, filled, capacity)
            found = within_of(atoms[row], grid, cutoff, neighbor[filled:], distance[filled:])
        counts[row] = found
        filled += found
    return counts, neighbor[:filled].copy(), distance[:filled].copy()


@njit(cache=True)
def _enlarged(array, filled, capacity):
    larger = np.empty(capacity, array.dtype)
    for i in range(filled):
        larger[i] = array[i]
    return larger
