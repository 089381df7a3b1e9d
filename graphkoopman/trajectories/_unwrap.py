"""Continuous paths: `unwrap` over time; `target_centers`, `whole_centers` of whole molecules."""

import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.trajectories._basis import follow_basis
from graphkoopman.trajectories._like import TargetsLike
from graphkoopman.trajectories._minimum_image import image_shift, minimum_image, reduce_cell
from graphkoopman.trajectories._species import species_mass
from graphkoopman.trajectories._steps import LongStepWarning, near_half, which_near_half
from graphkoopman.trajectories._targets import Targets, check_indices, resolve_targets
from graphkoopman.trajectories._trajectory import Trajectory
from graphkoopman.trajectories._validation import frame_chunks
from graphkoopman.trajectories._whole import arms_of_targets


def unwrap(trajectory: Trajectory, atoms: ArrayLike | None = None) -> NDArray[np.float64]:
    """Positions that follow atoms through the periodic boundaries.

    Every step is the minimum image of the displacement from one frame to the next, in the cell
    of the later frame, added to the positions of the first frame.

    Parameters
    ----------
    trajectory : Trajectory
        Wrapped or unwrapped, any cell, constant or changing.
    atoms : array-like of shape (n,) or None
        Indices; None is all atoms.

    Returns
    -------
    positions : ndarray of shape (n_frames, n, 3)
        Å, float64. Positions that are already unwrapped come back unchanged.

    Warns
    -----
    LongStepWarning
        If steps come near half the shortest lattice vector, and nothing tells which image is
        the true one.

    Notes
    -----
    Exact while no atom moves further between two frames than half the shortest lattice vector
    (which half the smallest height of the cell guarantees); a longer jump is mistaken for a
    shorter one through the boundary. Frames that a stride of `read_trajectory` or of a slice left
    out count: steps were followed through them. Of a trajectory that is said to be ``unwrapped``
    steps are taken as they are, however long. In cells that change, summing displacements keeps
    the fluctuations of the cell out of the diffusion, which shifting by whole lattice vectors
    would not [1]_; apply it to atoms, not to centres of mass.

    References
    ----------
    .. [1] von Bülow, Bullerjahn and Hummer, J. Chem. Phys. 153, 021101 (2020).

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman import Trajectory
    >>> from graphkoopman.trajectories import unwrap
    >>> wrapped = np.zeros((4, 1, 3))
    >>> wrapped[:, 0, 0] = [8.0, 9.5, 1.0, 2.5]  # through the boundary at 10
    >>> unwrap(Trajectory(wrapped, 10 * np.eye(3), [3], timestep=1.0))[:, 0, 0]
    array([ 8. ,  9.5, 11. , 12.5])
    """
    n_atoms = trajectory.n_atoms
    selected = np.arange(n_atoms) if atoms is None else check_indices(atoms, n_atoms, "atoms")
    cell = trajectory.cell
    if cell is None or (trajectory.unwrapped and cell.ndim == 2):
        return trajectory.positions[:, selected].astype(np.float64)
    shifts_of = _known_shifts if trajectory.unwrapped else _nearest_shifts
    path = np.empty((trajectory.n_frames, len(selected), 3))
    path[0] = trajectory.positions[0, selected]
    offset = np.zeros((len(selected), 3))
    for start, stop, chunk, shifts in shifts_of(trajectory, cell, selected):
        # a path is the wrapped positions and all lattice vectors crossed so far
        offsets = offset + np.cumsum(shifts, axis=0)
        path[start:stop] = chunk[1:] + offsets
        offset = offsets[-1]
    return path


def target_centers(trajectory: Trajectory, targets: TargetsLike = None) -> NDArray[np.float64]:
    """Mass-weighted centres of the targets, whole across the boundary and unwrapped over time.

    Parameters
    ----------
    trajectory : Trajectory
    targets : str, array-like, list of array-like, callable or None
        See `resolve_targets`; None is the trajectory's own.

    Returns
    -------
    centers : ndarray of shape (n_frames, n_targets, 3)
        Å, float64.

    Warns
    -----
    LongStepWarning
        If steps between frames, or the atoms of a target that are next to each other, come near
        half the shortest lattice vector.

    Notes
    -----
    The first atom of a target is unwrapped as in `unwrap`. The others are placed one after the
    other at their minimum image to an atom before them: along the bonds of the topology, or
    without bonds along the shortest distances of the first frame. So a molecule may be longer
    than the cell. Where such a pair of atoms drifts apart, every atom of the target is unwrapped
    by itself. Masses are the standard atomic weights.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman import Trajectory
    >>> from graphkoopman.trajectories import target_centers
    >>> halves = [[[9.5, 0.0, 0.0], [0.5, 0.0, 0.0]]]  # a molecule across the boundary
    >>> pair = Trajectory(halves, 10 * np.eye(3), [7, 7], timestep=1.0)
    >>> target_centers(pair, [[0, 1]])
    array([[[10.,  0.,  0.]]])
    """
    groups = resolve_targets(targets, trajectory)
    firsts = groups.offsets[:-1]
    if len(firsts) == len(groups.atoms):
        return unwrap(trajectory, groups.atoms)
    centers, loose = _centers_from_first_atoms(trajectory, groups)
    together = np.flatnonzero(~loose)
    if len(together):
        centers[:, together] += unwrap(trajectory, groups.atoms[firsts[together]])
    weights = _weights(trajectory, groups)
    if loose.any():
        _warn_of_arms(trajectory)
    for target in np.flatnonzero(loose):
        own = slice(*groups.offsets[target : target + 2])
        paths = unwrap(trajectory, groups.atoms[own])
        # mass-weighted motion of atoms that are each followed by themselves
        moved = np.einsum("fax,a->fx", paths - paths[0], weights[own])
        centers[:, target] = centers[0, target] + paths[0, 0] + moved
    return centers


def whole_centers(trajectory: Trajectory, targets: TargetsLike = None) -> NDArray[np.float64]:
    """Mass-weighted centres of the targets in every frame by itself.

    As `target_centers`, but each frame stands alone: a target is where its first atom is, and its
    path jumps where that atom crosses the boundary.

    Parameters
    ----------
    trajectory : Trajectory
    targets : str, array-like, list of array-like, callable or None
        See `resolve_targets`; None is the trajectory's own.

    Returns
    -------
    centers : ndarray of shape (n_frames, n_targets, 3)
        Å, float64.
    """
    groups = resolve_targets(targets, trajectory)
    firsts = trajectory.positions[:, groups.atoms[groups.offsets[:-1]]].astype(np.float64)
    if groups.n_targets == len(groups.atoms):
        return firsts
    return firsts + _centers_from_first_atoms(trajectory, groups)[0]


def whole_targets(trajectory: Trajectory, targets: TargetsLike = None) -> NDArray[np.float64]:
    """Vectors from the first atom of each target to all of its atoms, in every frame by itself.

    Parameters
    ----------
    trajectory : Trajectory
    targets : str, array-like, list of array-like, callable or None
        See `resolve_targets`; None is the trajectory's own.

    Returns
    -------
    vectors : ndarray of shape (n_frames, n_target_atoms, 3)
        Å, float64, target by target; molecules are whole, as in `target_centers`.
    """
    groups = resolve_targets(targets, trajectory)
    arms_to = arms_of_targets(trajectory, groups)
    arms = _arms(trajectory, 0, trajectory.n_frames, groups.atoms, arms_to.parents)
    return arms_to.from_first_atoms(arms)


def _centers_from_first_atoms(
    trajectory: Trajectory, targets: Targets
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Vectors from the first atom of each target to its centre, and where arms are too long.

    Returns
    -------
    vectors : ndarray of shape (n_frames, n_targets, 3)
    loose : ndarray of shape (n_targets,)
        Whether atoms that are next to each other come near half the cell.
    """
    arms_to = arms_of_targets(trajectory, targets)
    # an arm moves all atoms that hang on it, so it counts with the weight of these
    carried = arms_to.carried(_weights(trajectory, targets))[:, None]
    vectors = np.empty((trajectory.n_frames, targets.n_targets, 3))
    loose = np.zeros(len(targets.atoms), dtype=bool)
    for start, stop in frame_chunks(trajectory.n_frames, len(targets.atoms)):
        arms = _arms(trajectory, start, stop, targets.atoms, arms_to.parents)
        if trajectory.cell is not None:
            near = which_near_half(arms, _frame_cells(trajectory.cell, start, stop))
            loose |= near.any(axis=0)
        vectors[start:stop] = np.add.reduceat(arms * carried, targets.offsets[:-1], axis=1)
    return vectors, np.logical_or.reduceat(loose, targets.offsets[:-1])


def _weights(trajectory: Trajectory, targets: Targets) -> NDArray[np.float64]:
    """Share of each atom in the mass of its target, (n_target_atoms,)."""
    masses = _masses(trajectory.species[targets.atoms])
    totals = np.add.reduceat(masses, targets.offsets[:-1])
    return masses / np.repeat(totals, np.diff(targets.offsets))


def _arms(
    trajectory: Trajectory,
    start: int,
    stop: int,
    atoms: NDArray[np.int64],
    parents: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Vectors from the atom before to each atom, (n, n_target_atoms, 3)."""
    frames = trajectory.positions[start:stop]
    arms = frames[:, atoms].astype(np.float64) - frames[:, atoms[parents]]
    if trajectory.cell is None:
        return arms
    return minimum_image(arms, _frame_cells(trajectory.cell, start, stop))


def _nearest_shifts(
    trajectory: Trajectory, cell: NDArray[np.float64], atoms: NDArray[np.int64]
) -> Iterator[tuple[int, int, NDArray[np.float64], NDArray[np.float64]]]:
    """Chunks of frames, each after the last of the one before, and the shifts of their steps."""
    long_steps = trajectory.long_steps
    own = None if long_steps is None else long_steps.of_atoms(atoms)
    warned = False
    for start, stop in frame_chunks(trajectory.n_frames, len(atoms), first=1):
        chunk = trajectory.positions[start - 1 : stop, atoms].astype(np.float64)
        cells = _frame_cells(cell, start, stop)
        steps = np.diff(chunk, axis=0)
        shifts = image_shift(steps, cells)
        if own is not None:
            own.of_frames(start, stop).add_to(shifts, cells)
        elif not warned and near_half(steps + shifts, cells):
            _warn_of_steps(trajectory)
            warned = True
        yield start, stop, chunk, shifts


def _known_shifts(
    trajectory: Trajectory, cell: NDArray[np.float64], atoms: NDArray[np.int64]
) -> Iterator[tuple[int, int, NDArray[np.float64], NDArray[np.float64]]]:
    """As `_nearest_shifts`, of positions that are unwrapped, in a cell that changes.

    An atom n cells away from the first has moved by n times the change of the cell in every step,
    which is no motion of its own.
    """
    cells = follow_basis(cell, cell[0])
    for start, stop in frame_chunks(trajectory.n_frames, len(atoms), first=1):
        chunk = trajectory.positions[start - 1 : stop, atoms].astype(np.float64)
        # a point in image i moves with the lattice, by i times its change: no motion of its own
        images = np.floor(chunk[:-1] @ np.linalg.inv(cells[start - 1 : stop - 1]))
        yield start, stop, chunk, -images @ np.diff(cells[start - 1 : stop], axis=0)


def _warn_of_steps(trajectory: Trajectory) -> None:
    warnings.warn(
        f"steps between frames come near half the shortest lattice vector "
        f"({_half_of_shortest(trajectory):.4g} Å): some may be taken for shorter ones through the "
        "boundary, and displacements and diffusion come out too small; read all frames (a stride "
        "of read_trajectory follows those in between), write frames more often, or pass positions "
        "that are unwrapped and say so with unwrapped=True",
        LongStepWarning,
        stacklevel=4,
    )


def _warn_of_arms(trajectory: Trajectory) -> None:
    warnings.warn(
        "atoms that are next to each other in a target come near half the shortest lattice vector "
        f"({_half_of_shortest(trajectory):.4g} Å): they are followed one by one, which keeps "
        "displacements right, but which of their images belong together is a guess; give a "
        "topology with bonds, or targets whose atoms stay together",
        LongStepWarning,
        stacklevel=3,
    )


def _half_of_shortest(trajectory: Trajectory) -> float:
    if trajectory.cell is None:
        return np.inf
    reduced = reduce_cell(trajectory.cell)
    return float(np.linalg.norm(reduced[..., 0, :], axis=-1).min() / 2)


def _frame_cells(cell: NDArray[np.float64], start: int, stop: int) -> NDArray[np.float64]:
    return cell if cell.ndim == 2 else cell[start:stop]


def _masses(species: NDArray[np.int64]) -> NDArray[np.float64]:
    numbers, inverse = np.unique(species, return_inverse=True)
    return np.array([species_mass(number) for number in numbers])[inverse]
