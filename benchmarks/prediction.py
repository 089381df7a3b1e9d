"""How often intervals of predictions hold the exact value, and predictions on real runs.

``python -m benchmarks.prediction onsager``: walkers in pairs that hop together with a known
probability; 95 % intervals of every self and distinct part, Haven ratio and total.

``python -m benchmarks.prediction displacements``: ten runs of five lag times with eight walkers of
two states; the interval of the mean squared displacement after a hundred lag times.

``python -m benchmarks.prediction real``: states and model from the first third of a run, the mean
squared displacement of the rest beside the prediction.

``python -m benchmarks.prediction rewired``: timescales of sequences of frames against the model's.
"""

import argparse
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from benchmarks._real_runs import LITHIUM, RealRuns, argyrodite, electrolyte, learned
from benchmarks._tables import markdown, resumable
from benchmarks._walkers import (
    BOX,
    crisp_model,
    exact_msd,
    lithium,
    pair_hoppers,
    switching_walkers,
)
from graphkoopman import GDyNetEstimator, GraphFeaturizer, estimate_koopman
from graphkoopman.datasets import simulate_li_fcc
from graphkoopman.generation import ClosureWarning, predict_displacements, rewire
from graphkoopman.transport import onsager_contributions, transition_displacements
from graphkoopman.transport._conduction import NERNST_EINSTEIN

Array = NDArray[np.float64]
TEMPERATURE = 500.0  # K
PAIRS: dict[str, dict[str, Any]] = {
    "independent": {"together": 0.0},
    "together from state 0": {"together": 0.1},
    "together from any state": {"together": 0.05, "concerted_from": None},
}
MATRIX, WIDTH = np.array([[0.97, 0.03], [0.06, 0.94]]), np.array([0.1, 0.5])
LAG = 10
SHORT_TRAINING: dict[str, Any] = {"n_init": 1, "max_epochs": 10}
KINDS: dict[str, dict[str, Any]] = {
    "fresh direction": {},
    "persistent in one state": {"persistence": (0.0, 0.8)},
    "turning back": {"persistence": (-0.5, -0.3)},
    "vibrating": {"noise": 0.3},
    "all from one state": {"start": 0},
}


def holds(value: float, interval: Array) -> bool:
    """Whether an interval holds a value."""
    return bool(interval[0] <= value <= interval[1])


def onsager_hits(case: str, seed: int) -> dict[str, bool]:
    """Which intervals of one data set of eight pairs and 600 frames hold the exact value."""
    pairs = pair_hoppers(600, 8, np.random.default_rng(seed), **PAIRS[case])
    result = onsager_contributions(
        lithium(pairs.paths),
        np.eye(2)[pairs.labels],
        "element Li",
        crisp_model(np.full((2, 2), 0.5), 1),
        state_charges=1.0,
        temperature=TEMPERATURE,
    )
    scale = NERNST_EINSTEIN / (6.0 * BOX**3 * TEMPERATURE)
    self_, distinct = scale * pairs.self_, scale * pairs.distinct
    hits = {}
    for i, j in ((0, 1), (1, 0)):
        haven = self_[i, j] / (self_[i, j] + distinct[i, j])
        hits |= {
            f"self {i}→{j}": holds(self_[i, j], result.self_interval[i, j]),
            f"distinct {i}→{j}": holds(distinct[i, j], result.distinct_interval[i, j]),
            f"Haven {i}→{j}": holds(haven, result.haven_interval[i, j]),
        }
    total = self_.sum() + distinct.sum()
    hits["Einstein total"] = holds(total, result.einstein_interval)
    hits["Haven total"] = holds(self_.sum() / total, result.total_haven_interval)
    return hits


def displacement_hits(case: str, seed: int) -> dict[str, bool]:
    """Whether intervals after 100 lag times hold the exact values."""
    kind = KINDS[case]
    walkers = switching_walkers(
        5 * LAG + 1, 8, 10, np.random.default_rng(seed), MATRIX, WIDTH, **kind
    )
    trajs, probs, targets = walkers.data()
    model = estimate_koopman(probs, LAG, constraint="stochastic")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ClosureWarning)
        result = predict_displacements(trajs, probs, targets, model, [10.0 * LAG, 100.0 * LAG])
    kind = {name: value for name, value in kind.items() if name != "start"}
    ten, hundred, far = exact_msd([10 * LAG, 100 * LAG, 101 * LAG], MATRIX, WIDTH, **kind)
    return {
        "MSD at 10 τ": holds(ten, result.msd_interval[0]),
        "MSD at 100 τ": holds(hundred, result.msd_interval[1]),
        "D": holds((far - hundred) / LAG / 6.0, result.diffusion_interval),
    }


def coverage_table(
    cases: Sequence[str], hits: Callable[[str, int], dict[str, bool]], n_sets: int, out: Path
) -> str:
    """Markdown table of the share of data sets whose intervals hold the exact value."""
    rows = resumable(out, [(case, seed) for case in cases for seed in range(n_sets)], hits)
    names = [name for name in rows[0] if name != "key"]
    body = []
    for case in cases:
        ours = [row for row in rows if row["key"][0] == case]
        shares = [np.mean([row[name] for row in ours]) for name in names]
        body.append([case, *(f"{100 * share:.1f}" for share in shares)])
    return markdown(["case, coverage / %", *names], body)


def real_rows(system: RealRuns, seed: int) -> list[list[str]]:
    """Prediction from the first third beside the rest, at times up to half of the rest."""
    part = [run[: len(run) // 3] for run in system.runs]
    rest = [run[len(run) // 3 :] for run in system.runs]
    _, probs = learned(part, system, seed=seed)
    timestep, lag = system.runs[0].timestep, system.lagtime
    model = estimate_koopman(probs, lag, constraint="stochastic", timestep=timestep)
    longest = max(map(len, rest)) // 2
    lags = np.unique(np.geomspace(2 * lag, longest, 6).round().astype(int))
    found, targets = (
        predict_displacements(
            part, probs, LITHIUM, model, lags * timestep, drift=system.drift, unit=unit
        )
        for unit in ("auto", "trajectories+targets")
    )
    one_state = [
        np.ones((len(run), array.shape[1], 1)) for run, array in zip(rest, probs, strict=True)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # runs of the rest that are shorter than the longest lag
        measured = transition_displacements(rest, one_state, LITHIUM, lags, drift=system.drift)
    rows = []
    for k, time in enumerate(found.times):
        value, (low, high), (inner, outer) = (
            found.msd[k],
            found.msd_interval[k],
            targets.msd_interval[k],
        )
        theirs, (least, most) = measured.total[k], measured.total_interval[k]
        rows.append(
            [
                system.name,
                f"{time:g}",
                f"{found.longest:g}",
                f"{value:.3g} [{low:.3g}, {high:.3g}]",
                f"[{inner:.3g}, {outer:.3g}]",
                f"{theirs:.3g} [{least:.3g}, {most:.3g}]",
                "yes" if low <= theirs <= high else "no",
                "yes" if inner <= theirs <= outer else "no",
            ]
        )
    return rows


def real_table(n_sets: int, out: Path) -> str:
    """Predictions on real runs."""
    systems = [argyrodite("Cl_50p"), argyrodite("I_50p"), electrolyte()]
    rows = [row for system in systems for row in real_rows(system, 0)]
    header = ["run", "time / ps", "data reach / ps", "predicted / Å²", "targets independent"]
    header += ["rest / Å²", "inside", "inside, independent"]
    inside, narrow = (sum(row[i] == "yes" for row in rows) for i in (-2, -1))
    count = f"{inside} of {len(rows)} inside, {narrow} with targets taken as independent"
    return f"{markdown(header, rows)}\n\n{count}"


def toy_states() -> tuple[Any, list[Array]]:
    """The toy system, every fifth frame of 10 ns, and its states."""
    toy = simulate_li_fcc(10_000.0, random_state=0).trajectory[::5]
    graphs = GraphFeaturizer(n_neighbors=12).fit_transform(toy)
    estimator = GDyNetEstimator(2, 20, random_state=0, **SHORT_TRAINING).fit(graphs)
    return toy, estimator.transform(graphs)


def crystal_states() -> tuple[Any, list[Array]]:
    """Li6PS5Cl with half of its anions exchanged, and its states."""
    crystal = argyrodite("Cl_50p")
    _, probs = learned(crystal.runs, crystal, **SHORT_TRAINING)
    return crystal.runs, probs


REWIRED: dict[str, tuple[Callable[[], tuple[Any, list[Array]]], tuple[int, ...]]] = {
    "toy": (toy_states, (20, 40)),
    "Li6PS5Cl, half disordered": (crystal_states, (10, 20, 40)),
}


def rewired_table(n_sets: int, out: Path) -> str:
    """Slowest timescale of rewired frames against the model's, toy system and argyrodite."""

    def off(name: str, lag: int) -> dict[str, float]:
        runs, probs = states(name)
        model = estimate_koopman(probs, lag, timestep=1.0, constraint="stochastic")
        sequence = rewire(runs, probs, model, 5000, 20, random_state=0)
        again = estimate_koopman(sequence.probs, 1, timestep=float(lag))
        return {"model": model.timescales_ps()[0], "rewired": again.timescales_ps()[0]}

    @lru_cache
    def states(name: str) -> tuple[Any, list[Array]]:
        return REWIRED[name][0]()

    cases = [(name, lag) for name, (_, lags) in REWIRED.items() for lag in lags]
    with warnings.catch_warnings():
        # trainings that are cut short for speed: timescales of any states are to be kept
        warnings.simplefilter("ignore", ConvergenceWarning)
        rows = resumable(out, cases, off)
    body = [
        [*row["key"], f"{row['model']:.1f}", f"{row['rewired']:.1f}",
         f"{row['rewired'] / row['model'] - 1:+.1%}"]
        for row in rows
    ]  # fmt: skip
    return markdown(["system", "lag", "model / frames", "rewired / frames", "off"], body)


TABLES: dict[str, Callable[[int, Path], str]] = {
    "onsager": lambda n, out: coverage_table(list(PAIRS), onsager_hits, n, out),
    "displacements": lambda n, out: coverage_table(list(KINDS), displacement_hits, n, out),
    "real": real_table,
    "rewired": rewired_table,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--datasets", type=int, default=200, help="data sets per case (200)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for name in options.tables:
        table = TABLES[name](options.datasets, options.out / f"prediction_{name}.jsonl")
        print(f"\n{name}\n\n{table}", flush=True)


if __name__ == "__main__":
    main()
