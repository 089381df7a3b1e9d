"""Do intervals of fits with different seeds overlap? ``python -m benchmarks.seeds FILE --lag 20``

Fits the same trajectory with several seeds and prints the slowest relaxation time of each with its
interval, from the network as it is and with refits, and how many pairs of intervals are disjoint.
Results are kept line by line, and an interrupted run continues.
"""

import argparse
import time
import warnings
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._tables import markdown, resumable
from graphkoopman import GDyNetEstimator, GraphFeaturizer, read_trajectory


def one_seed(
    path: str, n_states: int, lagtime: int, n_neighbors: int, n_refits: int, seed: int
) -> dict[str, Any]:
    """Slowest time (frames) of one fit, its intervals, and how long it took."""
    featurizer = GraphFeaturizer(n_neighbors=n_neighbors, n_hops=2)
    graphs = featurizer.transform([read_trajectory(path)])
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = GDyNetEstimator(n_states, lagtime, random_state=seed)
        estimator.set_params(encoder__n_conv=2).fit(graphs)
        fitted = time.process_time() - begin
        model = estimator.koopman_model(graphs, n_bootstrap=200, n_refits=n_refits)
        low, high = model.timescales_interval(1)[0].tolist()
        refits = [refit.timescales(1)[0] for refit in model.refits]
        model.refits = []
        without = model.timescales_interval(1)[0].tolist()
    return {
        "seed": seed,
        "time": float(model.prior.timescales(1)[0]),
        "without": without,
        "interval": [low, high],
        "refits": [float(t) for t in refits],
        "fit CPU s": fitted,
        "refits CPU s": time.process_time() - begin - fitted,
    }


def disjoint_pairs(intervals: list[list[float]]) -> str:
    """How many pairs of intervals do not overlap."""
    pairs = list(combinations(intervals, 2))
    apart = sum(a[1] < b[0] or b[1] < a[0] for a, b in pairs)
    return f"{apart} of {len(pairs)}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--states", type=int, default=2)
    parser.add_argument("--lag", type=int, default=20, help="frames")
    parser.add_argument("--neighbors", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--refits", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("seeds.jsonl"))
    options = parser.parse_args()
    settings = (options.states, options.lag, options.neighbors, options.refits)
    keys = [(str(options.file), *settings, seed) for seed in range(options.seeds)]
    rows = resumable(options.out, keys, one_seed)
    shown = [
        [
            row["seed"],
            f"{row['time']:.0f}",
            "[{:.0f}, {:.0f}]".format(*row["without"]),
            "[{:.0f}, {:.0f}]".format(*row["interval"]),
            " ".join(f"{t:.0f}" for t in row["refits"]),
            f"{row['fit CPU s']:.0f} + {row['refits CPU s']:.0f}",
        ]
        for row in rows
    ]
    header = ["seed", "time / frames", "data only", "with refits", "refits", "CPU s"]
    print(markdown(header, shown))
    for name in ("without", "interval"):
        limits = np.array([row[name] for row in rows])
        with np.errstate(divide="ignore"):  # a lower limit of zero: nothing is known
            widths = np.log(limits[:, 1] / limits[:, 0])
        print(
            f"{name}: disjoint pairs {disjoint_pairs([row[name] for row in rows])}, "
            f"median width factor {np.exp(np.median(widths)):.2f}"
        )


if __name__ == "__main__":
    main()
