"""Graph building against freud, scipy's cKDTree and vesin: ``python -m benchmarks.neighbors``.

On each of the four systems all neighbours of all atoms; then the receptive field of the targets of
the electrolyte, which takes neighbours of some atoms only, against every library on all atoms.
Figures are CPU-seconds of one frame, each side in one thread. What favours a library stays outside
the clock: positions are wrapped and rotated for freud, and scipy and vesin are told the radius that
holds all M neighbours, which a user does not know. Candidates need
``pip install freud-analysis vesin``.
"""

import argparse
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks._rows import Row, report
from benchmarks._systems import SYSTEMS, System, system
from graphkoopman import Trajectory
from graphkoopman.cli._timing import alternate
from graphkoopman.graphs import build_graphs
from graphkoopman.neighbors import k_nearest
from graphkoopman.trajectories import resolve_targets

# freud works in float32: distances of 5 Å are differences of coordinates of 20 Å.
TOLERANCE = 1e-4
FIELD_HOPS = 2
FIELD_FRAMES = 20
TOY_CALLS = 100  # a frame of five atoms is too short for the clock

Candidate = Callable[[], np.ndarray]


def ours(this: System) -> Candidate:
    """Distances to the M nearest neighbours of all atoms, (n_atoms, M) Å."""
    run = this.trajectory
    return lambda: k_nearest(run.positions[0], run.cell, this.n_neighbors)[1]


def libraries(this: System, radius: float) -> dict[str, Candidate]:
    """The same by every library that searches this cell at all.

    Parameters
    ----------
    this : System
    radius : float
        Å, holds all neighbours asked for.
    """
    positions, cell = np.float64(this.trajectory.positions[0]), this.trajectory.cell
    found = {
        "freud": freud_candidate(positions, cell, this.n_neighbors),
        "cKDTree": tree_candidate(positions, cell, this.n_neighbors, radius),
        "vesin": vesin_candidate(positions, cell, this.n_neighbors, radius),
    }
    # freud refuses more neighbours than there are atoms
    return {name: call for name, call in found.items() if name != "freud" or this.name != "toy"}


def freud_candidate(positions: np.ndarray, cell: np.ndarray, k: int) -> Candidate:
    """freud's k nearest neighbours, tree included."""
    import freud

    # freud's boxes have the first vector along x and the second in the xy plane
    rotation, upper = np.linalg.qr(cell.T)
    signs = np.sign(np.diag(upper))
    box = freud.box.Box.from_matrix(upper * signs[:, None])
    points = box.wrap(positions @ rotation * signs)
    freud.parallel.set_num_threads(1)

    def run() -> np.ndarray:
        query = freud.locality.AABBQuery(box, points)
        pairs = query.query(points, {"num_neighbors": k, "exclude_ii": True})
        return pairs.toNeighborList(sort_by_distance=True).distances.reshape(-1, k)

    return run


def tree_candidate(positions: np.ndarray, cell: np.ndarray, k: int, radius: float) -> Candidate:
    """scipy's cKDTree on the atoms and those images that lie within the radius."""
    from scipy.spatial import cKDTree

    inverse = np.linalg.inv(cell)
    # rows of the inverse's transpose are face normals over heights
    reach = radius * np.linalg.norm(inverse, axis=0)
    n_images = np.ceil(reach).astype(int) + 1
    images = np.array(list(itertools.product(*(range(-n, n + 1) for n in n_images))))

    def run() -> np.ndarray:
        fractions = positions @ inverse
        fractions -= np.floor(fractions)
        copies = (fractions[None] + images[:, None]).reshape(-1, 3)
        copies = copies[((copies > -reach) & (copies < 1.0 + reach)).all(axis=1)]
        tree = cKDTree(copies @ cell)
        return tree.query(fractions @ cell, k=k + 1)[0][:, 1:]

    return run


def vesin_candidate(positions: np.ndarray, cell: np.ndarray, k: int, radius: float) -> Candidate:
    """vesin's pairs, sorted, the first k of every atom."""
    import vesin

    search = vesin.NeighborList(cutoff=radius, full_list=True)

    def run() -> np.ndarray:
        center, distance = search.compute(
            points=positions, box=cell, periodic=True, quantities="id"
        )
        order = np.lexsort((distance, center))
        first = np.searchsorted(center[order], np.arange(len(positions)))
        return distance[order][first[:, None] + np.arange(k)]

    return run


def all_atoms(name: str, n_repeats: int) -> list[Row]:
    """Our search against every library, and against the best of them."""
    this = system(name, 1)
    expected = ours(this)()
    others = libraries(this, expected.max() * (1 + 1e-6))
    same = {library: _agrees(call(), expected) for library, call in others.items()}
    n_calls = TOY_CALLS if name == "toy" else 1
    calls = {library: _repeated(call, n_calls) for library, call in others.items()}
    seconds = alternate({"ours": _repeated(ours(this), n_calls), **calls}, n_repeats)
    return _rows("neighbours, all atoms", name, seconds, same, n_calls)


def receptive_field(n_repeats: int) -> list[Row]:
    """Graphs of the field of the electrolyte's targets against libraries on all atoms."""
    this = system("electrolyte", FIELD_FRAMES)
    run = this.trajectory
    targets = resolve_targets(None, run)

    def build():
        return build_graphs(run, targets, n_neighbors=this.n_neighbors, n_hops=FIELD_HOPS)

    graphs = build()
    frames = [
        System("electrolyte", _frame(run, frame), this.n_neighbors) for frame in range(FIELD_FRAMES)
    ]
    radius = max(ours(frame)().max() for frame in frames) * (1 + 1e-6)
    others = [libraries(frame, radius) for frame in frames]
    same = dict.fromkeys(others[0], True)
    rows = graphs.with_degrees()
    for f, candidates in enumerate(others):
        atoms = graphs.atoms[graphs.atom_offsets[f] :][: graphs.hop_counts[f, -2]]
        stored = graphs.distances[graphs.edge_offsets[f] : graphs.edge_offsets[f + 1]]
        # a shell at one distance is taken whole: a few atoms have another neighbour, which is last
        degrees = rows.degrees[rows.row_offsets[f] : rows.row_offsets[f + 1]]
        starts = np.cumsum(degrees) - degrees
        nearest = stored[starts[:, None] + np.arange(this.n_neighbors)]
        for library, call in candidates.items():
            same[library] &= _agrees(nearest, call()[atoms])
    calls = {
        library: lambda library=library: [candidates[library]() for candidates in others]
        for library in others[0]
    }
    seconds = alternate({"ours": build, **calls}, n_repeats)
    label = f"electrolyte, {targets.n_targets} targets, n_hops={FIELD_HOPS}"
    share = float(graphs.hop_counts[:, -2].mean() / run.n_atoms)
    return _rows("receptive field", label, seconds, same, FIELD_FRAMES, share)


def _frame(run: Trajectory, frame: int) -> Trajectory:
    positions = run.positions[frame : frame + 1]
    return Trajectory(positions, run.cell, run.species, timestep=1.0, targets=run.targets)


def _repeated(call: Candidate, n_calls: int) -> Callable[[], object]:
    return lambda: [call() for _ in range(n_calls)]


def _agrees(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and np.allclose(found, expected, rtol=0, atol=TOLERANCE)


def _rows(
    name: str,
    label: str,
    seconds: dict[str, np.ndarray],
    same: dict[str, bool],
    n_frames: int,
    searched: float = 1.0,
) -> list[Row]:
    """One row per library and one for the best of them, repeat by repeat."""
    own = seconds["ours"]
    details = {"ms per frame": 1e3 * float(np.median(own)) / n_frames, "atoms searched": searched}
    found = [
        Row(
            name,
            label,
            library,
            (seconds[library] / own).tolist(),
            agrees,
            {**details, library: 1e3 * float(np.median(seconds[library])) / n_frames},
        )
        for library, agrees in same.items()
    ]
    best = np.min([seconds[library] for library in same], axis=0)
    return [*found, Row(name, label, "best library", (best / own).tolist(), all(same.values()))]


def rows(n_repeats: int, systems: Sequence[str] = tuple(SYSTEMS)) -> list[Row]:
    """All atoms of the systems; the receptive field where the electrolyte is among them."""
    found = [row for name in systems for row in all_atoms(name, n_repeats)]
    return found + receptive_field(n_repeats) if "electrolyte" in systems else found


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS))
    options = parser.parse_args()
    report("neighbors", rows(options.repeats, options.systems))


if __name__ == "__main__":
    main()
