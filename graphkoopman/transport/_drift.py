"""The path of a reference body, which is subtracted from the targets: `drift_path`."""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.trajectories import Targets, Trajectory, species_label, species_mass, unwrap

Array = NDArray[np.float64]
Drift: TypeAlias = Literal["framework", "system"] | ArrayLike | None

PART_ELEMENTS = 2**23


def drift_path(trajectory: Trajectory, targets: Targets, drift: Drift) -> Array | None:
    """Centre of mass of the reference atoms, relative to the first frame.

    Parameters
    ----------
    trajectory : Trajectory
        Wrapped or unwrapped; every atom is unwrapped by itself, so the centre is that of the
        moving atoms and not of one periodic image.
    targets : Targets
    drift : {"framework", "system"}, array-like of atom indices, or None
        "framework" is every atom of a species that no target atom has; None removes nothing.

    Returns
    -------
    path : ndarray of shape (n_frames, 3) or None
        Å.

    Raises
    ------
    ValueError
        If there is no framework, or indices are out of range.
    """
    if drift is None:
        return None
    atoms = reference_atoms(trajectory, targets, drift)
    masses = np.array([species_mass(number) for number in trajectory.species[atoms]])
    weights = masses / masses.sum()
    path = np.zeros((trajectory.n_frames, 3))
    size = max(1, PART_ELEMENTS // (9 * trajectory.n_frames))
    for start in range(0, len(atoms), size):
        block = slice(start, start + size)
        path += np.einsum("fnx,n->fx", unwrap(trajectory, atoms[block]), weights[block])
    return path - path[0]


def reference_atoms(trajectory: Trajectory, targets: Targets, drift: Drift) -> NDArray[np.int64]:
    """Indices of the atoms whose centre of mass is the drift."""
    if not isinstance(drift, str):
        return _check_indices(drift, trajectory.n_atoms)
    if drift == "system":
        return np.arange(trajectory.n_atoms)
    if drift != "framework":
        raise ValueError(
            f'drift must be None, "framework", "system" or an array of atom indices, got {drift!r}'
        )
    atoms = np.flatnonzero(~np.isin(trajectory.species, trajectory.species[targets.atoms]))
    if len(atoms) == 0:
        raise ValueError(
            'drift="framework" needs atoms of species other than those of the targets, got none: '
            f"every atom is of a target's species {_symbols(trajectory, targets)}; use "
            'drift="system", the indices of the atoms that make the framework, or None'
        )
    return atoms


def _check_indices(drift: Any, n_atoms: int) -> NDArray[np.int64]:
    indices = np.asarray(drift)
    if indices.dtype == bool and indices.shape == (n_atoms,):
        indices = np.flatnonzero(indices)
    is_list = indices.dtype.kind in "iu" and indices.ndim == 1 and indices.size > 0
    if not is_list or indices.min() < 0 or indices.max() >= n_atoms:
        raise ValueError(
            f"drift as an array must hold atom indices from 0 to {n_atoms - 1}, at least one, "
            f"got {drift!r}"
        )
    return np.unique(indices).astype(np.int64)


def _symbols(trajectory: Trajectory, targets: Targets) -> str:
    numbers = np.unique(trajectory.species[targets.atoms])
    return ", ".join(species_label(number) for number in numbers)
