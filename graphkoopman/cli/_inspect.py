"""``graphkoopman inspect``: what is in trajectory files, before any work is done with them."""

import argparse

from graphkoopman.cli._input import read_inputs, say
from graphkoopman.trajectories import inspect


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    options.cache = None
    trajectories = read_inputs(options, inspected=False)
    for name, trajectory in zip(options.runs, trajectories, strict=True):
        text = str(inspect(trajectory))
        say(options, "\n".join([name, *text.splitlines()[1:]]))
    return 0
