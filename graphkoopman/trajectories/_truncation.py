"""`check_complete`: files that end inside a frame, which the parsers pass over in silence."""

import struct
from pathlib import Path


def check_complete(path: Path, n_read: int) -> None:
    """Compare what was read with what the file announces.

    Raises
    ------
    ValueError
        If frames were announced that could not be read, or bytes of a part of a frame remain.
    """
    suffix = path.suffix.lower()
    if suffix == ".dcd":
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


def _dcd_frames(path: Path) -> int:
    """Number of frames in the header of a dcd file, of either byte order."""
    with open(path, "rb") as file:
        header = file.read(12)
    order = "<" if struct.unpack_from("<i", header)[0] == 84 else ">"
    return struct.unpack_from(f"{order}i", header, 8)[0]
