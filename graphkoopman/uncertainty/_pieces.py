"""How much of the scatter of blocks that of pieces of time within them explains: `cut_pieces`,
`piece_scatter`, `error_of_mean`, `jackknife_influence`.

Blocks are as long as the slowest process asks for, and are few in a short run. What forgets faster,
such as neighbours that come and go within a state, scatters from piece to piece of a block as from
block to block, and pieces are many.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.uncertainty._blocks import MOST_BLOCKS, Block
from graphkoopman.uncertainty._scatter import Scatter, block_scatter, mean_covariance
from graphkoopman.uncertainty._student import effective_units

__all__ = ["cut_pieces", "error_of_mean", "jackknife_influence", "piece_scatter"]

Array = NDArray[np.float64]

# Of a process that is forgotten within a piece, pieces show all that blocks do.
MOST_WITHIN = 1.0 - 1e-9


def cut_pieces(blocks: Sequence[Block], shortest: int = 1) -> tuple[list[Block], tuple[int, ...]]:
    """Cut blocks into equally many pieces of time, no more in all than blocks are at most.

    Parameters
    ----------
    blocks : sequence of Block
    shortest : int
        Frames that a piece has at least, where its block has them.

    Returns
    -------
    pieces : list of Block
        In the order of the blocks.
    block_of : tuple of n_pieces ints
        Block of each piece, by number.

    Examples
    --------
    >>> from graphkoopman.uncertainty import cut_blocks, cut_pieces
    >>> pieces, block_of = cut_pieces(cut_blocks([600], 10.0, n_blocks=20))
    >>> [(piece.start, piece.stop) for piece in pieces[:3]], block_of[:3]
    ([(0, 15), (15, 30), (30, 45)], (0, 0, 1))
    """
    frames = min(block.n_frames for block in blocks)
    count = max(1, min(MOST_BLOCKS // len(blocks), frames // shortest))
    pieces = []
    for block in blocks:
        edges = [block.start + block.n_frames * k // count for k in range(count + 1)]
        pieces += [
            Block(block.trajectory, start, stop, block.run, block.offset)
            for start, stop in pairwise(edges)
        ]
    return pieces, tuple(number for number in range(len(blocks)) for _ in range(count))


def piece_scatter(
    pieces: Sequence[Block],
    block_of: Sequence[int],
    time: float,
    *,
    weights: ArrayLike | None = None,
) -> Scatter:
    """What blocks and their pieces show of a process that forgets exponentially.

    Parameters
    ----------
    pieces : sequence of n_pieces Block
    block_of : sequence of n_pieces ints
    time : float
        Correlation time in frames; 0 for independent frames.
    weights : array-like of shape (n_pieces,) or None
        Frames by default.

    Returns
    -------
    Scatter
        That of `block_scatter`, with what `error_of_mean` needs.
    """
    block = np.asarray(block_of)
    scatter = block_scatter(pieces, time, weights=weights, labels=block)
    frames = np.array([piece.n_frames for piece in pieces], dtype=np.float64)
    w = frames if weights is None else np.asarray(weights, dtype=np.float64)
    w = w / w.sum()
    covariance = mean_covariance(pieces, frames, time) * np.outer(w, w)
    same = (block[:, None] == block).astype(float)
    part = w / (same @ w)
    if not (part < 1.0).any():
        return replace(scatter, blocks=tuple(block_of))
    # e_p - e_b h_p / h_b, as in `error_of_mean`
    residual = np.eye(len(w)) - part[:, None] * same
    variance = np.einsum("pq,qr,pr->p", residual, covariance, residual)
    within = np.sum(variance[part < 1.0] / (1.0 - part[part < 1.0]))
    # block_scatter's share is what blocks scatter over what the mean does
    between = scatter.share * covariance.sum()
    ratio = float(within / between) if between > 0 else 0.0
    return replace(scatter, blocks=tuple(block_of), within=min(ratio, MOST_WITHIN))


def error_of_mean(
    influence: Array,
    weights: Array,
    scatter: Scatter,
    follows: NDArray[np.bool_] | None = None,
    *,
    is_slow: bool = False,
) -> tuple[Array, Array]:
    r"""Standard error of a weighted mean from what each piece of time adds to it.

    With :math:`e_p` the influence of pieces, :math:`e_b` its sums over blocks and h the shares of
    the weight, the scatter of blocks and what pieces within them expect of it are

    .. math::
        Q = \sum_b \frac{e_b^2}{1-h_b}, \qquad
        W = \sum_b \sum_{p\in b} \frac{(e_p - e_b h_p/h_b)^2}{1-h_p/h_b}.

    A series that forgets within a piece has the same expectation of both, its squared error. Of
    the slowest process, W is ωQ, and blocks show the share s of the squared error. With a part F
    of the one and S of the other, neither negative, Q = F + S and W = F + ωS, and the squared
    error is F + S/s. Where blocks that follow one another are seen to be correlated more than
    that, :math:`1 + 2\sum_b e_be_{b+1}/Q` takes the place of 1/s. What forgets in between counts as
    partly slow. Where pieces scatter more than blocks, blocks alone decide: events that take turns,
    such as hops there and back, cancel within a block.

    Parameters
    ----------
    influence : ndarray of shape (n_pieces, ...)
        Such as :math:`(x_p - R y_p)/\sum y` of a ratio R of sums over pieces; they sum to zero.
    weights : ndarray of shape (n_pieces, ...)
        Data of each piece, not negative; broadcasts against the influence.
    scatter : Scatter
        What blocks show of the slowest process, and the block of each piece.
    follows : ndarray of shape (n_blocks - 1,) or None
        Whether a block begins where the one before it ends; None leaves that correlation out.
    is_slow : bool
        Whether all of it is known to be the slowest process, as of populations of states: F is 0.

    Returns
    -------
    error : ndarray of shape (...)
    n_units : ndarray of shape (...)
        One more than the degrees of freedom, which are those of blocks.

    References
    ----------
    Flyvbjerg and Petersen, J. Chem. Phys. 91, 461 (1989): pieces against blocks.
    """
    block_of = np.asarray(scatter.blocks)
    first = np.flatnonzero(np.diff(block_of, prepend=-1))
    weights_of_blocks = np.add.reduceat(weights, first, axis=0)
    added = np.add.reduceat(influence, first, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = _squares(added, weights_of_blocks / weights_of_blocks.sum(axis=0))
        # share of each piece in its block, 0/0 where a block holds nothing
        part = np.nan_to_num(weights / weights_of_blocks[block_of])
        within = _squares(influence - part * added[block_of], part).sum(axis=0)
    square = between.sum(axis=0)
    if is_slow:
        within = np.zeros_like(square)
    units_of_blocks = effective_units(weights_of_blocks)
    hidden = np.full(np.shape(square), 1.0 / scatter.share)
    if follows is not None:
        root = np.sqrt(between) * np.sign(added)
        neighbours = np.sum(root[1:][follows] * root[:-1][follows], axis=0)
        seen = np.divide(neighbours, square, out=np.zeros_like(square), where=square > 0)
        hidden = np.maximum(hidden, 1.0 + 2.0 * seen)
    slow = np.clip((square - within) / (1.0 - scatter.within), 0.0, square)
    variance = square - slow + hidden * slow
    return np.sqrt(variance), np.minimum(units_of_blocks, 1.0 + scatter.degrees)


def jackknife_influence(estimate: Array, replicates: Array, weights: Array) -> Array:
    """What each piece of time adds to an estimate, from estimates without one piece each.

    Exact for a ratio of sums: without a piece, it moves by the influence of that piece over what is
    left of the weight.

    Parameters
    ----------
    estimate : ndarray of shape (...)
    replicates, weights : ndarray of shape (n_pieces, ...)

    Returns
    -------
    ndarray of shape (n_pieces, ...)
        They sum to zero.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        share = weights / weights.sum(axis=0)
        influence = (1.0 - share) * (estimate - replicates)
        return influence - share * influence.sum(axis=0)


def _squares(deviations: Array, share: Array) -> Array:
    """Squared deviations over what is left of them; one that holds all the data has none."""
    # 1 - share is rounding where nothing else weighs
    whole = share > 1.0 - 1e-12
    return np.where(whole, 0.0, deviations**2 / np.where(whole, 1.0, 1.0 - share))
