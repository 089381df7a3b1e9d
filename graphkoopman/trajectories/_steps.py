"""Steps between frames that a minimum image may mistake: `LongSteps`, `StepTracker`, `near_half`.

A minimum image is the true step only while that is shorter than half the way to the next image.
Where frames in between are known (a stride leaves them out), the steps that are longer are kept.
"""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._minimum_image import image_shift, reduce_cell

# Steps whose component along a lattice vector exceeds this share of it are as likely as not the
# images of steps beyond one half.
NEAR_HALF = 0.45
NEIGHBOURS = np.array(
    [n for n in itertools.product((-1, 0, 1), repeat=3) if n > (0, 0, 0)], dtype=float
)  # (13, 3), one of each pair of opposite lattice vectors around the origin


class LongStepWarning(UserWarning):
    """Steps between frames, or arms of molecules, come near half the shortest lattice vector."""


class LongSteps(NamedTuple):
    """Steps between stored frames that are not their minimum images.

    Attributes
    ----------
    frames : ndarray of shape (n,)
        Frame at which a step ends, ascending; 0 in a piece whose run goes on before it.
    atoms : ndarray of shape (n,)
    images : ndarray of shape (n, 3)
        Lattice vectors of that frame to add to the minimum image of the step.
    """

    frames: NDArray[np.int64]
    atoms: NDArray[np.int32]
    images: NDArray[np.int16]

    def of_frames(self, start: int, stop: int) -> "LongSteps":
        """Steps that end in frames ``start`` to ``stop`` - 1, counted from ``start``."""
        part = slice(*np.searchsorted(self.frames, [start, stop]))
        frames = self.frames[part] - start
        return LongSteps(frames, self.atoms[part], self.images[part])

    def of_atoms(self, atoms: NDArray[np.int64]) -> "LongSteps":
        """Steps of some atoms, in their order."""
        place = np.full(1 + max(atoms.max(), self.atoms.max(initial=0)), -1, dtype=np.int32)
        place[atoms] = np.arange(len(atoms))
        kept = place[self.atoms] >= 0
        return LongSteps(self.frames[kept], place[self.atoms[kept]], self.images[kept])

    def add_to(self, shifts: NDArray[np.float64], cells: NDArray[np.float64]) -> None:
        """Add their lattice vectors to the shifts of steps, (n_steps, n_atoms, 3) in Å.

        ``cells`` are those of the frames in which the steps end, the first of them in frame 0.
        """
        lattice = cells if cells.ndim == 2 else cells[self.frames]
        shifts[self.frames, self.atoms] += (self.images[:, None] @ lattice)[:, 0]


NO_LONG_STEPS = LongSteps(np.empty(0, np.int64), np.empty(0, np.int32), np.empty((0, 3), np.int16))


def join_long_steps(parts: list[LongSteps], starts: Iterable[int]) -> LongSteps:
    """Steps of ranges of one run, each counted from the frame at which it begins."""
    moved = [part._replace(frames=part.frames + k) for part, k in zip(parts, starts, strict=True)]
    return LongSteps(*(np.concatenate(column) for column in zip(*moved, strict=True)))


class StepTracker:
    """Follows atoms over all frames of a run of which every ``stride``-th is kept.

    Parameters
    ----------
    stride : int

    Attributes
    ----------
    reliable : bool
        Whether steps between all frames stay clear of half the cell so far.
    """

    def __init__(self, stride: int) -> None:
        self.reliable = True
        self._stride = stride
        self._n_read = 0
        self._last = np.empty((0, 0, 3))  # the latest frame, (1, n_atoms, 3)
        self._kept = np.empty((0, 0, 3))  # the latest that was kept
        self._since = np.empty((0, 3))  # lattice shifts since then, Å
        self._parts: list[LongSteps] = []

    def feed(
        self,
        positions: NDArray[np.floating],
        cells: NDArray[np.float64],
        known: LongSteps | None = None,
    ) -> None:
        """Take the next frames.

        Parameters
        ----------
        positions : ndarray of shape (n_frames, n_atoms, 3)
            Å.
        cells : ndarray of shape (3, 3) or (n_frames, 3, 3)
            Å.
        known : LongSteps or None
            Of these frames, the first of them but for the very first being 0; None is not known.
        """
        if len(positions) == 0 or not self.reliable:
            return
        block = positions.astype(np.float64)
        if self._n_read == 0:
            self._last, self._kept = block[:1], block[:1]
            self._since = np.zeros(block.shape[1:])
            self._n_read, block = 1, block[1:]
            cells = cells if cells.ndim == 2 else cells[1:]
        if len(block) == 0:
            return
        steps = np.diff(np.concatenate([self._last, block]), axis=0)
        shifts = image_shift(steps, cells)
        if known is not None:
            known.add_to(shifts, cells)
        elif near_half(steps + shifts, cells):
            self.reliable = False
            return
        np.cumsum(shifts, axis=0, out=shifts)
        shifts += self._since
        self._compare(block, shifts, cells)
        self._last = block[-1:]
        self._n_read += len(block)

    def _compare(
        self,
        block: NDArray[np.float64],
        shifts: NDArray[np.float64],
        cells: NDArray[np.float64],
    ) -> None:
        """Record where the sum of all steps since the last frame kept is no minimum image."""
        kept = np.arange(-self._n_read % self._stride, len(block), self._stride)
        if len(kept):
            ends, totals = np.concatenate([self._kept, block[kept]]), shifts[kept]
            since = np.diff(totals, axis=0, prepend=np.zeros((1, *totals.shape[1:])))
            own = cells if cells.ndim == 2 else cells[kept]
            excess = since - image_shift(np.diff(ends, axis=0), own)
            # cells that change in between leave fractions
            images = np.rint(excess @ np.linalg.inv(own))
            frames, atoms = np.nonzero(images.any(axis=2))
            first = (self._n_read + kept[0]) // self._stride
            self._parts.append(
                LongSteps(
                    frames + first,
                    atoms.astype(np.int32),
                    images[frames, atoms].astype(np.int16),
                )
            )
            self._kept = ends[-1:]
            self._since = shifts[-1] - totals[-1]
        else:
            self._since = shifts[-1]

    def long_steps(self) -> LongSteps | None:
        """What was found; None where steps between all frames come near half the cell already."""
        if not self.reliable:
            return None
        return join_long_steps([NO_LONG_STEPS, *self._parts], [0] * (1 + len(self._parts)))


def near_half(vectors: NDArray[np.float64], cells: NDArray[np.float64]) -> bool:
    """Whether minimum images come near half the way to the next image.

    Parameters
    ----------
    vectors : ndarray of shape (..., n, 3)
        Minimum images, Å.
    cells : ndarray of shape (3, 3) or (..., 3, 3)
        Å.
    """
    return bool(which_near_half(vectors, cells).any())


def which_near_half(vectors: NDArray[np.float64], cells: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`near_half` of every vector, (..., n)."""
    reduced = reduce_cell(cells)
    shortest = np.linalg.norm(reduced[..., 0, :], axis=-1)
    squares = np.einsum("...i,...i->...", vectors, vectors)
    near = squares > (NEAR_HALF * shortest[..., None]) ** 2
    where = np.nonzero(near)
    if len(where[0]) == 0:
        return near
    lattice = np.broadcast_to(NEIGHBOURS @ reduced, (*vectors.shape[:-2], 13, 3))[where[:-1]]
    # the plane half way to an image is at one half of this
    share = np.abs(np.einsum("nki,ni->nk", lattice, vectors[where]))
    share /= np.einsum("nki,nki->nk", lattice, lattice)
    near[where] = share.max(axis=1) > NEAR_HALF
    return near
