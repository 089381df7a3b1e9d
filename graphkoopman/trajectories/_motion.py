"""`Motion`: what happens from frame to frame, found in one pass over a trajectory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._minimum_image import image_shift
from graphkoopman.trajectories._species import species_mass
from graphkoopman.trajectories._steps import which_near_half
from graphkoopman.trajectories._trajectory import Trajectory
from graphkoopman.trajectories._validation import frame_chunks

STRETCHES = 5


@dataclass(frozen=True)
class Motion:
    """Steps between consecutive frames.

    Attributes
    ----------
    n_steps : int
        Pairs of frames that were looked at.
    largest_step : float
        Å; and the frame at which it ends, and its atom.
    largest_step_at : tuple of int
    n_near_half : int
        Steps that come near half the cell.
    n_crossings : int
        Steps that go through a boundary of the cell.
    n_repeated : int
        Frames equal to the one before.
    n_still : int
        Atoms that never move.
    drift : float
        Distance that the centre of mass moves, Å, in the frames looked at.
    """

    n_steps: int = 0
    largest_step: float = 0.0
    largest_step_at: tuple[int, int] = (0, 0)
    n_near_half: int = 0
    n_crossings: int = 0
    n_repeated: int = 0
    n_still: int = 0
    drift: float = 0.0


def motion_of(trajectory: Trajectory, max_frames: int | None = None) -> Motion:
    """Look at the steps of a trajectory, or of stretches of so many frames in all."""
    numbers, kinds = np.unique(trajectory.species, return_inverse=True)
    masses = np.array([species_mass(number) for number in numbers])[kinds]
    weights = masses / masses.sum()
    moved = np.zeros(trajectory.n_atoms, dtype=bool)
    drift = np.zeros(3)
    largest, at = 0.0, (0, 0)
    counts = np.zeros(4, dtype=np.int64)  # steps, near half, crossings, repeated
    for start, stop in _ranges(trajectory, max_frames):
        block = trajectory.positions[start - 1 : stop].astype(np.float64)
        steps = np.diff(block, axis=0)
        repeated = ~steps.any(axis=(1, 2))
        if trajectory.cell is not None and not trajectory.unwrapped:
            cells = trajectory.cell if trajectory.cell.ndim == 2 else trajectory.cell[start:stop]
            shifts = image_shift(steps, cells)
            if trajectory.long_steps is not None:
                trajectory.long_steps.of_frames(start, stop).add_to(shifts, cells)
            counts[2] += np.count_nonzero(shifts.any(axis=2))
            steps += shifts
            if trajectory.long_steps is None:
                counts[1] += np.count_nonzero(which_near_half(steps, cells))
        counts[0] += len(steps)
        counts[3] += np.count_nonzero(repeated)
        squares = np.einsum("fai,fai->fa", steps, steps)
        moved |= squares.any(axis=0)
        frame, atom = np.unravel_index(int(squares.argmax()), squares.shape)
        if squares[frame, atom] > largest**2:
            largest, at = float(np.sqrt(squares[frame, atom])), (start + int(frame), int(atom))
        drift += np.einsum("fax,a->x", steps, weights)
    n_still = int(np.count_nonzero(~moved)) if counts[0] else 0
    n_steps, n_near, n_crossings, n_repeated = counts.tolist()
    length = float(np.linalg.norm(drift))
    return Motion(n_steps, largest, at, n_near, n_crossings, n_repeated, n_still, length)


def _ranges(trajectory: Trajectory, max_frames: int | None) -> Iterator[tuple[int, int]]:
    """Frames whose steps are looked at: all, or a few stretches of the run."""
    n_frames = trajectory.n_frames
    if max_frames is None or n_frames <= max_frames:
        yield from frame_chunks(n_frames, trajectory.n_atoms, first=1)
        return
    length = max(1, max_frames // STRETCHES)
    for first in np.linspace(1, n_frames - length, STRETCHES).astype(int).tolist():
        yield from frame_chunks(first + length, trajectory.n_atoms, first=first)


def inside_cell(positions: NDArray[np.floating], cell: NDArray[np.float64]) -> bool:
    """Whether all atoms of a frame are in the parallelepiped of the cell, to rounding."""
    fractions = positions.astype(np.float64) @ np.linalg.inv(cell)
    return bool(((fractions > -1e-4) & (fractions < 1 + 1e-4)).all())
