"""Long times from the steps of short runs: `Closure`, `displaced`, `Seen`, `look`."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.generation._state_memory import propagators, transfer_tensors
from graphkoopman.transport import StepSums, TransportRun, Units, jackknife, step_sums
from graphkoopman.uncertainty import Scatter

Array = NDArray[np.float64]

# More steps of memory than this cost noise, and runs that long need no prediction.
LONGEST_MEMORY = 10
# Paths as long as the memory, of single targets and without overlap, that it must be seen in.
FEWEST_PATHS = 30
# Share of the frames that a longer memory may not leave out.
MOST_FRAMES = 0.9
ENOUGH_TARGETS = 10
# Of the data in the rarest state at one lag time: less at more of them is no data.
LEAST_SHARE = 0.1
CERTAIN = 1.5  # half-widths of a 95 % interval


@dataclass(frozen=True, eq=False)
class Closure:
    """Estimates and their values without each unit: axis 0 is all data, then one unit less each.

    Attributes
    ----------
    correlation : ndarray of shape (n_units + 1, n_gaps, n_states)
        Å², see `StepSums.correlation`.
    matrices : ndarray of shape (n_units + 1, n_gaps, n_states, n_states)
        K after 1, 2, ... lag times: that of the model, then those of the data, as far as all
        states were seen to begin such times.
    populations : ndarray of shape (n_units + 1, n_states)
    weights : ndarray of shape (n_units,)
        Pairs of frames in each unit.
    scatter : Scatter
    """

    correlation: Array
    matrices: Array
    populations: Array
    weights: Array
    scatter: Scatter

    @classmethod
    def of(cls, sums: StepSums, units: Units, matrix: Array, populations: Array) -> "Closure":
        """Of the sums of every unit and a model, which varies with the units as the data do."""
        pooled, without = sums.total(), sums.leave_one_out()
        # the model itself first, then with what its data lack without each unit
        known = _known(pooled.overlap)
        of_data = pooled.koopman_matrices()[:known]
        replicates = without.koopman_matrices()[:, :known]
        model = of_data.copy()
        model[0] = matrix
        matrices = np.concatenate([model[None], model + replicates - of_data])
        return cls(
            correlation=np.concatenate([pooled.correlation()[None], without.correlation()]),
            matrices=matrices,
            populations=_stationary_near(matrices[:, 0], populations),
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

    def at_every(self, k: int) -> "Closure":
        """With the matrices of every k-th lag time only."""
        return replace(self, matrices=self.matrices[:, k - 1 :: k])

    def remembering(self, state_memory: int) -> "Closure":
        """With the stationary distribution that states of that memory have."""
        if state_memory == 1:
            return self
        # probabilities at rest are those that all tensors together leave as they are
        at_rest = transfer_tensors(self.matrices[:, :state_memory]).sum(axis=1)
        return replace(self, populations=_stationary_near(at_rest, self.populations[0]))

    def surplus(self, state_memory: int) -> Array:
        """Mean probability to be in the state begun in, observed minus predicted.

        Parameters
        ----------
        state_memory : int
            Lag times that states remember, in the prediction.

        Returns
        -------
        ndarray of shape (n_units + 1,)
            Mean over states and the lag times beyond the memory; a Chapman-Kolmogorov error.
        """
        n_gaps = self.matrices.shape[1]
        tensors = transfer_tensors(self.matrices[:, :state_memory])
        predicted = propagators(tensors, n_gaps)[1:].transpose(1, 0, 2, 3)
        beyond = (self.matrices - predicted)[:, state_memory:]
        return np.trace(beyond, axis1=2, axis2=3).mean(axis=1) / beyond.shape[-1]


def _known(overlap: Array) -> int:
    """Lag times whose Koopman matrix has data in every state, (n_gaps, n_states, n_states)."""
    smallest = np.linalg.eigvalsh(overlap)[:, 0] / np.trace(overlap, axis1=1, axis2=2)
    few = np.flatnonzero(smallest < LEAST_SHARE * smallest[0])
    return int(few[0]) if len(few) else len(smallest)


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


def displaced(closure: Closure, memory: int, state_memory: int, n_steps: Array) -> Array:
    """Squared displacement from each state, (n_units + 1, n_times, n_states) in Å².

    The l-th step of a path of n has the mean square of the states at its start, with what follows
    of its direction: f(n) = Σ_l K(lτ) g(n - 1 - l). Between whole steps it is a straight line.
    """
    below = np.floor(n_steps + 1e-9).astype(np.int64)
    share = np.clip(n_steps - below, 0.0, None)[:, None]
    ends = [_displaced(closure, memory, state_memory, n) for n in (below, below + 1)]
    return (1.0 - share) * ends[0] + share * ends[1]


def _displaced(
    closure: Closure, memory: int, state_memory: int, n_steps: NDArray[np.int64]
) -> Array:
    """Squared displacement after whole numbers of steps."""
    gains = closure.correlation[:, 0] + 2.0 * np.concatenate(
        [
            np.zeros_like(closure.correlation[:, :1]),
            np.cumsum(closure.correlation[:, 1 : memory + 1], axis=1),
        ],
        axis=1,
    ).transpose(1, 0, 2)  # (memory + 1, n_units + 1, n_states)
    tensors = transfer_tensors(closure.matrices[:, :state_memory])
    found = np.zeros((len(n_steps), *gains.shape[1:]))
    # Σ_l K(lτ) g of the steps that have all their memory within the path
    whole = np.zeros(gains.shape[1:])
    recent: list[Array] = []  # K(lτ) of the last steps, the latest first
    for n in range(1, int(n_steps.max()) + 1):
        recent.insert(0, _next(tensors, recent))
        if n > memory:
            whole = whole + np.einsum("uij,uj->ui", recent[memory], gains[memory])
        if (n_steps == n).any():
            last = [np.einsum("uij,uj->ui", recent[k], gains[k]) for k in range(min(n, memory))]
            found[n_steps == n] = sum(last, whole)
        del recent[max(memory + 1, state_memory) :]
    return found.transpose(1, 0, 2)


def _next(tensors: Array, recent: list[Array]) -> Array:
    """K of the next multiple of the lag time from those before, the latest first."""
    if not recent:
        return np.broadcast_to(np.eye(tensors.shape[-1]), tensors[:, 0].shape)
    pairs = zip(np.moveaxis(tensors, 1, 0), recent, strict=False)
    return np.asarray(sum(tensor @ before for tensor, before in pairs))


@dataclass(frozen=True)
class Seen:
    """What the data show of memory.

    Attributes
    ----------
    memory : int
        Smallest number of lag times after which a step has forgotten its direction, as far as is
        seen; without data of longer ones, all that are.
    memory_holds : bool or None
        Whether what it leaves out is zero; None where that is not seen.
    state_memory : int
        Smallest number of lag times that states remember.
    states_forget : bool or None
        Whether a single lag time is enough; None where that is not seen.
    surplus : float
        Chapman-Kolmogorov error of the model: see `Closure.surplus`.
    better : int or None
        Smallest multiple of the lag time at which it is zero within its interval.
    """

    memory: int
    memory_holds: bool | None
    state_memory: int = 1
    states_forget: bool | None = None
    surplus: float = np.nan
    better: int | None = None


def look(
    runs: list[TransportRun], tau: int, stride: int, matrix: Array, populations: Array
) -> Seen:
    """Smallest memories of directions and of states that leave nothing out."""
    longest = _longest_memory(runs, tau)
    if longest < 2:
        return Seen(longest, None)
    reaching = [run for run in runs if run.n_frames > (longest + 1) * tau]
    # targets as independent: a memory that is not there costs noise, one that is missed a bias
    few = sum(run.n_targets for run in reaching) < ENOUGH_TARGETS
    unit = "blocks+targets" if few else "trajectories+targets"
    closure = Closure.of(*step_sums(reaching, tau, longest, stride, unit), matrix, populations)
    memory, memory_holds = _directions(closure, longest)
    return Seen(memory, memory_holds, *_states(closure))


def _directions(closure: Closure, longest: int) -> tuple[int, bool | None]:
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


def _states(closure: Closure) -> tuple[int, bool | None, float, int | None]:
    n_gaps = closure.matrices.shape[1]
    if n_gaps < 2:
        return 1, None, np.nan, None
    surplus = [closure.surplus(memory) for memory in range(1, n_gaps)]
    limits = np.array([closure.interval(values) for values in surplus])
    inside = (limits[:, 0] <= 0.0) & (limits[:, 1] >= 0.0)
    memory = int(inside.argmax()) + 1 if inside.any() else n_gaps
    error, half = float(surplus[0][0]), 0.5 * float(limits[0, 1] - limits[0, 0])
    forget = True if inside[0] else (False if abs(error) > CERTAIN * half else None)
    # at k lag times, K(kτ)^j against K(jkτ)
    for k in range(2, n_gaps // 2 + 1):
        low, high = closure.interval(closure.at_every(k).surplus(1))
        if low <= 0.0 <= high:
            return memory, forget, error, k
    return memory, forget, error, None


def _longest_memory(runs: list[TransportRun], tau: int) -> int:
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


def check_memory(memory: Any, name: str = "memory", least: int = 0) -> int:
    """A whole number of lag times, and not too few."""
    if isinstance(memory, bool) or not isinstance(memory, int | np.integer) or memory < least:
        what = "0 is a renewal process" if least == 0 else "1 is the model by itself"
        raise ValueError(
            f'{name} must be "auto" or a number of lag times >= {least}, got {memory!r}; {what}'
        )
    return int(memory)


def check_times(times: ArrayLike, step: float) -> Array:
    """Times in ps, none shorter than a step of that many ps."""
    moments = np.atleast_1d(np.asarray(times, dtype=np.float64))
    fits = moments.ndim == 1 and moments.size > 0 and np.isfinite(moments).all()
    if not fits or moments.min() < step * (1.0 - 1e-9):
        raise ValueError(
            f"times must be finite numbers of ps, none below one lag time ({step:g} ps), "
            f"got {times!r}; transition_displacements gives shorter times"
        )
    return moments
