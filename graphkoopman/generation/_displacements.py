"""Squared displacement at times that no run reaches: `predict_displacements`."""

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.checks import check_integer
from graphkoopman.generation._closure import (
    Closure,
    Seen,
    check_memory,
    check_times,
    displaced,
    look,
)
from graphkoopman.generation._warnings import ClosureWarning
from graphkoopman.probabilities import ProbabilitiesLike
from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.trajectories import TargetsLike, TrajectoriesLike
from graphkoopman.transport import (
    UNITS,
    Drift,
    ModelLike,
    TransportRun,
    check_model,
    longer_than,
    prepare_runs,
    step_sums,
)
from graphkoopman.uncertainty import check_unit, with_refits

Array = NDArray[np.float64]
Memory = int | Literal["auto"]


@dataclass(frozen=True, eq=False)
class PredictedMSD(Tabular):
    r"""Mean squared displacement at long times, from a model and the steps of short runs.

    All intervals are 95 %, low and high on the last axis.

    Attributes
    ----------
    times : ndarray of shape (n_times,)
        ps.
    msd : ndarray of shape (n_times,)
        Å², of all targets, from ``start``.
    msd_interval : ndarray of shape (n_times, 2)
        Å².
    msd_from : ndarray of shape (n_times, n_states)
        Å², of targets that start in each state.
    msd_from_interval : ndarray of shape (n_times, n_states, 2)
        Å².
    diffusion : float
        Diffusion coefficient at times beyond all memory, Å²/ps.
    diffusion_interval : ndarray of shape (2,)
        Å²/ps.
    correlation : ndarray of shape (memory + 1,)
        Mean product of two steps that are 0, 1, ... lag times apart, Å².
    correlation_interval : ndarray of shape (memory + 1, 2)
        Å².
    memory : int
        Lag times after which a step is taken to have forgotten its direction.
    memory_holds : bool or None
        Whether the correlation left out is zero as far as runs reach; None where they reach no
        further than the memory, or the memory was given.
    state_memory : int
        Lag times that states remember, in the prediction.
    states_forget : bool or None
        Whether a single lag time is enough for what the data show (Chapman-Kolmogorov test); None
        where they show too little.
    longest : float
        Longest time in ps that the data themselves reach.
    lagtime : int
        Frames.
    timestep : float
        ps per frame.
    unit : str
        What was left out in turn by the jackknife.
    n_units : int
        Number of such units.
    """

    figure = "plot_predicted_msd"

    times: Array
    msd: Array
    msd_interval: Array
    msd_from: Array
    msd_from_interval: Array
    diffusion: float
    diffusion_interval: Array
    correlation: Array
    correlation_interval: Array
    memory: int
    memory_holds: bool | None
    state_memory: int
    states_forget: bool | None
    longest: float
    lagtime: int
    timestep: float
    unit: str
    n_units: int

    def __repr__(self) -> str:
        low, high = self.diffusion_interval
        return (
            f"PredictedMSD(n_times={len(self.times)}, to {self.times.max():g} ps, "
            f"diffusion={self.diffusion:.4g} [{low:.4g}, {high:.4g}] Å²/ps, memory={self.memory})"
        )

    def table(self) -> dict[str, Any]:
        """One row per time and state begun in; the state -1 stands for all of them."""
        values = np.column_stack([self.msd, self.msd_from])
        limits = np.concatenate([self.msd_interval[:, None], self.msd_from_interval], axis=1)
        return {
            "time / ps": self.times[:, None],
            "from": np.arange(-1, self.msd_from.shape[1]),
            **interval_columns("squared displacement / angstrom^2", values, limits),
        }


@with_refits
def predict_displacements(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    model: ModelLike,
    times: ArrayLike,
    *,
    start: ArrayLike | None = None,
    memory: Memory = "auto",
    state_memory: Memory = 1,
    drift: Drift = None,
    stride: int = 1,
    unit: str = "auto",
) -> PredictedMSD:
    r"""Mean squared displacement after many lag times, from runs of a few.

    With steps :math:`\vec d_l` of one lag time and :math:`c_i(m)=E[\vec d_0\cdot\vec d_m\,|\,i]`
    of targets that start in state i,

    .. math::
        \mathrm{MSD}(n\tau\,|\,p_0) = \sum_{l=0}^{n-1} p_0^TK^l\Big[c(0) +
            2\sum_{m=1}^{\min(M,\,n-1-l)} c(m)\Big],

    where :math:`c_i(0)=\sum_jK_{ij}\,E[d^2(\tau)|i\to j]` holds the transition displacements (13).

    Parameters
    ----------
    trajs, probs, targets
        See `graphkoopman.transport.transition_displacements`.
    model : KoopmanModel
        Anything with ``koopman_matrix``, ``stationary_distribution`` and ``lagtime``, or with a
        ``prior`` that has them. Its lag time is the step.
    times : float or array-like of shape (n_times,)
        ps, none below one lag time. Between whole lag times the prediction is a straight line.
    start : array-like of shape (n_states,) or None
        Distribution over states at time zero; the model's stationary distribution by default.
        Data need not be in either.
    memory : int or "auto"
        Number M of lag times after which a step has forgotten its direction. "auto" is the
        smallest from one on where the correlation left out, as far as runs reach and show it 30
        times or more, sums to zero within its interval; at most 10.
    state_memory : int or "auto"
        Number of lag times that states remember. One is the model by itself; more replace
        :math:`K^l` by :math:`K(l\tau)` from the discrete memory kernel of the data,
        `transfer_tensors`. "auto" is the smallest whose predictions agree with the data within
        their interval.
    drift, stride, unit
        See `graphkoopman.transport.transition_displacements`.

    Returns
    -------
    PredictedMSD

    Raises
    ------
    ValueError
        If an argument is not as described, or no trajectory is longer than
        ``(memory + 1) * lagtime`` and ``state_memory * lagtime`` frames.

    Warns
    -----
    ClosureWarning
        If steps remember their direction for longer than the data can show, or states remember
        more than ``state_memory`` takes into account; the message says which longer lag time
        would do.
    ShortTrajectoryWarning
        See `graphkoopman.transport.transition_displacements`.

    Notes
    -----
    What is assumed, and measured up to the memory M: a step depends on the past through the state
    at its start, and on the directions of M steps before. States need not be crisp; averages are
    then reweighted from the data to the model's distributions as in [2]_. M = 0 is a renewal
    process, a continuous-time random walk over the states. Memory of the states themselves, where
    a Chapman-Kolmogorov test fails, moves ``msd_from`` and predictions from another ``start`` at
    times near the relaxation times, and not the long-time slope. A longer lag time is the plain
    remedy; ``state_memory`` corrects populations, but takes the mean square of a step still from
    the state at its start alone.

    Vibration is a correlation of -⟨u²⟩ between neighbouring steps, so a memory of one or more
    takes it out of the long-time slope. Anomalous diffusion whose correlation decays slower than
    the runs are long cannot be predicted from them, and is warned of where it shows.

    With ``unit="auto"`` an interval rests on blocks of time with all targets together. A run of a
    few memories has few of them, and an interval that says little; where targets move
    independently, ``unit="targets"`` or ``"trajectories+targets"`` says more.

    The interval holds the sampling of displacements and of K; frequencies of K are taken to vary
    from unit to unit as those of the data. It does not hold the training of the network.

    References
    ----------
    .. [1] T. Xie et al., Nat. Commun. 10, 2667 (2019), eq. (13).
    .. [2] H. Wu et al., J. Chem. Phys. 146, 154104 (2017): Koopman reweighting.
    .. [3] J. W. Haus and K. W. Kehr, Phys. Rep. 150, 263 (1987): random walks with correlation
       between steps, and continuous-time random walks.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.generation import predict_displacements
    >>> from graphkoopman.koopman import estimate_koopman
    >>> from graphkoopman.trajectories import Trajectory
    >>> rng = np.random.default_rng(0)
    >>> steps = rng.normal(size=(51, 200, 3))
    >>> walk = Trajectory(np.cumsum(steps, axis=0), None, [3] * 200, timestep=0.5)
    >>> probs = np.eye(2)[rng.integers(2, size=(51, 200))]
    >>> model = estimate_koopman(probs, 10)
    >>> result = predict_displacements(walk, probs, "element Li", model, [5.0, 500.0])
    >>> result.msd.round(-1), result.longest  # exact: 30 and 3000
    (array([  30., 3110.]), 25.0)
    """
    matrix, populations, tau = check_model(model)
    first = _check_start(start, populations)
    runs = prepare_runs(trajs, probs, targets, tau, drift, "the lagtime of model")
    step = tau * runs[0].trajectory.timestep
    moments = check_times(times, step)
    apart = check_integer(stride, "stride", 1)
    check_unit(unit, UNITS)
    runs, order, seen = remembering_runs(runs, memory, tau, apart, matrix, populations)
    kernel = (
        seen.state_memory
        if state_memory == "auto"
        else check_memory(state_memory, "state_memory", least=1)
    )
    _warn_of_states(seen, kernel, step)
    runs = longer_than(runs, max(order + 1, kernel) * tau, "state_memory lag times")
    sums, units = step_sums(runs, tau, max(order, kernel - 1), apart, unit)
    closure = Closure.of(sums, units, matrix, populations).remembering(kernel)
    return PredictedMSD(
        times=moments,
        **_with_intervals(closure, order, kernel, first, moments / step, step),
        memory=order,
        memory_holds=seen.memory_holds if memory == "auto" else None,
        state_memory=kernel,
        states_forget=seen.states_forget,
        longest=max(run.n_frames - 1 for run in runs) * runs[0].trajectory.timestep,
        lagtime=tau,
        timestep=runs[0].trajectory.timestep,
        unit=units.name,
        n_units=units.n_units,
    )


def remembering_runs(
    runs: list[TransportRun],
    memory: Memory,
    tau: int,
    stride: int,
    matrix: Array,
    populations: Array,
) -> tuple[list[TransportRun], int, Seen]:
    """Runs that are long enough for a memory, the memory, and what the data show of it.

    Warns where steps remember their direction for as long as the runs last.
    """
    if runs[0].n_states != len(matrix):
        raise ValueError(
            f"model must have the {runs[0].n_states} states of probs, got {len(matrix)}; "
            "estimate it from these probabilities"
        )
    given = None if memory == "auto" else check_memory(memory)
    seen = look(runs, tau, stride, matrix, populations)
    if given is not None:
        return longer_than(runs, (given + 1) * tau, "(memory + 1) lag times"), given, seen
    order = seen.memory
    if seen.memory_holds is False:
        step = tau * runs[0].trajectory.timestep
        warnings.warn(
            f"steps of {step:g} ps remember their direction for {order} lag times or more, as far "
            "as the runs reach, and what comes later is not in the prediction; use a longer lag "
            "time or longer runs",
            ClosureWarning,
            stacklevel=3,
        )
    return longer_than(runs, (order + 1) * tau, "the lagtime of model"), order, seen


def _warn_of_states(seen: Seen, state_memory: int, step: float) -> None:
    """Say so where states remember more than the prediction knows."""
    if seen.states_forget is not False or state_memory >= seen.state_memory:
        return
    longer = (
        f"a model of these states at a lag time of {seen.better * step:g} ps forgets"
        if seen.better is not None
        else "no longer lag time that the runs can test forgets"
    )
    warnings.warn(
        f"states remember more than {state_memory} lag times of {step:g} ps: targets stay in their "
        f"state with a probability that is {seen.surplus:+.3f} off the model's powers, which moves "
        f"msd_from and what begins in start; {longer}, or take "
        f"state_memory={seen.state_memory}",
        ClosureWarning,
        stacklevel=4,
    )


def _with_intervals(
    closure: Closure,
    memory: int,
    state_memory: int,
    start: Array | None,
    n_steps: Array,
    step: float,
) -> dict[str, Any]:
    """Every estimate with its interval; times come in steps of `step` ps."""
    msd_from = displaced(closure, memory, state_memory, n_steps)
    weights = closure.populations if start is None else start[None]
    msd = np.einsum("uti,ui->ut", msd_from, np.broadcast_to(weights, closure.populations.shape))
    correlation = closure.mean_correlation()[:, : memory + 1]
    diffusion = (correlation[:, 0] + 2.0 * correlation[:, 1:].sum(axis=1)) / (6.0 * step)
    return {
        "msd": msd[0],
        "msd_interval": closure.interval(msd, positive=bool((msd[0] > 0).all())),
        "msd_from": msd_from[0],
        "msd_from_interval": closure.interval(msd_from, positive=bool((msd_from[0] > 0).all())),
        "diffusion": float(diffusion[0]),
        "diffusion_interval": closure.interval(diffusion, positive=bool(diffusion[0] > 0)),
        "correlation": correlation[0],
        "correlation_interval": closure.interval(correlation),
    }


def _check_start(start: ArrayLike | None, populations: Array) -> Array | None:
    if start is None:
        return None
    first = np.asarray(start, dtype=np.float64)
    if first.shape != populations.shape or not (first >= 0).all() or abs(first.sum() - 1) > 1e-6:
        raise ValueError(
            f"start must be {len(populations)} probabilities that sum to one, got {start!r}; "
            "one state is a row of np.eye(n_states)"
        )
    return first
