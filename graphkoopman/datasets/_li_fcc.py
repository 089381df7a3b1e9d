"""One lithium ion in a frozen face-centred cubic lattice of sulfur.

Public: :func:`simulate_li_fcc`, :class:`LiFCC`. Langevin dynamics in the BAOAB splitting;
lengths in Å, times in ps, energies in eV, masses in u.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphkoopman._compiling import njit
from graphkoopman.datasets._references import (
    LITHIUM,
    SULFUR,
    SiteReference,
    li_fcc_reference,
)
from graphkoopman.randomness import RandomState, as_generator
from graphkoopman.trajectories import Trajectory

FloatArray = NDArray[np.float64]

BOLTZMANN = 8.617333262e-5  # eV/K
ACCELERATION = 9648.533212  # Å/ps² per eV/(Å u)
LITHIUM_MASS = 6.94  # u

# Born-Mayer repulsion A exp(-r/rho)
PREFACTOR = 9.857e13  # eV
RHO = 0.07  # Å
CUTOFF = 6.0  # Å

EQUILIBRATION = 100.0  # ps, several times the two-state relaxation time
_VOXELS = 10
_FRAMES_PER_CALL = 10_000


class _Lattice(NamedTuple):
    """Sulfur images listed for every voxel of the cubic cell; numba passes it by fields."""

    a: float
    images: FloatArray  # (n_images, 3)
    near: NDArray[np.int64]  # (n_voxels³, n_most), images within the cutoff of any point
    n_near: NDArray[np.int64]  # (n_voxels³,)


class _Langevin(NamedTuple):
    """Coefficients of one BAOAB step."""

    half_step: float  # ps
    half_kick: float  # velocity per force over half a step
    decay: float
    noise: float  # Å/ps


@dataclass(frozen=True)
class LiFCC:
    """A simulated trajectory and what its own frames say about the site dynamics.

    Attributes
    ----------
    trajectory : Trajectory
        Li (target, atom 0) and 4 S; float32 positions in Å, Li unwrapped.
    reference : SiteReference
        Evaluated when first asked for; raises TooFewTransitionsError on a run that is too short
        to hold two transitions each way.
    """

    trajectory: Trajectory

    @cached_property
    def reference(self) -> SiteReference:
        """Sites, relaxation time, populations and global timescales of these frames."""
        return li_fcc_reference(self.trajectory)


def simulate_li_fcc(
    duration: float = 20_000.0,
    *,
    temperature: float = 64.0,
    a: float = 6.5,
    friction: float = 100.0,
    md_timestep: float = 0.001,
    frame_interval: float = 0.1,
    random_state: RandomState = None,
) -> LiFCC:
    """Simulate Li hopping between the sites of a frozen FCC lattice of S.

    Li feels U = Σ A exp(-r/ρ) from every S image within 6 Å, truncated and shifted, with
    A = 9.857e13 eV and ρ = 0.07 Å. It starts in a random octahedral site and is equilibrated for
    100 ps before the first frame.

    Parameters
    ----------
    duration
        Length of the trajectory in ps; about 0.4 s of computing per 1000 ps.
    temperature
        Temperature in K.
    a
        Edge of the cubic cell in Å.
    friction
        Langevin friction in 1/ps.
    md_timestep
        Integration step in ps.
    frame_interval
        Time between stored frames in ps, a multiple of ``md_timestep``.
    random_state : int, RandomState, Generator or None
        Source of the noise; the same int gives the same trajectory.

    Returns
    -------
    LiFCC
        Trajectory of 5 atoms and the reference of its own frames.

    Raises
    ------
    ValueError
        If an argument is not positive or ``frame_interval`` is not a multiple of ``md_timestep``.
    FloatingPointError
        If the integration diverged; a smaller ``md_timestep`` helps.

    Notes
    -----
    Integrating exp(-U/kT) over the cell puts 0.926 of the population into octahedral sites at the
    defaults; 200 ns give a two-state relaxation time of about 40 ps and three slowest global
    timescales near 600 ps. Shorter runs scatter: 20 ns hold about 30 visits to tetrahedral sites.

    References
    ----------
    Xie, France-Lanord, Wang, Shao-Horn, Grossman, Nat. Commun. 10, 2667 (2019), toy system.
    """
    n_steps = _steps_per_frame(duration, temperature, a, friction, md_timestep, frame_interval)
    n_frames = max(round(duration / frame_interval), 1)
    rng = as_generator(random_state)
    lattice = _lattice(a)
    langevin = _coefficients(temperature, friction, md_timestep)
    state = _initial_state(a, temperature, rng)
    _propagate(state, round(EQUILIBRATION / frame_interval), n_steps, lattice, langevin, rng)
    lithium = _propagate(state, n_frames, n_steps, lattice, langevin, rng)
    positions = np.empty((n_frames, 5, 3), dtype=np.float32)
    positions[:, 0] = lithium
    positions[:, 1:] = _fcc_basis(a)
    trajectory = Trajectory(
        positions=positions,
        cell=a * np.eye(3),
        species=np.array([LITHIUM] + 4 * [SULFUR]),
        timestep=frame_interval,
        targets=np.array([0]),
    )
    return LiFCC(trajectory)


def _steps_per_frame(
    duration: float,
    temperature: float,
    a: float,
    friction: float,
    md_timestep: float,
    frame_interval: float,
) -> int:
    given = {
        "duration": duration,
        "temperature": temperature,
        "a": a,
        "friction": friction,
        "md_timestep": md_timestep,
        "frame_interval": frame_interval,
    }
    for name, value in given.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive number, got {value}")
    ratio = frame_interval / md_timestep
    n_steps = round(ratio)
    if n_steps < 1 or abs(ratio - n_steps) > 1e-6 * ratio:
        raise ValueError(
            f"frame_interval must be a multiple of md_timestep = {md_timestep} ps, "
            f"got {frame_interval} ps"
        )
    if duration < frame_interval:
        raise ValueError(
            f"duration must be at least one frame_interval = {frame_interval} ps, got {duration} ps"
        )
    return n_steps


def _fcc_basis(a: float) -> FloatArray:
    return a * np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])


def _lattice(a: float) -> _Lattice:
    """List the sulfur images within the cutoff of each voxel, so that none is ever missed."""
    reach = int(np.ceil(CUTOFF / a)) + 1
    shifts = np.stack(np.meshgrid(*3 * [np.arange(-reach, reach + 1)], indexing="ij"), axis=-1)
    images = (_fcc_basis(a)[:, None] + a * shifts.reshape(-1, 3)).reshape(-1, 3)
    edge = a / _VOXELS
    centers = (np.indices(3 * (_VOXELS,)).reshape(3, -1).T + 0.5) * edge
    distance = np.linalg.norm(centers[:, None] - images, axis=-1)
    within = distance <= CUTOFF + np.sqrt(3) / 2 * edge
    n_near = within.sum(axis=1)
    # a stable sort of "not within" puts the images of interest first
    near = np.argsort(~within, axis=1, kind="stable")[:, : n_near.max()]
    return _Lattice(a, images, np.ascontiguousarray(near), n_near)


def _coefficients(temperature: float, friction: float, md_timestep: float) -> _Langevin:
    decay = np.exp(-friction * md_timestep)
    thermal = np.sqrt(BOLTZMANN * temperature * ACCELERATION / LITHIUM_MASS)
    return _Langevin(
        half_step=0.5 * md_timestep,
        half_kick=0.5 * md_timestep * ACCELERATION / LITHIUM_MASS,
        decay=float(decay),
        noise=float(thermal * np.sqrt(1.0 - decay**2)),
    )


def _initial_state(a: float, temperature: float, rng: np.random.Generator) -> FloatArray:
    """Position and velocity, (2, 3), in a random octahedral site."""
    octahedral = _fcc_basis(a) + np.array([0.5 * a, 0.0, 0.0])
    thermal = np.sqrt(BOLTZMANN * temperature * ACCELERATION / LITHIUM_MASS)
    return np.stack([octahedral[rng.integers(4)], thermal * rng.standard_normal(3)])


def _propagate(
    state: FloatArray,
    n_frames: int,
    n_steps: int,
    lattice: _Lattice,
    langevin: _Langevin,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Advance ``state`` in place; return the position at the end of every frame, (n_frames, 3)."""
    positions = np.empty((n_frames, 3), dtype=np.float32)
    # compiled code cannot be interrupted, so it returns to Python now and then
    for start in range(0, n_frames, _FRAMES_PER_CALL):
        _baoab(positions[start : start + _FRAMES_PER_CALL], state, n_steps, lattice, langevin, rng)
        if not np.isfinite(state).all():
            raise FloatingPointError(
                "the integration diverged; use a smaller md_timestep or a lower temperature"
            )
    return positions


@njit(cache=True, error_model="numpy")
def _energy_force(position, lattice):  # pragma: no cover - compiled
    """Energy in eV and force in eV/Å on Li."""
    a = lattice.a
    x = position[0] - a * np.floor(position[0] / a)
    y = position[1] - a * np.floor(position[1] / a)
    z = position[2] - a * np.floor(position[2] / a)
    # the limits keep a rounded or diverged position inside the table
    i = max(0, min(int(x * _VOXELS / a), _VOXELS - 1))
    j = max(0, min(int(y * _VOXELS / a), _VOXELS - 1))
    k = max(0, min(int(z * _VOXELS / a), _VOXELS - 1))
    voxel = (i * _VOXELS + j) * _VOXELS + k
    shift = PREFACTOR * np.exp(-CUTOFF / RHO)
    energy = 0.0
    fx = 0.0
    fy = 0.0
    fz = 0.0
    for n in range(lattice.n_near[voxel]):
        image = lattice.near[voxel, n]
        dx = x - lattice.images[image, 0]
        dy = y - lattice.images[image, 1]
        dz = z - lattice.images[image, 2]
        r2 = dx * dx + dy * dy + dz * dz
        if r2 < CUTOFF * CUTOFF:
            r = np.sqrt(r2)
            repulsion = PREFACTOR * np.exp(-r / RHO)
            energy += repulsion - shift
            scale = repulsion / (RHO * r)
            fx += scale * dx
            fy += scale * dy
            fz += scale * dz
    return energy, fx, fy, fz


@njit(cache=True, error_model="numpy")
def _baoab(positions, state, n_steps, lattice, langevin, rng):  # pragma: no cover - compiled
    x = state[0].copy()
    v = state[1].copy()
    force = np.empty(3)
    _, force[0], force[1], force[2] = _energy_force(x, lattice)
    for frame in range(positions.shape[0]):
        for _ in range(n_steps):
            for d in range(3):
                v[d] += langevin.half_kick * force[d]
                x[d] += langevin.half_step * v[d]
                v[d] = langevin.decay * v[d] + langevin.noise * rng.standard_normal()
                x[d] += langevin.half_step * v[d]
            _, force[0], force[1], force[2] = _energy_force(x, lattice)
            for d in range(3):
                v[d] += langevin.half_kick * force[d]
        for d in range(3):
            positions[frame, d] = x[d]
    state[0] = x
    state[1] = v
