"""Seven Lennard-Jones discs in two dimensions, whose states are known by quenching.

Public: :func:`simulate_lj7`, :class:`LJ7`. Langevin dynamics in the BAOAB splitting. Inside,
lengths are in σ, energies in ε, masses in those of a disc and times in ``σ √(m / ε)``; outside, the
discs are of argon, and lengths in Å, times in ps, temperatures in K.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphkoopman._compiling import njit
from graphkoopman.checks import check_number
from graphkoopman.randomness import RandomState, as_generator
from graphkoopman.trajectories import Trajectory

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

N_DISCS = 7
ARGON = 18
SIGMA = 3.405  # Å
EPSILON = 119.8  # K
TIME_UNIT = 2.156  # ps, σ √(m / ε)

# ε, of the hexagon, the two capped parallelograms and the trapezoid; the only minima
MINIMA = np.array([-12.534867, -11.501291, -11.476907, -11.403419])

# A disc that leaves the cluster is driven back from this distance from the centre of mass, beyond
# that of every disc of the minima: seven discs would evaporate.
WALL_RADIUS, WALL_STIFFNESS = 2.0, 100.0
MD_TIMESTEP = 0.005  # σ √(m / ε)
EQUILIBRATION = 100.0  # σ √(m / ε)
# Steepest descent, which stays in the basin of a frame. The stiffest direction of a minimum has a
# curvature of about 250, longer steps would diverge there; frames far up move by a limited step.
DESCENT_STEP, LARGEST_MOVE = 0.004, 0.02
DESCENT_STEPS = 100_000
ENERGY_TOLERANCE = 1e-3  # of ε; the nearest minima are 0.024 apart
_FRAMES_PER_CALL = 1_000


@dataclass(frozen=True)
class LJ7:
    """A simulated cluster and the minimum that each of its frames belongs to.

    Attributes
    ----------
    trajectory : Trajectory
        Seven Ar in the plane z = 0, no cell; one target, all atoms. Float32 positions in Å about
        the centre of mass.
    labels : ndarray of shape (n_frames, 1)
        Minimum that steepest descent from the frame ends in: 0 the hexagon, 1 and 2 the capped
        parallelograms, 3 the trapezoid, by rising energy.
    energies : ndarray of shape (n_frames,)
        Energy there in ε, about -12.53, -11.50, -11.48 or -11.40.
    """

    trajectory: Trajectory
    labels: IntArray
    energies: FloatArray


def simulate_lj7(
    duration: float = 40_000.0,
    *,
    temperature: float = 22.0,
    friction: float = 1.0,
    frame_interval: float = 1.0,
    random_state: RandomState = None,
) -> LJ7:
    """Simulate seven Lennard-Jones discs of argon that rearrange between four minima.

    ``U = Σ 4 ε ((σ/r)¹² - (σ/r)⁶)`` with σ = 3.405 Å and ε / k_B = 119.8 K, without a cutoff, and
    a harmonic wall beyond 2 σ from the centre of mass, which no minimum touches. The discs are
    alike: every permutation of a structure, and its mirror image, is the same state.

    Parameters
    ----------
    duration
        Length of the trajectory in ps, after the equilibration.
    temperature
        In K; 24 K are 0.2 ε / k_B.
    friction
        Langevin friction in 1/ps.
    frame_interval
        Time between frames in ps, rounded to whole steps of 0.0108 ps.
    random_state : int, RandomState, Generator or None
        Source of the noise; the same int gives the same trajectory.

    Returns
    -------
    LJ7
        Trajectory and exact states.

    Raises
    ------
    ValueError
        If an argument is not positive, the duration is shorter than a frame, or it is too hot for
        a cluster.

    References
    ----------
    Dellago, Bolhuis and Chandler, J. Chem. Phys. 108, 9236 (1998).

    Examples
    --------
    >>> from graphkoopman.datasets import simulate_lj7
    >>> data = simulate_lj7(100.0, random_state=0)
    >>> data.trajectory.n_atoms, data.labels.shape
    (7, (100, 1))
    """
    hottest = 0.5 * EPSILON  # discs part
    check_number(temperature, "temperature", above=0.0, maximum=hottest)
    for name, value in (("duration", duration), ("friction", friction),
                        ("frame_interval", frame_interval)):  # fmt: skip
        check_number(value, name, above=0.0)
    step = MD_TIMESTEP * TIME_UNIT
    n_steps = max(1, round(frame_interval / step))
    if duration < frame_interval:
        raise ValueError(
            f"duration must be at least one frame_interval = {frame_interval} ps, got {duration} ps"
        )
    n_frames = round(duration / frame_interval)
    rng = as_generator(random_state)
    state = np.stack([_hexagon(), np.sqrt(temperature / EPSILON) * rng.normal(size=(N_DISCS, 2))])
    settings = temperature / EPSILON, friction * TIME_UNIT
    equilibration = round(EQUILIBRATION / (MD_TIMESTEP * n_steps)) + 1
    _propagate(np.empty((equilibration, N_DISCS, 2)), state, n_steps, *settings, rng)
    discs = _propagate(np.empty((n_frames, N_DISCS, 2)), state, n_steps, *settings, rng)
    labels, energies = quench(discs)
    positions = np.zeros((n_frames, N_DISCS, 3), dtype=np.float32)
    positions[:, :, :2] = SIGMA * discs
    trajectory = Trajectory(
        positions=positions,
        cell=None,
        species=np.full(N_DISCS, ARGON),
        timestep=n_steps * step,
        targets=np.arange(N_DISCS)[None],
    )
    return LJ7(trajectory, labels[:, None], energies)


def quench(discs: FloatArray) -> tuple[IntArray, FloatArray]:
    """Minimum of each frame, by steepest descent.

    Parameters
    ----------
    discs : ndarray of shape (n_frames, 7, 2)
        Positions in σ.

    Returns
    -------
    labels, energies : ndarray of shape (n_frames,)
        Number of the minimum, and the energy reached in ε.

    Raises
    ------
    ValueError
        If a descent has not reached one of the four minima.
    """
    energies = np.empty(len(discs))
    _descend(np.ascontiguousarray(discs, dtype=np.float64), MINIMA, energies)
    difference = np.abs(energies[:, None] - MINIMA)
    labels = difference.argmin(axis=1)
    lost = np.flatnonzero(difference.min(axis=1) > ENERGY_TOLERANCE)
    if len(lost):
        raise ValueError(
            f"frames must be of one cluster, got {len(lost)} (frame {lost[0]} first) that do not "
            "relax to one of the four minima; lower the temperature"
        )
    return labels, energies


def _hexagon() -> FloatArray:
    """A disc in the middle of six, (7, 2)."""
    angle = np.arange(6) * np.pi / 3
    ring = 1.12 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate([np.zeros((1, 2)), ring])


def _propagate(
    discs: FloatArray,
    state: FloatArray,
    n_steps: int,
    temperature: float,
    friction: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Advance ``state``, positions and velocities, and fill the frames."""
    # compiled code cannot be interrupted, so it returns to Python now and then
    for start in range(0, len(discs), _FRAMES_PER_CALL):
        frames = discs[start : start + _FRAMES_PER_CALL]
        _baoab(frames, state, n_steps, temperature, friction, rng)
        state[0] -= state[0].mean(axis=0)
    return discs - discs.mean(axis=1, keepdims=True)


@njit(cache=True, error_model="numpy")
def _energy_forces(x, forces):  # pragma: no cover - compiled
    """Energy of the discs x (7, 2) in ε without the wall; the forces are filled in."""
    energy = 0.0
    forces[:] = 0.0
    for i in range(N_DISCS):
        for j in range(i):
            dx = x[i, 0] - x[j, 0]
            dy = x[i, 1] - x[j, 1]
            inverse = 1.0 / (dx * dx + dy * dy)
            sixth = inverse * inverse * inverse
            energy += 4.0 * sixth * (sixth - 1.0)
            pull = 24.0 * sixth * (2.0 * sixth - 1.0) * inverse  # -U'(r) / r
            forces[i, 0] += pull * dx
            forces[i, 1] += pull * dy
            forces[j, 0] -= pull * dx
            forces[j, 1] -= pull * dy
    return energy


@njit(cache=True, error_model="numpy")
def _add_wall(x, forces):  # pragma: no cover - compiled
    """Forces of the wall on discs far from the centre of mass, and on that."""
    cx, cy = x[:, 0].mean(), x[:, 1].mean()
    for i in range(N_DISCS):
        dx, dy = x[i, 0] - cx, x[i, 1] - cy
        radius = np.sqrt(dx * dx + dy * dy)
        if radius > WALL_RADIUS:
            pull = -WALL_STIFFNESS * (radius - WALL_RADIUS) / radius
            forces[i, 0] += pull * dx
            forces[i, 1] += pull * dy
            for j in range(N_DISCS):
                forces[j, 0] -= pull * dx / N_DISCS
                forces[j, 1] -= pull * dy / N_DISCS


@njit(cache=True, error_model="numpy")
def _baoab(frames, state, n_steps, temperature, friction, rng):  # pragma: no cover - compiled
    x, v = state[0], state[1]
    half = 0.5 * MD_TIMESTEP
    decay = np.exp(-friction * MD_TIMESTEP)
    noise = np.sqrt(temperature * (1.0 - decay * decay))
    forces = np.empty((N_DISCS, 2))
    _energy_forces(x, forces)
    _add_wall(x, forces)
    for frame in range(frames.shape[0]):
        for _ in range(n_steps):
            for i in range(N_DISCS):
                for d in range(2):
                    v[i, d] += half * forces[i, d]
                    x[i, d] += half * v[i, d]
                    v[i, d] = decay * v[i, d] + noise * rng.standard_normal()
                    x[i, d] += half * v[i, d]
            _energy_forces(x, forces)
            _add_wall(x, forces)
            for i in range(N_DISCS):
                for d in range(2):
                    v[i, d] += half * forces[i, d]
        frames[frame] = x


@njit(cache=True, error_model="numpy")
def _descend(frames, minima, energies):  # pragma: no cover - compiled
    """Energies of the minima that steepest descent ends in."""
    forces = np.empty((N_DISCS, 2))
    x = np.empty((N_DISCS, 2))
    for f in range(frames.shape[0]):
        x[:] = frames[f]
        for _ in range(DESCENT_STEPS):
            energy = _energy_forces(x, forces)
            largest = np.abs(forces).max()
            # below a tenth of the tolerance, near a minimum: the next one is 0.024 away
            if largest < 0.02 and np.abs(minima - energy).min() < 0.1 * ENERGY_TOLERANCE:
                break
            step = min(DESCENT_STEP, LARGEST_MOVE / largest)
            for i in range(N_DISCS):
                for d in range(2):
                    x[i, d] += step * forces[i, d]
        energies[f] = energy
