"""Small systems and plain oracles that the tests of the structure layer share."""

import numpy as np

from graphkoopman.trajectories import Trajectory, minimum_image

ORTHORHOMBIC = np.diag([11.0, 12.0, 13.0])
# reduced, with angles far from 90 degrees and smallest height 9.84 Å
TRICLINIC = np.array([[12.0, 0.0, 0.0], [4.0, 11.0, 0.0], [-3.0, 5.0, 10.0]])
CELLS = {"orthorhombic": ORTHORHOMBIC, "triclinic": TRICLINIC}


def gas(cell, n_frames, species, seed=0, **kwargs):
    """Independent, uniformly distributed atoms in every frame."""
    rng = np.random.default_rng(seed)
    cells = np.broadcast_to(cell, (n_frames, 3, 3))
    positions = rng.random((n_frames, len(species), 3)) @ cells
    return Trajectory(positions, cell, species, timestep=1.0, **kwargs)


def random_probs(n_frames, n_targets, n_states, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(n_states), size=(n_frames, n_targets))


def distances_of(trajectory, frame, center, atoms):
    """Minimum-image distances of atoms from a point, by the 27-image search."""
    cell = None if trajectory.cells is None else trajectory.cells[frame]
    return np.linalg.norm(minimum_image(trajectory.positions[frame, atoms] - center, cell), axis=-1)


def radius_limit(cell):
    """Half the smallest distance between opposite faces."""
    volume = np.linalg.det(cell)
    areas = [np.linalg.norm(np.cross(cell[i - 1], cell[i - 2])) for i in range(3)]
    return 0.5 * volume / max(areas)
