"""The gated update of `_kernels` on a GPU, in Triton: one pass over the edges for each direction.

What is computed, and the tables it is read from, are those of the CPU. A program takes a block of
rows at a time and walks along their edges, one of each row per turn, so that no lane waits for a
row's last edges where all rows have as many. Nothing has a row per edge in memory: the backward
pass computes messages again and takes attention from one number per row, the logarithm of its sum,
and the mean over a row's edges in the derivative of its softmax from its output
(``Σ_j s_ij g_i·m_ij = g_i·out_i``).

Sums over edges that end at one atom come from many programs. They are added as integers, in units
that no total can overflow, since the order of additions of integers does not matter: the same
input gives the same bits. ``W₃`` receives the product of the slopes with the Gaussians themselves,
which the interpolated tables follow to 3e-7, in each program's own buffer.

With ``TRITON_INTERPRET=1`` in the environment the same code runs on a CPU, slowly, for tests.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS = 32  # of a block: also the inner length of a matrix product, 16 at least
MOST_PROGRAMS = 1024  # of the backward pass, each with a buffer for W₃
SMALLEST_DOT = 16
LOWEST = tl.constexpr(-1.0e38)  # a logit; finite, so that differences are numbers
INTEGER_BITS = 62.0  # a total uses fewer; one bit holds the sign, one is spare


class GatedUpdate(torch.autograd.Function):
    """``apply(center, neighbor, neighbor_logit, edge, edge_logit, …) -> update``, all float32.

    ============== ======================== ==================================================
    center         (n_rows, n_features)     ``W₁ v_i + b`` of the updated atoms
    neighbor       (n_atoms, n_features)    ``W₂ v_j`` of all atoms
    neighbor_logit (n_atoms,)               the same of the attention logit
    edge           (n_features, n_basis)    ``W₃``
    edge_logit     (n_basis,)               the same of the attention logit
    basis          (n_points, n_basis)      Gaussians at distances ``-step, 0, step, …``
    step           float                    Å, of the tables
    spacing        float                    Å, of the Gaussians
    neighbors      (n_edges,), int32        far end of every edge
    distances      (n_edges,)               Å; they get no gradient
    offsets        (n_rows + 1,), int64     where the edges of a row start
    ============== ======================== ==================================================
    """

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        center, neighbor, logit, edge, edge_logit, basis, step, spacing, *graph = arguments
        terms = [center, neighbor, logit, basis @ edge.T, basis @ edge_logit]
        inputs = [tensor.detach().contiguous() for tensor in (*terms, *graph)]
        n_rows, n_features = center.shape
        update = torch.empty_like(inputs[0])
        log_total = center.new_empty(n_rows)
        sizes = (n_rows, n_features, len(basis), 1.0 / step)
        with torch.cuda.device_of(update):
            _forward[(triton.cdiv(n_rows, ROWS),)](
                *inputs, update, log_total, *sizes, ROWS, _width(n_features)
            )
        ctx.save_for_backward(*inputs, update, log_total)
        ctx.rest = sizes, basis.shape[1], spacing
        return update

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        sizes, n_basis, spacing = ctx.rest
        *inputs, update, log_total = ctx.saved_tensors
        center, neighbor = inputs[:2]
        upstream = gradients[0].contiguous()
        n_rows, n_features, *_ = sizes
        # Attention adds up to one over the edges of a row: no total exceeds these.
        along = (upstream.abs() * update).sum(dim=1)
        scale = _units_of(upstream.abs().sum(dim=0).max())
        logit_scale = _units_of(2.0 * along.sum())
        to_center = torch.empty_like(center)
        to_neighbor = torch.zeros_like(neighbor, dtype=torch.int64)
        to_logit = torch.zeros_like(neighbor[:, 0], dtype=torch.int64)
        n_programs = min(triton.cdiv(n_rows, ROWS), MOST_PROGRAMS)
        width, n_centres = _width(n_features), _width(n_basis)
        to_edge = upstream.new_empty((n_programs, n_centres, width))
        to_edge_logit = upstream.new_empty((n_programs, n_centres))
        with torch.cuda.device_of(update):
            _backward[(n_programs,)](
                *inputs,
                update,
                log_total,
                upstream,
                scale,
                logit_scale,
                to_center,
                to_neighbor,
                to_logit,
                to_edge,
                to_edge_logit,
                *sizes,
                1.0 / spacing,
                ROWS,
                width,
                n_centres,
            )
        return (
            to_center,
            (to_neighbor / scale).to(center),
            (to_logit / logit_scale).to(center),
            to_edge.sum(dim=0)[:n_basis, :n_features].T,
            to_edge_logit.sum(dim=0)[:n_basis],
            *(None,) * 6,
        )


def probe(device: torch.device) -> None:
    """Raise the error that keeps Triton from running on a device, if there is one."""
    place = torch.zeros(1, device=device)
    with torch.cuda.device_of(place):
        _write_one[(1,)](place)
    if place.item() != 1.0:
        raise RuntimeError("a kernel did nothing")


@triton.jit
def _write_one(place):
    tl.store(place, 1.0)


def _width(n: int) -> int:
    return max(SMALLEST_DOT, triton.next_power_of_2(n))


def _units_of(largest: Tensor) -> Tensor:
    """Integer units in one, a power of two, such that a total of ``largest`` fits; float64."""
    exponent = torch.log2(largest.double().clamp_min(torch.finfo(torch.float32).tiny))
    return torch.exp2(torch.floor(INTEGER_BITS - 1.0 - exponent))


@triton.jit
def _filter_weights(distance, per_step, n_points):
    """First of four table points around a distance, and the cubic Lagrange weights."""
    x = tl.minimum(distance * per_step, n_points - 4.0)
    k = x.to(tl.int32)
    s = x - k.to(tl.float32)
    below, above, far = s + 1.0, s - 1.0, s - 2.0
    # Lagrange weights of points at -1, 0, 1 and 2 for a place s between 0 and 1
    w0 = -s * above * far * (1.0 / 6.0)
    w1 = below * above * far * 0.5
    w2 = -below * s * far * 0.5
    w3 = below * s * above * (1.0 / 6.0)
    return k, w0, w1, w2, w3


@triton.jit
def _edge(
    e,
    on,
    own,
    neighbor,
    neighbor_logit,
    table,
    table_logit,
    neighbors,
    distances,
    n_features,
    n_points,
    per_step,
    features,
):
    """Far atom, distance, logit and message before the ReLU of one edge of every row."""
    j = tl.load(neighbors + e, mask=on, other=0).to(tl.int64)
    distance = tl.load(distances + e, mask=on, other=0.0)
    k, w0, w1, w2, w3 = _filter_weights(distance, per_step, n_points)
    logit = tl.load(neighbor_logit + j, mask=on, other=0.0)
    logit += w0 * tl.load(table_logit + k) + w1 * tl.load(table_logit + k + 1)
    logit += w2 * tl.load(table_logit + k + 2) + w3 * tl.load(table_logit + k + 3)
    column = (features < n_features)[None, :]
    far = j[:, None] * n_features + features[None, :]
    message = own + tl.load(neighbor + far, mask=on[:, None] & column, other=0.0)
    point = table + k[:, None] * n_features + features[None, :]
    message += w0[:, None] * tl.load(point, mask=column, other=0.0)
    message += w1[:, None] * tl.load(point + n_features, mask=column, other=0.0)
    message += w2[:, None] * tl.load(point + 2 * n_features, mask=column, other=0.0)
    message += w3[:, None] * tl.load(point + 3 * n_features, mask=column, other=0.0)
    return j, distance, logit, message


@triton.jit
def _forward(
    center,
    neighbor,
    neighbor_logit,
    table,
    table_logit,
    neighbors,
    distances,
    offsets,
    update,
    log_total,
    n_rows,
    n_features,
    n_points,
    per_step,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    features = tl.arange(0, WIDTH)
    inside = rows < n_rows
    cells = rows[:, None] * n_features + features[None, :]
    filled = inside[:, None] & (features < n_features)[None, :]
    start = tl.load(offsets + rows, mask=inside, other=0)
    stop = tl.load(offsets + rows + 1, mask=inside, other=0)
    own = tl.load(center + cells, mask=filled, other=0.0)
    highest = tl.full([ROWS], LOWEST, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    summed = tl.zeros([ROWS, WIDTH], tl.float32)
    # one edge of every row per turn; rows that have no more are masked
    for turn in range(tl.max(stop - start, axis=0)):
        e = start + turn
        on = e < stop
        _, _, logit, message = _edge(
            e,
            on,
            own,
            neighbor,
            neighbor_logit,
            table,
            table_logit,
            neighbors,
            distances,
            n_features,
            n_points,
            per_step,
            features,
        )
        logit = tl.where(on, logit, LOWEST)
        # softmax in one pass: sums so far shrink when a higher logit comes
        higher = tl.maximum(highest, logit)
        rescale = tl.exp(highest - higher)
        weight = tl.where(on, tl.exp(logit - higher), 0.0)
        # not the maximum, which would drop a NaN
        positive = tl.where(message <= 0.0, 0.0, message)
        summed = summed * rescale[:, None] + weight[:, None] * positive
        total = total * rescale + weight
        highest = higher
    total = tl.where(stop > start, total, 1.0)
    summed = summed / total[:, None]
    tl.store(update + cells, summed, mask=filled)
    tl.store(log_total + rows, highest + tl.log(total), mask=inside)


@triton.jit
def _backward(
    center,
    neighbor,
    neighbor_logit,
    table,
    table_logit,
    neighbors,
    distances,
    offsets,
    update,
    log_total,
    upstream,
    scale,
    logit_scale,
    to_center,
    to_neighbor,
    to_logit,
    to_edge,
    to_edge_logit,
    n_rows,
    n_features,
    n_points,
    per_step,
    per_spacing,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    CENTRES: tl.constexpr,
):
    units = tl.load(scale)
    logit_units = tl.load(logit_scale)
    features = tl.arange(0, WIDTH)
    column = (features < n_features)[None, :]
    centres = tl.arange(0, CENTRES)
    of_edge = tl.zeros([CENTRES, WIDTH], tl.float32)
    of_edge_logit = tl.zeros([CENTRES], tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(n_rows, ROWS), tl.num_programs(0)):
        rows = (block * ROWS + tl.arange(0, ROWS)).to(tl.int64)
        inside = rows < n_rows
        cells = rows[:, None] * n_features + features[None, :]
        filled = inside[:, None] & column
        start = tl.load(offsets + rows, mask=inside, other=0)
        stop = tl.load(offsets + rows + 1, mask=inside, other=0)
        own = tl.load(center + cells, mask=filled, other=0.0)
        outer = tl.load(upstream + cells, mask=filled, other=0.0)
        # Σ_j a_ij (upstream · m_ij) is upstream · update, which is stored
        mean = tl.sum(outer * tl.load(update + cells, mask=filled, other=0.0), axis=1)
        normal = tl.load(log_total + rows, mask=inside, other=0.0)
        of_own = tl.zeros([ROWS, WIDTH], tl.float32)
        for turn in range(tl.max(stop - start, axis=0)):
            e = start + turn
            on = e < stop
            j, distance, logit, message = _edge(
                e,
                on,
                own,
                neighbor,
                neighbor_logit,
                table,
                table_logit,
                neighbors,
                distances,
                n_features,
                n_points,
                per_step,
                features,
            )
            # a_ij = exp(l_ij - log Σ exp l), recomputed from the logarithm of the total
            attention = tl.exp(tl.where(on, logit - normal, LOWEST))
            active = tl.where(message > 0.0, outer, 0.0)
            slope = attention[:, None] * active
            of_own += slope
            share = attention * (tl.sum(active * message, axis=1) - mean)
            far = j[:, None] * n_features + features[None, :]
            # integers add to the same sum in any order: the gradient repeats to the last bit
            counted = (slope.to(tl.float64) * units).to(tl.int64)
            tl.atomic_add(to_neighbor + far, counted, mask=on[:, None] & column, sem="relaxed")
            counted = (share.to(tl.float64) * logit_units).to(tl.int64)
            tl.atomic_add(to_logit + j, counted, mask=on, sem="relaxed")
            away = distance[None, :] * per_spacing - centres[:, None].to(tl.float32)
            gaussians = tl.exp(-away * away)
            # gradient of W₃: its inputs u(d) are computed again, (n_centres, n_rows) at a time
            of_edge += tl.dot(gaussians, slope, input_precision="ieee")
            of_edge_logit += tl.sum(gaussians * share[None, :], axis=1)
        tl.store(to_center + cells, of_own, mask=filled)
    part = tl.program_id(0).to(tl.int64) * CENTRES + centres
    tl.store(to_edge + part[:, None] * WIDTH + features[None, :], of_edge)
    tl.store(to_edge_logit + part, of_edge_logit)
