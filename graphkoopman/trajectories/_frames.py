"""Frames on their way from a reader to a trajectory: `position_store`, `collect`."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphkoopman.storage import replacing
from graphkoopman.trajectories._steps import StepTracker
from graphkoopman.trajectories.readers import FrameBlock

# Å; further out single precision loses more than 1e-4 Å
SINGLE_PRECISION_REACH = 1600.0


class Frames(NamedTuple):
    """What is known of the frames of a run beside their positions.

    Attributes
    ----------
    cells : ndarray of shape (n_kept, 3, 3) or None
        Lattice vectors of the frames that the stride keeps, Å.
    times, steps : ndarray of shape (n_read,) or None
        Times and step numbers of all frames, see `FrameBlock`.
    n_read : int
        Frames read, those that the stride left out included.
    """

    cells: NDArray[np.float64] | None
    times: NDArray[np.float64] | None
    steps: NDArray[np.number] | None
    n_read: int


class MemoryStore:
    """Positions in one array that grows."""

    def __init__(self, precision: type[np.floating] = np.float32) -> None:
        self._positions: NDArray[np.floating] = np.empty((0, 0, 3), dtype=precision)

    def append(self, positions: NDArray[np.floating]) -> None:
        """Add frames, in the precision that they need."""
        filled = len(self._positions)
        if _precision(positions) is np.float64 and self._positions.dtype == np.float32:
            self._positions = self._positions.astype(np.float64)
        # resizing in place moves no data where the system can extend the allocation: the peak
        # stays at one copy and a block
        self._positions.resize((filled + len(positions), *positions.shape[1:]), refcheck=False)
        self._positions[filled:] = positions

    def read(self) -> NDArray[np.floating]:
        """All frames, (n_frames, n_atoms, 3)."""
        return self._positions


class FileStore:
    """Positions in a ``.npy`` file that grows, mapped in the end."""

    def __init__(self, path: str | os.PathLike[str], file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._shape: tuple[int, ...] = (0, 0, 3)
        self._type = "<f4"

    def append(self, positions: NDArray[np.floating]) -> None:
        """Add frames, in the precision that the first ones need."""
        if self._shape[1] == 0:
            self._type = "<f8" if _precision(positions) is np.float64 else "<f4"
            self._write_header((0, *positions.shape[1:]))
        self._file.write(np.ascontiguousarray(positions, dtype=self._type).data)
        self._shape = (self._shape[0] + len(positions), *positions.shape[1:])

    def finish(self) -> None:
        """Say in the header how many frames there are."""
        self._file.seek(0)
        self._write_header(self._shape)

    def read(self) -> NDArray[np.floating]:
        """All frames, (n_frames, n_atoms, 3), mapped."""
        return np.load(self._path, mmap_mode="r")

    def _write_header(self, shape: tuple[int, ...]) -> None:
        # numpy pads headers so that the first axis may grow in place
        header = {"descr": self._type, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


@contextmanager
def position_store(
    path: str | os.PathLike[str] | None, precision: type[np.floating] = np.float32
) -> Iterator[MemoryStore | FileStore]:
    """Where a reader puts positions: in memory, or in a file that is written whole or not at all.

    Parameters
    ----------
    path : path-like or None
        A ``.npy`` file; None is memory.
    precision : type
        The least in which positions are kept in memory.
    """
    if path is None:
        yield MemoryStore(precision)
        return
    with replacing(path) as file:
        store = FileStore(path, file)
        yield store
        store.finish()


def collect(
    blocks: Iterable[FrameBlock],
    stride: int,
    source: str,
    store: MemoryStore | FileStore,
    skip: int = 0,
    tracker: StepTracker | None = None,
) -> Frames:
    """Join blocks, keeping every ``stride``-th frame.

    Parameters
    ----------
    blocks : iterable of FrameBlock
    stride : int
    source : str
        For messages.
    store : MemoryStore or FileStore
        Takes the positions.
    skip : int
        Frames left out at the beginning.
    tracker : StepTracker or None
        Follows the atoms of a periodic run through all frames after these.
    """
    cells, times, steps = [], [], []
    n_read = 0
    for block in blocks:
        begin = max(0, skip - n_read)
        kept = slice(begin or (skip - n_read) % stride, None, stride)
        store.append(block.positions[kept])
        if tracker is not None and block.cells is not None:
            constant = np.array_equal(
                block.cells, np.broadcast_to(block.cells[0], block.cells.shape)
            )
            tracker.feed(
                block.positions[begin:], block.cells[0] if constant else block.cells[begin:]
            )
        cells.append(None if block.cells is None else block.cells[kept])
        times.append(block.times)
        steps.append(block.steps)
        n_read += len(block.positions)
    if n_read == 0:
        raise ValueError(f"path must hold at least one frame, got none in {source}")
    if n_read <= skip:
        raise ValueError(f"skip must be < the {n_read} frames of {source}, got {skip}")
    return Frames(_concatenate(cells), _concatenate(times), _concatenate(steps), n_read)


def _concatenate(arrays: list[Any]) -> Any:
    present = [array for array in arrays if array is not None]
    return np.concatenate(present) if len(present) == len(arrays) else None


def _precision(positions: NDArray[np.floating]) -> type[np.floating]:
    """Single, unless positions of double precision are so far out that it would be lost."""
    if positions.dtype != np.float64 or positions.size == 0:
        return np.float32
    return np.float64 if np.abs(positions).max() > SINGLE_PRECISION_REACH else np.float32
