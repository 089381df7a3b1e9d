"""What every command prints and writes of a fitted estimator: states, exchange, validity."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from graphkoopman.cli._console import Console, in_words_of_the_command, indented
from graphkoopman.cli._tables import INTERVAL, save_figure, write_csv, write_table
from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.plotting import (
    plot_ck_test,
    plot_history,
    plot_state_description,
    plot_timescales,
)
from graphkoopman.report import Analysis, Study, analyse, closing_lines, exchange_text
from graphkoopman.tables import interval_columns

__all__ = [
    "Analysis",
    "analyse",
    "say_closing",
    "say_study",
    "table",
    "write_figures",
    "write_model",
]

POPULATION_HEADER = ["state", "population", *INTERVAL]
TIMESCALE_HEADER = ["process", "relaxation time / ps", *INTERVAL]
BOUND_HEADER = ["bound low", "bound high"]
RESIDUAL_HEADER = ["residual"]


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


def residual_rows(analysis: Analysis) -> list[list[str]]:
    """How far a true eigenvalue can be from each process's autocorrelation, as text."""
    model = analysis.model
    try:
        return [[f"{residual:.4g}"] for residual in model.residuals]
    except ValueError:  # no run is longer than two lags
        return [["-"]] * (model.n_states - 1)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in [header, *rows]
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def say_study(console: Console, study: Study) -> None:
    """Print populations, times, K, events, the states in words and what speaks against them."""
    analysis = study.analysis
    console.heading(f"States at a lag of {study.lag:g} ps")
    console.say(table(POPULATION_HEADER, population_rows(analysis)))
    rows = zip(timescale_rows(analysis), bound_rows(analysis), strict=True)
    times = [[*row, *bound] for row, bound in rows]
    console.say("\n" + table([*TIMESCALE_HEADER, *BOUND_HEADER], times))
    console.say("A true relaxation time lies within the bounds if the dynamics are in equilibrium.")
    console.say("\n" + table(*_pairs(study)))
    if not study.exchange.seen.all():
        console.say("not seen: nobody went, by any way; on average it takes at least what is given")
    console.heading("In words")
    for sentence in (*study.description.sentences, study.description.summary):
        console.say(indented(sentence))
    if study.verdict.notes:
        console.heading("What to know, and to do")
    for note in study.verdict.notes:
        console.say(indented(f"- {in_words_of_the_command(note)}"))


def say_closing(console: Console, study: Study, out: Path | str, following: str) -> None:
    """Print the ten lines that are left on the screen: verdict, states, where it is, what next."""
    console.heading("Summary")
    for line in closing_lines(study):
        console.say(line)
    console.say(f"written to {out}")
    console.say(following)


def _pairs(study: Study) -> tuple[list[str], list[list[str]]]:
    """One row per pair of states: K, mean time to reach and events."""
    matrix, events = study.analysis.model.koopman_matrix, study.core_residence.transitions
    rows = [
        [f"{i} → {j}", f"{matrix[i, j]:.4f}", *exchange_text(study, i, j), str(events[i, j])]
        for i, j in np.argwhere(~np.eye(study.n_states, dtype=bool))
    ]
    return ["pair", "K", "mean time to reach / ps", *INTERVAL, "events"], rows


def write_model(folder: Path, study: Study) -> None:
    """Populations, times, K and what the states are as tables, with their figures."""
    analysis = study.analysis
    write_csv(folder / "populations.csv", POPULATION_HEADER, population_rows(analysis))
    columns = zip(
        timescale_rows(analysis), bound_rows(analysis), residual_rows(analysis), strict=True
    )
    rows = [["nan" if word == "-" else word for part in row for word in part] for row in columns]
    header = [*TIMESCALE_HEADER, *BOUND_HEADER, *RESIDUAL_HEADER]
    write_csv(folder / "timescales.csv", header, rows)
    begin, end = np.indices((study.n_states, study.n_states))
    model, exchange = analysis.model, study.exchange
    write_table(
        folder / "transitions.csv",
        {
            "from": begin,
            "to": end,
            **interval_columns("K", model.koopman_matrix, model.koopman_matrix_interval()),
            **interval_columns("mean time to reach / ps", exchange.mean, exchange.interval),
            "seen": exchange.seen,
            "events": study.core_residence.transitions,
        },
    )
    write_table(folder / "description.csv", study.description.table())
    write_table(folder / "rules.csv", study.description.rules_table())
    lines = [*closing_lines(study), "", *study.verdict.notes, "", str(study.description)]
    (folder / "summary.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    figure, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
    plot_state_description(study.description, ax)
    save_figure(figure, folder / "description.png")
    write_figures(folder, study.estimator, analysis)


def write_figures(folder: Path, estimator: GDyNetEstimator, analysis: Analysis) -> None:
    """Timescales over the lag with the training history, and the CK test, as PNG files."""
    timestep = estimator.timestep_
    overview, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    plot_timescales(analysis.timescales, axes[0], timestep=timestep, models=analysis.models)
    plot_history(estimator.history_, axes[1])
    save_figure(overview, folder / "overview.png")
    save_figure(plot_ck_test(analysis.ck, timestep=timestep), folder / "ck_test.png")
