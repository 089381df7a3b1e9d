"""Arguments that commands share, reading trajectory files, and the graphs asked for."""

import argparse
from pathlib import Path

from graphkoopman.graphs import GraphFeaturizer
from graphkoopman.trajectories import Trajectory, read_trajectory

DEFAULT_NEIGHBORS = 20
MOST_MEMORY = 1e6  # GiB


def add_input_arguments(parser: argparse.ArgumentParser, nargs: str = "+") -> None:
    """Arguments that say what to read and which graphs to build; how many files is up to nargs."""
    add = parser.add_argument
    add("trajectories", nargs=nargs, metavar="TRAJ", help="trajectory files")
    add("--top", help="topology file, for formats that carry none")
    add("--timestep", type=float, help="ps per frame, for files that carry no time")
    add("--stride", type=int, default=1, help="read every n-th frame (1)")
    add("--targets", help='mdtraj selection such as "element Li"; default: the file\'s own')
    add("--neighbors", type=int, help=f"M nearest neighbours per atom ({DEFAULT_NEIGHBORS})")
    add("--cutoff", type=float, help="neighbours within this many Å, in place of --neighbors")
    add("--jobs", type=int, help="threads for building graphs")
    add("--cache", type=Path, help="folder that holds positions and graphs in place of memory")
    add("--memory", type=float, help="GiB of graphs in memory, with --cache (1)")


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the network and its training that commands which train share."""
    add = parser.add_argument
    add("--convolutions", type=int, default=3, help="convolution layers (3)")
    add("--epochs", type=int, default=50, help="most training epochs (50)")
    add("--seed", type=int, default=0, help="random seed (0)")


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
