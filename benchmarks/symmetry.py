"""States that are mirror images of each other: ``python -m benchmarks.symmetry``

Ammonia that tumbles and turns inside out, and cages with an ion up or down along z: the two states
have the same distances, and their exchange is known exactly. A network without directions must find
nothing; handedness helps where the hydrogens have labels of their own, and must not help where they
are alike; an axis does in both systems. Every seed is one start of a network on a
simulation of its own; the
score and the time are those of a further simulation, which no fit has seen. Every fit is one line
of the results file, and an interrupted run continues.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._tables import markdown, resumable
from graphkoopman import GDyNetEstimator, GraphFeaturizer, GraphTrajectory
from graphkoopman.datasets import chain_rates, make_polar_cages, simulate_ammonia
from graphkoopman.lobes import GatedEncoder

N_FRAMES, N_TARGETS, LAGTIME = 4000, 40, 20
N_TEST_FRAMES = 12_000
RELAXATION = 25.0  # frames
WITHIN, NOTHING = 0.05, 0.02
HAND, Z, OWN = {"handedness": True}, {"axis": (0, 0, 1)}, {"axis": "per target"}
# system, network: settings of the encoder, whether it must find the flip
CASES: dict[tuple[str, str], tuple[dict[str, Any], bool]] = {
    ("ammonia", "plain"): ({}, False),
    ("ammonia", "handedness"): (HAND, False),
    ("labelled ammonia", "plain"): ({}, False),
    ("labelled ammonia", "handedness"): (HAND, True),
    ("ammonia", "axis of the molecule"): (OWN, True),
    ("upright ammonia", "axis z"): (Z, True),
    ("polar cages", "plain"): ({}, False),
    ("polar cages", "handedness"): (HAND, False),
    ("polar cages", "axis z"): (Z, True),
}


def graphs_of(system: str, network: str, n_frames: int, seed: int) -> GraphTrajectory:
    """Graphs of one simulation."""
    settings, _ = CASES[system, network]
    featurizer = GraphFeaturizer(n_hops=1, directions=bool(settings))
    if system == "polar cages":
        data = make_polar_cages(
            chain_rates(2, slowest=RELAXATION), n_frames, n_targets=N_TARGETS, random_state=seed
        )
        featurizer.set_params(n_neighbors=6)
    else:
        data = simulate_ammonia(
            n_frames,
            n_molecules=N_TARGETS,
            timestep=1.0,
            relaxation_time=RELAXATION,
            tumbling_time=None if system == "upright ammonia" else 10.0,
            random_state=seed,
        )
        labels = data.hydrogen_labels if system == "labelled ammonia" else None
        axes = data.axes_of if settings.get("axis") == "per target" else None
        featurizer.set_params(n_neighbors=3, species_labels=labels, axes=axes)
    (graphs,) = featurizer.fit_transform(data.trajectory)
    return graphs


def one_fit(system: str, network: str, seed: int) -> dict[str, Any]:
    """Fit on one simulation, score on another."""
    torch.set_num_threads(1)
    settings, _ = CASES[system, network]
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where there is nothing to find, states overlap
        estimator = GDyNetEstimator(
            2, LAGTIME, encoder=GatedEncoder(n_conv=1, **settings), n_init=1, random_state=seed
        ).fit(graphs_of(system, network, N_FRAMES, seed))
        test = graphs_of(system, network, N_TEST_FRAMES, 1000 + seed)
        found = estimator.koopman_model(test).timescales()
        score = estimator.score(test)
    return {
        "score": float(score),
        "time": float(found[0]) if len(found) and np.isfinite(found[0]) else None,
        "cpu": time.process_time() - begin,
    }


def passes(row: dict[str, Any]) -> bool:
    """Whether a fit found what there is to find, within 5 %, or nothing where there is nothing."""
    system, network, _ = row["key"]
    if not CASES[system, network][1]:
        return row["score"] - 1.0 < NOTHING
    return row["time"] is not None and abs(row["time"] / RELAXATION - 1.0) <= WITHIN


def table(rows: list[dict[str, Any]]) -> str:
    """One line per system and network."""
    lines = []
    for case in dict.fromkeys(tuple(row["key"][:2]) for row in rows):
        mine = [row for row in rows if tuple(row["key"][:2]) == case]
        scores = [row["score"] - 1.0 for row in mine]
        ratios = [row["time"] / RELAXATION for row in mine if row["time"] is not None]
        expected = CASES[case][1]
        lines.append(
            [
                *case,
                f"{min(scores):.4f} – {max(scores):.4f}",
                f"{min(ratios):.3f} – {max(ratios):.3f}" if expected and ratios else "",
                "the flip within 5 %" if expected else "nothing",
                f"{sum(map(passes, mine))} of {len(mine)}",
            ]
        )
    header = ["system", "network", "held-out VAMP-2 less one", "time over exact time"]
    return markdown([*header, "there is to find", "found"], lines)


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/symmetry.jsonl"))
    options = parser.parse_args()
    keys = [(*case, seed) for seed in range(options.seeds) for case in CASES]
    print(table(resumable(options.out, keys, one_fit, options.jobs)))


if __name__ == "__main__":
    main()
