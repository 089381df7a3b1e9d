"""What follows from the steps of short runs at long times: `Closure`, `choose_memory`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.transport._intervals import Units, jackknife
from graphkoopman.transport._runs import Run
from graphkoopman.transport._steps import StepSums, step_sums
from graphkoopman.uncertainty import Scatter

Array = NDArray[np.float64]

# More steps of memory than this cost noise, and runs that long need no prediction.
LONGEST_MEMORY = 10
# Paths as long as the memory, of single targets and without overlap, that it must be seen in.
FEWEST_PATHS = 30
# Share of the frames that a longer memory may not leave out.
MOST_FRAMES = 0.9
ENOUGH_TARGETS = 10
CERTAIN = 1.5  # half-widths of a 95 % interval


@dataclass(frozen=True, eq=False)
class Closure:
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
    def of(cls, sums: StepSums, units: Units, matrix: Array, populations: Array) -> "Closure":
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


def displaced(closure: Closure, memory: int, n_steps: Array) -> Array:
    """Squared displacement from each state, (n_units + 1, n_times, n_states) in Å².

    A path of n steps is its first step, with what follows of its direction, and a path of n - 1
    steps from where that leads: f(n) = g(n - 1) + K f(n - 1). Between whole steps it is a straight
    line.
    """
    below = np.floor(n_steps + 1e-9).astype(np.int64)
    share = np.clip(n_steps - below, 0.0, None)[:, None]
    ends = [_displaced(closure, memory, n) for n in (below, below + 1)]
    return (1.0 - share) * ends[0] + share * ends[1]


def _displaced(closure: Closure, memory: int, n_steps: NDArray[np.int64]) -> Array:
    """Squared displacement after whole numbers of steps."""
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


def choose_memory(
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
    closure = Closure.of(*step_sums(reaching, tau, longest, stride, unit), matrix, populations)
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


def check_memory(memory: Any) -> int:
    """A whole number of lag times, not negative."""
    if isinstance(memory, bool) or not isinstance(memory, int | np.integer) or memory < 0:
        raise ValueError(
            f'memory must be "auto" or a number of lag times >= 0, got {memory!r}; 0 is a '
            "renewal process"
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
