"""Compiled gated update on the CPU: gather, radial filter, attention and weighted sum in one pass.

For atom ``i`` with neighbours ``j`` at distances ``d_ij``, eqs. (7)–(9) of the paper:

    l_ij  = a_j + A(d_ij)                          attention logit
    m_ij  = relu(p_i + q_j + B(d_ij))              message, n_features long
    out_i = Σ_j softmax_j(l_ij) m_ij

with ``p``, ``q`` and ``a`` the atom terms, and ``A(d)``, ``B(d)`` the edge terms ``W₃ u(d)``. An
edge term depends on the distance alone, so it is tabulated once per call on a grid of spacing
``σ / 32`` and read by cubic interpolation: the error is 3/128 h⁴ max|u''''| = 3e-7 of a weight.
The gradient is that of the interpolated function, exactly. Only the attention has a row per edge
in memory; the backward pass computes messages again instead of storing them.

Rows are split over threads in a fixed way and every thread sums into its own buffers, so results
do not depend on timing; their last bits depend on the number of threads.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkoopman._compiling import njit
from graphkoopman.lobes._vectors import (
    element,
    load,
    pack,
    positive_part,
    store,
    total_of,
    where_positive,
    zeros,
)
from graphkoopman.threads import over_parts

POINTS_PER_WIDTH = 32
MIN_ROWS_PER_THREAD = 128
FOUR = (0, 0, 0, 0)  # points of a table around a distance
# sums may be reordered into SIMD lanes; infinities and NaN keep their meaning
FAST = {"reassoc", "contract", "arcp", "nsz"}
COMPILED: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "fastmath": FAST,
    "error_model": "numpy",
}


class GatedConvolution(torch.autograd.Function):
    """``apply(atoms, weights, tables, edges, step, residual) -> updated atoms``, flattened.

    ============== ======================= ====================================================
    atoms          (n_atoms, n_features)   vectors ``v``, or one per kind
    center, bias   (n, n_features), (n,)   ``W₁`` and ``b`` of the message
    neighbor       (n, n_features)         ``W₂`` of the message
    neighbor_logit (1, n_features)         ``W₂`` of the attention logit
    table          (n_points, n_features)  edge term ``B`` at distances ``-step, 0, step, …``
    table_logit    (n_points,)             edge term ``A`` there
    neighbors      (n_edges,), int32       far end of every edge
    distances      (n_edges,)              Å; they get no gradient
    kinds          (n_atoms,), int32, None atoms of a kind are alike, ``atoms[kinds]``
    offsets        (n_rows + 1,), ndarray  where the edges of a row start
    step           float                   Å, of the tables
    residual       bool                    whether ``v_i`` is added to the update, as in (9)
    ============== ======================= ====================================================
    """

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        atoms, weight, bias, neighbor_weight, logit_weight, *rest = arguments
        *edge_terms, neighbors, distances, kinds, offsets, step, residual = rest
        n_rows = len(offsets) - 1
        near = atoms[:n_rows] if kinds is None else atoms
        center = torch.addmm(bias, near, weight.T)
        far_terms = atoms @ neighbor_weight.T, atoms @ logit_weight[0]
        tensors = (center, *far_terms, *edge_terms, neighbors, distances)
        update = atoms.new_empty((n_rows, atoms.shape[1]))
        attention = atoms.new_empty(len(distances))
        _forward(tensors, kinds, offsets, step, attention.numpy(), update.numpy())
        ctx.save_for_backward(atoms, weight, neighbor_weight, logit_weight, *tensors)
        ctx.rest = (kinds, offsets, step, attention, residual)
        if residual:
            update += near if kinds is None else near.index_select(0, kinds[:n_rows])
        return update

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        atoms, weight, neighbor_weight, logit_weight, *tensors = ctx.saved_tensors
        kinds, offsets, step, attention, residual = ctx.rest
        (upstream,) = gradients
        shares, outer = _as_numpy(attention, upstream)
        sums = _backward(tensors, kinds, offsets, step, shares, outer)
        to_center, to_neighbor, to_logit, *to_tables = sums
        n_near = len(to_center)
        # q = W₂ v: the gradient of v is W₂ᵀ times that of q, and as much from the logit
        to_atoms = (to_neighbor @ neighbor_weight).addr_(to_logit, logit_weight[0])
        to_atoms[:n_near].addmm_(to_center, weight)
        if residual and kinds is None:
            to_atoms[:n_near] += upstream
        elif residual:
            every_kind = torch.arange(len(atoms), dtype=kinds.dtype)
            of_kind = every_kind.unsqueeze(1) == kinds[: len(upstream)]
            to_atoms += of_kind.to(upstream) @ upstream
        # gradients of W₁, b, W₂ and of the logit's row: sums over atoms of gradient times vector
        to_weights = (
            to_center.T @ atoms[:n_near],
            to_center.sum(dim=0),
            to_neighbor.T @ atoms,
            (to_logit @ atoms).unsqueeze(0),
        )
        return to_atoms, *to_weights, *to_tables, None, None, None, None, None, None


def _forward(
    tensors: Sequence[Tensor],
    kinds: Tensor | None,
    offsets: np.ndarray,
    step: float,
    attention: np.ndarray,
    update: np.ndarray,
) -> None:
    """Fill the attention of every edge and the update of every row."""
    inputs = (*_as_numpy(*tensors), _numbers_of(kinds))
    lanes = (0,) * update.shape[1]

    def forward(begin: int, end: int) -> None:
        _logits(lanes, begin, end, *inputs, offsets, step, attention)
        own = attention[offsets[begin] : offsets[end]]
        np.exp(own, out=own)
        _messages(lanes, begin, end, *inputs, offsets, step, attention, update)

    over_parts(forward, len(update), MIN_ROWS_PER_THREAD)


def _backward(
    tensors: Sequence[Tensor],
    kinds: Tensor | None,
    offsets: np.ndarray,
    step: float,
    attention: np.ndarray,
    upstream: np.ndarray,
) -> list[Tensor]:
    """Gradients of center, neighbor, neighbor_logit, table and table_logit."""
    inputs = (*_as_numpy(*tensors), _numbers_of(kinds))
    lanes = (0,) * upstream.shape[1]
    # rows of the output belong to one thread, everything else to all
    to_rows = torch.empty_like(tensors[0]) if kinds is None else None

    def backward(begin: int, end: int) -> list[Tensor]:
        sums = [torch.zeros_like(tensor) for tensor in tensors[1:5]]
        sums.insert(0, torch.zeros_like(tensors[0]) if to_rows is None else to_rows)
        results = _as_numpy(*sums)
        _gradients(lanes, begin, end, *inputs, offsets, step, attention, upstream, *results)
        return sums

    first, *others = over_parts(backward, len(upstream), MIN_ROWS_PER_THREAD)
    for part in others:
        for total, piece in zip(first, part, strict=True):
            if total is not to_rows:
                total += piece
    return first


def _as_numpy(*tensors: Tensor) -> list[np.ndarray]:
    return [np.ascontiguousarray(tensor.detach().numpy()) for tensor in tensors]


def _numbers_of(kinds: Tensor | None) -> np.ndarray | None:
    return None if kinds is None else _as_numpy(kinds)[0]


@njit(**COMPILED)
def _logits(
    lanes,
    begin,
    end,
    center,
    neighbor,
    neighbor_logit,
    table,
    table_logit,
    neighbors,
    distances,
    kinds,
    offsets,
    step,
    attention,
):
    """Logits of the edges of some rows, less the highest of each row.

    ``lanes`` is any tuple of as many numbers as there are features: its type tells the length of
    SIMD vectors. ``kinds`` is None where every atom has a vector of its own.
    """
    kind = center.dtype.type
    for row in range(begin, end):
        start, stop = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        # the highest logit comes off before the exponential, which then cannot overflow
        highest = kind(-np.inf)
        for e in range(start, stop):
            j = np.uint32(neighbors[e] if kinds is None else kinds[np.uint32(neighbors[e])])
            k, w = _place(distances[e], step, len(table), kind)
            attention[e] = neighbor_logit[j] + total_of(w * load(table_logit, k, FOUR))
            highest = max(highest, attention[e])
        for e in range(start, stop):
            attention[e] -= highest


@njit(**COMPILED)
def _messages(
    lanes,
    begin,
    end,
    center,
    neighbor,
    neighbor_logit,
    table,
    table_logit,
    neighbors,
    distances,
    kinds,
    offsets,
    step,
    attention,
    update,
):
    """Weighted sums of the messages of some rows; ``attention`` becomes the softmax of (8)."""
    n_features = len(lanes)
    kind = center.dtype.type
    for row in range(begin, end):
        start, stop = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        i = row if kinds is None else kinds[row]
        own = load(center, n_features * i, lanes)
        # numerator and denominator of the softmax in one pass over the edges of row i, eq. (8)
        total = kind(0.0)
        summed = zeros(center, lanes)
        for e in range(start, stop):
            j = neighbors[e] if kinds is None else kinds[np.uint32(neighbors[e])]
            far = load(neighbor, n_features * j, lanes)
            k, w = _place(distances[e], step, len(table), kind)
            message = own + far + _filter(lanes, table, k, w)
            summed = summed + attention[e] * positive_part(message)
            total += attention[e]
        # a row without edges has no message, and keeps its vector
        scale = kind(1.0) / total if stop > start else kind(0.0)
        for e in range(start, stop):
            attention[e] *= scale
        store(update, n_features * row, scale * summed)


@njit(**COMPILED)
def _gradients(
    lanes,
    begin,
    end,
    center,
    neighbor,
    neighbor_logit,
    table,
    table_logit,
    neighbors,
    distances,
    kinds,
    offsets,
    step,
    attention,
    upstream,
    to_center,
    to_neighbor,
    to_neighbor_logit,
    to_table,
    to_table_logit,
):
    """Add the gradients of some rows; messages are computed again."""
    n_features = len(lanes)
    kind = center.dtype.type
    most = 1
    for row in range(begin, end):
        most = max(most, offsets[row + 1] - offsets[row])
    along = np.empty(most, center.dtype)
    places = np.empty(most, np.int64)
    weights = np.empty((most, 4), center.dtype)
    for row in range(begin, end):
        start, stop = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        i = n_features * np.int64(row if kinds is None else kinds[row])
        own = load(center, i, lanes)
        outer = load(upstream, n_features * row, lanes)
        to_own = zeros(center, lanes) if kinds is None else load(to_center, i, lanes)
        mean = kind(0.0)
        for e in range(start, stop):
            j = n_features * np.int64(
                neighbors[e] if kinds is None else kinds[np.uint32(neighbors[e])]
            )
            k, w = _place(distances[e], step, len(table), kind)
            message = own + load(neighbor, j, lanes) + _filter(lanes, table, k, w)
            active = where_positive(message, outer)
            # d out / d m_ij = a_ij where the message is positive: to p_i, q_j and the table alike
            slope = attention[e] * active
            to_own = to_own + slope
            store(to_neighbor, j, load(to_neighbor, j, lanes) + slope)
            _add_filtered(lanes, to_table, k, w, slope)
            # ∂ / ∂ a_ij is upstream · m_ij; its mean is needed for the softmax below
            share = total_of(active * message)
            mean += attention[e] * share
            along[e - start] = share
            places[e - start] = k
            store(weights, np.uint64(4) * (e - start), w)
        store(to_center, i, to_own)
        # the softmax: d l_e = a_e (∂ / ∂ a_e - Σ a ∂ / ∂ a)
        for e in range(start, stop):
            far = np.uint32(neighbors[e] if kinds is None else kinds[np.uint32(neighbors[e])])
            k, w = places[e - start], load(weights, np.uint64(4) * (e - start), FOUR)
            slope = attention[e] * (along[e - start] - mean)
            to_neighbor_logit[far] += slope
            store(to_table_logit, k, load(to_table_logit, k, FOUR) + slope * w)


@njit(**COMPILED)
def _filter(lanes, table, k, w):
    """Edge term ``B(d)`` between four points of its table, (n_features,)."""
    n_features = len(lanes)
    start = n_features * k
    return (
        element(w, 0) * load(table, start, lanes)
        + element(w, 1) * load(table, start + n_features, lanes)
        + element(w, 2) * load(table, start + 2 * n_features, lanes)
        + element(w, 3) * load(table, start + 3 * n_features, lanes)
    )


@njit(**COMPILED)
def _add_filtered(lanes, to_table, k, w, slope):
    """The transpose of `_filter`: a gradient shared out over four points of the table."""
    n_features = len(lanes)
    start = n_features * k
    a, b, c = start + n_features, start + 2 * n_features, start + 3 * n_features
    store(to_table, start, load(to_table, start, lanes) + element(w, 0) * slope)
    store(to_table, a, load(to_table, a, lanes) + element(w, 1) * slope)
    store(to_table, b, load(to_table, b, lanes) + element(w, 2) * slope)
    store(to_table, c, load(to_table, c, lanes) + element(w, 3) * slope)


@njit(**COMPILED)
def _place(distance, step, n_points, kind):
    """First of four table points around a distance, and the cubic Lagrange weights."""
    x = min(kind(distance) * kind(1.0 / step), kind(n_points - 4))
    k = np.int64(x)
    s = x - kind(k)
    zero, one, two, three, sixth = kind(0), kind(1), kind(2), kind(3), kind(1 / 6)
    cubic = pack(-one, three, -three, one)
    square = pack(three, -two * three, three, zero)
    linear = pack(-two, -three, two * three, -one)
    constant = pack(zero, two * three, zero, zero)
    return k, sixth * (s * (s * (s * cubic + square) + linear) + constant)
