"""Models that states can be drawn from: `StochasticModel`, `stochastic_model`, `check_start`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.trajectories import check_integer
from graphkoopman.transport import ModelLike, check_model

Array = NDArray[np.float64]

# Negative entries of this size are rounding.
ROUNDING = 1e-10


@dataclass(frozen=True, eq=False)
class StochasticModel:
    """A transition matrix and its stationary distribution.

    Attributes
    ----------
    matrix : ndarray of shape (n_states, n_states)
        Rows are probabilities.
    populations : ndarray of shape (n_states,)
    lagtime : int
        Frames.
    timestep : float or None
        ps per frame.
    """

    matrix: Array
    populations: Array
    lagtime: int
    timestep: float | None

    @property
    def n_states(self) -> int:
        """Number of states."""
        return len(self.populations)


def stochastic_model(model: ModelLike) -> StochasticModel:
    """A model whose rows are probabilities, or an error that says how to get one.

    Parameters
    ----------
    model : KoopmanModel
        Anything with ``koopman_matrix``, ``stationary_distribution`` and ``lagtime``, or with a
        ``prior`` that has them.
    """
    matrix, populations, lagtime = check_model(model)
    lowest = min(matrix.min(), populations.min())
    if not lowest >= -ROUNDING or np.abs(matrix.sum(axis=1) - 1.0).max() > 1e-6:
        raise ValueError(
            "model must have probabilities in the rows of its koopman_matrix and in its "
            f"stationary_distribution, got {lowest:.3g}; nothing can be drawn from a negative one, "
            'so estimate it with constraint="stochastic"'
        )
    matrix, populations = np.clip(matrix, 0.0, None), np.clip(populations, 0.0, None)
    timestep = getattr(getattr(model, "prior", model), "timestep", None)
    return StochasticModel(
        matrix / matrix.sum(axis=1, keepdims=True),
        populations / populations.sum(),
        lagtime,
        timestep,
    )


def check_start(start: Any, model: StochasticModel) -> Array | NDArray[np.int64]:
    """Distribution over states as floats, or states of the targets as integers."""
    if start is None:
        return model.populations
    given = np.asarray(start)
    if given.dtype.kind in "iu" and given.ndim <= 1 and given.size:
        if given.min() < 0 or given.max() >= model.n_states:
            raise ValueError(f"start must be states from 0 to {model.n_states - 1}, got {start!r}")
        return given.astype(np.int64)
    is_distribution = given.dtype.kind == "f" and given.shape == (model.n_states,)
    if not is_distribution or not (given >= 0).all() or abs(given.sum() - 1.0) > 1e-6:
        raise ValueError(
            "start must be a state, a state for each target, or "
            f"{model.n_states} probabilities that sum to one, got {start!r}"
        )
    return given / given.sum()


def first_states(
    start: ArrayLike | None, model: StochasticModel, n_targets: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """State of every target in the first frame."""
    first = check_start(start, model)
    if first.dtype.kind == "f":
        return rng.choice(model.n_states, size=n_targets, p=first)
    if first.shape not in ((), (1,), (n_targets,)):
        raise ValueError(
            f"start must be one state or one for each of the {n_targets} targets, "
            f"got {len(first)} states"
        )
    return np.broadcast_to(first.astype(np.int64), (n_targets,)).copy()


def check_size(n_frames: Any, n_targets: Any) -> tuple[int, int]:
    """Numbers of frames and targets to generate, of at least one."""
    return check_integer(n_frames, "n_frames", 1), check_integer(n_targets, "n_targets", 1)
