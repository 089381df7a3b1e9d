"""``graphkoopman demo``: the paper's toy system from simulation to a validated model."""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from graphkoopman.cli._analysis import Analysis, analyse, table, write_figures
from graphkoopman.cli._tables import save_figure
from graphkoopman.datasets import LiFCC, SiteReference, simulate_li_fcc
from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.graphs import GraphFeaturizer
from graphkoopman.plotting import plot_spatial_map, plot_timescales
from graphkoopman.structure import spatial_map

N_NEIGHBORS = 12  # the paper's M for this system
FRAME_INTERVAL = 0.1  # ps
PIXELS = 40  # along each side of the map


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    lagtime = round(options.lag / FRAME_INTERVAL)
    if lagtime < 1 or options.duration * 1000 < 100 * options.lag:
        raise ValueError(
            f"--duration must be at least 100 lags ({0.1 * options.lag:g} ns) and --lag at least "
            f"{FRAME_INTERVAL} ps, got --duration {options.duration} --lag {options.lag}"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    with _timed(seconds, f"simulating 2 x {options.duration:g} ns"):
        seen, unseen = (
            simulate_li_fcc(1000.0 * options.duration, random_state=options.seed + i)
            for i in range(2)
        )
    with _timed(seconds, "building graphs"):
        featurizer = GraphFeaturizer(n_neighbors=N_NEIGHBORS, n_hops=3)
        seen_graphs, unseen_graphs = featurizer.transform([seen.trajectory, unseen.trajectory])
    with _timed(seconds, "training"):
        estimator = GDyNetEstimator(2, lagtime, random_state=options.seed, verbose=True)
        estimator.fit(seen_graphs)
    with _timed(seconds, "validating on the unseen trajectory"):
        analysis = analyse(estimator, [unseen_graphs])
        write_figures(options.out, estimator, analysis)
        probabilities = estimator.transform(unseen_graphs)
        write_summary(options.out / "demo.png", unseen, probabilities, analysis)
    estimator.save(options.out / "model.safetensors")
    print("\nUnseen trajectory, learned states against the sites visited in the same frames:\n")
    print(comparison(analysis, unseen.reference, lagtime))
    print(f"\n{analysis.verdict}")
    print("wall time: " + ", ".join(f"{name} {t:.1f} s" for name, t in seconds.items()))
    print(f"figures and model in {options.out}")
    return 0


def comparison(analysis: Analysis, reference: SiteReference, lagtime: int) -> str:
    """Table of learned values beside the reference of the same frames."""
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
    return table(["", "learned", "95 % interval", "sites", "error", "deviation"], rows)


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
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    print(f"{stage} …", flush=True)
    begin = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - begin
