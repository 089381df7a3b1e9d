"""``graphkoopman select``: the lag and number of states that the data support."""

import argparse
from pathlib import Path

from matplotlib import pyplot as plt

from graphkoopman.cli._fit import lag_in_frames
from graphkoopman.cli._input import (
    featurizer_of,
    read_inputs,
)
from graphkoopman.cli._tables import save_figure, write_csv
from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.lobes import GatedEncoder
from graphkoopman.model_selection import ModelSelection, select_model, selection_report
from graphkoopman.plotting import plot_ck_errors, plot_selection_timescales, plot_state_scores


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    featurizer = featurizer_of(options, n_hops=options.convolutions)
    trajectories = read_inputs(options)
    timestep = trajectories[0].timestep
    max_lag = None if options.max_lag is None else lag_in_frames(options.max_lag, timestep)
    result = select_model(
        trajectories,
        [lag_in_frames(lag, timestep) for lag in options.lags],
        options.states,
        estimator=GDyNetEstimator(
            encoder=GatedEncoder(n_conv=options.convolutions),
            max_epochs=options.epochs,
            random_state=options.seed,
        ),
        featurizer=featurizer,
        n_splits=options.folds,
        max_lagtime=max_lag,
        n_jobs=options.jobs,
        verbose=True,
    )
    report = selection_report(result.selection, timestep=timestep)
    options.out.mkdir(parents=True, exist_ok=True)
    write_results(options.out, result, report)
    print(f"\n{report}\n\nmodel, tables and figures in {options.out}")
    return 0


def write_results(folder: Path, result: ModelSelection, report: str) -> None:
    """Model, report, tables and figures into a folder."""
    selection, timestep = result.selection, result.timestep
    result.estimator.save(folder / "model.safetensors")
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
