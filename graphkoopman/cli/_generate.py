"""``graphkoopman generate``: a sequence of states with an environment for each, as extended XYZ."""

import argparse
from typing import Any

import numpy as np

from graphkoopman.cli._input import featurizer_of, read_inputs
from graphkoopman.cli._model import check_timesteps
from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.generation import EnvironmentDecoder, rewire, sample_states
from graphkoopman.koopman import estimate_koopman


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    import ase.io

    check_counts(options)
    estimator = GDyNetEstimator.load(options.model)
    if options.start is not None and not 0 <= options.start < estimator.n_states:
        raise ValueError(
            f"--start must be a state from 0 to {estimator.n_states - 1}, got {options.start}"
        )
    featurizer = featurizer_of(options, n_hops=estimator.n_hops_)
    trajectories = read_inputs(options)
    check_timesteps(trajectories, estimator.timestep_)
    probs = estimator.transform(featurizer.fit_transform(trajectories))
    model = estimate_koopman(
        probs, estimator.lagtime, timestep=estimator.timestep_, constraint="stochastic"
    )
    times = ", ".join(f"{time:.4g}" for time in model.timescales_ps())
    print(f"relaxation times of the model / ps: {times}")
    draw = _real if options.real else _new
    frames = draw(options, trajectories, probs, model)
    for number, atoms in enumerate(frames):
        atoms.info["time_ps"] = number * model.lagtime * estimator.timestep_
        atoms.info["state"] = int(np.argmax(atoms.info["probs"]))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    ase.io.write(options.out, frames, format="extxyz")
    states = np.bincount([atoms.info["state"] for atoms in frames], minlength=model.n_states)
    shares = ", ".join(f"state {i} {share:.1%}" for i, share in enumerate(states / len(frames)))
    print(f"{len(frames)} frames, {frames[-1].info['time_ps']:g} ps: {shares}")
    print(f"written to {options.out}")
    return 0


def _new(options: argparse.Namespace, trajectories: Any, probs: Any, model: Any) -> list[Any]:
    """Environments by a decoder that learns from the trajectories first."""
    states = sample_states(model, options.frames, start=options.start, random_state=options.seed)
    decoder = EnvironmentDecoder(
        options.around, n_steps=options.steps, random_state=options.seed, verbose=True
    )
    decoder.fit(trajectories, probs, options.targets)
    print(
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
