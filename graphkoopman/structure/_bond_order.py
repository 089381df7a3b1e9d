"""Steinhardt bond order parameters through freud: `bond_order`."""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman._optional import missing
from graphkoopman.checks import check_integer
from graphkoopman.structure._inputs import check_radius
from graphkoopman.trajectories import (
    TargetsLike,
    TrajectoriesLike,
    Trajectory,
    as_trajectories,
    height_limit,
    resolve_targets,
)

__all__ = ["bond_order"]

Array = NDArray[np.float64]

TETRAHEDRAL_L, TETRAHEDRAL_NEIGHBORS = 3, 4
CLOSE_PACKED_NEIGHBORS = 12


def bond_order(
    trajs: TrajectoriesLike,
    targets: TargetsLike,
    l: int,  # noqa: E741 the literature's name
    *,
    n_neighbors: int | None = None,
    cutoff: float | None = None,
    among: Any = None,
    average: bool = False,
) -> list[Array]:
    r"""Steinhardt order parameter of every target in every frame.

    .. math::

        q_l(i) = \sqrt{\frac{4\pi}{2l+1} \sum_{m=-l}^{l} \left|
                 \frac{1}{N_i} \sum_{j=1}^{N_i} Y_{lm}(\hat r_{ij}) \right|^2}

    Parameters
    ----------
    trajs : Trajectory, mdtraj.Trajectory, or list of these
        Periodic; any cell, constant or changing.
    targets : str, array-like, list of array-like, callable or None
        Single atoms, see `resolve_targets`.
    l : int
        Order, such as 3 for diamond-like and 4 or 6 for close-packed surroundings.
    n_neighbors : int or None
        Nearest neighbours that count. If neither this nor ``cutoff`` is given: 4 for l = 3, the
        order parameter of tetrahedral networks such as silicon, and 12 for others.
    cutoff : float or None
        Å; all neighbours nearer count. At most half the smallest height of the cell.
    among : str, array-like, callable or None
        Atoms that count as neighbours, all by default; the targets must be among them.
    average : bool
        Average the complex moments over an atom and its neighbours first, as Lechner and Dellago
        do, which separates crystals from liquids better.

    Returns
    -------
    order : list of ndarray of shape (n_frames, n_targets)
        One per trajectory; single precision inside. An observable of each frame, not an
        estimate, so it has no interval.

    Raises
    ------
    ImportError
        Without freud.
    ValueError
        For molecules as targets, a system without a cell or with too few atoms, both ways to count
        neighbours at once, or a target without neighbours within the cutoff.

    References
    ----------
    .. [1] Steinhardt, Nelson and Ronchetti, Phys. Rev. B 28, 784 (1983).
    .. [2] Lechner and Dellago, J. Chem. Phys. 129, 114707 (2008).
    """
    freud = _import_freud()
    order = check_integer(l, "l", 1)
    if n_neighbors is not None and cutoff is not None:
        raise ValueError("n_neighbors and cutoff must not both be given; choose one of them")
    if n_neighbors is None:
        default = TETRAHEDRAL_NEIGHBORS if order == TETRAHEDRAL_L else CLOSE_PACKED_NEIGHBORS
        n_neighbors = default if cutoff is None else None
    else:
        n_neighbors = check_integer(n_neighbors, "n_neighbors", 1)
    steinhardt = freud.order.Steinhardt(order, average=average)
    results = []
    for trajectory in as_trajectories(trajs):
        positions, places = _positions_and_places(trajectory, targets, among)
        cells = trajectory.cells
        if cells is None:
            raise ValueError(
                "trajs must be periodic for a bond order, got a trajectory without a cell; "
                "give it one"
            )
        query = _query(trajectory, positions.shape[1], n_neighbors, cutoff)
        results.append(_orders(freud, steinhardt, positions, cells, places, query))
    return results


def _import_freud() -> ModuleType:
    try:
        import freud
    except ImportError as error:
        raise missing("freud", "bond_order") from error
    return freud


def _positions_and_places(
    trajectory: Trajectory, targets: TargetsLike, among: Any
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Positions of the atoms that take part, and where the targets are among them."""
    resolved = resolve_targets(targets, trajectory)
    if len(resolved.atoms) != resolved.n_targets:
        raise ValueError(
            "targets must be single atoms for a bond order, got molecules; choose one atom of each"
        )
    if among is None:
        return trajectory.positions, resolved.atoms
    atoms = np.sort(resolve_targets(among, trajectory).atoms)
    missing = np.setdiff1d(resolved.atoms, atoms)
    if missing.size:
        raise ValueError(
            f"among must hold all targets, got none of the targets' atoms {missing[:5].tolist()}; "
            "widen the selection"
        )
    return trajectory.positions[:, atoms], np.searchsorted(atoms, resolved.atoms)


def _query(
    trajectory: Trajectory, n_atoms: int, n_neighbors: int | None, cutoff: float | None
) -> dict[str, Any]:
    """Which neighbours freud looks for."""
    if cutoff is not None:
        limit = height_limit(trajectory)
        return {"r_max": check_radius("cutoff", cutoff, limit), "exclude_ii": True}
    if n_neighbors is not None and n_atoms <= n_neighbors:
        raise ValueError(
            f"n_neighbors must be below the number of atoms ({n_atoms}), got {n_neighbors}"
        )
    return {"num_neighbors": n_neighbors, "exclude_ii": True}


def _orders(
    freud: ModuleType,
    steinhardt: Any,
    positions: NDArray[np.floating],
    cells: Array,
    places: NDArray[np.int64],
    query: dict[str, Any],
) -> Array:
    """Order parameters of one trajectory, (n_frames, n_targets)."""
    orders = np.empty((len(positions), len(places)))
    for frame, cell in enumerate(cells):
        # freud's boxes have a along x and b in the xy plane; the parameters do not turn
        standard = np.linalg.cholesky(cell @ cell.T)
        # fractional coordinates do not turn, so atoms are put into the turned cell by them
        fractions = positions[frame].astype(np.float64) @ np.linalg.inv(cell)
        box = freud.box.Box.from_matrix(standard.T)
        points = box.wrap((fractions - np.rint(fractions)) @ standard)
        neighbors = freud.locality.AABBQuery(box, points).query(points, query).toNeighborList()
        counts = neighbors.neighbor_counts[places]
        if counts.min() == 0:
            target = int(np.argmin(counts))
            raise ValueError(
                f"cutoff must hold a neighbour of every target, got none for target {target} in "
                f"frame {frame}; raise cutoff, or use n_neighbors"
            )
        orders[frame] = steinhardt.compute((box, points), neighbors).particle_order[places]
    return orders
