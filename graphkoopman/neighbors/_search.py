"""Compiled neighbour searches of single atoms on a `Grid`: `nearest_of`, `within_of`.

Both visit the bins that a sphere around the atom touches. Bin indices run over the whole lattice:
``index // n`` is the image and ``index % n`` the bin, so nothing is limited to half a cell and
every image of an atom counts, those of the centre included. The k nearest are those of a sphere
that holds k; a sphere that holds fewer is widened, which makes the result exact.
"""

import math

import numpy as np

from graphkoopman._compiling import njit

# The first sphere is the one where this many times k neighbours are expected: large enough that
# few atoms need a second one, small enough that few candidates are thrown away.
SURPLUS = 1.4


@njit(cache=True, nogil=True, error_model="numpy")
def occupancy_for_nearest(k):
    """Return the atoms per bin that make `nearest_of` fast for k neighbours."""
    return max(1.0, k / 4.0)


@njit(cache=True, nogil=True, error_model="numpy")
def occupancy_for_cutoff(n_atoms, cell, periodic, cutoff):
    """Return the atoms per bin that make `within_of` fast: bins of two thirds of a cutoff."""
    if not periodic:
        return 2.0
    volume = 0.0
    for x in range(3):
        y, z = (x + 1) % 3, (x + 2) % 3
        volume += cell[0, x] * (cell[1, y] * cell[2, z] - cell[1, z] * cell[2, y])
    return max(1.0, n_atoms / abs(volume) * (cutoff / 1.5) ** 3)


@njit(cache=True, nogil=True, error_model="numpy")
def nearest_of(atom, grid, out_index, out_distance):
    """Write the nearest neighbours of one atom, as many as the output arrays hold.

    Parameters
    ----------
    atom : int
        The centre.
    grid : Grid
    out_index : ndarray of shape (k,), integer
        Filled with the neighbours by distance, ties by index.
    out_distance : ndarray of shape (k,), float64
        Filled with their distances, Å.

    Returns
    -------
    int
        Neighbours found: k, or all others if a non-periodic system has fewer.
    """
    k = out_index.size
    slot = grid.slots[atom]
    # a centre that is no atom of the grid comes after all of these
    others = grid.atoms.size - (slot < grid.atoms.size)
    wanted = k if grid.periodic else min(k, others)
    # a sphere of density ρ holds SURPLUS k atoms at r = (3 SURPLUS k / 4πρ)^(1/3)
    radius = (0.75 / math.pi * SURPLUS * k / grid.density) ** (1.0 / 3.0)
    found = _search(slot, grid, radius, k, out_index, out_distance)
    while found < wanted:
        # From scratch: what was already visited is the smaller part of the wider sphere.
        # its volume would have to grow by what is missing, within bounds
        growth = (SURPLUS * k / (found + 1.0)) ** (1.0 / 3.0)
        radius *= min(2.0, max(1.2, growth))
        found = _search(slot, grid, radius, k, out_index, out_distance)
    for i in range(wanted):
        out_distance[i] = math.sqrt(out_distance[i])
    return wanted


@njit(cache=True, nogil=True, error_model="numpy")
def within_of(atom, grid, cutoff, out_index, out_distance):
    """Write the neighbours of one atom that are nearer than a cutoff.

    Parameters
    ----------
    atom : int
        The centre.
    grid : Grid
    cutoff : float
        Å; distances are strictly smaller.
    out_index : ndarray of shape (capacity,), integer
        Filled with the neighbours by distance, ties by index.
    out_distance : ndarray of shape (capacity,), float64
        Filled with their distances, Å.

    Returns
    -------
    int
        Neighbours found. If more than the capacity, the outputs are incomplete and unsorted: call
        again with arrays of at least this size.
    """
    every = np.int64(0)  # typed, or the search would be compiled once more for a constant
    found = _search(grid.slots[atom], grid, cutoff, every, out_index, out_distance)
    if found > out_index.size:
        return found
    _sort_by_distance(out_index, out_distance, found)
    kept = 0
    for i in range(found):
        # A square below cutoff**2 may have a root that rounds up to the cutoff.
        out_distance[i] = math.sqrt(out_distance[i])
        kept += out_distance[i] < cutoff
    return kept


@njit(cache=True, error_model="numpy")
def _search(slot, grid, radius, k, out_index, out_distance):
    """Write the neighbours inside a sphere and their squared distances; return their number.

    With k > 0 the outputs hold the k nearest of them, sorted, and the sphere shrinks to the worst
    of these once there are so many. With k = 0 the outputs keep the first that fit, unsorted. The
    number counts what did not fit as well.
    """
    n0, n1, n2 = grid.shape
    w0, w1, w2 = grid.widths
    slack, packing, periodic = grid.slack, grid.packing, grid.periodic
    positions, atoms, starts, cell = grid.positions, grid.atoms, grid.starts, grid.cell
    u0, u1, u2 = grid.coordinates[slot, 0], grid.coordinates[slot, 1], grid.coordinates[slot, 2]
    x, y, z = positions[slot, 0], positions[slot, 1], positions[slot, 2]
    size = out_index.size
    # squared distances throughout: a root is taken of the neighbours that are kept only
    limit = radius * radius
    found = 0
    # layers of bins along the first two vectors; the third is a row, cut where the sphere ends
    first0, last0 = _bins_touched(u0, (radius + slack) / w0, n0, periodic)
    first1, last1 = _bins_touched(u1, (radius + slack) / w1, n1, periodic)
    for i0 in range(first0, last0 + 1):
        gap0 = _gap(u0, i0, w0, slack)
        image0 = i0 // n0
        for i1 in range(first1, last1 + 1):
            gap1 = _gap(u1, i1, w1, slack)
            # no point of the row is nearer than this bound; skip it if that is too far
            lateral = gap0 * gap0 + gap1 * gap1
            if max(packing * lateral, gap0 * gap0, gap1 * gap1) > limit:
                continue
            image1 = i1 // n1
            # index of the row's first bin, inside the cell: each index less its image
            row = ((i0 - image0 * n0) * n1 + i1 - image1 * n1) * n2
            # what the bound leaves of the sphere along the row
            reach = math.sqrt(min(limit, max(0.0, limit / packing - lateral)))
            i2, last2 = _bins_touched(u2, (reach + slack) / w2, n2, periodic)
            # Bins of a row are neighbours in memory until the row enters the next image.
            while i2 <= last2:
                image2 = i2 // n2
                stop = min(last2 + 1, (image2 + 1) * n2)
                # lattice vector of the image, Å, so that wrapped positions need no minimum image
                shift_x = image0 * cell[0, 0] + image1 * cell[1, 0] + image2 * cell[2, 0]
                shift_y = image0 * cell[0, 1] + image1 * cell[1, 1] + image2 * cell[2, 1]
                shift_z = image0 * cell[0, 2] + image1 * cell[1, 2] + image2 * cell[2, 2]
                itself = slot if image0 == 0 and image1 == 0 and image2 == 0 else -1
                begin = starts[row + i2 - image2 * n2]
                for j in range(begin, starts[row + stop - image2 * n2]):
                    # The difference comes first: i and j then see each other at the same
                    # distance, bit by bit.
                    dx = (positions[j, 0] - x) + shift_x
                    dy = (positions[j, 1] - y) + shift_y
                    dz = (positions[j, 2] - z) + shift_z
                    squared = dx * dx + dy * dy + dz * dz
                    if squared > limit or j == itself:
                        continue
                    if k > 0:
                        _insert(squared, atoms[j], min(found, k), out_index, out_distance)
                        if found + 1 >= k:
                            limit = out_distance[k - 1]
                    elif found < size:
                        out_index[found] = atoms[j]
                        out_distance[found] = squared
                    found += 1
                i2 = stop
    return found


@njit(cache=True, error_model="numpy")
def _insert(squared, atom, filled, out_index, out_distance):
    """Insert into outputs sorted by distance, then index; if they are full the worst drops out."""
    place = filled
    if filled == out_index.size:
        place -= 1
        if not _precedes(squared, atom, out_distance[place], out_index[place]):
            return
    while place > 0 and _precedes(squared, atom, out_distance[place - 1], out_index[place - 1]):
        out_distance[place] = out_distance[place - 1]
        out_index[place] = out_index[place - 1]
        place -= 1
    out_distance[place] = squared
    out_index[place] = atom


@njit(cache=True, error_model="numpy")
def _sort_by_distance(index, distance, n):
    """Sort the first n entries by distance, then index (Shell sort: in place, fast below 1000)."""
    for step in (1750, 701, 301, 132, 57, 23, 10, 4, 1):
        for i in range(step, n):
            d, atom = distance[i], index[i]
            place = i
            while place >= step and _precedes(d, atom, distance[place - step], index[place - step]):
                distance[place] = distance[place - step]
                index[place] = index[place - step]
                place -= step
            distance[place] = d
            index[place] = atom


@njit(cache=True, error_model="numpy")
def _precedes(distance, index, other_distance, other_index):
    return distance < other_distance or (distance == other_distance and index < other_index)


@njit(cache=True, error_model="numpy")
def _bins_touched(coordinate, reach, n, periodic):
    """Return the first and the last bin within reach (in bins) of a coordinate."""
    low, high = coordinate - reach, coordinate + reach
    if not periodic:
        low, high = min(max(low, 0.0), n - 1.0), min(high, n - 1.0)
    return math.floor(low), math.floor(high)


@njit(cache=True, error_model="numpy")
def _gap(coordinate, index, width, slack):
    """Return a lower bound, in Å, on the distance from a coordinate to a layer of bins."""
    return max(0.0, max(index - coordinate, coordinate - index - 1.0) * width - slack)
