"""Conductivity at lags where the data end: `predict_conduction`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.checks import check_integer
from graphkoopman.generation._closure import Closure, check_times, displaced
from graphkoopman.generation._displacements import Memory, remembering_runs
from graphkoopman.probabilities import ProbabilitiesLike
from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.trajectories import TargetsLike, TrajectoriesLike
from graphkoopman.transport import (
    NERNST_EINSTEIN,
    UNITS,
    Drift,
    ModelLike,
    check_carriers,
    check_charges,
    check_model,
    check_runs,
    check_temperature,
    collective_step_sums,
    number_density,
    prepare_runs,
    step_sums,
)
from graphkoopman.uncertainty import check_unit, with_refits

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PredictedConduction(Tabular):
    r"""Conductivity at long times, from a model and the steps of short runs.

    Secants, :math:`\langle\cdot\rangle(t)/6t`, in S/cm. All intervals are 95 %, low and high on
    the last axis.

    Attributes
    ----------
    times : ndarray of shape (n_times,)
        ps.
    nernst_einstein : ndarray of shape (n_times,)
        Conductivity of the targets, as if no other ion moved.
    nernst_einstein_interval : ndarray of shape (n_times, 2)
    einstein : ndarray of shape (n_times,)
        Conductivity of all carriers together.
    einstein_interval : ndarray of shape (n_times, 2)
        Its interval, from blocks of time.
    nernst_einstein_limit, einstein_limit : float
        Beyond all memory.
    nernst_einstein_limit_interval, einstein_limit_interval : ndarray of shape (2,)
    memory : int
        Lag times after which a step is taken to have forgotten its direction.
    memory_holds : bool or None
        See `PredictedMSD`; of single targets.
    temperature : float
        K.
    lagtime : int
        Frames.
    timestep : float
        ps per frame.
    unit : str
        What was left out in turn for the Nernst-Einstein conductivity.
    n_units, n_blocks : int
        Number of such units, and of blocks behind the Einstein conductivity.
    """

    times: Array
    nernst_einstein: Array
    nernst_einstein_interval: Array
    einstein: Array
    einstein_interval: Array
    nernst_einstein_limit: float
    nernst_einstein_limit_interval: Array
    einstein_limit: float
    einstein_limit_interval: Array
    memory: int
    memory_holds: bool | None
    temperature: float
    lagtime: int
    timestep: float
    unit: str
    n_units: int
    n_blocks: int

    def __repr__(self) -> str:
        low, high = self.einstein_limit_interval
        return (
            f"PredictedConduction(n_times={len(self.times)}, to {self.times.max():g} ps, "
            f"einstein_limit={self.einstein_limit:.4g} [{low:.4g}, {high:.4g}] S/cm)"
        )

    def table(self) -> dict[str, Any]:
        """One row per time."""
        return {
            "time / ps": self.times,
            **interval_columns(
                "Nernst-Einstein / S/cm", self.nernst_einstein, self.nernst_einstein_interval
            ),
            **interval_columns("Einstein / S/cm", self.einstein, self.einstein_interval),
        }


@with_refits
def predict_conduction(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    model: ModelLike,
    times: ArrayLike,
    *,
    state_charges: ArrayLike,
    temperature: float,
    target_charges: ArrayLike | None = None,
    others: Any = None,
    memory: Memory = "auto",
    drift: Drift = None,
    stride: int = 1,
    unit: str = "auto",
) -> PredictedConduction:
    r"""Conductivity after many lag times, from runs of a few.

    As `predict_displacements`, for steps that are multiplied with charges: of single targets from
    the model's stationary distribution, and of all carriers together, where

    .. math::
        \sigma_E(n\tau) = \frac{e^2}{6n\tau Vk_BT}
            \Big[nB(0) + 2\sum_{m=1}^{\min(M,\,n-1)}(n-m)B(m)\Big],
        \qquad B(m) = \langle\vec J_0\cdot\vec J_m\rangle .

    Parameters
    ----------
    trajs, probs, targets, model
        See `predict_displacements`. The trajectories need cells.
    times : float or array-like of shape (n_times,)
        ps, none below one lag time.
    state_charges, temperature, target_charges, others
        See `graphkoopman.transport.onsager_contributions`.
    memory : int or "auto"
        Number M of lag times after which a step has forgotten its direction; "auto" is that of
        single targets, see `predict_displacements`. Currents are taken to forget as fast.
    drift, stride, unit
        See `graphkoopman.transport.transition_displacements`; the unit is that of single targets.

    Returns
    -------
    PredictedConduction

    Raises
    ------
    ValueError
        If an argument is not as described, there is no cell, or no trajectory is long enough.

    Warns
    -----
    ClosureWarning, ShortTrajectoryWarning
        See `predict_displacements`.

    Notes
    -----
    The collective part has no states: its steps are those of the data, which must be in
    equilibrium. Its error falls with the length of the data only.

    References
    ----------
    .. [1] T. Xie et al., Nat. Commun. 10, 2667 (2019), eqs. (15), (16).
    """
    matrix, populations, tau = check_model(model)
    runs = prepare_runs(trajs, probs, targets, tau, drift, "the lagtime of model")
    check_runs(runs, len(matrix))
    charges = check_charges(state_charges, target_charges, runs)
    step = tau * runs[0].trajectory.timestep
    moments = check_times(times, step)
    apart = check_integer(stride, "stride", 1)
    check_unit(unit, UNITS)
    scale = NERNST_EINSTEIN / check_temperature(temperature)
    runs, order, seen = remembering_runs(runs, memory, tau, apart, matrix, populations)
    carriers = check_carriers(others, runs)
    single, units = step_sums(runs, tau, order, apart, unit, charges)
    together, blocks = collective_step_sums(runs, tau, order, apart, charges, carriers)
    alone = Closure.of(single, units, matrix, populations)
    current = Closure.of(together, blocks, np.ones((1, 1)), np.ones(1))
    density = number_density(runs, tau)
    return PredictedConduction(
        times=moments,
        **_secants("nernst_einstein", alone, order, moments, step, scale * density),
        **_secants("einstein", current, order, moments, step, scale),
        memory=order,
        memory_holds=seen.memory_holds if memory == "auto" else None,
        temperature=float(temperature),
        lagtime=tau,
        timestep=runs[0].trajectory.timestep,
        unit=units.name,
        n_units=units.n_units,
        n_blocks=blocks.n_units,
    )


def _secants(
    name: str, closure: Closure, memory: int, times: Array, step: float, scale: float
) -> dict[str, Any]:
    """Conductivity over time and its limit, with intervals; `scale` in S/cm per Å²/ps of D."""
    path = np.einsum("uti,ui->ut", displaced(closure, memory, 1, times / step), closure.populations)
    secants = scale * path / (6.0 * times)
    correlation = closure.mean_correlation()[:, : memory + 1]
    limit = scale * (correlation[:, 0] + 2.0 * correlation[:, 1:].sum(axis=1)) / (6.0 * step)
    return {
        name: secants[0],
        f"{name}_interval": closure.interval(secants, positive=bool((secants[0] > 0).all())),
        f"{name}_limit": float(limit[0]),
        f"{name}_limit_interval": closure.interval(limit, positive=bool(limit[0] > 0)),
    }
