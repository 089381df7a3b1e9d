"""Contiguous pieces of runs: `segments` cuts, `adjacent_runs` and `join_adjacent` undo it."""

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._steps import LongSteps, join_long_steps
from graphkoopman.trajectories._trajectory import Trajectory, as_trajectories
from graphkoopman.trajectories._validation import check_integer


def segments(traj: Trajectory, n: int) -> list[Trajectory]:
    """Cut a run into contiguous pieces that remember where they come from.

    Parameters
    ----------
    traj : Trajectory or mdtraj.Trajectory
    n : int
        Number of pieces; their lengths differ by one frame at most.

    Returns
    -------
    pieces : list of Trajectory
        Views with ``parent`` and ``start`` set. The parent's name comes from the content of the
        run, so that two calls agree; pieces of a piece keep the first parent.

    Raises
    ------
    ValueError
        For fewer frames than pieces.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman import Trajectory, segments
    >>> run = Trajectory(np.zeros((7, 1, 3)), None, [3], timestep=1.0)
    >>> [(piece.start, len(piece)) for piece in segments(run, 3)]
    [(0, 3), (3, 2), (5, 2)]
    """
    (run,) = as_trajectories(traj)
    n = check_integer(n, "n", 1)
    if n > run.n_frames:
        raise ValueError(
            f"n must not exceed the number of frames ({run.n_frames}), got {n}; cut fewer pieces"
        )
    if run.parent is None:
        run = run._with(parent=content_name(run))
    lengths = [len(piece) for piece in np.array_split(np.arange(run.n_frames), n)]
    edges = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    return [run[start:stop] for start, stop in itertools.pairwise(edges)]


def adjacent_runs(
    parents: Sequence[str | int | None], starts: Sequence[int], lengths: Sequence[int]
) -> list[list[int]]:
    """Which pieces follow each other without a gap.

    Parameters
    ----------
    parents : sequence of n_pieces names
        None is a piece without a parent: it joins nothing.
    starts, lengths : sequences of n_pieces ints
        Frame of the parent at which a piece begins, and its number of frames.

    Returns
    -------
    runs : list of list of int
        Indices of the pieces, in time order within a run; every piece is in exactly one run, and
        runs are ordered by their smallest index. Overlapping pieces stay apart.

    Examples
    --------
    >>> from graphkoopman.trajectories import adjacent_runs
    >>> adjacent_runs(["a", "a", "b", "a"], starts=[0, 20, 0, 10], lengths=[10, 5, 9, 10])
    [[0, 3, 1], [2]]
    """
    runs: list[list[int]] = []
    open_ends: dict[tuple[str | int, int], list[int]] = {}
    for i in sorted(range(len(starts)), key=lambda i: starts[i]):
        parent = parents[i]
        if parent is None:
            runs.append([i])
            continue
        run = open_ends.pop((parent, starts[i]), None)
        if run is None:
            run = []
            runs.append(run)
        run.append(i)
        open_ends[parent, starts[i] + lengths[i]] = run
    return sorted(runs, key=min)


def join_adjacent(pieces: Sequence[Trajectory]) -> list[Trajectory]:
    """Merge pieces of one run that follow each other, the inverse of `segments`.

    Parameters
    ----------
    pieces : sequence of Trajectory

    Returns
    -------
    trajectories : list of Trajectory
        In the order of `adjacent_runs`. Pieces with a neighbour are copied, others passed on.

    Raises
    ------
    ValueError
        If adjacent pieces of one parent differ in species or timestep.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman import Trajectory, segments
    >>> from graphkoopman.trajectories import join_adjacent
    >>> pieces = segments(Trajectory(np.zeros((9, 1, 3)), None, [3], timestep=1.0), 3)
    >>> [len(run) for run in join_adjacent([pieces[1], pieces[0]])]
    [6]
    """
    runs = adjacent_runs(
        [piece.parent for piece in pieces],
        [piece.start for piece in pieces],
        [len(piece) for piece in pieces],
    )
    return [_concatenate([pieces[i] for i in run]) for run in runs]


def _concatenate(pieces: list[Trajectory]) -> Trajectory:
    first = pieces[0]
    if len(pieces) == 1:
        return first
    for piece in pieces[1:]:
        if piece.timestep != first.timestep or not np.array_equal(piece.species, first.species):
            raise ValueError(
                f"pieces of one parent ({first.parent}) must have the same species and timestep, "
                f"got {first} and {piece}"
            )
        if (piece.cell is None) != (first.cell is None):
            raise ValueError(f"pieces of one parent ({first.parent}) must agree on having a cell")
        if piece.unwrapped != first.unwrapped:
            raise ValueError(f"pieces of one parent ({first.parent}) must agree on being unwrapped")
    return first._with(
        positions=np.concatenate([piece.positions for piece in pieces]),
        cell=joined_cell(pieces),
        long_steps=joined_long_steps(pieces),
    )


def joined_long_steps(pieces: list[Trajectory]) -> LongSteps | None:
    """What is known of steps in consecutive pieces; None unless it is known of all."""
    known = [piece.long_steps for piece in pieces if piece.long_steps is not None]
    if len(known) < len(pieces):
        return None
    starts = np.cumsum([0, *(len(piece) for piece in pieces[:-1])]).tolist()
    return join_long_steps(known, starts)


def joined_cell(pieces: list[Trajectory]) -> NDArray[np.float64] | None:
    """Cell of consecutive pieces: one, where all are the same."""
    cells = [piece.cell for piece in pieces if piece.cell is not None]
    if not cells:
        return None
    if cells[0].ndim == 2 and all(np.array_equal(cells[0], cell) for cell in cells):
        return cells[0]
    per_frame = [piece.cells for piece in pieces if piece.cells is not None]
    return np.concatenate(per_frame)


def content_name(traj: Trajectory) -> str:
    """A name that any two loads of the same run share."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(traj.positions.shape).encode())
    for array in (traj.species, traj.positions[0], traj.positions[-1]):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
