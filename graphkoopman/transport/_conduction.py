"""Conduction of every transition, eqs. (15) and (16): `conduction_contributions`."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import constants

from graphkoopman.checks import check_integer
from graphkoopman.probabilities import ProbabilitiesLike
from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.trajectories import TargetsLike, TrajectoriesLike
from graphkoopman.transport._diffusion import (
    Method,
    diffusion_of,
    longest_frames,
    rate_coefficients,
    window_lags,
)
from graphkoopman.transport._displacements import warn_unobserved
from graphkoopman.transport._drift import Drift
from graphkoopman.transport._inputs import (
    ModelLike,
    check_charges,
    check_model,
    check_runs,
    check_temperature,
)
from graphkoopman.transport._intervals import (
    Units,
    jackknife,
    transition_units,
)
from graphkoopman.transport._runs import TransportRun, prepare_runs
from graphkoopman.transport._sums import (
    PairSums,
    TransitionSums,
    mean_volume,
    pair_sums,
)
from graphkoopman.transport._warnings import NegativeConductivityWarning
from graphkoopman.uncertainty import with_refits

Array = NDArray[np.float64]

# S/cm for e²/Å³ · Å²/ps / (k_B · 1 K): 1e30 · 1e-20 / 1e-12 in SI, and 1e-2 from S/m
NERNST_EINSTEIN = constants.e**2 / constants.k * 1e20


@dataclass(frozen=True, eq=False, repr=False)
class Conduction(Tabular):
    r"""Conductivity, transition by transition.

    All intervals are 95 %, low and high on the last axis.

    Attributes
    ----------
    sigma : ndarray of shape (n_states, n_states)
        :math:`\sigma_{ij}` in S/cm; negative where a slope is.
    sigma_interval : ndarray of shape (n_states, n_states, 2)
        S/cm.
    percent : ndarray of shape (n_states, n_states)
        Share of the sum; adds up to 100.
    percent_interval : ndarray of shape (n_states, n_states, 2)
    diffusion : ndarray of shape (n_states, n_states)
        :math:`D_{i\to j}` in Å²/ps; NaN where a transition never occurs, whose contribution is
        taken as zero.
    diffusion_interval : ndarray of shape (n_states, n_states, 2)
        Å²/ps.
    total : float
        :math:`\sum_{ij}\sigma_{ij}`, S/cm.
    total_interval : ndarray of shape (2,)
        S/cm.
    nernst_einstein : float
        Nernst-Einstein conductivity of the targets, S/cm: no states, no correlation.
    nernst_einstein_interval : ndarray of shape (2,)
        S/cm.
    einstein : float
        Conductivity from the collective displacement of the charges of all targets, S/cm.
    einstein_interval : ndarray of shape (2,)
        S/cm; from blocks of time with all targets together.
    closure : float
        ``total / nernst_einstein``.
    closure_interval : ndarray of shape (2,)
    tracer_diffusion : float
        Diffusion coefficient of all targets by the same method, Å²/ps.
    tracer_diffusion_interval : ndarray of shape (2,)
        Å²/ps.
    number_density : float
        Targets per Å³.
    state_charges : ndarray of shape (n_states,)
        e.
    temperature : float
        K.
    window : tuple of int
        First and last lag of the fit in frames.
    lagtime : int
        Frames.
    timestep : float
        ps per frame.
    method : str
        "slope" or "secant".
    unit : str
        What was left out in turn by the jackknife.
    n_units, n_blocks : int
        Number of such units, and of blocks behind ``einstein_interval``.
    """

    figure = "plot_conduction"

    sigma: Array
    sigma_interval: Array
    percent: Array
    percent_interval: Array
    diffusion: Array
    diffusion_interval: Array
    total: float
    total_interval: Array
    nernst_einstein: float
    nernst_einstein_interval: Array
    einstein: float
    einstein_interval: Array
    closure: float
    closure_interval: Array
    tracer_diffusion: float
    tracer_diffusion_interval: Array
    number_density: float
    state_charges: Array
    temperature: float
    window: tuple[int, int]
    lagtime: int
    timestep: float
    method: str
    unit: str
    n_units: int
    n_blocks: int

    def table(self) -> dict[str, Any]:
        """One row per transition."""
        begin, end = np.indices(self.sigma.shape)
        return {
            "from": begin,
            "to": end,
            **interval_columns("percent", self.percent, self.percent_interval),
            **interval_columns("conductivity / S/cm", self.sigma, self.sigma_interval),
            **interval_columns(
                "diffusion / angstrom^2/ps", self.diffusion, self.diffusion_interval
            ),
        }


@with_refits
def conduction_contributions(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    model: ModelLike,
    *,
    state_charges: ArrayLike,
    temperature: float,
    target_charges: ArrayLike | None = None,
    method: Method = "slope",
    window: tuple[int, int] | None = None,
    drift: Drift = None,
    stride: int = 1,
    unit: str = "auto",
) -> Conduction:
    r"""Contribution of every transition to the conductivity of the targets.

    .. math::
        \sigma_{ij} = \frac{e^2 N}{V k_B T}\,\pi_i z_{ij}^2 K_{ij}(\tau) D_{i\to j}(\tau),
        \qquad z_{ij} = \tfrac12 (z_i + z_j),

    and its share of the sum in percent. For comparison, of the same displacements:

    .. math::
        \sigma_{NE} = \frac{e^2}{V k_B T}\sum_k \frac{\langle z_k^2 d_k^2\rangle}{6\tau},
        \qquad
        \sigma_E = \frac{e^2}{V k_B T} \frac{\langle |\sum_k z_k \vec d_k|^2\rangle}{6\tau},

    with slopes in place of the quotients for ``method="slope"``.

    Parameters
    ----------
    trajs, probs, targets
        See `transition_displacements`. The trajectories need cells.
    model : KoopmanModel
        Anything with ``koopman_matrix``, ``stationary_distribution`` and ``lagtime``, or with a
        ``prior`` that has them.
    state_charges : float or array-like of shape (n_states,)
        Charge of a target with its surroundings in each state, in e; zero is allowed. From a
        charge integral: `graphkoopman.structure.ChargeIntegral.within`.
    temperature : float
        K.
    target_charges : float, array-like of shape (n_targets,), or None
        Charges :math:`z_k` for the two comparisons, in e; the ion's own charge asks how much the
        surroundings screen. None: a target carries the mean charge of its states at both ends of
        the lag, as in :math:`z_{ij}`.
    method, window
        See `transition_diffusion`; the lag time is the model's.
    drift, stride, unit
        See `transition_displacements`.

    Returns
    -------
    Conduction

    Raises
    ------
    ValueError
        If an argument is not as described, the model has other states than the probabilities, or
        there is no cell.

    Warns
    -----
    NegativeConductivityWarning
        If the contributions do not sum to a positive number.
    ShortTrajectoryWarning, UnobservedTransitionWarning
        See `transition_displacements`.

    Notes
    -----
    With secants the sum is :math:`\sigma_{NE}` where the model's frequencies
    :math:`\pi_iK_{ij}` are those of the data. ``closure`` below one with slopes is the part that
    transitions which are themselves hops carry, see `transition_diffusion`; other deviations tell
    that the model is of other data, or that fuzzy states dilute its frequencies.

    Intervals take the model's :math:`\pi_iK_{ij}` to vary like :math:`\sum p_ip_j` from unit to
    unit. The model's own error from training, or from other data, is not in them.

    Correlation between ions is in :math:`\sigma_E` only. Its error falls with the length of the
    data, not with the number of targets, so it is the least certain of the three.

    References
    ----------
    .. [1] T. Xie et al., Nat. Commun. 10, 2667 (2019), eqs. (15), (16).
    .. [2] A. France-Lanord and J. C. Grossman, Phys. Rev. Lett. 122, 136001 (2019).
    """
    matrix, populations, tau = check_model(model)
    lags = window_lags(tau, method, window, longest_frames(probs))
    name = "the lagtime of model" if window is None else "window"
    runs = prepare_runs(trajs, probs, targets, int(lags[-1]), drift, name)
    check_runs(runs, len(matrix))
    charges = check_charges(state_charges, target_charges, runs)
    prefactor = NERNST_EINSTEIN / check_temperature(temperature)
    pairs = pair_sums(runs, lags, check_integer(stride, "stride", 1), charges)
    units = transition_units(pairs, unit)
    warn_unobserved(units.sums.total().weight, lags)
    # z_ij = (z_i + z_j) / 2 enters squared
    terms = _Terms(
        flux=populations[:, None] * matrix,
        squared_charges=(0.5 * (charges.states[:, None] + charges.states)) ** 2,
        prefactor=prefactor,
        density=number_density(runs, tau),
        rate=rate_coefficients(lags.astype(np.float64) * runs[0].trajectory.timestep),
        at_tau=int(np.searchsorted(lags, tau)),
        positive=method == "secant",
    )
    einstein, einstein_interval, n_blocks = _einstein(pairs, terms)
    return Conduction(
        **_contributions(units, terms),
        einstein=einstein,
        einstein_interval=einstein_interval,
        number_density=terms.density,
        state_charges=charges.states,
        temperature=float(temperature),
        window=(int(lags[0]), int(lags[-1])),
        lagtime=tau,
        timestep=runs[0].trajectory.timestep,
        method=method,
        unit=units.name,
        n_units=units.n_units,
        n_blocks=n_blocks,
    )


@dataclass(frozen=True, eq=False)
class _Terms:
    """Everything in eq. (15) that is no sum over pairs."""

    flux: Array  # π_i K_ij
    squared_charges: Array  # z_ij²
    prefactor: float  # S/cm per e² Å⁻³ Å²/ps
    density: float  # Å⁻³
    rate: Array  # (n_lags,), turns a curve over lags into D
    at_tau: int  # position of the lag time among the lags
    positive: bool


def number_density(runs: list[TransportRun], lagtime: int) -> float:
    """Targets per volume in Å⁻³, runs weighted with their number of pairs."""
    n_pairs = np.array([run.n_frames - lagtime for run in runs])
    n_targets = n_pairs @ [run.n_targets for run in runs]
    return float(n_targets / (n_pairs @ [mean_volume(run) for run in runs]))


def _contributions(units: Units, terms: _Terms) -> dict[str, Any]:
    """Estimates that rest on sums over single targets, each with its interval."""
    pooled, without = units.sums.total(), units.sums.leave_one_out()
    estimates = _estimates(pooled, pooled, terms)
    if estimates["total"] <= 0 or estimates["nernst_einstein"] <= 0:
        warnings.warn(
            f"conductivities must be positive, got {estimates['total']:.3g} S/cm from the "
            f"transitions and {estimates['nernst_einstein']:.3g} S/cm without states: percentages "
            'and closure mean nothing; use method="secant", another lag time or more data',
            NegativeConductivityWarning,
            stacklevel=3,
        )
    replicates = _estimates(without, pooled, terms)
    per_transition = units.sums.weight[:, terms.at_tau]
    results: dict[str, Any] = {}
    for name, estimate in estimates.items():
        is_matrix = estimate.ndim == 2
        weights = per_transition if is_matrix else units.sums.n_pairs[:, terms.at_tau]
        positive = terms.positive and name != "percent"
        results[f"{name}_interval"] = jackknife(
            estimate, replicates[name], weights, units.scatter, positive=positive
        )
        results[name] = estimate if is_matrix else float(estimate)
    return results


def _estimates(sums: TransitionSums, pooled: TransitionSums, terms: _Terms) -> dict[str, Array]:
    """All estimates from sums with any leading axes; `pooled` belongs to the model's K."""
    diffusion = diffusion_of(sums.msd(), terms.rate)
    flux = terms.flux * _relative_frequency(sums, pooled, terms.at_tau)
    scale = terms.prefactor * terms.density
    # unseen transitions have no displacement, and nothing to carry
    # eq. (15): σ_ij = (e² N / V kT) π_i K_ij z_ij² D_ij
    sigma = scale * flux * terms.squared_charges * np.nan_to_num(diffusion)
    total = sigma.sum(axis=(-2, -1))
    # the same without states: slope of Σ z² d² of single targets
    nernst_einstein = scale * (sums.charge / sums.n_pairs) @ terms.rate
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "sigma": sigma,
            "percent": 100.0 * sigma / total[..., None, None],
            "diffusion": diffusion,
            "total": total,
            "nernst_einstein": nernst_einstein,
            "closure": total / nernst_einstein,
            "tracer_diffusion": sums.total_msd() @ terms.rate,
        }


def _relative_frequency(sums: TransitionSums, pooled: TransitionSums, at_tau: int) -> Array:
    """How often each transition occurs, relative to all data, (..., n_states, n_states)."""
    ours = sums.weight[..., at_tau, :, :] / sums.n_pairs[..., at_tau, None, None]
    all_data = pooled.weight[at_tau] / pooled.n_pairs[at_tau]
    return np.where(all_data > 0, ours / np.where(all_data > 0, all_data, 1.0), 1.0)


def _einstein(pairs: PairSums, terms: _Terms) -> tuple[float, Array, int]:
    """Collective conductivity, its interval and the number of blocks behind it."""
    blocks = pairs.collective
    if blocks is None:
        raise ValueError("pairs must hold collective sums, got none; give charges to pair_sums")
    pooled, without = blocks.total(), blocks.leave_one_out()
    estimate = terms.prefactor * (pooled.charge / pooled.volume) @ terms.rate
    with np.errstate(divide="ignore", invalid="ignore"):
        replicates = terms.prefactor * (without.charge / without.volume) @ terms.rate
    weights = blocks.volume[:, terms.at_tau]
    scatter = pairs.blocks.scatter()
    interval = jackknife(estimate, replicates, weights, scatter, positive=terms.positive)
    return float(estimate), interval, scatter.n_units or len(weights)
