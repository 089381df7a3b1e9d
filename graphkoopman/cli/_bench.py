"""``graphkoopman bench``: how fast graphs and training steps are on this machine."""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkoopman.cli._analysis import table
from graphkoopman.cli._console import Console
from graphkoopman.cli._folder import check_file
from graphkoopman.cli._input import featurizer_of, read_inputs
from graphkoopman.cli._record import Recorder, input_paths
from graphkoopman.cli._timing import alternate, spread, spread_text
from graphkoopman.datasets import simulate_li_fcc
from graphkoopman.graphs import GraphFeaturizer, GraphTrajectory
from graphkoopman.lobes import GatedEncoder, build_lobe
from graphkoopman.samples import Batch
from graphkoopman.storage import replacing
from graphkoopman.training import SampleData, all_frames, backward_score, evaluate, sample_batch
from graphkoopman.trajectories import Trajectory

GAS_ATOMS, GAS_TARGETS, GAS_EDGE, GAS_STEP = 1000, 50, 27.0, 0.05  # edge and step in Å
N_STATES = 3
EPSILON = 1e-3  # of the score: a network without training has nearly equal outputs
STEP_EDGES = 400_000  # of a step: the plain convolutions take about 1 kB for each
TOLERANCE = 1e-5  # of probabilities in float32


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    for name, least in (("frames", 2), ("convolutions", 1), ("repeats", 1), ("threads", 1)):
        if getattr(options, name) < least:
            raise ValueError(f"--{name} must be at least {least}, got {getattr(options, name)}")
    console: Console = options.console
    if options.out is not None:
        check_file(options.out, options.overwrite)
    recorder = Recorder(options, options.arguments)
    featurizer = featurizer_of(options, n_hops=options.convolutions)
    results = {}
    with _threads(options.threads):
        for name, trajectory in _trajectories(options):
            results[name] = measure(trajectory[: options.frames], featurizer, options.repeats)
    _say(console, results, options.threads)
    if options.out is not None:
        recorder.inputs(input_paths(options))
        with replacing(options.out) as file:
            file.write((json.dumps(results, indent=1) + "\n").encode())
        recorder.write_beside(options.out, console)
    console.summary = dict(results)
    return 0


def measure(trajectory: Trajectory, featurizer: GraphFeaturizer, n_repeats: int) -> dict[str, Any]:
    """Speed of graphs and of training steps on one trajectory.

    Parameters
    ----------
    trajectory : Trajectory
        Of at least two frames.
    featurizer : GraphFeaturizer
    n_repeats : int

    Returns
    -------
    dict
        ``graphs_per_cpu_second``, ``pairs_per_cpu_second``, ``plain_pairs_per_cpu_second`` and
        ``ratio``, [minimum, median, maximum] each; ``difference`` of probabilities, ``same``.
    """
    if len(trajectory) < 2:
        raise ValueError("trajectories must have at least two frames, got one; give a longer run")
    (graphs,) = featurizer.transform(trajectory)
    building = alternate({"": lambda: featurizer.transform(trajectory)}, n_repeats)[""]
    edges = max(1.0, len(graphs.distances) / len(graphs))
    graphs = graphs[: int(np.clip(STEP_EDGES / edges, 2, len(graphs)))]
    steps, difference = _steps(graphs, featurizer.n_hops)
    seconds = alternate(steps, n_repeats)
    n_pairs = len(graphs) - 1
    figures = {
        "graphs_per_cpu_second": len(trajectory) / building,
        "pairs_per_cpu_second": n_pairs / seconds["compiled"],
        "plain_pairs_per_cpu_second": n_pairs / seconds["plain"],
        "ratio": seconds["plain"] / seconds["compiled"],
    }
    return {name: list(spread(values)) for name, values in figures.items()} | {
        "frames": len(trajectory),
        "atoms": trajectory.n_atoms,
        "targets": graphs.n_targets,
        "edges_per_frame": edges,
        "difference": difference,
        "same": difference < TOLERANCE,
    }


def _steps(graphs: GraphTrajectory, n_conv: int) -> tuple[dict[str, Callable[[], float]], float]:
    """A step of the compiled and of the plain convolutions, and how far their outputs differ."""
    species = np.unique(graphs.species)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        lobe = build_lobe(species, N_STATES, encoder=GatedEncoder(n_conv=n_conv))
    index = [np.searchsorted(species, graphs.species)]
    data = SampleData([graphs], index, n_conv, len(graphs), torch.device("cpu"))
    batch = sample_batch([(0, 0, len(graphs))], [graphs], 1, None, None)
    functions: dict[str, Callable[[Batch], Tensor]] = {
        "compiled": lobe,
        "plain": partial(lobe, reference=True),
    }
    outputs = [evaluate(data, all_frames(0, len(graphs)), f) for f in functions.values()]

    def step(function: Callable[[Batch], Tensor]) -> float:
        lobe.zero_grad()
        return backward_score(function, data, batch, score="VAMP2", epsilon=EPSILON)

    steps: dict[str, Callable[[], float]] = {
        name: partial(step, function) for name, function in functions.items()
    }
    return steps, float((outputs[0] - outputs[1]).abs().max())


def _trajectories(options: argparse.Namespace) -> Iterator[tuple[str, Trajectory]]:
    """Names and trajectories, those of the package with targets of their own."""
    if options.trajectories:
        trajectories = read_inputs(options)
        yield from zip(options.runs, trajectories, strict=True)
        return
    if options.targets is not None:
        raise ValueError("--targets needs trajectories, got none; give files or leave it out")
    if "toy" in options.system:
        yield "toy", simulate_li_fcc(0.1 * options.frames, random_state=0).trajectory
    if "gas" in options.system:
        yield "gas", _gas(options.frames)


def _gas(n_frames: int) -> Trajectory:
    """Atoms that diffuse independently of each other."""
    rng = np.random.default_rng(0)
    positions = GAS_STEP * rng.standard_normal((n_frames, GAS_ATOMS, 3), dtype=np.float32)
    positions[0] = rng.uniform(0, GAS_EDGE, (GAS_ATOMS, 3))
    np.cumsum(positions, axis=0, out=positions)
    species = np.where(np.arange(GAS_ATOMS) < GAS_TARGETS, 3, 8)
    return Trajectory(
        positions, GAS_EDGE * np.eye(3), species, timestep=1.0, targets=range(GAS_TARGETS)
    )


def _say(console: Console, results: dict[str, dict[str, Any]], n_threads: int) -> None:
    rows = [
        [
            name,
            *(str(item[column]) for column in ("atoms", "targets")),
            f"{item['edges_per_frame']:.0f}",
            *(
                spread_text(item[column])
                for column in (
                    "graphs_per_cpu_second",
                    "pairs_per_cpu_second",
                    "plain_pairs_per_cpu_second",
                    "ratio",
                )
            ),
            "yes" if item["same"] else f"NO, {item['difference']:.1e}",
        ]
        for name, item in results.items()
    ]
    header = ["system", "atoms", "targets", "edges per frame", "graphs / CPU-s"]
    header += ["pairs / CPU-s", "plain", "ratio", "same result"]
    console.say(f"threads of a step: {n_threads}\n\n{table(header, rows)}")


@contextmanager
def _threads(n_threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
