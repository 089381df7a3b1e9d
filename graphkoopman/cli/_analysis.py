"""What every command prints and writes of a fitted estimator: states, exchange, validity."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from deeptime.util.validation import ChapmanKolmogorovTest, ImpliedTimescales, implied_timescales
from matplotlib import pyplot as plt

from graphkoopman.cli._tables import INTERVAL, save_figure, write_csv
from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.graphs import GraphTrajectory
from graphkoopman.koopman import BootstrapKoopmanModel, ChapmanKolmogorovError, ck_error
from graphkoopman.plotting import plot_ck_test, plot_history, plot_timescales

POPULATION_HEADER = ["state", "population", *INTERVAL]
TIMESCALE_HEADER = ["process", "relaxation time / ps", *INTERVAL]
BOUND_HEADER = ["bound low", "bound high"]
MAX_MULTIPLE = 5
N_BOOTSTRAP = 200


@dataclass(frozen=True, eq=False)
class Analysis:
    """Koopman models of some trajectories at multiples of the lag.

    Attributes
    ----------
    model : BootstrapKoopmanModel
        At the estimator's lag.
    timescales : ImpliedTimescales
        Over the lags.
    ck : ChapmanKolmogorovTest
        Of the model against those at longer lags.
    markov : ChapmanKolmogorovError or None
        The same as one number with its verdict; None where no run is longer than two lags.
    models : list of BootstrapKoopmanModel
        At all lags.
    """

    model: BootstrapKoopmanModel
    timescales: ImpliedTimescales
    ck: ChapmanKolmogorovTest
    markov: ChapmanKolmogorovError | None
    models: list[BootstrapKoopmanModel]

    @property
    def verdict(self) -> str:
        """Whether the states are Markovian at the lag, in words."""
        if self.markov is None:
            return "Markovian at this lag: can't tell (no run is longer than two lags)"
        return str(self.markov)

    @property
    def ck_error(self) -> float:
        """Largest deviation between estimated and predicted transition probabilities."""
        return float(np.abs(self.ck.estimates - self.ck.predictions).max())


def analyse(
    estimator: GDyNetEstimator, graphs: Sequence[GraphTrajectory], n_refits: int = 0
) -> Analysis:
    """Estimate, with error bars, at the lag and as many multiples of it as the data carry."""
    lag = estimator.lagtime
    shortest = min(len(item) for item in graphs)
    # a model at a lag beyond half a trajectory would rest on its two ends alone
    n_lags = max(1, min(MAX_MULTIPLE, shortest // (2 * lag)))
    models = estimator.koopman_models(
        graphs, [lag * n for n in range(1, n_lags + 1)], N_BOOTSTRAP, n_refits
    )
    markov = None
    if shortest > 2 * lag:
        markov = ck_error(estimator.transform(graphs), lag, max(2, n_lags) * lag)
    return Analysis(
        models[0], implied_timescales(models), models[0].ck_test(models), markov, models
    )


def population_rows(analysis: Analysis) -> list[list[str]]:
    """State, population and 95 % interval, as text."""
    model = analysis.model
    return [
        [str(state), f"{population:.4f}", f"{low:.4f}", f"{high:.4f}"]
        for state, (population, (low, high)) in enumerate(
            zip(model.prior.empirical_populations, model.populations_interval(), strict=True)
        )
    ]


def timescale_rows(analysis: Analysis) -> list[list[str]]:
    """Process, relaxation time and 95 % interval in ps, as text."""
    model = analysis.model
    times = model.prior.timescales_ps()
    return [
        [str(process), f"{time:.4g}", f"{low:.4g}", f"{high:.4g}"]
        for process, (time, (low, high)) in enumerate(
            zip(times, model.timescales_ps_interval(), strict=True), start=1
        )
    ]


def bound_rows(analysis: Analysis) -> list[list[str]]:
    """Bounds of the relaxation time of each process in ps, as text."""
    model = analysis.model
    try:
        return [[f"{low:.4g}", f"{high:.4g}"] for low, high in model.timescale_bounds_ps()]
    except ValueError:  # no run is longer than two lags
        return [["-", "-"]] * (model.n_states - 1)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in [header, *rows]
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def print_model(estimator: GDyNetEstimator, analysis: Analysis) -> None:
    """Print populations and relaxation times."""
    print(f"\nStates at a lag of {estimator.lagtime * estimator.timestep_:g} ps\n")
    print(table(POPULATION_HEADER, population_rows(analysis)))
    print()
    rows = zip(timescale_rows(analysis), bound_rows(analysis), strict=True)
    print(table([*TIMESCALE_HEADER, *BOUND_HEADER], [[*row, *bound] for row, bound in rows]))
    print("\nA true relaxation time lies within the bounds if the dynamics are in equilibrium.")


def write_model(folder: Path, estimator: GDyNetEstimator, analysis: Analysis) -> None:
    """Populations and relaxation times as tables, with their figures."""
    write_csv(folder / "populations.csv", POPULATION_HEADER, population_rows(analysis))
    write_csv(folder / "timescales.csv", TIMESCALE_HEADER, timescale_rows(analysis))
    write_figures(folder, estimator, analysis)


def write_figures(folder: Path, estimator: GDyNetEstimator, analysis: Analysis) -> None:
    """Timescales over the lag with the training history, and the CK test, as PNG files."""
    timestep = estimator.timestep_
    overview, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    plot_timescales(analysis.timescales, axes[0], timestep=timestep, models=analysis.models)
    plot_history(estimator.history_, axes[1])
    save_figure(overview, folder / "overview.png")
    save_figure(plot_ck_test(analysis.ck, timestep=timestep), folder / "ck_test.png")
