"""``graphkoopman select``: the lag and number of states that the data support."""

import argparse
import shutil
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

from graphkoopman.cli._console import Console
from graphkoopman.cli._fit import MODEL, lag_in_frames, save_model
from graphkoopman.cli._folder import check_output, output_folder, unfinished_folder
from graphkoopman.cli._input import featurizer_of, read_inputs
from graphkoopman.cli._model import follow_up, graphs_of
from graphkoopman.cli._record import Recorder, input_paths, read_record
from graphkoopman.cli._scheduler import scheduled
from graphkoopman.cli._tables import save_figure, write_csv
from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.lobes import GatedEncoder
from graphkoopman.model_selection import ModelSelection, select_model, selection_report
from graphkoopman.plotting import plot_ck_errors, plot_selection_timescales, plot_state_scores


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    with scheduled(options):
        return select(options)


def select(options: argparse.Namespace) -> int:
    """Search, write and say what was found."""
    console: Console = options.console
    check_output(options.out, options.overwrite)
    recorder = Recorder(options, options.arguments)
    featurizer = featurizer_of(options, n_hops=options.convolutions)
    trajectories = read_inputs(options)
    timestep = trajectories[0].timestep
    lags = [lag_in_frames(lag, timestep, console.say) for lag in options.lags]
    max_lag = (
        None if options.max_lag is None else lag_in_frames(options.max_lag, timestep, console.say)
    )
    recorder.inputs(input_paths(options))
    graphs = graphs_of(console, featurizer, trajectories)
    kept = begin(options, recorder)
    console.kept.append(
        f"candidates that are done are in {kept / 'candidates.csv'}; the same command goes on from "
        "there"
    )
    try:
        result = select_model(
            graphs,
            lags,
            options.states,
            estimator=GDyNetEstimator(
                encoder=GatedEncoder(n_conv=options.convolutions, r_max=options.reach),
                max_epochs=options.epochs,
                random_state=options.seed,
            ),
            n_splits=options.folds,
            max_lagtime=max_lag,
            n_jobs=options.jobs,
            checkpoint_dir=kept,
            verbose=console.shows_progress,
        )
    except ValueError:
        if not (kept / "candidates.csv").exists():
            shutil.rmtree(kept)
        raise
    report = selection_report(result.selection, timestep=timestep)
    with output_folder(options.out, options.overwrite) as folder:
        shutil.copy(kept / "candidates.csv", folder)
        write_results(folder, result, report, options)
        summary = summary_of(result)
        recorder.note(settings=result.estimator.get_params(), results=summary)
        recorder.write(folder, console)
    shutil.rmtree(kept)
    console.say(f"\n{report}\n\nmodel, tables and figures in {options.out}")
    console.say(follow_up("report", options, options.out / MODEL))
    console.summary = {"out": options.out, **summary}
    return 0


def begin(options: argparse.Namespace, recorder: Recorder) -> Path:
    """The folder of the candidates that are done: that of an earlier process, or a new one."""
    kept = unfinished_folder(options.out)
    if options.overwrite and kept.is_dir():
        names = ("options", "inputs")
        earlier = read_record(kept)
        if any(earlier.get(name) != recorder.content[name] for name in names):
            shutil.rmtree(kept)
    if not kept.is_dir():
        kept.mkdir(parents=True)
        recorder.write(kept, options.console, finished=False)
    return kept


def summary_of(result: ModelSelection) -> dict[str, Any]:
    """The key numbers, for programs."""
    selection, timestep = result.selection, result.timestep
    return {
        "n_states": selection.n_states,
        "lag_ps": selection.lagtime * timestep,
        "verdict": selection.verdict,
        "n_folds": selection.n_folds,
        "states": [vars(choice) for choice in selection.states],
        "lags": [
            {"lag_ps": lag.lagtime * timestep, "ck_error": lag.error,
             "half_width": lag.half_width, "verdict": lag.verdict}
            for lag in selection.lags
        ],
        "validation_score": result.estimator.validation_score_,
    }  # fmt: skip


def write_results(
    folder: Path, result: ModelSelection, report: str, options: argparse.Namespace
) -> None:
    """Model, report, tables and figures into a folder."""
    selection, timestep = result.selection, result.timestep
    save_model(folder / MODEL, options, result.estimator)
    (folder / "report.txt").write_text(report + "\n")
    write_csv(
        folder / "states.csv",
        ["states", "score", "behind best", "standard error"],
        [
            [str(c.n_states), f"{c.score:.6g}", f"{c.behind:.6g}", f"{c.standard_error:.6g}"]
            for c in selection.states
        ],
    )
    write_csv(
        folder / "lags.csv",
        ["lag / ps", "CK error", "95 % low", "95 % high", "verdict"],
        [
            [
                f"{lag.lagtime * timestep:g}",
                *(f"{lag.error + side * lag.half_width:.6g}" for side in (0, -1, 1)),
                lag.verdict,
            ]
            for lag in selection.lags
        ],
    )
    save_figure(plot_selection_timescales(result), folder / "timescales.png")
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    plot_state_scores(selection, axes[0])
    plot_ck_errors(selection, axes[1], timestep=timestep)
    save_figure(figure, folder / "selection.png")
