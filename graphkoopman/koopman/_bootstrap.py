"""Uncertainty of Koopman models by resampling: `BootstrapKoopmanModel`, `bootstrap_koopman`."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from deeptime.base import BayesianModel
from deeptime.util.validation import ChapmanKolmogorovTest
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import expit

from graphkoopman.koopman._chapman_kolmogorov import chapman_kolmogorov
from graphkoopman.koopman._events import error_of_counts
from graphkoopman.koopman._model import KoopmanModel, implied_timescales_of, timescales_in_ps
from graphkoopman.koopman._units import UnitMoments
from graphkoopman.koopman._warnings import FewUnitsWarning, InvalidTimescaleWarning
from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.uncertainty import Scatter, spread_of_refits

__all__ = ["BootstrapKoopmanModel", "dirichlet_concentration", "draw_weights"]

Array = NDArray[np.float64]

# From about here on the smallest concentration keeps samples narrower than a t interval.
_FEW_UNITS = 6
_FEW_TIMES = 10
_SMALLEST_CONCENTRATION = 0.5
# One standard deviation of a normal distribution, as quantiles: they survive invalid samples.
_ONE_SIGMA = stats.norm.cdf([-1.0, 1.0])


class BootstrapKoopmanModel(Tabular, BayesianModel):
    r"""Koopman model with samples of its sampling distribution.

    Each sample weights the independent units of the data (trajectories, time blocks, targets or
    their combination) by a draw from a Dirichlet distribution, the Bayesian bootstrap. Weights are
    never zero, so a rare state is in every sample.

    Parameters
    ----------
    prior : KoopmanModel
        Estimate from all data.
    samples : sequence of KoopmanModel
        Estimates from reweighted units.
    n_units : int
        Number of units resampled.
    n_effective : float
        Number of independent units of equal size that carry the same information.
    concentration : float
        Parameter of the Dirichlet distribution.
    unit : str
        What a unit is.
    means, dynamics : Scatter or None
        What the scatter of the units says of populations, and of K and all that follows from it.
        None for units that are independent.
    refits : sequence of KoopmanModel
        Estimates from all data with networks trained on halves of them, in the same states.
    exchanges : ndarray of shape (n_states, n_states) or None
        Events seen, see `count_exchanges`. Of exchanges with fewer events than there are units, no
        interval of K, a time or a population is narrower than their number allows.

    Notes
    -----
    The ``*_interval`` methods give t-type intervals: the estimate, plus and minus the spread of the
    samples times the quantile of Student's t for the degrees of freedom, on the scale where the
    estimate is closest to normal (logarithm for timescales, logit for populations). The spread of
    the samples themselves, which deeptime's plots draw as percentiles, matches such an interval
    without refits
    from eight units on; with fewer it is too narrow, below six a `FewUnitsWarning` says so.

    See Also
    --------
    estimate_koopman : Build one from state probabilities.
    """

    def __init__(
        self,
        prior: KoopmanModel,
        samples: Sequence[KoopmanModel],
        *,
        n_units: int,
        n_effective: float,
        concentration: float,
        unit: str,
        means: Scatter | None = None,
        dynamics: Scatter | None = None,
        refits: Sequence[KoopmanModel] = (),
        exchanges: NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__()
        self._prior = prior
        self._samples = list(samples)
        self.n_units = n_units
        self.n_effective = n_effective
        self.concentration = concentration
        self.unit = unit
        self.means = Scatter(1.0, n_effective - 1.0) if means is None else means
        self.dynamics = Scatter(1.0, n_effective - 1.0) if dynamics is None else dynamics
        self.refits = list(refits)
        self.exchanges = exchanges

    def __repr__(self) -> str:
        return (
            f"BootstrapKoopmanModel(n_states={self.n_states}, lagtime={self.lagtime}, "
            f"n_samples={len(self._samples)}, unit={self.unit!r}, n_units={self.n_units}"
            + (f", n_refits={len(self.refits)})" if self.refits else ")")
        )

    def table(self) -> dict[str, Any]:
        """One row per entry of the Koopman matrix, with its interval."""
        begin, end = np.indices((self.n_states, self.n_states))
        limits = self.koopman_matrix_interval()
        return {"from": begin, "to": end, **interval_columns("K", self.koopman_matrix, limits)}

    @property
    def prior(self) -> KoopmanModel:
        """Estimate from all data."""
        return self._prior

    @property
    def samples(self) -> list[KoopmanModel]:
        """Estimates from reweighted units."""
        return self._samples

    @property
    def n_states(self) -> int:
        """Number of states."""
        return self._prior.n_states

    @property
    def lagtime(self) -> int:
        """Lag time in frames."""
        return self._prior.lagtime

    @property
    def timestep(self) -> float | None:
        """Time between frames in ps, or None if unknown."""
        return self._prior.timestep

    @property
    def koopman_matrix(self) -> Array:
        """Koopman matrix of the estimate from all data."""
        return self._prior.koopman_matrix

    def timescales(self, k: int | None = None) -> tuple[Array, list[Array]]:
        """Relaxation timescales in frames, eq. (11), as deeptime's Bayesian models give them.

        Parameters
        ----------
        k : int, optional
            Number of timescales, slowest first. All n_states - 1 by default.

        Returns
        -------
        prior : ndarray of shape (min(k, n_states - 1),)
        samples : list of ndarray of the same shape
            NaN where a sample has no valid timescale.

        Warns
        -----
        InvalidTimescaleWarning
            If the estimate, or more than 5 % of its samples, lack a timescale.
        """
        timescales = self._prior.timescales(k)
        samples = [
            implied_timescales_of(sample.eigenvalues[1:][:k], self.lagtime)
            for sample in self._samples
        ]
        shares = np.isnan(samples).mean(axis=0)
        for i in np.flatnonzero((shares > 0.05) & ~np.isnan(timescales)):
            warnings.warn(
                f"timescale {i + 1} at lagtime {self.lagtime} frames is undefined in "
                f"{100 * shares[i]:.0f} % of the samples (eigenvalue not in (0, 1)); bands drawn "
                "from the others are too narrow. Use timescales_interval, another lagtime or more "
                "data",
                InvalidTimescaleWarning,
                stacklevel=2,
            )
        return timescales, samples

    def timescales_ps(self, k: int | None = None) -> tuple[Array, list[Array]]:
        """As `timescales`, in ps; needs `timestep`."""
        timescales, samples = self.timescales(k)
        return (
            timescales_in_ps(timescales, self.timestep),
            [timescales_in_ps(sample, self.timestep) for sample in samples],
        )

    def timescales_interval(self, k: int | None = None, confidence: float = 0.95) -> Array:
        """Confidence intervals of the relaxation timescales, in frames.

        Parameters
        ----------
        k : int, optional
            Number of timescales, slowest first. All n_states - 1 by default.
        confidence : float
            Coverage aimed at.

        Returns
        -------
        ndarray of shape (min(k, n_states - 1), 2)
            Low and high. NaN where the estimate has no timescale; an end is 0 or infinite where
            the samples reach an eigenvalue of zero or one.
        """
        interval = np.exp(
            self.interval_of(
                lambda m: _log_timescales(m.eigenvalues[1:][:k], m.lagtime),
                confidence,
                of_events=True,
            )
        )
        # a sample may have a timescale where the estimate has none: not of the same process
        undefined = np.isnan(implied_timescales_of(self._prior.eigenvalues[1:][:k], self.lagtime))
        interval[undefined] = np.nan
        return interval

    def timescales_ps_interval(self, k: int | None = None, confidence: float = 0.95) -> Array:
        """As `timescales_interval`, in ps; needs `timestep`."""
        return timescales_in_ps(self.timescales_interval(k, confidence), self.timestep)

    @property
    def residuals(self) -> Array:
        """See `KoopmanModel.residuals`; those of the estimate, (n_states - 1,)."""
        return self._prior.residuals

    def timescale_bounds(self, k: int | None = None, confidence: float | None = 0.95) -> Array:
        """Bounds between which a true relaxation time lies, if the dynamics are reversible.

        Parameters
        ----------
        k : int, optional
            Number of processes, slowest first. All n_states - 1 by default.
        confidence : float or None
            Coverage of each end: the lower end of the lower bound's interval and the upper end of
            the upper bound's. None gives the bounds of the estimate, without errors of sampling.

        Returns
        -------
        ndarray of shape (min(k, n_states - 1), 2)
            Frames; see `KoopmanModel.timescale_bounds`.
        """
        bounds = self._prior.timescale_bounds(k)
        if confidence is None:
            return bounds
        with np.errstate(divide="ignore"):
            interval = np.exp(self.interval_of(lambda m: np.log(m.timescale_bounds(k)), confidence))
        low, high = interval[:, 0, 0], interval[:, 1, 1]
        # an end that is 0 or infinite already has no further to go
        return np.stack([np.nan_to_num(low), np.where(np.isnan(high), np.inf, high)], axis=-1)

    def timescale_bounds_ps(self, k: int | None = None, confidence: float | None = 0.95) -> Array:
        """As `timescale_bounds`, in ps; needs `timestep`."""
        return timescales_in_ps(self.timescale_bounds(k, confidence), self.timestep)

    def populations_interval(self, confidence: float = 0.95) -> Array:
        """Confidence intervals of the empirical populations.

        Returns
        -------
        ndarray of shape (n_states, 2)
            Low and high, within [0, 1].
        """
        return self._proportion_interval(
            lambda model: model.empirical_populations, confidence, self.means
        )

    def stationary_distribution_interval(self, confidence: float = 0.95) -> Array:
        """Confidence intervals of the stationary distribution, (n_states, 2)."""
        return self._proportion_interval(
            lambda model: model._spectrum.stationary, confidence, self.dynamics
        )

    def koopman_matrix_interval(self, confidence: float = 0.95) -> Array:
        """Confidence intervals of the entries of K, (n_states, n_states, 2).

        On the linear scale, because entries of a free estimate may be negative.
        """
        return self.interval_of(lambda model: model.koopman_matrix, confidence, of_events=True)

    def ck_test(self, models: Sequence[Any]) -> ChapmanKolmogorovTest:
        r"""Chapman-Kolmogorov test :math:`K(n\tau) = K^n(\tau)`, eq. (6), with samples.

        Parameters
        ----------
        models : sequence of BootstrapKoopmanModel or KoopmanModel
            Models in the same states at whole multiples of this model's lag time.

        Returns
        -------
        deeptime.util.validation.ChapmanKolmogorovTest
            With samples of the predictions, and of the estimates if all models have them.
        """
        return chapman_kolmogorov(self, models)

    def permute(self, order: ArrayLike) -> "BootstrapKoopmanModel":
        """Model with its states reordered, as `KoopmanModel.permute`."""
        return BootstrapKoopmanModel(
            self._prior.permute(order),
            [sample.permute(order) for sample in self._samples],
            n_units=self.n_units,
            n_effective=self.n_effective,
            concentration=self.concentration,
            unit=self.unit,
            means=self.means,
            dynamics=self.dynamics,
            refits=[refit.permute(order) for refit in self.refits],
            exchanges=None if self.exchanges is None else _reordered(self.exchanges, order),
        )

    def interval_of(
        self,
        quantity: Callable[[KoopmanModel], Array],
        confidence: float = 0.95,
        *,
        scatter: Scatter | None = None,
        of_events: bool = False,
    ) -> Array:
        """Interval of any quantity of a model, with the sampling of the data and the training.

        Parameters
        ----------
        quantity : callable
            From a `KoopmanModel` to an array, on a scale where it is about normal.
        confidence : float
            Coverage aimed at.
        scatter : Scatter or None
            As for `t_interval`.
        of_events : bool
            Whether the quantity follows from the entries of K, so that the number of events seen
            says how well it can be known at best.

        Returns
        -------
        ndarray of shape (..., 2)
        """
        samples = np.array([quantity(sample) for sample in self._samples])
        refits = np.array([quantity(refit) for refit in self.refits]) if self.refits else None
        estimate = quantity(self._prior)
        interval = self.t_interval(estimate, samples, confidence, scatter=scatter, refits=refits)
        return self._widened(interval, estimate, quantity, confidence) if of_events else interval

    def _widened(
        self,
        interval: Array,
        estimate: Array,
        quantity: Callable[[KoopmanModel], Array],
        confidence: float,
    ) -> Array:
        """An interval as wide as the number of rare events asks for, at least, where known."""
        if self.exchanges is None:
            return interval
        # of more events than units, each unit holds some, and units scatter as the events do
        rare = np.where(self.exchanges < self.n_units, self.exchanges, 0)
        error = error_of_counts(quantity, self._prior, rare)
        half = stats.norm.ppf(0.5 * (1.0 + confidence)) * error
        low = np.minimum(interval[..., 0], estimate - half)
        return np.stack([low, np.maximum(interval[..., 1], estimate + half)], axis=-1)

    def t_interval(
        self,
        estimate: ArrayLike,
        samples: ArrayLike,
        confidence: float = 0.95,
        *,
        scatter: Scatter | None = None,
        refits: ArrayLike | None = None,
    ) -> Array:
        """Interval of any quantity computed from the estimate and from each of the samples.

        Parameters
        ----------
        estimate : ndarray of shape (...)
            Quantity of `prior`, on a scale where it is about normal.
        samples : ndarray of shape (n_samples, ...)
            The same quantity of each of `samples`.
        confidence : float
            Coverage aimed at.
        scatter : Scatter or None
            What the units say of the quantity: `means` or `dynamics`, the latter by default.
        refits : ndarray of shape (n_refits, ...) or None
            The same quantity of each of `refits`, whose spread is added.

        Returns
        -------
        ndarray of shape (..., 2)
            Estimate minus and plus Student's t times the standard error, with that of training.
        """
        if not 0.0 < confidence < 1.0:
            raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}")
        estimate = np.asarray(estimate)
        low, high = np.quantile(np.asarray(samples), _ONE_SIGMA, axis=0, method="nearest")
        # A linear statistic has variance S^2 / (n a + 1) over Dirichlet(a) weights of n units, and
        # s^2 / n = S^2 / (n - 1) over data sets, and more where units are correlated.
        n_units, scatter = self.n_units, self.dynamics if scatter is None else scatter
        to_naive_error = np.sqrt((n_units * self.concentration + 1.0) / (n_units - 1.0))
        factor = scatter.quantile(confidence) * to_naive_error
        with np.errstate(invalid="ignore"):
            half = 0.5 * (high - low)
            # Where samples leave the range on one side, the other side keeps its own spread.
            below = np.where(np.isinf(high) & np.isfinite(low), estimate - low, half)
            above = np.where(np.isinf(low) & np.isfinite(high), high - estimate, half)
            below, above = (np.where(np.isnan(side), np.inf, side) for side in (below, above))
            below, above = factor * below, factor * above
            if refits is not None:
                low, high = spread_of_refits(estimate, refits, confidence)
                below, above = np.hypot(below, low), np.hypot(above, high)
            return np.stack([estimate - below, estimate + above], axis=-1)

    def _proportion_interval(
        self, populations: Callable[[KoopmanModel], Array], confidence: float, scatter: Scatter
    ) -> Array:
        interval = self.interval_of(lambda m: _logit(populations(m)), confidence, scatter=scatter)
        estimate = _logit(populations(self._prior))
        # those counted follow from K no further than by its stationary distribution
        return expit(
            self._widened(interval, estimate, lambda m: _logit(m._spectrum.stationary), confidence)
        )


def dirichlet_concentration(units: UnitMoments) -> float:
    """Concentration at which 95 % of the samples of K span a 95 % t interval.

    It is bounded from below, because with very few units the weights would fall on one of them.
    """
    ratio = units.dynamics.quantile() / stats.norm.ppf(0.975)
    total = (units.n_units - 1.0) / ratio**2 - 1.0
    return float(max(total / units.n_units, _SMALLEST_CONCENTRATION))


def draw_weights(
    units: UnitMoments, n_samples: int, concentration: float, random_state: np.random.RandomState
) -> Array:
    """Weights of the units with mean one, (n_samples, n_units); warns if they say little."""
    n_effective = 1.0 + units.means.degrees
    if round(n_effective) < _FEW_UNITS:
        n_times = units.n_frames / max(units.correlation_time, 1e-9)
        short = (
            f"; the data last {n_times:.2g} correlation times ({units.correlation_time:.3g} "
            f"frames), and below {_FEW_TIMES} little can be known"
            if n_times < _FEW_TIMES
            else ""
        )
        warnings.warn(
            f"only {n_effective:.1f} independent units ({units.unit}) to "
            f"resample{short}. Percentiles of the samples, which deeptime's plots draw, are too "
            f"narrow below {_FEW_UNITS}: read the *_interval methods, which use Student's t, or "
            "give more data",
            FewUnitsWarning,
            stacklevel=3,
        )
    alpha = np.full(units.n_units, concentration)
    return random_state.dirichlet(alpha, size=n_samples) * units.n_units


def _log_timescales(eigenvalues: NDArray[Any], lagtime: int) -> Array:
    """Logarithm of eq. (11), ordered even where it is undefined: -inf at 0 and inf at 1."""
    # A complex pair decays with its modulus; a negative real number does not decay at all.
    decays = (np.real(eigenvalues) > 0) | (np.imag(eigenvalues) != 0)
    signed = np.where(decays, np.abs(eigenvalues), 0.0)
    with np.errstate(divide="ignore"):
        rate = -np.log(np.clip(signed, 0.0, 1.0)) / lagtime
        return -np.log(rate)


def _reordered(exchanges: NDArray[np.int64], order: ArrayLike) -> NDArray[np.int64]:
    rows = np.asarray(order, dtype=np.int64)
    return exchanges[rows[:, None], rows]


def _logit(populations: Array) -> Array:
    """Log odds; a population at or beyond a bound maps to an infinite value."""
    inside = np.clip(populations, 0.0, 1.0)
    with np.errstate(divide="ignore"):
        return np.log(inside) - np.log1p(-inside)
