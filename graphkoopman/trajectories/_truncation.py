"""Files that end inside a frame, which the parsers pass over in silence."""

import itertools
import lzma
import struct
import zlib
from pathlib import Path

from graphkoopman.trajectories._lammps import open_text


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


def check_xyz(path: Path) -> None:
    """Count the lines of an xyz file, compressed or not, before ASE does.

    ASE reads on beyond the end for as many lines as a damaged number of atoms asks for.

    Raises
    ------
    ValueError
        If the file ends inside a frame.
    """
    n_read = 0
    with open_text(path) as file:
        try:
            for line in file:
                n_lines = int(line) + 1  # the atoms' and a comment
                if n_lines > 0 and sum(1 for _ in itertools.islice(file, n_lines)) < n_lines:
                    break
                n_read += 1
            else:
                return
        # an empty line ends the frames; what else is wrong, ASE says
        except (ValueError, OSError, EOFError, lzma.LZMAError, zlib.error):
            return
    raise ValueError(
        f"path must be a complete, readable file, got {path}: damaged or truncated after frame "
        f"{n_read}; cut it to whole frames or write it again"
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
