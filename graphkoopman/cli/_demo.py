"""``graphkoopman demo``: the paper's toy system from simulation to a validated model."""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from graphkoopman.cli._analysis import Analysis, analyse, table, write_figures
from graphkoopman.cli._console import Console
from graphkoopman.cli._folder import check_output, output_folder
from graphkoopman.cli._record import Recorder
from graphkoopman.cli._tables import save_figure, write_csv
from graphkoopman.datasets import LiFCC, SiteReference, simulate_li_fcc
from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.graphs import GraphFeaturizer
from graphkoopman.plotting import plot_spatial_map, plot_timescales
from graphkoopman.structure import spatial_map

N_NEIGHBORS = 12  # the paper's M for this system
FRAME_INTERVAL = 0.1  # ps
HEADER = ["", "learned", "95 % interval", "sites", "error", "deviation"]
PIXELS = 40  # along each side of the map


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    lagtime = round(options.lag / FRAME_INTERVAL)
    if lagtime < 1 or options.duration * 1000 < 100 * options.lag:
        raise ValueError(
            f"--duration must be at least 100 lags ({0.1 * options.lag:g} ns) and --lag at least "
            f"{FRAME_INTERVAL} ps, got --duration {options.duration} --lag {options.lag}"
        )
    console: Console = options.console
    check_output(options.out, options.overwrite)
    recorder = Recorder(options, options.arguments)
    timed = partial(_timed, console)
    with timed(f"simulating 2 x {options.duration:g} ns"):
        seen, unseen = (
            simulate_li_fcc(1000.0 * options.duration, random_state=options.seed + i)
            for i in range(2)
        )
    with timed("building graphs"):
        featurizer = GraphFeaturizer(n_neighbors=N_NEIGHBORS, n_hops=3)
        seen_graphs, unseen_graphs = featurizer.transform([seen.trajectory, unseen.trajectory])
    with timed("training"):
        estimator = GDyNetEstimator(
            2, lagtime, random_state=options.seed, verbose=console.shows_progress
        )
        estimator.fit(seen_graphs)
    with timed("validating on the unseen trajectory"):
        analysis = analyse(estimator, [unseen_graphs])
        probabilities = estimator.transform(unseen_graphs)
    rows = comparison(analysis, unseen.reference, lagtime)
    with output_folder(options.out, options.overwrite) as folder:
        write_figures(folder, estimator, analysis)
        write_summary(folder / "demo.png", unseen, probabilities, analysis)
        estimator.save(folder / "model.safetensors")
        write_csv(folder / "comparison.csv", HEADER, rows)
        recorder.note(settings=estimator.get_params(), featurizer=featurizer.get_params())
        recorder.write(folder, console)
    console.say("\nUnseen trajectory, learned states against the sites visited in its frames:\n")
    console.say(table(HEADER, rows))
    console.say(f"\n{analysis.verdict}")
    console.say(f"figures, table and model in {options.out}")
    console.summary = {
        "out": options.out,
        "relaxation_times_ps": analysis.model.prior.timescales_ps(),
        "relaxation_times_interval_ps": analysis.model.timescales_ps_interval(),
        "counted_relaxation_time_ps": unseen.reference.relaxation_time,
        "populations": analysis.model.prior.empirical_populations,
        "verdict": analysis.verdict,
    }
    return 0


def comparison(analysis: Analysis, reference: SiteReference, lagtime: int) -> list[list[str]]:
    """Rows of learned values beside the reference of the same frames."""
    model = analysis.model
    learned = model.prior.timescales_ps()[0]
    low, high = model.timescales_ps_interval()[0]
    lagged = reference.at_lag(lagtime)
    rows = [
        [
            "relaxation time / ps, transitions counted",
            f"{learned:.1f}",
            f"{low:.1f} to {high:.1f}",
            f"{reference.relaxation_time:.1f}",
            f"± {reference.relaxation_time_error:.1f}",
            f"{learned / reference.relaxation_time - 1:+.1%}",
        ],
        [
            "relaxation time / ps, sites at the same lag",
            f"{learned:.1f}",
            f"{low:.1f} to {high:.1f}",
            f"{lagged.timescales[0]:.1f}",
            f"± {lagged.timescales_error[0]:.1f}",
            f"{learned / lagged.timescales[0] - 1:+.1%}",
        ],
    ]
    populations = model.prior.empirical_populations
    for state, name in enumerate(("octahedral", "tetrahedral")):
        low, high = model.populations_interval()[state]
        true = reference.populations[state]
        rows.append(
            [
                f"population of state {state}, {name}",
                f"{populations[state]:.3f}",
                f"{low:.3f} to {high:.3f}",
                f"{true:.3f}",
                f"± {reference.populations_error[state]:.3f}",
                f"{populations[state] - true:+.3f}",
            ]
        )
    return rows


def write_summary(
    path: Path, unseen: LiFCC, probabilities: list[NDArray[np.float64]], analysis: Analysis
) -> None:
    """One figure: where the states are, and how long they last, beside the sites' own answer."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    seen_from_above = spatial_map(
        unseen.trajectory, probabilities, None, n_bins=(PIXELS, PIXELS, 1)
    )
    plot_spatial_map(seen_from_above, axes[0], state=1)
    axes[0].set_title("where lithium was, seen along c")
    plot_timescales(analysis.timescales, axes[1], timestep=FRAME_INTERVAL)
    # the axis counts frames and is labelled in ps
    time = unseen.reference.relaxation_time / FRAME_INTERVAL
    error = unseen.reference.relaxation_time_error / FRAME_INTERVAL
    axes[1].axhspan(time - error, time + error, color="black", alpha=0.15, linewidth=0.0)
    axes[1].axhline(time, color="black", linestyle=":", label="counted from the sites visited")
    axes[1].set_title("how long it takes to exchange")
    axes[1].legend(loc="lower right")
    save_figure(figure, path)


@contextmanager
def _timed(console: Console, stage: str) -> Iterator[None]:
    console.say(f"{stage} …")
    begin = time.perf_counter()
    yield
    console.say(f"  {time.perf_counter() - begin:.1f} s")
