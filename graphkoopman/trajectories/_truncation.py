"""`check_complete`: files that end inside a frame, which the parsers pass over in silence."""

import os
import struct
from pathlib import Path

import mdtraj as md


def check_complete(path: Path, n_read: int) -> None:
    """Compare what was read with what the file announces.

    Raises
    ------
    ValueError
        If frames were announced that could not be read, or bytes of a part of a frame remain.
    """
    suffix = path.suffix.lower()
    if suffix in (".xtc", ".trr"):
        n_announced = n_read + _has_rest(path, suffix)
    elif suffix == ".dcd":
        n_announced = _dcd_frames(path)
    elif suffix in (".lammpstrj", ".pdb"):
        n_announced = _count_lines(path, b"MODEL " if suffix == ".pdb" else b"ITEM: TIMESTEP")
    else:
        return
    if n_announced > n_read:
        raise ValueError(
            f"path must be a complete file, got {path}: truncated after frame {n_read} of at least "
            f"{n_announced}; cut it to whole frames or write it again"
        )


def _count_lines(path: Path, beginning: bytes) -> int:
    with open(path, "rb") as file:
        return sum(line.startswith(beginning) for line in file)


def _has_rest(path: Path, suffix: str) -> bool:
    """Whether bytes follow the last whole frame of a GROMACS file."""
    with md.open(str(path)) as trajectory:
        last = int(trajectory.offsets[-1])
    with open(path, "rb") as file:
        file.seek(last)
        header = file.read(96)
    length = _xtc_length(header) if suffix == ".xtc" else _trr_length(header)
    return os.path.getsize(path) > last + length


def _xtc_length(header: bytes) -> int:
    """Bytes of the frame with this header, see GROMACS' xtc format."""
    magic, n_atoms = struct.unpack_from(">2i", header)
    if n_atoms <= 9:  # written without compression
        return 56 + 12 * n_atoms
    # magic 2023 marks frames with 64-bit sizes
    (n_bytes,) = struct.unpack_from(">q" if magic == 2023 else ">i", header, 88)
    return (96 if magic == 2023 else 92) + -(-n_bytes // 4) * 4


def _trr_length(header: bytes) -> int:
    """Bytes of the frame with this header, see GROMACS' trr format."""
    *sizes, n_atoms = struct.unpack_from(">11i", header, 24)
    # the box and the positions are the third and eighth array; time is as wide as they are
    double = sizes[2] == 9 * 8 or sizes[7] == 3 * n_atoms * 8
    return 76 + 2 * (8 if double else 4) + sum(sizes)


def _dcd_frames(path: Path) -> int:
    """Number of frames in the header of a dcd file, of either byte order."""
    with open(path, "rb") as file:
        header = file.read(12)
    order = "<" if struct.unpack_from("<i", header)[0] == 84 else ">"
    return struct.unpack_from(f"{order}i", header, 8)[0]
