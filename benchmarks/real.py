"""Held-out scores on real trajectories, beside baselines: ``python -m benchmarks.real DATA``

``DATA`` is the folder with ``md``, ``argyrodite`` and ``lgps``. Every set has a part held out: the
other of two independent runs of the electrolyte, the last fifth of the frames elsewhere. Two states
throughout; every seed is another network and another choice of validation blocks. Methods:

* ``default``: `GDyNetEstimator` as it comes, on graphs of the nearest atoms (20, of water 12);
* ``species``: the same on graphs in which targets see two atoms of every species at least, however
  far, ``n_per_species=2``, with ``r_max=12``;
* ``frozen``: the same with ``freeze="encoder"``, random features with a trained head;
* ``vamp distances``, ``vamp near``, ``vamp soap``: deeptime's linear VAMP on the distances to the 6
  nearest atoms of every species up to 10 Å, on the same up to 5 Å, about as far as edges to
  20 neighbours reach, and on SOAP power spectra (r_cut 5 Å, n_max = l_max = 2) by dscribe;
* ``vampnet distances``: deeptime's VAMPNet on the same distances, two hidden layers of 64, the
  weights of the best validation of 30 epochs;
* ``plain``: the default network trained the plain way, 2000 updates of Adam at 1e-3 on batches of
  100 frame pairs, the weights of the best of 40 validations.

Scores are VAMP-2 on the held-out frames, of the states, for linear VAMP of its function. κ is
Cohen's, between the most probable states of two seeds on these frames. Where next to no target
changes its state there, a high score says nothing: states are then kinds of targets. Every fit is
one line of the results file, and an interrupted run continues.
"""

import argparse
import itertools
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from deeptime.decomposition import VAMP
from deeptime.decomposition.deep import VAMPNet
from deeptime.util.data import TrajectoriesDataset
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from benchmarks._real_sets import SETS, RealSet, real_set, soap, sorted_distances
from benchmarks._tables import markdown, resumable
from graphkoopman import GDyNetEstimator, GraphFeaturizer, GraphTrajectory
from graphkoopman.koopman import identify_states
from graphkoopman.lobes import GatedEncoder, build_lobe
from graphkoopman.objectives import moments, score_of_moments, singular_values
from graphkoopman.training import (
    SampleData,
    all_frames,
    backward_score,
    evaluate,
    sample_batch,
)
from graphkoopman.training._agreement import cohen_kappa
from graphkoopman.trajectories import block_split

N_STATES = 2
DETERMINISTIC = ("vamp distances", "vamp near", "vamp soap")
NEAR = 5.0  # Å
PLAIN_STEPS, PLAIN_PAIRS, PLAIN_RATE, PLAIN_VALIDATIONS = 2000, 100, 1e-3, 40
VAMPNET_EPOCHS, VAMPNET_BATCH, VAMPNET_WIDTH = 30, 2048, 64
VALIDATION_SHARE = 0.2
GRAPH_PER_SPECIES, REACH = 2, 12.0  # of "species": atoms of each around targets; Å

Functions = tuple[list[NDArray], dict[str, Any]]  # (n_frames, n_targets, k) per test run, details


@cache
def loaded(name: str, data: str) -> RealSet:
    """Trajectories of a set."""
    return real_set(name, Path(data))


@cache
def graphs_of(
    name: str, data: str, n_per_species: int
) -> tuple[list[GraphTrajectory], list[GraphTrajectory]]:
    """Graphs of the training and the test runs."""
    this = loaded(name, data)
    featurizer = GraphFeaturizer(
        this.targets, n_neighbors=this.n_neighbors, n_per_species=n_per_species
    )
    return featurizer.fit_transform(this.training), featurizer.fit_transform(this.test)


@cache
def features_of(name: str, data: str, kind: str) -> tuple[list[NDArray], list[NDArray]]:
    """Hand-made features of the training and the test runs, (n_frames, n_targets, n_features)."""
    this = loaded(name, data)
    near = partial(sorted_distances, farthest=NEAR)
    function = {"distances": sorted_distances, "near": near, "soap": soap}[kind]
    return tuple([function(run, this.atoms) for run in runs] for runs in (this.training, this.test))


def default(
    name: str, data: str, seed: int, *, freeze: str | None = None, species: bool = False
) -> Functions:
    """States of `GDyNetEstimator` as it comes, or with its encoder frozen, or seeing further."""
    training, test = graphs_of(name, data, GRAPH_PER_SPECIES if species else 0)
    begin = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator = GDyNetEstimator(
            N_STATES,
            loaded(name, data).lagtime,
            encoder=GatedEncoder(r_max=REACH) if species else None,
            freeze=freeze,
            random_state=seed,
        ).fit(training)
    details = {
        "cpu": time.process_time() - begin,
        "epochs": estimator.n_iter_,
        "agreement": estimator.agreement_,
        "start_scores": estimator.start_scores_.tolist(),
        "validation": estimator.validation_score_,
        "overlap": estimator.state_map_.overlap,
        "warned of starts": any("starts disagree" in str(w.message) for w in caught),
    }
    return estimator.transform(test), details


def plain(name: str, data: str, seed: int) -> Functions:
    """States of the default network, trained the plain way."""
    training, test = graphs_of(name, data, 0)
    lagtime = loaded(name, data).lagtime
    begin = time.process_time()
    species = np.unique(training[0].species)
    rows = [np.searchsorted(species, item.species) for item in training]
    these = SampleData(training, rows, 3, None, torch.device("cpu"))
    torch.manual_seed(seed)
    rng = np.random.RandomState(seed)
    lobe = build_lobe(species, N_STATES, n_hidden=16)
    blocks, validation = block_split(
        [len(item) for item in training], VALIDATION_SHARE, lagtime=lagtime, random_state=rng
    )
    held_out = sample_batch(validation, training, lagtime, 1000, None)
    starts = [(i, f) for i, a, b in blocks for f in range(a, b - lagtime)]
    optimizer = torch.optim.Adam(lobe.parameters(), lr=PLAIN_RATE)
    best, weights = -np.inf, lobe.state_dict()
    for step in range(1, PLAIN_STEPS + 1):
        drawn = [starts[i] for i in rng.choice(len(starts), PLAIN_PAIRS)]
        windows = [(i, f, f + lagtime + 1) for i, f in sorted(drawn)]
        batch = sample_batch(windows, training, lagtime, 1, None)
        optimizer.zero_grad()
        backward_score(lobe, these, batch, score="VAMP2", epsilon=1e-6)
        optimizer.step()
        if step % (PLAIN_STEPS // PLAIN_VALIDATIONS) == 0:
            outputs = evaluate(these, held_out, lobe)
            ends = outputs[held_out.start_rows], outputs[held_out.end_rows]
            now = score_of_moments(moments(*ends), epsilon=1e-6).item()
            if now > best:
                best, weights = now, {k: v.clone() for k, v in lobe.state_dict().items()}
    lobe.load_state_dict(weights)
    cpu = time.process_time() - begin
    rows = [np.searchsorted(species, item.species) for item in test]
    those = SampleData(test, rows, 3, None, torch.device("cpu"))
    outputs = [evaluate(those, all_frames(i, len(item)), lobe) for i, item in enumerate(test)]
    states = [
        output.double().numpy().reshape(len(item), item.n_targets, N_STATES)
        for output, item in zip(outputs, test, strict=True)
    ]
    return states, {"cpu": cpu, "validation": best}


def series_of(runs: list[NDArray], lagtime: int) -> list[NDArray[np.float32]]:
    """One series per target and run, (n_frames, n_features), long enough for a pair."""
    return [
        np.ascontiguousarray(run[:, i], dtype=np.float32)
        for run in runs
        if len(run) > lagtime
        for i in range(run.shape[1])
    ]


def linear_vamp(name: str, data: str, seed: int, kind: str) -> Functions:
    """The slowest function of deeptime's VAMP on hand-made features; without a seed."""
    training, test = features_of(name, data, kind)
    lagtime = loaded(name, data).lagtime
    begin = time.process_time()
    mean = np.concatenate([run.reshape(-1, run.shape[-1]) for run in training]).mean(axis=0)
    series = [item.astype(np.float64) - mean for item in series_of(training, lagtime)]
    estimator = VAMP(lagtime=lagtime, dim=N_STATES - 1, epsilon=1e-8)
    model = estimator.fit_from_timeseries(series).fetch_model()
    cpu = time.process_time() - begin
    functions = [
        model.transform(run.reshape(-1, run.shape[-1]) - mean).reshape(*run.shape[:2], -1)
        for run in test
    ]
    return functions, {"cpu": cpu, "features": int(training[0].shape[-1])}


def vampnet(name: str, data: str, seed: int) -> Functions:
    """States of deeptime's VAMPNet on sorted distances, the weights of the best validation."""
    training, test = features_of(name, data, "distances")
    lagtime = loaded(name, data).lagtime
    begin = time.process_time()
    torch.manual_seed(seed)
    rng = np.random.RandomState(seed)
    flat = np.concatenate([run.reshape(-1, run.shape[-1]) for run in training])
    mean, scale = flat.mean(axis=0), flat.std(axis=0) + 1e-6
    blocks = block_split(
        [len(run) for run in training], VALIDATION_SHARE, lagtime=lagtime, random_state=rng
    )
    loaders = []
    for part, size in zip(blocks, (VAMPNET_BATCH, 10**6), strict=True):
        pieces = [(training[i][a:b] - mean) / scale for i, a, b in part]
        dataset = TrajectoriesDataset.from_numpy(lagtime, series_of(pieces, lagtime))
        loaders.append(DataLoader(dataset, batch_size=size, shuffle=size < 10**6))
    width = VAMPNET_WIDTH
    network = torch.nn.Sequential(
        torch.nn.Linear(flat.shape[1], width),
        torch.nn.ELU(),
        torch.nn.Linear(width, width),
        torch.nn.ELU(),
        torch.nn.Linear(width, N_STATES),
        torch.nn.Softmax(dim=1),
    )
    estimator = VAMPNet(network, learning_rate=1e-3, device="cpu")
    best, weights = -np.inf, network.state_dict()
    for _ in range(VAMPNET_EPOCHS):
        scores: list[float] = []
        estimator.fit(
            loaders[0],
            n_epochs=1,
            validation_loader=loaders[1],
            validation_score_callback=lambda _, score, seen=scores: seen.append(float(score)),
        )
        if scores[-1] > best:
            best = scores[-1]
            weights = {k: v.clone() for k, v in network.state_dict().items()}
    network.load_state_dict(weights)
    cpu = time.process_time() - begin
    network.eval()
    with torch.no_grad():
        states = [
            network(torch.from_numpy(((run - mean) / scale).astype(np.float32))).double().numpy()
            for run in test
        ]
    return states, {"cpu": cpu, "validation": best}


METHODS: dict[str, Callable[[str, str, int], Functions]] = {
    "default": default,
    "species": partial(default, species=True),
    "frozen": partial(default, freeze="encoder"),
    "vamp distances": partial(linear_vamp, kind="distances"),
    "vamp near": partial(linear_vamp, kind="near"),
    "vamp soap": partial(linear_vamp, kind="soap"),
    "vampnet distances": vampnet,
    "plain": plain,
}


def one_fit(name: str, method: str, seed: int, data: str, labels: str) -> dict[str, Any]:
    """Fit, score on the held-out frames, keep the states found there."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        functions, details = METHODS[method](name, data, seed)
    lagtime = loaded(name, data).lagtime
    runs = [run for run in functions if len(run) > lagtime]
    ends = [
        np.concatenate([run[part].reshape(-1, run.shape[-1]) for run in runs])
        for part in (slice(None, -lagtime), slice(lagtime, None))
    ]
    # the last probability is what the others leave, and would add nothing but its rounding
    m = moments(*(torch.from_numpy(end[:, : N_STATES - 1].copy()) for end in ends))
    slowest = singular_values(m)[0].item()
    found = np.concatenate([run.reshape(-1, run.shape[-1]) for run in functions])
    if found.shape[1] < N_STATES:  # a function, not yet states
        both = [np.column_stack([end, -end]) for end in ends]
        found = identify_states(*both)(np.column_stack([found, -found]))
    path = Path(labels) / f"{name}, {method}, {seed}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, found.argmax(axis=1).astype(np.int8))
    return {
        "score": score_of_moments(m).item(),
        "time": -lagtime / np.log(slowest) if 0.0 < slowest < 1.0 else float("nan"),
        "population": float(found.mean(axis=0).min()),
        **details,
    }


def labels_of(row: dict[str, Any]) -> NDArray[np.int8]:
    """Most probable states of a fit on the held-out frames, all targets of one after the other."""
    name, method, seed, _, folder = row["key"]
    return np.load(Path(folder) / f"{name}, {method}, {seed}.npy")


def n_changing(row: dict[str, Any]) -> int:
    """Number of targets that are not in one state throughout the held-out frames."""
    name, _, _, data, _ = row["key"]
    labels = labels_of(row).reshape(-1, len(loaded(name, data).atoms))
    return int((labels != labels[0]).any(axis=0).sum())


def kappas(rows: list[dict[str, Any]]) -> NDArray[np.float64]:
    """Cohen's κ between all pairs of fits of one set and method."""
    pairs = itertools.combinations(map(labels_of, rows), 2)
    return np.array([cohen_kappa(a, b, N_STATES) for a, b in pairs])


def table(rows: list[dict[str, Any]]) -> str:
    """One line per set and method."""
    lines = []
    for name, method in dict.fromkeys((row["key"][0], row["key"][1]) for row in rows):
        mine = [row for row in rows if row["key"][:2] == [name, method]]
        scores, times, cpu = (np.array([r[key] for r in mine]) for key in ("score", "time", "cpu"))
        agreement = kappas(mine)
        changing = [n_changing(row) for row in mine]
        warned = [row["warned of starts"] for row in mine if "warned of starts" in row]
        lines.append(
            [
                name,
                method,
                len(mine),
                f"{scores.min():.3f}, {np.median(scores):.3f}",
                f"{np.nanmin(times):.3g} – {np.nanmax(times):.3g}",
                f"{agreement.min():.2f}, {np.median(agreement):.2f}" if len(agreement) else "",
                f"{min(changing)} – {max(changing)}",
                f"{sum(warned)} of {len(warned)}" if warned else "",
                f"{np.median(cpu):.0f}, {cpu.max():.0f}",
            ]
        )
    header = ["set", "method", "seeds", "held-out VAMP-2: least, median", "slowest time / frames"]
    header += [
        "κ: least, median",
        "targets that change state",
        "warned of starts",
        "CPU / s: median, largest",
    ]
    return markdown(header, lines)


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with md, argyrodite and lgps")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=["default"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/real.jsonl"))
    options = parser.parse_args()
    labels = str(options.out.with_suffix(""))
    keys = [
        (name, method, seed, str(options.data), labels)
        for name in options.sets
        for method in options.methods
        for seed in range(1 if method in DETERMINISTIC else options.seeds)
    ]
    print(table(resumable(options.out, keys, one_fit, options.jobs)))


if __name__ == "__main__":
    main()
