"""Representative neighbourhoods of a state, Fig. 4b: `Representative`, `representative_frames`.

`select_representatives` chooses frames and targets, `representative_frames` cuts them out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from graphkoopman.checks import check_integer
from graphkoopman.probabilities import ProbabilitiesLike
from graphkoopman.structure._inputs import StructureRun, check_radius, check_runs
from graphkoopman.trajectories import (
    TargetsLike,
    TrajectoriesLike,
    Trajectory,
    height_limit,
    minimum_image,
    whole_targets,
)

__all__ = ["Representative", "representative_frames", "select_representatives"]

# Among frames this close to the best, spread over targets and time decides.
NEARLY_BEST = 0.9


@dataclass(frozen=True)
class Representative:
    """A target in a frame.

    Attributes
    ----------
    trajectory, frame, target : int
        Indices of the trajectory, of the frame in it, and of the target.
    probability : float
        Probability of the state there.
    """

    trajectory: int
    frame: int
    target: int
    probability: float


def select_representatives(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    state: int,
    *,
    n: int = 1,
) -> list[Representative]:
    """Targets and frames that show a state most clearly, spread over targets and time.

    Each trajectory is cut into about n stretches of time; the clearest frame of each target in
    each stretch is a candidate. Candidates within 10 % of the highest probability come first, and
    among them those whose target and stretch have been used least.

    Parameters
    ----------
    trajs, probs, targets
        As for `state_rdf`; the trajectories need no cell.
    state : int
    n : int
        Number of picks.

    Returns
    -------
    picks : list of n Representative
        In the order of choice.

    Raises
    ------
    ValueError
        If the state is nowhere the most probable one, or in fewer frames than n.
    """
    runs = check_runs(trajs, probs, targets)
    return _select(runs, _check_state(runs, state), check_integer(n, "n", 1))


def representative_frames(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    state: int,
    *,
    n: int = 1,
    radius: float = 5.0,
) -> list[md.Trajectory]:
    """Neighbourhoods of targets that show a state most clearly.

    Parameters
    ----------
    trajs, probs, targets
        As for `state_rdf`; the trajectories need no cell. A topology is kept where there is one.
    state : int
    n : int
        Number of neighbourhoods.
    radius : float
        Å; atoms nearer to the centre of the target are shown, and all atoms of the target. At
        most half the smallest height of the cells they are cut from.

    Returns
    -------
    neighbourhoods : list of n mdtraj.Trajectory
        One frame each, as they differ in their atoms; whole across the boundary, with the target
        at the origin and without a cell. ``time`` is that of the frame since the start of its run,
        ps. `select_representatives` tells which trajectory, frame and target each one is.

    Raises
    ------
    ValueError
        If the state is nowhere the most probable one or in fewer frames than n, or the radius is
        beyond the limit of the cell.

    Notes
    -----
    Molecules that reach beyond the radius are cut there. Axes are those of the trajectory.

    References
    ----------
    .. [1] Xie et al., Nat. Commun. 10, 2667 (2019), Fig. 4b.
    """
    runs = check_runs(trajs, probs, targets)
    picks = _select(runs, _check_state(runs, state), check_integer(n, "n", 1))
    return [_cut_out(runs[pick.trajectory], pick, radius) for pick in picks]


def _check_state(runs: Sequence[StructureRun], state: Any) -> int:
    state = check_integer(state, "state", 0)
    if state >= runs[0].n_states:
        raise ValueError(f"state must be < n_states ({runs[0].n_states}), got {state}")
    return state


def _select(runs: Sequence[StructureRun], state: int, n: int) -> list[Representative]:
    clear = [_clearness(run.probs, state) for run in runs]
    n_clear = sum(int(np.count_nonzero(values > 0)) for values in clear)
    if n_clear < n:
        highest = max(float(run.probs[..., state].max()) for run in runs)
        raise ValueError(
            f"n must not exceed the frames in which state {state} is the most probable one of a "
            f"target ({n_clear}, highest probability {highest:.3g}), got {n}; lower n, or use data "
            "that visit the state"
        )
    longest = max(len(run.probs) for run in runs)
    n_stretches = n
    while True:
        candidates = _candidates(clear, n_stretches)
        if len(candidates) >= n or n_stretches >= longest:
            break
        n_stretches *= 2
    return _spread(candidates, n)


def _clearness(probs: NDArray[np.floating], state: int) -> NDArray[np.floating]:
    """Probability of a state where it is the most probable one, zero elsewhere."""
    values = probs[..., state]
    return np.where(probs.argmax(axis=2) == state, values, 0.0)


def _candidates(
    clear: Sequence[NDArray[np.floating]], n_stretches: int
) -> list[tuple[Representative, int]]:
    """Clearest frame of each target in each stretch of time, with the stretch's number."""
    candidates = []
    number = 0
    for i, values in enumerate(clear):
        n_pieces = min(n_stretches, len(values))
        for stretch in np.array_split(np.arange(len(values)), n_pieces):
            best = values[stretch].argmax(axis=0)
            for target, frame in enumerate(stretch[best].tolist()):
                probability = float(values[frame, target])
                if probability > 0.0:
                    candidates.append((Representative(i, frame, target, probability), number))
            number += 1
    return candidates


def _spread(candidates: list[tuple[Representative, int]], n: int) -> list[Representative]:
    """Choose candidates one by one from the least used targets and stretches."""
    highest = max(pick.probability for pick, _ in candidates)
    remaining = list(candidates)
    picks: list[Representative] = []
    used_targets: dict[tuple[int, int], int] = {}
    used_stretches: dict[int, int] = {}

    def rank(candidate: tuple[Representative, int]) -> tuple[Any, ...]:
        pick, stretch = candidate
        return (
            pick.probability < NEARLY_BEST * highest,
            used_targets.get((pick.trajectory, pick.target), 0),
            used_stretches.get(stretch, 0),
            -pick.probability,
        )

    for _ in range(n):
        chosen = min(remaining, key=rank)
        remaining.remove(chosen)
        pick, stretch = chosen
        picks.append(pick)
        target = (pick.trajectory, pick.target)
        used_targets[target] = used_targets.get(target, 0) + 1
        used_stretches[stretch] = used_stretches.get(stretch, 0) + 1
    return picks


def _cut_out(run: StructureRun, pick: Representative, radius: float) -> md.Trajectory:
    trajectory, frame = run.trajectory, pick.frame
    radius = check_radius("radius", radius, height_limit(trajectory, slice(frame, frame + 1)))
    cell = None if trajectory.cells is None else trajectory.cells[frame]
    center = run.centers(frame, frame + 1)[0, pick.target]
    own = run.targets.groups()[pick.target]
    frame_positions = trajectory.positions[frame].astype(np.float64)
    arms = minimum_image(frame_positions - center, cell)
    # a molecule wider than half the cell keeps its own shape
    first = minimum_image(frame_positions[own[:1]] - center, cell)
    arms[own] = first + whole_targets(trajectory[frame : frame + 1], [own])[0]
    shown = np.linalg.norm(arms, axis=1) < radius
    shown[own] = True
    atoms = np.flatnonzero(shown)
    topology = trajectory.topology
    cut = Trajectory(
        arms[None, atoms],
        None,
        trajectory.species[atoms],
        timestep=trajectory.timestep,
        topology=None if topology is None else topology.subset(atoms),
    ).to_mdtraj()
    cut.time = np.array([(trajectory.start + frame) * trajectory.timestep])
    return cut
