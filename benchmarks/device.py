"""A convolution and a training step on a GPU: ``python -m benchmarks.device``.

The convolution is the widest of a network with three, on the electrolyte; against it stand torch's
own operations on the same device. Next to its time stands the least that it must move, every input
read once and every output written once, as a share of what a copy on the device moves in the same
run. The training step is against the plain network of `benchmarks.plain_gdynet` on the same device,
and against ours on the CPU in one thread. All figures are wall time; graphs are collated by as many
threads as torch uses.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks._rows import Row, report
from benchmarks._systems import system
from benchmarks.plain_gdynet import copy_weights
from benchmarks.training_step import LAG, Ours, Plain, largest_difference, ours, plain
from graphkoopman.cli._timing import spread_text
from graphkoopman.graphs import GraphBatch
from graphkoopman.lobes import GraphConvolution
from graphkoopman.training import evaluate

N_CONV = 3
COPIED = 2**28  # numbers of float32: 1 GiB
TOLERANCE = 1e-5  # of results in float32


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
    details = {
        "pairs": n_pairs,
        "pairs per s": spread_text(n_pairs / seconds),
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
