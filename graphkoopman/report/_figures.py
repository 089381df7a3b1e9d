"""Figures of the report, each from one analysis: `dynamics`, `surroundings`, `places`, `motion`.

An analysis that the data do not allow leaves a sentence in place of its figure.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from graphkoopman.plotting import (
    plot_charge_integral,
    plot_ck_test,
    plot_conduction,
    plot_coordination,
    plot_exchange,
    plot_history,
    plot_populations,
    plot_residence_times,
    plot_spatial_map,
    plot_state_description,
    plot_state_profile,
    plot_state_rdf,
    plot_timescales,
    plot_transition_diffusion,
    plot_transition_msd,
)
from graphkoopman.report._html import figure, paragraph, table_of
from graphkoopman.report._study import Study
from graphkoopman.structure import (
    charge_integral,
    most_different,
    spatial_map,
    species_by_residue,
    state_profile,
    state_rdf,
)
from graphkoopman.trajectories import height_limit
from graphkoopman.transport import (
    conduction_contributions,
    transition_diffusion,
    transition_displacements,
)

LARGEST_RADIUS, BIN_WIDTH = 10.0, 0.1  # Å
MOST_SPECIES = 3
N_SLABS, N_VOXELS, N_LAGS = 50, 20, 12
SIZE = (5.2, 3.6)


def attempt(name: str, make: Callable[[], str]) -> str:
    """What ``make`` returns, or a sentence why it could not be made from these data."""
    try:
        return make()
    except ValueError as error:
        plt.close("all")
        return paragraph(f"{name}: not possible with these data ({error}).", "note")


def dynamics(study: Study) -> list[str]:
    """Exchange, relaxation over the lag, Chapman-Kolmogorov test, residence."""
    timestep = float(study.estimator.timestep_)
    return [
        attempt("exchange", lambda: _exchange(study)),
        attempt("timescales", lambda: _timescales(study, timestep)),
        attempt("ck", lambda: _ck(study, timestep)),
        attempt("residence", lambda: _residence(study)),
    ]


def _exchange(study: Study) -> str:
    drawing, ax = plt.subplots(figsize=(4.6, 4.6))
    plot_exchange(study.analysis.model, ax)
    caption = "Exchange between the states: areas are populations, numbers are rates in 1/ns."
    return figure(drawing, "exchange", caption)


def _timescales(study: Study, timestep: float) -> str:
    drawing, ax = plt.subplots(figsize=SIZE)
    plot_timescales(study.analysis.timescales, ax, timestep=timestep, models=study.analysis.models)
    caption = (
        "Relaxation times over the lag; a model that holds has flat lines above the grey region, "
        "in which nothing can be resolved."
    )
    return figure(drawing, "timescales", caption)


def _ck(study: Study, timestep: float) -> str:
    caption = "Chapman–Kolmogorov test: predictions of the model beside what is observed."
    return figure(plot_ck_test(study.analysis.ck, timestep=timestep), "ck", caption)


def _residence(study: Study) -> str:
    drawing, axes = plt.subplots(1, 2, figsize=(9.0, 3.4), sharey=True, layout="constrained")
    for ax, (title, result) in zip(
        axes,
        (("most probable state", study.residence), ("cores", study.core_residence)),
        strict=True,
    ):
        plot_residence_times(result, ax)
        ax.set_title(title)
    caption = (
        "Survival of visits. Left, every frame counts for its most probable state, so that flicker "
        "at a border ends visits; right, a visit ends when another state is reached for certain. "
        "Residence is of one state; relaxation times, above, are of all states together."
    )
    return figure(drawing, "residence", caption)


def surroundings(study: Study, charges: Any) -> list[str]:
    """Effect sizes, radial distributions, charge."""
    parts = [attempt("description", lambda: _description(study))]
    parts.append(attempt("radial distributions", lambda: _rdf(study)))
    if charges is not None:
        parts.append(attempt("charge", lambda: _charge(study, charges)))
    return parts


def _description(study: Study) -> str:
    drawing, ax = plt.subplots(figsize=(7.0, 0.9 + 0.42 * 3 * study.n_states))
    plot_state_description(study.description, ax)
    caption = "What tells the states apart: standardised differences with 95 % intervals."
    return figure(drawing, "description", caption)


def _radius(study: Study) -> float:
    return min(LARGEST_RADIUS, *(height_limit(item) for item in study.trajectories))


def _rdf(study: Study) -> str:
    r_max = _radius(study)
    groups = species_by_residue(study.trajectories, study.targets)
    n_bins = max(1, round(r_max / BIN_WIDTH))
    result = state_rdf(*study.data, r_max=r_max, n_bins=n_bins, species=groups)
    names = most_different(result, MOST_SPECIES)
    drawing, axes = plt.subplots(
        2, len(names), figsize=(3.6 * len(names), 5.6), squeeze=False, layout="constrained"
    )
    for column, name in enumerate(names):
        plot_state_rdf(result, axes[0, column], species=name)
        plot_coordination(result, axes[1, column], species=name)
    more = len(result.species) - len(names)
    rest = f", of {len(result.species)} those that differ most" if more > 0 else ""
    caption = f"Radial distributions and neighbours in the first shell of {', '.join(names)}{rest}."
    return figure(drawing, "rdf", caption)


def _charge(study: Study, charges: Any) -> str:
    r_max = _radius(study)
    result = charge_integral(
        *study.data, charges, r_max=r_max, n_bins=max(1, round(r_max / BIN_WIDTH))
    )
    drawing, ax = plt.subplots(figsize=SIZE)
    plot_charge_integral(result, ax)
    return figure(drawing, "charge", "Charge within a radius, that of the target included.")


def places(study: Study) -> list[str]:
    """Profile along the longest cell vector and a map of the most visited layer."""
    if any(item.cell is None for item in study.trajectories):
        return [paragraph("The system has no cell: there is no map of places in it.", "note")]
    return [
        attempt("profile", lambda: _profile(study)),
        attempt("map", lambda: _map(study)),
    ]


def _profile(study: Study) -> str:
    cells = study.trajectories[0].cells
    cell = np.eye(3) if cells is None else cells[0]
    axis = int(np.argmax(1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)))
    result = state_profile(*study.data, axis=axis, n_bins=N_SLABS)
    drawing, axes = plt.subplots(1, 2, figsize=(9.0, 3.4), layout="constrained")
    plot_state_profile(result, axes[0])
    plot_state_profile(result, axes[1], quantity="probability")
    return figure(drawing, "profile", f"States along {'abc'[axis]}, the longest cell vector.")


def _map(study: Study) -> str:
    result = spatial_map(*study.data, n_bins=N_VOXELS)
    layer = int(result.counts.sum(axis=(0, 1)).argmax())
    drawing, axes = plt.subplots(
        1, study.n_states, figsize=(3.6 * study.n_states, 3.2), squeeze=False, layout="constrained"
    )
    for state, ax in enumerate(axes[0]):
        plot_spatial_map(result, ax, state=state, layer=layer)
        for mesh in ax.collections:
            mesh.set_rasterized(True)
    return figure(drawing, "map", "Probability of each state in the layer visited most.")


def motion(study: Study, state_charges: Any, temperature: float | None) -> list[str]:
    """Displacement, diffusion and, where charges are known, conduction of the transitions."""
    parts = [
        attempt("displacement", lambda: _displacement(study)),
        attempt("diffusion", lambda: _diffusion(study)),
    ]
    if state_charges is None or temperature is None:
        parts.append(
            paragraph(
                "Conduction of the transitions needs the charges of the states and a temperature "
                "(--state-charges, --temperature).",
                "note",
            )
        )
    else:
        given = np.atleast_1d(np.asarray(state_charges, dtype=np.float64))
        charges = float(given[0]) if len(given) == 1 else given
        parts.append(attempt("conduction", lambda: _conduction(study, charges, float(temperature))))
    return parts


def _displacement(study: Study) -> str:
    shortest = min(len(item) for item in study.trajectories)
    longest = max(1, min(2 * study.estimator.lagtime, shortest // 2))
    lags = np.unique(np.linspace(1, longest, N_LAGS).round().astype(int))
    result = transition_displacements(*study.data, lags)
    drawing, ax = plt.subplots(figsize=SIZE)
    plot_transition_msd(result, ax)
    caption = (
        "Squared displacement of targets that begin in one state and end in another (colour: "
        "begin, line: end)."
    )
    return figure(drawing, "displacement", caption)


def _diffusion(study: Study) -> str:
    result = transition_diffusion(*study.data, study.estimator.lagtime)
    drawing, ax = plt.subplots(figsize=SIZE)
    plot_transition_diffusion(result, ax)
    return figure(drawing, "diffusion", "Diffusion of the transitions at the lag, eq. (14).")


def _conduction(study: Study, charges: Any, temperature: float) -> str:
    result = conduction_contributions(
        *study.data, study.analysis.model, state_charges=charges, temperature=temperature
    )
    drawing, ax = plt.subplots(figsize=SIZE)
    plot_conduction(result, ax)
    text = figure(drawing, "conduction", "Share of each transition in the conduction, eq. (15).")
    names = ("total", "nernst_einstein", "einstein", "closure")
    values = [getattr(result, name) for name in names]
    limits = np.array([getattr(result, f"{name}_interval") for name in names])
    columns = {
        "quantity": np.array(["sum of the transitions / S/cm", "Nernst–Einstein / S/cm",
                              "Einstein / S/cm", "closure"], dtype=object),
        "value": np.array(values), "95 % low": limits[:, 0], "95 % high": limits[:, 1],
    }  # fmt: skip
    return text + table_of(columns, "Conductivity")


def training(study: Study) -> list[str]:
    """Scores over the epochs, and populations."""
    drawing, axes = plt.subplots(1, 2, figsize=(9.0, 3.2), layout="constrained")
    plot_history(study.estimator.history_, axes[0])
    plot_populations(study.analysis.model, axes[1])
    return [figure(drawing, "history", "Scores in training, and populations of the states.")]
