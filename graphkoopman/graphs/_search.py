"""Compiled searches of one atom for a graph: `neighbors_of`, `with_species`."""

import numpy as np

from graphkoopman._compiling import njit
from graphkoopman.neighbors import nearest_of, within_of

# Å: neighbours of a rigid lattice this close in distance are one shell, which single precision of
# the positions has split. Two neighbours of a moving atom are hardly ever.
SHELL_WIDTH = 1e-5


@njit(cache=True, nogil=True)
def neighbors_of(atom, grid, size, cutoff, index, distance):
    """Neighbours of one atom, nearest first, in the arrays given or in longer ones.

    Parameters
    ----------
    atom : int
    grid : Grid
    size : int
        M nearest, and the whole shell of the last of them; of a radius graph without meaning.
    cutoff : float or None
        Å, of a radius graph.
    index, distance : ndarray of shape (at least size + 1,)

    Returns
    -------
    found : int
    index, distance : ndarray of shape (at least found,)
    """
    if cutoff is None:
        return whole_shells(atom, grid, size, index, distance)
    found = within_of(atom, grid, cutoff, index, distance)
    if found > len(index):
        index, distance = np.empty(2 * found, np.int64), np.empty(2 * found, np.float64)
        found = within_of(atom, grid, cutoff, index, distance)
    return found, index, distance


@njit(cache=True, nogil=True)
def whole_shells(atom, grid, size, index, distance):
    """The nearest ``size`` neighbours and all others at the distance of the last, as above."""
    found = nearest_of(atom, grid, index[: size + 1], distance[: size + 1])
    if found <= size:  # all that a system without a cell has
        return found, index, distance
    shell = distance[size - 1] + SHELL_WIDTH
    # ask for twice as many until one lies beyond the shell
    while distance[found - 1] <= shell:
        if 2 * found > len(index):
            index, distance = np.empty(2 * found, np.int64), np.empty(2 * found, np.float64)
        asked = 2 * found
        found = nearest_of(atom, grid, index[:asked], distance[:asked])
        if found < asked:
            break
    # and drop what does
    while found > size and distance[found - 1] > shell:
        found -= 1
    return found, index, distance


@njit(cache=True, nogil=True)
def with_species(frame, target, of_species, size, cutoff, found, index, distance):
    """Neighbours of a target's atom, and those of `nearest_of_species` that are not among them.

    Parameters
    ----------
    frame, target : int
        Frame of the chunk, place among the atoms of all targets.
    of_species : tuple
        As `nearest_of_species` returns it.
    size, cutoff
        As of `neighbors_of`, which has found what follows.
    found : int
    index, distance : ndarray of shape (at least found,)

    Returns
    -------
    found : int
    index, distance : ndarray of shape (at least found,)
        Nearest first.
    """
    starts, others, lengths = of_species
    n_kinds = starts.shape[1]
    # the search before has all neighbours up to here
    if cutoff is not None:
        reach = cutoff
    elif found < size:
        reach = np.inf
    else:
        reach = distance[size - 1] + SHELL_WIDTH
    most = found
    for kind in range(n_kinds):
        most += starts[frame, kind, target + 1] - starts[frame, kind, target]
    all_index, all_distance = np.empty(most, np.int64), np.empty(most, np.float64)
    all_index[:found], all_distance[:found] = index[:found], distance[:found]
    n = found
    for kind in range(n_kinds):
        for i in range(starts[frame, kind, target], starts[frame, kind, target + 1]):
            if lengths[i] < reach:
                continue
            place = n
            while place > found and all_distance[place - 1] > lengths[i]:
                all_index[place], all_distance[place] = (
                    all_index[place - 1],
                    all_distance[place - 1],
                )
                place -= 1
            all_index[place], all_distance[place] = others[i], lengths[i]
            n += 1
    return n, all_index, all_distance
