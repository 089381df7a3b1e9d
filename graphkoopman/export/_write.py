"""`write_states`: the states of trajectories in a file for another program."""

import gzip
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from graphkoopman.export._chemiscope import write_chemiscope, write_chemiscope_page
from graphkoopman.export._frames import labelled_frames
from graphkoopman.export._text import FrameWriter, extxyz_writer, lammps_writer, pdb_writer
from graphkoopman.probabilities import ROW_SUM_TOLERANCE, TargetRun, pair_runs
from graphkoopman.storage import replacing

__all__ = ["FORMATS", "write_states"]

# format -> endings of names; the first is the usual one
FORMATS = {
    "extxyz": (".extxyz", ".xyz"),
    "lammpstrj": (".lammpstrj", ".dump"),
    "pdb": (".pdb",),
    "chemiscope": (".json", ".html"),
}
TEXT_WRITERS: dict[str, Callable[[Sequence[TargetRun]], FrameWriter]] = {
    "extxyz": extxyz_writer,
    "lammpstrj": lammps_writer,
    "pdb": pdb_writer,
}


def write_states(
    path: str | os.PathLike[str], trajs: Any, probs: Any, targets: Any, *, format: str | None = None
) -> None:
    """Write every atom's state and probabilities in every frame, for other programs.

    ============== ====================================================================
    format         where the state is
    ============== ====================================================================
    ``extxyz``     columns ``target``, ``state``, ``probability`` (one per state), in full
                   precision; read by OVITO and ASE
    ``lammpstrj``  columns ``i_target``, ``i_state``, ``d_probability_0`` and on, in full
                   precision; read by OVITO, VMD, ASE
    ``pdb``        B-factor: the most probable state; occupancy: its probability (two digits);
                   read by VMD, PyMOL, ChimeraX
    ``chemiscope`` properties of an environment around every target; ``.html`` is a page of its
                   own, with chemiscope's package
    ============== ====================================================================

    Atoms of no target have state and target -1 and probabilities of zero. All atoms of a molecule
    have its state. Files are written frame by frame, whole or not at all.

    Parameters
    ----------
    path : path
        A name that ends with ``.gz`` is compressed.
    trajs : Trajectory, mdtraj.Trajectory, or list of these
        Several follow one another in the file.
    probs : array or list of arrays of shape (n_frames, n_targets, n_states)
        State probabilities.
    targets : str, array-like, list of array-like, callable or None
        See `resolve_targets`.
    format : {"extxyz", "lammpstrj", "pdb", "chemiscope"} or None
        None goes by the ending of the name.

    Raises
    ------
    ValueError
        For inputs that do not match, a format that is not known, or trajectories of different
        atoms in a PDB file.
    ImportError
        For a chemiscope page without its package.
    OSError
        If the file could not be written; an earlier one of its name is untouched.

    Notes
    -----
    Positions are those of the trajectory, wrapped or not. Dumps and PDB files have the cell's a
    along x and b in the xy plane, so that others are turned. A PDB file holds one cell, that of the
    first frame, and positions to 0.001 Å.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from pathlib import Path
    >>> from graphkoopman import Trajectory
    >>> from graphkoopman.export import write_states
    >>> salt = Trajectory(np.zeros((1, 2, 3)), None, [3, 17], timestep=1.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_states(Path(folder) / "states.xyz", salt, [[[0.2, 0.8]]], [0])
    ...     print(Path(folder, "states.xyz").read_text().splitlines()[2])
    Li 0 0 0 0 1 0.2 0.8
    """
    path = Path(path)
    kind = _format_of(path, format)
    runs = pair_runs(trajs, probs, targets)
    _check(runs, kind)
    with replacing(path) as file:
        if path.suffix.lower() != ".gz":
            _write(file, kind, runs, path)
            return
        # no time of writing in the file: equal states make equal files
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            _write(packed, kind, runs, path)  # type: ignore[arg-type]


def _write(file: BinaryIO, kind: str, runs: Sequence[TargetRun], path: Path) -> None:
    if kind == "chemiscope":
        is_page = path.name.lower().removesuffix(".gz").endswith(".html")
        (write_chemiscope_page if is_page else write_chemiscope)(file, runs, path.stem)
        return
    write = TEXT_WRITERS[kind](runs)
    for frame in labelled_frames(runs):
        file.write(write(frame).encode())
    if kind == "pdb":
        file.write(b"END\n")


def _format_of(path: Path, format: str | None) -> str:
    if format is None:
        name = path.name.lower().removesuffix(".gz")
        found = [kind for kind, ends in FORMATS.items() if name.endswith(ends)]
        if not found:
            known = ", ".join(end for ends in FORMATS.values() for end in ends)
            raise ValueError(f"path must end with {known} where no format is given, got {path}")
        return found[0]
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    return format


def _check(runs: Sequence[TargetRun], kind: str) -> None:
    for i, run in enumerate(runs):
        for frame in range(run.n_frames):
            # NaN fails the comparison too
            if not (abs(run.probs[frame].sum(axis=1) - 1.0) <= ROW_SUM_TOLERANCE).all():
                raise ValueError(
                    f"probs[{i}] must be probabilities that sum to one over the states, got others "
                    f"in frame {frame}; pass the output of transform"
                )
    if kind != "pdb":
        return
    first = runs[0].trajectory.species
    for run in runs[1:]:
        if run.trajectory.species.shape != first.shape or (run.trajectory.species != first).any():
            raise ValueError(
                "trajectories in one PDB file must hold the same atoms; write one file for each, "
                "or extended XYZ"
            )
