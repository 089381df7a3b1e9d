"""Frames on their way from a reader to a trajectory: `FrameBlock`, `position_store`, `collect`."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphkoopman.storage import replacing


class FrameBlock(NamedTuple):
    """Consecutive frames of a file.

    Attributes
    ----------
    positions : ndarray of shape (n_frames, n_atoms, 3)
        Å.
    cells : ndarray of shape (n_frames, 3, 3) or None
        Å; None is non-periodic.
    times : ndarray of shape (n_frames,) or None
        ps; None where the format holds no time.
    """

    positions: NDArray[np.floating]
    cells: NDArray[np.float64] | None
    times: NDArray[np.float64] | None


class MemoryStore:
    """Positions in one array that grows."""

    def __init__(self) -> None:
        self._positions = np.empty((0, 0, 3), dtype=np.float32)

    def append(self, positions: NDArray[np.floating]) -> None:
        """Add frames, in single precision."""
        filled = len(self._positions)
        # resizing in place moves no data where the system can extend the allocation: the peak
        # stays at one copy and a block
        self._positions.resize((filled + len(positions), *positions.shape[1:]), refcheck=False)
        self._positions[filled:] = positions

    def read(self) -> NDArray[np.float32]:
        """All frames, (n_frames, n_atoms, 3)."""
        return self._positions


class FileStore:
    """Positions in a ``.npy`` file that grows, mapped in the end."""

    def __init__(self, path: str | os.PathLike[str], file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._shape: tuple[int, ...] = (0, 0, 3)

    def append(self, positions: NDArray[np.floating]) -> None:
        """Add frames, in single precision."""
        if self._shape[1] == 0:
            self._write_header((0, *positions.shape[1:]))
        self._file.write(np.ascontiguousarray(positions, dtype="<f4").data)
        self._shape = (self._shape[0] + len(positions), *positions.shape[1:])

    def finish(self) -> None:
        """Say in the header how many frames there are."""
        self._file.seek(0)
        self._write_header(self._shape)

    def read(self) -> NDArray[np.float32]:
        """All frames, (n_frames, n_atoms, 3), mapped."""
        return np.load(self._path, mmap_mode="r")

    def _write_header(self, shape: tuple[int, ...]) -> None:
        # numpy pads headers so that the first axis may grow in place
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


@contextmanager
def position_store(path: str | os.PathLike[str] | None) -> Iterator[MemoryStore | FileStore]:
    """Where a reader puts positions: in memory, or in a file that is written whole or not at all.

    Parameters
    ----------
    path : path-like or None
        A ``.npy`` file; None is memory.
    """
    if path is None:
        yield MemoryStore()
        return
    with replacing(path) as file:
        store = FileStore(path, file)
        yield store
        store.finish()


def collect(
    blocks: Iterable[FrameBlock], stride: int, source: str, store: MemoryStore | FileStore
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None, int]:
    """Join blocks, keeping every ``stride``-th frame.

    Parameters
    ----------
    blocks : iterable of FrameBlock
    stride : int
    source : str
        For messages.
    store : MemoryStore or FileStore
        Takes the positions.

    Returns
    -------
    cells : ndarray of shape (n_frames, 3, 3) or None
    times : ndarray of shape (n_frames,) or None
    n_read : int
        Frames read, those that the stride left out included.
    """
    cells, times = [], []
    n_read = 0
    for block in blocks:
        kept = slice(-n_read % stride, None, stride)
        store.append(block.positions[kept])
        cells.append(None if block.cells is None else block.cells[kept])
        times.append(None if block.times is None else block.times[kept])
        n_read += len(block.positions)
    if n_read == 0:
        raise ValueError(f"path must hold at least one frame, got none in {source}")
    if len({cell is None for cell in cells}) > 1:
        raise ValueError(f"frames must be periodic throughout or not at all, got both in {source}")
    return _concatenate(cells), _concatenate(times), n_read


def _concatenate(arrays: list[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    present = [array for array in arrays if array is not None]
    return np.concatenate(present) if len(present) == len(arrays) else None
