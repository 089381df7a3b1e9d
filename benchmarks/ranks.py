"""Several processes that train as one: speed, bytes, and what a killed one leaves.

``python -m benchmarks.ranks scaling`` times steps of one process and of two, of one thread each, in
turn in one run: the same data (strong), and twice the data (weak). Efficiency is the time that two
processes would take if sums cost nothing, over the time that they take. Bytes handed to sums are
counted and compared with the formula. Needs two idle processors, and about a minute.

``python -m benchmarks.ranks model`` fits the time of a step to frames, targets, neighbours, layers
and ranks (1, 2 and 4), and prints what the model says of an epoch over a million frames of 10⁵
atoms on 64 ranks. About a minute.

``python -m benchmarks.ranks fits`` compares whole fits with the settings of a fit by itself on one,
two and four ranks, none of which cut a run: the timescales of their models have to agree to a
thousandth. About two minutes.

``python -m benchmarks.ranks kill`` kills one of two ranks at random moments of a fit: the other one
has to end with one error, nothing partial may be left, and one process goes on to the same held-out
score. About a minute per kill.
"""

import argparse
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls
from torch import distributed

from benchmarks._systems import system
from benchmarks._tables import markdown
from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.cli._timing import spread_text
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.lobes import GatedEncoder, build_lobe
from graphkoopman.ranks import ALONE, RankError, Reducer, joined
from graphkoopman.storage import read_arrays
from graphkoopman.training import (
    CHECKPOINT,
    SampleData,
    backward_score,
    sample_batch,
    share_runs,
)

ROOT = Path(__file__).parents[1]
N_STATES, EPSILON, LAG = 3, 1e-6, 1
# system, frames of a rank: together about as many edges as batch_size="auto" takes for two ranks,
# and four times as many
CASES = [("electrolyte", 8), ("electrolyte", 32), ("interface", 40), ("interface", 160)]
ENOUGH = 0.85
# What nobody has measured is predicted for: frames, targets and edges of all layers per frame, of
# 10⁵ atoms with 1000 targets whose fields reach nearly all; sums of a step and seconds of each over
# a network; seconds per edge on an H100, both passes, as in the table of benchmarks.device.
FAR = (1_000_000, 1000, 6e6)
SUMS, LATENCY = 3, 1e-4
GPU_PER_EDGE = (3.99e-3 + 0.666e-3) / 12_368_084
BEGUN = "training"
PARTS = ("scaling", "model", "fits", "kill")
LENGTHS = (400, 150, 250, 120, 300)  # frames of the runs of whole fits
SHARES = {1: (5,), 2: (1, 4), 4: (2, 0, 1, 2)}  # runs of every rank
ALIKE = 1e-3


class Step:
    """A training step on the data of one process, or of a group."""

    def __init__(
        self, runs: Sequence[Any], reducer: Reducer, n_conv: int = 3, n_states: int = N_STATES
    ) -> None:
        shared = share_runs(runs, reducer)
        species = np.unique(np.concatenate([run.species for run in shared]))
        rows: list[Any] = []
        for run in shared:
            pieces = [run] if reducer.size == 1 else [piece.samples for piece in run.pieces]
            index = [None if p is None else np.searchsorted(species, p.species) for p in pieces]
            rows.append(index[0] if reducer.size == 1 else index)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.lobe = build_lobe(species, n_states, encoder=GatedEncoder(n_conv=n_conv))
        self.reducer = reducer
        self.data = SampleData(shared, rows, n_conv, None, torch.device("cpu"), reducer)
        blocks = [(i, 0, len(run)) for i, run in enumerate(shared)]
        self.batch = sample_batch(blocks, shared, LAG, None, None)
        self.optimizer = torch.optim.Adam(self.lobe.parameters(), lr=1e-3)

    def __call__(self) -> float:
        self.lobe.zero_grad()
        score = backward_score(self.lobe, self.data, self.batch, score="VAMP2", epsilon=EPSILON)
        self.optimizer.step()
        return score

    @property
    def formula(self) -> int:
        """Bytes of the moments of k states, 3k² + 2k numbers in two, and of the gradient."""
        n_parameters = sum(p.numel() for p in self.lobe.parameters() if p.requires_grad)
        return 8 * (2 * (3 * N_STATES**2 + 2 * N_STATES) + n_parameters)


def graphs_of(name: str, n_frames: int, **settings: Any) -> list[Any]:
    """Graphs of a system of the speed benchmarks; every call is a run of its own."""
    n_conv, n_neighbors = settings.pop("n_conv", 3), settings.pop("n_neighbors", None)
    this = system(name, n_frames, **settings)
    k = n_neighbors or this.n_neighbors
    return GraphFeaturizer(n_neighbors=k, n_hops=n_conv).transform(this.trajectory)


def timed(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def in_group(size: int, name: str, *arguments: Any) -> list[Any]:
    """Results of a function of this module in every process of a gloo group."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "call.pickle").write_bytes(pickle.dumps((name, arguments)))
        words = [sys.executable, "-m", "benchmarks.ranks", "--rank"]
        processes = [
            subprocess.Popen([*words, str(rank), str(size), folder], cwd=ROOT, env=one_thread())
            for rank in range(size)
        ]
        codes = [process.wait() for process in processes]
        if any(codes):
            raise RuntimeError("a process of the group has failed")
        return [pickle.loads((Path(folder) / f"{r}.pickle").read_bytes()) for r in range(size)]


def one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def join_group(rank: int, size: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=size,
        timeout=timedelta(minutes=10),
    )


def step_times(n_repeats: int, name: str, n_frames: int) -> dict[str, Any]:
    """Seconds of steps of this rank's data alone, of all data alone, and of all data shared.

    The sides take turns. Steps of one process are those of rank 0, while the others wait; "beside"
    are steps of every rank's own data at the same time, without any sum: what processors and
    memory lose when both are busy.
    """
    rank, size = distributed.get_rank(), distributed.get_world_size()
    own = graphs_of(name, n_frames)
    with joined() as reducer:
        shared = Step(own, reducer)
        alone = {"half": Step(own, ALONE), "all": Step([*own] * size, ALONE)}
        seconds: dict[str, list[float]] = {"half": [], "all": [], "beside": [], "shared": []}
        sent = 0
        for repeat in range(n_repeats + 1):  # the first one compiles
            for side, step in alone.items():
                if rank == 0:
                    seconds[side].append(timed(step))
                reducer.gather(None)  # wait for it
            seconds["beside"].append(max(reducer.gather(timed(alone["half"]))))
            before = reducer.bytes_added
            seconds["shared"].append(timed(shared))
            sent = reducer.bytes_added - before
            if repeat == 0:
                seconds = {side: [] for side in seconds}
        return {"seconds": seconds, "sent": sent, "formula": shared.formula}


def scaling(n_repeats: int) -> bool:
    """Print the table of efficiencies; whether all are as wanted."""
    rows, well = [], True
    for name, n_frames in CASES:
        first, *_ = in_group(2, "step_times", n_repeats, name, n_frames)
        spent = {side: np.array(values) for side, values in first["seconds"].items()}
        strong = spent["all"] / (2.0 * spent["shared"])
        weak = spent["half"] / spent["shared"]
        beside = spent["half"] / spent["beside"]
        exact = first["sent"] == first["formula"]
        well &= bool(min(np.median(strong), np.median(weak)) >= ENOUGH) and exact
        rows.append(
            [
                name,
                2 * n_frames,
                f"{1e3 * np.median(spent['all']):.0f}",
                f"{1e3 * np.median(spent['shared']):.0f}",
                spread_text(strong),
                spread_text(weak),
                spread_text(beside),
                first["sent"],
                "yes" if exact else f"no, {first['formula']}",
            ]
        )
    header = ["system", "frames", "ms, one process", "ms, two", "strong", "weak"]
    header += ["weak without sums", "bytes"]
    print(markdown([*header, "as the formula"], rows))
    return well


def model_times(n_repeats: int, cases: Sequence[tuple[int, int, int, int]]) -> list[list[float]]:
    """Median seconds of shared steps, and of their sums alone, of some cases."""
    with joined() as reducer:
        found = []
        for n_frames, n_targets, n_neighbors, n_conv in cases:
            runs = graphs_of(
                "electrolyte",
                n_frames,
                n_targets=n_targets,
                n_neighbors=n_neighbors,
                n_conv=n_conv,
            )
            step = Step(runs, reducer, n_conv)
            step()
            seconds = [timed(step) for _ in range(n_repeats)]
            n_parameters = sum(p.numel() for p in step.lobe.parameters())
            gradient = torch.zeros(n_parameters, dtype=torch.float64)
            moments = torch.zeros(2, 3 * N_STATES + 2, N_STATES, dtype=torch.float64)

            def sums(moments: torch.Tensor = moments, gradient: torch.Tensor = gradient) -> None:
                reducer.add(moments, gradient)

            latency = float(np.median([timed(sums) for _ in range(20)]))
            work = n_frames * layer_edges(runs[0])
            rows = n_frames * n_targets
            found.append([float(np.median(seconds)), latency, work, rows])
        return found


def layer_edges(graphs: Any) -> float:
    """Edges of all convolutions of a frame: layer l of n needs atoms within n - l hops."""
    per_hop = graphs.hop_counts[:, :-1].mean(axis=0)
    degree = len(graphs.distances) / graphs.hop_counts[:, -2].sum()
    return float(per_hop.sum() * degree)


# frames of a rank, targets, M, n_conv
MODEL_CASES = [
    (4, 50, 20, 3),
    (8, 50, 20, 3),
    (8, 20, 20, 3),
    (8, 50, 12, 3),
    (8, 50, 20, 2),
    (8, 50, 20, 1),
]


def model(n_repeats: int) -> None:
    """Fit and print the model of the time of a step."""
    by_size = {size: in_group(size, "model_times", n_repeats, MODEL_CASES) for size in (1, 2, 4)}
    alone = np.array(by_size[1][0])
    columns = np.column_stack([alone[:, 2], alone[:, 3], np.ones(len(alone))])
    # relative errors count
    weights = 1.0 / alone[:, 0]
    (per_edge, per_row, fixed), _ = nnls(columns * weights[:, None], np.ones(len(alone)))
    print(
        f"one process: {1e9 * per_edge:.1f} ns per edge of a layer, {1e6 * per_row:.2f} µs per "
        f"target and frame, {1e3 * fixed:.2f} ms per step"
    )
    rows = []
    for size, results in by_size.items():
        for case, (seconds, latency, work, n_rows) in zip(MODEL_CASES, results[0], strict=True):
            said = per_edge * work + per_row * n_rows + fixed + (latency if size > 1 else 0.0)
            label = [*case, size, f"{1e3 * seconds:.1f}", f"{1e3 * said:.1f}"]
            rows.append([*label, f"{1e3 * latency:.2f}" if size > 1 else "-"])
    header = ["frames of a rank", "targets", "M", "n_conv", "ranks", "ms", "model", "sums"]
    print(markdown(header, rows))
    print()
    print(prediction(per_edge, per_row))


def prediction(per_edge: float, per_row: float) -> str:
    """Hours of an epoch over `FAR` on many ranks, of processors like this one and of GPUs."""
    frames, targets, edges = FAR
    rows = []
    for kind, of_edge, of_row in (
        ("thread like this one", per_edge, per_row),
        ("H100", GPU_PER_EDGE, 0.0),
    ):
        for size in (1, 64):
            work = frames * (of_edge * edges + of_row * targets) / size
            sums = frames / size * SUMS * LATENCY if size > 1 else 0.0
            rows.append([kind, size, f"{work / 3600:.3g}", f"{sums / 3600:.2g}"])
    return markdown(["rank", "ranks", "hours of work", "hours of sums, one frame a step"], rows)


def whole_fit() -> dict[str, np.ndarray]:
    """Timescales and weights of a fit on whole runs, with the settings that it has by itself."""
    own = SHARES[distributed.get_world_size()]
    first = sum(own[: distributed.get_rank()])
    chain = chain_rates(N_STATES, slowest=20.0)
    data = [make_hopping(chain, n, random_state=i) for i, n in enumerate(LENGTHS)]
    graphs = GraphFeaturizer(n_neighbors=8, n_hops=2).fit_transform([d.trajectory for d in data])
    runs = [run.of_run(f"run {i}") for i, run in enumerate(graphs)]
    estimator = GDyNetEstimator(N_STATES, 5, encoder=GatedEncoder(n_conv=2), random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(runs[first : first + own[distributed.get_rank()]])
    weights = torch.nn.utils.parameters_to_vector(estimator.lobe_.parameters())
    return {"timescales": estimator.model_.timescales(), "weights": weights.detach().numpy()}


def fits() -> bool:
    """Print the timescales of fits on several numbers of ranks; whether they are alike."""
    found = {size: in_group(size, "whole_fit")[0] for size in SHARES}
    rows, well = [], True
    for size, runs in SHARES.items():
        apart = {
            key: np.abs(value - found[1][key]).max() / np.abs(found[1][key]).max()
            for key, value in found[size].items()
        }
        well &= bool(apart["timescales"] <= ALIKE)
        times = ", ".join(f"{time:.6f}" for time in found[size]["timescales"])
        shares = " + ".join(map(str, runs))
        rows.append([size, shares, times, f"{apart['timescales']:.1g}", f"{apart['weights']:.1g}"])
    header = ["ranks", "runs", "timescales / frames", "apart", "weights apart"]
    print(markdown(header, rows))
    return well


def fit(folder: Path, n_frames: int, max_epochs: int) -> None:
    """Fit the share of this rank; print when training begins, then the held-out score."""
    several = distributed.is_initialized()
    data = make_hopping(chain_rates(3, slowest=20.0), n_frames, random_state=0)
    graphs = GraphFeaturizer(n_neighbors=8, n_hops=2).fit_transform(data.trajectory)
    (run,) = (item.of_run("run") for item in graphs)
    half = n_frames // 2
    own = [run] if not several else [run[:half] if distributed.get_rank() == 0 else run[half:]]
    estimator = GDyNetEstimator(
        3,
        5,
        encoder=GatedEncoder(n_conv=2),
        max_epochs=max_epochs,
        n_init=2,
        checkpoint_dir=folder,
        random_state=0,
    )
    print(BEGUN, flush=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(own)
    print(estimator.validation_score_, flush=True)


def started(folder: Path, size: int, options: argparse.Namespace) -> list[subprocess.Popen]:
    """Fits of all ranks, each of which has begun."""
    words = [sys.executable, "-m", "benchmarks.ranks", "--fit", str(folder)]
    words += ["--frames", str(options.frames), "--epochs", str(options.epochs)]
    store = tempfile.mkdtemp()
    processes = []
    for rank in range(size):
        group = ["--rank", str(rank), str(size), store] if size > 1 else []
        processes.append(
            subprocess.Popen(
                [*words, *group],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env=one_thread(),
            )
        )
    for process in processes:
        if process.stdout is None or process.stdout.readline().strip() != BEGUN:
            raise RuntimeError("a fit ended before it began")
    return processes


def kill(options: argparse.Namespace) -> bool:
    """Print what is left after kills; whether all is as wanted."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        ends = [process.communicate() for process in started(Path(folder), 2, options)]
        seconds = time.perf_counter() - begin
    expected = float(ends[0][0])
    print(f"left alone: {seconds:.1f} s, held-out VAMP-2 {expected:.6f}", flush=True)
    rng = np.random.default_rng(options.seed)
    rows, well = [], True
    while len(rows) < options.kills:
        delay, killed = rng.uniform(0.0, seconds), int(rng.integers(2))
        with tempfile.TemporaryDirectory() as folder:
            ranks = started(Path(folder), 2, options)
            time.sleep(delay)
            ranks[killed].send_signal(signal.SIGKILL)
            begin = time.perf_counter()
            printed, said = ranks[1 - killed].communicate(timeout=120)
            ranks[killed].communicate()
            waited = time.perf_counter() - begin
            if printed.strip():  # the score: nothing was left to be summed when the other died
                seconds = delay
                continue
            errors = said.count("RankError")
            checkpoint = Path(folder) / "checkpoint.safetensors"
            if checkpoint.exists():
                read_arrays(checkpoint, CHECKPOINT)  # raises unless it is whole
            partial = len(list(Path(folder).glob(".*.partial")))
            (again,) = started(Path(folder), 1, options)
            score = float(again.communicate()[0])
        ok = errors == 1 and waited < 60.0 and abs(score - expected) < 1e-2
        well &= ok and partial == 0
        rows.append([killed, f"{delay:.1f}", f"{waited:.1f}", errors, partial, f"{score:.6f}"])
        print(rows[-1], flush=True)
    header = ["killed", "after / s", "other ended after / s", "errors", "partial files", "score"]
    print(markdown(header, rows))
    return well


def main() -> None:
    """Run a part and print its table; exit 1 unless it is as wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=PARTS, default="scaling")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--frames", type=int, default=1200)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fit", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rank", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank is not None:
        join_group(int(options.rank[0]), int(options.rank[1]), options.rank[2])
    if options.fit is not None:
        torch.set_num_threads(1)
        try:
            fit(options.fit, options.frames, options.epochs)
        except RankError as error:
            raise SystemExit(f"RankError: {error}") from None
        return
    if options.rank is not None:
        folder = Path(options.rank[2])
        name, arguments = pickle.loads((folder / "call.pickle").read_bytes())
        functions = {"step_times": step_times, "model_times": model_times, "whole_fit": whole_fit}
        found = functions[name](*arguments)
        (folder / f"{options.rank[0]}.pickle").write_bytes(pickle.dumps(found))
        distributed.destroy_process_group()
        return
    if options.part == "model":
        model(options.repeats)
        return
    parts: dict[str, Callable[[], bool]] = {
        "scaling": lambda: scaling(options.repeats),
        "fits": fits,
        "kill": lambda: kill(options),
    }
    if not parts[options.part]():
        raise SystemExit(1)


if __name__ == "__main__":
    main()
