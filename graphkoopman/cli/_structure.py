"""Surroundings and places of the states as tables, figures and cut-outs."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from graphkoopman.cli._request import Request
from graphkoopman.cli._tables import INTERVAL, rows, save_figure, with_limits, write_csv
from graphkoopman.plotting import (
    plot_charge_integral,
    plot_coordination,
    plot_spatial_map,
    plot_state_profile,
    plot_state_rdf,
)
from graphkoopman.structure import (
    EmptyStateWarning,
    charge_integral,
    most_different,
    representative_frames,
    select_representatives,
    spatial_map,
    species_by_residue,
    state_profile,
    state_rdf,
)

N_SLABS = 50
MOST_PANELS = 4  # species of the figure of radial distributions; the table has all


def write_rdf(folder: Path, request: Request) -> None:
    """Radial distribution functions and coordination numbers of each species."""
    groups = species_by_residue(request.trajectories, request.targets)
    result = state_rdf(*request.data, r_max=request.r_max, n_bins=request.n_bins, species=groups)
    states = np.arange(len(result.g))[:, None, None]
    species = np.array(result.species)[:, None]
    for name, r, values, limits in (
        ("g", result.r, result.g, result.g_interval),
        ("coordination", result.edges[1:], result.coordination, result.coordination_interval),
    ):
        header = ["state", "species", "r / angstrom", name, *INTERVAL]
        write_csv(
            folder / f"{'rdf' if name == 'g' else name}.csv",
            header,
            rows(states, species, r, values, limits[..., 0], limits[..., 1]),
        )
    chosen = most_different(result, MOST_PANELS)
    n_species = len(chosen)
    figure, axes = plt.subplots(
        2, n_species, figsize=(4.5 * n_species, 6.5), squeeze=False, layout="constrained"
    )
    for column, name in enumerate(chosen):
        plot_state_rdf(result, axes[0, column], species=name)
        plot_coordination(result, axes[1, column], species=name)
    save_figure(figure, folder / "rdf.png")


def write_charge(folder: Path, request: Request) -> None:
    """Charge around the targets."""
    charges: Any = request.charges  # there are some, or this table is not asked for
    result = charge_integral(*request.data, charges, r_max=request.r_max, n_bins=request.n_bins)
    states, limits = np.arange(len(result.charge))[:, None], result.charge_interval
    write_csv(
        folder / "charge.csv",
        ["state", "r / angstrom", "charge / e", *INTERVAL],
        rows(states, result.r, result.charge, limits[..., 0], limits[..., 1]),
    )
    figure, ax = plt.subplots(layout="constrained")
    plot_charge_integral(result, ax)
    save_figure(figure, folder / "charge.png")


def write_profile(folder: Path, request: Request) -> None:
    """States along the third cell vector."""
    result = state_profile(*request.data, axis="c", n_bins=N_SLABS)
    states, limits = np.arange(len(result.density))[:, None], result.density_interval
    shares = result.probability_interval
    columns = [result.density, limits[..., 0], limits[..., 1]]
    columns += [result.probability, shares[..., 0], shares[..., 1]]
    write_csv(
        folder / "profile.csv",
        [
            "state",
            "position / angstrom",
            *with_limits("density / angstrom^-3"),
            *with_limits("probability"),
        ],
        rows(states, result.position, *columns),
    )
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    plot_state_profile(result, axes[0])
    plot_state_profile(result, axes[1], quantity="probability")
    save_figure(figure, folder / "profile.png")


def write_map(folder: Path, request: Request) -> None:
    """States in voxels of the cell that targets visit, and the layer that they visit most."""
    result = spatial_map(*request.data, n_bins=request.voxels)
    state, *voxel = np.nonzero(np.broadcast_to(result.counts > 0, result.probability.shape))
    limits = result.probability_interval[state, *voxel]
    write_csv(
        folder / "map.csv",
        ["state", "a", "b", "c", "visits", *with_limits("probability")],
        rows(
            state,
            *voxel,
            result.counts[tuple(voxel)],
            result.probability[state, *voxel],
            limits[:, 0],
            limits[:, 1],
        ),
    )
    n_states = len(result.probability)
    layer = int(result.counts.sum(axis=(0, 1)).argmax())
    figure, axes = plt.subplots(
        1, n_states, figsize=(4.5 * n_states, 4.0), squeeze=False, layout="constrained"
    )
    for number, ax in enumerate(axes[0]):
        plot_spatial_map(result, ax, state=number, layer=layer)
    save_figure(figure, folder / "map.png")


def write_neighbourhoods(folder: Path, request: Request) -> None:
    """Surroundings that show each state most clearly, as PDB files, and where they are from."""
    table = []
    for state in range(request.model.n_states):
        seen = sum(int((p.argmax(axis=-1) == state).sum()) for p in request.probabilities)
        n = min(request.cut_outs, seen)
        if n == 0:
            warnings.warn(
                f"state {state} is nowhere the most probable one: no neighbourhoods of it",
                EmptyStateWarning,
                stacklevel=2,
            )
            continue
        picks = select_representatives(*request.data, state, n=n)
        cuts = representative_frames(*request.data, state, n=n, radius=request.cut_radius)
        for number, (pick, cut) in enumerate(zip(picks, cuts, strict=True)):
            name = f"state_{state}_{number}.pdb"
            cut.save_pdb(folder / name)
            table.append([name, pick.trajectory, pick.frame, pick.target, pick.probability])
    write_csv(
        folder / "neighbourhoods.csv",
        ["file", "trajectory", "frame", "target", "probability"],
        [row for name, *numbers in table for row in rows(np.array(name), *map(np.array, numbers))],
    )
