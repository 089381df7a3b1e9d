"""Local environments cut out of trajectories: `Environments`, `cut_environments`,
`environment_at`, `as_atoms`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman._optional import missing
from graphkoopman.neighbors import k_nearest
from graphkoopman.probabilities import ProbabilitiesLike, TargetRun, as_probabilities, pair_runs
from graphkoopman.trajectories import (
    TargetsLike,
    TrajectoriesLike,
    Trajectory,
    minimum_image,
    resolve_targets,
)

Array = NDArray[np.float64]

# Distances by the minimum image and by the neighbour search differ by rounding only.
SAME_DISTANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Environments:
    """Targets with their nearest neighbours.

    Attributes
    ----------
    positions : ndarray of shape (n_environments, n_atoms, 3)
        Å, relative to the first atom of the target. Atoms are the others of the target, in their
        order, and the neighbours by rising distance; the first atom is at the origin and left out.
    species : ndarray of shape (n_environments, n_atoms), int64
        Atomic numbers.
    probs : ndarray of shape (n_environments, n_states)
    own : ndarray of shape (n_own,), int64
        Atomic numbers of the target's atoms.
    """

    positions: Array
    species: NDArray[np.int64]
    probs: Array
    own: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def n_inner(self) -> int:
        """Atoms of the target beside the first."""
        return len(self.own) - 1


def cut_environments(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    n_neighbors: int,
    most: int,
    rng: np.random.Generator,
) -> Environments:
    """Environments of targets in frames chosen at random.

    Parameters
    ----------
    trajs, probs, targets
        See `graphkoopman.transport.transition_displacements`.
    n_neighbors : int
        Neighbours of the first atom of each target, its own atoms not counted.
    most : int
        Environments to cut out, about; all if there are fewer.
    rng : Generator
        Chooses the frames.

    Raises
    ------
    ValueError
        If targets are of different kinds.
    """
    runs = pair_runs(trajs, probs, targets)
    kinds = {_kind(run, k) for run in runs for k in range(run.n_targets)}
    if len(kinds) > 1:
        raise ValueError(
            "targets must all be of the same atoms in the same order for one decoder, got "
            f"{sorted(kinds)[:3]} (atomic numbers); fit one for each kind"
        )
    frames = [(run, frame) for run in runs for frame in range(run.n_frames)]
    per_frame = float(np.mean([run.n_targets for run in runs]))
    n_kept = min(len(frames), max(1, round(most / per_frame)))
    kept = np.sort(rng.choice(len(frames), size=n_kept, replace=False))
    parts = [_of_frame(run, frame, n_neighbors) for run, frame in (frames[i] for i in kept)]
    positions, species, chi = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Environments(positions, species, chi, np.array(min(kinds), dtype=np.int64))


def _kind(run: TargetRun, target: int) -> tuple[int, ...]:
    first, last = run.targets.offsets[target : target + 2]
    return tuple(run.trajectory.species[run.targets.atoms[first:last]].tolist())


def environment_at(
    trajectory: Trajectory, targets: TargetsLike, frame: int, target: int, n_neighbors: int
) -> tuple[Array, NDArray[np.int64]]:
    """Positions and atomic numbers of one environment, the first atom at the origin.

    Parameters
    ----------
    trajectory : Trajectory
    targets
        See `graphkoopman.trajectories.resolve_targets`.
    frame, target, n_neighbors : int

    Returns
    -------
    positions : ndarray of shape (n_atoms, 3)
        Å.
    species : ndarray of shape (n_atoms,)
    """
    atoms = resolve_targets(targets, trajectory).groups()[target][None]
    arms, members = _cut(trajectory, atoms, frame, n_neighbors)
    whole = np.concatenate([np.zeros((1, 3)), arms[0]])
    return whole, trajectory.species[np.concatenate([atoms[0, :1], members[0]])]


def as_atoms(environments: Iterable[tuple[Array, Any]], probs: Array) -> list[Any]:
    """Positions and atomic numbers as `ase.Atoms` that hold their probabilities."""
    try:
        import ase
    except ImportError as error:
        raise missing("ase", "a list of ase.Atoms") from error
    return [
        ase.Atoms(numbers=numbers, positions=points, info={"probs": row})
        for (points, numbers), row in zip(environments, probs, strict=True)
    ]


def _of_frame(
    run: TargetRun, frame: int, n_neighbors: int
) -> tuple[Array, NDArray[np.int64], Array]:
    """Positions, species and probabilities of all targets of a frame."""
    atoms = run.targets.atoms.reshape(run.n_targets, -1)
    arms, members = _cut(run.trajectory, atoms, frame, n_neighbors)
    return arms, run.trajectory.species[members], as_probabilities(run.probs[frame])


def _cut(
    trajectory: Trajectory, atoms: NDArray[np.int64], frame: int, n_neighbors: int
) -> tuple[Array, NDArray[np.int64]]:
    """Vectors from the first atom of targets (n, n_own) to the others and neighbours; indices."""
    positions = trajectory.positions[frame].astype(np.float64)
    cell = None if trajectory.cells is None else trajectory.cells[frame]
    n_own = atoms.shape[1]
    found, distances = k_nearest(positions, cell, n_neighbors + n_own - 1, centers=atoms[:, 0])
    # atoms of the target itself come first, whatever their distance
    is_other = ~(found[:, :, None] == atoms[:, None, 1:]).any(axis=2)
    order = np.argsort(~is_other, axis=1, kind="stable")[:, :n_neighbors]
    neighbors = np.take_along_axis(found, order, axis=1)
    lengths = np.take_along_axis(distances, order, axis=1)
    inner = _arms(positions, cell, atoms[:, :1], atoms[:, 1:])
    arms = _arms(positions, cell, atoms[:, :1], neighbors)
    if np.abs(np.linalg.norm(arms, axis=-1) - lengths).max() > SAME_DISTANCE:
        # other images than the nearest are among the neighbours
        neighbors, arms = _among_images(positions, cell, atoms, n_neighbors, lengths.max())
    return (
        np.concatenate([inner, arms], axis=1),
        np.concatenate([atoms[:, 1:], neighbors], axis=1),
    )


def _arms(positions: Array, cell: Array | None, centers: Any, members: Any) -> Array:
    """Vectors from centers (n, 1) to the nearest images of members (n, k), (n, k, 3) in Å."""
    arms = positions[members] - positions[centers]
    return arms if cell is None else minimum_image(arms, cell)


def _among_images(
    positions: Array, cell: Any, atoms: NDArray[np.int64], n_neighbors: int, reach: float
) -> tuple[NDArray[np.int64], Array]:
    """Neighbours in a cell so small that they are images of few atoms; indices and vectors."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    # the nearest image is within half the cell, the others whole cells from there
    counts = np.ceil(reach / heights + 0.5).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in counts), indexing="ij"), axis=-1)
    shifts = grid.reshape(-1, 3) @ cell
    neighbors = np.empty((len(atoms), n_neighbors), dtype=np.int64)
    arms = np.empty((len(atoms), n_neighbors, 3))
    everyone = np.arange(len(positions))[None]
    for k, own in enumerate(atoms):
        nearest = _arms(positions, cell, own[:1, None], everyone)[0]
        images = nearest[:, None] + shifts  # (n_atoms, n_images, 3)
        lengths = np.linalg.norm(images, axis=-1)
        lengths[own[1:], :] = np.inf
        lengths[own[0], lengths[own[0]] < SAME_DISTANCE] = np.inf
        order = np.argsort(lengths, axis=None)[:n_neighbors]
        neighbors[k], image = np.unravel_index(order, lengths.shape)
        arms[k] = images[neighbors[k], image]
    return neighbors, arms
