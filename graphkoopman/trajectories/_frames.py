"""`FrameBlock`, the currency of the readers, and `collect`, which gathers blocks in one array."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


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


def collect(blocks: Iterable[FrameBlock], stride: int, source: str) -> tuple[FrameBlock, int]:
    """Join blocks, keeping every ``stride``-th frame.

    Returns
    -------
    frames : FrameBlock
        Positions in single precision.
    n_read : int
        Frames read, those that the stride left out included.
    """
    positions = np.empty((0, 0, 3), dtype=np.float32)
    cells, times = [], []
    n_read = 0
    for block in blocks:
        n_new, n_atoms = block.positions.shape[:2]
        kept = slice(-n_read % stride, None, stride)
        filled = len(positions)
        # resizing in place moves no data where the system can extend the allocation: the peak
        # stays at one copy and a block
        n_kept = len(range(-n_read % stride, n_new, stride))
        positions.resize((filled + n_kept, n_atoms, 3), refcheck=False)
        positions[filled:] = block.positions[kept]
        cells.append(None if block.cells is None else block.cells[kept])
        times.append(None if block.times is None else block.times[kept])
        n_read += n_new
    if n_read == 0:
        raise ValueError(f"path must hold at least one frame, got none in {source}")
    if len({cell is None for cell in cells}) > 1:
        raise ValueError(f"frames must be periodic throughout or not at all, got both in {source}")
    return FrameBlock(positions, _concatenate(cells), _concatenate(times)), n_read


def _concatenate(arrays: list[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    present = [array for array in arrays if array is not None]
    return np.concatenate(present) if len(present) == len(arrays) else None
