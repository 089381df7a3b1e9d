"""``graphkoopman fit``: states and exchange times from a user's own trajectories."""

import argparse
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from graphkoopman.cli._analysis import (
    Analysis,
    analyse,
    print_model,
    write_model,
)
from graphkoopman.cli._input import (
    featurizer_of,
    read_inputs,
)
from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.lobes import GatedEncoder


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    featurizer = featurizer_of(options, n_hops=options.convolutions)
    trajectories = read_inputs(options)
    estimator = GDyNetEstimator(
        n_states=options.states,
        lagtime=lag_in_frames(options.lag, trajectories[0].timestep),
        encoder=GatedEncoder(n_conv=options.convolutions),
        max_epochs=options.epochs,
        n_init=options.restarts,
        random_state=options.seed,
        verbose=True,
    )
    options.out.mkdir(parents=True, exist_ok=True)
    graphs = featurizer.fit_transform(trajectories)
    for path, item in zip(options.runs, graphs, strict=True):
        print(f"{path}: {item}")
    estimator.fit(graphs)
    analysis = analyse(estimator, graphs, options.refits)
    estimator.save(options.out / "model.safetensors")
    write_model(options.out, estimator, analysis)
    arrays: dict[str, Any] = {
        f"trajectory_{i}": p for i, p in enumerate(estimator.transform(graphs))
    }
    np.savez_compressed(options.out / "probabilities.npz", **arrays)
    report(estimator, analysis)
    print(f"\nmodel, probabilities, tables and figures in {options.out}")
    return 0


def lag_in_frames(text: str, timestep: float, tell: Callable[[str], None] = print) -> int:
    """Frames of a lag given as a number of frames, or with a unit of ps or ns.

    A time is rounded to the nearest frame, of which there is at least one, and said.
    """
    match = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(ps|ns)?\s*", text)
    try:
        value = float(match.group(1)) if match else float("nan")
    except ValueError:
        value = float("nan")
    unit = match.group(2) if match else None
    exact = value if unit is None else value * {"ps": 1.0, "ns": 1000.0}[unit] / timestep
    frames = round(exact) if np.isfinite(exact) else 0
    if (unit is None and abs(exact - frames) > 1e-9) or not exact > 0 or (not frames and not unit):
        raise ValueError(
            f"--lag must be whole frames (of {timestep:g} ps), such as 10, or a time, such as "
            f"{10 * timestep:g}ps, got {text!r}"
        )
    frames = max(1, frames)
    if abs(exact - frames) > 1e-6 * exact:
        tell(
            f"{text.strip()} is {frames * timestep:.6g} ps, {frames} frame{'s' * (frames > 1)} of "
            f"{timestep:g} ps"
        )
    return frames


def report(estimator: GDyNetEstimator, analysis: Analysis) -> None:
    """Print populations, relaxation times and how far to trust them."""
    ess = estimator.history_[-1]["effective_sample_size"]
    print_model(estimator, analysis)
    print(f"\n{analysis.verdict}")
    print(
        f"\nvalidation VAMP-2 {estimator.validation_score_:.3f} of at most {estimator.n_states}, "
        f"memberships cut off {estimator.clipped_mass_:.2%}, "
        f"independent samples of the slowest process per batch {ess:.0f}"
    )
    if len(estimator.start_scores_) > 1:
        scores = ", ".join(f"{score:.3f}" for score in estimator.start_scores_)
        print(
            f"agreement of {len(estimator.start_scores_)} starts: Cohen's κ "
            f"{estimator.agreement_:.2f} (1 is the same states), validation scores {scores}"
        )
