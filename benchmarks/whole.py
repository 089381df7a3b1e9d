"""Whole systems and large molecules as one target. ``python -m benchmarks.whole [lj7 chain cost]``

* ``lj7``: seven discs, all of them the target (`graphkoopman.datasets.simulate_lj7`), 40 ns, four
  states. Success is every relaxation time of the model within 10 % and the share of frames whose
  most probable state it is within 0.02 of those of the quenched frames, both at one lag: twice that
  of the training, since a disc on a ridge quenches to one side and to the other from frame to
  frame, which makes the labels look faster the shorter the lag is. Times at the lag of the training
  are printed, too.
* ``chain``: chains of 1000 atoms in which one residue of twenty flips
  (`graphkoopman.datasets.make_chain_molecule`), by way of the residues, and one mean over all atoms
  beside it. Success is the relaxation time within 10 % of that of the true states of the same
  frames, at twice the lag of the training: frames taken for the other state take the same factor
  off a correlation at every lag, so off the time the less the longer the lag is. Times at the lag
  of the training are printed, too.
* ``cost``: processor time and peak memory of one step at a fixed number of atoms in a chunk, chains
  of 500 to 5000 atoms, as many frames each.
* ``ala2`` (with ``--data``): alanine dipeptide from the Cartesian coordinates of its heavy atoms.
  The first run, or all but the first 12 ns where there is one only, is trained on, the rest judged;
  deeptime's VAMPNet on (cos, sin) of φ and ψ beside it, on the same frames. The atoms with the
  largest shares of the attention are named.

Results are kept line by line, and an interrupted run continues.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks._rows import peak_memory
from benchmarks._tables import markdown, resumable
from graphkoopman import GDyNetEstimator, GraphFeaturizer, Trajectory, align_states
from graphkoopman.datasets import label_timescales, make_chain_molecule, simulate_lj7
from graphkoopman.koopman import estimate_koopman
from graphkoopman.lobes import (
    AttentionPooling,
    GatedEncoder,
    HierarchicalPooling,
    MeanPooling,
    build_lobe,
)
from graphkoopman.training import SampleData
from graphkoopman.training._batches import sample_batch
from graphkoopman.training._features import backward_score

TIME_TOLERANCE, POPULATION_TOLERANCE = 0.1, 0.02
LJ7_LAG, LJ7_JUDGED_LAG, LJ7_DURATION = 10, 20, 40_000.0  # frames of 1 ps, ps
CHAIN_ATOMS, CHAIN_FRAMES, CHAIN_NEIGHBORS = 1000, 5000, 6
CHAIN_LAG, CHAIN_JUDGED_LAG = 10, 20  # frames of 1 ps
POOLINGS = {"residues": HierarchicalPooling(), "mean": MeanPooling()}
COST_ATOMS, COST_FRAMES, ATOMS_PER_CHUNK = (500, 1000, 2000, 5000), 200, 50_000
ALA2_LAG, ALA2_HELD_OUT = 20, 12_000  # frames of 1 ps
VAMPNET_EPOCHS, VAMPNET_BATCH, VAMPNET_WIDTH = 40, 5000, 30


def cpu_of(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its seconds of processor time."""
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = call()
    return result, time.process_time() - begin


def lj7_fit(_: str, seed: int) -> dict[str, Any]:
    """Four states of the discs against the quenched frames."""
    torch.set_num_threads(1)
    run = simulate_lj7(LJ7_DURATION, random_state=seed)
    graphs = GraphFeaturizer(n_neighbors=6).transform(run.trajectory)
    estimator = GDyNetEstimator(
        4, LJ7_LAG, pooling=MeanPooling(variance=True), n_hidden=32, n_init=1, random_state=seed
    )
    _, cpu = cpu_of(lambda: estimator.fit(graphs))
    probs = estimator.transform(graphs)[0]
    true = np.eye(4)[run.labels]
    truth, short = (
        label_timescales(run.labels, lag, run.trajectory.timestep)
        for lag in (LJ7_JUDGED_LAG, LJ7_LAG)
    )
    found = order_of(probs, align_states(true, probs))
    shares = np.eye(4)[found].mean(axis=(0, 1))
    return {
        "cpu_seconds": cpu,
        "times": estimator.koopman_model(graphs, lagtime=LJ7_JUDGED_LAG).timescales_ps(3).tolist(),
        "true_times": truth.timescales.tolist(),
        "short_times": estimator.model_.timescales_ps(3).tolist(),
        "true_short_times": short.timescales.tolist(),
        "population_error": float(np.abs(shares - truth.populations).max()),
        "agreement": float((found == run.labels).mean()),
    }


def order_of(probs: NDArray, order: NDArray) -> NDArray:
    """Most probable state, in the numbering of the true ones."""
    return probs[..., order].argmax(axis=-1)


def chain_fit(_: str, pooling: str, seed: int) -> dict[str, Any]:
    """Two states of the chain against the true ones."""
    torch.set_num_threads(1)
    run = make_chain_molecule(CHAIN_ATOMS, CHAIN_FRAMES, random_state=seed)
    featurizer = GraphFeaturizer(n_neighbors=CHAIN_NEIGHBORS, n_hops=1, levels=("residue",))
    graphs = featurizer.transform(run.trajectory)
    estimator = GDyNetEstimator(
        2, CHAIN_LAG, encoder=GatedEncoder(1), pooling=POOLINGS[pooling], n_hidden=32,
        max_epochs=12, random_state=seed,
    )  # fmt: skip
    _, cpu = cpu_of(lambda: estimator.fit(graphs))
    probs = estimator.transform(graphs)[0]
    order = align_states(np.eye(2)[run.labels], probs)
    truth, short = (
        label_timescales(run.labels, lag, run.trajectory.timestep)
        for lag in (CHAIN_JUDGED_LAG, CHAIN_LAG)
    )
    model = estimator.koopman_model(graphs, lagtime=CHAIN_JUDGED_LAG)
    return {
        "cpu_seconds": cpu,
        "times": model.timescales_ps(1).tolist(),
        "true_times": truth.timescales.tolist(),
        "short_times": estimator.model_.timescales_ps(1).tolist(),
        "true_short_times": short.timescales.tolist(),
        "population_error": float(np.abs(probs.mean(axis=(0, 1))[order] - truth.populations).max()),
        "agreement": float((order_of(probs, order) == run.labels).mean()),
    }


def cost(_: str, n_atoms: int) -> dict[str, Any]:
    """Processor time and peak memory of a step."""
    torch.set_num_threads(1)
    step = prepared_step(n_atoms)
    seconds = [cpu_of(step)[1] for _ in range(3)]
    return {"cpu_seconds": min(seconds), "bytes": peak_memory(prepared_step, n_atoms)}


def prepared_step(n_atoms: int) -> Callable[[], float]:
    """One step on a chain, by way of its residues; the chunk has a fixed number of atoms."""
    run = make_chain_molecule(n_atoms, COST_FRAMES, random_state=0)
    featurizer = GraphFeaturizer(n_neighbors=CHAIN_NEIGHBORS, n_hops=1, levels=("residue",))
    graphs = featurizer.transform(run.trajectory)
    torch.manual_seed(0)
    lobe = build_lobe(
        np.unique(graphs[0].species), 2, encoder=GatedEncoder(1), pooling=HierarchicalPooling()
    )
    rows = [np.zeros(n_atoms, np.int64)]
    data = SampleData(graphs, rows, 1, ATOMS_PER_CHUNK // n_atoms, torch.device("cpu"))
    batch = sample_batch([(0, 0, COST_FRAMES)], graphs, CHAIN_LAG, None, None)

    def step() -> float:
        return backward_score(lobe, data, batch, score="VAMP2", epsilon=1e-6)

    step()  # compiles
    return step


@cache
def dipeptide(folder: str) -> tuple[list[Any], list[Any]]:
    """Heavy atoms of the runs to train on and to judge, as mdtraj's trajectories."""
    import mdtraj as md

    runs = [md.load(str(path), top=str(path.with_suffix(".pdb")))
            for path in sorted(Path(folder).glob("*.xtc"))]  # fmt: skip
    if len(runs) == 1:
        return [runs[0][ALA2_HELD_OUT:]], [runs[0][:ALA2_HELD_OUT]]
    return runs[:1], runs[1:]


def torsions(run: Any) -> NDArray:
    """(cos, sin) of φ and ψ, (n_frames, 4)."""
    import mdtraj as md

    phi, psi = (torsion(run)[1][:, 0] for torsion in (md.compute_phi, md.compute_psi))
    return np.stack([np.cos(phi), np.sin(phi), np.cos(psi), np.sin(psi)], axis=1)


def held_out(features: Sequence[NDArray]) -> tuple[float, list[float]]:
    """VAMP-2 of three states' worth of functions on frames that no fit saw, and their times."""
    probs = [f[:, None] for f in features]
    model = estimate_koopman(probs, ALA2_LAG, timestep=1.0)
    return float(model.score(2)), model.timescales_ps(2).tolist()


def ala2_fit(_: str, folder: str, seed: int) -> dict[str, Any]:
    """Three states of alanine dipeptide from Cartesian coordinates of its heavy atoms."""
    torch.set_num_threads(1)
    heavy = [run.atom_slice(run.topology.select("element != H")) for run in dipeptide(folder)[0]]
    others = [run.atom_slice(run.topology.select("element != H")) for run in dipeptide(folder)[1]]
    names = np.array([f"{atom.residue.name} {atom.name}" for atom in heavy[0].topology.atoms])
    featurizer = GraphFeaturizer(
        [np.arange(len(names))], n_neighbors=len(names) - 1, n_hops=2, species_labels=names
    )
    training, judged = (
        featurizer.transform([Trajectory.from_mdtraj(run, timestep=1.0) for run in runs])
        for runs in (heavy, others)
    )
    estimator = GDyNetEstimator(
        3, ALA2_LAG, encoder=GatedEncoder(2), pooling=AttentionPooling(n_heads=8), n_hidden=32,
        random_state=seed,
    )  # fmt: skip
    _, cpu = cpu_of(lambda: estimator.fit(training))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = estimator.koopman_model(judged, n_bootstrap=100)
        score = estimator.score(judged)
    shares = np.concatenate(estimator.pooling_weights(judged)).mean(axis=0)
    return {
        "cpu_seconds": cpu,
        "score": float(score),
        "training_score": float(estimator.score(training)),
        "times": model.prior.timescales_ps(2).tolist(),
        "intervals": np.asarray(model.timescales_ps_interval(2)).tolist(),
        "atoms": [names[i] for i in np.argsort(-shares)[:5]],
    }


def vampnet_fit(_: str, folder: str, seed: int) -> dict[str, Any]:
    """deeptime's VAMPNet on (cos, sin) of φ and ψ."""
    from deeptime.decomposition.deep import VAMPNet
    from deeptime.util.data import TrajectoryDataset
    from torch import nn
    from torch.utils.data import ConcatDataset, DataLoader

    torch.manual_seed(seed)
    training, judged = ([torsions(run).astype(np.float32) for run in runs]
                        for runs in dipeptide(folder))  # fmt: skip
    width = VAMPNET_WIDTH
    lobe = nn.Sequential(
        nn.Linear(4, width), nn.ELU(), nn.Linear(width, width), nn.ELU(), nn.Linear(width, 3),
        nn.Softmax(1),
    )  # fmt: skip
    pairs = ConcatDataset([TrajectoryDataset(ALA2_LAG, features) for features in training])
    net = VAMPNet(lobe=lobe, learning_rate=5e-4, device=torch.device("cpu"))
    loader = DataLoader(pairs, batch_size=VAMPNET_BATCH, shuffle=True)
    _, cpu = cpu_of(lambda: net.fit(loader, n_epochs=VAMPNET_EPOCHS))
    model = net.fetch_model()
    score, times = held_out([model.transform(features).astype(float) for features in judged])
    return {"cpu_seconds": cpu, "score": score, "times": times}


def succeeded(row: dict[str, Any]) -> bool:
    """Whether times and populations are within their tolerances; never with a NaN."""
    off = np.abs(np.divide(row["times"], row["true_times"]) - 1.0)
    return bool((off <= TIME_TOLERANCE).all() and row["population_error"] <= POPULATION_TOLERANCE)


def success_table(rows: Sequence[dict[str, Any]]) -> str:
    """Seeds and their deviations."""
    table = []
    for name in dict.fromkeys(" ".join(map(str, row["key"][:-1])) for row in rows):
        mine = [row for row in rows if " ".join(map(str, row["key"][:-1])) == name]
        off = np.array([np.divide(row["times"], row["true_times"]) - 1.0 for row in mine])
        short = [
            np.divide(row["short_times"], row["true_short_times"]) - 1.0
            for row in mine
            if "short_times" in row
        ]
        table.append([
            name,
            f"{sum(map(succeeded, mine))} of {len(mine)}",
            ", ".join(f"{low:+.1%} to {high:+.1%}"
                      for low, high in zip(off.min(axis=0), off.max(axis=0), strict=True)),
            f"{np.min(short):+.1%} to {np.max(short):+.1%}" if short else "",
            f"{max(row['population_error'] for row in mine):.3f}",
            f"{min(row['agreement'] for row in mine):.3f}",
            f"{np.median([row['cpu_seconds'] for row in mine]):.0f}",
        ])  # fmt: skip
    header = ["system", "success", "times off, slowest first", "at the lag of the training"]
    header += ["population off, largest"]
    return markdown([*header, "frames right, fewest", "CPU / s, median"], table)


def cost_table(rows: Sequence[dict[str, Any]]) -> str:
    """Per chain length, against the shortest."""
    first = rows[0]
    return markdown(
        ["atoms", "CPU s of a step", "per atom, ratio", "peak / MiB", "ratio"],
        [
            [
                n := row["key"][1],
                f"{row['cpu_seconds']:.2f}",
                f"{row['cpu_seconds'] / n / (first['cpu_seconds'] / first['key'][1]):.2f}",
                f"{row['bytes'] / 2**20:.0f}",
                f"{row['bytes'] / first['bytes']:.2f}",
            ]
            for row in rows
        ],
    )


def ala2_table(rows: Sequence[dict[str, Any]]) -> str:
    """One line per fit."""
    return markdown(
        [
            "method",
            "seed",
            "held-out VAMP-2",
            "times / ps",
            "95 % / ps",
            "largest shares",
            "CPU / s",
        ],
        [
            [
                row["key"][0],
                row["key"][2],
                f"{row['score']:.3f}",
                ", ".join(f"{t:.1f}" for t in row["times"]),
                ", ".join(f"{a:.3g}–{b:.3g}" for a, b in row.get("intervals", [])),
                ", ".join(row.get("atoms", [])),
                f"{row['cpu_seconds']:.0f}",
            ]
            for row in rows
        ],
    )


def main() -> None:
    """Run and print the tables."""
    names = ("lj7", "chain", "cost", "ala2")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=names, default=names[:3])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--data", help="folder with runs of alanine dipeptide, xtc beside pdb")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/whole.jsonl"))
    options = parser.parse_args()
    if "ala2" in options.parts and options.data is None:
        parser.error("ala2 needs --data, a folder with xtc files and their pdb files")
    seeds = range(options.first, options.first + options.seeds)
    if "lj7" in options.parts:
        print(success_table(resumable(options.out, [("lj7", s) for s in seeds], lj7_fit)))
    if "chain" in options.parts:
        keys = [("chain", pooling, seed) for seed in seeds for pooling in POOLINGS]
        print(success_table(resumable(options.out, keys, chain_fit)))
    if "cost" in options.parts:
        print(cost_table(resumable(options.out, [("cost", n) for n in COST_ATOMS], cost)))
    if "ala2" in options.parts:
        ours = [("graph", options.data, seed) for seed in seeds]
        vampnet = [("VAMPNet", options.data, seed) for seed in seeds]
        rows = resumable(options.out, ours, ala2_fit)
        print(ala2_table([*rows, *resumable(options.out, vampnet, vampnet_fit)]))


if __name__ == "__main__":
    main()
