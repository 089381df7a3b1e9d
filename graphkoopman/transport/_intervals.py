r"""Uncertainty from independent units of the data: `Units`, `transition_units`, `jackknife`.

A delete-one jackknife over units, with Student's t for the number of units that an estimate rests
on. The same units serve every estimate of one call, so that ratios such as percentages and closure
keep the correlation of their parts.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from graphkoopman.transport._sums import PairSums, TransitionSums
from graphkoopman.uncertainty import effective_units, t_quantile

Array = NDArray[np.float64]
Unit: TypeAlias = Literal["auto", "targets", "blocks", "blocks+targets"]

SIGNIFICANCE = 0.05
ENOUGH_UNITS = 10
MAX_LEAKAGE = 0.5


@dataclass(frozen=True, eq=False)
class Units:
    """Sums of each independent unit.

    Attributes
    ----------
    sums : TransitionSums
        Leading axis (n_units,).
    name : str
        What a unit is.
    leakage : float
        Share of the variance that correlation across ends of blocks hides.
    """

    sums: TransitionSums
    name: str
    leakage: float

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.sums.n_pairs)


def transition_units(pairs: PairSums, unit: Unit) -> Units:
    """Choose what is independent.

    Parameters
    ----------
    pairs : PairSums
    unit : {"auto", "targets", "blocks", "blocks+targets"}
        "targets": each target of each run, over all times. "blocks": blocks of time, all targets
        together. "blocks+targets": each target in each block. "auto": targets, or each target in
        each block where there are fewer than ten; all targets together where blocks of time
        scatter more than independent targets explain (an F-test at 5 %).
    """
    if unit not in get_args(Unit):
        raise ValueError(f"unit must be one of {get_args(Unit)}, got {unit!r}")
    if unit != "auto":
        return _units(pairs, unit)
    fine = _units(pairs, "targets")
    if fine.n_units < ENOUGH_UNITS:
        fine = _units(pairs, "blocks+targets")
    together = _units(pairs, "blocks")
    degrees = together.n_units - 1, fine.n_units - 1
    if min(degrees) < 1:
        return fine
    excess = _variance(together) > stats.f.isf(SIGNIFICANCE, *degrees) * _variance(fine)
    return together if excess else fine


def _units(pairs: PairSums, name: Unit) -> Units:
    labels = {
        "targets": pairs.target_of,
        "blocks": pairs.block_of,
        "blocks+targets": np.arange(len(pairs.block_of)),
    }[name]
    leakage = 0.0 if name == "targets" else block_leakage(pairs)
    return Units(pairs.cells.grouped(labels), name, leakage)


def block_leakage(pairs: PairSums) -> float:
    r"""Share of the variance of a block's mean that overlap with its neighbours hides.

    Squared displacements of a random walk over a lag :math:`\tau` that start s apart correlate as
    :math:`(1-s/\tau)^2`, so the mean over a block of length L lacks :math:`\tau/4L` of its variance
    in the limit of long blocks.
    """
    lost = pairs.lags[-1] / (4.0 * pairs.block_length) * pairs.cuts_per_block
    return float(min(lost, MAX_LEAKAGE))


def _variance(units: Units) -> float:
    """Jackknife variance of the mean squared displacement of all targets at the longest lag."""
    replicates = units.sums.leave_one_out().total_msd()[:, -1]
    return float(_spread(replicates, units.leakage) ** 2)


def jackknife(
    estimate: Array,
    replicates: Array,
    weights: Array,
    leakage: float,
    *,
    positive: bool = False,
) -> Array:
    """95 % interval of an estimate from its values without each unit.

    Parameters
    ----------
    estimate : ndarray of shape (...)
    replicates : ndarray of shape (n_units, ...)
        Estimates without one unit each.
    weights : ndarray of shape (n_units, ...)
        How much data of each unit an estimate rests on; the effective number of units follows.
    leakage : float
        Share of the variance that correlation between units hides.
    positive : bool
        Whether the interval is symmetric in the logarithm.

    Returns
    -------
    interval : ndarray of shape (..., 2)
        Low and high; without limits where a single unit holds all the data of an estimate.
    """
    with np.errstate(invalid="ignore"):
        half = t_quantile(effective_units(weights)) * _spread(replicates, leakage)
    half = np.where(np.isnan(half), np.inf, half)
    if not positive:
        return _stack(estimate - half, estimate + half, -np.inf)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = np.exp(half / estimate)
        low, high = estimate / factor, estimate * factor
    # displacements of targets that never move are zero without doubt
    zero = (estimate == 0.0) & (half == 0.0)
    return _stack(np.where(zero, 0.0, low), np.where(zero, 0.0, high), 0.0)


def _spread(replicates: Array, leakage: float) -> Array:
    n_units = len(replicates)
    if n_units < 2:
        return np.full(replicates.shape[1:], np.inf)
    variance = (n_units - 1) * replicates.var(axis=0) / (1.0 - leakage)
    return np.sqrt(variance)


def _stack(low: Array, high: Array, lowest: float) -> Array:
    """Limits on the last axis, the widest where there is no estimate."""
    low = np.where(np.isnan(low), lowest, low)
    high = np.where(np.isnan(high), np.inf, high)
    return np.stack([low, high], axis=-1)
