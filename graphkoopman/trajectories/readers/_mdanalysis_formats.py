"""Every other format of MDAnalysis: TNG, H5MD, TRZ and what ``format=`` names."""

import re
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from graphkoopman._optional import missing
from graphkoopman.trajectories.readers._contents import (
    Contents,
    FileFormatError,
    FrameBlock,
    Structure,
)
from graphkoopman.trajectories.readers._registry import Reader, reader

NEVER_BY_NAME = re.compile(r"(?!)")


def mdanalysis_format(name: str) -> Reader | None:
    """Reader of a format in MDAnalysis' spelling; None for what it does not know."""
    try:
        import MDAnalysis
    except ImportError:
        return None
    if name.upper() not in MDAnalysis._READERS:
        return None
    read = partial(_opened, format=name.upper())
    return Reader(name.upper(), read, NEVER_BY_NAME, None, True, True, True)


def mdanalysis_topology(path: Path, name: str) -> Structure | None:
    """Atoms of a topology that MDAnalysis alone reads (tpr, itp, pqr, dms and others).

    None where it does not know the file by its name either, or is not installed.
    """
    from graphkoopman.trajectories._mdanalysis import atoms_of

    try:
        import MDAnalysis
        from MDAnalysis.core._get_readers import get_parser_for
    except ImportError:
        return None
    # what ends in .top and is not AMBER's is GROMACS'
    kind = "ITP" if path.suffix.lower() == ".top" else None
    try:
        get_parser_for(str(path), kind)
    except ValueError:
        return None
    try:
        with warnings.catch_warnings():
            # that a format has no positions, bonds or masses is none of our business here
            warnings.simplefilter("ignore")
            universe = MDAnalysis.Universe(str(path), topology_format=kind, to_guess=())
        atoms = atoms_of(universe)
    except Exception as error:  # each parser of MDAnalysis fails in its own way
        raise ValueError(
            f"{name} must be a readable topology file, got {path}: MDAnalysis' parser failed "
            f"({type(error).__name__}: {error})"
        ) from error
    return Structure(atoms, None)


@reader("gsd", r".*\.gsd")
def read_gsd(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """HOOMD's files say nothing of units."""
    raise FileFormatError(
        f"path must hold lengths in a known unit, got {path}: HOOMD's gsd names no units; load it "
        "with gsd.hoomd and pass positions and cell times Å per unit of length to Trajectory, or, "
        "where they are in Å, read it with format='GSD' (--format GSD)"
    )


@reader("mdanalysis", r".*\.(tng|h5md|trz|trc|namdbin|coor|chain)")
def read_mdanalysis(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """Any file that MDAnalysis knows by its name, with its own atoms or those of a topology."""
    return _opened(path, structure, chunk, None)


def _opened(path: Path, structure: Structure | None, chunk: int, format: str | None) -> Contents:
    # below the readers, which it uses the names of atoms and blocks of
    from graphkoopman.trajectories._mdanalysis import atoms_of, frames_of

    try:
        import MDAnalysis
        from MDAnalysis.lib.util import guess_format
    except ImportError as error:
        raise missing("mdanalysis", f"reading {path}") from error
    kind = format
    try:
        kind = kind or guess_format(str(path))
        if structure is not None:
            opened = MDAnalysis._READERS[kind](str(path), n_atoms=structure.n_atoms)
            atoms = None
        else:
            if kind not in MDAnalysis._PARSERS:
                raise FileFormatError(
                    f"top must be given for {path}: the format does not name its atoms; pass a "
                    "pdb, gro or other topology file (--top), or an mdtraj.Topology"
                )
            universe = MDAnalysis.Universe(
                str(path), format=kind, topology_format=kind, to_guess=()
            )
            opened, atoms = universe.trajectory, atoms_of(universe)
    except (ImportError, FileFormatError):
        raise
    except Exception as error:  # each reader of MDAnalysis fails in its own way
        raise _failed(path, kind, 0, error) from error
    frames = frames_of(opened, chunk)
    if kind == "H5MD":
        from graphkoopman.trajectories.readers._h5md import with_own_cells

        frames = with_own_cells(path, frames)
    blocks = _guarded(path, opened, frames)
    return Contents(f"mdanalysis {kind}", int(opened.n_atoms), blocks, atoms)


def _guarded(path: Path, opened: Any, blocks: Iterator[FrameBlock]) -> Iterator[FrameBlock]:
    n_read, announced = 0, len(opened)
    try:
        for block in blocks:
            yield block
            n_read += len(block.positions)
    except Exception as error:
        raise _failed(path, opened.format, n_read, error) from error
    finally:
        opened.close()
    if n_read != announced:
        raise FileFormatError(
            f"path must be a complete file, got {path}: {n_read} of the {announced} frames that "
            "it announces could be read; cut it to whole frames or write it again"
        )


def _failed(path: Path, kind: Any, n_read: int, error: Exception) -> FileFormatError:
    return FileFormatError(
        f"path must be a complete, readable {kind} file, got {path}: MDAnalysis' reader failed "
        f"after frame {n_read} ({type(error).__name__}: {error}); cut it to whole frames, write "
        "it again, or say what it is with format= (--format)"
    )
