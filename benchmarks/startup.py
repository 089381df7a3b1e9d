"""Time until something happens: ``python -m benchmarks.startup``.

CPU-seconds (user and system) of fresh processes: imports, the help of every command, and the first
graphs and the first training step, in a first process that finds no compiled loops on disk and in
a second that does. Files in numba's cache are counted after either. CPU time, since a machine that
is shared stretches the time on the wall; the least of several repeats where nothing is compiled.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks._rows import RESULTS
from benchmarks._tables import markdown

COMMANDS = ("demo", "fit", "select", "analyze", "reproduce", "bench")
IMPORTS = ("graphkoopman", "numpy", "torch", "graphkoopman.estimator")
# graphs of noise in a small cell, and one step of the default network; prints CPU-seconds of both
FIRST_STEP = """
import json, time
import numpy as np
from graphkoopman.graphs import GraphFeaturizer
from graphkoopman.trajectories import Trajectory
from benchmarks.training_step import ours_of

positions = np.random.default_rng(0).uniform(0.0, 12.0, (4, 60, 3))
run = Trajectory(positions, 12.0 * np.eye(3), [3] * 4 + [8] * 56, timestep=1.0, targets=range(4))
begin = time.process_time()
graphs = GraphFeaturizer(n_neighbors=12).transform([run])
middle = time.process_time()
ours_of(graphs, 3, start=False).step()
print(json.dumps({"graphs": middle - begin, "step": time.process_time() - middle}))
"""


def cpu_seconds(arguments: Sequence[str], n_repeats: int = 1) -> float:
    """CPU-seconds of ``python ARGUMENTS`` in a process of its own, the least of some repeats."""
    spent = []
    for _ in range(n_repeats):
        process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"python {' '.join(arguments)} ended with {process.returncode}")
        spent.append(usage.ru_utime + usage.ru_stime)
    return min(spent)


def first_steps(n_processes: int, cache: Path) -> list[dict[str, float]]:
    """First graphs and step of processes one after the other, from an empty cache on.

    Returns
    -------
    list of dict
        CPU-seconds ``graphs`` and ``step``, ``files`` of numba's cache, and how many ``lines`` were
        printed beside the result.
    """
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}
    found = []
    for _ in range(n_processes):
        done = subprocess.run(
            [sys.executable, "-c", FIRST_STEP],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        files = sum(path.is_file() for path in cache.rglob("*"))
        lines = len(done.stderr.splitlines())
        found.append({**json.loads(done.stdout), "files": files, "lines": lines})
    return found


def table(n_repeats: int) -> str:
    """All figures as two Markdown tables."""
    rows = [["python -c pass", cpu_seconds(["-c", "pass"], n_repeats)]]
    rows += [
        [f"import {name}", cpu_seconds(["-c", f"import {name}"], n_repeats)] for name in IMPORTS
    ]
    for command in ((), *((name,) for name in COMMANDS)):
        arguments = [*command, "--help"]
        seconds = cpu_seconds(["-m", "graphkoopman", *arguments], n_repeats)
        rows.append([f"graphkoopman {' '.join(arguments)}", seconds])
    starts = markdown(["process", "CPU / s"], [[name, f"{spent:.2f}"] for name, spent in rows])
    with tempfile.TemporaryDirectory() as folder:
        steps = first_steps(3, Path(folder))
    header = [
        "process",
        "first graphs, CPU / s",
        "first step, CPU / s",
        "cache files",
        "lines said",
    ]
    body = [
        [
            number + 1,
            f"{step['graphs']:.2f}",
            f"{step['step']:.2f}",
            int(step["files"]),
            int(step["lines"]),
        ]
        for number, step in enumerate(steps)
    ]
    return f"{starts}\n\n{markdown(header, body)}"


def main() -> None:
    """Run, print and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    text = table(parser.parse_args().repeats)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "startup.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
