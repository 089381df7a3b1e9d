"""Random input for every public entry point. ``python -m benchmarks.fuzz --minutes 10``

Arguments of the constructor, the featurizer and the estimator, some replaced by others or by junk;
bytes of models, graphs, checkpoints and trajectory files changed at random; single values of the
headers of well-formed files replaced, checksums and all. What is executed must succeed or end in
an error of the package: a ValueError, TypeError or OSError with a message that a ``raise``
statement of the package raised. Anything else is a failure, and so are a crash, two minutes of
processor time in one execution, and five minutes in which the process neither works nor ends: all
runs in a process of its own. Prints the counts; exits 1 after a failure. Runs on Linux.
"""

import argparse
import json
import os
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks._fuzz_targets import run_one, targets
from benchmarks._mutations import is_failure
from benchmarks._tables import markdown

ROOT = Path(__file__).parents[1]
BLOCK = 40  # executions of one entry point before the next one's turn
HANG_SECONDS = 120.0  # of processor time: what else the machine does is no hang
STALL_SECONDS = 300.0  # without processor time: a deadlock
LOOK_SECONDS = 2.0
MEMORY_BYTES = 16 * 2**30
KINDS = ("ok", "ValueError", "TypeError", "OSError", "failure")


def execute_block(
    strategy: Any, function: Callable[..., None], number: int, last: Path
) -> tuple[Counter, dict[str, str]]:
    """Counts by outcome of some executions, and one example of every kind of failure."""
    counts: Counter = Counter()
    failures: dict[str, str] = {}

    @seed(number)
    @settings(
        max_examples=BLOCK, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def execute(arguments: tuple) -> None:
        last.write_text(repr(arguments))
        result = run_one(function, arguments)
        if is_failure(result):
            failures[_signature(result)] = f"{result}\narguments: {repr(arguments)[:4000]}"
        counts["failure" if is_failure(result) else result] += 1

    execute()
    return counts, failures


def _signature(trace: str) -> str:
    """Where and as what a failure came up: two of the same signature are one."""
    lines = [line.strip() for line in trace.strip().splitlines()]
    places = [line for line in lines if line.startswith("File ")]
    return f"{lines[-1].split(':')[0]} at {places[-1] if places else '?'}"


def work(first: int, last: Path) -> None:
    """Blocks of all entry points in turn, one JSON line each, until killed."""
    torch.set_num_threads(1)
    # parsers in C chat on the standard output
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    entries = targets()
    for number in range(first, sys.maxsize):
        for name, (strategy, function) in entries.items():
            print(json.dumps({"begins": name, "round": number}), file=answers, flush=True)
            counts, failures = execute_block(strategy, function, number, last)
            line = {"name": name, "counts": counts, "failures": failures}
            print(json.dumps(line), file=answers, flush=True)


class Worker:
    """A process that fuzzes, and the lines that it prints."""

    def __init__(self, first: int, last: Path) -> None:
        words = [sys.executable, "-W", "ignore", "-m", "benchmarks.fuzz"]
        words += ["--work", str(first), "--last", str(last)]
        # a killed process leaves its temporary files: in our folder
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(last.parent)},
        )  # fmt: skip
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def next_line(self) -> dict[str, Any] | None:
        """What the process says next; None when it ended, or says nothing for a moment."""
        try:
            line = self.lines.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            return None
        return json.loads(line) if line else None

    def cpu_seconds(self) -> float:
        """Processor time of the process so far, by the clock that Linux has for each."""
        return time.clock_gettime((~self.process.pid << 3) | 2)


class Watch:
    """Tells an execution that does not end from one that the machine leaves no time for."""

    def __init__(self, worker: Worker, last: Path) -> None:
        self.worker, self.last = worker, last
        self.began: float | None = None  # of the execution under way, by the file it writes
        self.cpu_then = self.cpu_before = 0.0
        self.moved = time.monotonic()

    def hangs(self) -> str:
        """What is wrong, in words; empty if nothing is."""
        cpu = self.worker.cpu_seconds()
        began = self.last.stat().st_mtime if self.last.exists() else None
        if began != self.began:
            self.began, self.cpu_then = began, cpu
        if cpu > self.cpu_before + 1e-3:
            self.cpu_before, self.moved = cpu, time.monotonic()
        if cpu - self.cpu_then > HANG_SECONDS:
            return f"no end in {HANG_SECONDS:g} s of processor time"
        if time.monotonic() - self.moved > STALL_SECONDS:
            return f"no work in {STALL_SECONDS:g} s"
        return ""


def fuzz(seconds: float, first: int) -> tuple[dict[str, Counter], dict[str, str]]:
    """Counts of every entry point, and the failures, of fuzzing for so long."""
    counts: dict[str, Counter] = defaultdict(Counter)
    failures: dict[str, str] = {}
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        last = Path(folder) / "last"
        worker, number, name = Worker(first, last), first, "start"
        watch = Watch(worker, last)
        while time.monotonic() < end:
            line = worker.next_line()
            if line is None:
                code = worker.process.poll()
                what = watch.hangs() if code is None else f"crash, exit code {code}"
                if not what:
                    continue
                arguments = last.read_text()[:4000] if last.exists() else ""
                failures[f"{name}: {what}"] = arguments
                counts[name]["failure"] += 1
                print(f"{name}: {what}\narguments: {arguments}", flush=True)
                worker.process.kill()
                worker.process.wait()
                number += 1000
                worker = Worker(number, last)
                watch = Watch(worker, last)
            elif "begins" in line:
                name, number = line["begins"], line["round"]
            else:
                counts[line["name"]].update(line["counts"])
                for signature in set(line["failures"]) - set(failures):
                    print(f"{line['name']}: {line['failures'][signature]}", flush=True)
                failures |= line["failures"]
        worker.process.kill()
        worker.process.wait()
    return counts, failures


def main() -> None:
    """Fuzz and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--last", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        work(options.work, options.last)
        return
    counts, failures = fuzz(60.0 * options.minutes, options.seed)
    rows = [[name, sum(c.values()), *(c[kind] for kind in KINDS)] for name, c in counts.items()]
    totals = ["all", *(sum(row[i] for row in rows) for i in range(1, len(KINDS) + 2))]
    print(markdown(["entry point", "executions", *KINDS], [*rows, totals]))
    if failures:
        print(f"\n{len(failures)} kinds of failures")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
