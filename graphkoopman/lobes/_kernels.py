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

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

POINTS_PER_WIDTH = 32
MIN_ROWS_PER_THREAD = 128
# sums may be reordered into SIMD lanes; infinities and NaN keep their meaning
FAST = {"reassoc", "contract", "arcp", "nsz"}


class GatedUpdate(torch.autograd.Function):
    """``apply(center, neighbor, neighbor_logit, table, table_logit, neighbors, distances, offsets,
    step) -> update``.

    Shapes: center and update (n_rows, n_features), neighbor (n_atoms, n_features), neighbor_logit
    (n_atoms,), table (n_points, n_features) and table_logit (n_points,) at distances
    ``-step, 0, step, …``, neighbors and distances (n_edges,), offsets (n_rows + 1,) where the edges
    of a row start. Distances get no gradient.
    """

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        *tensors, offsets, step = arguments
        arrays = _as_numpy(*tensors)
        center, distances = arrays[0], arrays[6]
        update = np.empty_like(center)
        attention = np.empty(len(distances), center.dtype)
        forward, _ = _kernels(center.shape[1])
        _over_rows(forward, len(update), *arrays, offsets, step, attention, update)
        ctx.save_for_backward(*tensors)
        ctx.rest = (offsets, step, attention)
        return torch.from_numpy(update)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple:
        arrays = _as_numpy(*ctx.saved_tensors)
        offsets, step, attention = ctx.rest
        (upstream,) = _as_numpy(*gradients)
        to_center = np.empty_like(arrays[0])
        _, backward = _kernels(to_center.shape[1])
        parts = _over_rows(
            backward, len(upstream), *arrays, offsets, step, attention, upstream, to_center
        )
        summed = [torch.from_numpy(np.add.reduce(pieces)) for pieces in zip(*parts, strict=True)]
        return torch.from_numpy(to_center), *summed, None, None, None, None


def _as_numpy(*tensors: Tensor) -> list[np.ndarray]:
    return [np.ascontiguousarray(tensor.detach().numpy()) for tensor in tensors]


@lru_cache(maxsize=1)
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads)


def _over_rows(kernel: Callable, n_rows: int, *arguments: Any) -> list:
    """Call a kernel on equal parts of the rows, one per torch thread; results in row order."""
    n_threads = max(1, min(torch.get_num_threads(), n_rows // MIN_ROWS_PER_THREAD))
    if n_threads == 1:
        return [kernel(0, n_rows, *arguments)]
    bounds = np.linspace(0, n_rows, n_threads + 1).astype(np.int64)
    parts = itertools.pairwise(bounds)
    return list(_pool(n_threads).map(lambda part: kernel(*part, *arguments), parts))


@lru_cache
def _kernels(n_features: int) -> tuple[Callable, Callable]:
    """Forward and backward for one vector length: loops of known length become SIMD code."""

    @njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
    def forward(
        begin,
        end,
        center,
        neighbor,
        neighbor_logit,
        table,
        table_logit,
        neighbors,
        distances,
        offsets,
        step,
        attention,
        update,
    ):
        kind = center.dtype.type
        message = np.empty(n_features, center.dtype)
        total_message = np.empty(n_features, center.dtype)
        for row in range(begin, end):
            start, stop = offsets[row], offsets[row + 1]
            highest = kind(-np.inf)
            for e in range(start, stop):
                k, w0, w1, w2, w3 = _place(distances[e], step, len(table), kind)
                filtered = (
                    w0 * table_logit[k]
                    + w1 * table_logit[k + 1]
                    + w2 * table_logit[k + 2]
                    + w3 * table_logit[k + 3]
                )
                attention[e] = neighbor_logit[neighbors[e]] + filtered
                highest = max(highest, attention[e])
            total = kind(0.0)
            total_message[:] = 0
            for e in range(start, stop):
                j = neighbors[e]
                k, w0, w1, w2, w3 = _place(distances[e], step, len(table), kind)
                share = np.exp(attention[e] - highest)
                attention[e] = share
                total += share
                for f in range(n_features):
                    message[f] = (
                        center[row, f]
                        + neighbor[j, f]
                        + w0 * table[k, f]
                        + w1 * table[k + 1, f]
                        + w2 * table[k + 2, f]
                        + w3 * table[k + 3, f]
                    )
                    total_message[f] += share * max(message[f], kind(0.0))
            scale = kind(1.0) / total if stop > start else kind(0.0)
            for e in range(start, stop):
                attention[e] *= scale
            for f in range(n_features):
                update[row, f] = scale * total_message[f]

    @njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
    def backward(
        begin,
        end,
        center,
        neighbor,
        neighbor_logit,
        table,
        table_logit,
        neighbors,
        distances,
        offsets,
        step,
        attention,
        upstream,
        to_center,
    ):
        kind = center.dtype.type
        to_neighbor = np.zeros_like(neighbor)
        to_neighbor_logit = np.zeros_like(neighbor_logit)
        to_table = np.zeros_like(table)
        to_table_logit = np.zeros_like(table_logit)
        center_sum = np.empty(n_features, center.dtype)
        slope = np.empty(n_features, center.dtype)
        most = 1
        for row in range(begin, end):
            most = max(most, offsets[row + 1] - offsets[row])
        value = np.empty(most, center.dtype)
        for row in range(begin, end):
            start, stop = offsets[row], offsets[row + 1]
            center_sum[:] = 0
            mean = kind(0.0)
            for e in range(start, stop):
                j = neighbors[e]
                k, w0, w1, w2, w3 = _place(distances[e], step, len(table), kind)
                along = kind(0.0)
                for f in range(n_features):
                    message = (
                        center[row, f]
                        + neighbor[j, f]
                        + w0 * table[k, f]
                        + w1 * table[k + 1, f]
                        + w2 * table[k + 2, f]
                        + w3 * table[k + 3, f]
                    )
                    active = upstream[row, f] if message > 0 else kind(0.0)
                    along += active * message
                    slope[f] = attention[e] * active
                for f in range(n_features):
                    center_sum[f] += slope[f]
                    to_neighbor[j, f] += slope[f]
                    to_table[k, f] += w0 * slope[f]
                    to_table[k + 1, f] += w1 * slope[f]
                    to_table[k + 2, f] += w2 * slope[f]
                    to_table[k + 3, f] += w3 * slope[f]
                value[e - start] = along
                mean += attention[e] * along
            for e in range(start, stop):
                k, w0, w1, w2, w3 = _place(distances[e], step, len(table), kind)
                logit_slope = attention[e] * (value[e - start] - mean)
                to_neighbor_logit[neighbors[e]] += logit_slope
                to_table_logit[k] += w0 * logit_slope
                to_table_logit[k + 1] += w1 * logit_slope
                to_table_logit[k + 2] += w2 * logit_slope
                to_table_logit[k + 3] += w3 * logit_slope
            for f in range(n_features):
                to_center[row, f] = center_sum[f]
        return to_neighbor, to_neighbor_logit, to_table, to_table_logit

    return forward, backward


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy", inline="always")
def _place(distance, step, n_points, kind):
    """First of four table points around a distance, and the cubic Lagrange weights."""
    x = kind(distance) / kind(step)
    last = kind(n_points - 4)
    x = min(x, last)
    k = int(x)
    s = x - kind(k)
    sixth, half, one, two = kind(1.0 / 6.0), kind(0.5), kind(1.0), kind(2.0)
    w0 = -s * (s - one) * (s - two) * sixth
    w1 = (s + one) * (s - one) * (s - two) * half
    w2 = -(s + one) * s * (s - two) * half
    w3 = (s + one) * s * (s - one) * sixth
    return k, w0, w1, w2, w3
