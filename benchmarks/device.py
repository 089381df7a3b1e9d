"""Graphs, a convolution and a training step on a GPU: ``python -m benchmarks.device``.

Graphs are searched by the GPU and by all cores of the machine's CPU, and must be the same to the
last bit; those that are not kept stay on the GPU, as the batch of a step. The convolution is
the widest of a network with three, on the electrolyte; against it stand torch's own operations on
the same device. Next to its time stands the least that it must move, every input read once and
every output written once, as a share of what a copy on the device moves in the same run. The
training step is against the plain network of `benchmarks.plain_gdynet` on the same device, and
against ours on the CPU in one thread; "searched" is the same step with graphs that are not kept.
All figures are wall time; graphs are collated by as many threads as torch uses.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from joblib import cpu_count
from torch import Tensor

from benchmarks._rows import Row, report
from benchmarks._systems import System, system
from benchmarks.plain_gdynet import copy_weights
from benchmarks.training_step import LAG, Ours, Plain, largest_difference, ours, plain
from graphkoopman import GraphFeaturizer
from graphkoopman.cli._timing import spread_text
from graphkoopman.graphs import GraphBatch, build_graphs
from graphkoopman.lobes import GraphConvolution
from graphkoopman.training import evaluate
from graphkoopman.trajectories import resolve_targets

N_CONV = 3
CUTOFF = 5.0  # Å, of a radius graph
COPIED = 2**28  # numbers of float32: 1 GiB
TOLERANCE = 1e-5  # of results in float32


def graph_rows(name: str, n_frames: int, device: torch.device, n_repeats: int) -> list[Row]:
    """Nearest and radius graphs of a system against the CPU; a batch of those that are not kept."""
    this = system(name, n_frames)
    return [
        graph_row(this, "nearest", {"n_neighbors": this.n_neighbors}, device, n_repeats),
        graph_row(this, "radius", {"n_neighbors": None, "cutoff": CUTOFF}, device, n_repeats),
    ]


def graph_row(
    this: System, kind: str, how: dict[str, Any], device: torch.device, n_repeats: int
) -> Row:
    """One kind of graphs."""
    run, targets = this.trajectory, resolve_targets(None, this.trajectory)
    searches = [
        partial(build_graphs, run, targets, n_hops=N_CONV, **how, **where)
        for where in ({"device": str(device)}, {"n_jobs": -1})
    ]
    found, expected = (search() for search in searches)
    featurizer = GraphFeaturizer(n_hops=N_CONV, store=False, device=str(device), **how)
    (unstored,) = featurizer.transform(run)
    species = np.zeros(run.n_atoms, np.int32)
    batch = partial(unstored.batch, np.arange(len(run)), species, N_CONV)
    ours_s, cpu_s, batch_s = (wall_seconds(c, device, n_repeats) for c in (*searches, batch))
    details = {
        "edges": len(expected.distances),
        "ms": spread_text(1e3 * ours_s),
        "not kept, ms": spread_text(1e3 * batch_s),
        "CPU ms": spread_text(1e3 * cpu_s),
        "cores": cpu_count(),
    }
    same = found.digest() == expected.digest()
    ratios = (cpu_s / ours_s).tolist()
    return Row("graphs", f"{this.name}, {kind}", "CPU, all cores", ratios, same, details)


def wall_seconds(call: Callable[[], object], device: torch.device, n_repeats: int) -> np.ndarray:
    """Seconds of every repeat, (n_repeats,), until the device has finished; one call before."""
    seconds = np.empty(n_repeats)
    for repeat in range(-1, n_repeats):
        _finish(device)
        begin = time.perf_counter()
        call()
        _finish(device)
        if repeat >= 0:
            seconds[repeat] = time.perf_counter() - begin
    return seconds


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_rate(device: torch.device, n_repeats: int, size: int) -> float:
    """Bytes per second of a copy on the device, read and written."""
    numbers = torch.ones(size, device=device)
    there = torch.empty_like(numbers)
    seconds = wall_seconds(lambda: there.copy_(numbers), device, n_repeats)
    return 2 * numbers.nbytes / float(np.median(seconds))


def moved(side: Ours, device: torch.device) -> Ours:
    """The same with a network of its own on a device."""
    lobe = deepcopy(side.lobe).to(device)
    optimizer = torch.optim.Adam(lobe.parameters(), lr=1e-3)
    return replace(side, lobe=lobe, data=replace(side.data, device=device), optimizer=optimizer)


def searched(side: Ours, name: str, n_frames: int) -> Ours:
    """The same with graphs that are searched for every batch."""
    this = system(name, n_frames)
    (graphs,) = GraphFeaturizer(
        n_neighbors=this.n_neighbors, n_hops=N_CONV, store=False, device=str(side.data.device)
    ).transform(this.trajectory)
    return replace(side, data=replace(side.data, samples=[graphs]))


def moved_plain(side: Plain, device: torch.device) -> Plain:
    """The plain side with a network of its own on a device."""
    network = deepcopy(side.network).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    return Plain(network, tuple(tensor.to(device) for tensor in side.inputs), optimizer)


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution with what it takes, of its input and of the gradient of its output."""

    layer: GraphConvolution
    atoms: Tensor
    upstream: Tensor
    batch: GraphBatch

    def values(self, reference: bool) -> tuple[Tensor, ...]:
        """Updated atoms."""
        with torch.no_grad():
            n_rows = len(self.upstream)
            return (self.layer(self.atoms, self.batch, n_rows, reference=reference),)

    def gradients(self, reference: bool) -> tuple[Tensor, ...]:
        """Of the atoms and of all weights."""
        update = self.layer(self.atoms, self.batch, len(self.upstream), reference=reference)
        return torch.autograd.grad(update, [self.atoms, *self.layer.parameters()], self.upstream)

    def double(self) -> "Convolution":
        """The same in float64."""
        atoms = self.atoms.detach().double().requires_grad_()
        return Convolution(deepcopy(self.layer).double(), atoms, self.upstream.double(), self.batch)

    def least_bytes(self) -> dict[str, int]:
        """What must be moved: two numbers per edge, and vectors of atoms and of rows."""
        n_edges, n_rows, n_atoms = (
            len(x) for x in (self.batch.neighbors, self.upstream, self.atoms)
        )
        width = self.atoms.shape[1]
        values = 2 * n_edges + width * (2 * n_rows + n_atoms)
        # backwards of a row its vector, output and gradient in and one gradient out, of an atom
        # its vector in and its gradient out
        backwards = 2 * n_edges + width * (4 * n_rows + 2 * n_atoms)
        return {"values": 4 * values, "gradients": 4 * (values + backwards)}


def widest_convolution(side: Ours, device: torch.device) -> Convolution:
    """The first convolution of a network, whose receptive field is the largest."""
    side = moved(side, device)
    batch = side.data.batch(0, np.arange(len(side.data.samples[0]))).to(device)
    layer = side.lobe.encoder.convolutions[0]
    generator = torch.Generator().manual_seed(0)
    atoms, upstream = (
        torch.randn((batch.hop_counts[hop], layer.center.in_features), generator=generator)
        for hop in (N_CONV, N_CONV - 1)
    )
    return Convolution(layer, atoms.to(device).requires_grad_(), upstream.to(device), batch)


def convolution_rows(case: Convolution, n_repeats: int, rate: float) -> list[Row]:
    """Values alone, and with gradients.

    Both sides are compared with float64. A message within rounding of the kink of its ReLU falls on
    either side of it, for torch's operations as for ours, and among 10⁸ messages there are such.
    """
    device = case.atoms.device
    rows = []
    for name, n_bytes in case.least_bytes().items():
        call: Callable[[bool], tuple[Tensor, ...]] = getattr(case, name)
        exact = getattr(case.double(), name)(True)
        error, plain_error = (largest_error(call(side), exact) for side in (False, True))
        del exact
        ours_s, plain_s = (
            wall_seconds(partial(call, side), device, n_repeats) for side in (False, True)
        )
        details = {
            "edges": len(case.batch.neighbors),
            "ms": spread_text(1e3 * ours_s),
            "torch ms": spread_text(1e3 * plain_s),
            "least MB": n_bytes / 1e6,
            "share of copy rate": n_bytes / float(np.median(ours_s)) / rate,
            "copy GB/s": rate / 1e9,
            "error": error,
            "torch's": plain_error,
        }
        ratios = (plain_s / ours_s).tolist()
        same = error <= max(TOLERANCE, 2.0 * plain_error)
        rows.append(Row("convolution", name, "torch, same device", ratios, same, details))
    return rows


def largest_error(found: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    """Norm of the difference over the norm, the largest of all tensors."""
    return max(float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True))


def step_row(name: str, n_pairs: int, n_plain: int, device: torch.device, n_repeats: int) -> Row:
    """Pairs per second against the plain network, on ``n_plain`` pairs; both on the device."""
    this = system(name, n_plain + LAG)
    theirs = moved_plain(plain(this, N_CONV), device)
    few = moved(ours(this, N_CONV), device)
    copy_weights(few.lobe, theirs.network)
    differences = largest_difference(few, theirs, torch.float32)
    exact = moved(few, torch.device("cpu")).to(torch.float64)
    mine, there = (evaluate(side.data, side.batch, side.lobe) for side in (few, exact))
    same = differences["score"] < TOLERANCE and bool((mine - there).abs().max() < 10 * TOLERANCE)
    on_cpu = ours(system(name, n_pairs + LAG), N_CONV)
    many = moved(on_cpu, device)
    seconds = wall_seconds(many.step, device, n_repeats)
    spent = wall_seconds(theirs.step, device, n_repeats)
    with one_thread():
        cpu = wall_seconds(on_cpu.step, torch.device("cpu"), 1)
    searching = wall_seconds(searched(many, name, n_pairs + LAG).step, device, n_repeats)
    details = {
        "pairs": n_pairs,
        "pairs per s": spread_text(n_pairs / seconds),
        "searched": spread_text(n_pairs / searching),
        "plain": spread_text(n_plain / spent),
        "plain pairs": n_plain,
        "our CPU, one thread": float(n_pairs / cpu[0]),
        "score": differences["score"],
        "probabilities": float((mine - there).abs().max()),
    }
    ratios = (n_pairs / seconds) / (n_plain / spent)
    label = f"{name}, n_conv={N_CONV}"
    return Row("step", label, "plain PyTorch, same device", ratios.tolist(), same, details)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch, and with it everything of ours, runs in one thread."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def rows(device: torch.device, n_repeats: int, n_frames: int, copied: int = COPIED) -> list[Row]:
    """All rows; ``n_frames`` of the electrolyte for the convolution."""
    rate = copy_rate(device, n_repeats, copied)
    side = ours(system("electrolyte", n_frames), N_CONV)
    return [
        *graph_rows("interface", n_frames, device, n_repeats),
        *graph_rows("electrolyte", n_frames, device, n_repeats),
        *convolution_rows(widest_convolution(side, device), n_repeats, rate),
        step_row("interface", n_frames, min(10, n_frames), device, n_repeats),
        step_row("electrolyte", n_frames, min(5, n_frames), device, n_repeats),
    ]


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    report("device", rows(torch.device(options.device), options.repeats, options.frames))


if __name__ == "__main__":
    main()
