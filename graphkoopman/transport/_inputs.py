"""Checks of what a conductivity needs beside displacements: model, charges, temperature, cells."""

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.transport._runs import TransportRun, check_lags
from graphkoopman.transport._sums import Charges

Array = NDArray[np.float64]


class Propagator(Protocol):
    """What a model of the states is asked for; a `KoopmanModel` has it, and many others."""

    @property
    def koopman_matrix(self) -> NDArray[Any]:
        """Probabilities to go from state i to state j, (n_states, n_states)."""

    @property
    def stationary_distribution(self) -> NDArray[Any]:
        """(n_states,)."""

    @property
    def lagtime(self) -> int:
        """Frames."""


class WithPrior(Protocol):
    """A model with samples of it, as `BootstrapKoopmanModel`."""

    @property
    def prior(self) -> Propagator:
        """The model of all data."""


ModelLike: TypeAlias = Propagator | WithPrior


def check_model(model: ModelLike) -> tuple[Array, Array, int]:
    """Koopman matrix, stationary distribution and lag time of a model, or of what acts as one."""
    plain: Any = getattr(model, "prior", model)
    missing = [
        name
        for name in ("koopman_matrix", "stationary_distribution", "lagtime")
        if not hasattr(plain, name)
    ]
    if missing:
        raise TypeError(
            "model must have koopman_matrix, stationary_distribution and lagtime, "
            f"got {type(plain).__name__} without {', '.join(missing)}; use estimate_koopman"
        )
    matrix = np.asarray(plain.koopman_matrix, dtype=np.float64)
    populations = np.asarray(plain.stationary_distribution, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape != (len(populations),) * 2:
        raise ValueError(
            "model must have a koopman_matrix of shape (n_states, n_states) and a "
            f"stationary_distribution of shape (n_states,), got {matrix.shape} and "
            f"{populations.shape}"
        )
    return matrix, populations, int(check_lags([plain.lagtime], "the lagtime of model")[0])


def check_runs(runs: list[TransportRun], n_states: int) -> None:
    if runs[0].n_states != n_states:
        raise ValueError(
            f"model must have the {runs[0].n_states} states of probs, got {n_states}; "
            "estimate it from these probabilities"
        )
    if any(run.trajectory.cell is None for run in runs):
        raise ValueError(
            "trajs must have cells: the conductivity needs a volume, got cell=None; "
            "use transition_diffusion for systems without one"
        )


def check_charges(
    state_charges: ArrayLike, target_charges: Any, runs: list[TransportRun]
) -> Charges:
    n_states = runs[0].n_states
    states = np.asarray(state_charges, dtype=np.float64)
    if states.shape not in ((), (n_states,)) or not np.isfinite(states).all() or not states.any():
        raise ValueError(
            f"state_charges must be one charge in e or {n_states} of them, finite and not all "
            f"zero, got {state_charges!r}"
        )
    states = np.broadcast_to(states, (n_states,)).copy()
    if target_charges is None:
        return Charges(states, None)
    own = np.atleast_1d(np.asarray(target_charges, dtype=np.float64))
    n_targets = {run.n_targets for run in runs}
    fits = own.ndim == 1 and (len(own) == 1 or {len(own)} == n_targets)
    if not fits or not np.isfinite(own).all() or not own.any():
        raise ValueError(
            "target_charges must be one charge in e or one per target (the same targets in every "
            f"trajectory; here {sorted(n_targets)}), finite and not all zero, "
            f"got {target_charges!r}"
        )
    return Charges(states, own)


def check_temperature(temperature: Any) -> float:
    if isinstance(temperature, bool) or not np.isfinite(temperature) or temperature <= 0:
        raise ValueError(f"temperature must be a positive number of K, got {temperature!r}")
    return float(temperature)
