"""Learning curves with and without another system: ``python -m benchmarks.transfer DATA``

``DATA`` is the folder with ``md`` and ``argyrodite``. For every pair of systems a network is fitted
to all training frames of the source. Networks on the first 1/16 to all of the training frames of
the target are then started from random weights (``scratch``), from those of the source
(``transfer``), or from these with the encoder frozen (``frozen``). Elements that the source does
not have are drawn anew. The score is VAMP-2 on the last fifth of the target's frames, which no fit
has seen; a fit on all frames from scratch says what there is to reach.

Every fit is one line of the results file, and an interrupted run continues.
"""

import argparse
import itertools
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._real_sets import RealSet, argyrodite, electrolyte_in_time
from benchmarks._tables import markdown, resumable
from benchmarks.representations import held_out_score
from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.lobes import GatedEncoder

SHARES = (16, 8, 4, 2, 1)  # of the training frames, one over
STARTS = ("scratch", "transfer", "frozen")
N_STATES, N_CONV, N_NEIGHBORS = 2, 2, 16
LAGTIMES = {"Li6PS5": 5, "peo": 10}  # frames; a sixteenth of the frames must hold some pairs
SYSTEMS: dict[str, Callable[[Path], RealSet]] = {
    **{
        f"Li6PS5{anion} {share} %": lambda data, name=f"{anion}_{share}p": argyrodite(data, name)
        for anion, share in itertools.product(("Cl", "I"), (0, 50, 100))
    },
    "peo run 7": lambda data: electrolyte_in_time(data, "peo_litfsi"),
    "peo run 8": lambda data: electrolyte_in_time(data, "peo_litfsi_seed8"),
}
PAIRS = (
    ("Li6PS5I 50 %", "Li6PS5Cl 50 %"),
    ("Li6PS5Cl 50 %", "Li6PS5I 50 %"),
    ("Li6PS5Cl 0 %", "Li6PS5Cl 50 %"),
    ("Li6PS5Cl 100 %", "Li6PS5Cl 50 %"),
    ("peo run 7", "peo run 8"),
    ("peo run 8", "peo run 7"),
)


@cache
def graphs_of(name: str, data: str) -> tuple[list[Any], list[Any]]:
    """Graphs of the training and the test frames of a system."""
    this = SYSTEMS[name](Path(data))
    featurizer = GraphFeaturizer(this.targets, n_neighbors=N_NEIGHBORS, n_hops=N_CONV)
    return featurizer.fit_transform(this.training), featurizer.fit_transform(this.test)


def first_frames(runs: list[Any], share: int) -> list[Any]:
    """The first ``1 / share`` of the frames of all runs together."""
    left, chosen = sum(map(len, runs)) // share, []
    for run in runs:
        if left > 0:
            chosen.append(run[: min(left, len(run))])
        left -= len(run)
    return chosen


def lagtime_of(name: str) -> int:
    """Lag in frames."""
    return next(lag for start, lag in LAGTIMES.items() if name.startswith(start))


def estimator_of(name: str, seed: int, max_epochs: int, **settings: Any) -> GDyNetEstimator:
    """One start of a small network."""
    return GDyNetEstimator(
        N_STATES, lagtime_of(name), n_init=1, max_epochs=max_epochs, random_state=seed, **settings
    )


def source_file(name: str, seed: int, data: str, folder: str, max_epochs: int) -> Path:
    """A network fitted to all training frames of a system; kept."""
    path = Path(folder) / f"{name}, {seed}, {max_epochs}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        training, _ = graphs_of(name, data)
        estimator_of(name, seed, max_epochs, encoder=GatedEncoder(N_CONV)).fit(training).save(path)
    return path


def one_fit(
    source: str, target: str, start: str, share: int, seed: int, data: str, folder: str,
    max_epochs: int,
) -> dict[str, Any]:  # fmt: skip
    """Fit on a share of the target's training frames, score on its held-out frames."""
    torch.set_num_threads(1)
    training, test = graphs_of(target, data)
    part = first_frames(training, share)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # short runs are the point
        if start == "scratch":
            settings: dict[str, Any] = {"encoder": GatedEncoder(N_CONV)}
        else:
            settings = {"init_from": source_file(source, seed, data, folder, max_epochs)}
        if start == "frozen":
            settings["freeze"] = "encoder"
        estimator = estimator_of(target, seed, max_epochs, **settings).fit(part)
        score = held_out_score(estimator.transform(test), lagtime_of(target))
    return {"score": score, "frames": sum(map(len, part))}


def table(rows: list[dict[str, Any]]) -> str:
    """One line per pair and start, one column per share of the data."""
    shares = sorted({row["key"][3] for row in rows}, reverse=True)
    lines = []
    for case in dict.fromkeys(tuple(row["key"][:3]) for row in rows):
        cells = []
        for share in shares:
            scores = [
                row["score"]
                for row in rows
                if tuple(row["key"][:3]) == case and row["key"][3] == share
            ]
            cells.append(f"{np.median(scores):.3f} ({min(scores):.3f})" if scores else "")
        source, target, start = case
        lines.append([target, "" if start == "scratch" else source, start, *cells])
    columns = [f"1/{share}" if share > 1 else "all" for share in shares]
    return markdown(["target", "from", "start", *columns], lines)


def main() -> None:
    """Run and print the table: medians and, in brackets, least over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with md and argyrodite")
    parser.add_argument("--pairs", type=int, nargs="+", default=list(range(len(PAIRS))))
    parser.add_argument("--shares", type=int, nargs="+", default=list(SHARES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max-epochs", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/transfer.jsonl"))
    options = parser.parse_args()
    settings = (str(options.data), str(options.out.with_suffix("")), options.max_epochs)
    keys = [
        ("" if start == "scratch" else PAIRS[i][0], PAIRS[i][1], start, share, seed, *settings)
        for seed in range(options.seeds)
        for i in options.pairs
        for start in STARTS
        for share in options.shares
    ]
    # from scratch a target is the same whatever the source
    print(table(resumable(options.out, list(dict.fromkeys(keys)), one_fit, options.jobs)))


if __name__ == "__main__":
    main()
