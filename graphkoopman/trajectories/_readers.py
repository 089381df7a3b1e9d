"""`read_trajectory`: one door for all file formats, in chunks, in Å and ps."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from mdtraj.formats.registry import FormatRegistry

from graphkoopman.trajectories._ase import ase_blocks, ase_format
from graphkoopman.trajectories._frames import FrameBlock, collect, position_store
from graphkoopman.trajectories._gdynet import load_gdynet_npz
from graphkoopman.trajectories._gromacs import GROMACS, check_gromacs, gromacs_atoms
from graphkoopman.trajectories._lammps import lammps_header
from graphkoopman.trajectories._mdtraj import constant_or_per_frame, species_of
from graphkoopman.trajectories._times import real_times, timestep_from_times
from graphkoopman.trajectories._trajectory import NM_TO_ANGSTROM, Trajectory
from graphkoopman.trajectories._truncation import check_complete
from graphkoopman.trajectories._validation import check_integer, check_timestep

# formats that hold the atoms' names beside their positions
SELF_DESCRIBING = (".pdb", ".pdbx", ".cif", ".mmcif", ".gro", ".h5", ".hdf5", ".lh5", ".arc")
COMPRESSIONS = (".gz", ".bz2", ".xz")


def read_trajectory(
    path: str | os.PathLike[str],
    top: Any = None,
    timestep: float | None = None,
    *,
    targets: Any = None,
    stride: int = 1,
    chunk: int = 1000,
    positions_file: str | os.PathLike[str] | None = None,
) -> Trajectory:
    """Read a trajectory file.

    xtc, trr, dcd, nc, lammpstrj, pdb, gro, h5 and the other formats of mdtraj are read by mdtraj;
    XDATCAR, vasprun.xml, extended xyz and LAMMPS dumps (plain or compressed) by ASE, the extra
    ``graphkoopman[ase]``; ``.npz`` is the layout of `load_gdynet_npz`.

    Parameters
    ----------
    path : path-like
        The format follows from the name.
    top : path-like, mdtraj.Topology, mdtraj.Trajectory or None
        Required where the file does not name its atoms (xtc, trr, dcd, nc, lammpstrj); elsewhere
        it replaces the file's own topology and elements.
    timestep : float or None
        ps between the frames stored in the file, before ``stride``. Required where the file
        carries no time (XDATCAR, dumps, xyz, dcd, pdb, npz without ``time_ps``); overrides the
        file's time elsewhere.
    targets : str, array-like, list of array-like, callable or None
        See `resolve_targets`.
    stride : int
        Keep every ``stride``-th frame.
    chunk : int
        Frames read at a time.
    positions_file : path-like or None
        For runs that do not fit in memory: a ``.npy`` file that positions are written to, chunk
        by chunk, and mapped from. It must outlive the trajectory; one that exists is replaced.
        Not for npz.

    Returns
    -------
    trajectory : Trajectory
        Positions in single precision (npz: as stored); a cell that never changes is (3, 3).

    Raises
    ------
    FileNotFoundError
        For a missing file or topology.
    ValueError
        For files that are empty, truncated, damaged or of unknown format, a missing ``top`` or
        ``timestep``, and atoms that do not match ``top``.
    ImportError
        For formats that need ASE where it is not installed.

    Notes
    -----
    A file cut exactly between two frames cannot be told from a shorter run. XDATCAR and
    vasprun.xml are held in memory by ASE while they are read.
    """
    path = _check_file(Path(path))
    stride = check_integer(stride, "stride", 1)
    chunk = check_integer(chunk, "chunk", 1)
    timestep = None if timestep is None else check_timestep(timestep)
    _check_positions_file(positions_file, path)
    if path.suffix.lower() == ".npz":
        trajectory = load_gdynet_npz(path, timestep)[::stride]
        topology = None if top is None else _load_topology(top)
        species = trajectory.species if topology is None else species_of(topology)
        own = trajectory.targets if targets is None else targets
        return dataclasses.replace(trajectory, targets=own, topology=topology, species=species)
    if ase_format(path) is not None and not _mdtraj_reads_dump(path, top):
        topology = None if top is None else _load_topology(top)
        if timestep is None:
            timestep_from_times(None, str(path))
        species, blocks = ase_blocks(path, topology, chunk)
    else:
        topology = _topology_for(path, top)
        if path.suffix.lower() in GROMACS:
            n_atoms = gromacs_atoms(path)
            if n_atoms not in (topology.n_atoms, None):
                raise _other_atoms(path, topology, n_atoms)
            check_gromacs(path, topology.n_atoms)
        species, blocks = species_of(topology), _mdtraj_blocks(path, topology, timestep, chunk)
    with position_store(positions_file) as store:
        cells, times, n_read = collect(blocks, stride, str(path), store)
        check_complete(path, n_read)
    if timestep is None:
        timestep = timestep_from_times(times, str(path))
    else:
        timestep *= stride
    return Trajectory(
        positions=store.read(),
        cell=constant_or_per_frame(cells),
        species=species,
        timestep=timestep,
        topology=topology,
        targets=targets,
    )


def _check_file(path: Path, name: str = "path") -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{name} must be an existing file, got {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"{name} must be a file with content, got the empty file {path}")
    return path


def _check_positions_file(positions_file: Any, path: Path) -> None:
    if positions_file is None:
        return
    if not isinstance(positions_file, str | os.PathLike):
        raise TypeError(
            f"positions_file must be a path or None, got {type(positions_file).__name__}"
        )
    if Path(positions_file).suffix != ".npy":
        raise ValueError(f"positions_file must be named .npy, got {positions_file}")
    if path.suffix.lower() == ".npz":
        raise ValueError(
            f"positions_file does not go with {path.name}: arrays of an npz are read whole; save "
            "them with np.save and pass np.load(…, mmap_mode='r') to Trajectory"
        )


def _extension(path: Path) -> str:
    """Suffix in mdtraj's spelling, a compression included."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    compressed = len(suffixes) == 2 and suffixes[1] in COMPRESSIONS
    return "".join(suffixes) if compressed else path.suffix.lower()


def _mdtraj_reads_dump(path: Path, top: Any) -> bool:
    """Whether mdtraj reads a LAMMPS dump right: it knows no scaled coordinates and no walls."""
    if _extension(path) != ".lammpstrj" or top is None:
        return False
    header = lammps_header(path)
    return header.periodic and {"id", "type"} <= header.columns and not header.scaled


def _topology_for(path: Path, top: Any) -> md.Topology:
    extension = _extension(path)
    if extension not in FormatRegistry.loaders:
        known = ", ".join(sorted(suffix[1:] for suffix in FormatRegistry.loaders))
        raise ValueError(
            f"path must have a format known by its name, got {path.name}; known are npz, XDATCAR, "
            f"vasprun.xml, extxyz, dump, {known}"
        )
    if top is not None:
        return _load_topology(top)
    if not extension.startswith(SELF_DESCRIBING):
        raise ValueError(
            f"top must be given for {path}: the format does not name its atoms; "
            "pass a pdb, gro or other topology file, or an mdtraj.Topology"
        )
    return _load_topology(path, "path")


def _load_topology(top: Any, name: str = "top") -> md.Topology:
    if isinstance(top, md.Topology):
        return top
    if isinstance(top, md.Trajectory):
        return top.topology
    if not isinstance(top, str | os.PathLike):
        raise TypeError(
            f"{name} must be a file, an mdtraj.Topology or an mdtraj.Trajectory, "
            f"got {type(top).__name__}"
        )
    file = _check_file(Path(top), name)
    try:
        return md.load_topology(str(file))
    except ImportError:
        raise
    except Exception as error:  # each parser of mdtraj fails in its own way
        raise ValueError(f"{name} must be a readable topology file, got {file}: {error}") from error


def _mdtraj_blocks(
    path: Path, topology: md.Topology, timestep: float | None, chunk: int
) -> Iterator[FrameBlock]:
    options = {} if _extension(path).startswith(SELF_DESCRIBING) else {"top": topology}
    n_read = 0
    try:
        for piece in md.iterload(str(path), chunk=chunk, **options):
            if piece.n_atoms != topology.n_atoms:
                raise _other_atoms(path, topology, piece.n_atoms)
            times = real_times(piece.time)
            if times is None and timestep is None:
                timestep_from_times(None, str(path))
            cells = piece.unitcell_vectors
            cells = None if cells is None else cells.astype(np.float64) * NM_TO_ANGSTROM
            n_read += len(piece)
            # in place: the chunk is ours, and a second copy of it would count
            piece.xyz *= np.float32(NM_TO_ANGSTROM)
            yield FrameBlock(piece.xyz, cells, times)
    except ImportError:
        raise
    except Exception as error:  # each parser of mdtraj fails in its own way
        if isinstance(error, ValueError) and str(error).startswith(("top ", "timestep ")):
            raise
        if "must be shape" in str(error):
            raise _other_atoms(path, topology) from error
        raise ValueError(
            f"path must be a complete, readable file, got {path}: damaged or truncated after frame "
            f"{n_read} ({type(error).__name__}: {error}); cut it to whole frames or write it again"
        ) from error


def _other_atoms(path: Path, topology: md.Topology, n_atoms: int | None = None) -> ValueError:
    got = "another number" if n_atoms is None else n_atoms
    return ValueError(
        f"top must describe the atoms of {path}, got {topology.n_atoms} atoms for frames of {got}; "
        "use the topology that the run was written with"
    )
