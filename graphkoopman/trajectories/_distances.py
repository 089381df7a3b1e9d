"""`shortest_distances`: how near atoms of each pair of kinds come in a frame."""

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from graphkoopman.trajectories._minimum_image import IMAGES, minimum_image, reduce_cell

REACH = 4.0  # Å, within which images are searched
PAIRS = 4_000_000  # further apart, so many pairs are compared one by one


def shortest_distances(
    positions: NDArray[np.floating], cell: NDArray[np.float64] | None, species: NDArray[np.int64]
) -> dict[tuple[int, int], float]:
    """Shortest distance between atoms of each pair of species, periodic images included.

    Parameters
    ----------
    positions : ndarray of shape (n_atoms, 3)
        Å.
    cell : ndarray of shape (3, 3) or None
    species : ndarray of shape (n_atoms,)

    Returns
    -------
    distances : dict of (int, int) to float
        Å, keyed by two numbers of species, the smaller one first. Pairs of which there are too
        many, all of them beyond 4 Å, are left out.
    """
    everyone, owners = _with_images(positions.astype(np.float64), cell)
    found = {}
    kinds = np.unique(species).tolist()
    for one, other in itertools.combinations_with_replacement(kinds, 2):
        near = np.flatnonzero(species[owners] == other)
        own = np.flatnonzero(species == one)
        distance = _nearest(everyone[own], own, everyone[near], near)
        if distance > REACH and cell is not None:
            distance = _by_pairs(positions, cell, own, np.flatnonzero(species == other))
        if np.isfinite(distance):
            found[one, other] = distance
    return found


def _with_images(
    positions: NDArray[np.float64], cell: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Wrapped atoms, then their images near the faces of the cell, and whose images they are."""
    own = np.arange(len(positions))
    if cell is None:
        return positions, own
    reduced = reduce_cell(cell)
    inverse = np.linalg.inv(reduced)
    fractions = positions @ inverse
    fractions -= np.floor(fractions)
    # fractions of a height that the reach is, of one at most
    margin = np.minimum(REACH * np.linalg.norm(inverse, axis=0), 1.0)
    parts, owners = [fractions], [own]
    for image in IMAGES[1:]:
        moved = fractions + image
        near = np.flatnonzero(((moved > -margin) & (moved < 1 + margin)).all(axis=1))
        parts.append(moved[near])
        owners.append(near)
    return np.concatenate(parts) @ reduced, np.concatenate(owners)


def _nearest(
    centers: NDArray[np.float64],
    own: NDArray[np.int64],
    others: NDArray[np.float64],
    places: NDArray[np.int64],
) -> float:
    """Shortest distance of centers to others, but not to themselves."""
    distances, which = cKDTree(others).query(centers, k=[1, 2])
    itself = np.take(np.append(places, -1), which[:, 0]) == own
    return float(np.where(itself, distances[:, 1], distances[:, 0]).min())


def _by_pairs(
    positions: NDArray[np.floating],
    cell: NDArray[np.float64],
    own: NDArray[np.int64],
    others: NDArray[np.int64],
) -> float:
    if len(own) * len(others) > PAIRS:
        return np.inf
    vectors = positions[own, None].astype(np.float64) - positions[others]
    vectors = minimum_image(vectors.reshape(-1, 3), cell)
    lengths = np.linalg.norm(vectors, axis=1).reshape(len(own), len(others))
    # an atom and itself is its nearest image
    lengths[own[:, None] == others] = np.linalg.norm(reduce_cell(cell)[0])
    return float(lengths.min())
