"""A training step (forward, score, backward, update) against the plain network.

Run as ``python -m benchmarks.training_step``.

Both sides take the same weights, frames and pairs. The plain side evaluates both ends of every pair
on all atoms; ours evaluates every frame once on the receptive field of the targets. Figures are
frame pairs per CPU-second in one thread, and peak memory of one step in a process of its own.

Both sides compute the same where probabilities and the score agree to 1e-5 in float32, and
gradients in float64. To the bound on probabilities comes what the plain network itself changes by
between float32 and float64: the head divides by the spread of the embedding, a few 1e-4 on the toy
system, and rounding with it. Gradients in float32 are printed as well: there, a message within
rounding of the kink of its ReLU may fall on either side of it, on either side of the comparison.
"""

import argparse
import itertools
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks._rows import Row, peak_memory, report
from benchmarks._systems import SYSTEMS, System, system
from benchmarks.plain_gdynet import PlainGDyNet, copy_weights, paired, plain_vamp2
from graphkoopman import GraphFeaturizer, GraphTrajectory
from graphkoopman.cli._timing import alternate, spread_text
from graphkoopman.graphs._search import SHELL_WIDTH
from graphkoopman.lobes import GatedEncoder, GDyNetLobe, build_lobe
from graphkoopman.neighbors import k_nearest
from graphkoopman.training import (
    SampleData,
    StatisticsBatch,
    backward_score,
    evaluate,
    sample_batch,
)
from graphkoopman.training._initialise import fit_output, initialise_hidden
from graphkoopman.trajectories import Trajectory

MOST_TIES = 12  # neighbours beyond the number asked for
N_STATES = 3
EPSILON = 1e-6
TOLERANCE = 1e-5
LAG = 1
# system, n_conv, pairs per step: enough for the score, few enough for the plain side's memory
CASES = [
    ("toy", 3, 2000),
    ("interface", 3, 10),
    ("electrolyte", 3, 5),
    ("electrolyte", 2, 5),
    ("crystal", 3, 5),
]
LEAST_PAIRS = 3
# pairs per CPU-second below which the plain side would be too slow to compare with
HONEST = {
    ("interface", 3): 0.8 * 8.2,
    ("electrolyte", 3): 0.8 * 1.45,
    ("electrolyte", 2): 0.8 * 2.55,
}
_NO_UPDATE = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.0)


@dataclass(frozen=True, eq=False)
class Ours:
    """Our network with what a step needs."""

    lobe: GDyNetLobe
    data: SampleData
    batch: StatisticsBatch
    optimizer: torch.optim.Optimizer

    def to(self, dtype: torch.dtype) -> "Ours":
        """The same in other precision, weights copied."""
        return replace(self, lobe=deepcopy(self.lobe).to(dtype), optimizer=_NO_UPDATE)

    def step(self) -> float:
        """Forward, score, backward, update; the score."""
        self.lobe.zero_grad()
        score = backward_score(self.lobe, self.data, self.batch, score="VAMP2", epsilon=EPSILON)
        self.optimizer.step()
        return score


def ours(this: System, n_conv: int) -> Ours:
    """Our side: receptive fields, a network with a started head, a batch of all frames."""
    featurizer = GraphFeaturizer(n_neighbors=this.n_neighbors, n_hops=n_conv)
    return ours_of(featurizer.transform(this.trajectory), n_conv)


def ours_of(
    graphs: list[GraphTrajectory],
    n_conv: int,
    chunk_size: int | None = None,
    *,
    start: bool = True,
) -> Ours:
    """Our side on graphs that are there; the head is left as it is where not started."""
    species = np.unique(graphs[0].species)
    torch.manual_seed(0)
    lobe = build_lobe(species, N_STATES, encoder=GatedEncoder(n_conv=n_conv))
    index = [np.searchsorted(species, item.species) for item in graphs]
    data = SampleData(graphs, index, n_conv, chunk_size, torch.device("cpu"))
    blocks = [(i, 0, len(item)) for i, item in enumerate(graphs)]
    batch = sample_batch(blocks, graphs, LAG, None, None)
    if start:
        pooled = evaluate(data, batch, lobe.embed)
        initialise_hidden(lobe, pooled)
        with torch.no_grad():
            fit_output(lobe, lobe.head.respond(pooled), batch.start_rows, batch.end_rows)
    return Ours(lobe, data, batch, torch.optim.Adam(lobe.parameters(), lr=1e-3))


@dataclass(frozen=True, eq=False)
class Plain:
    """The plain network with what a step needs."""

    network: PlainGDyNet
    inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
    optimizer: torch.optim.Optimizer

    def to(self, dtype: torch.dtype) -> "Plain":
        """The same in other precision, weights copied."""
        species, neighbors, distances, targets = self.inputs
        return replace(
            self,
            network=deepcopy(self.network).to(dtype),
            inputs=(species, neighbors, distances.to(dtype), targets),
            optimizer=_NO_UPDATE,
        )

    def features(self) -> tuple[torch.Tensor, torch.Tensor]:
        """State probabilities at both ends of all pairs."""
        species, neighbors, distances, targets = self.inputs
        return tuple(
            self.network(species, neighbors[ends], distances[ends], targets)
            for ends in (slice(None, -LAG), slice(LAG, None))
        )

    def step(self) -> None:
        """Forward, score, backward, update."""
        self.network.zero_grad()
        (-plain_vamp2(*self.features(), EPSILON)).backward()
        self.optimizer.step()


def plain(this: System, n_conv: int) -> Plain:
    """The plain side: graphs of all atoms."""
    run = this.trajectory
    indices, distances = whole_shells(run, this.n_neighbors)
    species, index = np.unique(run.species, return_inverse=True)
    inputs = (
        torch.tensor(index),
        torch.tensor(indices),
        torch.tensor(distances, dtype=torch.float32),
        torch.tensor(run.targets),
    )
    network = PlainGDyNet(len(species), N_STATES, n_conv=n_conv)
    return Plain(network, inputs, torch.optim.Adam(network.parameters(), lr=1e-3))


def whole_shells(run: Trajectory, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of every atom and who is as far as the last, (n_frames, n_atoms, M).

    M is that of the atom with most neighbours; others have some at infinity.
    """
    found = [k_nearest(frame, run.cell, k + MOST_TIES) for frame in run.positions]
    indices, distances = (np.stack(arrays) for arrays in zip(*found, strict=True))
    beyond = distances > distances[..., k - 1 : k] + SHELL_WIDTH
    if not beyond[..., -1].all():
        raise ValueError(f"a shell has more than {MOST_TIES} atoms too many")
    most = int((~beyond).sum(axis=-1).max())
    return indices[..., :most], np.where(beyond, np.inf, distances)[..., :most]


def _our_step(name: str, n_conv: int, n_pairs: int) -> Callable[[], None]:
    ours(system(name, 4), n_conv).step()  # compile
    side = ours(system(name, n_pairs + LAG), n_conv)
    # a fit finds out once what a frame takes, and its steps, of which one is measured, do not
    side.data.measure(side.lobe, 0, np.arange(1))
    return side.step


def _plain_step(name: str, n_conv: int, n_pairs: int) -> Callable[[], None]:
    plain(system(name, 4), n_conv).step()
    return plain(system(name, n_pairs + LAG), n_conv).step


def largest_difference(one: Ours, other: Plain, dtype: torch.dtype) -> dict[str, float]:
    """Of probabilities, of the score (relative), of gradients in units of their largest element."""
    one, other = one.to(dtype), other.to(dtype)
    copy_weights(one.lobe, other.network)
    mine = evaluate(one.data, one.batch, one.lobe)
    theirs = other.features()
    plain_score = plain_vamp2(*theirs, EPSILON)
    (-plain_score).backward()
    score = one.step()
    ends = one.batch.start_rows, one.batch.end_rows
    pairs = [
        (_gradient_of(weight, other.network), ours.grad)
        for weight, ours in paired(one.lobe, other.network)
    ]
    size = max(gradient.abs().max().item() for gradient, _ in pairs)
    return {
        "probabilities": max(
            (mine[rows] - chi.cpu()).abs().max().item()
            for rows, chi in zip(ends, theirs, strict=True)
        ),
        "score": abs(score / plain_score.item() - 1.0),
        "gradient": max((a - b).abs().max().item() for a, b in pairs) / size,
    }


def rounding_of(side: Plain) -> float:
    """Largest change of the plain probabilities from float32 to float64."""
    with torch.no_grad():
        single, double = (side.to(kind).features()[0] for kind in (torch.float32, torch.float64))
    return (single - double).abs().max().item()


def _gradient_of(weight: torch.Tensor, network: PlainGDyNet) -> torch.Tensor:
    for parameter in network.parameters():
        if parameter.untyped_storage().data_ptr() == weight.untyped_storage().data_ptr():
            return parameter.grad.as_strided(weight.shape, weight.stride(), weight.storage_offset())
    raise ValueError("weight is not a view of a parameter of the network")


def one_case(name: str, n_conv: int, n_pairs: int, n_repeats: int) -> list[Row]:
    """Speed and memory on one system."""
    this = system(name, n_pairs + LAG)
    sides = ours(this, n_conv), plain(this, n_conv)
    copy_weights(sides[0].lobe, sides[1].network)
    single, double = (largest_difference(*sides, dtype) for dtype in (torch.float32, torch.float64))
    rounding = rounding_of(sides[1])
    same = (
        single["probabilities"] < TOLERANCE + rounding
        and single["score"] < TOLERANCE
        and double["gradient"] < TOLERANCE
    )
    seconds = alternate({"ours": sides[0].step, "plain": sides[1].step}, n_repeats)
    rates = {side: n_pairs / spent for side, spent in seconds.items()}
    label = f"{name}, n_conv={n_conv}"
    details = {
        "pairs per CPU-second": spread_text(rates["ours"]),
        "plain": spread_text(rates["plain"]),
        "difference of probabilities": single["probabilities"],
        "rounding of plain": rounding,
        "of scores": single["score"],
        "of gradients": single["gradient"],
        "in float64": double["gradient"],
    }
    if (name, n_conv) in HONEST:
        details["plain fast enough"] = bool(np.median(rates["plain"]) >= HONEST[name, n_conv])
    speed = Row(
        "step", label, "plain PyTorch", (seconds["plain"] / seconds["ours"]).tolist(), same, details
    )
    bytes_ours, bytes_plain = (
        peak_memory(prepare, name, n_conv, n_pairs) for prepare in (_our_step, _plain_step)
    )
    memory = Row(
        "step memory",
        label,
        "plain PyTorch",
        [bytes_plain / bytes_ours],
        same,
        {"MiB": bytes_ours / 2**20, "plain": bytes_plain / 2**20},
    )
    return [speed, memory]


def rows(n_repeats: int, systems: Sequence[str] = tuple(SYSTEMS), share: float = 1.0) -> list[Row]:
    """Speed and memory on every case of the systems, on a share of the pairs."""
    found = (
        one_case(name, n_conv, max(LEAST_PAIRS, int(share * n_pairs)), n_repeats)
        for name, n_conv, n_pairs in CASES
        if name in systems
    )
    return list(itertools.chain.from_iterable(found))


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    report("step", rows(options.repeats, options.systems))


if __name__ == "__main__":
    main()
