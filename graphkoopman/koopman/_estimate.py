"""Koopman models from state probabilities: `estimate_koopman`."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.koopman._bootstrap import (
    BootstrapKoopmanModel,
    dirichlet_concentration,
    draw_weights,
)
from graphkoopman.koopman._constraints import reversible, stochastic
from graphkoopman.koopman._limits import data_limits, warn_of_limits
from graphkoopman.koopman._model import KoopmanModel
from graphkoopman.koopman._moments import (
    LaggedMoments,
    check_lagtime,
    lagged_moments,
    longer_than,
)
from graphkoopman.koopman._solve import solve_koopman
from graphkoopman.koopman._units import unit_moments
from graphkoopman.koopman._warnings import SkippedTrajectoryWarning
from graphkoopman.probabilities import ProbabilitiesLike, probability_arrays
from graphkoopman.randomness import RandomState, as_random_state
from graphkoopman.uncertainty import probability_sets

__all__ = ["Constraint", "estimate_koopman"]

Constraint = Literal["stochastic", "reversible"]

DEFAULT_SAMPLES = 200


@overload
def estimate_koopman(
    probs: ArrayLike | Sequence[ArrayLike],
    lagtime: int,
    *,
    timestep: float | None = ...,
    constraint: Constraint | None = ...,
    n_bootstrap: Literal[0] = ...,
    unit: str | int = ...,
    random_state: RandomState = ...,
) -> KoopmanModel: ...


@overload
def estimate_koopman(
    probs: ArrayLike | Sequence[ArrayLike],
    lagtime: int,
    *,
    timestep: float | None = ...,
    constraint: Constraint | None = ...,
    n_bootstrap: int,
    unit: str | int = ...,
    random_state: RandomState = ...,
) -> KoopmanModel | BootstrapKoopmanModel: ...


def estimate_koopman(
    probs: ArrayLike | Sequence[ArrayLike],
    lagtime: int,
    *,
    timestep: float | None = None,
    constraint: Constraint | None = None,
    n_bootstrap: int = 0,
    unit: str | int = "auto",
    random_state: RandomState = None,
) -> KoopmanModel | BootstrapKoopmanModel:
    r"""Koopman model of state probabilities, with uncertainty if asked for.

    .. math::
        K = C_{00}^{-1} C_{0t}

    Parameters
    ----------
    probs : array, list of arrays, or list of such lists
        State probabilities, each of shape (n_frames, n_targets, n_states), or
        (n_frames, n_states) for a single target. Several lists are of the same frames by the
        fitted network and by refits, see `GDyNetEstimator.transform_refits`; intervals then hold
        their spread.
    lagtime : int
        Lag time :math:`\tau` in frames.
    timestep : float, optional
        Time between frames in ps.
    constraint : {"stochastic", "reversible"}, optional
        "stochastic": entries not negative; "reversible": also detailed balance with the stationary
        distribution. The matrix with the smallest prediction error
        :math:`\langle\|\chi_{t+\tau}-K^T\chi_t\|^2\rangle` among those is returned, and the free
        estimate itself where it satisfies the constraint.
    n_bootstrap : int
        Number of resampled models; 0 for none, but 200 with refits. 200 give intervals good to
        about 5 %.
    unit : str or int
        What is resampled as an independent unit: "trajectories", "blocks" of time (all targets
        together), "targets" (over all times and runs), "trajectories+targets" or "blocks+targets"
        (each target of each of them), or "chunks", the paper's four equal pieces; a number gives
        so many pieces. "auto" is "blocks": nothing is taken for granted about targets.
    random_state : int, RandomState, Generator or None
        Seed of the resampling.

    Returns
    -------
    KoopmanModel or BootstrapKoopmanModel
        The latter if `n_bootstrap` is positive.

    Raises
    ------
    ValueError
        If an argument is not as described, or no trajectory is longer than `lagtime`.

    Warns
    -----
    RankDeficientWarning
        If a state is never visited, or states are linearly dependent.
    BeyondDataWarning
        If a relaxation time is longer than the longest run.
    FixedStateWarning
        If no target passes between groups of states.
    FewUnitsWarning
        If the data are worth fewer than six units, as in less than some twelve correlation times.

    Notes
    -----
    Noise of single frames in `probs`, such as misassigned states, makes K decay faster at short
    lag times than the states do. The estimate then converges to that of the noisy states, and to
    the true relaxation only as the lag time grows.

    Targets that move together, such as atoms at one face, are not independent: with targets in the
    unit their intervals are far too narrow, and no test can tell in data of a few correlation
    times. Blocks of all targets need no such assumption. In short data they are correlated with
    one another, which `graphkoopman.uncertainty.block_scatter` puts right; what is left are few
    degrees of freedom, and a wide interval.

    References
    ----------
    .. [1] T. Xie et al., Nat. Commun. 10, 2667 (2019), eq. (2).

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.koopman import estimate_koopman
    >>> probs = np.eye(2)[[0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0]]
    >>> estimate_koopman(probs, lagtime=1).koopman_matrix.round(3)
    array([[0.714, 0.286],
           [0.667, 0.333]])
    """
    if constraint not in (None, "stochastic", "reversible"):
        raise ValueError(
            f'constraint must be None, "stochastic" or "reversible", got {constraint!r}'
        )
    if n_bootstrap < 0 or n_bootstrap == 1:
        raise ValueError(f"n_bootstrap must be 0 (none) or at least 2, got {n_bootstrap}")
    lagtime = check_lagtime(lagtime)
    first, *others = probability_sets(probs)
    if others and n_bootstrap == 0:
        n_bootstrap = DEFAULT_SAMPLES
    arrays = longer_than(probability_arrays(first), lagtime)
    moments = _with_double(lagged_moments(arrays, lagtime), arrays)
    prior = _model(moments, timestep, constraint, warn=True)
    limits = data_limits(arrays, prior)
    warn_of_limits(limits, timestep=timestep)
    if n_bootstrap == 0:
        return prior
    (units,) = unit_moments(arrays, [lagtime], unit, with_double=True)
    concentration = dirichlet_concentration(units)
    weights = draw_weights(units, n_bootstrap, concentration, as_random_state(random_state))
    return BootstrapKoopmanModel(
        prior,
        [_model(units.weighted(w), timestep, constraint, warn=False) for w in weights],
        n_units=units.n_units,
        n_effective=1.0 + units.means.degrees,
        concentration=concentration,
        unit=units.unit,
        means=units.means,
        dynamics=units.dynamics,
        refits=[_refit(other, lagtime, timestep, constraint) for other in others],
        exchanges=limits.exchanges,
    )


def _refit(
    probs: ProbabilitiesLike, lagtime: int, timestep: float | None, constraint: Constraint | None
) -> KoopmanModel:
    """Model of the same data as another network sees them."""
    with warnings.catch_warnings():
        # said of the first set already
        warnings.simplefilter("ignore", SkippedTrajectoryWarning)
        arrays = longer_than(probability_arrays(probs), lagtime)
    return _model(
        _with_double(lagged_moments(arrays, lagtime), arrays), timestep, constraint, warn=False
    )


def _with_double(moments: LaggedMoments, arrays: list[NDArray[Any]]) -> LaggedMoments:
    """Add the moments at twice the lag, for certificates, where a run is so long."""
    longer = [array for array in arrays if len(array) > 2 * moments.lagtime]
    if not longer:
        return moments
    return replace(moments, double=lagged_moments(longer, 2 * moments.lagtime))


def _model(
    moments: LaggedMoments, timestep: float | None, constraint: Constraint | None, *, warn: bool
) -> KoopmanModel:
    matrix = constrained_matrix(moments, constraint, warn=warn)
    return KoopmanModel(matrix, lagtime=moments.lagtime, timestep=timestep, moments=moments)


def model_of_moments(
    moments: LaggedMoments,
    double: LaggedMoments | None,
    *,
    timestep: float | None = None,
    constraint: Constraint | None = None,
) -> KoopmanModel:
    """What `estimate_koopman` gives for probabilities of these moments.

    Parameters
    ----------
    moments, double : LaggedMoments
        At the lag, and at twice the lag where a run is so long.
    timestep : float or None
        ps.
    constraint : {"stochastic", "reversible"} or None

    Returns
    -------
    KoopmanModel
    """
    return _model(replace(moments, double=double), timestep, constraint, warn=True)


def constrained_matrix(
    moments: LaggedMoments, constraint: Constraint | None, *, warn: bool
) -> NDArray[np.float64]:
    """Koopman matrix of the moments under a constraint, (n_states, n_states)."""
    free = solve_koopman(moments, warn=warn)
    if constraint == "stochastic":
        return stochastic(free, moments.c00)
    if constraint == "reversible":
        return reversible(free, moments.c00, moments.mean)
    return free
