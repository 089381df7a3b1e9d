"""Minimum images in any cell: `reduce_cell` and `minimum_image`.

In a Minkowski-reduced cell the image nearest to the origin is at most one lattice vector per
direction away from the one with fractional coordinates in [-1/2, 1/2], so 27 candidates are
exact; vectors shorter than half the shortest lattice vector need no search at all.
"""

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

# (27, 3), the unshifted image first so that ties leave a vector as it is
IMAGES = np.array(sorted(itertools.product((-1, 0, 1), repeat=3), key=np.count_nonzero), float)
MOST_SEARCHED = 20_000
MAX_PASSES = 100


def minimum_image(vectors: ArrayLike, cell: ArrayLike | None) -> NDArray[np.float64]:
    """Shortest periodic images of vectors, exact for any cell.

    Parameters
    ----------
    vectors : array-like of shape (..., n, 3)
        Å.
    cell : array-like of shape (3, 3) or (..., 3, 3), or None
        Lattice vectors as rows, Å; leading axes as those of ``vectors``. None is no periodicity.

    Returns
    -------
    vectors : ndarray of shape (..., n, 3)
        float64. Where two images are equally short, either may come.

    Examples
    --------
    >>> from graphkoopman.trajectories import minimum_image
    >>> minimum_image([[9.0, 0.0, 0.0]], [[10, 0, 0], [0, 10, 0], [0, 0, 10]])
    array([[-1.,  0.,  0.]])
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    return vectors.copy() if cell is None else vectors + image_shift(vectors, cell)


def image_shift(vectors: NDArray[np.float64], cell: ArrayLike) -> NDArray[np.float64]:
    """Lattice vectors that take vectors to their minimum images; zeros where they are there."""
    reduced = reduce_cell(cell)
    # rounding fractional coordinates is exact in an orthogonal cell, and a start in any other
    shift = -np.rint(vectors @ np.linalg.inv(reduced)) @ reduced
    gram = reduced @ np.swapaxes(reduced, -1, -2)
    lengths_squared = np.diagonal(gram, axis1=-2, axis2=-1)
    if not np.any(np.triu(gram, 1)):
        return shift  # orthogonal vectors: rounding is exact
    nearest = vectors + shift
    # a vector shorter than half the shortest lattice vector has no shorter image
    in_doubt = (nearest**2).sum(axis=-1) > 0.25 * lengths_squared.min(axis=-1)[..., None]
    where = np.nonzero(in_doubt)
    cells = np.broadcast_to(reduced, (*vectors.shape[:-2], 3, 3))
    for start in range(0, len(where[0]), MOST_SEARCHED):
        chunk = tuple(index[start : start + MOST_SEARCHED] for index in where)
        lattice = IMAGES @ cells[chunk[:-1]]  # (27, 3) in one cell, (n_chunk, 27, 3) in many
        candidates = nearest[chunk][:, None, :] + lattice
        best = np.argmin((candidates**2).sum(axis=-1), axis=1)
        rows = (best,) if lattice.ndim == 2 else (np.arange(len(best)), best)
        shift[chunk] += lattice[rows]
    return shift


def reduce_cell(cell: ArrayLike) -> NDArray[np.float64]:
    """Minkowski-reduced cells: the same lattices, spanned by their shortest vectors.

    Parameters
    ----------
    cell : array-like of shape (..., 3, 3)
        Lattice vectors as rows, Å.

    Returns
    -------
    cell : ndarray of shape (..., 3, 3)
        Rows sorted by length; the handedness may differ from the input's.

    References
    ----------
    Nguyen and Stehlé, Low-dimensional lattice basis reduction revisited, ACM Transactions on
    Algorithms 5, 46 (2009).

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.trajectories import reduce_cell
    >>> skewed = np.array([[4.0, 0.0, 0.0], [8.0, 4.0, 0.0], [4.0, 4.0, 4.0]])
    >>> np.linalg.norm(reduce_cell(skewed), axis=1)
    array([4., 4., 4.])
    """
    cells = np.array(cell, dtype=np.float64)
    shape = cells.shape
    cells = cells.reshape(-1, 3, 3)
    open_cells = np.arange(len(cells))
    for _ in range(MAX_PASSES):
        shorter = _reduction_pass(cells[open_cells])
        gain = (cells[open_cells] ** 2).sum(axis=(1, 2)) / (shorter**2).sum(axis=(1, 2)) - 1
        cells[open_cells] = shorter
        open_cells = open_cells[gain > 1e-12]
        if not len(open_cells):
            break
    return cells.reshape(shape)


def _reduction_pass(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sort by length, then shorten the second and third vector by the ones before them."""
    order = np.argsort((cells**2).sum(axis=2), axis=1, kind="stable")
    a, b, c = np.moveaxis(np.take_along_axis(cells, order[:, :, None], axis=1), 1, 0)
    b = _shorten(b, a)
    c = _shorten(_shorten(c, b), a)
    # after rounding, the lattice point of the plane (a, b) nearest to c is one of nine
    candidates = c[:, None] + IMAGES[IMAGES[:, 2] == 0][:, :2] @ np.stack([a, b], axis=1)
    best = np.argmin((candidates**2).sum(axis=2).round(12), axis=1)
    c = candidates[np.arange(len(c)), best]
    reduced = np.stack([a, b, c], axis=1)
    order = np.argsort((reduced**2).sum(axis=2), axis=1, kind="stable")
    return np.take_along_axis(reduced, order[:, :, None], axis=1)


def _shorten(vector: NDArray[np.float64], by: NDArray[np.float64]) -> NDArray[np.float64]:
    projection = (vector * by).sum(axis=1) / (by**2).sum(axis=1)
    return vector - np.rint(projection)[:, None] * by
