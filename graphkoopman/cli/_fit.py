"""``graphkoopman fit``: states and exchange times from a user's own trajectories."""

import argparse
import re
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from graphkoopman.cli._analysis import say_closing, say_study, write_model
from graphkoopman.cli._arguments import build_parser
from graphkoopman.cli._console import Console
from graphkoopman.cli._feed import write_feed
from graphkoopman.cli._folder import check_output, output_folder
from graphkoopman.cli._input import featurizer_of, read_inputs
from graphkoopman.cli._model import follow_up, graphs_of, say_inputs
from graphkoopman.cli._ranks import fit_on_ranks
from graphkoopman.cli._record import Recorder, input_paths, read_record, recorded_options
from graphkoopman.cli._scheduler import scheduled
from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.lobes import GatedEncoder
from graphkoopman.ranks import launched
from graphkoopman.report import Study, study, write_report

INTERRUPTED = 130
MODEL = "model.safetensors"


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    if options.config is not None:
        record = read_record(options.config)
        options = recorded_options(options, build_parser().parse_args(["fit"]), record)
    if not options.trajectories:
        raise ValueError("give trajectory files, or --config run.json of an earlier fit")
    with scheduled(options):
        return fit(options)


def fit(options: argparse.Namespace) -> int:
    """Learn states, analyse and write them."""
    console: Console = options.console
    check_output(options.out, options.overwrite)
    recorder = Recorder(options, options.arguments)
    featurizer = featurizer_of(options, n_hops=options.convolutions)
    with ExitStack() as stack:
        estimator, first = None, True
        if stack.enter_context(launched()):
            estimator, first = fit_on_ranks(options, featurizer, estimator_of, train)
        if not first:
            return 0
    fitted = estimator is not None
    trajectories = read_inputs(options, inspected=not fitted)
    recorder.inputs(input_paths(options))
    if estimator is None:  # settings are checked before the long work
        estimator = estimator_of(options, trajectories[0].timestep)
    graphs = graphs_of(console, featurizer, trajectories)
    say_inputs(console, options, trajectories, graphs)
    if not fitted:
        train(options, estimator, graphs)
    recorder.note(settings=estimator.get_params(), featurizer=featurizer.get_params())
    try:
        result = study(
            estimator, trajectories, graphs, options.targets, n_refits=options.refits,
            verbose=console.shows_progress,
        )  # fmt: skip
    except KeyboardInterrupt:
        keep_model(options, estimator, recorder)
        raise
    with output_folder(options.out, options.overwrite) as folder:
        write_fit(folder, options, result)
        recorder.note(results=result.summary())
        if options.report:
            write_report(folder / "report.html", result, record=recorder.content)
        recorder.write(folder, console)
    return _say_results(options, estimator, result)


def _say_results(options: argparse.Namespace, estimator: GDyNetEstimator, result: Study) -> int:
    """What was found, and what to do next; returns the exit code."""
    console: Console = options.console
    say_study(console, result)
    console.say(
        f"\nvalidation VAMP-2 {estimator.validation_score_:.3f} of at most {estimator.n_states}, "
        f"memberships cut off {estimator.clipped_mass_:.2%}"
        f"{agreement_of(estimator)}"
    )
    page = options.out / "report.html"
    following = (
        f"open {page} in a browser"
        if options.report
        else follow_up("report", options, options.out / MODEL)
    )
    say_closing(console, result, options.out, following)
    console.summary = {"out": options.out, **result.summary()}
    stopped = any("a signal stopped the training" in text for text in console.warnings)
    return INTERRUPTED if stopped else 0


def train(options: argparse.Namespace, estimator: GDyNetEstimator, graphs: list[Any]) -> None:
    """Fit; a signal is acted upon between steps, also where no checkpoint was asked for."""
    with ExitStack() as stack:
        if options.checkpoint is None:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="graphkoopman-"))
            estimator.set_params(checkpoint_dir=scratch)
        estimator.fit(graphs)
    estimator.set_params(checkpoint_dir=None)


def keep_model(options: argparse.Namespace, estimator: GDyNetEstimator, recorder: Recorder) -> None:
    """Save what a training has learned where its analysis was interrupted."""
    with output_folder(options.out, options.overwrite) as folder:
        save_model(folder / MODEL, options, estimator)
        recorder.write(folder, options.console, finished=False)
    options.console.kept.append(
        f"the model is saved; {follow_up('report', options, options.out / MODEL)}"
    )


def save_model(path: Path, options: argparse.Namespace, estimator: GDyNetEstimator) -> None:
    """The model with how it was fed."""
    estimator.save(path)
    write_feed(path, options)


def estimator_of(options: argparse.Namespace, timestep: float) -> GDyNetEstimator:
    """Estimator with the settings of the command line, for frames so many ps apart."""
    return GDyNetEstimator(
        n_states=options.states,
        lagtime=lag_in_frames(options.lag, timestep, options.console.say),
        encoder=GatedEncoder(n_conv=options.convolutions, r_max=options.reach),
        max_epochs=options.epochs,
        n_init=options.restarts,
        checkpoint_dir=options.checkpoint,
        device=options.device,
        random_state=options.seed,
        verbose=options.console.shows_progress,
    )


def write_fit(folder: Path, options: argparse.Namespace, result: Study) -> None:
    """Model, probabilities, tables and figures into a folder."""
    save_model(folder / MODEL, options, result.estimator)
    write_model(folder, result)
    arrays: dict[str, Any] = {f"trajectory_{i}": p for i, p in enumerate(result.probabilities)}
    np.savez_compressed(folder / "probabilities.npz", **arrays)


def agreement_of(estimator: GDyNetEstimator) -> str:
    """How far several starts agree, in words."""
    if len(estimator.start_scores_) < 2:
        return ""
    scores = ", ".join(f"{score:.3f}" for score in estimator.start_scores_)
    return (
        f"\nagreement of {len(estimator.start_scores_)} starts: Cohen's κ "
        f"{estimator.agreement_:.2f} (1 is the same states), validation scores {scores}"
    )


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
