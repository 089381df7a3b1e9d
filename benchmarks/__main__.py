"""All rows of speed and memory in one table: ``python -m benchmarks``.

Graph building against libraries, training steps against plain PyTorch, exponents of the cost, time
to solution on the toy system, memory of whole-trajectory steps, graphs larger than memory. Results
are kept as ``speed.json`` and ``speed.md`` after every part. ``--quick`` takes small sizes, for a
look rather than for figures to quote; the parts have commands of their own (see the README here).
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks import memory, neighbors, out_of_core, scaling, success, training_step
from benchmarks._rows import RESULTS, Row, report
from benchmarks._systems import SYSTEMS

QUICK_SHARE = 0.1  # of the pairs of a step
Part = Callable[[], list[Row]]


def solution_rows(n_seeds: int) -> list[Row]:
    """CPU time of default fits of the toy system, against the plain way to train the network.

    The same result is that of the site labels: the row agrees where all default fits do.
    """
    ours, plain = (
        [success.one_fit("toy", recipe, 1, seed) for seed in range(n_seeds)]
        for recipe in ("default", "plain")
    )
    ratios = [b["cpu_seconds"] / a["cpu_seconds"] for a, b in zip(ours, plain, strict=True)]
    details = {
        "CPU s": " ".join(f"{row['cpu_seconds']:.3g}" for row in ours),
        "plain": " ".join(f"{row['cpu_seconds']:.3g}" for row in plain),
        "plain fits that found it": f"{sum(map(success.succeeded, plain))} of {n_seeds}",
    }
    found = all(map(success.succeeded, ours))
    return [Row("time to solution", "toy", "plain recipe", ratios, found, details)]


def parts(quick: bool, n_repeats: int, systems: Sequence[str]) -> dict[str, Part]:
    """What `main` runs, by name."""
    if quick:
        return {
            "neighbors": partial(neighbors.rows, n_repeats, systems),
            "step": partial(training_step.rows, n_repeats, systems, QUICK_SHARE),
            "scaling": partial(scaling.quick_rows, n_repeats),
            "solution": partial(solution_rows, 1),
            "memory": partial(memory.step_rows, (200, 600)),
            "out-of-core": partial(out_of_core.rows, 1000, 1),
        }
    return {
        "neighbors": partial(neighbors.rows, n_repeats, systems),
        "step": partial(training_step.rows, n_repeats, systems),
        "scaling": partial(scaling.rows, n_repeats),
        "solution": partial(solution_rows, n_repeats),
        "memory": memory.step_rows,
        "out-of-core": partial(out_of_core.rows, 12_000, 2),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print the table."""
    names = list(parts(False, 1, ()))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--repeats", type=int, help="5, or 2 with --quick")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--parts", nargs="+", choices=names, default=names)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    n_repeats = options.repeats or (2 if options.quick else 5)
    found: list[Row] = []
    for name, part in parts(options.quick, n_repeats, options.systems).items():
        if name not in options.parts:
            continue
        begin = time.perf_counter()
        found += part()
        print(f"\n{name}: {time.perf_counter() - begin:.0f} s\n", flush=True)
        report("speed", found, options.out)


if __name__ == "__main__":
    main()
