"""Continuous paths: `unwrap` over time and `target_centers`, the centres of whole molecules."""

from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.trajectories._minimum_image import image_shift, minimum_image
from graphkoopman.trajectories._targets import check_indices, resolve_targets
from graphkoopman.trajectories._trajectory import Trajectory
from graphkoopman.trajectories._validation import frame_blocks


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

    Notes
    -----
    Exact while no atom moves further between two frames than half the shortest lattice vector
    (which half the smallest height of the cell guarantees); a longer jump is mistaken for a
    shorter one through the boundary, and nothing in the data can tell. In cells that change,
    summing displacements keeps the fluctuations of the cell out of the diffusion, which shifting
    by whole lattice vectors would not [1]_; apply it to atoms, not to centres of mass.

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
    if trajectory.cell is None:
        return trajectory.positions[:, selected].astype(np.float64)
    path = np.empty((trajectory.n_frames, len(selected), 3))
    path[0] = trajectory.positions[0, selected]
    offset = np.zeros((len(selected), 3))
    for start, stop in frame_blocks(trajectory.n_frames, len(selected), first=1):
        block = trajectory.positions[start - 1 : stop, selected].astype(np.float64)
        shifts = image_shift(np.diff(block, axis=0), _frame_cells(trajectory.cell, start, stop))
        offsets = offset + np.cumsum(shifts, axis=0)
        path[start:stop] = block[1:] + offsets
        offset = offsets[-1]
    return path


def target_centers(trajectory: Trajectory, targets: Any = None) -> NDArray[np.float64]:
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

    Notes
    -----
    The first atom of a target is its reference: it is unwrapped as in `unwrap`, and the others
    are taken at their minimum image to it. So every atom of a target must lie within half the
    shortest lattice vector of its first atom; long chains in small cells are folded otherwise.
    Masses are the standard atomic weights.

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
    references = groups.atoms[groups.offsets[:-1]]
    centers = unwrap(trajectory, references)
    sizes = np.diff(groups.offsets)
    if sizes.max() == 1:
        return centers
    masses = _masses(trajectory.species[groups.atoms])
    totals = np.add.reduceat(masses, groups.offsets[:-1])
    weights = masses / np.repeat(totals, sizes)
    first_atoms = np.repeat(references, sizes)
    for start, stop in frame_blocks(trajectory.n_frames, len(groups.atoms)):
        frames = trajectory.positions[start:stop]
        arms = frames[:, groups.atoms].astype(np.float64) - frames[:, first_atoms]
        if trajectory.cell is not None:
            arms = minimum_image(arms, _frame_cells(trajectory.cell, start, stop))
        arms *= weights[:, None]
        centers[start:stop] += np.add.reduceat(arms, groups.offsets[:-1], axis=1)
    return centers


def _frame_cells(cell: NDArray[np.float64], start: int, stop: int) -> NDArray[np.float64]:
    return cell if cell.ndim == 2 else cell[start:stop]


def _masses(species: NDArray[np.int64]) -> NDArray[np.float64]:
    numbers, inverse = np.unique(species, return_inverse=True)
    elements = [md.element.Element.getByAtomicNumber(int(number)) for number in numbers]
    return np.array([element.mass for element in elements])[inverse]
