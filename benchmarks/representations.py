"""Representations side by side on real data: ``python -m benchmarks.representations DATA``

``DATA`` is the folder with ``md`` and ``argyrodite``. The sets and their held-out parts are those
of `benchmarks.real`; two states throughout, every seed is another network and another choice of
validation blocks. Representations:

* ``gated``: `GatedEncoder`, the default;
* ``schnet``, ``painn``: `SchNetEncoder` and `PaiNNEncoder` of two convolutions and 16 features;
* ``soap mlp``: `SOAPFeaturizer` (r_cut 5 Å, n_max = l_max = 2), reduced to 16 features by
  `FeatureReducer` with VAMP on the training frames, and `FeatureEncoder`;
* ``chgnet mlp``: the same on `PotentialFeaturizer("chgnet")`;
* ``vamp soap``: deeptime's linear VAMP on all SOAP features; without a seed.

Printed: VAMP-2 on the held-out frames, processor seconds of graphs or features and of training.
Features are kept beside the results, every fit is one line of the results file, and an interrupted
run continues.
"""

import argparse
import json
import time
import warnings
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._real_sets import SETS, SOAP_CUTOFF, SOAP_L, SOAP_N, RealSet, real_set
from benchmarks._tables import markdown, resumable
from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.descriptors import (
    FeatureReducer,
    FeatureTrajectory,
    PotentialFeaturizer,
    SOAPFeaturizer,
)
from graphkoopman.lobes import GatedEncoder, PaiNNEncoder, SchNetEncoder
from graphkoopman.objectives import moments, score_of_moments

N_STATES, N_COMPONENTS = 2, 16
ENCODERS = {
    "gated": GatedEncoder(),
    "schnet": SchNetEncoder(2, 16),
    "painn": PaiNNEncoder(2, 16),
}
FEATURES = {
    "soap": partial(SOAPFeaturizer, r_cut=SOAP_CUTOFF, n_max=SOAP_N, l_max=SOAP_L, sigma=1.0),
    "chgnet": partial(PotentialFeaturizer, "chgnet"),
}
METHODS = (*ENCODERS, "soap mlp", "chgnet mlp", "vamp soap")
DEFAULT_SETS = ("argyrodite Cl 50 %", "si_sw", "peo 8→7")


@cache
def loaded(name: str, data: str) -> RealSet:
    """Trajectories of a set."""
    return real_set(name, Path(data))


@cache
def graphs_of(name: str, data: str, directions: bool) -> tuple[list[Any], list[Any], float]:
    """Graphs of the training and the test runs, and the processor seconds they took."""
    this = loaded(name, data)
    begin = time.process_time()
    featurizer = GraphFeaturizer(this.targets, n_neighbors=this.n_neighbors, directions=directions)
    training, test = (featurizer.fit_transform(runs) for runs in (this.training, this.test))
    return training, test, time.process_time() - begin


@cache
def features_of(name: str, data: str, kind: str, folder: str) -> tuple[list[Any], list[Any], float]:
    """Features of the training and the test runs, from their files where these are there."""
    this = loaded(name, data)
    kept = Path(folder) / f"{name}, {kind}"
    kept.mkdir(parents=True, exist_ok=True)
    featurizer = FEATURES[kind](targets=this.targets)
    featurizer.fit(this.training + this.test)
    parts, seconds = {"training": this.training, "test": this.test}, kept / "seconds.json"
    spent = json.loads(seconds.read_text()) if seconds.exists() else {}
    found = {}
    for part, runs in parts.items():
        found[part] = []
        for i, run in enumerate(runs):
            path = kept / f"{part} {i}.features"
            if not path.exists():
                begin = time.process_time()
                (features,) = featurizer.transform(run)
                features.save(path)
                spent[path.name] = time.process_time() - begin
                seconds.write_text(json.dumps(spent))
            found[part].append(FeatureTrajectory.load(path))
    return found["training"], found["test"], sum(spent.values())


def held_out_score(functions: list[np.ndarray], lagtime: int) -> float:
    """VAMP-2 of functions (n_frames, n_targets, k) of the test runs."""
    runs = [run for run in functions if len(run) > lagtime]
    ends = [
        np.concatenate([run[part].reshape(-1, run.shape[-1]) for run in runs])
        for part in (slice(None, -lagtime), slice(lagtime, None))
    ]
    # the last probability is what the others leave, and would add nothing but its rounding
    return score_of_moments(
        moments(*(torch.from_numpy(end[:, : N_STATES - 1].astype(float)) for end in ends))
    ).item()


def one_fit(
    name: str, method: str, seed: int, data: str, folder: str, n_init: int, max_epochs: int
) -> dict[str, Any]:
    """Fit on the training runs, score on the test runs."""
    torch.set_num_threads(1)
    lagtime, encoder = loaded(name, data).lagtime, ENCODERS.get(method)
    if encoder is not None:
        training, test, spent = graphs_of(name, data, method == "painn")
    else:
        kind = method.replace(" mlp", "").replace("vamp ", "")
        training, test, spent = features_of(name, data, kind, folder)
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if encoder is None:
            n = 1 if method.startswith("vamp") else N_COMPONENTS
            reducer = FeatureReducer(n, "vamp", lagtime).fit(training)
            training, test = reducer.transform(training), reducer.transform(test)
        if method.startswith("vamp"):
            functions = [run.features for run in test]
        else:
            estimator = GDyNetEstimator(
                N_STATES, lagtime, encoder=encoder, n_init=n_init, max_epochs=max_epochs,
                random_state=seed,
            )  # fmt: skip
            functions = estimator.fit(training).transform(test)
    return {
        "score": held_out_score(functions, lagtime),
        "training": time.process_time() - begin,
        "features": spent,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """One line per set and representation."""
    lines = []
    for name, method in dict.fromkeys((row["key"][0], row["key"][1]) for row in rows):
        mine = [row for row in rows if row["key"][:2] == [name, method]]
        scores, training = ([row[key] for row in mine] for key in ("score", "training"))
        lines.append(
            [
                name,
                method,
                len(mine),
                f"{min(scores):.3f}, {np.median(scores):.3f}",
                f"{max(row['features'] for row in mine):.0f}",
                f"{np.median(training):.0f}",
            ]
        )
    header = ["set", "representation", "seeds", "held-out VAMP-2: least, median"]
    return markdown([*header, "CPU / s: features", "CPU / s: training, median"], lines)


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with md and argyrodite")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(DEFAULT_SETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--n-init", type=int, default=3, help="starts of a fit")
    parser.add_argument("--max-epochs", type=int, default=60, help="of a start")
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/representations.jsonl")
    )
    options = parser.parse_args()
    folder = str(options.out.with_suffix(""))
    settings = (str(options.data), folder, options.n_init, options.max_epochs)
    keys = [
        (name, method, seed, *settings)
        for name in options.sets
        for method in options.methods
        for seed in range(1 if method == "vamp soap" else options.seeds)
    ]
    print(table(resumable(options.out, keys, one_fit, options.jobs)))


if __name__ == "__main__":
    main()
