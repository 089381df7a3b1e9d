"""``graphkoopman export``: states of every atom for other programs."""

import argparse
from pathlib import Path

from graphkoopman.cli._folder import check_file
from graphkoopman.cli._model import feed
from graphkoopman.cli._record import Recorder, input_paths
from graphkoopman.export import FORMATS, write_states


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    console = options.console
    kind = options.format
    out = options.out or Path("states" + FORMATS[kind or "extxyz"][0])
    check_file(out, options.overwrite)
    recorder = Recorder(options, options.arguments)
    fed = feed(options)
    probs = fed.estimator.transform(fed.graphs(console))
    write_states(out, fed.trajectories, probs, fed.options.targets, format=kind)
    recorder.inputs(input_paths(fed.options))
    recorder.write_beside(out, console)
    size = out.stat().st_size
    n_frames = sum(len(item) for item in fed.trajectories)
    console.say(f"{n_frames} frames in {out} ({size / 1e6:.1f} MB)")
    console.summary = {"out": out, "frames": n_frames, "bytes": size}
    return 0
