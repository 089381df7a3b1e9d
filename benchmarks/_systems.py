"""The four systems of the speed benchmarks: toy, interface, electrolyte, crystal.

Random but alike to what they are named after: jittered lattices of the real density that diffuse,
since what a step costs depends on the graphs alone. Public: :class:`System`, :func:`system`,
:data:`SYSTEMS`.
"""

from dataclasses import dataclass

import numpy as np

from graphkoopman import Trajectory
from graphkoopman.graphs._search import SHELL_WIDTH
from graphkoopman.neighbors import k_nearest

STEP = 0.05  # Å per frame and direction
LITHIUM, OXYGEN, SULPHUR, CARBON = 3, 8, 16, 6


@dataclass(frozen=True, eq=False)
class System:
    """A trajectory and what is asked of it.

    Attributes
    ----------
    name : str
    trajectory : Trajectory
        Its ``targets`` are single atoms.
    n_neighbors : int
    """

    name: str
    trajectory: Trajectory
    n_neighbors: int


def system(name: str, n_frames: int, *, scale: int = 1, n_targets: int | None = None) -> System:
    """One of :data:`SYSTEMS`.

    Parameters
    ----------
    name : str
    n_frames : int
    scale : int
        Times as many atoms, at the same density and with the same number of targets.
    n_targets : int or None
        In place of the system's own number.
    """
    cell, sites, species, own_targets, n_neighbors = SYSTEMS[name]
    shape = (sites[0] * scale, *sites[1:])
    cell = cell * np.array([[scale], [1], [1]])
    rng = np.random.default_rng(0)
    fractions = _sites(shape) if name != "toy" else _toy()
    n_atoms = len(fractions)
    n_targets = n_targets or own_targets
    targets = np.sort(rng.permutation(n_atoms)[:n_targets])
    if name == "crystal":
        targets = np.arange(0, n_atoms, n_atoms // n_targets)[:n_targets]
    if name == "toy":
        targets = np.array([4])
    labels = np.array(species)[rng.integers(len(species), size=n_atoms)]
    if name == "toy":
        labels[:] = SULPHUR
    labels[targets] = LITHIUM
    jitter = 0.25 / np.array(shape) if name != "toy" else 0.02
    frame = ((fractions + rng.uniform(-jitter, jitter, (n_atoms, 3))) @ cell).astype(np.float32)
    frames: list[np.ndarray] = []
    while len(frames) < n_frames:
        if name != "toy" or not _cuts_shell(frame, cell, n_neighbors):
            frames.append(frame)
        frame = frame + STEP * rng.standard_normal((n_atoms, 3)).astype(np.float32)
    positions = np.stack(frames)
    run = Trajectory(positions, cell, labels, timestep=1.0, targets=targets)
    return System(name, run, n_neighbors)


def _cuts_shell(frame: np.ndarray, cell: np.ndarray, n_neighbors: int) -> bool:
    """Whether M ends among equal distances, those of an atom's own images in a small cell.

    Graphs take such a shell whole; the plain network, which takes M, would see another graph.
    """
    distances = k_nearest(frame, cell, n_neighbors + 1)[1]
    return bool((distances[:, -1] - distances[:, -2] < 2.0 * SHELL_WIDTH).any())


def _sites(shape: tuple[int, ...]) -> np.ndarray:
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return (grid.reshape(-1, 3) + 0.5) / shape


def _toy() -> np.ndarray:
    """Four sulphur atoms on an FCC lattice and one lithium in an octahedral hole."""
    return np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0], [0.5, 0.5, 0.5]])


_TRICLINIC = np.array([[34.0, 0.0, 0.0], [10.0, 36.0, 0.0], [-7.0, 9.0, 44.0]])
# cell / Å, sites per axis, species, targets, M
SYSTEMS = {
    "toy": (6.5 * np.eye(3), (5, 1, 1), (SULPHUR,), 1, 12),
    "interface": (np.diag([27.1, 27.1, 27.1]), (10, 10, 10), (14, 79), 200, 20),
    "electrolyte": (np.diag([40.0, 43.0, 46.5]), (20, 20, 10), (CARBON, OXYGEN, 1), 50, 20),
    "crystal": (_TRICLINIC, (12, 14, 16), (15, SULPHUR), 1152, 20),
}
