"""``graphkoopman generate``: a sequence of states with an environment for each, as extended XYZ."""

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np

from graphkoopman.cli._console import Console
from graphkoopman.cli._folder import check_file
from graphkoopman.cli._model import feed
from graphkoopman.cli._record import Recorder, input_paths
from graphkoopman.generation import EnvironmentDecoder, rewire, sample_states
from graphkoopman.koopman import estimate_koopman
from graphkoopman.storage import replacing


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""

    console: Console = options.console
    check_counts(options)
    check_file(options.out, options.overwrite)
    recorder = Recorder(options, options.arguments)
    fed = feed(options)
    estimator, options, trajectories = fed.estimator, fed.options, fed.trajectories
    if options.start is not None and not 0 <= options.start < estimator.n_states:
        raise ValueError(
            f"--start must be a state from 0 to {estimator.n_states - 1}, got {options.start}"
        )
    recorder.inputs(input_paths(options))
    probs = estimator.transform(fed.graphs(console))
    model = estimate_koopman(
        probs, estimator.lagtime, timestep=estimator.timestep_, constraint="stochastic"
    )
    times = ", ".join(f"{time:.4g}" for time in model.timescales_ps())
    console.say(f"relaxation times of the model / ps: {times}")
    draw = _real if options.real else _new
    frames = draw(options, trajectories, probs, model)
    for number, atoms in enumerate(frames):
        atoms.info["time_ps"] = number * model.lagtime * estimator.timestep_
        atoms.info["state"] = int(np.argmax(atoms.info["probs"]))
    write_frames(options.out, frames)
    states = np.bincount([atoms.info["state"] for atoms in frames], minlength=model.n_states)
    shares = states / len(frames)
    text = ", ".join(f"state {i} {share:.1%}" for i, share in enumerate(shares))
    length = frames[-1].info["time_ps"]
    console.summary = {
        "out": options.out, "frames": len(frames), "length_ps": length, "populations": shares,
        "relaxation_times_ps": model.timescales_ps(),
    }  # fmt: skip
    recorder.note(settings=estimator.get_params(), results=console.summary)
    recorder.write_beside(options.out, console)
    console.say(f"{len(frames)} frames, {length:g} ps: {text}")
    console.say(f"written to {options.out}")
    return 0


def write_frames(path: Path, frames: list[Any]) -> None:
    """Extended XYZ, whole or not at all."""
    import ase.io

    text = io.StringIO()
    ase.io.write(text, frames, format="extxyz")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def _new(options: argparse.Namespace, trajectories: Any, probs: Any, model: Any) -> list[Any]:
    """Environments by a decoder that learns from the trajectories first."""
    states = sample_states(model, options.frames, start=options.start, random_state=options.seed)
    decoder = EnvironmentDecoder(
        options.around, n_steps=options.steps, random_state=options.seed,
        verbose=options.console.shows_progress,
    )  # fmt: skip
    decoder.fit(trajectories, probs, options.targets)
    options.console.say(
        f"decoder trained in {decoder.fit_seconds_:.0f} s on {len(decoder.environments_)} "
        f"environments; {decoder.acceptance_:.1%} of what it draws has no atoms too close"
    )
    return decoder.sample(np.eye(model.n_states)[states[:, 0]])


def _real(options: argparse.Namespace, trajectories: Any, probs: Any, model: Any) -> list[Any]:
    """Environments of the trajectories."""
    sequence = rewire(
        trajectories, probs, model, options.frames, start=options.start, random_state=options.seed
    )
    return sequence.environments(trajectories, options.targets, n_neighbors=options.around)


def check_counts(options: argparse.Namespace) -> None:
    """Raise on numbers below one, before any long work."""
    for name in ("frames", "around", "steps"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} must be 1 or more, got {getattr(options, name)}")
