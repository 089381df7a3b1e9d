"""The gated update of `_kernels` on a GPU, in Triton: one pass over the edges for each direction.

What is computed, and the tables it is read from, are those of the CPU. A program takes a block of
rows at a time and walks along their edges, one of each row per turn, so that no lane waits for a
row's last edges where all rows have as many. Nothing has a row per edge in memory: the backward
pass computes messages again and takes attention from one number per row, the logarithm of its sum,
and the mean over a row's edges in the derivative of its softmax from its output
(``Σ_j s_ij g_i·m_ij = g_i·out_i``).

Sums over edges that end at one atom come from many programs, in any order, and the same input must
give the same bits. A float32 is therefore added as two, each rounded to a unit so coarse that no
sum of them is ever rounded (Demmel & Nguyen, IEEE Trans. Comput. 64, 2060 (2015)): sums of such
numbers do not depend on their order, and the hardware adds four at a time, which it does not for
integers. Logits, one number per edge, are added as integers.

``W₃`` receives the product of the slopes with the Gaussians themselves, which the interpolated
tables follow to 3e-7. Edges of one turn are about as long, so only a window of Gaussians is not
zero for them; the sums of a window are in registers until another one is needed.

With ``TRITON_INTERPRET=1`` in the environment the same code runs on a CPU, slowly, for tests.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS = 16  # of a block: also the inner length of a matrix product, 16 at least
MOST_PROGRAMS = 4096  # of the backward pass, each with a buffer for W₃
SMALLEST_DOT = 16
WINDOW = 16  # Gaussians of a product
REACH = tl.constexpr(4.0)  # in spacings: farther Gaussians are below 2e-7
MANTISSA = 22.0  # bits of a float32 that a sum may fill; one is spare
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
    crowd          (), float32              edges that end at one atom, at most
    ============== ======================== ==================================================
    """

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        center, neighbor, logit, edge, edge_logit, basis, step, spacing, *graph, crowd = arguments
        terms = [center, neighbor, logit, basis @ edge.T, basis @ edge_logit]
        inputs = [tensor.detach().contiguous() for tensor in (*terms, *graph)]
        n_rows, n_features = center.shape
        update = torch.empty_like(inputs[0])
        log_total = center.new_empty(n_rows)
        sizes = (n_rows, len(basis), 1.0 / step, n_features, ROWS, _width(n_features))
        with torch.cuda.device_of(update):
            _forward[(triton.cdiv(n_rows, ROWS),)](*inputs, update, log_total, *sizes, num_warps=1)
        ctx.save_for_backward(*inputs, update, log_total)
        ctx.rest = sizes, basis.shape[1], spacing, crowd
        return update

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        sizes, n_basis, spacing, crowd = ctx.rest
        *inputs, update, log_total = ctx.saved_tensors
        center, neighbor = inputs[:2]
        upstream = gradients[0].contiguous()
        n_rows, _, _, n_features, _, width = sizes
        largest = torch.linalg.vector_norm(upstream, torch.inf)
        # attention is one at most: a total at an atom is no more than this, of as many as it has
        shifts = _shifts_of(largest, crowd)
        # of a row, attention adds up to one; its output is the mean of its positive messages
        scale = _units_of(2.0 * largest.double() * update.sum())
        to_center = torch.empty_like(center)
        to_neighbor = neighbor.new_zeros((2, *neighbor.shape))
        to_logit = torch.zeros_like(neighbor[:, 0], dtype=torch.int64)
        n_programs = min(triton.cdiv(n_rows, ROWS), MOST_PROGRAMS)
        # a window that begins at the last Gaussian ends beyond it
        to_edge = upstream.new_zeros((n_programs, n_basis + WINDOW, width))
        to_edge_logit = upstream.new_zeros((n_programs, n_basis + WINDOW))
        with torch.cuda.device_of(update):
            _backward[(n_programs,)](
                *inputs,
                update,
                log_total,
                upstream,
                shifts,
                scale,
                to_center,
                *to_neighbor,
                to_logit,
                to_edge,
                to_edge_logit,
                n_basis,
                1.0 / spacing,
                *sizes,
                WINDOW,
                num_warps=1,
            )
        return (
            to_center,
            to_neighbor[0] + to_neighbor[1],
            (to_logit / scale).to(center),
            to_edge.sum(dim=0)[:n_basis, :n_features].T,
            to_edge_logit.sum(dim=0)[:n_basis],
            *(None,) * 7,
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


def _shifts_of(largest: Tensor, crowd: Tensor) -> Tensor:
    """Of a coarse and of a fine unit, (2,): what rounds a float32 to it when added and taken off.

    A number ``x`` far below ``s = 1.5 · 2²³ u`` is a multiple of u in ``(x + s) - s``, since s has
    no digits below u. Units are such that ``crowd`` numbers, up to ``largest`` or half a coarse
    unit, add up to no more than `MANTISSA` bits.
    """
    least = torch.finfo(torch.float32).tiny
    exponent = torch.log2((largest * crowd).clamp_min(least)).ceil() - MANTISSA
    # what the coarse unit leaves is half of it at most
    fine = exponent + torch.log2(crowd.clamp_min(1.0)).ceil() - MANTISSA
    return 1.5 * torch.exp2(torch.stack([exponent, fine]) + 23.0)


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
def _vectors(rows, features, N: tl.constexpr, WIDTH: tl.constexpr):
    """Vectors that begin at pointers ``rows``, (n_rows, WIDTH), zero beyond ``N``."""
    places = rows[:, None] + features[None, :]
    if N == WIDTH:
        return tl.load(places)
    return tl.load(places, mask=(features < N)[None, :], other=0.0)


@triton.jit
def _edge(
    j,
    distance,
    own,
    neighbor,
    neighbor_logit,
    table,
    table_logit,
    n_points,
    per_step,
    features,
    N: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Logit and message before the ReLU of one edge of every row."""
    k, w0, w1, w2, w3 = _filter_weights(distance, per_step, n_points)
    logit = tl.load(neighbor_logit + j)
    logit += w0 * tl.load(table_logit + k) + w1 * tl.load(table_logit + k + 1)
    logit += w2 * tl.load(table_logit + k + 2) + w3 * tl.load(table_logit + k + 3)
    message = own + _vectors(neighbor + j.to(tl.int64) * N, features, N, WIDTH)
    point = table + k * N
    message += w0[:, None] * _vectors(point, features, N, WIDTH)
    message += w1[:, None] * _vectors(point + N, features, N, WIDTH)
    message += w2[:, None] * _vectors(point + 2 * N, features, N, WIDTH)
    message += w3[:, None] * _vectors(point + 3 * N, features, N, WIDTH)
    return logit, message


@triton.jit
def _far_end(neighbors, distances, start, turn, degree):
    """Atom and distance at the end of one edge of every row; zeros where a row has no more."""
    on = turn < degree
    j = tl.load(neighbors + start + turn, mask=on, other=0)
    return j, tl.load(distances + start + turn, mask=on, other=0.0)


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
    n_points,
    per_step,
    N: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    features = tl.arange(0, WIDTH)
    inside = rows < n_rows
    cells = (rows * N)[:, None] + features[None, :]
    filled = inside[:, None] & (features < N)[None, :]
    start = tl.load(offsets + rows, mask=inside, other=0)
    degree = (tl.load(offsets + rows + 1, mask=inside, other=0) - start).to(tl.int32)
    own = tl.load(center + cells, mask=filled, other=0.0)
    highest = tl.full([ROWS], LOWEST, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    summed = tl.zeros([ROWS, WIDTH], tl.float32)
    next_j, next_distance = _far_end(neighbors, distances, start, 0, degree)
    # one edge of every row per turn; rows that have no more are masked
    for turn in range(tl.max(degree, axis=0)):
        j, distance = next_j, next_distance
        # asked for a turn ahead, since all else waits for them
        next_j, next_distance = _far_end(neighbors, distances, start, turn + 1, degree)
        logit, message = _edge(
            j,
            distance,
            own,
            neighbor,
            neighbor_logit,
            table,
            table_logit,
            n_points,
            per_step,
            features,
            N,
            WIDTH,
        )
        on = turn < degree
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
    total = tl.where(degree > 0, total, 1.0)
    summed = summed / total[:, None]
    tl.store(update + cells, summed, mask=filled)
    tl.store(log_total + rows, highest + tl.log(total), mask=inside)


@triton.jit
def _products(x, first, slope, share, WINDOW: tl.constexpr):
    """Of a window of Gaussians, from ``first``, with slopes (WINDOW, WIDTH), and with shares."""
    away = x[None, :] - (first + tl.arange(0, WINDOW))[:, None].to(tl.float32)
    gaussians = tl.exp(-away * away)
    products = tl.dot(gaussians, slope, input_precision="ieee")
    return products, tl.sum(gaussians * share[None, :], axis=1)


@triton.jit
def _add_window(to_edge, to_edge_logit, first, of_edge, of_edge_logit, features):
    """Add the sums of a window to the buffer of a program."""
    WINDOW: tl.constexpr = of_edge.shape[0]
    WIDTH: tl.constexpr = of_edge.shape[1]
    centres = first + tl.arange(0, WINDOW)
    places = to_edge + centres[:, None] * WIDTH + features[None, :]
    tl.store(places, tl.load(places) + of_edge)
    tl.store(to_edge_logit + centres, tl.load(to_edge_logit + centres) + of_edge_logit)


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
    shifts,
    logit_scale,
    to_center,
    to_neighbor_high,
    to_neighbor_low,
    to_logit,
    to_edge,
    to_edge_logit,
    n_basis,
    per_spacing,
    n_rows,
    n_points,
    per_step,
    N: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    WINDOW: tl.constexpr,
):
    coarse, fine = tl.load(shifts), tl.load(shifts + 1)
    logit_units = tl.load(logit_scale)
    features = tl.arange(0, WIDTH)
    column = (features < N)[None, :]
    to_edge += tl.program_id(0).to(tl.int64) * (n_basis + WINDOW) * WIDTH
    to_edge_logit += tl.program_id(0).to(tl.int64) * (n_basis + WINDOW)
    # sums of the Gaussians from `first` on
    first = 0
    of_edge = tl.zeros([WINDOW, WIDTH], tl.float32)
    of_edge_logit = tl.zeros([WINDOW], tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(n_rows, ROWS), tl.num_programs(0)):
        rows = (block * ROWS + tl.arange(0, ROWS)).to(tl.int64)
        inside = rows < n_rows
        cells = (rows * N)[:, None] + features[None, :]
        filled = inside[:, None] & column
        start = tl.load(offsets + rows, mask=inside, other=0)
        degree = (tl.load(offsets + rows + 1, mask=inside, other=0) - start).to(tl.int32)
        own = tl.load(center + cells, mask=filled, other=0.0)
        outer = tl.load(upstream + cells, mask=filled, other=0.0)
        # Σ_j a_ij (upstream · m_ij) is upstream · update, which is stored
        mean = tl.sum(outer * tl.load(update + cells, mask=filled, other=0.0), axis=1)
        normal = tl.load(log_total + rows, mask=inside, other=0.0)
        of_own = tl.zeros([ROWS, WIDTH], tl.float32)
        next_j, next_distance = _far_end(neighbors, distances, start, 0, degree)
        for turn in range(tl.max(degree, axis=0)):
            j, distance = next_j, next_distance
            next_j, next_distance = _far_end(neighbors, distances, start, turn + 1, degree)
            logit, message = _edge(
                j,
                distance,
                own,
                neighbor,
                neighbor_logit,
                table,
                table_logit,
                n_points,
                per_step,
                features,
                N,
                WIDTH,
            )
            on = turn < degree
            # a_ij = exp(l_ij - log Σ exp l), recomputed from the logarithm of the total
            attention = tl.exp(tl.where(on, logit - normal, LOWEST))
            active = tl.where(message > 0.0, outer, 0.0)
            slope = attention[:, None] * active
            of_own += slope
            share = attention * (tl.sum(active * message, axis=1) - mean)
            # two numbers of few digits each, whose sums are exact in any order
            high = (slope + coarse) - coarse
            low = ((slope - high) + fine) - fine
            far = (j.to(tl.int64) * N)[:, None] + features[None, :]
            adds = on[:, None] & column
            tl.atomic_add(to_neighbor_high + far, high, mask=adds, sem="relaxed")
            tl.atomic_add(to_neighbor_low + far, low, mask=adds, sem="relaxed")
            counted = (share.to(tl.float64) * logit_units).to(tl.int64)
            tl.atomic_add(to_logit + j, counted, mask=on, sem="relaxed")
            # gradient of W₃: its inputs u(d) are computed again, those within reach of an edge
            x = distance * per_spacing
            nearest = tl.min(tl.where(on, x, float("inf")), axis=0)
            farthest = tl.max(tl.where(on, x, 0.0), axis=0)
            begin = tl.ceil(tl.minimum(nearest - REACH, 1.0 * n_basis)).to(tl.int32)
            end = tl.floor(tl.minimum(farthest + REACH, n_basis - 1.0)).to(tl.int32) + 1
            begin = tl.maximum(begin, 0)
            if (begin >= first) & (end <= first + WINDOW):
                products, sums = _products(x, first, slope, share, WINDOW)
                of_edge += products
                of_edge_logit += sums
            else:
                _add_window(to_edge, to_edge_logit, first, of_edge, of_edge_logit, features)
                while end > begin + WINDOW:
                    products, sums = _products(x, begin, slope, share, WINDOW)
                    _add_window(to_edge, to_edge_logit, begin, products, sums, features)
                    begin += WINDOW
                first = begin
                of_edge, of_edge_logit = _products(x, first, slope, share, WINDOW)
        tl.store(to_center + cells, of_own, mask=filled)
    _add_window(to_edge, to_edge_logit, first, of_edge, of_edge_logit, features)
