"""The nearest atoms of every node type, however far: `nearest_of_species`, compiled."""

import numpy as np

from graphkoopman._compiling import njit
from graphkoopman.graphs._search import nearest_shells, whole_shells
from graphkoopman.neighbors import build_grid_around, occupancy_for_nearest


@njit(cache=True, nogil=True)
def nearest_of_species(positions, cells, periodic, targets, kinds, size):
    """Nearest ``size`` atoms of every node type around some atoms, and the shell of the last.

    A grid of its own for every type keeps the cost that of near neighbours, where an ion is one
    among thousands of atoms.

    Parameters
    ----------
    positions : ndarray of shape (n_frames, n_atoms, 3), float64, C-contiguous
        Å.
    cells : ndarray of shape (n_frames or 1, 3, 3), float64
    periodic : bool
    targets : ndarray of shape (n_targets,), int64
        Atoms to search from.
    kinds : ndarray of shape (n_atoms,), int64
        Node type of every atom, from 0.
    size : int

    Returns
    -------
    starts : ndarray of shape (n_frames, n_kinds, n_targets + 1), int64
        Where the neighbours of one type that an atom has begin in what follows.
    index : ndarray of shape (n_found,), int64
    distance : ndarray of shape (n_found,), float64
        Å, rising for each type and atom.
    """
    n_frames, n_kinds, n_targets = len(positions), kinds.max() + 1, len(targets)
    members = np.argsort(kinds, kind="mergesort")
    begins = np.searchsorted(kinds[members], np.arange(n_kinds + 1))
    places = np.empty(len(kinds), np.int64)  # of an atom among those of its type
    for slot in range(len(members)):
        places[members[slot]] = slot - begins[kinds[members[slot]]]
    starts = np.empty((n_frames, n_kinds, n_targets + 1), np.int64)
    index = np.empty(n_frames * n_kinds * n_targets * size, np.int64)
    distance = np.empty(len(index), np.float64)
    own_index, own_distance = np.empty(size + 1, np.int64), np.empty(size + 1, np.float64)
    n = 0
    for f in range(n_frames):
        cell = cells[min(f, len(cells) - 1)]
        for kind in range(n_kinds):
            atoms = members[begins[kind] : begins[kind + 1]]
            # the targets come last, to search from; one of this type is an atom of the grid, too
            points = np.concatenate((positions[f][atoms], positions[f][targets]))
            grid = build_grid_around(
                points, len(atoms), cell, periodic, occupancy_for_nearest(size)
            )
            for i in range(n_targets):
                is_member = kinds[targets[i]] == kind
                center = places[targets[i]] if is_member else len(atoms) + i
                others, lengths = own_index, own_distance
                found = nearest_shells(center, grid, size, own_index, own_distance)
                if found == 0 and (periodic or len(atoms) > is_member):
                    found, others, lengths = whole_shells(center, grid, size)
                if n + found > len(index):
                    index = np.concatenate((index, np.empty(len(index) + found, np.int64)))
                    distance = np.concatenate((distance, np.empty(len(index) - len(distance))))
                starts[f, kind, i] = n
                for j in range(found):
                    index[n], distance[n] = atoms[others[j]], lengths[j]
                    n += 1
            starts[f, kind, n_targets] = n
    return starts, index[:n], distance[:n]
