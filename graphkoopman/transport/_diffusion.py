"""Diffusion coefficient of every transition, eq. (14): `transition_diffusion`."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from graphkoopman.checks import check_integer
from graphkoopman.probabilities import ProbabilitiesLike
from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.trajectories import TargetsLike, TrajectoriesLike
from graphkoopman.transport._displacements import TransitionMSD, summarise_msd, warn_unobserved
from graphkoopman.transport._drift import Drift
from graphkoopman.transport._finite_size import yeh_hummer
from graphkoopman.transport._intervals import Units, jackknife, transition_units
from graphkoopman.transport._runs import TransportRun, check_lags, prepare_runs
from graphkoopman.transport._sums import pair_sums
from graphkoopman.uncertainty import with_refits

Array = NDArray[np.float64]
Method: TypeAlias = Literal["slope", "secant"]

ANGSTROM2_PER_PS_IN_CM2_PER_S = 1e-4
MAX_WINDOW_LAGS = 11


@dataclass(frozen=True, eq=False, repr=False)
class TransitionDiffusion(Tabular):
    r"""Diffusion coefficient of every transition at one lag time.

    Attributes
    ----------
    diffusion : ndarray of shape (n_states, n_states)
        :math:`D_{i\to j}(\tau)` in Å²/ps; NaN where a transition never occurs. A slope may be
        negative.
    diffusion_interval : ndarray of shape (n_states, n_states, 2)
        95 % interval, Å²/ps. Of a slope, it covers the scatter of the data and not the curvature
        of the displacement inside the window.
    intercept : ndarray of shape (n_states, n_states)
        Å²; the fitted line is ``intercept + 6 diffusion t``. Zero for the secant.
    total : float
        Diffusion coefficient of all targets by the same method, Å²/ps; in an infinite cell where
        a viscosity was given.
    total_interval : ndarray of shape (2,)
        95 % interval, Å²/ps.
    window : tuple of int
        First and last lag of the fit in frames; both are the lag time for the secant.
    msd : TransitionMSD
        What was fitted.
    lagtime : int
        Frames.
    timestep : float
        ps per frame.
    method : str
        "slope" or "secant".
    unit : str
        What was left out in turn by the jackknife.
    n_units : int
        Number of such units.
    finite_size : float
        What of ``total`` was added for the finite cell, Å²/ps; zero without a viscosity.
    """

    figure = "plot_transition_diffusion"

    diffusion: Array
    diffusion_interval: Array
    intercept: Array
    total: float
    total_interval: Array
    window: tuple[int, int]
    msd: TransitionMSD
    lagtime: int
    timestep: float
    method: str
    unit: str
    n_units: int
    finite_size: float = 0.0

    def table(self) -> dict[str, Any]:
        """One row per transition."""
        begin, end = np.indices(self.diffusion.shape)
        return {
            "from": begin,
            "to": end,
            **interval_columns(
                "diffusion / angstrom^2/ps", self.diffusion, self.diffusion_interval
            ),
        }

    @property
    def diffusion_cm2_per_s(self) -> Array:
        """`diffusion` in cm²/s."""
        return self.diffusion * ANGSTROM2_PER_PS_IN_CM2_PER_S

    @property
    def total_cm2_per_s(self) -> float:
        """`total` in cm²/s."""
        return self.total * ANGSTROM2_PER_PS_IN_CM2_PER_S


@with_refits
def transition_diffusion(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    lagtime: int,
    *,
    method: Method = "slope",
    window: tuple[int, int] | None = None,
    drift: Drift = None,
    stride: int = 1,
    unit: str = "auto",
    viscosity: float | None = None,
    temperature: float | None = None,
) -> TransitionDiffusion:
    r"""Diffusion coefficient of targets that go from state i to state j within the lag time.

    .. math::
        D_{i\to j}(\tau) = \frac16 \left.\frac{dE[d^2(t)|i\to j]}{dt}\right|_{t=\tau}
        \quad\text{("slope")},\qquad
        D_{i\to j}(\tau) = \frac{E[d^2(\tau)|i\to j]}{6\tau} \quad\text{("secant")}

    Parameters
    ----------
    trajs, probs, targets
        See `transition_displacements`.
    lagtime : int
        Lag time :math:`\tau` in frames.
    method : {"slope", "secant"}
        "slope" is the paper's; least squares over the lags of the window.
    window : (int, int) or None
        First and last lag of the fit in frames, with the lag time between them. None is from half
        to one and a half lag times, at most 11 lags, within the longest trajectory.
    drift, stride, unit
        See `transition_displacements`.
    viscosity, temperature : float or None
        Shear viscosity in mPa s and temperature in K of a liquid in a cubic cell: ``total`` is
        then corrected for the size of the cell, see `yeh_hummer`; transitions are not.

    Returns
    -------
    TransitionDiffusion

    Raises
    ------
    ValueError
        If an argument is not as described, or no trajectory is longer than the window.

    Warns
    -----
    ShortTrajectoryWarning, UnobservedTransitionWarning
        See `transition_displacements`.

    Notes
    -----
    The slope is near zero for a transition that is itself the hop: its squared displacement is
    that of one hop at every short time. Weighted with the frequencies of the transitions, slopes
    then miss the diffusion that hops cause, while secants add up to all of it,
    :math:`\sum_{ij}\pi_iK_{ij}D_{i\to j}=\langle d^2\rangle/6\tau`. A secant in turn contains
    vibration, which does not diffuse, as :math:`\langle u^2\rangle/\tau`.

    References
    ----------
    .. [1] T. Xie et al., Nat. Commun. 10, 2667 (2019), eq. (14).

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.trajectories import Trajectory
    >>> from graphkoopman.transport import transition_diffusion
    >>> steps = np.random.default_rng(0).normal(size=(500, 30, 3))
    >>> walk = Trajectory(np.cumsum(steps, axis=0), None, [3] * 30, timestep=1.0)
    >>> result = transition_diffusion(walk, np.ones((500, 30, 1)), "element Li", 4)
    >>> result.window, result.diffusion.round(1)  # half of one per step and axis
    ((2, 6), array([[0.5]]))
    """
    tau = int(check_lags([lagtime], "lagtime")[0])
    lags = window_lags(tau, method, window, longest_frames(probs))
    name = "lagtime" if window is None else "window"
    runs = prepare_runs(trajs, probs, targets, int(lags[-1]), drift, name)
    finite_size = _finite_size(runs, temperature, viscosity)
    pairs = pair_sums(runs, lags, check_integer(stride, "stride", 1))
    units = transition_units(pairs, unit)
    curve = summarise_msd(runs, pairs, units)
    warn_unobserved(curve.weight, lags)
    return TransitionDiffusion(
        **_estimates(curve, units, int(np.searchsorted(lags, tau)), method, finite_size),
        window=(int(lags[0]), int(lags[-1])),
        msd=curve,
        lagtime=tau,
        timestep=curve.timestep,
        method=method,
        unit=units.name,
        n_units=units.n_units,
    )


def _finite_size(
    runs: list[TransportRun], temperature: float | None, viscosity: float | None
) -> float:
    """Correction for the mean cell of all runs in Å²/ps, zero where it is not asked for."""
    if viscosity is None and temperature is None:
        return 0.0
    cells = [cells for run in runs if (cells := run.trajectory.cells) is not None]
    if viscosity is None or temperature is None or len(cells) < len(runs):
        raise ValueError(
            "a correction for the size of the cell needs viscosity, temperature and trajectories "
            f"with cells, got viscosity={viscosity!r} and temperature={temperature!r}"
        )
    return yeh_hummer(np.concatenate(cells), temperature, viscosity)


def _estimates(
    curve: TransitionMSD, units: Units, at_tau: int, method: Method, finite_size: float
) -> dict[str, Any]:
    """Lines through the curves, each with its interval."""
    # (n_lags,): any curve over lags times these is its D, a line's slope over six
    rate = rate_coefficients(curve.times)
    without = units.sums.leave_one_out()
    diffusion, total = diffusion_of(curve.msd, rate), curve.total @ rate
    # a fitted line passes through the means: intercept = mean of d² - 6 D times mean of t
    line = 6.0 * diffusion * curve.times.mean()
    positive = method == "secant"
    return {
        "diffusion": diffusion,
        "diffusion_interval": jackknife(
            diffusion,
            diffusion_of(without.msd(), rate),
            units.sums.weight[:, at_tau],
            units.scatter,
            positive=positive,
        ),
        "intercept": np.zeros_like(line) if positive else curve.msd.mean(axis=0) - line,
        "total": float(total + finite_size),
        "finite_size": finite_size,
        "total_interval": finite_size
        + jackknife(
            total,
            without.total_msd() @ rate,
            units.sums.n_pairs[:, at_tau],
            units.scatter,
            positive=positive,
        ),
    }


def longest_frames(probs: ProbabilitiesLike) -> int:
    """Frames of the longest array of probabilities."""
    given: Any = probs
    arrays = [given] if hasattr(given, "ndim") else list(given)
    return max((len(array) for array in arrays), default=0)


def window_lags(
    lagtime: int, method: Method, window: tuple[int, int] | None, longest: int
) -> NDArray[np.int64]:
    """Lags of the fit, ascending, the lag time among them; the lag time alone for the secant."""
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {get_args(Method)}, got {method!r}")
    if method == "secant":
        if window is not None:
            raise ValueError(
                f'window belongs to method="slope", got {window!r} with "secant"; drop it'
            )
        return np.array([lagtime])
    if window is None:
        half = max(1, lagtime // 2)
        window = max(1, lagtime - half), max(lagtime, min(lagtime + half, longest - 1))
    elif np.shape(window) != (2,):
        raise ValueError(f"window must be (first, last) lag in frames, got {window!r}")
    first, last = check_integer(window[0], "window[0]", 1), check_integer(window[1], "window[1]", 1)
    if not (first <= lagtime <= last and first < last):
        raise ValueError(
            f"window must be two lags around lagtime ({lagtime} frames), got {(first, last)}; "
            'widen it, give longer trajectories, or use method="secant"'
        )
    spread = np.linspace(first, last, min(MAX_WINDOW_LAGS, last - first + 1))
    return np.unique([*np.rint(spread).astype(np.int64), lagtime])


def rate_coefficients(times: Array) -> Array:
    r"""Weights c with :math:`D=\sum_k c_k\,E[d^2(t_k)]`: least squares, or the secant of one."""
    if len(times) == 1:
        return 1.0 / (6.0 * times)
    centred = times - times.mean()
    return centred / (6.0 * (centred**2).sum())


def diffusion_of(msd: Array, rate: Array) -> Array:
    """Diffusion coefficients (..., n_states, n_states) of (..., n_lags, n_states, n_states)."""
    return np.einsum("...lij,l->...ij", msd, rate)
