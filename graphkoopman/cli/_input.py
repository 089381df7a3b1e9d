"""Trajectory files and graphs that the arguments of a command ask for."""

import argparse
from pathlib import Path

from graphkoopman.cli._arguments import DEFAULT_NEIGHBORS
from graphkoopman.graphs import GraphFeaturizer
from graphkoopman.trajectories import Trajectory, read_trajectory

MOST_MEMORY = 1e6  # GiB


def featurizer_of(options: argparse.Namespace, n_hops: int) -> GraphFeaturizer:
    """Featurizer of the graphs asked for; both kinds at once are an error."""
    if options.neighbors is not None and options.cutoff is not None:
        raise ValueError("--neighbors and --cutoff exclude each other, give one of them")
    if options.memory is not None and not 0 < options.memory < MOST_MEMORY:
        raise ValueError(f"--memory must be a positive number of GiB, got {options.memory}")
    if options.memory is not None and options.cache is None:
        raise ValueError("--memory needs --cache, a folder for what does not fit")
    neighbors = DEFAULT_NEIGHBORS if options.neighbors is None else options.neighbors
    return GraphFeaturizer(
        targets=options.targets,
        n_neighbors=None if options.cutoff is not None else neighbors,
        cutoff=options.cutoff,
        n_hops=n_hops,
        cache_dir=options.cache,
        memory_budget=None if options.memory is None else max(1, int(options.memory * 2**30)),
        n_jobs=options.jobs,
    )


def read_inputs(options: argparse.Namespace) -> list[Trajectory]:
    """Read every trajectory file; with a cache, positions are mapped from there."""
    return [
        read_trajectory(
            path,
            top=options.top,
            timestep=options.timestep,
            stride=options.stride,
            positions_file=_positions_file(options.cache, number, Path(path)),
        )
        for number, path in enumerate(options.trajectories)
    ]


def _positions_file(cache: Path | None, number: int, path: Path) -> Path | None:
    # an npz is read whole
    if cache is None or path.suffix.lower() == ".npz":
        return None
    cache.mkdir(parents=True, exist_ok=True)
    return cache / f"{number}-{path.name}.npy"
