"""Activation energies from several temperatures: `arrhenius`."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import constants, stats

from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.uncertainty import CONFIDENCE, t_quantile

Array = NDArray[np.float64]
Quantity: TypeAlias = Literal["diffusion", "rate", "conductivity"]

BOLTZMANN = constants.k / constants.e  # eV/K
KJ_PER_MOL = constants.e * constants.N_A / 1e3  # of one eV
NORMAL = float(stats.norm.ppf(0.5 * (1.0 + CONFIDENCE)))


@dataclass(frozen=True, eq=False)
class Arrhenius(Tabular):
    r"""A straight line through logarithms over inverse temperature.

    All intervals are 95 %, low and high on the last axis.

    Attributes
    ----------
    activation_energy : float or ndarray of shape (...)
        eV.
    activation_energy_interval : ndarray of shape (..., 2)
        eV.
    prefactor : float or ndarray of shape (...)
        Value at infinite temperature in the unit of ``values``; in that unit times K for a
        conductivity.
    prefactor_interval : ndarray of shape (..., 2)
    chi_squared : float or ndarray of shape (...)
        Sum of squared residuals over squared standard errors; NaN without errors. Far above
        ``len(temperatures) - 2`` the values are on no line.
    temperatures : ndarray of shape (n_temperatures,)
        K.
    values : ndarray of shape (n_temperatures, ...)
    quantity : str
        What was fitted.
    """

    figure = "plot_arrhenius"

    activation_energy: Any
    activation_energy_interval: Array
    prefactor: Any
    prefactor_interval: Array
    chi_squared: Any
    temperatures: Array
    values: Array
    quantity: str
    _center: Array
    _log_center: Array
    _half_center: Array
    _half_slope: Array

    @property
    def activation_energy_kj_per_mol(self) -> Any:
        """`activation_energy` in kJ/mol."""
        return self.activation_energy * KJ_PER_MOL

    def predict(self, temperature: float) -> tuple[Any, Array]:
        """Value at another temperature, and its 95 % interval.

        Parameters
        ----------
        temperature : float
            K.

        Returns
        -------
        value : float or ndarray of shape (...)
        interval : ndarray of shape (..., 2)
        """
        if not np.isfinite(temperature) or temperature <= 0:
            raise ValueError(f"temperature must be a positive number of K, got {temperature!r}")
        log, half = self._at(1.0 / (BOLTZMANN * temperature))
        scale = temperature if self.quantity == "conductivity" else 1.0
        value = np.exp(log) / scale
        limits = np.exp(np.stack([log - half, log + half], axis=-1)) / scale
        return (float(value) if value.ndim == 0 else value), limits

    def _at(self, inverse: float) -> tuple[Array, Array]:
        """Logarithm and half its interval at an inverse temperature in 1/eV."""
        distance = inverse - self._center
        # slope and value at the centre do not correlate
        half = np.hypot(self._half_center, self._half_slope * distance)
        return self._log_center - np.asarray(self.activation_energy) * distance, half

    def __repr__(self) -> str:
        if np.ndim(self.activation_energy):
            return f"Arrhenius({self.quantity}, {np.shape(self.activation_energy)} energies)"
        low, high = self.activation_energy_interval
        return (
            f"Arrhenius({self.quantity}, activation_energy={self.activation_energy:.3f} "
            f"[{low:.3f}, {high:.3f}] eV)"
        )

    def table(self) -> dict[str, Any]:
        """One row per fit, in the order of the values."""
        energies = np.ravel(self.activation_energy)
        limits = np.reshape(self.activation_energy_interval, (-1, 2))
        return {
            "fit": np.arange(len(energies)),
            **interval_columns("activation energy / eV", energies, limits),
            "chi squared": np.ravel(self.chi_squared),
        }


def arrhenius(
    temperatures: ArrayLike,
    values: ArrayLike,
    intervals: ArrayLike | None = None,
    *,
    quantity: Quantity = "diffusion",
) -> Arrhenius:
    r"""Fit an activation energy to values at several temperatures.

    .. math::
        \ln D = \ln D_0 - \frac{E_a}{k_BT}, \qquad
        \ln(\sigma T) = \ln(\sigma T)_0 - \frac{E_a}{k_BT}

    by least squares, weighted with the standard errors of the logarithms where intervals are given.

    Parameters
    ----------
    temperatures : array-like of shape (n_temperatures,)
        K.
    values : array-like of shape (n_temperatures, ...)
        Positive: diffusion coefficients, rates or conductivities; one fit for each place of
        further axes, such as transitions.
    intervals : array-like of shape (n_temperatures, ..., 2) or None
        95 % intervals of the values, as the results of this package hold them; positive, finite.
        Without them errors are taken from the scatter about the line, from three temperatures on.
    quantity : {"diffusion", "rate", "conductivity"}
        A conductivity is multiplied with T, as the Nernst-Einstein relation asks for.

    Returns
    -------
    Arrhenius

    Raises
    ------
    ValueError
        If an argument is not as described, or there are too few temperatures.

    Notes
    -----
    With given errors, the interval is that of a normal distribution, wider where the values
    scatter about the line more than their errors say (Birge ratio). Errors of the model, such as
    a transition of phase between two temperatures, show in ``chi_squared``.

    References
    ----------
    .. [1] S. Arrhenius, Z. Phys. Chem. 4, 226 (1889).
    .. [2] R. T. Birge, Phys. Rev. 40, 207 (1932): errors from external consistency.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.transport import arrhenius
    >>> temperatures = np.array([400.0, 500.0, 600.0, 800.0])
    >>> diffusion = 3.0 * np.exp(-0.25 / (8.617333e-5 * temperatures))
    >>> fit = arrhenius(temperatures, diffusion)
    >>> round(fit.activation_energy, 4), round(fit.prefactor, 3)
    (0.25, 3.0)
    """
    if quantity not in get_args(Quantity):
        raise ValueError(f"quantity must be one of {get_args(Quantity)}, got {quantity!r}")
    kelvin, found = _check_values(temperatures, values, intervals is None)
    error = None if intervals is None else _log_errors(found, intervals)
    inverse = 1.0 / (BOLTZMANN * kelvin).reshape(-1, *(1,) * (found.ndim - 1))
    scale = kelvin.reshape(inverse.shape) if quantity == "conductivity" else 1.0
    logs = np.log(found * scale)
    weights = np.ones_like(logs) if error is None else error**-2.0
    total = weights.sum(axis=0)
    center, log_center = (
        (weights * inverse).sum(axis=0) / total,
        (weights * logs).sum(axis=0) / total,
    )
    # weighted regression of ln D on 1 / kT; about the centre, slope and height are independent
    spread = (weights * (inverse - center) ** 2).sum(axis=0)
    slope = (weights * (inverse - center) * logs).sum(axis=0) / spread
    residual = logs - log_center - slope * (inverse - center)
    squares = (weights * residual**2).sum(axis=0)
    quantile = _quantile(squares, len(kelvin), error is not None)
    half_center, half_slope = quantile / np.sqrt(total), quantile / np.sqrt(spread)
    energy = -slope
    at_infinity = log_center + energy * center
    # their errors add in squares at 1 / kT = 0, where the prefactor is read
    half = np.hypot(half_center, half_slope * center)
    return Arrhenius(
        activation_energy=_plain(energy),
        activation_energy_interval=np.stack([energy - half_slope, energy + half_slope], axis=-1),
        prefactor=_plain(np.exp(at_infinity)),
        prefactor_interval=np.exp(np.stack([at_infinity - half, at_infinity + half], axis=-1)),
        chi_squared=_plain(squares if error is not None else np.full_like(squares, np.nan)),
        temperatures=kelvin,
        values=found,
        quantity=quantity,
        _center=center,
        _log_center=log_center,
        _half_center=half_center,
        _half_slope=half_slope,
    )


def _quantile(squares: Array, n_temperatures: int, has_errors: bool) -> Array:
    """Half-width of a 95 % interval over the standard error of unit weights."""
    freedom = n_temperatures - 2
    if not has_errors:
        return t_quantile(freedom + 1) * np.sqrt(squares / freedom)
    scatter = squares / freedom if freedom else np.zeros_like(squares)
    return NORMAL * np.sqrt(np.maximum(scatter, 1.0))


def _check_values(
    temperatures: ArrayLike, values: ArrayLike, needs_scatter: bool
) -> tuple[Array, Array]:
    kelvin = np.asarray(temperatures, dtype=np.float64)
    found = np.asarray(values, dtype=np.float64)
    if kelvin.ndim != 1 or not (np.isfinite(kelvin) & (kelvin > 0)).all():
        raise ValueError(f"temperatures must be positive numbers of K, got {temperatures!r}")
    fewest = 3 if needs_scatter else 2
    if len(np.unique(kelvin)) < fewest:
        raise ValueError(
            f"temperatures must be at least {fewest} different ones, got {kelvin.tolist()}; "
            "with intervals of the values two are enough"
        )
    if found.ndim < 1 or len(found) != len(kelvin) or not (np.isfinite(found) & (found > 0)).all():
        raise ValueError(
            f"values must be positive and finite, one for each of the {len(kelvin)} temperatures "
            f"on the first axis, got {values!r}; leave out what never moves"
        )
    return kelvin, found


def _log_errors(values: Array, intervals: ArrayLike) -> Array:
    """Standard errors of the logarithms."""
    limits = np.asarray(intervals, dtype=np.float64)
    fits = limits.shape == (*values.shape, 2)
    if not fits or not (np.isfinite(limits) & (limits > 0)).all():
        raise ValueError(
            f"intervals must be positive and finite, of shape {(*values.shape, 2)}, got "
            f"{intervals!r}; an interval that reaches zero or has no limit says nothing of the "
            'logarithm: give more data, or use method="secant"'
        )
    if not (limits[..., 0] < limits[..., 1]).all():
        raise ValueError(f"intervals must be low and high on the last axis, got {intervals!r}")
    return (np.log(limits[..., 1]) - np.log(limits[..., 0])) / (2.0 * NORMAL)


def _plain(value: Array) -> Any:
    return float(value) if value.ndim == 0 else value
