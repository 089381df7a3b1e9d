"""`check_gromacs`: the frames of xtc and trr files, before a parser in C sees them.

mdtraj's parsers trust what a file says: of a damaged one they may write outside their memory and
end the process. A walk over the frames finds out what they would do, at a fraction of the cost of
decoding them, and finds a truncated file before any of it is decoded.
"""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from graphkoopman._compiling import njit
from graphkoopman.trajectories.readers._contents import FileFormatError

N_ATOMS_AT = {".xtc": 4, ".trr": 64}  # bytes from the beginning of a frame
HEADER_BYTES = 112  # of the longer kinds of headers
XTC_MAGIC = {1995: 4, 2023: 8}  # to bytes of the size of the compressed positions
UNCOMPRESSED = 9  # up to so many atoms xtc holds plain floats
SMALLEST_INDEX, N_INDICES = 9, 73  # of xtc's table of magic numbers
LARGEST_PRODUCT = 0xFFFFFF  # above it every coordinate has bits of its own
TRR_MAGIC = 1993
TRR_VERSION = b"\x00\x00\x00\x0d\x00\x00\x00\x0cGMX_trn_file"


def check_gromacs(path: Path, n_atoms: int, suffix: str) -> None:
    """Walk over the frames of an xtc or trr file.

    Parameters
    ----------
    path : Path
    n_atoms : int
        What every frame must hold.
    suffix : {".xtc", ".trr"}
        Whatever the file is called.

    Raises
    ------
    ValueError
        If a frame is damaged, or the file ends inside one.
    """
    size = path.stat().st_size
    n_frames, position = 0, 0
    # unbuffered: frames are usually longer than a buffer
    with path.open("rb", buffering=0) as file:
        while position < size:
            file.seek(position)
            header = file.read(HEADER_BYTES)
            try:
                length = LENGTH_OF[suffix](header, n_atoms)
                whole = position + length <= size
                if whole and suffix == ".xtc" and n_atoms > UNCOMPRESSED:
                    _check_compressed(header + file.read(length - len(header)), n_atoms)
            except (ValueError, struct.error) as error:
                raise FileFormatError(
                    f"path must be a complete, readable file, got {path}: damaged or truncated "
                    f"after frame {n_frames} ({error}); cut it to whole frames or write it again"
                ) from error
            if not whole:
                raise FileFormatError(
                    f"path must be a complete file, got {path}: truncated after frame {n_frames}, "
                    "inside the next; cut it to whole frames or write it again"
                )
            position += length
            n_frames += 1


def gromacs_atoms(path: Path, suffix: str) -> int | None:
    """Number of atoms in the first frame; None unless its header is sound."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    try:
        (n_atoms,) = struct.unpack_from(">i", header, N_ATOMS_AT[suffix])
        LENGTH_OF[suffix](header, max(1, n_atoms))
    except (ValueError, struct.error):
        return None
    return n_atoms


def _xtc_length(header: bytes, n_atoms: int) -> int:
    """Bytes of the frame with this header, see GROMACS' xtc format."""
    magic, n_found = struct.unpack_from(">2i", header)
    (n_again,) = struct.unpack_from(">i", header, 52)
    if magic not in XTC_MAGIC or n_found != n_atoms or n_again != n_atoms:
        raise ValueError("no frame header of these atoms")
    if n_atoms <= UNCOMPRESSED:
        return 56 + 12 * n_atoms
    precision, *limits, index = struct.unpack_from(">f7i", header, 56)
    if not precision > 0 or any(a > b for a, b in zip(limits[:3], limits[3:], strict=True)):
        raise ValueError("precision or limits of the positions")
    if not SMALLEST_INDEX <= index < N_INDICES:
        raise ValueError("index of the compression")
    width = XTC_MAGIC[magic]
    (n_bytes,) = struct.unpack_from(">q" if width == 8 else ">i", header, 88)
    # the writers' own buffer: 1.2 integers per coordinate, three of them for this size
    if not 0 < n_bytes <= 4 * (int(3.6 * n_atoms) - 3):
        raise ValueError("size of the positions")
    return 88 + width + -(-n_bytes // 4) * 4


def _trr_length(header: bytes, n_atoms: int) -> int:
    """Bytes of the frame with this header, see GROMACS' trr format."""
    magic, *sizes = struct.unpack_from(">i20x10i", header)
    (n_found,) = struct.unpack_from(">i", header, 64)
    if magic != TRR_MAGIC or header[4:24] != TRR_VERSION or n_found != n_atoms:
        raise ValueError("no frame header of these atoms")
    _, _, box, virial, pressure, _, _, positions, velocities, forces = sizes
    # frames hold any combination of positions, velocities and forces
    real = max(positions, velocities, forces) // (3 * n_atoms) or box // 9
    allowed = {0, 3 * n_atoms * real}
    if real not in (4, 8) or not {positions, velocities, forces} <= allowed:
        raise ValueError("sizes of the positions")
    matrices = {box, virial, pressure}
    if not matrices <= {0, 9 * real} or sum(sizes) != sum(sizes[2:5]) + sum(sizes[7:]):
        raise ValueError("sizes of the cell")
    return 76 + 2 * real + sum(sizes)


LENGTH_OF: dict[str, Callable[[bytes, int], int]] = {".xtc": _xtc_length, ".trr": _trr_length}


def _check_compressed(frame: bytes, n_atoms: int) -> None:
    """Raise unless the compressed positions of an xtc frame are those of so many atoms."""
    *limits, index = struct.unpack_from(">7i", frame, 60)
    sizes = [high - low + 1 for low, high in zip(limits[:3], limits[3:], strict=True)]
    if max(sizes) > LARGEST_PRODUCT:
        n_bits = sum(size.bit_length() for size in sizes)
    else:
        n_bits = (sizes[0] * sizes[1] * sizes[2]).bit_length()
    (magic,) = struct.unpack_from(">i", frame)
    data = np.frombuffer(frame, np.uint8, offset=88 + XTC_MAGIC[magic])
    if not _holds_atoms(data, n_atoms, n_bits, index):
        raise ValueError("compressed positions")


@njit(cache=True, nogil=True)
def _holds_atoms(data, n_atoms, n_bits, index):
    """Whether a stream of bits holds exactly so many atoms.

    An atom takes ``n_bits``, then comes a flag. If it is set, five bits say how many of the next
    atoms are stored as small differences, of ``index`` bits each, and whether ``index`` goes up or
    down for those that follow; if not, the numbers before hold on.
    """
    position, n_done, run = 0, 0, 0
    n_available = 8 * len(data)
    while n_done < n_atoms:
        position += n_bits
        if position >= n_available:
            return False
        change = 0
        flag = (data[position >> 3] >> (7 - (position & 7))) & 1
        position += 1
        if flag:
            if position + 5 > n_available:
                return False
            run = 0
            for bit in range(position, position + 5):
                run = 2 * run + ((data[bit >> 3] >> (7 - (bit & 7))) & 1)
            position += 5
            change = run % 3 - 1
            run //= 3
        n_done += 1 + run
        position += run * index
        index += change
        if index < SMALLEST_INDEX or index >= N_INDICES:
            return False
    return n_done == n_atoms and position <= n_available
