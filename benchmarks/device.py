"""A convolution, a training step and the way of graphs to a GPU: ``python -m benchmarks.device``.

The convolution is the widest of a network with three, on the electrolyte; against it stand torch's
own operations on the same device. Next to its time stands the least that it must move, every input
read once and every output written once, as a share of what a copy on the device moves in the same
run. The training step is against the plain network of `benchmarks.plain_gdynet` on the same device,
and against ours on the CPU in one thread. The last row is a step in chunks whose graphs are
collated and copied one ahead, against the same step one after the other. All figures are wall time.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from benchmarks._rows import Row, report
from benchmarks._systems import system
from benchmarks.plain_gdynet import copy_weights
from benchmarks.training_step import EPSILON, LAG, Ours, Plain, largest_difference, ours, plain
from graphkoopman.cli._timing import spread_text
from graphkoopman.graphs import GraphBatch
from graphkoopman.training import _transfer, backward_score, evaluate

N_CONV = 3
COPIED = 2**28  # numbers of float32: 1 GiB
TOLERANCE = 1e-5  # of a convolution in float32, of its largest element


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


def copy_rates(device: torch.device, n_repeats: int, size: int) -> tuple[float, float]:
    """Bytes per second of a copy on the device, read and written, and of one to it, pinned."""
    numbers = torch.ones(size, device=device)
    there = torch.empty_like(numbers)
    host = torch.ones(size)
    host = host.pin_memory() if device.type == "cuda" else host
    on_device = wall_seconds(lambda: there.copy_(numbers), device, n_repeats)
    to_device = wall_seconds(lambda: there.copy_(host, non_blocking=True), device, n_repeats)
    return 8 * size / float(np.median(on_device)), 4 * size / float(np.median(to_device))


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


def convolution_rows(side: Ours, device: torch.device, n_repeats: int, rate: float) -> list[Row]:
    """The convolution with most edges: values alone, and with gradients."""
    side = moved(side, device)
    frames = np.arange(len(side.data.graphs[0]))
    batch = side.data.collate(0, frames).to(device)
    convolution = side.lobe.convolutions[0]
    n_rows, n_atoms = batch.hop_counts[N_CONV - 1], batch.hop_counts[N_CONV]
    generator = torch.Generator().manual_seed(0)
    width = convolution.center.in_features
    atoms = torch.randn((n_atoms, width), generator=generator).to(device).requires_grad_()
    upstream = torch.randn((n_rows, width), generator=generator).to(device)
    inputs = [atoms, *convolution.parameters()]

    def values(reference: bool) -> Tensor:
        with torch.no_grad():
            return convolution(atoms, batch, n_rows, reference=reference)

    def gradients(reference: bool) -> tuple[Tensor, ...]:
        update = convolution(atoms, batch, n_rows, reference=reference)
        return torch.autograd.grad(update, inputs, upstream)

    # 4 bytes each: two per edge; per atom a vector, a row one more out; backwards its vector,
    # output and gradient in and one gradient out, and for every atom a vector in and out
    n_edges = batch.n_edges(n_rows)
    least = 4 * (2 * n_edges + width * (2 * n_rows + n_atoms))
    least_both = least + 4 * (2 * n_edges + width * (4 * n_rows + 2 * n_atoms))
    cases = {"values": (values, least), "and gradients": (gradients, least_both)}
    rows = []
    for name, (call, n_bytes) in cases.items():
        same = all(
            (a - b).abs().max() <= TOLERANCE * b.abs().max()
            for a, b in zip(*(_listed(call(reference)) for reference in (False, True)), strict=True)
        )
        ours_s, plain_s = (
            wall_seconds(lambda r=reference, f=call: f(r), device, n_repeats)
            for reference in (False, True)
        )
        details = {
            "edges": n_edges,
            "ms": spread_text(1e3 * ours_s),
            "torch ms": spread_text(1e3 * plain_s),
            "least MB": n_bytes / 1e6,
            "share of copy rate": n_bytes / float(np.median(ours_s)) / rate,
            "copy GB/s": rate / 1e9,
        }
        ratios = (plain_s / ours_s).tolist()
        rows.append(Row("convolution", name, "torch, same device", ratios, same, details))
    return rows


def _listed(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (result,) if isinstance(result, Tensor) else result


def step_row(
    name: str, n_pairs: int, n_plain: int, device: torch.device, n_repeats: int
) -> list[Row]:
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
    return [Row("step", label, "plain PyTorch, same device", ratios.tolist(), same, details)]


@contextmanager
def one_after_the_other():
    """Graphs are collated and copied when they are asked for."""
    ahead = _transfer._ahead
    _transfer._ahead = lambda data, chunks: (
        data.collate(*chunk).to(data.device) for chunk in chunks
    )
    try:
        yield
    finally:
        _transfer._ahead = ahead


def stream_row(side: Ours, device: torch.device, n_repeats: int, rate: float) -> Row:
    """A step that computes its chunks twice, graphs one ahead."""
    n_frames = len(side.data.graphs[0])
    data = replace(moved(side, device).data, chunk_size=max(1, n_frames // 8))
    side = replace(moved(side, device), data=data)

    def step() -> float:
        side.lobe.zero_grad()
        return backward_score(side.lobe, data, side.batch, score="VAMP2", epsilon=EPSILON)

    ahead, score = wall_seconds(step, device, n_repeats), step()
    with one_after_the_other():
        waiting, same = wall_seconds(step, device, n_repeats), step() == score
    batch: GraphBatch = data.collate(0, np.arange(n_frames))
    n_bytes = 2 * sum(t.nbytes for t in (batch.species, batch.neighbors, batch.distances))
    collating = wall_seconds(lambda: data.collate(0, np.arange(n_frames)), device, n_repeats)
    details = {
        "ms": spread_text(1e3 * ahead),
        "one after the other": spread_text(1e3 * waiting),
        "MB": n_bytes / 1e6,
        "share of pinned copy rate": n_bytes / float(np.median(ahead)) / rate,
        "pinned copy GB/s": rate / 1e9,
        "collate ms, twice": float(2e3 * np.median(collating)),
    }
    ratios = (waiting / ahead).tolist()
    return Row("graphs one ahead", "electrolyte, 8 chunks", "in turn", ratios, same, details)


def rows(device: torch.device, n_repeats: int, n_frames: int, copied: int = COPIED) -> list[Row]:
    """All rows; ``n_frames`` of the electrolyte for the convolution."""
    rate, pinned_rate = copy_rates(device, n_repeats, copied)
    side = ours(system("electrolyte", n_frames), N_CONV)
    return [
        *convolution_rows(side, device, n_repeats, rate),
        stream_row(side, device, n_repeats, pinned_rate),
        *step_row("interface", n_frames, min(10, n_frames), device, n_repeats),
        *step_row("electrolyte", n_frames, min(5, n_frames), device, n_repeats),
    ]


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report("device", rows(torch.device(options.device), options.repeats, options.frames))


if __name__ == "__main__":
    main()
