"""`read_trajectory`: one door for all file formats, in chunks, in Å and ps."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from graphkoopman.trajectories import _gdynet  # noqa: F401  registers its reader
from graphkoopman.trajectories._cells import CellSource
from graphkoopman.trajectories._frames import Frames, collect, position_store
from graphkoopman.trajectories._like import TargetsLike
from graphkoopman.trajectories._mdtraj import constant_or_per_frame
from graphkoopman.trajectories._source import Source
from graphkoopman.trajectories._steps import StepTracker
from graphkoopman.trajectories._times import frame_spacing, timestep_from_times
from graphkoopman.trajectories._trajectory import Trajectory
from graphkoopman.trajectories._validation import check_integer, check_timestep
from graphkoopman.trajectories.readers import Contents, FileFormatError, FrameBlock, find_reader
from graphkoopman.trajectories.readers._identity import Identity, identify
from graphkoopman.trajectories.readers._text import decompressed
from graphkoopman.trajectories.readers._topology import check_file, load_structure


def read_trajectory(
    path: str | os.PathLike[str],
    top: Any = None,
    timestep: float | None = None,
    *,
    targets: TargetsLike = None,
    cell: Any = None,
    stride: int = 1,
    skip: int = 0,
    chunk: int = 1000,
    positions_file: str | os.PathLike[str] | None = None,
    elements: Mapping[str, str] | None = None,
    exclude: Any = None,
    format: str | None = None,
    ignore_times: bool = False,
    unwrapped: bool | None = None,
) -> Trajectory:
    """Read a trajectory file.

    What the file says is compared with itself, with ``top`` and with ``timestep``: times that are
    uneven, atoms that change, and elements that contradict each other are errors; elements that
    only a name suggests are a warning. docs/files.md has a table of the formats.

    Parameters
    ----------
    path : path-like
        The format follows from the name, else from the first bytes of the file.
    top : path-like, mdtraj.Topology, mdtraj.Trajectory or None
        Required where the file does not name its atoms (xtc, trr, dcd, nc); elsewhere it adds
        bonds and residues, and must not contradict the file.
    timestep : float or None
        ps between the frames stored in the file, before ``stride``. Required where the file
        carries no time (XDATCAR, dumps without ``ITEM: TIME``, xyz, pdb, npz without
        ``time_ps``); must agree with the file's time elsewhere.
    targets : str, array-like, list of array-like, callable or None
        See `resolve_targets`.
    cell : array-like of shape (3,), (6,) or (3, 3), or str, or None
        Lengths in Å, with or without angles in degrees, or lattice vectors, in place of the
        file's own; ``"none"`` is not periodic. None takes the file's cell or, where it has none,
        that of ``top``.
    stride : int
        Keep every ``stride``-th frame. Atoms are followed through those left out, so that
        displacements do not depend on it.
    skip : int
        Frames left out at the beginning.
    chunk : int
        Frames read at a time.
    positions_file : path-like or None
        For runs that do not fit in memory: a ``.npy`` file that positions are written to, chunk
        by chunk, and mapped from. It must outlive the trajectory; one that exists is replaced.
        Not for npz.
    elements : dict of str to str or None
        Name (``"OW"``, ``"SOL:OW"``) or type (``"1"``) of an atom → its element, ahead of what
        file and topology say. A united atom is ``"CH"``, ``"CH2"``, ``"CH3"`` or ``"CH4"``; a
        coarse bead is its own name, or ``"b:NAME"`` where that is a symbol: node types of their
        own, no elements.
    exclude : str, array-like of int or None
        Atoms to leave out, such as virtual sites: ``"name MW"``, an mdtraj selection, or indices.
    format : str or None
        Name of a reader, where the name of the file does not tell.
    ignore_times : bool
        True where the file's times and steps are wrong: ``timestep`` replaces them.
    unwrapped : bool or None
        True where positions follow the atoms through the boundaries although the file does not
        say so, as after ``trjconv -pbc nojump``: steps between frames are then taken as they
        are. None is what the file says.

    Returns
    -------
    trajectory : Trajectory
        Positions in single precision (npz: as stored; double where a single would lose more than
        1e-4 Å); a cell that never changes is (3, 3).

    Raises
    ------
    FileNotFoundError
        For a missing file or topology.
    ValueError
        For files that are empty, truncated, damaged or of unknown format, a missing ``top`` or
        ``timestep``, frames that are not evenly spaced, and atoms that do not match ``top``.
    ImportError
        For formats that need an extra where it is not installed.

    Warns
    -----
    UserWarning
        Where elements are guesses, with the list name → element.
    MissingCellWarning
        Where neither file nor topology nor ``cell`` says whether the system is periodic, or
        which angles its cell has.
    OtherCellWarning
        Where ``cell`` is not that of the file.

    Notes
    -----
    A file cut exactly between two frames cannot be told from a shorter run. Compressed files
    (.gz, .bz2, .xz) whose parser reads plain ones only are copied to a temporary folder first.
    """
    path = check_file(Path(path))
    stride = check_integer(stride, "stride", 1)
    skip = check_integer(skip, "skip", 0)
    chunk = check_integer(chunk, "chunk", 1)
    timestep = None if timestep is None else check_timestep(timestep)
    if ignore_times and timestep is None:
        raise ValueError("timestep must be given with ignore_times=True, got None")
    found = find_reader(path, format)
    _check_positions_file(positions_file, path, found.format)
    structure = None if top is None else load_structure(top)
    if structure is None and not found.names_atoms:
        raise ValueError(
            f"top must be given for {path}: the format does not name its atoms; "
            "pass a pdb, gro or other topology file (--top), or an mdtraj.Topology"
        )
    if timestep is None and not found.holds_times:
        timestep_from_times(None, str(path))
    in_top = None if structure is None else structure.atoms
    with decompressed(path, found.compressed) as plain:
        with guarded(path):
            contents = found.read(plain, structure, chunk)
        identity = identify(path, contents.n_atoms, contents.atoms, in_top, elements, exclude)
        cells = CellSource(cell, None if structure is None else structure.cell)
        blocks = _kept_frames(path, contents, identity, cells)
        unwrapped = contents.unwrapped if unwrapped is None else unwrapped
        tracker = None if stride == 1 or unwrapped else StepTracker(stride)
        with position_store(positions_file, contents.precision) as store:
            frames = collect(blocks, stride, str(path), store, skip, tracker)
    cells.warn_if_missing(str(path), contents.periodic, contents.angles_assumed)
    spacing = timestep
    if spacing is None or not ignore_times:
        spacing = frame_spacing(frames.times, frames.steps, timestep, str(path))
    return Trajectory(
        positions=store.read(),
        cell=constant_or_per_frame(frames.cells),
        species=identity.species,
        timestep=spacing * stride,
        topology=identity.topology,
        targets=contents.targets if targets is None else targets,
        unwrapped=unwrapped,
        long_steps=None if tracker is None or frames.cells is None else tracker.long_steps(),
        source=_source(path, contents, identity, cells, frames, timestep, stride, skip),
    )


def _source(
    path: Path,
    contents: Contents,
    identity: Identity,
    cells: CellSource,
    frames: Frames,
    timestep: float | None,
    stride: int,
    skip: int,
) -> Source:
    times = frames.times
    known = times is not None and len(times) > 1 and bool(np.any(np.diff(times)))
    if timestep is None:
        origin: Any = "times"
    else:
        origin = "timestep=" if known or frames.steps is None else "steps and timestep="
    return Source(
        name=str(path),
        format=contents.format,
        n_stored=frames.n_read,
        n_after=(frames.n_read - skip - 1) % stride,
        timestep=origin,
        cell=cells.used,
        times=(float(times[0]), float(times[-1])) if times is not None and known else None,
        guesses=identity.guesses,
        notes=tuple(contents.notes),
    )


def _check_positions_file(positions_file: Any, path: Path, format: str) -> None:
    if positions_file is None:
        return
    if not isinstance(positions_file, str | os.PathLike):
        raise TypeError(
            f"positions_file must be a path or None, got {type(positions_file).__name__}"
        )
    if Path(positions_file).suffix != ".npy":
        raise ValueError(f"positions_file must be named .npy, got {positions_file}")
    if format == "gdynet":
        raise ValueError(
            f"positions_file does not go with {path.name}: arrays of an npz are read whole; save "
            "them with np.save and pass np.load(…, mmap_mode='r') to Trajectory"
        )


class guarded:
    """Turns what parsers of other packages raise into one kind of error, see `FileFormatError`."""

    def __init__(self, path: Path) -> None:
        self.path, self.n_read = path, 0

    def __enter__(self) -> "guarded":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None or not isinstance(error, Exception):
            return
        if isinstance(error, FileFormatError | ImportError | Warning):
            return
        if isinstance(error, ValueError) and str(error).startswith(OWN_MESSAGES):
            return
        raise FileFormatError(
            f"path must be a complete, readable file, got {self.path}: its reader failed after "
            f"frame {self.n_read}: {type(error).__name__}: {error}; cut it to whole frames or "
            "write it again"
        ) from error


OWN_MESSAGES = ("top ", "timestep ", "path ", "frames ")


def _kept_frames(
    path: Path, contents: Contents, identity: Identity, cells: CellSource
) -> Iterator[FrameBlock]:
    """Blocks of the atoms that stay and the cell that counts, with errors of parsers made clear."""
    with guarded(path) as guard:
        for block in contents.blocks:
            guard.n_read += len(block.positions)
            own = block.cells if block.cells is not None and np.any(block.cells) else None
            used = cells.of(own, len(block.positions), contents.periodic)
            block = block._replace(cells=used)
            if identity.kept is not None:
                block = block._replace(positions=block.positions[:, identity.kept])
            yield block
