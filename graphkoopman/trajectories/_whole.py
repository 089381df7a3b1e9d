"""`arms_of_targets`: molecules as trees of short vectors, by which they are made whole.

A molecule may be longer than the cell, the distance from one of its atoms to the next is not. So
every atom is placed at its minimum image to the atom before it on a tree, along bonds where the
topology has them, else along the shortest distances in the first frame.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._minimum_image import minimum_image
from graphkoopman.trajectories._targets import Targets
from graphkoopman.trajectories._trajectory import Trajectory

MOST_PAIRS = 2_000_000


class Arms(NamedTuple):
    """Every atom of the targets but the first of each hangs on another one.

    Attributes
    ----------
    parents : ndarray of shape (n_target_atoms,)
        Index, among the atoms of all targets, of the one before it; the first is its own.
    depths : ndarray of shape (n_target_atoms,)
        Steps from the first atom.
    """

    parents: NDArray[np.int64]
    depths: NDArray[np.int64]

    def carried(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of the weights of an atom and of all that hang on it."""
        sums = weights.copy()
        # leaves first: when a level is added to its parents, its own sums are complete
        for depth in range(int(self.depths.max()), 0, -1):
            level = np.flatnonzero(self.depths == depth)
            np.add.at(sums, self.parents[level], sums[level])
        return sums

    def from_first_atoms(self, arms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Vectors from the first atom of each target, (..., n_target_atoms, 3), of single arms."""
        reached = arms.copy()
        # root first: the parent's own vector is complete when its children are reached
        for depth in range(1, int(self.depths.max()) + 1):
            level = np.flatnonzero(self.depths == depth)
            reached[..., level, :] += reached[..., self.parents[level], :]
        return reached


def arms_of_targets(trajectory: Trajectory, targets: Targets) -> Arms:
    """A tree for every target."""
    firsts = targets.offsets[:-1]
    sizes = np.diff(targets.offsets)
    parents = np.repeat(firsts, sizes)
    depths = np.ones(len(parents), dtype=np.int64)
    depths[firsts] = 0
    # around a single atom there is nothing to choose, and without a cell nothing to gain
    if trajectory.cell is None or sizes.max() < 3:
        return Arms(parents, depths)
    done = _along_bonds(trajectory, targets, parents, depths)
    owners = np.repeat(np.arange(len(sizes)), sizes)
    open_targets = np.setdiff1d(owners[~done], np.flatnonzero(sizes < 3))
    cell = trajectory.cell if trajectory.cell.ndim == 2 else trajectory.cell[0]
    positions = trajectory.positions[0, targets.atoms].astype(np.float64)
    for size in np.unique(sizes[open_targets]):
        group = open_targets[sizes[open_targets] == size]
        step = max(1, MOST_PAIRS // int(size))
        for start in range(0, len(group), step):
            begins = firsts[group[start : start + step], None]
            members = begins + np.arange(size)
            tree, levels = _shortest_tree(positions[members], cell)
            parents[members] = begins + tree
            depths[members] = levels
    return Arms(parents, depths)


def _along_bonds(
    trajectory: Trajectory,
    targets: Targets,
    parents: NDArray[np.int64],
    depths: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Fill in trees along bonds; returns which atoms were reached."""
    reached = np.zeros(len(parents), dtype=bool)
    reached[targets.offsets[:-1]] = True
    bonds = bonds_of(trajectory)
    if len(bonds) == 0:
        return reached
    place = np.full(trajectory.n_atoms, -1, dtype=np.int64)
    place[targets.atoms] = np.arange(len(targets.atoms))
    owners = np.repeat(np.arange(targets.n_targets), np.diff(targets.offsets))
    ends = place[np.concatenate([bonds, bonds[:, ::-1]])]
    ends = ends[(ends >= 0).all(axis=1)]
    ends = ends[owners[ends[:, 0]] == owners[ends[:, 1]]]
    depth = 0
    while len(ends):
        depth += 1
        # one shell of bonds further from the first atoms, of all targets at once
        forward = reached[ends[:, 0]] & ~reached[ends[:, 1]]
        if not forward.any():
            break
        near, far = ends[forward].T
        parents[far], depths[far] = near, depth
        reached[far] = True
        ends = ends[~reached[ends[:, 1]] | ~reached[ends[:, 0]]]
    return reached


def _shortest_tree(
    positions: NDArray[np.float64], cell: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Minimum spanning trees of molecules of one size, by Prim's algorithm.

    Parameters
    ----------
    positions : ndarray of shape (n_molecules, size, 3)
        Å.
    cell : ndarray of shape (3, 3)

    Returns
    -------
    parents, depths : ndarrays of shape (n_molecules, size)
    """
    n_molecules, size = positions.shape[:2]
    rows = np.arange(n_molecules)
    parents = np.zeros((n_molecules, size), dtype=np.int64)
    depths = np.zeros((n_molecules, size), dtype=np.int64)
    nearest = np.full((n_molecules, size), np.inf)
    outside = np.ones((n_molecules, size), dtype=bool)
    latest = np.zeros(n_molecules, dtype=np.int64)
    # add the atom that is nearest to the tree, of all molecules at once
    for _ in range(size - 1):
        outside[rows, latest] = False
        arms = minimum_image(positions - positions[rows, latest][:, None], cell)
        squares = np.einsum("mai,mai->ma", arms, arms)
        nearer = outside & (squares < nearest)
        nearest[nearer] = squares[nearer]
        parents[nearer] = np.broadcast_to(latest[:, None], parents.shape)[nearer]
        latest = np.where(outside, nearest, np.inf).argmin(axis=1)
        depths[rows, latest] = depths[rows, parents[rows, latest]] + 1
    return parents, depths


def bonds_of(trajectory: Trajectory) -> NDArray[np.int64]:
    """Pairs of bonded atoms that the topology knows, (n_bonds, 2)."""
    if trajectory.topology is None:
        return np.empty((0, 2), dtype=np.int64)
    pairs = [(a.index, b.index) for a, b in trajectory.topology.bonds]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
