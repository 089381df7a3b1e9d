"""`load_gdynet_npz`: the file layout of the original GDyNet code."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._mdtraj import constant_or_per_frame
from graphkoopman.trajectories._species import species_label
from graphkoopman.trajectories._times import frame_spacing
from graphkoopman.trajectories._trajectory import Trajectory
from graphkoopman.trajectories.readers import (
    Contents,
    FileFormatError,
    FrameBlock,
    Structure,
    reader,
)
from graphkoopman.trajectories.readers._elements import atoms_from_guesses
from graphkoopman.trajectories.readers._topology import check_file

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
        ps per frame; required without ``time_ps``, with which it must agree.

    Returns
    -------
    trajectory : Trajectory
        With ``targets`` set to ``target_index``.

    Raises
    ------
    ValueError
        For missing keys, unreadable files, arrays of Python objects, an unknown timestep, and one
        that contradicts ``time_ps``.
    """
    path = check_file(Path(path))
    run, times = _read(path)
    return dataclasses.replace(run, timestep=frame_spacing(times, None, timestep, str(path)))


def _read(path: Path) -> tuple[Trajectory, NDArray[Any] | None]:
    """The run at a timestep of 1 ps, and its times, where there are some."""
    arrays = _arrays(path)
    positions, cell = arrays["traj_coords"], arrays["lattices"]
    run = Trajectory(
        positions=positions,
        # any other shape is left to the checks of Trajectory
        cell=constant_or_per_frame(cell) if cell.shape == (len(positions), 3, 3) else cell,
        species=arrays["atom_types"],
        timestep=1.0,
        targets=arrays["target_index"],
    )
    return run, _times(arrays.get("time_ps"), len(run), path)


@reader("gdynet", r".*\.npz")
def read_gdynet(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """The same, as what the file says."""
    run, times = _read(path)
    names = [species_label(number) for number in run.species]
    guesses = [(int(number), "stated") for number in run.species]
    cells = None if run.cell is None else np.broadcast_to(run.cell, (len(run), 3, 3))
    return Contents(
        "gdynet",
        run.n_atoms,
        iter([FrameBlock(run.positions, cells, times)]),
        atoms_from_guesses(names, guesses),
        precision=run.positions.dtype.type,
        targets=run.targets,
    )


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # pickled objects run code when loaded, and no array here needs them
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in (*KEYS, "time_ps") if name in archive}
    except Exception as error:  # zip files, compression, numpy: each fails in its own way
        raise FileFormatError(
            f"path must be a readable .npz of plain arrays, got {path}: damaged or foreign "
            f"({error})"
        ) from error
    missing = [name for name in KEYS if name not in arrays]
    if missing:
        raise FileFormatError(
            f"path must hold the arrays {', '.join(KEYS)}, got {path} without {', '.join(missing)}"
        )
    return arrays


def _times(times: NDArray[Any] | None, n_frames: int, path: Path) -> NDArray[Any] | None:
    if times is None:
        return None
    if times.shape != (n_frames,) or times.dtype.kind not in "iuf":
        raise FileFormatError(
            f"time_ps must hold one time per frame, shape ({n_frames},), got {times.shape} in "
            f"{path}; leave it out, or write the times of the frames"
        )
    return times.astype(np.float64)
