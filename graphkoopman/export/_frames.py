"""What the writers share: `LabelledFrame`, `labelled_frames`.

An atom of a target has the target's number, most probable state and probabilities; the others have
-1, -1 and zeros.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from graphkoopman.probabilities import TargetRun

__all__ = ["LabelledFrame", "labelled_frames", "standard_frame", "symbols_of"]

Array = NDArray[np.float64]

NO_TARGET = -1


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """One frame with the states of its atoms.

    Attributes
    ----------
    run, frame : int
        Number of the trajectory, and of the frame in it.
    time : float
        ps since the start of the run.
    positions : ndarray of shape (n_atoms, 3)
        Å, in the precision of the trajectory.
    cell : ndarray of shape (3, 3) or None
        Å.
    target, state : ndarray of shape (n_atoms,)
        int; -1 for atoms of no target.
    probs : ndarray of shape (n_atoms, n_states)
        Zero for atoms of no target.
    """

    run: int
    frame: int
    time: float
    positions: NDArray[np.floating]
    cell: Array | None
    target: NDArray[np.int64]
    state: NDArray[np.int64]
    probs: Array


def labelled_frames(runs: Sequence[TargetRun]) -> Iterator[LabelledFrame]:
    """All frames of all runs, one after the other."""
    for number, run in enumerate(runs):
        trajectory, atoms = run.trajectory, run.targets.atoms
        target = np.full(trajectory.n_atoms, NO_TARGET)
        target[atoms] = np.repeat(np.arange(run.n_targets), np.diff(run.targets.offsets))
        cells = trajectory.cells
        for frame in range(run.n_frames):
            own = np.asarray(run.probs[frame], dtype=np.float64)
            state = np.full(trajectory.n_atoms, NO_TARGET)
            state[atoms] = own.argmax(axis=1)[target[atoms]]
            probs = np.zeros((trajectory.n_atoms, run.n_states))
            probs[atoms] = own[target[atoms]]
            yield LabelledFrame(
                run=number,
                frame=trajectory.start + frame,
                time=(trajectory.start + frame) * trajectory.timestep,
                positions=trajectory.positions[frame],
                cell=None if cells is None else np.asarray(cells[frame]),
                target=target,
                state=state,
                probs=probs,
            )


def standard_frame(frame: LabelledFrame) -> tuple[NDArray[np.floating], Array | None]:
    """Positions and cell turned so that a is along x and b in the xy plane."""
    cell = frame.cell
    if cell is None or not np.any(np.triu(cell, 1)):
        return frame.positions, cell
    rotation, upper = np.linalg.qr(cell.T)
    rotation = rotation * np.sign(np.diagonal(upper))
    return frame.positions @ rotation, np.tril(cell @ rotation)


def symbols_of(run: TargetRun) -> list[str]:
    """Element symbol of every atom."""
    table = {
        int(n): md.element.Element.getByAtomicNumber(int(n)).symbol
        for n in np.unique(run.trajectory.species)
    }
    return [table[int(n)] for n in run.trajectory.species]
