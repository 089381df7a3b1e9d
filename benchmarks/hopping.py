"""Known Markov chains behind vibration and rotation. ``python -m benchmarks.hopping``

Cages and three-atom molecules whose state follows a chain with 2, 3 or 4 states, relaxation times a
factor 3 apart, in cubic and triclinic cells, molecules cut by the boundary. Fitted with default
settings on one data set, judged on another: relaxation times and populations against the estimate
from the true labels of the same unseen frames at the same lag, so that sampling error is not taken
for model error. A case succeeds with every time within 15 % and every population within 0.03.

Graphs of cages have the 8 ligands of a cage, those of molecules the two atoms bonded to each and
the two nearest beside them, both one hop deep. At three hops (``--hops 3``, the default of the
estimator) they reach the next cages, whose states are slow processes of the environment, too: a
network with few outputs may then prefer the slow exchange of a neighbour to the fast one of the
target. The VAMP-2 scores of the learned states and of the true labels, on the unseen frames, tell
this from a fit that missed a process: where the learned states score higher, what they follow is
slower than what the labels say.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from benchmarks._tables import markdown, resumable
from graphkoopman import GDyNetEstimator, GraphFeaturizer, align_states
from graphkoopman.datasets import chain_rates, label_timescales, make_hopping
from graphkoopman.lobes import GatedEncoder
from graphkoopman.objectives import vamp2_score

CELLS = {
    "cubic": None,
    "triclinic": np.array([[24.0, 0.0, 0.0], [8.0, 22.0, 0.0], [-6.0, 9.0, 23.0]]),
}
CASES = [
    (kind, n_states, cell)
    for kind in ("cage", "molecule")
    for n_states, cell in ((2, "cubic"), (3, "triclinic"), (4, "cubic"))
]
N_NEIGHBORS = {"cage": 8, "molecule": 4}
SLOWEST = 150.0  # ps
LAG = 5  # frames of 1 ps
N_FRAMES = 6000
TIME_TOLERANCE = 0.15
POPULATION_TOLERANCE = 0.03


def one_case(kind: str, n_states: int, cell: str, seed: int, hops: int) -> dict[str, Any]:
    """Fit on one data set and compare on another."""
    rates = chain_rates(n_states, slowest=SLOWEST, separation=3.0)
    box = CELLS[cell]
    if box is not None and kind == "molecule":
        box = 1.3 * box
    seen, unseen = (
        make_hopping(
            rates,
            N_FRAMES,
            timestep=1.0,
            cell=box,
            molecules=kind == "molecule",
            random_state=1000 * i + seed,
        )
        for i in range(2)
    )
    featurizer = GraphFeaturizer(n_neighbors=N_NEIGHBORS[kind], n_hops=hops)
    graphs = featurizer.transform([seen.trajectory, unseen.trajectory])
    begin = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        estimator = GDyNetEstimator(
            n_states, LAG, encoder=GatedEncoder(n_conv=hops), random_state=seed
        ).fit(graphs[0])
    seconds = time.perf_counter() - begin
    model = estimator.koopman_model(graphs[1])
    truth = label_timescales(unseen.labels, LAG, 1.0)
    (learned,) = estimator.transform(graphs[1])
    # match learned to true states by overlap: near-equal populations may swap between data sets
    true = np.eye(n_states)[unseen.labels]
    order = align_states(true, learned)
    ends = (torch.as_tensor(p.reshape(-1, n_states)).double() for p in (true[:-LAG], true[LAG:]))
    return {
        "seconds": seconds,
        "epochs": estimator.n_iter_,
        "clipped": estimator.clipped_mass_,
        "warnings": len(caught),
        "times": model.timescales_ps().tolist(),
        "true_times": truth.timescales.tolist(),
        "score": estimator.score(graphs[1]),
        "true_score": float(vamp2_score(*ends)),
        "population_error": float(np.abs((learned[..., order] - true).mean(axis=(0, 1))).max()),
    }


def succeeded(row: dict[str, Any]) -> bool:
    """Whether all times and populations are within their tolerances."""
    ratio = np.array(row["times"]) / np.array(row["true_times"])
    return bool(
        np.all(np.abs(ratio - 1.0) <= TIME_TOLERANCE)
        and row["population_error"] <= POPULATION_TOLERANCE
    )


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--hops", type=int, default=1, help="convolutions, and depth of graphs (1)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/hopping.jsonl"))
    options = parser.parse_args()
    keys = [(*case, seed, options.hops) for case in CASES for seed in range(options.seeds)]
    rows = resumable(options.out, keys, one_case)
    table = [
        [
            *row["key"],
            f"{row['seconds']:.0f}",
            row["epochs"],
            ", ".join(
                f"{a:.1f}/{b:.1f} ({a / b - 1:+.1%})"
                for a, b in zip(row["times"], row["true_times"], strict=True)
            ),
            f"{row['score']:.4f}/{row['true_score']:.4f}",
            f"{row['population_error']:.4f}",
            f"{row['clipped']:.2%}",
            "yes" if succeeded(row) else "no",
        ]
        for row in rows
    ]
    header = ["system", "states", "cell", "seed", "hops", "fit / s", "epochs"]
    header += ["times learned/labels / ps", "VAMP-2 learned/labels", "population error"]
    header += ["cut off", "success"]
    print(markdown(header, table))
    print(f"\n{sum(map(succeeded, rows))} of {len(rows)} succeeded")


if __name__ == "__main__":
    main()
