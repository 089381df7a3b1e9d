"""Molecules and cages whose two states are mirror images: no distance tells them apart.

Public: :func:`simulate_ammonia`, :class:`Ammonia`, :func:`make_polar_cages`. Lengths in Å, times in
ps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.spatial.transform import Rotation

from graphkoopman.checks import check_integer, check_number
from graphkoopman.datasets._chains import (
    check_rate_matrix,
    relaxation_timescales,
    sample_chain,
    stationary_distribution,
)
from graphkoopman.datasets._hopping import OXYGEN, Hopping
from graphkoopman.randomness import RandomState, as_generator
from graphkoopman.trajectories import Trajectory

HYDROGEN, NITROGEN, TITANIUM = 1, 7, 22
BOND, HEIGHT = 1.012, 0.38  # Å: N-H of ammonia, and of N above the plane of the hydrogens
HIGHEST = 0.76  # Å, where the double well ends
GRID = np.linspace(-HIGHEST, HIGHEST, 61)
SPACING = 6.0  # Å, between molecules
# A cage of six O about Ti, which is off its centre along z.
CAGE, OFF_CENTRE, CAGE_SPACING, CAGE_VIBRATION = 2.0, 0.3, 8.0, 0.05
OCTAHEDRON = np.concatenate([np.eye(3), -np.eye(3)])


@dataclass(frozen=True, eq=False)
class Ammonia:
    """Ammonia molecules that turn inside out with a known rate.

    Attributes
    ----------
    trajectory : Trajectory
        N, H, H, H of one molecule after the other, in a periodic cube; the targets are the N.
    heights : ndarray of shape (n_frames, n_molecules)
        Å, of N above the plane of the hydrogens, along the axis of the molecule.
    labels : ndarray of shape (n_frames, n_molecules)
        0 where the height is negative, 1 elsewhere.
    axes : ndarray of shape (n_frames, n_molecules, 3)
        Axis of the molecule, a unit vector that tumbles with it and does not flip with it.
    hydrogen_labels : ndarray of shape (n_atoms,)
        Node types that tell the hydrogens apart, for ``GraphFeaturizer(species_labels=...)``:
        "N", and "H1", "H2", "H3" in the order of the right hand about the axis.
    relaxation_time : float
        ps, of the flip, exact: ``1 / (2 k)`` with the rate ``k`` of either direction.
    """

    trajectory: Trajectory
    heights: NDArray[np.float64]
    labels: NDArray[np.int64]
    axes: NDArray[np.float64]
    hydrogen_labels: NDArray[np.str_]
    relaxation_time: float

    @property
    def timescales(self) -> NDArray[np.float64]:
        """The relaxation time as an array of one, ps."""
        return np.array([self.relaxation_time])

    @property
    def rate(self) -> float:
        """Flips per ps, from either side to the other."""
        return 1.0 / (2.0 * self.relaxation_time)

    def axes_of(self, trajectory: Trajectory) -> NDArray[np.float64]:
        """``axes`` of a contiguous part of the trajectory, for ``GraphFeaturizer(axes=...)``."""
        return self.axes[trajectory.start : trajectory.start + len(trajectory)]


def simulate_ammonia(
    n_frames: int = 10_000,
    *,
    n_molecules: int = 40,
    timestep: float = 0.1,
    relaxation_time: float = 2.5,
    barrier: float = 6.0,
    tumbling_time: float | None = 1.0,
    vibration: float = 0.03,
    random_state: RandomState = None,
) -> Ammonia:
    """Simulate ammonia molecules that flip in a double well and tumble.

    The height ``h`` of N above the plane of the hydrogens diffuses in the double well ``U(h) / kT =
    b ((h / h₀)² - 1)²`` with ``h₀`` = 0.38 Å. Its Smoluchowski equation on a grid of 61 heights is
    a Markov chain, which is sampled exactly. Diffusion is such that the slowest relaxation, that of
    the flip, takes the time asked for. The bonds keep their length of 1.012 Å. The molecule tumbles
    as a sphere does, and every coordinate of every atom has white noise.

    Parameters
    ----------
    n_frames : int
    n_molecules : int
        On a grid, 6 Å apart.
    timestep : float
        ps per frame.
    relaxation_time : float
        ps, of the flip.
    barrier : float
        Height ``b`` of the barrier in units of kT.
    tumbling_time : float or None
        ps, in which the mean cosine between an axis of the molecule and where it was falls to 1/e;
        None leaves all molecules upright, with their axes along z.
    vibration : float
        Å, standard deviation of the noise.
    random_state : int, RandomState, Generator or None
        Source of the noise; the same int gives the same trajectory.

    Returns
    -------
    Ammonia

    Raises
    ------
    ValueError
        If an argument cannot be.

    Notes
    -----
    Both sides of the well have the same distances. With hydrogens that are alike they differ by a
    rotation and an exchange of two hydrogens, so nothing that is invariant to these can tell them
    apart: not even a function that a mirror changes. Hydrogens of different labels and
    handedness, or the axis of the molecule, can.

    Examples
    --------
    >>> from graphkoopman.datasets import simulate_ammonia
    >>> data = simulate_ammonia(100, n_molecules=8, random_state=0)
    >>> data.trajectory.positions.shape, data.rate
    ((100, 32, 3), 0.2)
    """
    n_frames = check_integer(n_frames, "n_frames", 1)
    n_molecules = check_integer(n_molecules, "n_molecules", 1)
    timestep = check_number(timestep, "timestep", above=0.0)
    relaxation_time = check_number(relaxation_time, "relaxation_time", above=0.0)
    barrier = check_number(barrier, "barrier", above=0.0, maximum=50.0)
    vibration = check_number(vibration, "vibration", minimum=0.0)
    rng = as_generator(random_state)
    rates = _double_well(barrier, relaxation_time)
    heights = GRID[sample_chain(rates, n_frames, n_molecules, timestep, rng)]
    if tumbling_time is None:
        turns = np.broadcast_to(np.eye(3), (n_frames, n_molecules, 3, 3))
    else:
        tumbling_time = check_number(tumbling_time, "tumbling_time", above=0.0)
        turns = _tumbling(n_frames, n_molecules, timestep / tumbling_time, rng)
    side = int(np.ceil(n_molecules ** (1 / 3) - 1e-9))
    centers = SPACING * (np.indices((side, side, side)).reshape(3, -1).T[:n_molecules] + 0.5)
    # (n_frames, n_molecules, 4, 3)
    bodies = np.einsum("fmai,fmji->fmaj", _shapes(heights), turns) + centers[:, None]
    bodies += vibration * rng.standard_normal(bodies.shape)
    species = np.array([NITROGEN, HYDROGEN, HYDROGEN, HYDROGEN])
    trajectory = Trajectory(
        bodies.reshape(n_frames, -1, 3).astype(np.float32),
        side * SPACING * np.eye(3),
        np.tile(species, n_molecules),
        timestep=timestep,
        targets=4 * np.arange(n_molecules),
    )
    return Ammonia(
        trajectory,
        heights=heights,
        labels=(heights >= 0.0).astype(np.int64),
        axes=np.ascontiguousarray(turns[..., 2]),
        hydrogen_labels=np.tile(["N", "H1", "H2", "H3"], n_molecules),
        relaxation_time=relaxation_time,
    )


def _double_well(barrier: float, relaxation_time: float) -> NDArray[np.float64]:
    """Rates between neighbouring heights, (n_heights, n_heights), in detailed balance."""
    potential = barrier * ((GRID / HEIGHT) ** 2 - 1.0) ** 2  # kT
    uphill = np.diff(potential)
    rates = np.diag(np.exp(-0.5 * uphill), 1) + np.diag(np.exp(0.5 * uphill), -1)
    np.fill_diagonal(rates, -rates.sum(axis=1))
    # the rates are proportional to the diffusion constant
    rates *= relaxation_timescales(rates)[0] / relaxation_time
    np.fill_diagonal(rates, 0.0)
    np.fill_diagonal(rates, -rates.sum(axis=1))
    return rates


def _shapes(heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """N, H, H, H about the centre of mass with the axis along z, (..., 4, 3)."""
    angles = 2.0 * np.pi * np.arange(3) / 3.0
    radius = np.sqrt(BOND**2 - heights**2)
    shapes = np.zeros((*heights.shape, 4, 3))
    shapes[..., 1:, 0] = radius[..., None] * np.cos(angles)
    shapes[..., 1:, 1] = radius[..., None] * np.sin(angles)
    mass_of_hydrogens = 3 * 1.008 / (3 * 1.008 + 14.007)
    shapes[..., 0, 2] = mass_of_hydrogens * heights
    shapes[..., 1:, 2] = (mass_of_hydrogens - 1.0) * heights[..., None]
    return shapes


def _tumbling(
    n_frames: int, n_molecules: int, steps: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Rotation matrices of spheres that diffuse, (n_frames, n_molecules, 3, 3), stationary.

    A frame turns by a vector of normal components. An axis keeps on average the share
    ``(1 + 2 (1 - s²) exp(-s²/2)) / 3`` of itself, which is solved for ``s``.
    """
    turns = np.empty((n_frames, n_molecules, 3, 3))
    now = Rotation.random(n_molecules, rng)
    kept = np.exp(-steps)
    widest = np.sqrt(3.0)  # where that share is least

    def share(s: float) -> float:
        return (1.0 + 2.0 * (1.0 - s**2) * np.exp(-0.5 * s**2)) / 3.0

    independent = kept <= share(widest)
    width = 0.0 if independent else brentq(lambda s: share(s) - kept, 0.0, widest)
    for frame in range(n_frames):
        turns[frame] = now.as_matrix()
        if independent:
            now = Rotation.random(n_molecules, rng)
        else:
            now = now * Rotation.from_rotvec(width * rng.standard_normal((n_molecules, 3)))
    return turns


def make_polar_cages(
    rate_matrix: ArrayLike,
    n_frames: int,
    *,
    n_targets: int = 8,
    timestep: float = 1.0,
    vibration: float | None = None,
    random_state: RandomState = None,
) -> Hopping:
    """Make a crystal of cages whose ions sit off the centre, up or down along z.

    A Ti sits in an octahedron of six O, 0.3 Å below its centre (state 0) or above it (state 1),
    like the dipoles of a ferroelectric above its transition. The two are mirror images: all
    distances are the same in both. Ions switch independently, as in `make_hopping`; the cages do
    not turn.

    Parameters
    ----------
    rate_matrix : array-like of shape (2, 2)
        Rate matrix in 1/ps; rows sum to zero.
    n_frames
        Number of frames.
    n_targets
        Number of cages, on a grid, 8 Å apart.
    timestep
        Picoseconds per frame.
    vibration
        Standard deviation in Å of each coordinate of each atom; 0.05 by default.
    random_state : int, RandomState, Generator or None
        Source of the noise; the same int gives the same trajectory.

    Returns
    -------
    Hopping
        Trajectory, true labels and exact kinetics; its targets are the Ti.

    Raises
    ------
    ValueError
        If the rate matrix is not one of two states, or another argument cannot be.

    Examples
    --------
    >>> from graphkoopman.datasets import chain_rates, make_polar_cages
    >>> data = make_polar_cages(chain_rates(2, slowest=50.0), 100, random_state=0)
    >>> data.trajectory.positions.shape
    (100, 56, 3)
    """
    n_frames = check_integer(n_frames, "n_frames", 1)
    n_targets = check_integer(n_targets, "n_targets", 1)
    timestep = check_number(timestep, "timestep", above=0.0)
    width = CAGE_VIBRATION if vibration is None else vibration
    width = check_number(width, "vibration", minimum=0.0)
    rates = check_rate_matrix(rate_matrix)
    if len(rates) != 2:
        raise ValueError(f"rate_matrix must be of the two states down and up, got {len(rates)}")
    rng = as_generator(random_state)
    labels = sample_chain(rates, n_frames, n_targets, timestep, rng)
    side = int(np.ceil(n_targets ** (1 / 3) - 1e-9))
    centers = CAGE_SPACING * (np.indices((side, side, side)).reshape(3, -1).T[:n_targets] + 0.5)
    bodies = np.zeros((n_frames, n_targets, 7, 3))
    bodies[:, :, 0, 2] = OFF_CENTRE * (2 * labels - 1)
    bodies[:, :, 1:] = CAGE * OCTAHEDRON
    bodies += centers[:, None] + width * rng.standard_normal(bodies.shape)
    trajectory = Trajectory(
        bodies.reshape(n_frames, -1, 3).astype(np.float32),
        side * CAGE_SPACING * np.eye(3),
        np.tile([TITANIUM] + 6 * [OXYGEN], n_targets),
        timestep=timestep,
        targets=7 * np.arange(n_targets),
    )
    return Hopping(
        trajectory=trajectory,
        labels=labels,
        visible_labels=labels,
        rate_matrix=rates,
        visible=np.arange(2),
        stationary_distribution=stationary_distribution(rates),
        timescales=relaxation_timescales(rates),
    )
