"""Does the default estimator find the right answer for every seed?

Run as ``python -m benchmarks.convergence``.

The toy system of the paper, 20 ns, M = 12, lag 10 ps, no tuning per seed: relaxation time and
populations of the learned states against the sites visited in the same frames, for the trajectory
that was trained on and for one that was not. A seed succeeds where, on the trajectory trained on,
the time is within 10 % of the time counted from transitions between site cores and populations are
within 0.02. The same time estimated from the site labels at the lag of the model is shown beside
it: the two references differ by sampling alone.
"""

import argparse
import time
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks._tables import markdown, resumable
from graphkoopman import GDyNetEstimator, GraphFeaturizer, GraphTrajectory
from graphkoopman.datasets import SiteReference, simulate_li_fcc

LAG = 100  # frames of 0.1 ps
TIME_TOLERANCE = 0.10
POPULATION_TOLERANCE = 0.02


@cache
def system(duration: float) -> list[tuple[GraphTrajectory, SiteReference]]:
    """Graphs and references of the trajectory to train on and of an unseen one."""
    runs = [simulate_li_fcc(1000.0 * duration, random_state=seed) for seed in (0, 1)]
    graphs = GraphFeaturizer(n_neighbors=12).transform([run.trajectory for run in runs])
    return [(item, run.reference) for item, run in zip(graphs, runs, strict=True)]


def one_fit(duration: float, seed: int) -> dict[str, Any]:
    """Fit with one seed; deviations on both trajectories."""
    pairs = system(duration)
    begin = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        estimator = GDyNetEstimator(2, LAG, random_state=seed).fit(pairs[0][0])
    row: dict[str, Any] = {
        "seconds": time.perf_counter() - begin,
        "epochs": estimator.n_iter_,
        "clipped": estimator.clipped_mass_,
        "warnings": len(caught),
    }
    for name, (graphs, reference) in zip(("seen", "unseen"), pairs, strict=True):
        model = estimator.koopman_model(graphs)
        learned = float(model.timescales_ps()[0])
        row[name] = {
            "time": learned,
            "counted": reference.relaxation_time,
            "lagged": float(reference.at_lag(LAG).timescales[0]),
            "population_error": float(
                np.abs(model.empirical_populations - reference.populations).max()
            ),
        }
    return row


def succeeded(values: dict[str, float]) -> bool:
    """Whether one trajectory's deviations are within both tolerances."""
    return (
        abs(values["time"] / values["counted"] - 1.0) <= TIME_TOLERANCE
        and values["population_error"] <= POPULATION_TOLERANCE
    )


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--duration", type=float, default=20.0, help="ns")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/convergence.jsonl"))
    options = parser.parse_args()
    keys = [(options.duration, seed) for seed in range(options.seeds)]
    rows = resumable(options.out, keys, one_fit)
    header = ["seed", "fit / s", "epochs", "cut off"]
    for name in ("seen", "unseen"):
        header += [f"{name}: time / ps", "counted", "same lag", "population error", "success"]
    table = []
    for row in rows:
        cells = [row["key"][1], f"{row['seconds']:.0f}", row["epochs"], f"{row['clipped']:.2%}"]
        for name in ("seen", "unseen"):
            v = row[name]
            cells += [
                f"{v['time']:.1f}",
                f"{v['counted']:.1f} ({v['time'] / v['counted'] - 1:+.1%})",
                f"{v['lagged']:.1f} ({v['time'] / v['lagged'] - 1:+.1%})",
                f"{v['population_error']:.4f}",
                "yes" if succeeded(v) else "no",
            ]
        table.append(cells)
    print(markdown(header, table))
    for name in ("seen", "unseen"):
        wins = sum(succeeded(row[name]) for row in rows)
        print(f"\n{name}: {wins} of {len(rows)} seeds succeeded")


if __name__ == "__main__":
    main()
