"""`load_gdynet_npz`: the file layout of the original GDyNet code."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._mdtraj import constant_or_per_frame
from graphkoopman.trajectories._times import timestep_from_times
from graphkoopman.trajectories._trajectory import Trajectory

KEYS = ("traj_coords", "lattices", "atom_types", "target_index")


def load_gdynet_npz(path: str | os.PathLike[str], timestep: float | None = None) -> Trajectory:
    """Read a trajectory in the layout of the original GDyNet code.

    Parameters
    ----------
    path : path-like
        An ``.npz`` with ``traj_coords`` (n_frames, n_atoms, 3) in Å, ``lattices``
        (n_frames, 3, 3) in Å, ``atom_types`` (n_atoms,) atomic numbers, ``target_index`` (n,) or
        (n, k), and optionally ``time_ps`` (n_frames,).
    timestep : float or None
        ps per frame; required without ``time_ps``, which it overrides.

    Returns
    -------
    trajectory : Trajectory
        With ``targets`` set to ``target_index``.

    Raises
    ------
    ValueError
        For missing keys, unreadable files, arrays of Python objects, and an unknown timestep.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must be an existing file, got {path}")
    try:
        # pickled objects run code when loaded, and no array here needs them
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in (*KEYS, "time_ps") if name in archive}
    except Exception as error:  # zip files, compression, numpy: each fails in its own way
        raise ValueError(
            f"path must be a readable .npz of plain arrays, got {path}: damaged or foreign "
            f"({error})"
        ) from error
    missing = [name for name in KEYS if name not in arrays]
    if missing:
        raise ValueError(
            f"path must hold the arrays {', '.join(KEYS)}, got {path} without {', '.join(missing)}"
        )
    positions, cell = arrays["traj_coords"], arrays["lattices"]
    if timestep is None:
        timestep = _timestep(arrays.get("time_ps"), len(positions), path)
    return Trajectory(
        positions=positions,
        # any other shape is left to the checks of Trajectory
        cell=constant_or_per_frame(cell) if cell.shape == (len(positions), 3, 3) else cell,
        species=arrays["atom_types"],
        timestep=timestep,
        targets=arrays["target_index"],
    )


def _timestep(times: NDArray | None, n_frames: int, path: Path) -> float:
    if times is not None and times.shape != (n_frames,):
        raise ValueError(
            f"time_ps must hold one time per frame, shape ({n_frames},), got {times.shape} in "
            f"{path}; pass timestep= to ignore it"
        )
    return timestep_from_times(None if times is None else times.astype(np.float64), str(path))
