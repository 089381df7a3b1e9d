"""Compiled cell grid: the atoms of one frame sorted into bins, for any cell.

`build_grid` is called once per frame; `nearest_of` and `within_of` (module `_search`) then answer
for one atom at a time.

Bins are parallelepipeds of a reduced cell (short lattice vectors of the same lattice), so that a
strongly skewed description of the lattice costs no more than a compact one. Without a cell the
bins fill the bounding box. Where atoms cluster in a large cell the bins are refined.
"""

import math
from typing import NamedTuple

import numpy as np

from graphkoopman._compiling import njit

# Bins are refined when an atom shares its bin with this many times more atoms than aimed at,
CROWDED = 4.0
# and up to this many bins per atom, which bounds memory and the time to clear them.
MAX_BINS_PER_ATOM = 64.0
# Å; a planar or linear system without a cell still gets a box with a volume.
MIN_EXTENT = 1e-3
# Borders of bins are moved by this fraction of the cell, far above the rounding of coordinates.
RELATIVE_SLACK = 1e-10


class Grid(NamedTuple):
    """Atoms of one frame in bins. A *slot* is the place of an atom in the order of the bins."""

    positions: np.ndarray  # (n_points, 3) by slot, Å, wrapped into the reduced cell
    coordinates: np.ndarray  # (n_points, 3) by slot, in bins: the integer part is the bin
    atoms: np.ndarray  # (n_atoms,) atom of every slot; points that are no atoms come after these
    slots: np.ndarray  # (n_points,) slot of every atom, and of the points after them
    starts: np.ndarray  # (n_bins + 1,) first slot of every bin, last axis fastest
    shape: tuple[int, int, int]  # bins along each lattice vector
    widths: tuple[float, float, float]  # Å between opposite faces of a bin
    cell: np.ndarray  # (3, 3) reduced lattice vectors in rows, Å
    periodic: bool
    density: float  # atoms per Å^3 around a typical atom
    packing: float  # |d|^2 >= packing * sum over axes of (d . face normal)^2
    slack: float  # Å; bounds the rounding of bin borders


@njit(cache=True, nogil=True, error_model="numpy")
def build_grid(positions, cell, periodic, occupancy):
    """Sort the atoms of one frame into bins.

    Parameters
    ----------
    positions : ndarray of shape (n_atoms, 3), float64, C-contiguous
        In Å, wrapped or not; at least one atom, all finite (the caller has checked).
    cell : ndarray of shape (3, 3), float64, C-contiguous
        Lattice vectors in rows, Å, not singular; ignored unless ``periodic``.
    periodic : bool
        False for a system without a cell.
    occupancy : float
        Mean atoms per bin to aim at. It changes the speed only: see `occupancy_for_nearest` and
        `occupancy_for_cutoff`.

    Returns
    -------
    Grid
    """
    return build_grid_around(positions, len(positions), cell, periodic, occupancy)


@njit(cache=True, nogil=True, error_model="numpy")
def build_grid_around(positions, n_atoms, cell, periodic, occupancy):
    """`build_grid` of the first ``n_atoms`` positions; those after them are centres only.

    Parameters
    ----------
    positions : ndarray of shape (n_points, 3), float64, C-contiguous
        In Å. A search from one of the last ``n_points - n_atoms`` points finds atoms, and no
        search finds such a point.
    n_atoms : int
        At least one.
    cell, periodic, occupancy
        As of `build_grid`.

    Returns
    -------
    Grid
    """
    n_points = len(positions)
    box, origin = _reduce(cell) if periodic else _bounding_box(positions)
    normals, heights, volume, packing = _faces(box)
    fractions, wrapped = _wrap(positions, box, origin, normals, heights, periodic)
    most = MAX_BINS_PER_ATOM * n_atoms
    # refine until an atom has about the company aimed at: clusters and slabs fill few bins
    n_bins = min(most, max(1.0, n_atoms / occupancy))
    while True:
        shape = _bins_per_axis(heights, n_bins)
        bins, starts, company = _count(fractions, n_atoms, shape)
        if company < CROWDED * occupancy or n_bins >= most:
            break
        n_bins = min(most, n_bins * company / occupancy)

    atoms, slots = _sort(bins, starts, n_points)
    places = np.empty((n_points, 3))
    coordinates = np.empty((n_points, 3))
    for axis in range(3):
        for point in range(n_points):
            places[slots[point], axis] = wrapped[point, axis]
            coordinates[slots[point], axis] = fractions[point, axis] * shape[axis]
    # distances between faces, not lengths of edges: these bound what a sphere reaches
    widths = (heights[0] / shape[0], heights[1] / shape[1], heights[2] / shape[2])
    # an atom that sees `company` others in its bin lives at that density, not at the mean one
    density = max(n_atoms, company * shape[0] * shape[1] * shape[2]) / volume
    return Grid(
        places, coordinates, atoms, slots, starts, shape, widths, box, periodic,
        density, packing, _slack(box),
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def lattices(positions, cells, periodic):
    """What `build_grid` takes from the cells of some frames, for searches not on the CPU.

    Parameters
    ----------
    positions : ndarray of shape (n_frames, n_atoms, 3), float64, C-contiguous
        In Å.
    cells : ndarray of shape (n_frames or 1, 3, 3), float64, C-contiguous
    periodic : bool
        False takes the bounding box of every frame.

    Returns
    -------
    boxes, origins, normals, heights, volumes, packings, slacks : ndarray
        Of shapes (n, 3, 3), (n, 3), (n, 3, 3), (n, 3), (n,), (n,) and (n,), n being 1 where all
        frames share a cell: reduced lattice vectors in rows and their origin, Å; unit normals of
        the faces in rows and the distances between faces, Å; the volume, Å^3; `Grid.packing` and
        `Grid.slack`.
    """
    n = len(cells) if periodic else len(positions)
    boxes, origins, normals = np.empty((n, 3, 3)), np.empty((n, 3)), np.empty((n, 3, 3))
    heights, volumes, packings, slacks = np.empty((n, 3)), np.empty(n), np.empty(n), np.empty(n)
    for f in range(n):
        box, origin = _reduce(cells[f]) if periodic else _bounding_box(positions[f])
        boxes[f], origins[f] = box, origin
        normals[f], heights[f], volumes[f], packings[f] = _faces(box)
        slacks[f] = _slack(box)
    return boxes, origins, normals, heights, volumes, packings, slacks


@njit(cache=True, error_model="numpy")
def _slack(box):
    """Return what coordinates inside a box may be off by rounding, Å, and far more."""
    diagonal = _dot(box[0], box[0]) + _dot(box[1], box[1]) + _dot(box[2], box[2])
    return RELATIVE_SLACK * math.sqrt(diagonal)


@njit(cache=True, error_model="numpy")
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(cache=True, error_model="numpy")
def _reduce(cell):
    """Return short vectors of the same lattice (greedy reduction), and the origin."""
    box = cell.copy()
    shorter = np.empty(3)
    improved = True
    while improved:
        improved = False
        for i in range(3):
            a, b, c = box[i], box[(i + 1) % 3], box[(i + 2) % 3]
            # multiples of b and c to take off a: the nearest to the projection, and one either side
            m = np.rint(_dot(a, b) / _dot(b, b))
            n = np.rint(_dot(a, c) / _dot(c, c))
            for p in (m - 1.0, m, m + 1.0):
                for q in (n - 1.0, n, n + 1.0):
                    for x in range(3):
                        shorter[x] = a[x] - p * b[x] - q * c[x]
                    # Only a clear gain counts, or vectors of equal length would swap for ever.
                    if _dot(shorter, shorter) < (1.0 - 1e-9) * _dot(a, a):
                        for x in range(3):
                            a[x] = shorter[x]
                        improved = True
    return box, 0.0 * shorter


@njit(cache=True, error_model="numpy")
def _bounding_box(positions):
    """Return an orthogonal cell around the positions, and its corner."""
    box = np.empty((3, 3))
    origin = np.empty(3)
    for x in range(3):
        lowest = highest = positions[0, x]
        for i in range(len(positions)):
            lowest, highest = min(lowest, positions[i, x]), max(highest, positions[i, x])
        origin[x] = lowest
        for y in range(3):
            box[x, y] = 0.0
        box[x, x] = max(highest - lowest, MIN_EXTENT)
    return box, origin


@njit(cache=True, error_model="numpy")
def _faces(box):
    """Return unit normals of the faces (rows), distances between opposite faces, the volume.

    Last comes the packing: 1 / (a bound on the largest eigenvalue of the normals' Gram matrix).
    """
    normals = np.empty((3, 3))
    heights = np.empty(3)
    volume = 0.0
    for i in range(3):
        b, c = box[(i + 1) % 3], box[(i + 2) % 3]
        # normal of a face is the cross product b × c, and volume = |a · (b × c)|
        for x in range(3):
            y, z = (x + 1) % 3, (x + 2) % 3
            normals[i, x] = b[y] * c[z] - b[z] * c[y]
        area = math.sqrt(_dot(normals[i], normals[i]))
        signed = _dot(normals[i], box[i])
        volume = abs(signed)
        heights[i] = volume / area
        for x in range(3):
            normals[i, x] /= math.copysign(area, signed)
    largest = 1.0
    for i in range(3):
        # Gershgorin: no eigenvalue exceeds the largest sum of a row
        row = abs(_dot(normals[i], normals[0]))
        row += abs(_dot(normals[i], normals[1])) + abs(_dot(normals[i], normals[2]))
        largest = max(largest, row)
    return normals, heights, volume, 1.0 / largest


@njit(cache=True, error_model="numpy")
def _wrap(positions, box, origin, normals, heights, periodic):
    """Return the positions as fractions of the box and in Å, wrapped into it if periodic."""
    fractions = np.empty_like(positions)
    wrapped = np.empty_like(positions)
    for i in range(len(positions)):
        for x in range(3):
            wrapped[i, x] = positions[i, x] - origin[x]
        for axis in range(3):
            # height above the face over the height of the cell is the fractional coordinate
            fractions[i, axis] = _dot(wrapped[i], normals[axis]) / heights[axis]
        if not periodic:
            continue
        for axis in range(3):
            image = math.floor(fractions[i, axis])
            fraction = fractions[i, axis] - image
            if fraction >= 1.0:
                # A coordinate just below zero rounds up to one: leave the atom on the border.
                fraction, image = 0.0, image + 1
            fractions[i, axis] = fraction
            if image != 0:
                # Whole lattice vectors come off the position as given, so that an atom that is
                # inside already keeps its coordinates to the last bit.
                for x in range(3):
                    wrapped[i, x] -= image * box[axis, x]
    return fractions, wrapped


@njit(cache=True, error_model="numpy")
def _bins_per_axis(heights, n_bins):
    """Return the bins along each axis: about n_bins of equal widths, one where the box is thin."""
    low = min(heights[0], heights[1], heights[2])
    high = max(heights[0], heights[1], heights[2])
    mid = max(min(heights[0], heights[1]), min(max(heights[0], heights[1]), heights[2]))
    # cubes where they fit; slabs or rods of one bin where the box is thinner than a cube
    width = (low * mid * high / n_bins) ** (1.0 / 3.0)
    if width > low:
        width = math.sqrt(mid * high / n_bins)
        if width > mid:
            width = high / n_bins
    return (
        max(1, math.floor(heights[0] / width + 1e-9)),
        max(1, math.floor(heights[1] / width + 1e-9)),
        max(1, math.floor(heights[2] / width + 1e-9)),
    )


@njit(cache=True, error_model="numpy")
def _count(fractions, n_atoms, shape):
    """Return the bin of every atom, where each bin starts in the sorted order, the mean company.

    The company of an atom is the number of other atoms in its bin.
    """
    n_bins = shape[0] * shape[1] * shape[2]
    bins = np.empty(n_atoms, np.int64)
    starts = np.empty(n_bins + 1, np.int64)
    for index in range(n_bins + 1):
        starts[index] = 0
    for i in range(n_atoms):
        index = 0
        for axis in range(3):
            # The upper border of a bounding box belongs to the last bin.
            place = min(math.floor(fractions[i, axis] * shape[axis]), shape[axis] - 1)
            index = index * shape[axis] + place
        bins[i] = index
        starts[index + 1] += 1
    pairs = 0.0
    for index in range(n_bins):
        count = starts[index + 1]
        # count atoms have count - 1 others each
        pairs += count * (count - 1.0)
        starts[index + 1] += starts[index]
    return bins, starts, pairs / n_atoms


@njit(cache=True, error_model="numpy")
def _sort(bins, starts, n_points):
    """Return the atom of every slot and the slot of every point (a stable counting sort)."""
    free = starts.copy()
    atoms = np.empty(len(bins), np.int64)
    slots = np.arange(n_points)
    for atom in range(len(bins)):
        slot = free[bins[atom]]
        free[bins[atom]] += 1
        atoms[slot] = atom
        slots[atom] = slot
    return atoms, slots
