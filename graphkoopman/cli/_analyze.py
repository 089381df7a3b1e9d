"""``graphkoopman analyze``: everything a saved model says about trajectories, old or new."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from graphkoopman.cli._analysis import Analysis, say_closing, say_study, write_model
from graphkoopman.cli._arguments import CUT_RADIUS
from graphkoopman.cli._folder import check_output, output_folder
from graphkoopman.cli._model import feed, follow_up
from graphkoopman.cli._record import Recorder, input_paths
from graphkoopman.cli._request import Request
from graphkoopman.cli._results import write_analyses
from graphkoopman.cli._tables import save_figure
from graphkoopman.plotting import plot_eigenvectors, plot_populations
from graphkoopman.report import study
from graphkoopman.trajectories import Trajectory, height_limit, resolve_targets

LARGEST_RADIUS = 10.0  # Å, where the cell allows it


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    console = options.console
    check_output(options.out, options.overwrite)
    recorder = Recorder(options, options.arguments)
    fed = feed(options)
    options, trajectories = fed.options, fed.trajectories
    check_conduction(options.state_charges, options.temperature, fed.estimator.n_states)
    check_drift(options.drift, trajectories, options.targets)
    check_counts(options)
    r_max = radius("--r-max", trajectories, options.r_max, LARGEST_RADIUS)
    cut_radius = radius("--cut-radius", trajectories, options.cut_radius, CUT_RADIUS)
    charges = None if options.charges is None else read_charges(options.charges, trajectories)
    recorder.inputs(input_paths(options))
    result = study(
        fed.estimator, trajectories, fed.graphs(console), options.targets, charges=charges,
        verbose=console.shows_progress,
    )  # fmt: skip
    say_study(console, result)
    request = Request(
        trajectories=trajectories,
        probabilities=result.probabilities,
        targets=options.targets,
        model=result.analysis.model,
        r_max=r_max,
        charges=charges,
        state_charges=options.state_charges,
        temperature=options.temperature,
        drift=None if options.drift == "none" else options.drift,
        method=options.method,
        voxels=options.voxels,
        cut_outs=options.cut_outs,
        cut_radius=cut_radius,
    )
    with output_folder(options.out, options.overwrite) as folder:
        write_model(folder, result)
        write_states(folder, result.analysis)
        write_analyses(folder, request, console)
        recorder.note(results=result.summary())
        recorder.write(folder, console)
    say_closing(console, result, options.out, follow_up("report", options, options.model))
    console.summary = {"out": options.out, **result.summary()}
    return 0


def check_conduction(
    state_charges: Sequence[float] | None, temperature: float | None, n_states: int
) -> None:
    """Raise on charges that do not match the states, or on no temperature of this world."""
    if state_charges is not None and not (
        len(state_charges) in (1, n_states)
        and np.isfinite(state_charges).all()
        and np.any(state_charges)
    ):
        raise ValueError(
            f"--state-charges must be {n_states} finite numbers in e, or one for all states, and "
            f"not all zero, got {' '.join(f'{charge:g}' for charge in state_charges)}"
        )
    if temperature is not None and not 0 < temperature < np.inf:
        raise ValueError(f"--temperature must be a positive number of K, got {temperature:g}")


def check_drift(drift: str, trajectories: Sequence[Trajectory], targets: str | None) -> None:
    """Raise where a framework is asked for and there is none."""
    for item in trajectories:
        own = item.species[resolve_targets(targets, item).atoms]
        if drift == "framework" and np.isin(item.species, own).all():
            raise ValueError(
                "--drift framework needs atoms of species other than those of the targets, got "
                "none; use --drift system"
            )


def check_counts(options: argparse.Namespace) -> None:
    """Raise on a map without voxels, or a negative number of neighbourhoods."""
    for name, lowest in (("voxels", 1), ("cut_outs", 0)):
        if getattr(options, name) < lowest:
            raise ValueError(
                f"--{name.replace('_', '-')} must be {lowest} or more, got {getattr(options, name)}"
            )


def radius(
    name: str, trajectories: Sequence[Trajectory], asked: float | None, default: float
) -> float:
    """A radius in Å: the one asked for, or what all cells allow up to a default."""
    limit = min(height_limit(item) for item in trajectories)
    if asked is None:
        return min(default, limit)
    if not 0 < asked <= limit * (1.0 + 1e-9):
        raise ValueError(
            f"{name} must be > 0 and at most half the smallest height of the cell "
            f"({limit:.6g} Å), got {asked:g}"
        )
    return asked


def read_charges(path: Path, trajectories: Sequence[Trajectory]) -> NDArray[np.float64]:
    """Charges of all atoms in e from a text file; # begins a comment."""
    words = [word for line in path.read_text().splitlines() for word in line.split("#")[0].split()]
    try:
        charges = np.array([float(word) for word in words])
    except ValueError as error:
        raise ValueError(f"--charges must be a file of numbers, got {path}: {error}") from error
    n_atoms = sorted({item.n_atoms for item in trajectories})
    if n_atoms != [len(charges)] or not np.isfinite(charges).all():
        raise ValueError(
            f"--charges must be one finite number for each of the {n_atoms} atoms, got "
            f"{len(charges)} numbers in {path}"
        )
    return charges


def write_states(folder: Path, analysis: Analysis) -> None:
    """Populations and processes of the states as a figure."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    plot_populations(analysis.model, axes[0])
    plot_eigenvectors(analysis.model, axes[1])
    save_figure(figure, folder / "states.png")
