"""Compiled searches around one atom: `nearest_shells`, `whole_shells`, `with_species`."""

import numpy as np

from graphkoopman._compiling import njit
from graphkoopman.neighbors import nearest_of

# Å: neighbours of a rigid lattice this close in distance are one shell, which single precision of
# the positions has split. Two neighbours of a moving atom are hardly ever.
SHELL_WIDTH = 1e-5


@njit(cache=True, nogil=True)
def nearest_shells(atom, grid, size, index, distance):
    """Nearest neighbours of an atom, and all others at the distance of the last of them.

    Parameters
    ----------
    atom : int
    grid : Grid
    size : int
    index, distance : ndarray of shape (size + 1,)
        Filled, one more than asked for, to see whether it is of the last one's shell.

    Returns
    -------
    int
        Neighbours found: ``size``, or all there are without a cell; 0 where the shell has more than
        that, which `whole_shells` finds.
    """
    found = nearest_of(atom, grid, index, distance)
    if found <= size:
        return found
    return 0 if distance[size] <= distance[size - 1] + SHELL_WIDTH else size


@njit(cache=True, nogil=True)
def whole_shells(atom, grid, size):
    """The nearest ``size`` neighbours and all others at the distance of the last.

    Returns
    -------
    found : int
    index, distance : ndarray of shape (at least found,)
        Nearest first.
    """
    asked = size + 1
    # ask for twice as many until one lies beyond the shell
    while True:
        asked *= 2
        index, distance = np.empty(asked, np.int64), np.empty(asked, np.float64)
        found = nearest_of(atom, grid, index, distance)
        shell = distance[size - 1] + SHELL_WIDTH
        if found < asked or distance[found - 1] > shell:
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
    size : int
        Number of nearest neighbours, among those that follow.
    cutoff : float or None
        Å, of a radius graph.
    found : int
    index, distance : ndarray of shape (at least found,)
        All neighbours up to there.

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
