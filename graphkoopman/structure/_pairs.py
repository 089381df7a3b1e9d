"""Compiled sums over the atoms around a target: `add_shell_sums`.

Within half the smallest height of the cell the image with fractional coordinates in [-1/2, 1/2]
is the only one in range: the height bounds |f_i| of a vector by its length. So a plain pass over
all atoms is exact, and faster than a grid until the system is far larger than the sphere.
"""

import math

import numpy as np

from graphkoopman._compiling import njit
from graphkoopman.neighbors import build_grid, occupancy_for_cutoff, within_of

# A visit of one atom in a plain pass costs this fraction of a sorted neighbour from the grid.
PLAIN_COST = 1.0 / 50.0


@njit(cache=True, nogil=True, error_model="numpy")
def add_shell_sums(positions, cells, centers, owners, columns, weights, probs, r_max, sums):
    """Add to ``sums`` the weights of the atoms around each target, by distance and state.

    Parameters
    ----------
    positions : ndarray of shape (n_frames, n_atoms, 3), float64
        Å.
    cells : ndarray of shape (n_frames, 3, 3), float64, or (0, 3, 3) for no cell
    centers : ndarray of shape (n_frames, n_targets, 3), float64
        Å.
    owners : ndarray of shape (n_atoms,), int64
        Target of an atom, which does not count around it; -1 for others.
    columns : ndarray of shape (n_atoms,), int64
        Where an atom counts; -1 for nowhere.
    weights : ndarray of shape (n_atoms,), float64
    probs : ndarray of shape (n_frames, n_targets, n_states), float64
    r_max : float
        At most half the smallest height of any of the cells.
    sums : ndarray of shape (n_states, n_columns, n_bins), float64
    """
    n_frames, n_atoms = positions.shape[:2]
    n_targets = centers.shape[1]
    n_columns, n_bins = sums.shape[1:]
    periodic = len(cells) > 0
    shells = np.empty((n_columns, n_bins))
    indices = np.empty(n_atoms, np.int64)
    distances = np.empty(n_atoms)
    points = np.empty((n_atoms + n_targets, 3))
    no_cell = np.zeros((3, 3))
    for frame in range(n_frames):
        cell = cells[frame] if periodic else no_cell
        if periodic and _is_crowded(n_atoms, cell, r_max):
            # targets are appended as points: molecules' centres are no atoms
            points[:n_atoms] = positions[frame]
            points[n_atoms:] = centers[frame]
            occupancy = occupancy_for_cutoff(len(points), cell, periodic, r_max)
            grid = build_grid(points, cell, periodic, occupancy)
            for target in range(n_targets):
                # targets are points themselves, so a sphere holds no more than all points
                if len(indices) < len(points):
                    indices, distances = np.empty(len(points), np.int64), np.empty(len(points))
                found = within_of(n_atoms + target, grid, r_max, indices, distances)
                _add_target(
                    target, found, indices, distances, n_atoms, owners, columns, weights,
                    probs[frame, target], r_max, shells, sums,
                )  # fmt: skip
            continue
        fractions, box = _fractions(positions[frame], cell, periodic)
        places, _ = _fractions(centers[frame], cell, periodic)
        for target in range(n_targets):
            found = _nearer(places[:, target], fractions, box, periodic, r_max, indices, distances)
            _add_target(
                target, found, indices, distances, n_atoms, owners, columns, weights,
                probs[frame, target], r_max, shells, sums,
            )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _is_crowded(n_atoms, cell, r_max):
    """Whether so many atoms lie outside the sphere that a grid pays."""
    sphere = 4.0 / 3.0 * math.pi * r_max**3
    return n_atoms * PLAIN_COST > n_atoms / abs(np.linalg.det(cell)) * sphere


@njit(cache=True, error_model="numpy")
def _fractions(positions, cell, periodic):
    """Return coordinates in lattice vectors, (3, n) for a pass along memory, and these vectors."""
    # f = r A⁻¹ with lattice vectors in the rows of A
    box = cell if periodic else np.eye(3)
    return np.ascontiguousarray((positions @ np.linalg.inv(box)).T), box


@njit(cache=True, error_model="numpy")
def _nearer(place, fractions, box, periodic, r_max, indices, distances):
    """Write the atoms nearer than r_max to a place; return their number."""
    # two passes: the first has no branch on the result, so that it runs on vector units
    for atom in range(fractions.shape[1]):
        u = fractions[0, atom] - place[0]
        v = fractions[1, atom] - place[1]
        w = fractions[2, atom] - place[2]
        if periodic:
            # nearest image: within half the smallest height of the cell it is the only one in range
            u -= np.rint(u)
            v -= np.rint(v)
            w -= np.rint(w)
        # back to Å
        x = u * box[0, 0] + v * box[1, 0] + w * box[2, 0]
        y = u * box[0, 1] + v * box[1, 1] + w * box[2, 1]
        z = u * box[0, 2] + v * box[1, 2] + w * box[2, 2]
        distances[atom] = x * x + y * y + z * z
    found = 0
    for atom in range(fractions.shape[1]):
        squared = distances[atom]
        if squared < r_max * r_max:
            indices[found] = atom
            distances[found] = squared
            found += 1
    for i in range(found):
        distances[i] = math.sqrt(distances[i])
    return found


@njit(cache=True, error_model="numpy")
def _add_target(
    target, found, indices, distances, n_atoms, owners, columns, weights, probs, r_max, shells, sums
):
    """Sort the neighbours of one target into shells and add these to its states."""
    n_states, n_columns, n_bins = sums.shape
    shells[:] = 0.0
    for i in range(found):
        atom = indices[i]
        if atom >= n_atoms or owners[atom] == target or columns[atom] < 0:
            continue
        # a distance that rounds up to r_max belongs to the last shell
        shell = min(int(distances[i] / r_max * n_bins), n_bins - 1)
        shells[columns[atom], shell] += weights[atom]
    # sum over targets and frames of p_i(t) times what stands around the target, eq. (12)
    for state in range(n_states):
        p = probs[state]
        if p == 0.0:
            continue
        for column in range(n_columns):
            for shell in range(n_bins):
                sums[state, column, shell] += p * shells[column, shell]
