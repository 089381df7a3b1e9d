"""``graphkoopman reproduce``: the paper's protocol for its three systems, beside its numbers."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graphkoopman.cli._analysis import Analysis, analyse, table
from graphkoopman.cli._arguments import PAPER_SYSTEMS
from graphkoopman.cli._console import Console
from graphkoopman.cli._fit import lag_in_frames
from graphkoopman.cli._folder import check_output, output_folder
from graphkoopman.cli._model import graphs_of
from graphkoopman.cli._record import Recorder, input_paths
from graphkoopman.cli._tables import INTERVAL, write_csv
from graphkoopman.datasets import (
    GDYNET_TIMESTEPS,
    fetch_gdynet,
    li_fcc_reference,
    simulate_li_fcc,
)
from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.graphs import GraphFeaturizer
from graphkoopman.koopman import fcc_site_graph, global_koopman
from graphkoopman.trajectories import Trajectory, read_trajectory, segments

HEADER = ["", "paper", "here", *INTERVAL]
SHORTEST_IN_LAGS = 4  # of a simulated or given run, so that both halves hold two lags


@dataclass(frozen=True)
class Protocol:
    """How the paper treats one system, and what it finds.

    Attributes
    ----------
    archive : str
        Name for `fetch_gdynet`.
    n_neighbors, n_states : int
    lag : str
        With its unit.
    times : tuple of str
        Relaxation times in ps, slowest first, as printed; empty where the text gives none.
    populations : tuple of str
        Of the states, falling; empty where the text gives none.
    global_time : str or None
        Slowest relaxation time in ps of the 12-site matrix built from the local one.
    """

    archive: str
    n_neighbors: int
    n_states: int
    lag: str
    times: tuple[str, ...] = ()
    populations: tuple[str, ...] = ()
    global_time: str | None = None


PROTOCOLS = dict(
    zip(
        PAPER_SYSTEMS,
        (
            Protocol("toy", 12, 2, "10ps", times=("42.3",), global_time="531"),
            Protocol("si_au", 20, 4, "3ns", times=("538000", "73200", "2260")),
            Protocol(
                "peo_litfsi",
                20,
                4,
                "0.8ns",
                populations=("0.506 ± 0.008", "0.273 ± 0.004", "0.151 ± 0.004", "0.070 ± 0.009"),
            ),
        ),
        strict=True,
    )
)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    console: Console = options.console
    protocol = PROTOCOLS[options.system]
    out = options.out or Path(f"graphkoopman-{options.system}")
    check_output(out, options.overwrite)
    recorder = Recorder(options, options.arguments)
    trajectories = read(options, protocol)
    recorder.inputs(input_paths(options))
    timestep = trajectories[0].timestep
    lag = lag_in_frames(options.lag or protocol.lag, timestep, console.say)
    check_length(trajectories, lag, options)
    seen, unseen = split(trajectories)
    featurizer = GraphFeaturizer(options.targets, n_neighbors=protocol.n_neighbors)
    estimator = GDyNetEstimator(
        protocol.n_states,
        lag,
        max_epochs=options.epochs,
        random_state=options.seed,
        verbose=console.shows_progress,
    )
    about = origin(options, unseen, lag)
    estimator.fit(graphs_of(console, featurizer, seen))
    analysis = analyse(estimator, featurizer.transform(unseen))
    rows = comparison(protocol, analysis)
    with output_folder(out, options.overwrite) as folder:
        estimator.save(folder / "model.safetensors")
        write_csv(folder / "comparison.csv", HEADER, rows)
        recorder.note(settings=estimator.get_params(), featurizer=featurizer.get_params())
        recorder.write(folder, console)
    console.say(
        f"\n{options.system}: {protocol.n_states} states, M = {protocol.n_neighbors}, lag "
        f"{lag * estimator.timestep_:g} ps; learned from {length(seen)}, tested on "
        f"{length(unseen)}\n"
    )
    console.say(table(HEADER, rows))
    console.say(
        f"\nCK test: largest deviation {analysis.ck_error:.3f}; the paper prints no number\n"
        f"{about}\nmodel and table in {out}"
    )
    console.summary = {
        "out": out,
        "system": options.system,
        "lag_ps": lag * estimator.timestep_,
        "relaxation_times_ps": analysis.model.prior.timescales_ps(),
        "relaxation_times_interval_ps": analysis.model.timescales_ps_interval(),
        "populations": analysis.model.prior.empirical_populations,
        "ck_deviation": analysis.ck_error,
    }
    return 0


def read(options: argparse.Namespace, protocol: Protocol) -> list[Trajectory]:
    """Trajectories given, downloaded, or simulated."""
    files, timestep = options.data, options.timestep
    if options.download:
        files = fetch_gdynet(protocol.archive)
        timestep = timestep or GDYNET_TIMESTEPS.get(protocol.archive)
    if files is not None:
        return [read_trajectory(path, top=options.top, timestep=timestep) for path in files]
    if options.system != "li-fcc":
        raise ValueError(
            f"{options.system} cannot be simulated here; give --data with trajectories of such a "
            "system, or --download for the paper's own"
        )
    if options.targets is not None or options.timestep is not None or options.top is not None:
        raise ValueError("--top, --targets and --timestep need --data or --download")
    return [simulate_li_fcc(1000.0 * options.duration, random_state=options.seed).trajectory]


def check_length(trajectories: Sequence[Trajectory], lag: int, options: argparse.Namespace) -> None:
    """Raise on runs whose parts would hold no lag worth the name."""
    shortest = min(len(item) for item in trajectories)
    if shortest < SHORTEST_IN_LAGS * lag:
        remedy = "raise --duration" if not (options.data or options.download) else "give a --lag"
        raise ValueError(
            f"every run must hold at least {SHORTEST_IN_LAGS} lags ({SHORTEST_IN_LAGS * lag} "
            f"frames), got {shortest} frames; {remedy}"
        )


def split(trajectories: Sequence[Trajectory]) -> tuple[list[Trajectory], list[Trajectory]]:
    """What is learned from and what is tested on, as in the paper."""
    if len(trajectories) == 1:
        first, second = segments(trajectories[0], 2)
        return [first], [second]
    return list(trajectories[:1]), list(trajectories[1:])


def length(trajectories: Sequence[Trajectory]) -> str:
    """Duration of all runs, for people."""
    total = sum(len(item) * item.timestep for item in trajectories)
    runs = f"{len(trajectories)} run{'s' if len(trajectories) > 1 else ''}"
    return f"{total / 1000:.4g} ns ({runs})"


def comparison(protocol: Protocol, analysis: Analysis) -> list[list[str]]:
    """Quantity, the paper's value, ours and its 95 % interval, as text."""
    model = analysis.model
    rows = [
        row(f"relaxation time {i + 1} / ps", published(protocol.times, i), time, limits)
        for i, (time, limits) in enumerate(
            zip(model.prior.timescales_ps(), model.timescales_ps_interval(), strict=True)
        )
    ]
    if protocol.global_time is not None:
        sites = global_koopman(model, fcc_site_graph())
        limits = np.asarray(sites.timescales_ps_interval)[0]
        name, time = "slowest over 12 sites / ps", sites.timescales_ps[0]
        rows.append(row(name, protocol.global_time, time, limits))
    return rows + [
        row(f"population of state {i}", published(protocol.populations, i), population, limits)
        for i, (population, limits) in enumerate(
            zip(model.prior.empirical_populations, model.populations_interval(), strict=True)
        )
    ]


def published(values: Sequence[str], number: int) -> str:
    """The paper's value, or a dash."""
    return values[number] if number < len(values) else "-"


def row(name: str, paper: str, value: float, limits: Sequence[float]) -> list[str]:
    """One line of the table."""
    return [name, paper, f"{value:.3g}", *(f"{limit:.3g}" for limit in limits)]


def origin(options: argparse.Namespace, unseen: Sequence[Trajectory], lag: int) -> str:
    """What the trajectories are, and what is known of them."""
    if options.download:
        return "These are the paper's own trajectories."
    if options.data:
        return (
            "Numbers agree only as far as the given trajectories do with the paper's: force field, "
            "temperature, length."
        )
    reference = li_fcc_reference(unseen[0])
    lagged, observed = reference.at_lag(lag), reference.global_reference
    return (
        "Simulated with a stand-in for the paper's potential. Sites visited in the same frames: "
        f"{lagged.timescales[0]:.1f} ± {lagged.timescales_error[0]:.1f} ps at this lag, slowest "
        f"over the sites {observed.multiplet:.0f} ± {observed.multiplet_error:.0f} ps, "
        f"octahedral population {reference.populations[0]:.3f} ± "
        f"{reference.populations_error[0]:.3f}."
    )
