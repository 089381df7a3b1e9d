"""Coverage of the 95 % intervals of Koopman models on chains with known answers.

Run ``python -m benchmarks.coverage`` from the repository root. Each case simulates independent data
sets of a reversible chain of 2 to 5 states, seen through noisy probabilities by several targets,
and counts how often the intervals of timescales and populations hold the exact value:

* lengths of 50, 200 and 1000 exchanges between the two sides of the slowest mode;
* targets that are independent, that share half of their random numbers, or that all follow the same
  chain (a common mode). With a common mode, exchanges are counted once, not once per target.

``--part groups``, ``learned``, ``structure`` and ``transport`` are about runs of 5, 10 and 50
relaxation times, see `benchmarks._short_runs`: states given, states learned, with refits
in the intervals, coordination numbers, and diffusion; with targets in groups that share a mode.
``--part visits`` has one target that visits a rare state a few times.

The exact value is that of the states as they are seen: noise of single frames makes
K = C00^-1 C0t decay faster than the chain, and both moments are known in closed form.

Results are appended to a file after every batch, so that a run can be interrupted and resumed.
"""

import argparse
import json
import warnings
from collections import defaultdict
from itertools import product
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numba import njit
from scipy.linalg import expm

from benchmarks._short_runs import PARTS, cases_of, one_set
from graphkoopman.koopman import FewUnitsWarning, estimate_koopman

LAGTIME = 2
SLOWEST = 50.0  # frames
NOISE = 0.1
N_TARGETS = 8
BATCH = 25
SHARED = {"independent": 0.0, "half shared": 0.5, "shared": 1.0}
EVENTS = (50, 200, 1000)

# Populations, and symmetric exchange fluxes pi_i k_ij in relative units.
CHAINS = {
    2: ([0.8, 0.2], {(0, 1): 1.0}),
    3: ([0.6, 0.3, 0.1], {(0, 1): 1.0, (1, 2): 1.0}),
    4: ([0.45, 0.3, 0.15, 0.1], {(0, 1): 12.0, (2, 3): 6.0, (1, 2): 3.0, (0, 2): 2.0}),
    5: (
        [0.35, 0.25, 0.2, 0.12, 0.08],
        {(0, 1): 6.0, (1, 2): 5.0, (2, 3): 6.0, (3, 4): 3.0, (0, 3): 1.0},
    ),
}


def make_chain(n_states):
    """Populations, transition matrix per frame, and exchanges of the slowest mode per frame."""
    populations, fluxes = CHAINS[n_states]
    populations = np.array(populations)
    rates = np.zeros((n_states, n_states))
    for (i, j), flux in fluxes.items():
        rates[i, j], rates[j, i] = flux / populations[i], flux / populations[j]
    rates -= np.diag(rates.sum(axis=1))
    values, vectors = np.linalg.eig(rates)
    slowest = np.argsort(-values.real)[1]
    rates /= -values.real[slowest] * SLOWEST
    side = vectors[:, slowest].real > 0
    crossing = (side[:, None] != side) * (populations[:, None] * rates)
    return populations, expm(rates), crossing.sum()


@njit(cache=True)
def simulate(transition, populations, n_frames, n_targets, shared, rng):
    """States (n_frames, n_targets); with probability `shared` all targets use one random number."""
    cumulative = np.empty_like(transition)
    for i in range(len(transition)):
        cumulative[i] = np.cumsum(transition[i])
    start = np.cumsum(populations)
    states = np.empty((n_frames, n_targets), np.int64)
    for t in range(n_frames):
        is_common = rng.random() < shared
        common = rng.random()
        for k in range(n_targets):
            draw = common if is_common else rng.random()
            row = start if t == 0 else cumulative[states[t - 1, k]]
            states[t, k] = min(np.searchsorted(row, draw, side="right"), len(row) - 1)
    return states


def observe(states, n_states, rng):
    """Probabilities (n_frames, n_targets, n_states): the state, mixed with uniform noise."""
    noise = rng.dirichlet(np.ones(n_states), size=states.shape)
    return (1.0 - NOISE) * np.eye(n_states)[states] + NOISE * noise


def exact(n_states):
    """Timescales (frames) and populations of the chain as seen through the noise."""
    populations, transition, _ = make_chain(n_states)
    mean = (1.0 - NOISE) * np.eye(n_states) + NOISE / n_states
    scatter = np.eye(n_states) / n_states - 1.0 / n_states**2
    weighted = mean.T * populations
    c00 = weighted @ mean + NOISE**2 * scatter / (n_states + 1)
    c0t = weighted @ np.linalg.matrix_power(transition, LAGTIME) @ mean
    eigenvalues = np.sort(np.linalg.eigvals(np.linalg.solve(c00, c0t)).real)[::-1]
    return -LAGTIME / np.log(eigenvalues[1:]), populations @ mean


def is_covered(n_states, events, sharing, unit, seed):
    """Which intervals of one data set hold the exact value, and how many units there were."""
    populations, transition, crossings = make_chain(n_states)
    n_independent = N_TARGETS if sharing == "independent" else 1
    n_frames = round(events / crossings / n_independent) + LAGTIME
    rng = np.random.default_rng(seed)
    states = simulate(transition, populations, n_frames, N_TARGETS, SHARED[sharing], rng)
    probs = observe(states, n_states, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewUnitsWarning)
        model = estimate_koopman(probs, LAGTIME, n_bootstrap=200, unit=unit, random_state=seed)
    timescales, seen = exact(n_states)
    return {
        "timescales": _inside(model.timescales_interval(), timescales),
        "populations": _inside(model.populations_interval(), seen),
        "stationary": _inside(model.stationary_distribution_interval(), seen),
        "n_units": model.n_units,
        "unit": model.unit,
    }


def _inside(interval, value):
    return [bool(b) for b in (interval[:, 0] <= value) & (value <= interval[:, 1])]


def run(datasets, n_jobs, unit, path):
    """Run what is missing in `path`; returns all rows of it that belong to `unit`."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(*row["case"], row["seed"]) for row in rows}
    missing = [
        (*case, unit, seed)
        for seed in range(datasets)
        for case in product(CHAINS, EVENTS, SHARED)
        if (*case, unit, seed) not in done
    ]
    with path.open("a") as file, Parallel(n_jobs=n_jobs) as parallel:
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            results = parallel(delayed(is_covered)(*task) for task in batch)
            for task, result in zip(batch, results, strict=True):
                rows.append({"case": list(task[:-1]), "seed": task[-1], **result})
                file.write(json.dumps(rows[-1]) + "\n")
            file.flush()
    return [row for row in rows if row["case"][3] == unit and row["seed"] < datasets]


def table(rows):
    """Coverage of every statistic of every case, and its extremes, as text."""
    cases = defaultdict(list)
    for row in rows:
        cases[tuple(row["case"])].append(row)
    lines = [
        "| states | exchanges | targets | units | sets | timescales | populations | stationary |"
    ]
    lines.append("|---" * 8 + "|")
    single, hits, total = [], 0, 0
    for (n_states, events, sharing, _), group in sorted(cases.items(), key=str):
        cells = []
        for name in ("timescales", "populations", "stationary"):
            covered = np.array([row[name] for row in group])
            rates = covered.mean(axis=0)
            cells.append(" ".join(f"{rate:.3f}" for rate in rates))
            single += rates.tolist()
            hits, total = hits + covered.sum(), total + covered.size
        units = np.median([row["n_units"] for row in group])
        head = f"| {n_states} | {events} | {sharing} | {units:.0f} | {len(group)} | "
        lines.append(head + " | ".join(cells) + " |")
    lines.append(
        f"\nsingle statistics {min(single):.3f} to {max(single):.3f}, pooled {hits / total:.3f}"
    )
    return "\n".join(lines)


def run_short(part, datasets, n_jobs, path, cases=None):
    """Run what is missing of a part about short runs; returns all rows of it."""
    cases = cases_of(part) if cases is None else cases
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(*row["case"], row["seed"]) for row in rows}
    missing = [
        (part, *case, seed)
        for seed in range(datasets)
        for case in cases
        if (part, *case, seed) not in done
    ]
    with path.open("a") as file, Parallel(n_jobs=n_jobs) as parallel:
        for start in range(0, len(missing), n_jobs):
            batch = missing[start : start + n_jobs]
            results = parallel(delayed(one_set)(*task, make_chain, simulate) for task in batch)
            for task, result in zip(batch, results, strict=True):
                rows.append({"case": list(task[:-1]), "seed": task[-1], **result})
                file.write(json.dumps(rows[-1]) + "\n")
            file.flush()
    return [row for row in rows if row["case"][0] == part and row["seed"] < datasets]


def short_table(rows):
    """Coverage of every quantity of every case, and its extremes, as text."""
    names = [name for name in rows[0] if name not in ("case", "seed", "units", "width")]
    lines = [f"| system | exchanges | times | units | sets | {' | '.join(names)} |"]
    lines.append("|---" * (5 + len(names)) + "|")
    cases = defaultdict(list)
    for row in rows:
        cases[tuple(row["case"][1:])].append(row)
    hits = {name: [] for name in names}
    for (system, events, n_times), group in sorted(cases.items()):
        cells = []
        for name in names:
            covered = np.array([row[name] for row in group])
            hits[name] += covered.ravel().tolist()
            cells.append(" ".join(f"{rate:.2f}" for rate in covered.mean(axis=0)))
        units = np.median([row["units"] for row in group])
        head = f"| {system} | {events} | {n_times} | {units:.0f} | {len(group)} | "
        lines.append(head + " | ".join(cells) + " |")
    pooled = ", ".join(f"{name} {np.mean(found):.3f}" for name, found in hits.items())
    return "\n".join([*lines, f"\npooled: {pooled}"])


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", type=int, default=400, help="data sets per case")
    parser.add_argument("--jobs", type=int, default=1, help="parallel processes")
    parser.add_argument("--unit", default="auto", help='resampling unit, for example "chunks"')
    parser.add_argument("--out", type=Path, default=Path("coverage.jsonl"), help="results so far")
    parser.add_argument("--part", choices=["chains", *PARTS], default="chains")
    arguments = parser.parse_args()
    if arguments.part != "chains":
        rows = run_short(arguments.part, arguments.datasets, arguments.jobs, arguments.out)
        print(short_table(rows))
        return
    print(table(run(arguments.datasets, arguments.jobs, arguments.unit, arguments.out)))


if __name__ == "__main__":
    main()
