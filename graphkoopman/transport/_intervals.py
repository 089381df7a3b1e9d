r"""Uncertainty from independent units of the data: `Units`, `transition_units`, `jackknife`.

A delete-one jackknife over units, with Student's t for the number of units that an estimate rests
on. The same units serve every estimate of one call, so that ratios such as percentages and closure
keep the correlation of their parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphkoopman.transport._sums import PairSums, TransitionSums
from graphkoopman.uncertainty import (
    Scatter,
    check_unit,
    effective_units,
    error_of_mean,
    jackknife_influence,
    t_quantile,
    unit_labels,
)

Array = NDArray[np.float64]

# Sums are kept by block and target, not by frame.
UNITS = (
    "auto",
    "trajectories",
    "blocks",
    "targets",
    "trajectories+targets",
    "blocks+targets",
)


@dataclass(frozen=True, eq=False)
class Units:
    """Sums of each independent unit.

    Attributes
    ----------
    sums : TransitionSums
        Leading axis (n_units,), or (n_pieces,) where the scatter has the block of each piece.
    name : str
        What a unit is.
    scatter : Scatter
        What the scatter of the units shows.
    """

    sums: TransitionSums
    name: str
    scatter: Scatter

    @property
    def n_units(self) -> int:
        """Number of units."""
        return self.scatter.n_units or len(self.sums.n_pairs)


def transition_units(pairs: PairSums, unit: str) -> Units:
    """Group the sums into what is independent.

    Parameters
    ----------
    pairs : PairSums
    unit : str
        See `graphkoopman.uncertainty.check_unit`; all but chunks.
    """
    name, _ = check_unit(unit, UNITS)
    blocks = pairs.blocks
    copies = round(float(np.mean(pairs.n_groups))) if "targets" in name else 1
    labels_of_time: Sequence[int] | None = None
    if name == "targets":
        labels_of_time = [0] * len(blocks)
    elif name == "blocks+targets":
        labels_of_time = blocks.block_of
    elif name.startswith("trajectories"):
        labels_of_time = [block.trajectory for block in blocks]
    weights = [b.n_frames * pairs.n_groups[b.trajectory] for b in blocks]
    scatter = blocks.scatter(weights, labels_of_time, copies)
    # blocks stay in pieces; all other units are whole
    block_of = None if name == "blocks" else blocks.block_of
    labels = np.concatenate(unit_labels(name, blocks, pairs.n_groups, block_of))
    return Units(pairs.cells.grouped(labels), name, scatter)


def jackknife(
    estimate: Array,
    replicates: Array,
    weights: Array,
    scatter: Scatter,
    *,
    positive: bool = False,
) -> Array:
    """95 % interval of an estimate from its values without each unit.

    Parameters
    ----------
    estimate : ndarray of shape (...)
    replicates : ndarray of shape (n_units, ...)
        Estimates without one unit each; without one piece of time each, where the scatter has the
        block of each piece, see `graphkoopman.uncertainty.error_of_mean`.
    weights : ndarray of shape (n_units, ...)
        How much data of each unit an estimate rests on; the effective number of units follows.
    scatter : Scatter
        What the scatter of the units shows.
    positive : bool
        Whether the interval is symmetric in the logarithm.

    Returns
    -------
    interval : ndarray of shape (..., 2)
        Low and high; without limits where a single unit holds all the data of an estimate.
    """
    with np.errstate(invalid="ignore"):
        if scatter.blocks:
            influence = jackknife_influence(estimate, replicates, weights)
            error, n_units = error_of_mean(influence, weights, scatter)
        else:
            error = _spread(replicates, scatter.share)
            n_units = np.minimum(effective_units(weights), 1.0 + scatter.degrees)
        half = t_quantile(n_units) * error
    half = np.where(np.isnan(half), np.inf, half)
    if not positive:
        return _stack(estimate - half, estimate + half, -np.inf)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = np.exp(half / estimate)
        low, high = estimate / factor, estimate * factor
    # displacements of targets that never move are zero without doubt
    zero = (estimate == 0.0) & (half == 0.0)
    return _stack(np.where(zero, 0.0, low), np.where(zero, 0.0, high), 0.0)


def _spread(replicates: Array, share: float) -> Array:
    n_units = len(replicates)
    if n_units < 2:
        return np.full(replicates.shape[1:], np.inf)
    variance = (n_units - 1) * replicates.var(axis=0) / share
    return np.sqrt(variance)


def _stack(low: Array, high: Array, lowest: float) -> Array:
    """Limits on the last axis, the widest where there is no estimate."""
    low = np.where(np.isnan(low), lowest, low)
    high = np.where(np.isnan(high), np.inf, high)
    return np.stack([low, high], axis=-1)
