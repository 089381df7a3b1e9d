"""Mean times from state to state, with intervals: `ExchangeTimes`, `exchange_times`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.koopman._bootstrap import BootstrapKoopmanModel
from graphkoopman.koopman._model import KoopmanModel
from graphkoopman.tables import Tabular, interval_columns

__all__ = ["ExchangeTimes", "exchange_times"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ExchangeTimes(Tabular):
    """Mean times until a target that is in one state first reaches another.

    Attributes
    ----------
    mean : ndarray of shape (n_states, n_states)
        ps, from the row's state to the column's; zero on the diagonal, infinite where there is no
        way, NaN where the matrix has negative entries that leave no positive time, or where no way
        was seen.
    interval : ndarray of shape (n_states, n_states, 2)
        95 %, ps; without limits for a model without samples. Where no way was seen, the lower
        limit is what the data give, and there is no upper one.
    seen : ndarray of shape (n_states, n_states)
        bool; whether a way was seen, as far as `exchange_times` was told.
    """

    mean: Array
    interval: Array
    seen: NDArray[np.bool_]

    def __repr__(self) -> str:
        return f"ExchangeTimes(n_states={len(self.mean)})"

    def table(self) -> dict[str, Any]:
        """One row per pair of different states."""
        begin, end = np.nonzero(~np.eye(len(self.mean), dtype=bool))
        return {
            "from": begin,
            "to": end,
            **interval_columns(
                "mean time to reach / ps", self.mean[begin, end], self.interval[begin, end]
            ),
            "seen": self.seen[begin, end],
        }


def exchange_times(
    model: KoopmanModel | BootstrapKoopmanModel, least: ArrayLike | None = None
) -> ExchangeTimes:
    r"""Mean first-passage times between all pairs of states.

    .. math:: m_{ij} = \tau + \sum_{k \ne j} K_{ik}\, m_{kj}, \qquad m_{jj} = 0

    Unlike relaxation times, which belong to the whole system, these are of one pair and one
    direction. For two states the relaxation time is about :math:`1 / (1/m_{01} + 1/m_{10})`.

    Parameters
    ----------
    model : KoopmanModel or BootstrapKoopmanModel
        Model with a timestep.
    least : array-like of shape (n_states, n_states) or None
        Least times in ps where no way from state to state was seen, NaN elsewhere, as of
        `ResidenceTimes.least_times`. Entries of K that no event speaks for are noise, and times
        made of them are noise of any size.

    Returns
    -------
    ExchangeTimes

    Raises
    ------
    ValueError
        For a model without a timestep, or ``least`` of another shape.

    Notes
    -----
    Times shorter than the lag cannot be told from the lag. Intervals are symmetric in the logarithm
    of a time.

    Examples
    --------
    >>> from graphkoopman.koopman import KoopmanModel, exchange_times
    >>> model = KoopmanModel([[0.9, 0.1], [0.3, 0.7]], lagtime=5, timestep=0.1)
    >>> exchange_times(model).mean.round(3)
    array([[0.   , 5.   ],
           [1.667, 0.   ]])
    """
    if model.timestep is None:
        raise ValueError("timestep must be known to give times in ps, got None; estimate with one")
    lag = model.lagtime * model.timestep
    mean = lag * _passages(model.koopman_matrix)
    interval = np.full((*mean.shape, 2), [0.0, np.inf])
    if isinstance(model, BootstrapKoopmanModel):
        with np.errstate(invalid="ignore"):
            limits = model.interval_of(_log_passages, of_events=True)
        unknown = np.isnan(limits) | np.isnan(mean)[..., None]
        interval = lag * np.exp(np.where(unknown, [-np.inf, np.inf], limits))
    interval[np.eye(len(mean), dtype=bool)] = 0.0
    seen = np.ones(mean.shape, dtype=bool)
    if least is not None:
        bounds = np.asarray(least, dtype=np.float64)
        if bounds.shape != mean.shape:
            raise ValueError(f"least must have shape {mean.shape}, got {bounds.shape}")
        seen = np.isnan(bounds)
        mean[~seen] = np.nan
        interval[~seen, 0], interval[~seen, 1] = bounds[~seen], np.inf
    return ExchangeTimes(mean=mean, interval=interval, seen=seen)


def _log_passages(model: KoopmanModel) -> Array:
    """Logarithm of mean first-passage times in lag times; without a way they take forever."""
    times = _passages(model.koopman_matrix)
    with np.errstate(divide="ignore"):
        return np.log(np.where(np.isnan(times), np.inf, times))


def _passages(matrix: Array) -> Array:
    """Mean first-passage times in lag times."""
    n_states = len(matrix)
    times = np.zeros((n_states, n_states))
    for end in range(n_states):
        others = np.arange(n_states) != end
        staying = matrix[np.ix_(others, others)]
        try:
            found = np.linalg.solve(np.eye(n_states - 1) - staying, np.ones(n_states - 1))
        except np.linalg.LinAlgError:
            found = np.full(n_states - 1, np.inf)
        # rounding turns "never" into something enormous of either sign
        found = np.where(np.abs(found) > 1e12, np.inf, found)
        times[others, end] = np.where(found > 0.0, found, np.nan)
    return times
