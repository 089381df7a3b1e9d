"""Onsager coefficients of every transition: `onsager_contributions`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.checks import check_integer
from graphkoopman.probabilities import ProbabilitiesLike
from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.trajectories import TargetsLike, TrajectoriesLike
from graphkoopman.transport._carriers import check_carriers
from graphkoopman.transport._conduction import NERNST_EINSTEIN
from graphkoopman.transport._current_sums import CurrentSums, current_sums, current_units
from graphkoopman.transport._drift import Drift
from graphkoopman.transport._inputs import (
    ModelLike,
    check_charges,
    check_model,
    check_runs,
    check_temperature,
)
from graphkoopman.transport._intervals import jackknife
from graphkoopman.transport._runs import prepare_runs
from graphkoopman.uncertainty import Scatter, check_unit, with_refits

Array = NDArray[np.float64]
UNITS = ("auto", "blocks", "trajectories")


@dataclass(frozen=True, eq=False)
class OnsagerContributions(Tabular):
    r"""Collective conductivity, transition by transition, correlation between ions included.

    All conductivities are in S/cm, all intervals 95 %, low and high on the last axis.

    Attributes
    ----------
    self_ : ndarray of shape (n_states, n_states)
        Part of each transition that single targets carry, as if no other ion moved.
    self_interval : ndarray of shape (n_states, n_states, 2)
    distinct : ndarray of shape (n_states, n_states)
        Part of each transition that its correlation with all other carriers adds; negative where
        they move against the current of the transition.
    distinct_interval : ndarray of shape (n_states, n_states, 2)
    distinct_pairs : ndarray of shape (n_states, n_states, n_states, n_states)
        Distinct part of transition i → j with other targets that go k → l, at ``[i, j, k, l]``.
    distinct_pairs_interval : ndarray of shape (n_states, n_states, n_states, n_states, 2)
    distinct_others : ndarray of shape (n_others, n_states, n_states)
        Distinct part of each transition with each of the other carriers. With `distinct_pairs`
        summed over k and l, their sum is `distinct`.
    distinct_others_interval : ndarray of shape (n_others, n_states, n_states, 2)
    haven : ndarray of shape (n_states, n_states)
        Haven ratio of each transition, ``self_ / (self_ + distinct)``; NaN where it never occurs.
    haven_interval : ndarray of shape (n_states, n_states, 2)
        Without limits where ``self_ + distinct`` may be zero.
    einstein : float
        Sum of both parts over all transitions. Without other carriers the Einstein conductivity
        of the targets; with them, the part of it that the targets carry, which may be negative.
    einstein_interval : ndarray of shape (2,)
    nernst_einstein : float
        Sum of ``self_``.
    nernst_einstein_interval : ndarray of shape (2,)
    total_haven : float
        ``nernst_einstein / einstein``, the Haven ratio of the targets.
    total_haven_interval : ndarray of shape (2,)
    carriers : tuple of str
        "targets", then the other carriers; the order of the next three.
    onsager : ndarray of shape (n_carriers, n_carriers)
        Onsager coefficients between carriers; symmetric, sums to ``total``.
    onsager_interval : ndarray of shape (n_carriers, n_carriers, 2)
    transference : ndarray of shape (n_carriers,)
        Transference number of each carrier, in the frame that ``drift`` holds at rest: its row of
        ``onsager`` over ``total``. They sum to one, and one of them is negative where a carrier
        is dragged against its own current.
    transference_interval : ndarray of shape (n_carriers, 2)
    transference_of : ndarray of shape (n_states, n_states)
        What each transition of the targets adds to the transference number of the targets.
    transference_of_interval : ndarray of shape (n_states, n_states, 2)
    total : float
        Einstein conductivity of all carriers.
    total_interval : ndarray of shape (2,)
    temperature : float
        K.
    lagtime : int
        Frames.
    timestep : float
        ps per frame.
    unit : str
        What was left out in turn by the jackknife.
    n_units : int
        Number of such units.
    """

    figure = "plot_onsager"

    self_: Array
    self_interval: Array
    distinct: Array
    distinct_interval: Array
    distinct_pairs: Array
    distinct_pairs_interval: Array
    distinct_others: Array
    distinct_others_interval: Array
    haven: Array
    haven_interval: Array
    einstein: float
    einstein_interval: Array
    nernst_einstein: float
    nernst_einstein_interval: Array
    total_haven: float
    total_haven_interval: Array
    carriers: tuple[str, ...]
    onsager: Array
    onsager_interval: Array
    transference: Array
    transference_interval: Array
    transference_of: Array
    transference_of_interval: Array
    total: float
    total_interval: Array
    temperature: float
    lagtime: int
    timestep: float
    unit: str
    n_units: int

    def __repr__(self) -> str:
        return (
            f"OnsagerContributions(n_states={len(self.self_)}, carriers={self.carriers}, "
            f"einstein={self.einstein:.4g} S/cm, total_haven={self.total_haven:.3g}, "
            f"n_units={self.n_units})"
        )

    def table(self) -> dict[str, Any]:
        """One row per transition of the targets."""
        begin, end = np.indices(self.self_.shape)
        columns: dict[str, Any] = {"from": begin, "to": end}
        for name, text in (
            ("self_", "self / S/cm"),
            ("distinct", "distinct / S/cm"),
            ("haven", "Haven ratio"),
            ("transference_of", "transference"),
        ):
            limits = getattr(self, f"{name.rstrip('_')}_interval")
            columns |= interval_columns(text, getattr(self, name), limits)
        return columns

    def carriers_table(self) -> dict[str, Any]:
        """One row per pair of carriers: Onsager coefficient, transference number of the first."""
        names = np.array(self.carriers, dtype=object)
        return {
            "carrier": names[:, None],
            "with": names,
            **interval_columns("Onsager coefficient / S/cm", self.onsager, self.onsager_interval),
            **interval_columns(
                "transference number",
                self.transference[:, None],
                self.transference_interval[:, None],
            ),
        }


@with_refits
def onsager_contributions(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    model: ModelLike,
    *,
    state_charges: ArrayLike,
    temperature: float,
    target_charges: ArrayLike | None = None,
    others: Any = None,
    drift: Drift = None,
    stride: int = 1,
    unit: str = "auto",
) -> OnsagerContributions:
    r"""Split the Einstein conductivity exactly over transitions, correlation included.

    With the charge displacement :math:`\vec J=\sum_n z_n\vec d_n+\sum_o z_o\vec d_o` of all
    carriers over the lag time, and weights :math:`w_{n,ij}=p_i(t)\,p_j(t+\tau)`,

    .. math::
        \sigma^{self}_{ij} = \frac{e^2}{6\tau V k_BT}
            \Big\langle\sum_n w_{n,ij}\,z_n^2 d_n^2\Big\rangle,
        \qquad
        \sigma^{distinct}_{ij} = \frac{e^2}{6\tau V k_BT}
            \Big\langle\sum_n w_{n,ij}\,z_n\vec d_n\cdot(\vec J-z_n\vec d_n)\Big\rangle.

    Their sum over transitions is :math:`\langle\vec J_{targets}\cdot\vec J\rangle` over the same
    denominator, to rounding and for any states, since rows of probabilities sum to one.

    Parameters
    ----------
    trajs, probs, targets
        See `transition_displacements`. The trajectories need cells, constant or changing.
    model : KoopmanModel
        See `conduction_contributions`; it gives the lag time. Frequencies of the transitions are
        those of the data, or the sum would not be exact.
    state_charges, temperature, target_charges
        See `conduction_contributions`. ``target_charges`` are the charges :math:`z_n`; without
        them a target carries the mean charge of its states at both ends of the lag. With
        ``others`` these charges move by themselves: give the ions' own charges.
    others : mapping, sequence of pairs, array-like of shape (n_atoms,), or None
        The other charge carriers. A mapping from selections to charges in e, such as
        ``{"element Cl": -1.0}``; (selection, charge) pairs, where a selection is anything that
        `graphkoopman.trajectories.resolve_targets` takes, molecules included, and a charge one
        number or one per group; or the charge of every atom, of which those of targets are not
        used.
    drift, stride
        See `transition_displacements`. What is held at rest is the frame of the transference
        numbers; ``total`` does not depend on it where the charges of all carriers sum to zero.

    unit : {"auto", "blocks", "trajectories"}
        What counts as an independent unit for the intervals, all ions together: blocks of time,
        which "auto" takes, or whole trajectories.

    Returns
    -------
    OnsagerContributions

    Raises
    ------
    ValueError
        If an argument is not as described, the model has other states than the probabilities, an
        atom belongs to two carriers, or there is no cell.
    TypeError
        If ``others`` or ``model`` is something else altogether.

    Warns
    -----
    ShortTrajectoryWarning
        See `transition_displacements`.

    Notes
    -----
    Displacements are secants at the lag time: vibration adds :math:`\langle u^2\rangle/\tau` to
    the self part, and to the distinct part where neighbours vibrate together.

    Intervals are from blocks of time with all ions together, about twenty of two lag times or
    more. A distinct part is one number per frame for the whole cell: its error falls with the
    length of the data, not with the number of ions.

    In a changing cell, displacements are those of `graphkoopman.trajectories.unwrap` and the
    volume is its mean.

    References
    ----------
    .. [1] T. Xie et al., Nat. Commun. 10, 2667 (2019), eqs. (15), (16).
    .. [2] K. D. Fong et al., AIChE J. 66, e17091 (2020): Onsager coefficients and transference
       numbers from displacements.
    .. [3] N. M. Vargas-Barbosa and B. Roling, ChemElectroChem 7, 367 (2020): Haven ratio and
       correlations between ions.

    Examples
    --------
    Cation and anion that move together carry charge one by one, and none together.

    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from graphkoopman.trajectories import Trajectory
    >>> from graphkoopman.transport import onsager_contributions
    >>> walk = np.cumsum(np.random.default_rng(0).normal(size=(500, 8, 3)), axis=0)
    >>> pairs = Trajectory(np.tile(walk, (1, 2, 1)), 20 * np.eye(3), [3] * 8 + [17] * 8, timestep=1)
    >>> result = onsager_contributions(
    ...     pairs,
    ...     np.ones((500, 8, 1)),
    ...     "element Li",
    ...     SimpleNamespace(koopman_matrix=[[1.0]], stationary_distribution=[1.0], lagtime=5),
    ...     state_charges=1.0,
    ...     temperature=300.0,
    ...     others={"element Cl": -1.0},
    ... )
    >>> bool(result.self_[0, 0] > 0.1), bool(abs(result.einstein) < 1e-12)
    (True, True)
    """
    matrix, _, tau = check_model(model)
    runs = prepare_runs(trajs, probs, targets, tau, drift, "the lagtime of model")
    check_runs(runs, len(matrix))
    charges = check_charges(state_charges, target_charges, runs)
    carriers = check_carriers(others, runs)
    timestep = runs[0].trajectory.timestep
    scale = NERNST_EINSTEIN / check_temperature(temperature) / (6.0 * tau * timestep)
    name, _ = check_unit(unit, UNITS)
    blocks = current_sums(runs, tau, check_integer(stride, "stride", 1), charges, carriers)
    sums, scatter = current_units(blocks, name)
    return OnsagerContributions(
        **_with_intervals(sums, scatter, len(matrix), scale),
        carriers=("targets", *(carrier.name for carrier in carriers[0])),
        temperature=float(temperature),
        lagtime=tau,
        timestep=timestep,
        unit=name,
        n_units=scatter.n_units or len(sums.volume),
    )


def _with_intervals(
    sums: CurrentSums, scatter: Scatter, n_states: int, scale: float
) -> dict[str, Any]:
    """Every estimate with its interval from units with all ions together."""
    estimates = _estimates(sums.total(), n_states, scale)
    replicates = _estimates(sums.leave_one_out(), n_states, scale)
    positive = {"self_", "nernst_einstein", "total"}
    if estimates["onsager"].size == 1:  # squares, which no other carrier can make negative
        positive |= {"einstein", "inverse_total_haven"}
    results: dict[str, Any] = {}
    for name, estimate in estimates.items():
        results[name] = estimate if estimate.ndim else float(estimate)
        results[f"{name.rstrip('_')}_interval"] = jackknife(
            estimate,
            replicates[name],
            _weights(name, sums, estimate.shape, n_states),
            scatter,
            positive=name in positive,
        )
    for name in ("haven", "total_haven"):
        # the inverse is linear in the distinct part, and closer to normal
        value, limits = results.pop(f"inverse_{name}"), results.pop(f"inverse_{name}_interval")
        with np.errstate(divide="ignore", invalid="ignore"):
            results[name] = np.divide(1.0, value)
        results[f"{name}_interval"] = _reciprocal(limits)
    results["total_haven"] = float(results["total_haven"])
    return results


def _estimates(sums: CurrentSums, n_states: int, scale: float) -> dict[str, Array]:
    """All estimates from sums with any leading axes."""
    n_moves, square = n_states**2, (n_states, n_states)
    lead = sums.volume.shape
    per_volume = scale / sums.volume[..., None, None]
    # products of the displacements of two moves, of all ions and of each ion with itself
    products, own = per_volume * sums.products, per_volume * sums.own
    # what is left is of two different ions
    pairs = products[..., :n_moves, :n_moves] - own
    others = products[..., n_moves:, :n_moves]
    self_ = own.sum(axis=-1)  # the weights of the second transition sum to one
    distinct = pairs.sum(axis=-1) + others.sum(axis=-2)
    moved = products[..., :n_moves, :].sum(axis=-1)
    onsager = _between_carriers(products, n_moves)
    total = onsager.sum(axis=(-2, -1))
    einstein, nernst_einstein = moved.sum(axis=-1), self_.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "self_": self_.reshape(*lead, *square),
            "distinct": distinct.reshape(*lead, *square),
            "distinct_pairs": pairs.reshape(*lead, *square, *square),
            "distinct_others": others.reshape(*lead, -1, *square),
            "inverse_haven": ((self_ + distinct) / self_).reshape(*lead, *square),
            "einstein": einstein,
            "nernst_einstein": nernst_einstein,
            "inverse_total_haven": einstein / nernst_einstein,
            "onsager": onsager,
            "transference": onsager.sum(axis=-1) / total[..., None],
            "transference_of": (moved / total[..., None]).reshape(*lead, *square),
            "total": total,
        }


def _between_carriers(products: Array, n_moves: int) -> Array:
    """Onsager coefficients between carriers: transitions of the targets added up."""
    edges = [0, *range(n_moves, products.shape[-1])]
    return np.add.reduceat(np.add.reduceat(products, edges, axis=-1), edges, axis=-2)


def _weights(name: str, sums: CurrentSums, shape: tuple[int, ...], n_states: int) -> Array:
    """How much data of each block an estimate rests on, (n_blocks, *shape)."""
    n_blocks = len(sums.volume)
    seen = sums.weight.reshape(n_blocks, n_states, n_states)
    if name in ("self_", "distinct", "inverse_haven", "transference_of"):
        weights = seen
    elif name == "distinct_others":
        weights = seen[:, None]
    elif name == "distinct_pairs":  # two transitions at once: as often as the rarer
        weights = np.minimum(seen[:, :, :, None, None], seen[:, None, None])
    else:
        weights = sums.volume.reshape(-1, *(1,) * len(shape))
    return np.broadcast_to(weights, (n_blocks, *shape))


def _reciprocal(limits: Array) -> Array:
    """Interval of a reciprocal; without limits where the interval holds zero."""
    low, high = limits[..., 0], limits[..., 1]
    with np.errstate(divide="ignore"):
        bounds = np.stack([1.0 / high, 1.0 / low], axis=-1)
    signed = (low > 0) | (high < 0)
    return np.where(signed[..., None], bounds, np.array([-np.inf, np.inf]))
