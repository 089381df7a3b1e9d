"""Targets that switch between local geometries as a Markov chain prescribes.

Public: :func:`make_hopping`, :func:`make_arrangement`, :class:`Hopping`. Each target is the centre
of a cage of ligands, or a molecule; its geometry is the state of a continuous-time Markov chain and
is hidden under a new random rotation and white vibration in every frame. Lengths in Å, times in ps,
rates in 1/ps.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from graphkoopman.datasets._chains import (
    check_rate_matrix,
    check_visible,
    projected_transition_matrix,
    relaxation_timescales,
    sample_chain,
    stationary_distribution,
)
from graphkoopman.randomness import RandomState, as_generator
from graphkoopman.trajectories import Trajectory

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LITHIUM, CARBON, OXYGEN, FLUORINE, SULFUR, ARGON = 3, 6, 8, 9, 16, 18

SHORT, LONG = 2.2, 3.0  # ligand distances
CAGE_SPACING, CAGE_VIBRATION = 8.0, 0.1
BONDS = (1.3, 1.7)
END_TO_END = (1.4, 2.5)
MOLECULE_SPACING, MOLECULE_VIBRATION = 6.0, 0.05
MOLECULE_REACH = 1.5
# A square complex: ligands about the centre, and an atom of one of two kinds beyond each of them.
LIGAND, OUTER = 2.3, 3.8
COMPLEX_SPACING, COMPLEX_VIBRATION = 17.0, 0.15

# keeps the atoms of neighbouring units apart
CLEARANCE = 1.0
_FRAMES_PER_CHUNK = 4096


class _Unit(NamedTuple):
    """Geometries of one cage or molecule about its centre, and what suits them."""

    geometries: FloatArray  # (n_geometries, n_atoms, 3)
    species: IntArray  # (n_atoms,)
    reach: float  # largest distance of an atom from the centre
    spacing: float  # between grid points of the default cell
    vibration: float


@dataclass(frozen=True)
class Hopping:
    """A trajectory whose kinetics are known exactly.

    Attributes
    ----------
    trajectory : Trajectory
        Float32 positions in Å, wrapped atom by atom into the cell; its targets are the cage
        centres, or the three atoms of every molecule.
    labels : ndarray of shape (n_frames, n_targets)
        Markov state of every target.
    visible_labels : ndarray of shape (n_frames, n_targets)
        Geometry shown in that state; equal to ``labels`` when nothing is hidden.
    rate_matrix : ndarray of shape (n_states, n_states)
        Rates in 1/ps.
    visible : ndarray of shape (n_states,)
        Geometry shown in each Markov state.
    stationary_distribution : ndarray of shape (n_states,)
        Exact populations of the Markov states.
    timescales : ndarray of shape (n_states - 1,)
        Exact relaxation times in ps, slowest first.
    """

    trajectory: Trajectory
    labels: IntArray
    visible_labels: IntArray
    rate_matrix: FloatArray
    visible: IntArray
    stationary_distribution: FloatArray
    timescales: FloatArray

    @property
    def visible_populations(self) -> FloatArray:
        """Exact populations of the visible states, (n_visible,)."""
        membership = np.eye(self.visible.max() + 1)[self.visible]
        return self.stationary_distribution @ membership

    def visible_transition_matrix(self, lagtime: int) -> FloatArray:
        """Exact transition matrix between visible states at a lag.

        Parameters
        ----------
        lagtime
            Lag in frames.

        Returns
        -------
        ndarray of shape (n_visible, n_visible)
            See :func:`projected_transition_matrix`.
        """
        lag = lagtime * self.trajectory.timestep
        return projected_transition_matrix(self.rate_matrix, self.visible, lag)


def make_hopping(
    rate_matrix: ArrayLike,
    n_frames: int,
    *,
    n_targets: int = 8,
    timestep: float = 1.0,
    cell: ArrayLike | None = None,
    molecules: bool = False,
    n_ligands: int = 8,
    vibration: float | None = None,
    visible: ArrayLike | None = None,
    random_state: RandomState = None,
) -> Hopping:
    """Make a trajectory whose local states hop with known rates.

    The state of every target is an independent, stationary Markov chain with transition matrix
    expm(Q timestep) between frames, sampled exactly. In every frame the geometry of that state is
    rotated at random and every atom is displaced by Gaussian noise.

    Cages are Li among ``n_ligands`` S atoms at 2.2 Å or 3.0 Å; the number of short distances
    tells the state. Molecules are C-O-C with bonds of 1.3 Å or 1.7 Å and an end-to-end distance
    that tells the state, among Ar atoms.

    Parameters
    ----------
    rate_matrix : array-like of shape (n_states, n_states)
        Irreducible rate matrix in 1/ps; rows sum to zero.
    n_frames
        Number of frames.
    n_targets
        Number of cages or molecules, on a grid in the cell.
    timestep
        Picoseconds per frame.
    cell : array-like of shape (3, 3), optional
        Cell vectors as rows in Å. By default a cube with 8 Å (cages) or 6 Å (molecules) between
        grid points.
    molecules
        Make molecules instead of cages. About as many as lie on a face of the cell are cut by
        the periodic boundary.
    n_ligands
        Atoms around the centre of a cage, at least 2.
    vibration
        Standard deviation in Å of each coordinate of each atom; 0.1 for cages and 0.05 for
        molecules by default.
    visible : array-like of int of shape (n_states,), optional
        Geometry shown in each Markov state. States that share one look identical although they
        are left at different rates. By default all differ.
    random_state : int, RandomState, Generator or None
        Source of the noise; the same int gives the same trajectory.

    Returns
    -------
    Hopping
        Trajectory, true labels and exact kinetics.

    Raises
    ------
    ValueError
        If the rate matrix is not one, or the targets do not fit into the cell.

    Notes
    -----
    With the default vibration and up to five geometries, fewer than one frame in a thousand
    looks like another state. With more noise, or with ``visible``, the exact answer is the
    projected one, :func:`projected_transition_matrix`.

    Examples
    --------
    >>> from graphkoopman.datasets import chain_rates, make_hopping
    >>> data = make_hopping(chain_rates(2, slowest=50.0), 100, random_state=0)
    >>> data.labels.shape
    (100, 8)
    """
    _check_numbers(n_frames, n_targets, timestep, vibration)
    rates = check_rate_matrix(rate_matrix)
    mapping = check_visible(visible, len(rates))
    n_geometries = int(mapping.max()) + 1
    unit = _molecule(n_geometries) if molecules else _cage(n_geometries, n_ligands)
    return _hopping(
        unit, rates, mapping, n_frames, n_targets, timestep, cell, molecules, vibration,
        as_generator(random_state),
    )  # fmt: skip


def make_arrangement(
    rate_matrix: ArrayLike,
    n_frames: int,
    *,
    n_targets: int = 8,
    timestep: float = 1.0,
    cell: ArrayLike | None = None,
    vibration: float | None = None,
    random_state: RandomState = None,
) -> Hopping:
    """Make a trajectory whose states are arrangements, which no distance from the target tells.

    Every target is a Li in the middle of a square of four S, with an atom beyond each of these: two
    O and two F. They are neighbours in the square (cis, state 0) or opposite (trans, state 1).
    Distances from the centre, and numbers of atoms of each kind at any distance from the ligands
    all together, are the same in both states; what differs is which ligand has which outer atoms
    near. A network has to learn to tell the ligands apart before it sees the state, and random
    features hardly do. States switch as in `make_hopping`.

    Parameters
    ----------
    rate_matrix : array-like of shape (2, 2)
        Rate matrix in 1/ps; rows sum to zero.
    n_frames
        Number of frames.
    n_targets
        Number of complexes, on a grid in the cell.
    timestep
        Picoseconds per frame.
    cell : array-like of shape (3, 3), optional
        Cell vectors as rows in Å. By default a cube with 17 Å between grid points, so that the
        8 nearest atoms of every atom are those of its own complex.
    vibration
        Standard deviation in Å of each coordinate of each atom; 0.15 by default.
    random_state : int, RandomState, Generator or None
        Source of the noise; the same int gives the same trajectory.

    Returns
    -------
    Hopping
        Trajectory, true labels and exact kinetics.

    Raises
    ------
    ValueError
        If the rate matrix is not one of two states, or the targets do not fit into the cell.

    Examples
    --------
    >>> from graphkoopman.datasets import chain_rates, make_arrangement
    >>> data = make_arrangement(chain_rates(2, slowest=50.0), 100, random_state=0)
    >>> data.labels.shape
    (100, 8)
    """
    _check_numbers(n_frames, n_targets, timestep, vibration)
    rates = check_rate_matrix(rate_matrix)
    if len(rates) != 2:
        raise ValueError(
            f"rate_matrix must be of the two states cis and trans, got {len(rates)}; make_hopping "
            "makes more"
        )
    return _hopping(
        _square_complex(), rates, np.arange(2), n_frames, n_targets, timestep, cell, False,
        vibration, as_generator(random_state),
    )  # fmt: skip


def _hopping(
    unit: _Unit,
    rates: FloatArray,
    mapping: IntArray,
    n_frames: int,
    n_targets: int,
    timestep: float,
    cell: ArrayLike | None,
    molecules: bool,
    vibration: float | None,
    rng: np.random.Generator,
) -> Hopping:
    """Units on a grid that follow Markov chains; molecules among a solvent, and whole targets."""
    vibration = unit.vibration if vibration is None else vibration
    vectors, counts = _grid(cell, n_targets, unit.spacing, 2 * unit.reach + CLEARANCE)
    points = _grid_points(vectors, counts, 0.0)
    centers = points[np.arange(n_targets) * len(points) // n_targets]
    # the solvent sits in the middle of the grid's cells
    solvent = _grid_points(vectors, counts, 0.5) if molecules else np.empty((0, 3))

    labels = sample_chain(rates, n_frames, n_targets, timestep, rng)
    n_atoms = len(unit.species)
    first = n_atoms * np.arange(n_targets)
    trajectory = Trajectory(
        positions=_positions(mapping[labels], unit, centers, solvent, vectors, vibration, rng),
        cell=vectors,
        species=np.concatenate([np.tile(unit.species, n_targets), np.full(len(solvent), ARGON)]),
        timestep=timestep,
        targets=first[:, None] + np.arange(n_atoms) if molecules else first,
    )
    return Hopping(
        trajectory=trajectory,
        labels=labels,
        visible_labels=mapping[labels],
        rate_matrix=rates,
        visible=mapping,
        stationary_distribution=stationary_distribution(rates),
        timescales=relaxation_timescales(rates),
    )


def _check_numbers(n_frames: int, n_targets: int, timestep: float, vibration: float | None) -> None:
    if n_frames < 1:
        raise ValueError(f"n_frames must be >= 1, got {n_frames}")
    if n_targets < 1:
        raise ValueError(f"n_targets must be >= 1, got {n_targets}")
    if not (np.isfinite(timestep) and timestep > 0):
        raise ValueError(f"timestep must be a positive number of ps per frame, got {timestep}")
    if vibration is not None and not vibration >= 0:
        raise ValueError(f"vibration must be >= 0 Å, got {vibration}")


def _cage(n_geometries: int, n_ligands: int) -> _Unit:
    """State 0 has only short distances, the last only long ones."""
    if n_ligands < 2:
        raise ValueError(f"n_ligands must be >= 2, got {n_ligands}")
    if n_geometries > n_ligands + 1:
        raise ValueError(
            f"rate_matrix must show at most n_ligands + 1 = {n_ligands + 1} different states, "
            f"got {n_geometries}; raise n_ligands or let states share a geometry with visible="
        )
    n_long = np.round(np.linspace(0, n_ligands, n_geometries)).astype(int)
    is_long = np.arange(n_ligands) >= n_ligands - n_long[:, None]
    distance = np.where(is_long, LONG, SHORT)  # (n_geometries, n_ligands)
    geometries = np.zeros((n_geometries, n_ligands + 1, 3))
    geometries[:, 1:] = distance[..., None] * even_directions(n_ligands)
    species = np.array([LITHIUM] + n_ligands * [SULFUR])
    return _Unit(geometries, species, LONG, CAGE_SPACING, CAGE_VIBRATION)


def _square_complex() -> _Unit:
    """Cis and trans; the outer atoms of the first two ligands are O, of the others F."""
    corners = np.array([[1.0, 0, 0], [0, 1.0, 0], [-1.0, 0, 0], [0, -1.0, 0]])
    orders = ([0, 1, 2, 3], [0, 2, 1, 3])  # corners of the ligands: O and O beside, or opposite
    geometries = np.zeros((2, 9, 3))
    for geometry, order in zip(geometries, orders, strict=True):
        geometry[1:5] = LIGAND * corners[order]
        geometry[5:] = OUTER * corners[order]
    species = np.array([LITHIUM] + 4 * [SULFUR] + 2 * [OXYGEN] + 2 * [FLUORINE])
    return _Unit(geometries, species, OUTER, COMPLEX_SPACING, COMPLEX_VIBRATION)


def even_directions(n_points: int) -> FloatArray:
    """Unit vectors spread over the sphere by the golden angle, (n_points, 3)."""
    i = np.arange(n_points)
    z = 1.0 - (2.0 * i + 1.0) / n_points
    azimuth = i * np.pi * (3.0 - np.sqrt(5.0))
    radius = np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)


def _molecule(n_geometries: int) -> _Unit:
    """Isosceles O, C, C; both bonds alternate, so that neighbouring states differ in all sides."""
    bond = np.array(BONDS)[np.arange(n_geometries) % 2]
    half = np.linspace(*END_TO_END, n_geometries) / 2.0
    height = np.sqrt(bond**2 - half**2)
    geometries = np.zeros((n_geometries, 3, 3))
    geometries[:, 1, 0], geometries[:, 2, 0] = half, -half
    geometries[:, 1:, 1] = -height[:, None]
    geometries -= geometries.mean(axis=1, keepdims=True)
    species = np.array([OXYGEN, CARBON, CARBON])
    return _Unit(geometries, species, MOLECULE_REACH, MOLECULE_SPACING, MOLECULE_VIBRATION)


def _grid(
    cell: ArrayLike | None, n_targets: int, spacing: float, smallest: float
) -> tuple[FloatArray, IntArray]:
    """Cell vectors and the number of grid points along each of them."""
    if cell is None:
        n = int(np.ceil(n_targets ** (1 / 3) - 1e-9))
        return spacing * n * np.eye(3), np.array([n, n, n])
    vectors = np.array(cell, dtype=np.float64)
    if vectors.shape != (3, 3) or not np.isfinite(vectors).all():
        raise ValueError(f"cell must hold three cell vectors as rows, got shape {vectors.shape}")
    if abs(np.linalg.det(vectors)) < 1e-6:
        raise ValueError("cell must span a volume, got linearly dependent vectors")
    candidates = _grid_counts(n_targets)
    best = max(candidates, key=lambda n: _shortest_vector(vectors / np.array(n)[:, None]))
    closest = _shortest_vector(vectors / np.array(best)[:, None])
    if closest < smallest:
        raise ValueError(
            f"cell must leave {smallest:.1f} Å between {n_targets} targets, the best grid leaves "
            f"{closest:.1f} Å; use a larger cell or fewer targets"
        )
    return vectors, np.array(best)


def _grid_counts(n_targets: int) -> list[tuple[int, int, int]]:
    """All grids with room for the targets and at most as many vacant points again."""
    most = 2 * n_targets
    return [
        (i, j, k)
        for i in range(1, most + 1)
        for j in range(1, most // i + 1)
        for k in range(-(-n_targets // (i * j)), most // (i * j) + 1)
    ]


def _shortest_vector(vectors: FloatArray) -> float:
    """Length of the shortest lattice vector among small combinations."""
    combinations = np.array([c for c in product(range(-3, 4), repeat=3) if any(c)])
    return float(np.linalg.norm(combinations @ vectors, axis=1).min())


def _grid_points(vectors: FloatArray, counts: IntArray, offset: float) -> FloatArray:
    fractional = (np.indices(tuple(counts)).reshape(3, -1).T + offset) / counts
    return fractional @ vectors


def _positions(
    visible_labels: IntArray,
    unit: _Unit,
    centers: FloatArray,
    solvent: FloatArray,
    vectors: FloatArray,
    vibration: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Wrapped positions, (n_frames, n_atoms, 3); units first, solvent last."""
    n_frames, n_targets = visible_labels.shape
    n_unit_atoms = n_targets * len(unit.species)
    positions = np.empty((n_frames, n_unit_atoms + len(solvent), 3), dtype=np.float32)
    inverse = np.linalg.inv(vectors)
    for start in range(0, n_frames, _FRAMES_PER_CHUNK):
        chunk = visible_labels[start : start + _FRAMES_PER_CHUNK]
        rotation = _random_rotations(len(chunk) * n_targets, rng)
        bodies = unit.geometries[chunk.ravel()] @ rotation  # (frames * targets, atoms, 3)
        bodies = bodies.reshape(len(chunk), n_targets, -1, 3) + centers[:, None]
        frames = np.empty((len(chunk), *positions.shape[1:]))
        frames[:, :n_unit_atoms] = bodies.reshape(len(chunk), -1, 3)
        frames[:, n_unit_atoms:] = solvent
        frames += vibration * rng.standard_normal(frames.shape)
        fractional = frames @ inverse
        positions[start : start + len(chunk)] = (fractional - np.floor(fractional)) @ vectors
    return positions


def _random_rotations(n: int, rng: np.random.Generator) -> FloatArray:
    """Uniformly distributed rotation matrices, (n, 3, 3), from Gaussian quaternions."""
    return Rotation.from_quat(rng.standard_normal((n, 4))).as_matrix()
