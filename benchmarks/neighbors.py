"""Time `k_nearest` against freud, scipy and vesin: ``python -m benchmarks.neighbors``.

Prints a Markdown table. Every repeat runs all candidates one after the other, and the ratio is
taken within the repeat, so that a busy machine slows both sides. What favours a library stays
outside the clock: positions are wrapped and rotated for freud, and scipy and vesin are told the
radius that holds all k neighbours, which a user does not know. Candidates need
``pip install "graphkoopman[freud]" vesin``.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np

from graphkoopman.neighbors import k_nearest

# freud works in float32: distances of 5 Å differences of coordinates of 20 Å.
TOLERANCE = 1e-4

Candidate = Callable[[], np.ndarray]


class System(NamedTuple):
    """One frame and what is asked of it."""

    name: str
    positions: np.ndarray  # (n_atoms, 3) Å, wrapped
    cell: np.ndarray  # (3, 3) Å
    k: int
    centers: np.ndarray


def systems() -> list[System]:
    """Return the frames that are timed."""
    crystal, crystal_cell = _crystal()
    rng = np.random.default_rng(1)
    box = np.diag([40.0, 43.0, 46.5])
    liquid = _jittered_lattice(rng, (16, 16, 16), 0.25)[:4000] @ box
    sulfur = 6.5 * np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    toy = np.vstack([sulfur, [3.0, 3.4, 3.1]])
    fifty = np.sort(rng.permutation(4000)[:50])
    return [
        System("crystal, all atoms", crystal, crystal_cell, 20, np.arange(len(crystal))),
        System("electrolyte, all atoms", liquid, box, 20, np.arange(4000)),
        System("electrolyte, 50 atoms", liquid, box, 20, fifty),
        System("toy, all atoms", toy, 6.5 * np.eye(3), 12, np.arange(5)),
    ]


def _crystal() -> tuple[np.ndarray, np.ndarray]:
    """Return 2688 atoms at 0.05 atoms per Å^3 in a triclinic cell."""
    rng = np.random.default_rng(0)
    cell = np.array([[34.0, 0.0, 0.0], [10.0, 36.0, 0.0], [-7.0, 9.0, 44.0]])
    cell *= (2688 / 0.05 / np.linalg.det(cell)) ** (1 / 3)
    return _jittered_lattice(rng, (12, 14, 16), 0.25) @ cell, cell


def _jittered_lattice(
    rng: np.random.Generator, shape: tuple[int, int, int], jitter: float
) -> np.ndarray:
    """Return fractions of a lattice of sites, displaced by up to ``jitter`` of their spacing."""
    sites = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    return (sites + 0.5 + rng.uniform(-jitter, jitter, sites.shape)) / shape


def graphkoopman_candidate(system: System) -> Candidate:
    """Return the call that is compared with all others."""
    return lambda: k_nearest(system.positions, system.cell, system.k, system.centers)[1]


def freud_candidate(system: System, n_threads: int) -> Candidate:
    """Return freud's k nearest neighbours, tree included."""
    import freud

    # freud's boxes have the first vector along x and the second in the xy plane.
    rotation, upper = np.linalg.qr(system.cell.T)
    signs = np.sign(np.diag(upper))
    box = freud.box.Box.from_matrix(upper * signs[:, None])
    points = box.wrap(system.positions @ rotation * signs)
    arguments = {"num_neighbors": system.k, "exclude_ii": True}

    def run() -> np.ndarray:
        freud.parallel.set_num_threads(n_threads)
        query = freud.locality.AABBQuery(box, points)
        # exclude_ii compares indices, so a subset asks for one more and drops itself.
        if len(system.centers) == len(points):
            pairs = query.query(points, arguments)
            return pairs.toNeighborList(sort_by_distance=True).distances.reshape(-1, system.k)
        pairs = query.query(points[system.centers], {"num_neighbors": system.k + 1})
        found = pairs.toNeighborList(sort_by_distance=True).distances
        return found.reshape(-1, system.k + 1)[:, 1:]

    return run


def tree_candidate(system: System, radius: float) -> Candidate:
    """Return scipy's cKDTree on the atoms and those images that lie within the radius."""
    from scipy.spatial import cKDTree

    inverse = np.linalg.inv(system.cell)
    # Rows of the inverse's transpose are face normals over heights.
    reach = radius * np.linalg.norm(inverse, axis=0)
    n_images = np.ceil(reach).astype(int)
    images = np.array(list(itertools.product(*(range(-n, n + 1) for n in n_images))))

    def run() -> np.ndarray:
        fractions = system.positions @ inverse
        copies = (fractions[None] + images[:, None]).reshape(-1, 3)
        copies = copies[((copies > -reach) & (copies < 1.0 + reach)).all(axis=1)]
        tree = cKDTree(copies @ system.cell)
        return tree.query(system.positions[system.centers], k=system.k + 1)[0][:, 1:]

    return run


def vesin_candidate(system: System, radius: float) -> Candidate:
    """Return vesin's pairs, sorted, the first k of every atom."""
    import vesin

    search = vesin.NeighborList(cutoff=radius, full_list=True)

    def run() -> np.ndarray:
        center, distance = search.compute(
            points=system.positions, box=system.cell, periodic=True, quantities="id"
        )
        order = np.lexsort((distance, center))
        first = np.searchsorted(center[order], system.centers)
        return distance[order][first[:, None] + np.arange(system.k)]

    return run


def compare(system: System, n_repeats: int) -> list[str]:
    """Return the table rows of one system."""
    ours = graphkoopman_candidate(system)
    expected = ours()
    radius = expected.max() * (1 + 1e-6)
    candidates = {
        "graphkoopman": ours,
        "freud, 1 thread": freud_candidate(system, 1),
        "freud, 2 threads": freud_candidate(system, 2),
        "cKDTree + images": tree_candidate(system, radius),
        "vesin + sort": vesin_candidate(system, radius),
    }
    verdicts = {name: _verdict(candidate, expected) for name, candidate in candidates.items()}
    running = [name for name in candidates if verdicts[name] != "fails"]
    times = {name: np.empty(n_repeats) for name in running}
    for repeat in range(n_repeats):
        for name in running:
            begin = perf_counter()
            candidates[name]()
            times[name][repeat] = 1e3 * (perf_counter() - begin)
    rows = []
    for name in candidates:
        if name in running:
            figures = _spread(times[name]), _spread(times[name] / times["graphkoopman"])
        else:
            figures = "", ""
        rows.append(f"| {system.name} | {name} | {' | '.join(figures)} | {verdicts[name]} |")
    return rows


def _verdict(candidate: Candidate, expected: np.ndarray) -> str:
    try:
        found = candidate()
    except (RuntimeError, ValueError):
        return "fails"
    if found.shape != expected.shape or not np.allclose(found, expected, rtol=0, atol=TOLERANCE):
        return "differs"
    return "yes"


def _spread(values: np.ndarray) -> str:
    return f"{values.min():.3g} – {np.median(values):.3g} – {values.max():.3g}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.neighbors")
    parser.add_argument("--repeats", type=int, default=21, help="timed runs of each candidate")
    n_repeats = parser.parse_args().repeats
    print("Figures are min – median – max; our search runs in one thread.\n")
    print("| system | candidate | ms | times ours | same distances |")
    print("|---|---|---|---|---|")
    for system in systems():
        print("\n".join(compare(system, n_repeats)), flush=True)


if __name__ == "__main__":
    main()
