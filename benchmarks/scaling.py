"""Exponents of the cost of a training step: ``python -m benchmarks.scaling``.

One thing is varied at a time: atoms N with targets in proportion, neighbours M, targets,
convolutions, frames, and N at the same targets in one corner of a growing box. Rows give the slope
of the logarithm of CPU-seconds per frame against that of the edges updated in a frame by all
convolutions, or against the quantity itself; it is 1 where cost follows the edges, and 0 at a fixed
field. Frames per step are such that all steps of a row update about as many edges, and hold their
first pass in memory: what a step costs whatever it works on, "CPU ms of an empty step", is then a
small part of every one.
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from benchmarks._rows import Row, report
from benchmarks._systems import System, system
from benchmarks.training_step import Ours, ours
from graphkoopman import Trajectory
from graphkoopman.cli._timing import alternate

STEP_EDGES = 2_000_000
QUICK_EDGES = 200_000
MOST_FRAMES = 1000
FIELD_FRAMES = 50
FIELD_HOPS = 2


@dataclass(frozen=True, eq=False)
class Series:
    """Steps along one axis.

    Attributes
    ----------
    name : str
        What is varied.
    values : tuple of int
        Of what is varied.
    make : callable
        From a value and a number of frames to the step.
    """

    name: str
    values: tuple[int, ...]
    make: Callable[[int, int], Ours]


def electrolyte(
    n_frames: int,
    *,
    n_targets: int = 50,
    n_neighbors: int = 20,
    n_conv: int = 2,
    scale: int = 1,
) -> Ours:
    """A step on the electrolyte or on several times as much of it."""
    this = system("electrolyte", n_frames, scale=scale, n_targets=n_targets)
    return ours(System(this.name, this.trajectory, n_neighbors), n_conv)


def same_field(scale: int, n_frames: int) -> Ours:
    """The same number of targets, in the first of ``scale`` boxes side by side."""
    first = system("electrolyte", 1).trajectory.targets
    run = system("electrolyte", n_frames, scale=scale).trajectory
    # atoms are numbered along x first, so that those of the first box come first
    again = Trajectory(run.positions, run.cell, run.species, timestep=1.0, targets=first)
    return ours(System("electrolyte", again, 20), FIELD_HOPS)


BY_EDGES = (
    Series(
        "atoms, 1 in 80 a target",
        (1, 2, 4, 8),
        lambda scale, n: electrolyte(n, scale=scale, n_targets=50 * scale),
    ),
    Series("neighbours", (10, 20, 40, 80), lambda m, n: electrolyte(n, n_neighbors=m)),
    Series("targets", (12, 50, 200, 800), lambda k, n: electrolyte(n, n_targets=k)),
    Series("convolutions", (1, 2, 3, 4), lambda n_conv, n: electrolyte(n, n_conv=n_conv)),
)
FRAMES = (25, 50, 100, 200)
SCALES = (1, 2, 4, 8, 16)


def edges_updated(step: Ours) -> int:
    """Edges read by all convolutions of one forward pass."""
    n_conv = step.data.n_hops
    total = 0
    for graphs in step.data.samples:
        total += int(graphs.hop_counts[:, :n_conv].sum(dtype=np.int64)) * graphs.n_neighbors
    return total


def edge_rows(
    all_series: Iterable[Series], n_repeats: int, step_edges: int = STEP_EDGES
) -> list[Row]:
    """Exponent of a frame's time in its edges along every series, and through all their points."""
    rows, all_edges, all_seconds = [], [], []
    for series in all_series:
        steps, edges, n_frames = [], [], []
        for value in series.values:
            per_frame = edges_updated(series.make(value, 4)) / 4
            n_frames.append(int(np.clip(step_edges / per_frame, 4, MOST_FRAMES)))
            steps.append(series.make(value, n_frames[-1]))
            edges.append(edges_updated(steps[-1]) / n_frames[-1])
        seconds = timed(steps, n_repeats) / np.array(n_frames)[:, None]
        details = {"frames": n_frames, "edges per frame": np.round(edges)}
        rows.append(exponent(series.name, "edges updated", series.values, edges, seconds, details))
        all_edges += edges
        all_seconds.append(seconds)
    seconds = np.concatenate(all_seconds)
    return [*rows, exponent("all of these", "edges updated", all_edges, all_edges, seconds, {})]


def frame_row(n_repeats: int, frames: Sequence[int] = FRAMES) -> Row:
    """Exponent of a step's time in its frames."""
    steps = [electrolyte(n) for n in frames]
    return exponent("frames", "frames", frames, frames, timed(steps, n_repeats), {})


def field_row(n_repeats: int, scales: Sequence[int] = SCALES) -> Row:
    """Exponent in the atoms of the box, at the same field."""
    steps = [same_field(scale, FIELD_FRAMES) for scale in scales]
    n_atoms = [len(step.data.samples[0].species) for step in steps]
    edges = [edges_updated(step) / FIELD_FRAMES for step in steps]
    seconds = timed(steps, n_repeats)
    details = {"edges per frame": np.round(edges)}
    return exponent("atoms, same field", "atoms", n_atoms, n_atoms, seconds, details)


def timed(steps: Sequence[Ours], n_repeats: int) -> np.ndarray:
    """CPU-seconds, (n_steps, n_repeats)."""
    return np.array(
        list(alternate({i: step.step for i, step in enumerate(steps)}, n_repeats).values())
    )


def exponent(
    name: str,
    against: str,
    values: Sequence[int],
    along: Sequence[float],
    seconds: np.ndarray,
    details: dict[str, Any],
) -> Row:
    """The slope of log time along log of something, one per repeat."""
    slopes = np.polyfit(np.log(along), np.log(seconds), 1)[0]
    times = 1e3 * np.median(seconds, axis=1)
    figures = {"values": values, **details, "CPU ms": times}
    listed = {key: " ".join(f"{n:.4g}" for n in numbers) for key, numbers in figures.items()}
    listed["CPU ms of an empty step"] = f"{1e3 * empty_step(len(slopes)):.2g}"
    return Row("exponent", name, against, slopes.tolist(), None, listed)


@cache
def empty_step(n_repeats: int) -> float:
    """Seconds of a step on next to nothing: a few frames of one target."""
    step = electrolyte(12, n_targets=1, n_neighbors=2)
    return float(np.median(timed([step], n_repeats)))


def rows(n_repeats: int) -> list[Row]:
    """All exponents."""
    return [
        *edge_rows(BY_EDGES, n_repeats),
        frame_row(n_repeats),
        field_row(n_repeats),
    ]


def quick_rows(n_repeats: int) -> list[Row]:
    """All exponents from two or three short steps each: rough."""
    short = (Series(series.name, series.values[:2], series.make) for series in BY_EDGES)
    return [
        *edge_rows(short, n_repeats, QUICK_EDGES),
        frame_row(n_repeats, FRAMES[:2]),
        field_row(n_repeats, SCALES[:2]),
    ]


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    report("scaling", rows(options.repeats))


if __name__ == "__main__":
    main()
