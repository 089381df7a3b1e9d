"""The selection rule on chains of known answer. ``python -m benchmarks.selection``

Three-atom molecules with 2, 3 or 4 visible states and a hidden one: the *gate*, which looks like
state 0. State 0 is left through the gate only, and from the gate a molecule goes to state 1 or back
with equal chances within a few ps, so that what it does next depends on how long it has been there:
short lags have memory. All other exchanges are slower than the longest lag.

What is right follows from the exact chain (``projected_transition_matrix``):

* number of states: the visible ones. Frames are functions of the visible state and of white noise,
  so no function of a frame has a relaxation that is not among the ``n_visible - 1`` of the visible
  states, all of which count at the scoring lag (smallest squared eigenvalue in the table).
* lag: the smallest of the grid at which the exact Chapman-Kolmogorov error is below 1.96 standard
  errors of the same error from true visible labels, the mean over five data sets of this size that
  are not searched. More data make it longer.
  Where no lag passes, the rule returns the longest of the grid; the table counts these.

A search is 4 numbers of states x 5 lags x 4 folds of short fits on one data set.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from benchmarks._tables import markdown, resumable
from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.datasets import Hopping, make_hopping
from graphkoopman.koopman import ck_error
from graphkoopman.lobes import GatedEncoder
from graphkoopman.model_selection import (
    SegmentKFold,
    explain_selection,
    markov_scorer,
    select_markovian,
    time_pieces,
)

LAGS = [1, 2, 4, 8, 16]  # frames of 1 ps
HORIZON = 32
N_STATES = [2, 3, 4, 5]
N_FRAMES, N_TARGETS, N_SPLITS = 3000, 12, 4
N_LABEL_SETS, FIRST_LABEL_SEED = 5, 10_000
GATE_RATE = 0.5  # 1/ps, from the gate to state 1; about as fast back
# visible populations, share of state 0 that is at the gate, ps to find the gate, ps from states
# 2, 3 to state 1
CASES = {
    2: ([0.6, 0.4], 0.014, 80.0, []),
    3: ([0.5, 0.3, 0.2], 0.028, 80.0, [40.0]),
    4: ([0.4, 0.25, 0.2, 0.15], 0.03, 100.0, [70.0, 45.0]),
}


def hidden_gate(n_visible: int) -> tuple[np.ndarray, np.ndarray]:
    """Rate matrix (1/ps) and visible state of each Markov state; the gate is the last."""
    visible, share, to_gate, times = CASES[n_visible]
    gate = n_visible
    populations = np.array([visible[0] * (1.0 - share), *visible[1:], visible[0] * share])
    flux = np.zeros((gate + 1, gate + 1))  # in equilibrium, the same both ways
    flux[0, gate] = populations[0] / to_gate
    flux[gate, 1] = populations[gate] * GATE_RATE
    for state, exit_time in enumerate(times, start=2):
        flux[1, state] = populations[state] / exit_time
    rates = (flux + flux.T) / populations[:, None]
    np.fill_diagonal(rates, -rates.sum(axis=1))
    return rates, np.array([*range(n_visible), 0])


def exact_error(data: Hopping, lagtime: int, times: tuple[int, ...]) -> float:
    """Chapman-Kolmogorov error of the visible states in the limit of infinite data."""
    matrix = data.visible_transition_matrix(lagtime)
    deviations = [
        data.visible_transition_matrix(t) - np.linalg.matrix_power(matrix, t // lagtime)
        for t in times
    ]
    return float(np.mean(np.trace(deviations, axis1=1, axis2=2))) / len(matrix)


def simulate(n_visible: int, seed: int) -> Hopping:
    """One data set of a case."""
    rates, visible = hidden_gate(n_visible)
    return make_hopping(
        rates,
        N_FRAMES,
        n_targets=N_TARGETS,
        molecules=True,
        vibration=0.03,
        visible=visible,
        random_state=seed,
    )


def right_lag(n_visible: int) -> int:
    """Smallest lag of the grid whose exact error hides in the uncertainty of this much data."""
    sets = [simulate(n_visible, FIRST_LABEL_SEED + i) for i in range(N_LABEL_SETS)]
    for lag in LAGS:
        tests = [ck_error(np.eye(n_visible)[data.visible_labels], lag, HORIZON) for data in sets]
        exact = exact_error(sets[0], lag, tests[0].times)
        if exact <= 1.96 * np.mean([test.standard_error for test in tests]):
            return lag
    raise RuntimeError(f"no lag of {LAGS} should pass with {n_visible} states; extend the grid")


def one_search(n_visible: int, seed: int) -> dict[str, Any]:
    """Simulate, search, and compare with the exact chain."""
    data = simulate(n_visible, seed)
    graphs = GraphFeaturizer(n_neighbors=2, n_hops=1).transform([data.trajectory])
    pieces = time_pieces(graphs, N_SPLITS, LAGS[-1], HORIZON)
    search = GridSearchCV(
        GDyNetEstimator(
            encoder=GatedEncoder(n_conv=1),
            max_epochs=20,
            patience=6,
            batch_size=300,
            random_state=seed,
        ),
        {"n_states": N_STATES, "lagtime": LAGS},
        scoring=markov_scorer(HORIZON),
        cv=SegmentKFold(N_SPLITS, gap=1),
        refit=select_markovian,
    )
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(pieces)
    selection = explain_selection(search.cv_results_)
    eigenvalues = np.linalg.eigvals(data.visible_transition_matrix(LAGS[-1])).real
    return {
        "n_states": search.best_params_["n_states"],
        "lagtime": search.best_params_["lagtime"],
        "verdict": selection.verdict,
        "literal": selection.literal,
        "smallest_square": float(np.square(eigenvalues).min()),
        "behind": {c.n_states: [c.behind, c.standard_error] for c in selection.states},
        "ck": {c.lagtime: [c.error, c.half_width] for c in selection.lags},
        "cpu_seconds": time.process_time() - begin,
    }


def steps_apart(lagtime: int, right: int) -> int:
    """Grid steps between two lags."""
    return abs(LAGS.index(lagtime) - LAGS.index(right))


def main() -> None:
    """Run and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="data sets per case (10)")
    parser.add_argument("--states", type=int, nargs="+", default=sorted(CASES), choices=CASES)
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/selection.jsonl"))
    options = parser.parse_args()
    keys = [(n, seed) for seed in range(options.seeds) for n in options.states]
    rows = resumable(options.out, keys, one_search, options.jobs)
    table = []
    for n in options.states:
        case = [row for row in rows if row["key"][0] == n]
        right = right_lag(n)
        literal = [row["literal"] or (0, 0) for row in case]
        table.append(
            [
                n,
                f"{case[0]['smallest_square']:.2f}",
                f"{sum(row['n_states'] == n for row in case)} of {len(case)}",
                f"{sum(steps_apart(row['lagtime'], right) <= 1 for row in case)} of {len(case)}",
                right,
                ", ".join(str(row["lagtime"]) for row in case),
                sum(row["verdict"] != "markovian" for row in case),
                f"{sum(found[0] == n for found in literal)} of {len(case)}",
                ", ".join(f"{a} at {b}" if a else "none" for a, b in literal),
                f"{np.mean([row['cpu_seconds'] for row in case]):.0f}",
            ]
        )
    header = ["visible states", "smallest λ²", "states right", "lag within one step"]
    header += [
        "lags chosen/right",
        "no lag passed",
        "literal rule right",
        "literal: states at lag",
        "CPU s",
    ]
    print(markdown(header, table))


if __name__ == "__main__":
    main()
