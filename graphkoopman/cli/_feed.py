"""How a model is fed, in the header of its file: `write_feed`, `feed_of`, `apply_feed`.

A model needs the same targets, neighbours and frames that it learned from. The file of a model that
a command wrote says what these were, so that other commands need not be told.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphkoopman.cli._arguments import add_input_arguments
from graphkoopman.cli._console import plain
from graphkoopman.estimator import MODEL
from graphkoopman.storage import read_arrays, write_arrays
from graphkoopman.trajectories import Trajectory, resolve_targets

# options of inputs that describe files or this machine, not the pipeline
OF_THE_FILES = {
    "trajectories", "top", "jobs", "cache", "memory", "cell", "input_format", "skip",
    "ignore_times", "unwrapped", "join",
}  # fmt: skip
KEY = "fed"


def write_feed(path: Path, options: argparse.Namespace) -> None:
    """Add the input options to the header of a model file."""
    names = [name for name in vars(input_defaults()) if name not in OF_THE_FILES]
    fed = {name: getattr(options, name) for name in names}
    arrays, header = read_arrays(path, MODEL)
    write_arrays(path, MODEL, arrays, {**header, KEY: plain(fed)})


def feed_of(path: Path) -> dict[str, Any]:
    """Input options that a model was made with; empty for one that no command wrote."""
    fed = read_arrays(path, MODEL)[1].get(KEY, {})
    return fed if isinstance(fed, dict) else {}


def input_defaults() -> argparse.Namespace:
    """Input options of a command line that says nothing."""
    parser = argparse.ArgumentParser()
    add_input_arguments(parser, nargs="*")
    return parser.parse_args([])


def apply_feed(
    options: argparse.Namespace, defaults: argparse.Namespace, fed: Mapping[str, Any]
) -> argparse.Namespace:
    """Options with those of the model where the command line is silent.

    Raises
    ------
    ValueError
        For neighbours other than the model's.
    """
    merged = argparse.Namespace(**vars(options))
    for name, value in fed.items():
        if hasattr(options, name) and getattr(options, name) == getattr(defaults, name, None):
            setattr(merged, name, value)
    for name in ("neighbors", "cutoff", "per_species"):
        asked, own = getattr(options, name), fed.get(name)
        if fed and asked is not None and asked != own and not (own is None and name == "neighbors"):
            option = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{option} is {own} in the model, got {asked}; leave {option} out: the model knows"
            )
    return merged


def check_targets(
    asked: str | None, fed: Mapping[str, Any], trajectories: Sequence[Trajectory]
) -> None:
    """Raise if the targets asked for are not the atoms that the model's own selection finds.

    A selection of the model that these files cannot resolve, such as residue names of another
    system, is no objection.
    """
    own = fed.get("targets")
    if asked is None or own is None or asked == own:
        return
    for trajectory in trajectories:
        try:
            expected = resolve_targets(own, trajectory).atoms
        except ValueError:
            continue
        if not np.array_equal(expected, resolve_targets(asked, trajectory).atoms):
            raise ValueError(
                f"--targets are {own!r} in the model, got {asked!r}, which are other atoms; leave "
                "--targets out: the model knows"
            )
