"""Walkers whose conduction and displacement are known exactly: `pair_hoppers`, `switching_walkers`.

Lengths in Å, times in frames of one ps. Site types alternate along every axis, so that a hop is a
change of state.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.trajectories import Trajectory

Array = NDArray[np.float64]
BOX = 12.0
STEP = 2.0


def lithium(paths: Array, others: Array | None = None, timestep: float = 1.0) -> Trajectory:
    """Paths of Li, and of Cl where there are others, wrapped into a cubic cell."""
    positions = paths if others is None else np.concatenate([paths, others], axis=1)
    n_others = 0 if others is None else others.shape[1]
    species = [3] * paths.shape[1] + [17] * n_others
    return Trajectory(positions % BOX, BOX * np.eye(3), species, timestep=timestep)


def crisp_model(matrix: ArrayLike, lagtime: int) -> SimpleNamespace:
    """A model at a lag, from the transition matrix of one frame."""
    step = np.asarray(matrix, dtype=float)
    values, vectors = np.linalg.eig(step.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    return SimpleNamespace(
        koopman_matrix=np.linalg.matrix_power(step, lagtime),
        stationary_distribution=stationary / stationary.sum(),
        lagtime=lagtime,
    )


@dataclass(frozen=True)
class Pairs:
    """Hoppers in pairs, at a lag of one frame.

    Attributes
    ----------
    paths : ndarray of shape (n_frames, n_targets, 3)
    labels : ndarray of shape (n_frames, n_targets)
    self_, distinct : ndarray of shape (2, 2)
        Exact Σ z² d² and Σ z d · (J - z d) per frame of each transition, Å².
    """

    paths: Array
    labels: NDArray[np.int64]
    self_: Array
    distinct: Array


def pair_hoppers(
    n_frames: int,
    n_pairs: int,
    rng: np.random.Generator,
    alone: float = 0.1,
    together: float = 0.1,
    concerted_from: int | None = 0,
) -> Pairs:
    """Hoppers whose pairs hop together, in one direction, with a given probability.

    Parameters
    ----------
    alone : float
        Probability per frame that a hopper hops by itself, where its pair does not.
    together : float
        Probability per frame that both hop.
    concerted_from : {0, 1, None}
        Both must be in this state to hop together; None is any.
    """
    joint = _joint_probability(together, concerted_from)
    matrix = _pair_matrix(alone, joint)
    populations = crisp_model(matrix, 1).stationary_distribution
    state = rng.choice(4, size=n_pairs, p=populations)
    labels = np.empty((n_frames, n_pairs, 2), dtype=np.int64)
    labels[0] = np.stack(np.divmod(state, 2), axis=-1)
    steps = np.zeros((n_frames, n_pairs, 2, 3))
    vectors = STEP * np.concatenate([np.eye(3), -np.eye(3)])
    for t in range(1, n_frames):
        code = 2 * labels[t - 1, :, 0] + labels[t - 1, :, 1]
        both = rng.random(n_pairs) < joint[code]
        hops = np.where(both[:, None], True, rng.random((n_pairs, 2)) < alone)
        directions = rng.integers(6, size=(n_pairs, 2))
        directions[both, 1] = directions[both, 0]
        steps[t] = vectors[directions] * hops[..., None]
        labels[t] = labels[t - 1] ^ hops
    self_, distinct = np.zeros((2, 2)), np.zeros((2, 2))
    for code, population in enumerate(populations):
        for i in divmod(code, 2):
            hopping = joint[code] + (1.0 - joint[code]) * alone
            self_[i, 1 - i] += n_pairs * population * hopping * STEP**2
            distinct[i, 1 - i] += n_pairs * population * joint[code] * STEP**2
    shape = (n_frames, 2 * n_pairs)
    return Pairs(
        np.cumsum(steps, axis=0).reshape(*shape, 3), labels.reshape(shape), self_, distinct
    )


def _joint_probability(together: float, concerted_from: int | None) -> Array:
    """Probability of a joint hop in each state of a pair, (4,)."""
    if concerted_from is None:
        return np.full(4, together)
    return together * (np.arange(4) == 3 * concerted_from)


def _pair_matrix(alone: float, joint: Array) -> Array:
    """Transition matrix of a pair over one frame."""
    single = np.array([[1.0 - alone, alone], [alone, 1.0 - alone]])
    both = np.eye(4)[::-1]  # both labels change
    return joint[:, None] * both + (1.0 - joint[:, None]) * np.kron(single, single)


@dataclass(frozen=True)
class Walkers:
    """Walkers that switch between states.

    Attributes
    ----------
    paths : list of ndarray of shape (n_frames, n_targets, 3)
    labels : list of ndarray of shape (n_frames, n_targets)
    """

    paths: list[Array]
    labels: list[NDArray[np.int64]]

    def data(self, timestep: float = 1.0, n_states: int = 2) -> tuple[Any, Any, str]:
        """Trajectories, probabilities and targets."""
        trajs = [lithium(path, timestep=timestep) for path in self.paths]
        return trajs, [np.eye(n_states)[labels] for labels in self.labels], "element Li"


def switching_walkers(
    n_frames: int,
    n_targets: int,
    n_runs: int,
    rng: np.random.Generator,
    matrix: ArrayLike,
    width: ArrayLike,
    persistence: ArrayLike = (0.0, 0.0),
    noise: float = 0.0,
    start: int | None = None,
) -> Walkers:
    r"""Walkers whose step depends on their state.

    Parameters
    ----------
    matrix : array-like of shape (n_states, n_states)
        Transition matrix of one frame.
    width : array-like of shape (n_states,)
        Standard deviation of a step along every axis in each state, Å.
    persistence : array-like of shape (n_states,)
        A step from a state is :math:`c\,\vec v+\sqrt{1-c^2}\,\vec w` times the width, with fresh
        noise w and the unit noise v of the step before.
    noise : float
        Vibration on top of the path, Å; white.
    start : int or None
        State that all walkers start in; by default, the stationary distribution.
    """
    step = np.asarray(matrix, dtype=float)
    n_all = n_targets * n_runs
    labels = np.empty((n_frames, n_all), dtype=np.int64)
    if start is None:
        populations = crisp_model(step, 1).stationary_distribution
        labels[0] = rng.choice(len(step), size=n_all, p=populations)
    else:
        labels[0] = start
    cumulative = np.cumsum(step, axis=1)
    width, memory = np.asarray(width, dtype=float), np.asarray(persistence, dtype=float)
    unit = rng.normal(size=(n_all, 3))
    steps = np.zeros((n_frames, n_all, 3))
    for t in range(1, n_frames):
        before = labels[t - 1]
        kept = memory[before][:, None]
        unit = kept * unit + np.sqrt(1.0 - kept**2) * rng.normal(size=(n_all, 3))
        steps[t] = width[before][:, None] * unit
        labels[t] = (rng.random(n_all)[:, None] > cumulative[before]).sum(axis=1)
    paths = np.cumsum(steps, axis=0) + noise * rng.normal(size=steps.shape)
    return Walkers(np.split(paths, n_runs, axis=1), np.split(labels, n_runs, axis=1))


def exact_msd(
    n_frames: ArrayLike,
    matrix: ArrayLike,
    width: ArrayLike,
    persistence: ArrayLike = (0.0, 0.0),
    noise: float = 0.0,
) -> Array:
    r"""Mean squared displacement of `switching_walkers` from the stationary distribution, Å².

    :math:`nC(0)+2\sum_m(n-m)C(m)+6u^2` with :math:`C(m)=3\,\pi^TW(PM)^mw`, where P is the
    transition matrix, W and M are diagonal with widths w and persistences, and u is the noise.
    """
    step, width = np.asarray(matrix, dtype=float), np.asarray(width, dtype=float)
    stationary = crisp_model(step, 1).stationary_distribution
    lags = np.atleast_1d(np.asarray(n_frames, dtype=int))
    correlation = np.empty(lags.max())
    vector = width.copy()
    for m in range(lags.max()):
        correlation[m] = 3.0 * (stationary * width) @ vector
        vector = step @ (np.asarray(persistence, dtype=float) * vector)
    return np.array(
        [
            n * correlation[0]
            + 2.0 * np.sum((n - np.arange(1, n)) * correlation[1:n])
            + 6.0 * noise**2
            for n in lags
        ]
    )
