"""Runs that were continued in another file: `find_seams`, `Seam`, `join_runs`, `concatenate`.

Two files are consecutive pieces of one run if atoms move from the end of one to the beginning of
the next as far as they do from frame to frame. Where they move as far between any two frames, as
in a gas that is stored seldom, nothing can be told from positions.
"""

import itertools
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._frames import position_store
from graphkoopman.trajectories._like import TrajectoriesLike
from graphkoopman.trajectories._minimum_image import image_shift, minimum_image
from graphkoopman.trajectories._segments import joined_cell, joined_long_steps
from graphkoopman.trajectories._steps import LongStepWarning, near_half
from graphkoopman.trajectories._trajectory import Trajectory, as_trajectories

WINDOW = 20  # steps at each side that a seam is compared with
# The mean step of the few atoms of a kind scatters by tens of percent from frame to frame, that of
# many by little: the largest is exceeded by no more than so many standard deviations or percent.
SCATTER = 1.5
SPREAD, MARGIN, FEW = 3.0, 0.05, 10
# A frame that was written twice differs by rounding only.
REPEATED = 0.02
OTHER_CELL = 0.05


@dataclass(frozen=True)
class Seam:
    """What is between two trajectories.

    Attributes
    ----------
    follows : bool or None
        Whether the second continues the first; None where that cannot be told.
    repeated : bool
        Whether the first frame of the second is the last of the first once more.
    across, inside : float
        Mean distance in Å that atoms of the most telling species move across the seam, and at
        most from frame to frame beside it; NaN where they were not compared.
    reason : str
        Why, in words.
    """

    follows: bool | None
    repeated: bool = False
    across: float = np.nan
    inside: float = np.nan
    reason: str = ""


def find_seams(trajs: TrajectoriesLike) -> list[Seam]:
    """Whether each trajectory continues the one before it.

    Parameters
    ----------
    trajs : list of Trajectory, or what `as_trajectories` takes
        Runs in the order of time.

    Returns
    -------
    seams : list of Seam
        One fewer than trajectories.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman import Trajectory
    >>> from graphkoopman.trajectories import find_seams
    >>> steps = np.random.default_rng(0).normal(0, 0.1, (200, 30, 3))
    >>> walk = Trajectory(np.cumsum(steps, axis=0), None, [3] * 30, timestep=1.0)
    >>> [seam.follows for seam in find_seams([walk[:80], walk[80:], walk[:80]])]
    [True, False]
    """
    return [_seam(*pair) for pair in itertools.pairwise(as_trajectories(trajs))]


def join_runs(trajs: TrajectoriesLike, *, join: bool | None = None) -> list[Trajectory]:
    """Join trajectories that continue each other, so that no pair of frames is lost between them.

    Parameters
    ----------
    trajs : list of Trajectory, or what `as_trajectories` takes
        Runs in the order of time.
    join : bool or None
        None joins where `find_seams` says so; True joins all; False none.

    Returns
    -------
    runs : list of Trajectory
        Runs that continue another one are copied, others are returned as they are.

    Raises
    ------
    ValueError
        If trajectories that are to be joined differ in species, timestep or periodicity.
    """
    items = as_trajectories(trajs)
    if join is not None and not isinstance(join, bool):
        raise TypeError(f"join must be True, False or None, got {join!r}")
    if join is False:
        return items
    groups = group_runs(items, find_seams(items), join)
    return [concatenate(pieces, seams) for pieces, seams in groups]


def group_runs(
    items: Sequence[Trajectory], seams: Sequence[Seam], join: bool | None = None
) -> list[tuple[list[Trajectory], list[Seam]]]:
    """Consecutive trajectories with the seams between them, cut where a run ends."""
    groups: list[tuple[list[Trajectory], list[Seam]]] = [([items[0]], [])]
    for item, seam in zip(items[1:], seams, strict=True):
        if join or seam.follows:
            groups[-1][0].append(item)
            groups[-1][1].append(seam)
        else:
            groups.append(([item], []))
    return groups


def concatenate(
    pieces: Sequence[Trajectory],
    seams: Sequence[Seam],
    positions_file: str | os.PathLike[str] | None = None,
) -> Trajectory:
    """Consecutive pieces as one trajectory, a frame that was written twice only once.

    Parameters
    ----------
    pieces : sequence of Trajectory
    seams : sequence of Seam
        Between them.
    positions_file : path-like or None
        A ``.npy`` file that positions are written to piece by piece and mapped from; None is
        memory.

    Raises
    ------
    ValueError
        If pieces differ in species, timestep, periodicity or in being unwrapped.
    """
    if len(pieces) == 1:
        return pieces[0]
    kept = [pieces[0]]
    for piece, seam in zip(pieces[1:], seams, strict=True):
        if problem := _difference(kept[0], piece):
            raise ValueError(f"trajectories that are joined must be of one run, got {problem}")
        if seam.repeated and len(piece) == 1:
            continue
        kept.append(_continued(kept[-1], piece[1:] if seam.repeated else piece))
        _warn_of_long_seam(kept[-2], kept[-1])
    return kept[0]._with(
        positions=_stacked([piece.positions for piece in kept], positions_file),
        cell=joined_cell(kept),
        long_steps=joined_long_steps(kept),
        parent=None,
        start=0,
    )


def _warn_of_long_seam(before: Trajectory, after: Trajectory) -> None:
    """Frames that a stride left out are followed inside the pieces, but not between them."""
    if before.long_steps is None or after.long_steps is None or after.cells is None:
        return
    step = after.positions[:1].astype(np.float64) - before.positions[-1:]
    if near_half(minimum_image(step, after.cells[:1]), after.cells[:1]):
        warnings.warn(
            "steps from one piece to the next come near half the shortest lattice vector, and "
            "the frames between are not known: some may be taken for shorter ones through the "
            "boundary; join the pieces before striding",
            LongStepWarning,
            stacklevel=3,
        )


def _stacked(
    parts: list[NDArray[np.floating]], positions_file: str | os.PathLike[str] | None
) -> NDArray[np.floating]:
    if positions_file is None:
        return np.concatenate(parts)
    with position_store(positions_file) as store:
        for part in parts:
            store.append(part)
    return store.read()


def _seam(before: Trajectory, after: Trajectory) -> Seam:
    if problem := _difference(before, after):
        return Seam(False, reason=problem)
    numbers = np.unique(before.species)
    inside = np.concatenate(
        [_steps(before[-WINDOW - 1 :], numbers, 1), _steps(after[: WINDOW + 1], numbers, 1)]
    )
    across = _moved(before[-1:], after[:1], numbers)
    if len(inside) == 0:
        return Seam(None, reason="each of them is a single frame")
    usual, largest = inside.mean(axis=0), inside.max(axis=0)
    if (across <= REPEATED * usual).all() and inside.any():
        return Seam(True, True, float(across.max()), float(largest.max()), "a frame is repeated")
    far = np.concatenate(
        [_steps(item, numbers, len(item) - 1) for item in (before, after) if len(item) > 1]
    ).max(axis=0)
    # how much further atoms get in a run than in a frame, and across the seam
    reach, jump = (_ratio(moved, largest) for moved in (far, across))
    limit = np.where(reach < SCATTER, SCATTER, np.minimum(SCATTER, np.sqrt(reach)))
    if len(inside) >= FEW:
        spread = 1 + np.maximum(SPREAD * inside.std(axis=0), MARGIN * usual) / largest
        limit = np.minimum(limit, spread)
    shown = int(np.argmax(jump - limit if (jump > limit).any() else reach))
    moved = float(across[shown]), float(largest[shown])
    lapse = _frames_between(before, after)
    if (jump > limit).any():
        return Seam(False, False, *moved, "atoms jump")
    if lapse is not None and lapse > 1.5:
        return Seam(False, False, *moved, f"its times begin {lapse:.3g} frames later")
    if lapse is not None and lapse > 0.5:
        return Seam(True, False, *moved, "times and atoms go on")
    if reach.max() < SCATTER:
        return Seam(None, False, *moved, "atoms move as far in a frame as in the whole run")
    return Seam(True, False, *moved, "atoms move on")


def _frames_between(before: Trajectory, after: Trajectory) -> float | None:
    """Frames from the last of one file to the first of the next by their times.

    None where a file has none, or where they begin anew.
    """
    one, other = before.source, after.source
    if one is None or other is None or one.times is None or other.times is None:
        return None
    if "times" not in (one.timestep, other.timestep) or one.n_stored < 2:
        return None
    spacing = (one.times[1] - one.times[0]) / (one.n_stored - 1)
    lapse = (other.times[0] - one.times[1]) / spacing
    return lapse if lapse > -0.5 else None


def _ratio(moved: NDArray[np.float64], largest: NDArray[np.float64]) -> NDArray[np.float64]:
    still = np.where(moved > 0, np.inf, 1.0)  # atoms that never move, unless they do here
    return np.divide(moved, largest, out=still, where=largest > 0)


def _difference(before: Trajectory, after: Trajectory) -> str:
    """What tells that two trajectories are not of one run; empty where nothing does."""
    if not np.array_equal(before.species, after.species):
        return "other atoms"
    if abs(before.timestep - after.timestep) > 1e-3 * before.timestep:
        return f"timesteps of {before.timestep:g} and {after.timestep:g} ps"
    if (before.cell is None) != (after.cell is None):
        return "one with a cell and one without"
    if before.unwrapped != after.unwrapped:
        return "one that is unwrapped and one that is not"
    if before.cells is not None and after.cells is not None:
        last, first = before.cells[-1], after.cells[0]
        lengths = np.linalg.norm(last, axis=1), np.linalg.norm(first, axis=1)
        if np.abs(lengths[0] / lengths[1] - 1).max() > OTHER_CELL:
            return "cells of another size"
    return ""


def _steps(piece: Trajectory, numbers: NDArray[np.int64], lag: int) -> NDArray[np.float64]:
    """Mean displacement of each species over a lag, (n_frames - lag, n_species) in Å."""
    if not 0 < lag < len(piece):
        return np.empty((0, len(numbers)))
    frames = [piece[k : k + 1] for k in range(len(piece))]
    return np.array([_moved(*pair, numbers) for pair in zip(frames, frames[lag:], strict=False)])


def _moved(one: Trajectory, other: Trajectory, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean distance between the atoms of two frames, for each species."""
    vectors = other.positions[0].astype(np.float64) - one.positions[0]
    cell = None if other.cells is None else other.cells[0]
    lengths = np.linalg.norm(minimum_image(vectors, cell), axis=1)
    return np.array([lengths[one.species == number].mean() for number in numbers])


def _continued(before: Trajectory, piece: Trajectory) -> Trajectory:
    """A piece whose unwrapped positions go on from the last ones, not from wrapped ones again."""
    if not piece.unwrapped or before.cells is None or piece.cells is None:
        return piece
    jump = piece.positions[0].astype(np.float64) - before.positions[-1]
    shift = image_shift(jump, piece.cells[0])
    images = np.rint(shift @ np.linalg.inv(piece.cells[0]))
    if not images.any():
        return piece
    return piece._with(positions=piece.positions + images @ piece.cells)
