"""This code against that of a commit, in turn in one run: ``python -m benchmarks.before COMMIT``

Tables of two days tell little of what a change has cost, since ratios on one machine differ by a
third from day to day. Here a process of each side stays, both are asked in turn for the same search
and the same training step, and every ratio is of two neighbouring calls. Each side runs its own
benchmarks of neighbours and steps; peaks of a step are of processes of their own, the least of
three. "Edges" are those of a step, which differ where a side takes whole shells.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks._commits import ROOT, extract
from benchmarks._rows import Row, report
from benchmarks._systems import SYSTEMS
from benchmarks.training_step import CASES

# of either side, so that it takes no name that only one of them has
WORKER = """
import ctypes, json, sys, time
import torch
from benchmarks import training_step
from benchmarks._rows import peak_memory
from benchmarks._systems import system
from benchmarks.neighbors import TOY_CALLS, ours

mmap_threshold, large_array = -3, 2**16  # as `peak_memory` does, but did not at all times
ctypes.CDLL(None).mallopt(mmap_threshold, large_array)

PAIRS = {(name, n_conv): n_pairs for name, n_conv, n_pairs in training_step.CASES}

def search(name):
    call = ours(system(name, 1))
    def run():
        for _ in range(TOY_CALLS if name == "toy" else 1):
            call()
    return run, round(float(call().sum(dtype="f8")), 2)

def step(name, n_conv):
    side = training_step.ours(system(name, PAIRS[name, n_conv] + training_step.LAG), n_conv)
    samples = getattr(side.data, "samples", None) or side.data.graphs
    return side.step, sum(len(graphs.distances) for graphs in samples)

def peak(name, n_conv):
    arguments = training_step._our_step, name, n_conv, PAIRS[name, n_conv]
    return min(peak_memory(*arguments) for _ in range(3))

if __name__ == "__main__":
    torch.set_num_threads(1)
    call = None
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        if what == "run":
            begin = time.process_time()
            call()
            answer = time.process_time() - begin
        elif what == "peak":
            answer = peak(*arguments)
        else:
            call, answer = {"search": search, "step": step}[what](*arguments)
            call()
        print(json.dumps(answer), flush=True)
"""


class Side:
    """A process that runs the benchmarks of one checkout.

    Parameters
    ----------
    root : Path
        Folder with ``graphkoopman`` and ``benchmarks``.
    worker : Path
        File of `WORKER`; a file, so that its processes for memory find it.
    """

    def __init__(self, root: Path, worker: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(worker)], env=environment, cwd=root, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def ask(self, *question: Any) -> Any:
        """Answer of the process to a line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process ended at {question}; its error is above")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def compared(
    before: Side, now: Side, commit: str, n_repeats: int, question: Sequence[Any]
) -> list[Row]:
    """Speed, and of a step its peak."""
    what, *rest = question
    label = ", n_conv=".join(map(str, rest))
    counts = [side.ask(*question) for side in (before, now)]
    pairs = [(before.ask("run"), now.ask("run")) for _ in range(n_repeats)]
    ratios = [old / new for old, new in pairs]
    if what == "search":
        return [Row("neighbours, all atoms", label, commit, ratios, counts[0] == counts[1])]
    details = dict(zip((f"edges of {commit}", "edges"), counts, strict=True))
    old, new = (side.ask("peak", *rest) for side in (before, now))
    memory = {"MiB": new / 2**20, commit: old / 2**20}
    return [
        Row("step", label, commit, ratios, None, details),
        Row("step memory", label, commit, [old / new], None, memory),
    ]


def rows(commit: str, n_repeats: int) -> list[Row]:
    """All rows of speed and memory."""
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        extract(commit, folder / "before", "graphkoopman", "benchmarks")
        worker = folder / "worker.py"
        worker.write_text(WORKER)
        questions = [
            *(("search", name) for name in SYSTEMS),
            *(("step", *case[:2]) for case in CASES),
        ]
        with closing(Side(folder / "before", worker)) as before, closing(Side(ROOT, worker)) as now:
            for question in questions:
                found += compared(before, now, commit, n_repeats, question)
    return found


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit")
    parser.add_argument("--repeats", type=int, default=21)
    options = parser.parse_args()
    report("before", rows(options.commit, options.repeats))


if __name__ == "__main__":
    main()
