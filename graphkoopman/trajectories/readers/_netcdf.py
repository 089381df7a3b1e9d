"""NetCDF of AMBER's convention, as AMBER, LAMMPS, mdtraj and others write it, with its units.

The convention asks readers to apply ``units`` and ``scale_factor``: LAMMPS' times are numbers of
steps. Classic files are read by scipy, those in HDF5 by the package netCDF4.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories.readers._cell import cell_of_lengths_angles
from graphkoopman.trajectories.readers._contents import (
    Atoms,
    Contents,
    FileFormatError,
    FrameBlock,
    Structure,
)
from graphkoopman.trajectories.readers._elements import UNKNOWN, atoms_from_guesses
from graphkoopman.trajectories.readers._registry import reader

# to Å and ps
LENGTHS = {
    "angstrom": 1.0, "a": 1.0, "nanometer": 10.0, "nm": 10.0, "nano": 10.0, "bohr": 0.529177210903,
    "meter": 1e10, "m": 1e10, "centimeter": 1e8, "cm": 1e8, "micrometer": 1e4,
}  # fmt: skip
TIMES = {
    "picosecond": 1.0, "ps": 1.0, "femtosecond": 1e-3, "fs": 1e-3, "nanosecond": 1e3, "ns": 1e3,
    "microsecond": 1e6, "second": 1e12, "s": 1e12,
}  # fmt: skip
FILL = 1e30  # netCDF's fill value is 9.97e36
# names of positions, and whether they are unwrapped or in fractions of the cell
POSITIONS = (
    ("unwrapped_coordinates", True, False),
    ("coordinates", False, False),
    ("scaled_coordinates", False, True),
)
CLASSIC = (b"CDF\x01", b"CDF\x02")
HDF5 = b"\x89HDF\r\n\x1a\n"


@reader("netcdf", r".*\.(nc|ncdf|netcdf)", names_atoms=False)
def read_netcdf(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """Times, lengths and angles in the units that the file names."""
    with _opened(path) as variables:
        name, unwrapped, scaled = _coordinates(path, variables)
        shape = variables[name].shape
        if len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise FileFormatError(
                f"path must hold {name} of shape (frames, atoms, 3), got {shape} in {path}"
            )
        if scaled and not {"cell_lengths", "cell_angles"} <= set(variables):
            raise FileFormatError(f"path must hold a cell, got {path} with scaled positions alone")
        # a unit that is not known is an error before anything is read
        _factor(path, variables[name], LENGTHS if not scaled else {})
        atoms = _atoms(variables, shape[1])
    blocks = _blocks(path, name, scaled, chunk)
    return Contents("netcdf", shape[1], blocks, atoms, unwrapped=unwrapped)


def _coordinates(path: Path, variables: Any) -> tuple[str, bool, bool]:
    for entry in POSITIONS:
        if entry[0] in variables:
            return entry
    raise FileFormatError(
        f"path must hold coordinates of AMBER's convention, got {path} with "
        f"{', '.join(sorted(variables)) or 'nothing'}"
    )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The variables of a file; values come without a scale."""
    with path.open("rb") as file:
        head = file.read(8)
    if head[:4] in CLASSIC:
        from scipy.io import netcdf_file

        _check_records(path)
        with warnings.catch_warnings():
            # arrays that outlive the file are copies, and scipy cannot know
            warnings.simplefilter("ignore", RuntimeWarning)
            with netcdf_file(str(path), "r", mmap=True, maskandscale=False) as file:
                yield file.variables
        return
    if head != HDF5 and head[:3] != b"CDF":
        raise FileFormatError(f"path must be a netCDF file, got {path} of another format")
    try:
        import netCDF4
    except ImportError as error:
        raise ImportError(
            f"reading {path}, which is netCDF in HDF5, needs netCDF4: pip install netCDF4; or "
            "convert it with nccopy -k classic"
        ) from error
    with netCDF4.Dataset(str(path)) as dataset:
        dataset.set_auto_maskandscale(False)
        yield dataset.variables


def _check_records(path: Path) -> None:
    """A classic file says in its header how many records there are."""
    from scipy.io import netcdf_file

    try:
        with netcdf_file(str(path), "r", mmap=False, maskandscale=False) as file:
            del file
    except Exception as error:  # scipy's parser fails in its own ways
        raise FileFormatError(
            f"path must be a complete, readable netCDF file, got {path}: damaged or truncated "
            f"({type(error).__name__}: {error})"
        ) from error


def _attribute(variable: Any, name: str) -> Any:
    value = getattr(variable, name, None)
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value


def _factor(path: Path, variable: Any, units: dict[str, float]) -> float:
    """What to multiply with: scale_factor, and the unit where it is not the convention's."""
    scale = _attribute(variable, "scale_factor")
    factor = 1.0 if scale is None else float(np.ravel(scale)[0])
    unit = str(_attribute(variable, "units") or "").strip().strip("\x00").lower()
    if units and unit:
        singular = unit if unit in units else unit.removesuffix("s")
        if singular not in units:
            raise FileFormatError(
                f"path must name units of length and time, got {unit!r} in {path}, which have no "
                "scale in Å and ps; convert the file to such units"
            )
        factor *= units[singular]
    # a scale in single precision: 0.001 is 0.001, not 0.0010000000475
    return float(f"{factor:.7g}")


def _atoms(variables: Any, n_atoms: int) -> Atoms | None:
    """Types of the first frame, in the order of the ids."""
    if "type" not in variables or variables["type"].shape[-1:] != (n_atoms,):
        return None
    types = np.array(variables["type"][0] if len(variables["type"].shape) > 1 else
                     variables["type"][:]).ravel()  # fmt: skip
    if types.shape != (n_atoms,):
        return None
    ids = None
    if "id" in variables and variables["id"].shape[-1:] == (n_atoms,):
        ids = np.array(variables["id"][0], dtype=np.int64)
        order = np.argsort(ids)
        types, ids = types[order], ids[order]
    names = tuple(str(kind) for kind in types.tolist())
    return atoms_from_guesses(names, [UNKNOWN] * n_atoms, types=names, ids=ids)


def _blocks(path: Path, name: str, scaled: bool, chunk: int) -> Iterator[FrameBlock]:
    with _opened(path) as variables:
        coordinates = variables[name]
        n_frames = coordinates.shape[0]
        first_ids: NDArray[np.int64] | None = None
        for start in range(0, n_frames, chunk):
            part = slice(start, min(start + chunk, n_frames))
            cells = _cells(path, variables, part)
            values = np.array(coordinates[part])
            values = values.astype(np.float64 if values.dtype.itemsize > 4 else np.float32)
            if scaled:
                origins = (
                    np.array(variables["cell_origin"][part]) if "cell_origin" in variables else 0
                )
                values = values @ cells + np.reshape(origins, (-1, 1, 3))
            factor = _factor(path, coordinates, {} if scaled else LENGTHS)
            if factor != 1.0:
                values = values * values.dtype.type(factor)
            if "id" in variables:
                ids = np.array(variables["id"][part], dtype=np.int64)
                first_ids = np.sort(ids[0]) if first_ids is None else first_ids
                values = _by_ids(path, values, ids, first_ids, start)
            yield FrameBlock(values, cells, _times(path, variables, part))


def _by_ids(path: Path, values: Any, ids: Any, first: NDArray[np.int64], start: int) -> Any:
    order = np.argsort(ids, axis=1, kind="stable")
    other = (np.take_along_axis(ids, order, axis=1) != first).any(axis=1)
    if other.any():
        frame = int(np.argmax(other))
        raise FileFormatError(
            f"frames must hold the same atoms, got other ids in frame {start + frame} of {path}; "
            "dump a group of atoms that stay"
        )
    return np.take_along_axis(values, order[..., None], axis=1)


def _cells(path: Path, variables: Any, part: slice) -> Any:
    if not {"cell_lengths", "cell_angles"} <= set(variables):
        return None
    lengths = np.array(variables["cell_lengths"][part], dtype=np.float64)
    angles = np.array(variables["cell_angles"][part], dtype=np.float64)
    lengths *= _factor(path, variables["cell_lengths"], LENGTHS)
    angles *= _factor(path, variables["cell_angles"], {})
    if lengths.shape != angles.shape or lengths.shape[1:] != (3,):
        raise FileFormatError(f"path must hold three lengths and angles of the cell, got {path}")
    if not lengths.any() or (np.abs(lengths) > FILL).any():
        return None
    if variables["cell_lengths"][part].dtype.itemsize == 4:
        lengths, angles = np.round(lengths, 5), np.round(angles, 5)
    return cell_of_lengths_angles(lengths, angles)


def _times(path: Path, variables: Any, part: slice) -> Any:
    if "time" not in variables or len(variables["time"].shape) != 1:
        return None
    times = np.array(variables["time"][part], dtype=np.float64)
    if not np.isfinite(times).all() or (np.abs(times) > FILL).any():
        return None
    return times * _factor(path, variables["time"], TIMES)
