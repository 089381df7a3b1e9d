"""CHARMM's dcd and its dialects: cells of every convention, times of the header, fixed atoms.

After CHARMM's documentation and the reader of VMD. A file is records of Fortran, each between two
counts of its bytes: a header, titles, the number of atoms, and per frame a cell and x, y, z.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories.readers._cell import cell_of_lengths_angles
from graphkoopman.trajectories.readers._contents import (
    Contents,
    FileFormatError,
    FrameBlock,
    Structure,
)
from graphkoopman.trajectories.readers._registry import reader

AKMA_TO_PS = 0.04888821  # CHARMM's unit of time
OTHERS_VERSION = 24
SMALLEST_ANGLE, LARGEST_ANGLE = 20.0, 160.0  # degrees, of any cell in use


class Header(NamedTuple):
    """What a dcd file says above its frames.

    Attributes
    ----------
    order : {"<", ">"}
    n_announced : int
        Frames; 0 where the writer did not come back to say.
    first_step, interval : int
    delta : float
        Time step in AKMA units; 1 and 0 are what writers put that do not know it.
    version : int
        Of CHARMM; 24 is what other programs write.
    has_cell, has_fourth : bool
        Whether frames hold a cell, and a fourth dimension.
    n_atoms : int
    free : ndarray or None
        Indices of the atoms that frames after the first hold; None is all.
    titles : bytes
    start : int
        Bytes up to the first frame.
    """

    order: str
    n_announced: int
    first_step: int
    interval: int
    delta: float
    version: int
    has_cell: bool
    has_fourth: bool
    n_atoms: int
    free: NDArray[np.int64] | None
    titles: bytes
    start: int


@reader("dcd", r".*\.dcd", names_atoms=False)
def read_dcd(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """Times where the header has them; steps otherwise."""
    header = read_header(path)
    return Contents("dcd", header.n_atoms, _blocks(path, header, chunk))


def read_header(path: Path) -> Header:
    """The three or four records above the frames.

    Raises
    ------
    FileFormatError
        Where they are not those of a dcd file with 32-bit counts.
    """
    with path.open("rb") as file:
        mark = file.read(4)
        order = {b"\x54\0\0\0": "<", b"\0\0\0\x54": ">"}.get(mark)
        if order is None:
            raise _damaged(path, 0, "no record of 84 bytes at the beginning, with 32-bit counts")
        file.seek(0)
        first = _record(path, file, order)
        if first[:4] != b"CORD":
            raise _damaged(path, 0, f"a file of coordinates is marked CORD, not {first[:4]!r}")
        numbers = struct.unpack(f"{order}20i", first[4:])
        charmm = numbers[19] != 0
        kind = f"{order}f" if charmm else f"{order}d"
        (delta,) = struct.unpack_from(kind, first, 4 + 36)
        titles = _record(path, file, order)
        atoms = _record(path, file, order)
        n_atoms = struct.unpack(f"{order}i", atoms)[0] if len(atoms) == 4 else 0
        n_fixed = numbers[8]
        if n_atoms < 1 or not 0 <= n_fixed < n_atoms:
            raise _damaged(path, 0, f"{n_atoms} atoms, of which {n_fixed} are fixed")
        free = None
        if n_fixed:
            free = np.frombuffer(_record(path, file, order), f"{order}i4").astype(np.int64) - 1
            if len(free) != n_atoms - n_fixed or free.min() < 0 or free.max() >= n_atoms:
                raise _damaged(path, 0, "the list of free atoms")
        return Header(
            order, numbers[0], numbers[1], numbers[2], delta, numbers[19],
            charmm and numbers[10] == 1, charmm and numbers[11] == 1,
            n_atoms, free, titles, file.tell(),
        )  # fmt: skip


def _record(path: Path, file: Any, order: str) -> bytes:
    size = file.read(4)
    (n_bytes,) = struct.unpack(f"{order}i", size) if len(size) == 4 else (-1,)
    if not 0 <= n_bytes <= path.stat().st_size:
        raise _damaged(path, 0, "a record of the header")
    content = file.read(n_bytes)
    if len(content) != n_bytes or file.read(4) != size:
        raise _damaged(path, 0, "a record of the header")
    return content


def _damaged(path: Path, frame: int, problem: str) -> FileFormatError:
    return FileFormatError(
        f"path must be a complete, readable dcd file, got {path}: damaged or truncated after frame "
        f"{frame} ({problem}); cut it to whole frames or write it again"
    )


def _frame_type(header: Header, n_atoms: int) -> np.dtype:
    """Layout of a frame of so many atoms, counts included."""
    order = header.order
    fields: list[Any] = []
    if header.has_cell:
        fields += [("c0", f"{order}i4"), ("cell", f"{order}f8", 6), ("c1", f"{order}i4")]
    for axis in "xyz" + "w" * header.has_fourth:
        fields += [
            (f"{axis}0", f"{order}i4"),
            (axis, f"{order}f4", n_atoms),
            (f"{axis}1", f"{order}i4"),
        ]
    return np.dtype(fields)


def _blocks(path: Path, header: Header, chunk: int) -> Iterator[FrameBlock]:
    whole = _frame_type(header, header.n_atoms)
    size = path.stat().st_size - header.start
    later = whole if header.free is None else _frame_type(header, len(header.free))
    n_frames = 0 if size < whole.itemsize else 1 + (size - whole.itemsize) // later.itemsize
    rest = size - whole.itemsize - max(n_frames - 1, 0) * later.itemsize
    if n_frames == 0 or rest:
        raise _damaged(path, n_frames, "the file ends inside a frame")
    if header.n_announced > n_frames:
        raise _damaged(path, n_frames, f"its header announces {header.n_announced}")
    first: NDArray[np.float32] | None = None
    with path.open("rb") as file:
        file.seek(header.start)
        done = 0
        while done < n_frames:
            # with fixed atoms the first frame is another layout
            alone = done == 0 and header.free is not None
            kind = whole if done == 0 else later
            n_now = 1 if alone else min(chunk, n_frames - done)
            frames = np.fromfile(file, kind, n_now)
            _check_counts(path, frames, done)
            positions = np.stack([frames[axis] for axis in "xyz"], axis=-1).astype(np.float32)
            if alone:
                first = positions[0]
            elif header.free is not None and first is not None:
                everything = np.repeat(first[None], len(frames), axis=0)
                everything[:, header.free] = positions
                positions = everything
            cells = _cells(path, header.version, frames["cell"], done) if header.has_cell else None
            times, steps = _clock(header, done, len(frames))
            yield FrameBlock(positions, cells, times, steps)
            done += len(frames)


def _check_counts(path: Path, frames: NDArray[Any], done: int) -> None:
    """Both counts of every record are its bytes."""
    for name in frames.dtype.names or ():
        if not name.endswith("0"):
            continue
        axis = "cell" if name == "c0" else name[0]
        n_bytes = frames.dtype[axis].itemsize
        wrong = (frames[name] != n_bytes) | (frames[f"{name[0]}1"] != n_bytes)
        if wrong.any():
            raise _damaged(path, done + int(np.argmax(wrong)), "the length of a record")


def _clock(header: Header, first: int, n_frames: int) -> tuple[Any, Any]:
    """Times in ps and steps of frames, where the header is more than a placeholder."""
    interval = header.interval
    if interval < 1:
        return None, None
    steps = header.first_step + interval * np.arange(first, first + n_frames, dtype=np.int64)
    # LAMMPS writes its own unit of time here, catdcd, VMD and mdtraj a one
    known = header.delta > 0 and header.delta != 1.0 and np.isfinite(header.delta)
    if not known or b"LAMMPS" in header.titles:
        return None, steps
    return steps * (header.delta * AKMA_TO_PS), steps


def _cells(path: Path, version: int, values: NDArray[np.float64], done: int) -> NDArray[np.float64]:
    """Cells of the six numbers of every frame, of whichever convention.

    ``A γ B β α C`` with angles in degrees (X-PLOR, NAMD's older files) or as cosines (NAMD), or
    the lower triangle of CHARMM's symmetric shape matrix, ``xx xy yy xz yz zz``.
    """
    values = np.ascontiguousarray(values, dtype=np.float64)
    lengths, between = values[:, [0, 2, 5]], values[:, [4, 3, 1]]
    if not np.isfinite(values).all():
        raise _damaged(path, done, "a cell that is not finite")
    degrees = ((between > SMALLEST_ANGLE) & (between < LARGEST_ANGLE)).all(axis=1)
    # a cell of CHARMM that is nearly orthogonal has small numbers there, which are no cosines
    small = between == 0 if version > OTHERS_VERSION else np.abs(between) <= 1
    cosines = small.all(axis=1)
    if (degrees & _fits(lengths, between)).all():
        return cell_of_lengths_angles(lengths, between)
    if cosines.all():
        # a right angle is exact, whatever arccos makes of zero
        angles = np.where(between == 0, 90.0, np.rad2deg(np.arccos(between)))
        return cell_of_lengths_angles(lengths, angles)
    shape = values[:, [0, 1, 3, 1, 2, 4, 3, 4, 5]].reshape(-1, 3, 3)
    no_cell = ~values.any(axis=1)
    if not ((np.linalg.det(shape) > 0) | no_cell).all():
        frame = int(np.argmin(np.linalg.det(shape)))
        raise FileFormatError(
            f"path must hold cells of a known convention, got {values[frame].tolist()} in frame "
            f"{done + frame} of {path}; give the cell with cell= (--cell)"
        )
    return shape


def _fits(lengths: NDArray[np.float64], angles: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether three angles close to a cell with a volume."""
    a, b, c = np.cos(np.deg2rad(angles)).T
    return 1 - a**2 - b**2 - c**2 + 2 * a * b * c > 0
