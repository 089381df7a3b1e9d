"""Generated environments against those of the data: ``python -m benchmarks.decoder``.

For each system states are learned by a network that sees the M nearest neighbours of a target and
nothing else, so that it can judge environments by themselves; a decoder learns from the same data.
Per state, with as many environments of the data as are drawn, or half of those there are:

* RDF: area between the distributions of distances, drawn and of the data, over the area between
  the states, for the neighbours of every element, and the same of two parts of the data, which is
  what sampling alone makes of it: it falls with the root of their number;
* close pairs: share of environments with a pair closer than the 0.1 % quantile of the data (of the
  two elements) less 0.1 Å;
* agreement: share of environments in which the network's likeliest state is the one asked for, and
  the same share among environments of the data in that state, with the share of these to which it
  gives by themselves another probability than in their trajectory.

The data are environments whose probability of the state is above 0.9, or the hundred purest.
"""

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from benchmarks._real_runs import DATA, argyrodite
from benchmarks._tables import markdown
from graphkoopman import GDyNetEstimator, GraphFeaturizer, Trajectory, read_trajectory
from graphkoopman.datasets import simulate_li_fcc
from graphkoopman.generation import EnvironmentDecoder
from graphkoopman.generation._environments import cut_environments
from graphkoopman.lobes import GatedEncoder

Array = NDArray[np.float64]
PURE, FEWEST = 0.9, 100
MARGIN = 0.1  # Å
BIN = 0.1  # Å
MOST_OTHERWISE = 0.01  # environments of the data whose graph by themselves is another


@dataclass(frozen=True)
class System:
    """What a decoder learns from.

    Attributes
    ----------
    run : Trajectory
    targets : str or None
    n_neighbors, lagtime : int
    """

    run: Trajectory
    targets: Any
    n_neighbors: int
    lagtime: int


def toy() -> System:
    """Lithium in tetrahedral and octahedral sites of a frozen lattice."""
    return System(simulate_li_fcc(10_000.0, random_state=0).trajectory[::5], None, 12, 20)


def crystal() -> System:
    """Lithium among sulphide and chloride."""
    return System(argyrodite("Cl_50p").runs[0][:300], "element Li", 12, 20)


def water() -> System:
    """Oxygen of SPC/E water, its own hydrogens among the neighbours."""
    folder = DATA / "md"
    # the file says 1 ps
    run = read_trajectory(
        folder / "water.xtc", top=folder / "water.pdb", timestep=0.04, ignore_times=True
    )
    return System(run[:300], "element O", 16, 10)


SYSTEMS = {"toy": toy, "argyrodite": crystal, "water": water}


def learn_states(system: System, seed: int) -> tuple[GDyNetEstimator, Array]:
    """A network of one convolution, and the probabilities of all targets."""
    featurizer = GraphFeaturizer(system.targets, n_neighbors=system.n_neighbors, n_hops=1)
    graphs = featurizer.fit_transform(system.run)
    encoder = GatedEncoder(n_conv=1)
    estimator = GDyNetEstimator(
        2, system.lagtime, encoder=encoder, max_epochs=60, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator, estimator.fit(graphs).transform(graphs)[0]


def judged(estimator: GDyNetEstimator, positions: Array, species: Any, first: int) -> Array:
    """State probabilities of environments by themselves, (n, n_states)."""
    # frames of one trajectory share their elements
    order = np.argsort(species, axis=1, kind="stable")
    positions = np.take_along_axis(positions, order[..., None], axis=1)
    species = np.take_along_axis(species, order, axis=1)
    kinds, which = np.unique(species, axis=0, return_inverse=True)
    featurizer = GraphFeaturizer([0], n_neighbors=species.shape[1], n_hops=1)
    found = np.empty((len(positions), estimator.n_states))
    for i, elements in enumerate(kinds):
        here = which.ravel() == i
        whole = np.concatenate([np.zeros((here.sum(), 1, 3)), positions[here]], axis=1)
        run = Trajectory(whole, None, [first, *elements], timestep=1.0)
        found[here] = estimator.transform(featurizer.fit_transform(run))[0][:, 0]
    return found


def curve(positions: Array, species: Any, edges: Array) -> dict[int, Array]:
    """Mean number of atoms per Å at each distance, by element."""
    radii = np.linalg.norm(positions, axis=-1)
    return {
        int(element): np.histogram(radii[species == element], edges)[0] / len(positions) / BIN
        for element in np.unique(species)
    }


def area(one: dict[int, Array], other: dict[int, Array]) -> float:
    """Area between two curves, over all elements."""
    zero = np.zeros_like(next(iter(one.values())))
    return float(
        sum(np.abs(one.get(e, zero) - other.get(e, zero)).sum() * BIN for e in {*one, *other})
    )


def shortest(positions: Array, species: Any, first: int) -> dict[tuple[int, int], Array]:
    """Distances of every pair of atoms, by their elements; one row per environment, padded."""
    points = np.concatenate([np.zeros((len(positions), 1, 3)), positions], axis=1)
    numbers = np.concatenate([np.full((len(species), 1), first), species], axis=1)
    i, j = np.triu_indices(points.shape[1], 1)
    distances = np.linalg.norm(points[:, i] - points[:, j], axis=-1)
    low, high = np.sort(np.stack([numbers[:, i], numbers[:, j]]), axis=0)
    return {
        (int(a), int(b)): np.where((low == a) & (high == b), distances, np.inf)
        for a, b in np.unique(np.stack([low.ravel(), high.ravel()], axis=1), axis=0)
    }


def examine(name: str, n_steps: int, n_drawn: int, seed: int, out: Path) -> list[dict[str, Any]]:
    """Rows of the table, one per state."""
    system = SYSTEMS[name]()
    estimator, probs = learn_states(system, seed)
    decoder = EnvironmentDecoder(system.n_neighbors, n_steps=n_steps, random_state=seed)
    begin = time.process_time()
    decoder.fit(system.run, [probs], system.targets)
    fit_seconds = time.process_time() - begin
    rng = np.random.default_rng(seed)
    data = cut_environments(
        system.run, [probs], system.targets, system.n_neighbors, probs[..., 0].size, rng
    )
    known, first = decoder.environments_, int(data.own[0])
    edges = np.arange(0.0, np.linalg.norm(data.positions, axis=-1).max() + 1.0, BIN)
    thresholds = {
        pair: np.quantile(rows[np.isfinite(rows)], 1e-3) - MARGIN
        for pair, rows in shortest(known.positions, known.species, first).items()
    }
    rows, curves = [], {}
    for state in range(2):
        purity = data.probs[:, state]
        n_pure = max(np.count_nonzero(purity >= PURE), FEWEST)
        chosen = rng.permutation(np.argsort(purity)[-n_pure:])[: 2 * n_drawn]
        pure, others = np.array_split(chosen, 2)
        begin = time.process_time()
        atoms = decoder.sample(np.eye(2)[state], n_drawn, random_state=seed)
        seconds = time.process_time() - begin
        drawn = np.array([item.positions[1:] for item in atoms])
        species = np.array([item.numbers[1:] for item in atoms])
        pairs = shortest(drawn, species, first)
        is_close = np.zeros(len(drawn), dtype=bool)
        for pair, threshold in thresholds.items():
            if pair in pairs:
                is_close |= (pairs[pair] < threshold).any(axis=1)
        theirs = judged(estimator, data.positions[pure], data.species[pure], first)
        ours = judged(estimator, drawn, species, first)
        curves[state] = (
            curve(drawn, species, edges),
            curve(data.positions[pure], data.species[pure], edges),
            curve(data.positions[others], data.species[others], edges),
        )
        rows.append(
            {
                "system": name,
                "state": state,
                "environments": len(pure),
                "close pairs": float(is_close.mean()),
                "agreement": float((ours.argmax(axis=1) == state).mean()),
                "agreement of data": float((theirs.argmax(axis=1) == state).mean()),
                "data judged otherwise": judged_otherwise(theirs, data.probs[pure]),
                "fit / CPU s": fit_seconds,
                "drawn per CPU s": n_drawn / seconds,
                "free at first draw": decoder.acceptance_,
            }
        )
    between = area(curves[0][1], curves[1][1])
    for row, (ours_curve, data_curve, other_half) in zip(rows, curves.values(), strict=True):
        row["RDF area / area between states"] = area(ours_curve, data_curve) / between
        row["two parts of the data"] = area(other_half, data_curve) / between
    draw_figure(name, curves, edges, out / f"decoder_{name}.png")
    return rows


def judged_otherwise(ours: Array, theirs: Array) -> float:
    """Share of environments whose probability by themselves is not that in their trajectory.

    Graphs hold both where another atom is as far as the last neighbour.
    """
    share = float((np.abs(ours - theirs).max(axis=1) > 1e-3).mean())
    if share > MOST_OTHERWISE:
        raise RuntimeError(
            "environments by themselves are judged as in their trajectory only by a network of "
            f"one convolution, got another probability for {share:.1%} of them"
        )
    return share


def draw_figure(name: str, curves: dict[int, Any], edges: Array, path: Path) -> None:
    """Distances to the target per state and element, drawn (dashed) and of the data."""
    figure, axes = plt.subplots(1, len(curves), figsize=(9, 3.5), layout="constrained")
    middle = 0.5 * (edges[1:] + edges[:-1])
    for ax, (state, (ours, theirs, _)) in zip(axes, curves.items(), strict=True):
        for i, element in enumerate(sorted(theirs)):
            ax.plot(middle, theirs[element], f"C{i}", label=f"Z = {element}, data")
            if element in ours:
                ax.plot(middle, ours[element], f"C{i}--", label=f"Z = {element}, drawn")
        ax.set(xlabel="distance / Å", ylabel="atoms per Å", title=f"{name}, state {state}")
        ax.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown table of all rows."""
    names = list(rows[0])
    body = [[f"{v:.3g}" if isinstance(v, float) else v for v in row.values()] for row in rows]
    return markdown(names, body)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("systems", nargs="*", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--steps", type=int, default=EnvironmentDecoder().n_steps)
    parser.add_argument("--drawn", type=int, default=4000, help="environments per state (4000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = []
    for name in options.systems:
        rows += examine(name, options.steps, options.drawn, options.seed, options.out)
        print(json.dumps(rows[-2:], indent=1), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
