"""Graphs larger than the memory given: ``python -m benchmarks.out_of_core``.

Three processes. The first builds graphs from mapped positions with ``memory_budget``, the second
trains on the mapped graphs, and neither may allocate more than the budget above what it holds after
imports and compilation (RLIMIT_DATA: private memory, whether used or not; mapped files do not
count). The third has no limit and trains on the same graphs in memory. Parameters of both trainings
must be bit-equal, and the graphs of the file those of `build_graphs`. The peak is of anonymous
memory above what was there before, sampled all the time. Linux only.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from benchmarks._rows import Row, report, status
from benchmarks._systems import system
from graphkoopman import GDyNetEstimator, GraphFeaturizer, GraphTrajectory, Trajectory
from graphkoopman.lobes import GatedEncoder

N_NEIGHBORS, N_HOPS = 20, 2
LAG = 10
SAMPLING = 0.002  # s


def mapped_run(folder: Path) -> Trajectory:
    """The trajectory in a folder, positions mapped."""
    first = system("electrolyte", 1).trajectory
    positions = np.load(folder / "positions.npy", mmap_mode="r")
    return Trajectory(positions, first.cell, first.species, timestep=1.0, targets=first.targets)


def featurizer(folder: Path, budget: int | None) -> GraphFeaturizer:
    """Graphs of two hops in the folder, or in memory without a budget."""
    cache = None if budget is None else folder
    return GraphFeaturizer(
        n_neighbors=N_NEIGHBORS, n_hops=N_HOPS, cache_dir=cache, memory_budget=budget
    )


def fit(graphs: GraphTrajectory, n_epochs: int) -> dict[str, np.ndarray]:
    """Parameters after a few epochs."""
    estimator = GDyNetEstimator(
        2,
        LAG,
        encoder=GatedEncoder(n_conv=N_HOPS),
        max_epochs=n_epochs,
        batch_size=200,
        chunk_size=20,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(graphs)
    return {name: value.numpy() for name, value in estimator.lobe_.state_dict().items()}


def build_within(folder: Path, budget: int, _: int) -> dict[str, Any]:
    """Write the graph file."""
    run = mapped_run(folder)
    featurizer(folder / "first", budget).transform(run[:3])  # compiles
    return _measured(lambda: featurizer(folder / "graphs", budget).transform(run), budget)


def train_within(folder: Path, budget: int, n_epochs: int) -> dict[str, Any]:
    """Train on the mapped graph file."""
    graphs = GraphTrajectory.load(_graph_file(folder), mmap=True)
    fit(graphs[:200], 1)  # compiles
    return _measured(lambda: _save(folder / "mapped.npz", fit(graphs, n_epochs)), budget)


def train_in_memory(folder: Path, _: int, n_epochs: int) -> dict[str, Any]:
    """Build and train in memory."""
    run = mapped_run(folder)
    (first,) = featurizer(folder, None).transform(run[:200])
    fit(first, 1)  # compiles

    def both() -> None:
        (graphs,) = featurizer(folder, None).transform(run)
        _save(folder / "memory.npz", fit(graphs, n_epochs))
        stored = GraphTrajectory.load(_graph_file(folder), mmap=True)
        (folder / "same.json").write_text(json.dumps(graphs.digest() == stored.digest()))

    return _measured(both, None)


def _graph_file(folder: Path) -> Path:
    (path,) = (folder / "graphs").glob("*.graphs")
    return path


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]


def _measured(call: Callable[[], Any], limit: int | None) -> dict[str, Any]:
    """Seconds and peak anonymous memory of a call that may allocate ``limit`` bytes."""
    if limit is not None:
        allowed = int(status("VmData")) + limit
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
    before = peak = status("RssAnon")
    done = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not done.wait(SAMPLING):
            peak = max(peak, status("RssAnon"))

    sampler = threading.Thread(target=sample)
    sampler.start()
    begin = time.perf_counter()
    try:
        call()
    finally:
        done.set()
        sampler.join()
    return {"seconds": time.perf_counter() - begin, "peak": peak - before}


def in_process(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Result of a function in a fresh process of one thread."""
    with multiprocessing.get_context("spawn").Pool(1, torch.set_num_threads, (1,)) as pool:
        return pool.apply(function, arguments)


def rows(n_frames: int, n_epochs: int, over_budget: float = 3.0) -> list[Row]:
    """Memory and time in and out of core.

    Parameters
    ----------
    n_frames, n_epochs : int
    over_budget : float
        Bytes of graphs over bytes of the budget.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "positions.npy", system("electrolyte", n_frames).trajectory.positions)
        (sample,) = featurizer(folder, None).transform(mapped_run(folder)[:10])
        size = sample.nbytes / 10 * n_frames
        budget = int(size / over_budget)
        stages = {
            stage.__name__: in_process(stage, folder, budget, n_epochs)
            for stage in (build_within, train_within, train_in_memory)
        }
        with np.load(folder / "mapped.npz") as mapped, np.load(folder / "memory.npz") as memory:
            same = all(np.array_equal(mapped[name], memory[name]) for name in memory)
        same_graphs = json.loads((folder / "same.json").read_text())
        size = _graph_file(folder).stat().st_size
    whole = stages["train_in_memory"]
    return [
        Row(
            "out of core",
            f"electrolyte, n_hops={N_HOPS}, {n_frames} frames",
            "in memory",
            [whole["peak"] / stages[stage]["peak"]],
            agrees,
            {
                "stage": text,
                "graphs / MiB": size / 2**20,
                "limit": budget / 2**20,
                "peak": stages[stage]["peak"] / 2**20,
                "peak in memory": whole["peak"] / 2**20,
                "seconds": stages[stage]["seconds"],
                "seconds of both in memory": whole["seconds"],
            },
        )
        for stage, text, agrees in (
            ("build_within", "graphs", same_graphs),
            ("train_within", f"{n_epochs} epochs", same),
        )
    ]


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=12_000)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    report("out_of_core", rows(options.frames, options.epochs))


if __name__ == "__main__":
    main()
