"""What SIMD vectors bring to the convolution on the CPU: ``python -m benchmarks.plain_loops``.

The kernels of ``graphkoopman.lobes`` hold a row of features in registers, by intrinsics that stand
on internals of numba. Here are the same messages and gradients as loops over features, which the
compiler must guard against arrays that overlap. Both sides take the same random atoms and edges;
figures are nanoseconds per edge in one thread and float32. Results are compared in float64, where
no message is within rounding of the kink of its ReLU: the same means to 1e-5 of the largest value.
"""

import argparse
from collections.abc import Callable

import numpy as np
from numba import njit

from benchmarks._rows import Row, report
from graphkoopman.cli._timing import alternate
from graphkoopman.lobes import _kernels

N_ATOMS, N_NEIGHBORS, N_POINTS = 4000, 20, 800
STEP = 0.2 / 32  # Å between points of the tables
TOLERANCE = 1e-5
COMPILED = {"nogil": True, "fastmath": _kernels.FAST, "error_model": "numpy"}


@njit(**COMPILED)
def messages(center, neighbor, table, neighbors, distances, offsets, attention, update):
    """Equations (8) and (9): weighted sums of messages, (n_rows, n_features)."""
    n_features = center.shape[1]
    kind = center.dtype.type
    for row in range(len(update)):
        total = kind(0.0)
        for f in range(n_features):
            update[row, f] = kind(0.0)
        for e in range(offsets[row], offsets[row + 1]):
            far = neighbors[e]
            k, w0, w1, w2, w3 = place(distances[e], len(table), kind)
            for f in range(n_features):
                edge = w0 * table[k, f] + w1 * table[k + 1, f]
                edge += w2 * table[k + 2, f] + w3 * table[k + 3, f]
                message = center[row, f] + neighbor[far, f] + edge
                update[row, f] += attention[e] * max(message, kind(0.0))
            total += attention[e]
        for e in range(offsets[row], offsets[row + 1]):
            attention[e] /= total
        for f in range(n_features):
            update[row, f] /= total


@njit(**COMPILED)
def gradients(
    center, neighbor, table, neighbors, distances, offsets, attention, upstream,
    to_center, to_neighbor, to_neighbor_logit, to_table, to_table_logit,
):  # fmt: skip
    """Add the gradients of everything that `messages` reads."""
    n_features = center.shape[1]
    kind = center.dtype.type
    slopes = np.empty(n_features, center.dtype)
    along = np.empty(len(distances), center.dtype)
    for row in range(len(upstream)):
        mean = kind(0.0)
        for f in range(n_features):
            to_center[row, f] = kind(0.0)
        for e in range(offsets[row], offsets[row + 1]):
            far = neighbors[e]
            k, w0, w1, w2, w3 = place(distances[e], len(table), kind)
            share = kind(0.0)
            for f in range(n_features):
                edge = w0 * table[k, f] + w1 * table[k + 1, f]
                edge += w2 * table[k + 2, f] + w3 * table[k + 3, f]
                message = center[row, f] + neighbor[far, f] + edge
                active = upstream[row, f] if message > kind(0.0) else kind(0.0)
                share += active * message
                slopes[f] = attention[e] * active
            for f in range(n_features):
                to_center[row, f] += slopes[f]
                to_neighbor[far, f] += slopes[f]
            for f in range(n_features):
                to_table[k, f] += w0 * slopes[f]
                to_table[k + 1, f] += w1 * slopes[f]
                to_table[k + 2, f] += w2 * slopes[f]
                to_table[k + 3, f] += w3 * slopes[f]
            along[e] = share
            mean += attention[e] * share
        for e in range(offsets[row], offsets[row + 1]):
            k, w0, w1, w2, w3 = place(distances[e], len(table), kind)
            slope = attention[e] * (along[e] - mean)
            to_neighbor_logit[neighbors[e]] += slope
            to_table_logit[k] += w0 * slope
            to_table_logit[k + 1] += w1 * slope
            to_table_logit[k + 2] += w2 * slope
            to_table_logit[k + 3] += w3 * slope


@njit(**COMPILED)
def place(distance, n_points, kind):
    """First of four points around a distance, and the cubic Lagrange weights of all four."""
    x = min(kind(distance) * kind(1.0 / STEP), kind(n_points - 4))
    k = np.int64(x)
    s = x - kind(k)
    one, two, half, sixth = kind(1.0), kind(2.0), kind(0.5), kind(1.0 / 6.0)
    return (
        k,
        -sixth * s * (s - one) * (s - two),
        half * (s + one) * (s - one) * (s - two),
        -half * (s + one) * s * (s - two),
        sixth * (s + one) * s * (s - one),
    )


def sides(n_features: int, dtype: type) -> dict[str, Callable[[], list[np.ndarray]]]:
    """A forward and a backward pass on the same random atoms, both ways."""
    rng = np.random.default_rng(0)
    n_edges = N_ATOMS * N_NEIGHBORS
    atoms, points = (N_ATOMS, n_features), (N_POINTS, n_features)
    shapes = (atoms, atoms, N_ATOMS, points, N_POINTS)
    center, neighbor, logit, table, logits = (rng.normal(size=s).astype(dtype) for s in shapes)
    neighbors = rng.integers(N_ATOMS, size=n_edges).astype(np.int32)
    distances = rng.uniform(0.0, 4.5, n_edges).astype(np.float32)
    offsets = np.arange(N_ATOMS + 1) * N_NEIGHBORS
    weights = rng.uniform(0.1, 1.0, n_edges).astype(dtype)

    def outputs() -> list[np.ndarray]:
        sums = [np.zeros_like(array) for array in (center, neighbor, logit, table, logits)]
        return [weights.copy(), np.empty_like(center), *sums]

    def ours() -> list[np.ndarray]:
        attention, update, *sums = found = outputs()
        terms = (center, neighbor, logit, table, logits)
        inputs = (*terms, neighbors, distances, None, offsets, STEP, attention, update)
        lanes = (0,) * n_features
        _kernels._messages(lanes, 0, N_ATOMS, *inputs)
        _kernels._gradients(lanes, 0, N_ATOMS, *inputs, *sums)
        return found

    def plain() -> list[np.ndarray]:
        attention, update, *sums = found = outputs()
        inputs = (center, neighbor, table, neighbors, distances, offsets, attention, update)
        messages(*inputs)
        gradients(*inputs, *sums)
        return found

    return {"ours": ours, "plain": plain}


def one_length(n_features: int, n_repeats: int) -> Row:
    """Speed of both sides at one length of the vectors of atoms."""
    n_edges = N_ATOMS * N_NEIGHBORS
    calls = {name: sides(n_features, name) for name in (np.float64, np.float32)}
    results = [call() for call in calls[np.float64].values()]
    same = all(
        np.abs(a - b).max() < TOLERANCE * np.abs(b).max() for a, b in zip(*results, strict=True)
    )
    seconds = alternate(calls[np.float32], n_repeats)
    per_edge = {f"{k}, ns per edge": 1e9 * float(np.min(v)) / n_edges for k, v in seconds.items()}
    ratios = (seconds["plain"] / seconds["ours"]).tolist()
    return Row("SIMD vectors", f"{n_features} features", "loops", ratios, same, per_edge)


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--features", type=int, nargs="+", default=[16, 20, 32, 64])
    options = parser.parse_args()
    report("plain_loops", [one_length(length, options.repeats) for length in options.features])


if __name__ == "__main__":
    main()
