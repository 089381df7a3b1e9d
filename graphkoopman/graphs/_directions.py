"""Unit vectors along the edges of graphs that are there: `edge_directions`."""

import math

import numpy as np
from joblib import Parallel, delayed
from numba import njit

from graphkoopman.graphs._trajectory import GraphTrajectory
from graphkoopman.trajectories import Trajectory

CHUNK_EDGES = 2_000_000
# Both distances are sums of three squares of the same numbers, one of them stored as float32.
TOLERANCE = 1e-5


def edge_directions(
    trajectory: Trajectory, graphs: GraphTrajectory, n_jobs: int | None = None
) -> np.ndarray:
    """Unit vector of every edge, from the atom to its neighbour.

    Graphs know which atom is a neighbour and how far it is, not which of its images. The images of
    a neighbour that are listed are its nearest ones, by rising distance, so the first edge between
    two atoms belongs to the nearest image, the second to the next, and so on.

    Parameters
    ----------
    trajectory : Trajectory
        What the graphs were built from.
    graphs : GraphTrajectory
    n_jobs : int or None
        Threads over chunks of frames, joblib's convention.

    Returns
    -------
    ndarray of shape (n_edges, 3), float32
        Zero where two atoms are at one place.
    """
    n_edges = len(graphs.distances)
    directions = np.empty((n_edges, 3), np.float32)
    size = max(1, int(CHUNK_EDGES / max(1.0, graphs.cost)))

    def fill(begin: int) -> None:
        stop = min(begin + size, len(graphs))
        part = graphs[begin:stop]
        cells = trajectory[begin:stop].cells
        periodic = cells is not None
        box = np.zeros((1, 3, 3)) if cells is None else np.asarray(cells, np.float64)
        degrees = np.empty(0, np.int32) if part.degrees is None else part.degrees
        edges = graphs.extent("edge", begin, stop)
        _fill_directions(
            np.ascontiguousarray(trajectory.positions[begin:stop], dtype=np.float64),
            np.ascontiguousarray(box),
            periodic,
            part.hop_counts,
            part.atom_offsets,
            part.atoms,
            part.neighbors,
            part.distances,
            degrees,
            0 if part.degrees is not None else int(part.n_neighbors or 0),
            directions[edges],
        )

    Parallel(n_jobs=n_jobs, require="sharedmem")(
        delayed(fill)(begin) for begin in range(0, len(graphs), size)
    )
    return directions


@njit(cache=True, nogil=True)
def _fill_directions(
    positions,
    cells,
    periodic,
    hop_counts,
    atom_offsets,
    atoms,
    neighbors,
    distances,
    degrees,
    k,
    out,
):
    edge, row = 0, 0
    for f in range(len(hop_counts)):
        cell = cells[min(f, len(cells) - 1)]
        inverse = np.linalg.inv(cell) if periodic else cell
        # heights of the cell, one over the lengths of the columns of its inverse
        heights = np.ones(3)
        for axis in range(3):
            heights[axis] = 1.0 / math.sqrt(np.square(inverse[:, axis]).sum()) if periodic else 1.0
        first = atom_offsets[f]
        for i in range(hop_counts[f, -2]):
            center = positions[f, atoms[first + i]]
            degree = k if k > 0 else degrees[row]
            for e in range(edge, edge + degree):
                other = positions[f, atoms[first + neighbors[e]]]
                before = 0
                for earlier in range(edge, e):
                    before += neighbors[earlier] == neighbors[e]
                itself = neighbors[e] == i
                _direction(
                    other - center, distances[e], cell, inverse, heights, periodic, before, itself,
                    out[e],
                )  # fmt: skip
            edge += degree
            row += 1


@njit(cache=True)
def _direction(difference, distance, cell, inverse, heights, periodic, before, itself, out):
    """Unit vector to the image that comes after ``before`` nearer ones, all within the distance."""
    out[:] = 0.0
    if not periodic:
        length = math.sqrt(np.square(difference).sum())
        if length > 0.0:
            out[:] = difference / length
        return
    reach = distance * (1.0 + TOLERANCE) + TOLERANCE
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    fraction = np.zeros(3)
    for axis in range(3):
        for b in range(3):
            fraction[axis] += difference[b] * inverse[b, axis]
        # |fraction + image| times the height is at most the distance
        low[axis] = math.ceil(-reach / heights[axis] - fraction[axis])
        high[axis] = math.floor(reach / heights[axis] - fraction[axis])
    images = (high - low + 1).prod()
    vectors, squares = np.empty((images, 3)), np.empty(images)
    n = 0
    for a in range(low[0], high[0] + 1):
        for b in range(low[1], high[1] + 1):
            for c in range(low[2], high[2] + 1):
                if itself and a == 0 and b == 0 and c == 0:
                    continue
                for x in range(3):
                    shift = a * cell[0, x] + b * cell[1, x] + c * cell[2, x]
                    vectors[n, x] = difference[x] + shift
                squares[n] = np.square(vectors[n]).sum()
                n += 1
    for _ in range(before):
        squares[np.argmin(squares[:n])] = np.inf
    chosen = np.argmin(squares[:n])
    length = math.sqrt(squares[chosen])
    if length > 0.0:
        out[:] = vectors[chosen] / length
