"""The Chapman-Kolmogorov error as one number, and its verdict: `ck_error`, `markov_verdict`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.koopman._moments import check_lagtime, longer_than
from graphkoopman.koopman._solve import solve_koopman
from graphkoopman.koopman._units import UnitMoments, unit_moments
from graphkoopman.probabilities import probability_arrays
from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.uncertainty import probability_sets, t_quantile

__all__ = ["ChapmanKolmogorovError", "ck_error", "markov_verdict"]

Array = NDArray[np.float64]

_MOST_MULTIPLES = 5


# The widest 95 % interval of the error, a probability, that can tell.
MAX_CK_WIDTH = 0.1
ANSWERS = {"markovian": "yes", "not markovian": "no", "inconclusive": "can't tell"}


def markov_verdict(error: float, half_width: float, *, max_width: float = MAX_CK_WIDTH) -> str:
    """Whether a Chapman-Kolmogorov error speaks for Markovian states at its lag.

    Parameters
    ----------
    error, half_width : float
        Error and half of its 95 % interval, see `ck_error`.
    max_width : float
        A probability; a wider interval cannot tell.

    Returns
    -------
    {"markovian", "not markovian", "inconclusive"}
        An error beyond its interval is seen whatever the width; one within it proves something
        only if the interval is narrow.

    Examples
    --------
    >>> from graphkoopman.koopman import markov_verdict
    >>> markov_verdict(0.01, 0.02), markov_verdict(0.05, 0.02), markov_verdict(0.05, 0.2)
    ('markovian', 'not markovian', 'inconclusive')
    """
    if not np.isfinite(half_width):
        return "inconclusive"
    if abs(error) > half_width:
        return "not markovian"
    return "markovian" if 2.0 * half_width <= max_width else "inconclusive"


@dataclass(frozen=True)
class ChapmanKolmogorovError(Tabular):
    """How far predictions over several lag times are from what is observed.

    Attributes
    ----------
    error : float
        Mean over states and times of the probability to be in the state one started from,
        observed minus predicted.
    standard_error : float
    largest : float
        Largest deviation of a single transition probability at any of the times, without a sign.
    lagtime : int
        Lag of the model tested, frames.
    times : tuple of int
        Times at which it was tested, frames.
    n_effective : float
        Number of independent units that the standard error is worth, one more than its degrees of
        freedom.
    unit : str
        What a unit is.
    """

    error: float
    standard_error: float
    largest: float
    lagtime: int
    times: tuple[int, ...]
    n_effective: float
    unit: str

    def table(self) -> dict[str, Any]:
        """One row."""
        return {
            "lag / frames": self.lagtime,
            "longest time / frames": self.times[-1],
            **interval_columns("error", self.error, self.interval()),
            "largest deviation": self.largest,
            "Markovian": self.verdict,
            f"independent units ({self.unit})": self.n_effective,
        }

    @property
    def verdict(self) -> str:
        """See `markov_verdict`."""
        low, high = self.interval()
        return markov_verdict(self.error, 0.5 * (high - low))

    def __str__(self) -> str:
        low, high = self.interval()
        return (
            f"Markovian at this lag ({self.lagtime} frames): {ANSWERS[self.verdict]} "
            f"(Chapman-Kolmogorov error {self.error:.3f} [{low:.3f}, {high:.3f}] over up to "
            f"{self.times[-1]} frames, largest deviation of a transition {self.largest:.3f})"
        )

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Error minus and plus Student's t times the standard error."""
        half = float(t_quantile(self.n_effective, confidence)) * self.standard_error
        return self.error - half, self.error + half


def ck_error(
    probs: ArrayLike | Sequence[ArrayLike],
    lagtime: int,
    horizon: int,
    *,
    unit: str | int = "auto",
) -> ChapmanKolmogorovError:
    r"""Signed Chapman-Kolmogorov error, eq. (6), up to a horizon.

    .. math::
        \epsilon = \frac{1}{N}\,\mathrm{mean}_n\,\mathrm{tr}\left[K(n\tau) - K^n(\tau)\right],
        \qquad 2\tau\le n\tau\le T

    Parameters
    ----------
    probs : array, list of arrays, or list of such lists
        State probabilities, each of shape (n_frames, n_targets, n_states), or
        (n_frames, n_states) for a single target; of refits, too, as for `estimate_koopman`.
    lagtime : int
        Lag time :math:`\tau` in frames.
    horizon : int
        Longest time T in frames, at least two lag times. Up to five multiples of the lag are
        tested, evenly spread. Models of different lags are comparable at one horizon only.
    unit : str or int
        Independent unit of the data, as for `estimate_koopman`.

    Returns
    -------
    ChapmanKolmogorovError

    Raises
    ------
    ValueError
        If the horizon is shorter than two lag times, or no trajectory is longer than it.

    Notes
    -----
    The trace does not depend on how the states are mixed or ordered. For states of a reversible
    process in equilibrium the error is never negative (Jensen's inequality for the trace) and is
    zero exactly where the states span an invariant space: memory makes :math:`K^n(\tau)` decay
    too fast. The deviation at one time falls each time the lag is doubled. The trace can miss
    memory in a driven system whose deviations cancel on the diagonal; `largest` shows those.

    The standard error is the infinitesimal jackknife over the units: every unit's derivative of
    the error with respect to its weight, squared and added up. Both matrices use the same first
    frames, so that what they have in common cancels.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.koopman import ck_error
    >>> rng = np.random.default_rng(0)
    >>> steps = rng.random((2000, 4)) < 0.05
    >>> states = np.cumsum(steps, axis=0) % 2
    >>> result = ck_error(np.eye(2)[states], lagtime=2, horizon=10)
    >>> bool(abs(result.error) < 2.0 * result.standard_error)
    True
    """
    lagtime = check_lagtime(lagtime)
    if horizon < 2 * lagtime:
        raise ValueError(
            f"horizon must be at least two lag times ({2 * lagtime} frames), got {horizon}; a "
            "Chapman-Kolmogorov test predicts over several lag times"
        )
    multiples = _multiples(int(horizon) // lagtime)
    times = [lagtime * n for n in multiples]
    first, *refit_sets = probability_sets(probs)
    arrays = longer_than(probability_arrays(first), times[-1])
    base, *others = unit_moments(arrays, [lagtime, *times], unit)
    matrix, change = _matrix_and_influence(base)
    error, influence, largest = 0.0, np.zeros(base.n_units), 0.0
    for n, units in zip(multiples, others, strict=True):
        observed, observed_change = _matrix_and_influence(units)
        power = np.linalg.matrix_power(matrix, n - 1)
        deviation = observed - power @ matrix
        # d tr K^n = n tr(K^(n-1) dK), whatever K and dK
        predicted_change = n * np.einsum("ij,uji->u", power, change)
        error += np.trace(deviation)
        influence += np.trace(observed_change, axis1=1, axis2=2) - predicted_change
        largest = max(largest, float(np.abs(deviation).max()))
    # 1 / N and the mean over multiples
    scale = len(matrix) * len(multiples)
    n_units = base.n_units
    # infinitesimal jackknife, with what correlation of the units hides
    variance = np.square(influence / scale).sum() * n_units / (n_units - 1.0)
    variance /= base.dynamics.share
    if refit_sets:
        refits = np.array([ck_error(one, lagtime, horizon, unit=unit).error for one in refit_sets])
        variance += np.square(refits - float(error) / scale).mean()
    return ChapmanKolmogorovError(
        error=float(error) / scale,
        standard_error=float(np.sqrt(variance)),
        largest=largest,
        lagtime=lagtime,
        times=tuple(times),
        n_effective=1.0 + base.dynamics.degrees,
        unit=base.unit,
    )


def _multiples(most: int) -> list[int]:
    """Up to five whole numbers from 2 to ``most``, both ends included."""
    n_multiples = min(_MOST_MULTIPLES, most - 1)
    return [int(n) for n in np.unique(np.round(np.linspace(most, 2, n_multiples)))]


def _matrix_and_influence(units: UnitMoments) -> tuple[Array, Array]:
    """K, (N, N), and its derivative with respect to the weight of every unit, (n_units, N, N)."""
    matrix = solve_koopman(units.weighted(np.ones(units.n_units)), warn=False)
    c00, c0t = units.sums[:, 0], units.sums[:, 1]
    inverse = np.linalg.pinv(c00.sum(axis=0), rcond=1e-12, hermitian=True)
    return matrix, inverse @ (c0t - c00 @ matrix)
