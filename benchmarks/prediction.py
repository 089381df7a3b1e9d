"""How often intervals of predictions hold the exact value, and predictions on real runs.

``python -m benchmarks.prediction onsager``: walkers in pairs that hop together with a known
probability; 95 % intervals of every self and distinct part, Haven ratio and total, over data sets.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._tables import markdown, resumable
from benchmarks._walkers import BOX, crisp_model, lithium, pair_hoppers
from graphkoopman.transport import onsager_contributions
from graphkoopman.transport._conduction import NERNST_EINSTEIN

Array = NDArray[np.float64]
TEMPERATURE = 500.0  # K
PAIRS: dict[str, dict[str, Any]] = {
    "independent": {"together": 0.0},
    "together from state 0": {"together": 0.1},
    "together from any state": {"together": 0.05, "concerted_from": None},
}


def holds(value: float, interval: Array) -> bool:
    """Whether an interval holds a value."""
    return bool(interval[0] <= value <= interval[1])


def onsager_hits(case: str, n_frames: int, seed: int) -> dict[str, bool]:
    """Which intervals of one data set of eight pairs hold the exact value."""
    pairs = pair_hoppers(n_frames, 8, np.random.default_rng(seed), **PAIRS[case])
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
        hits |= {
            f"self {i}→{j}": holds(self_[i, j], result.self_interval[i, j]),
            f"distinct {i}→{j}": holds(distinct[i, j], result.distinct_interval[i, j]),
            f"Haven {i}→{j}": holds(
                self_[i, j] / (self_[i, j] + distinct[i, j]), result.haven_interval[i, j]
            ),
        }
    total = self_.sum() + distinct.sum()
    hits["Einstein total"] = holds(total, result.einstein_interval)
    hits["Haven total"] = holds(self_.sum() / total, result.total_haven_interval)
    return hits


def coverage_table(
    cases: Sequence[str], hits: Callable[[str, int], dict[str, bool]], n_sets: int, out: Path
) -> str:
    """Markdown table of the share of data sets whose intervals hold the exact value."""
    keys = [(case, seed) for case in cases for seed in range(n_sets)]
    rows = resumable(out, keys, hits)
    names = [name for name in rows[0] if name != "key"]
    body = []
    for case in cases:
        ours = [row for row in rows if row["key"][0] == case]
        shares = [np.mean([row[name] for row in ours]) for name in names if name in ours[0]]
        body.append([case, *(f"{100 * share:.1f}" for share in shares)])
    return markdown(["case, coverage / %", *names], body)


def onsager_table(n_sets: int, out: Path) -> str:
    """Coverage of the parts of conduction, 600 frames each."""
    return coverage_table(
        list(PAIRS), lambda case, seed: onsager_hits(case, 600, seed), n_sets, out
    )


TABLES = {"onsager": onsager_table}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--datasets", type=int, default=200, help="data sets per case (200)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder")
    options = parser.parse_args(arguments)
    for name in options.tables:
        print(f"\n{name}, {options.datasets} data sets\n")
        print(TABLES[name](options.datasets, options.out / f"prediction_{name}.jsonl"))


if __name__ == "__main__":
    main()
