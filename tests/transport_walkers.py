"""Systems whose transport is known: random walkers, and hoppers on a lattice of two site types."""

from types import SimpleNamespace

import numpy as np

from graphkoopman.trajectories import Trajectory

BOX = np.eye(3) * 12.0
TRICLINIC = np.array([[11.0, 0.0, 0.0], [3.0, 10.0, 0.0], [-2.0, 4.0, 12.0]])
TIMESTEP = 0.5


def random_walks(diffusion, n_frames, rng, timestep=TIMESTEP):
    """Brownian paths (n_frames, n, 3) with the diffusion coefficients of `diffusion` in Å²/ps."""
    width = np.sqrt(2.0 * np.asarray(diffusion, float) * timestep)
    steps = rng.normal(size=(n_frames, len(width), 3)) * width[:, None]
    return np.cumsum(steps, axis=0)


def wrap(positions, cell):
    fractional = positions @ np.linalg.inv(cell)
    return (fractional - np.floor(fractional)) @ cell


def lithium(paths, cell=BOX, timestep=TIMESTEP, **options):
    """Paths of Li alone, wrapped."""
    species = np.full(paths.shape[1], 3)
    return Trajectory(wrap(paths, cell), cell, species, timestep=timestep, **options)


def ones(paths, n_states=1):
    return np.full((*paths.shape[:2], n_states), 1.0 / n_states)


def lattice_hopper(n_frames, n_targets, rng, leave=(0.05, 0.15), step=2.0):
    """Sites A and B alternate along every axis; each hop goes to a neighbour of the other type.

    Returns paths (n_frames, n_targets, 3), labels, and the exact D in Å²/ps: the mean number of
    hops per frame is Σ π_i leave_i, each of length `step` in a random direction.
    """
    labels = np.empty((n_frames, n_targets), dtype=int)
    populations = np.array(leave)[::-1] / np.sum(leave)
    labels[0] = rng.random(n_targets) < populations[1]
    hops = np.zeros((n_frames, n_targets, 3))
    for t in range(1, n_frames):
        moves = rng.random(n_targets) < np.array(leave)[labels[t - 1]]
        labels[t] = np.where(moves, 1 - labels[t - 1], labels[t - 1])
        axis = rng.integers(3, size=n_targets)
        sign = rng.choice([-1.0, 1.0], size=n_targets)
        hops[t, np.arange(n_targets), axis] = np.where(moves, sign * step, 0.0)
    diffusion = (populations @ leave) * step**2 / (6.0 * TIMESTEP)
    return np.cumsum(hops, axis=0), labels, diffusion


def counted_model(labels, lagtime, n_states=2):
    """π and K of exactly the pairs of frames that the transport analyses see."""
    counts = np.zeros((n_states, n_states))
    np.add.at(counts, (labels[:-lagtime].ravel(), labels[lagtime:].ravel()), 1)
    populations = counts.sum(axis=1)
    return SimpleNamespace(
        koopman_matrix=counts / populations[:, None],
        stationary_distribution=populations / populations.sum(),
        lagtime=lagtime,
    )


def one_state(lagtime):
    return SimpleNamespace(
        koopman_matrix=np.ones((1, 1)), stationary_distribution=np.ones(1), lagtime=lagtime
    )
