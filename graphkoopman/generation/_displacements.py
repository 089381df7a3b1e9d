"""Squared displacement at times that no run reaches: `predict_displacements`."""

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.generation._warnings import ClosureWarning
from graphkoopman.transport._drift import Drift
from graphkoopman.transport._inputs import check_model
from graphkoopman.transport._intervals import UNITS, Units, jackknife
from graphkoopman.transport._runs import Run, check_count, longer_than, prepare_runs
from graphkoopman.transport._steps import StepSums, step_sums
from graphkoopman.uncertainty import Scatter, check_unit

Array = NDArray[np.float64]
Memory = int | Literal["auto"]

# More steps of memory than this cost noise, and runs that long need no prediction.
LONGEST_MEMORY = 10
# Paths as long as the memory, of single targets and without overlap, that it must be seen in.
FEWEST_PATHS = 30
# Share of the frames that a longer memory may not leave out.
MOST_FRAMES = 0.9
ENOUGH_TARGETS = 10
CERTAIN = 1.5  # half-widths of a 95 % interval


@dataclass(frozen=True, eq=False)
class PredictedMSD:
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


def predict_displacements(
    trajs: Any,
    probs: ArrayLike | list[ArrayLike],
    targets: Any,
    model: Any,
    times: ArrayLike,
    *,
    start: ArrayLike | None = None,
    memory: Memory = "auto",
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
    drift, stride, unit
        See `graphkoopman.transport.transition_displacements`.

    Returns
    -------
    PredictedMSD

    Raises
    ------
    ValueError
        If an argument is not as described, or no trajectory is longer than
        ``(memory + 1) * lagtime`` frames.

    Warns
    -----
    ClosureWarning
        If steps remember their direction for longer than the data can show.
    ShortTrajectoryWarning
        See `graphkoopman.transport.transition_displacements`.

    Notes
    -----
    What is assumed, and measured up to the memory M: a step depends on the past through the state
    at its start, and on the directions of M steps before. States need not be crisp; averages are
    then reweighted from the data to the model's distributions as in [2]_. M = 0 is a renewal
    process, a continuous-time random walk over the states. Memory of the states themselves, where
    a Chapman-Kolmogorov test fails, is not corrected: it moves ``msd_from`` and predictions from
    another ``start`` at times near the relaxation times, and a longer lag time is the remedy.

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
    order = 0 if memory == "auto" else _check_memory(memory)
    name = "the lagtime of model" if order == 0 else "memory, in steps of the model's lagtime,"
    runs = prepare_runs(trajs, probs, targets, (order + 1) * tau, drift, name)
    if runs[0].n_states != len(matrix):
        raise ValueError(
            f"model must have the {runs[0].n_states} states of probs, got {len(matrix)}; "
            "estimate it from these probabilities"
        )
    step = tau * runs[0].trajectory.timestep
    moments = _check_times(times, step)
    apart = check_count(stride, "stride")
    check_unit(unit, UNITS)
    holds = None
    if memory == "auto":
        order, holds = _choose_memory(runs, tau, apart, matrix, populations)
        runs = longer_than(runs, (order + 1) * tau, "the lagtime of model")
    if holds is False:
        warnings.warn(
            f"steps of {step:g} ps remember their direction for {order} lag times or more, as far "
            "as the runs reach, and what comes later is not in the prediction; use a longer lag "
            "time or longer runs",
            ClosureWarning,
            stacklevel=2,
        )
    sums, units = step_sums(runs, tau, order, apart, unit)
    closure = _Closure.of(sums, units, matrix, populations)
    return PredictedMSD(
        times=moments,
        **_with_intervals(closure, order, first, moments / step, step),
        memory=order,
        memory_holds=holds,
        longest=max(run.n_frames - 1 for run in runs) * runs[0].trajectory.timestep,
        lagtime=tau,
        timestep=runs[0].trajectory.timestep,
        unit=units.name,
        n_units=units.n_units,
    )


@dataclass(frozen=True, eq=False)
class _Closure:
    """Estimates and their values without each unit: axis 0 is all data, then one unit less each.

    Attributes
    ----------
    correlation : ndarray of shape (n_units + 1, n_gaps, n_states)
        Å², see `StepSums.correlation`.
    matrix : ndarray of shape (n_units + 1, n_states, n_states)
    populations : ndarray of shape (n_units + 1, n_states)
    weights : ndarray of shape (n_units,)
        Pairs of frames in each unit.
    scatter : Scatter
    """

    correlation: Array
    matrix: Array
    populations: Array
    weights: Array
    scatter: Scatter

    @classmethod
    def of(cls, sums: StepSums, units: Units, matrix: Array, populations: Array) -> "_Closure":
        """Of the sums of every unit and a model, which varies with the units as the data do."""
        pooled, without = sums.total(), sums.leave_one_out()
        # the model itself first, then with what its data lack without each unit
        change = without.koopman_matrix() - pooled.koopman_matrix()
        matrices = np.concatenate([matrix[None], matrix + change])
        return cls(
            correlation=np.concatenate([pooled.correlation()[None], without.correlation()]),
            matrix=matrices,
            populations=_stationary_near(matrices, populations),
            weights=sums.n_pairs[:, 0],
            scatter=units.scatter,
        )

    def mean_correlation(self) -> Array:
        """Correlation of steps in the stationary distribution, (n_units + 1, n_gaps) in Å²."""
        return np.einsum("umi,ui->um", self.correlation, self.populations)

    def interval(self, values: Array, *, positive: bool = False) -> Array:
        """Interval of values[0] from values[1:], (..., 2)."""
        weights = self.weights.reshape(-1, *(1,) * (values.ndim - 1))
        weights = np.broadcast_to(weights, values[1:].shape)
        return jackknife(values[0], values[1:], weights, self.scatter, positive=positive)


def _stationary_near(matrices: Array, populations: Array) -> Array:
    """Stationary distribution of each matrix, the nearest to `populations` where it is not unique.

    (n_units + 1, n_states); the first is `populations` to rounding.
    """
    n_states = len(populations)
    # (Kᵀ - 1) δ = -(Kᵀ - 1) π and Σ δ = 0 for the difference δ
    system = matrices.transpose(0, 2, 1) - np.eye(n_states)
    missed = -(system @ populations)
    rows = np.concatenate([system, np.ones((len(matrices), 1, n_states))], axis=1)
    right = np.concatenate([missed, np.zeros((len(matrices), 1))], axis=1)
    change = (np.linalg.pinv(rows, rcond=1e-10) @ right[..., None])[..., 0]
    return populations + change


def _displaced(closure: _Closure, memory: int, n_steps: NDArray[np.int64]) -> Array:
    """Squared displacement from each state, (n_units + 1, n_times, n_states) in Å².

    A path of n steps is its first step, with what follows of its direction, and a path of n - 1
    steps from where that leads: f(n) = g(n - 1) + K f(n - 1).
    """
    gains = closure.correlation[:, 0] + 2.0 * np.concatenate(
        [
            np.zeros_like(closure.correlation[:, :1]),
            np.cumsum(closure.correlation[:, 1 : memory + 1], axis=1),
        ],
        axis=1,
    ).transpose(1, 0, 2)  # (memory + 1, n_units + 1, n_states)
    found = np.zeros((len(n_steps), *gains.shape[1:]))
    path = np.zeros(gains.shape[1:])
    for n in range(1, int(n_steps.max()) + 1):
        path = gains[min(n - 1, memory)] + np.einsum("uij,uj->ui", closure.matrix, path)
        found[n_steps == n] = path
    return found.transpose(1, 0, 2)


def _with_intervals(
    closure: _Closure, memory: int, start: Array | None, n_steps: Array, step: float
) -> dict[str, Any]:
    """Every estimate with its interval; times come in steps of `step` ps."""
    below = np.floor(n_steps + 1e-9).astype(np.int64)
    share = np.clip(n_steps - below, 0.0, None)[:, None]
    ends = [_displaced(closure, memory, n) for n in (below, below + 1)]
    msd_from = (1.0 - share) * ends[0] + share * ends[1]
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


def _choose_memory(
    runs: list[Run], tau: int, stride: int, matrix: Array, populations: Array
) -> tuple[int, bool | None]:
    """Smallest memory that leaves nothing out, and whether it does, None if that is not seen."""
    longest = _longest_memory(runs, tau)
    if longest < 2:
        return longest, None
    reaching = [run for run in runs if run.n_frames > (longest + 1) * tau]
    # targets as independent: a memory that is not there costs noise, one that is missed a bias
    few = sum(run.n_targets for run in reaching) < ENOUGH_TARGETS
    unit = "blocks+targets" if few else "trajectories+targets"
    closure = _Closure.of(*step_sums(reaching, tau, longest, stride, unit), matrix, populations)
    correlation = closure.mean_correlation()
    for memory in range(1, longest):
        left_out = np.cumsum(correlation[:, memory + 1 :], axis=1)
        limits = closure.interval(left_out)
        if ((limits[:, 0] <= 0.0) & (limits[:, 1] >= 0.0)).all():
            return memory, True
    low, high = closure.interval(correlation[:, -1])
    # one in twenty is outside by chance; thrice the standard error is said aloud
    certain = abs(correlation[0, -1]) > CERTAIN * 0.5 * (high - low)
    return longest, False if certain else None


def _longest_memory(runs: list[Run], tau: int) -> int:
    """Lag times from step to step that nearly all frames show, and often enough."""
    lengths = np.array([run.n_frames for run in runs])
    n_targets = np.array([run.n_targets for run in runs])
    longest = 0
    for memory in range(LONGEST_MEMORY + 1):
        n_paths = (lengths - 1) // ((memory + 1) * tau)
        covered = lengths[n_paths > 0].sum() >= MOST_FRAMES * lengths.sum()
        # one step to the next is asked for however few data there are
        if covered and (n_paths @ n_targets >= FEWEST_PATHS or memory == 1):
            longest = memory
    return longest


def _check_memory(memory: Any) -> int:
    if isinstance(memory, bool) or not isinstance(memory, int | np.integer) or memory < 0:
        raise ValueError(
            f'memory must be "auto" or a number of lag times >= 0, got {memory!r}; 0 is a '
            "renewal process"
        )
    return int(memory)


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


def _check_times(times: ArrayLike, step: float) -> Array:
    moments = np.atleast_1d(np.asarray(times, dtype=np.float64))
    fits = moments.ndim == 1 and moments.size > 0 and np.isfinite(moments).all()
    if not fits or moments.min() < step * (1.0 - 1e-9):
        raise ValueError(
            f"times must be finite numbers of ps, none below one lag time ({step:g} ps), "
            f"got {times!r}; transition_displacements gives shorter times"
        )
    return moments
