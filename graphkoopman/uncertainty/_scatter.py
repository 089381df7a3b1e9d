"""How much of an estimate's variance the scatter of units shows: `Scatter`, `block_scatter`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.uncertainty._blocks import Block
from graphkoopman.uncertainty._student import CONFIDENCE, effective_units, t_quantile

__all__ = ["Scatter", "block_scatter", "mean_covariance"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scatter:
    """What the scatter of a number of units says about the variance of their mean.

    Attributes
    ----------
    share : float
        Share of the variance that the scatter shows; less than one where units are correlated.
    degrees : float
        Degrees of freedom.
    blocks : tuple of n_pieces ints
        Unit of each piece of time, by number, where estimates are told apart by pieces of units,
        see `error_of_mean`; empty where they are told apart by the units themselves.
    within : float
        What pieces within units scatter of the same process, over what units do; less than one.
    """

    share: float
    degrees: float
    blocks: tuple[int, ...] = field(default=(), repr=False)
    within: float = field(default=0.0, repr=False)

    @property
    def n_units(self) -> int:
        """Number of units that estimates are told apart by pieces of; zero without pieces."""
        return len(set(self.blocks))

    def quantile(self, confidence: float = CONFIDENCE) -> float:
        """Student's t over the root of the share: what a naive standard error is times."""
        return float(t_quantile(1.0 + self.degrees, confidence) / np.sqrt(self.share))


def block_scatter(
    blocks: Sequence[Block],
    time: float,
    *,
    weights: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    n_copies: int = 1,
) -> Scatter:
    r"""Scatter of units made of blocks of a process that forgets exponentially.

    With :math:`C_{ab}` the covariance of the means over blocks a and b of a process whose
    correlation is :math:`e^{-s/t}`, and :math:`G = A C A^T` that of the weighted residuals
    :math:`w_a(x_a - \sum_b w_b x_b)`, the naive variance
    :math:`\frac{n}{n-1}\sum_a w_a^2 (x_a - \bar x)^2` expects
    :math:`\frac{n}{n-1}\mathrm{tr}\,G` where the mean has :math:`w^T C w`: the share is their
    ratio. The degrees of freedom are Satterthwaite's, :math:`(\mathrm{tr}\,G)^2/\mathrm{tr}\,G^2`.
    Both stay right in runs of a few correlation times, where blocks are far from independent.

    Parameters
    ----------
    blocks : sequence of n_blocks Block
    time : float
        Correlation time in frames; 0 for independent frames.
    weights : array-like of shape (n_blocks,) or None
        Frames by default.
    labels : array-like of shape (n_blocks,) or None
        Unit of each block, if units are several blocks.
    n_copies : int
        Independent copies of every unit, such as targets taken as independent.

    Returns
    -------
    Scatter

    References
    ----------
    Satterthwaite, Biometrics Bulletin 2, 110 (1946).

    Examples
    --------
    Runs of their own are independent; the scatter between two halves of one run of ten correlation
    times hides a fifth of the variance.

    >>> from graphkoopman.uncertainty import block_scatter, cut_blocks
    >>> block_scatter(cut_blocks([100] * 5, 10.0, n_blocks=5), 10.0)
    Scatter(share=1.0, degrees=4.0)
    >>> round(block_scatter(cut_blocks([100], 10.0, n_blocks=2), 10.0).share, 2)
    0.78
    """
    frames = np.array([block.n_frames for block in blocks], dtype=np.float64)
    w = frames if weights is None else np.asarray(weights, dtype=np.float64)
    w = w / w.sum()
    # A C Aᵀ, (n_blocks, n_blocks): covariance of what each block adds to the mean
    covariance = mean_covariance(blocks, frames, time) * np.outer(w, w)
    if labels is not None:
        unit = np.asarray(labels)
        indicator = (unit == np.unique(unit)[:, None]).astype(float)
        covariance, w = indicator @ covariance @ indicator.T, indicator @ w
    # The residual of unit a is its own weighted deviation less w_a times that of the mean.
    row = covariance.sum(axis=1)
    total = row.sum()
    centring = (np.outer(w, row) + np.outer(row, w) - np.outer(w, w) * total) / n_copies
    residual = covariance - centring
    n_units = len(w) * n_copies
    if n_units < 2:
        return Scatter(1.0, 0.0)
    trace = np.trace(residual)
    share = trace * n_units / (n_units - 1.0) / total
    if n_copies > 1:
        # copies of one block differ by more than their blocks: count them by their own covariance
        degrees = np.trace(covariance) ** 2 / np.sum(covariance**2) * n_copies - 1.0
    else:
        degrees = trace**2 / np.sum(residual**2)
    degrees = min(degrees, float(effective_units(w)) * n_copies - 1.0)
    return Scatter(round(float(min(share, 1.0)), 12), round(float(degrees), 12))


def mean_covariance(blocks: Sequence[Block], frames: Array, time: float) -> Array:
    r"""Covariance of block means for a correlation of exp(-s/t), (n_blocks, n_blocks)."""
    time = max(time, 1e-6 * float(frames.max()))
    start = np.array([block.offset + block.start for block in blocks], dtype=np.float64)
    run = np.array([block.run for block in blocks])
    x = frames / time
    # ∫∫ exp(-|s - s'|/t) over two intervals with a gap factorises into their ends and the gap
    gap = np.abs(start[:, None] - start) - np.where(
        start[:, None] < start, frames[:, None], frames[None, :]
    )
    ends = -np.expm1(-x) / x
    covariance = np.outer(ends, ends) * np.exp(-np.maximum(gap, 0.0) / time)
    covariance[run[:, None] != run] = 0.0
    np.fill_diagonal(covariance, 2.0 * (x + np.expm1(-x)) / x**2)
    return covariance
