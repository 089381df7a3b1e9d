"""Displacements, conduction and lifetimes of the states as tables and figures."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from graphkoopman.cli._request import Request
from graphkoopman.cli._tables import (
    INTERVAL,
    rows,
    save_figure,
    with_limits,
    write_csv,
    write_table,
)
from graphkoopman.plotting import (
    plot_conduction,
    plot_residence_times,
    plot_transition_diffusion,
    plot_transition_msd,
)
from graphkoopman.report import CORE
from graphkoopman.transport import (
    conduction_contributions,
    residence_times,
    transition_diffusion,
    transition_displacements,
)

N_LAGS = 12


def write_displacement(folder: Path, request: Request) -> None:
    """Squared displacement of the transitions, up to two lags of the model."""
    longest = min(2 * request.model.lagtime, *(len(item) // 2 for item in request.trajectories))
    lags = np.unique(np.linspace(1, max(1, longest), N_LAGS).round().astype(int))
    result = transition_displacements(*request.data, lags, drift=request.drift)
    begin, end = np.indices(result.msd.shape[1:])
    limits = result.msd_interval
    write_csv(
        folder / "displacement.csv",
        ["from", "to", "lag / ps", "squared displacement / angstrom^2", *INTERVAL],
        rows(
            begin, end, result.times[:, None, None], result.msd, limits[..., 0], limits[..., 1]
        ),
    )  # fmt: skip
    figure, ax = plt.subplots(layout="constrained")
    plot_transition_msd(result, ax)
    save_figure(figure, folder / "displacement.png")


def write_diffusion(folder: Path, request: Request) -> None:
    """Diffusion coefficient of the transitions at the lag of the model, and how it was fitted."""
    result = transition_diffusion(
        *request.data, request.model.lagtime, method=request.method, drift=request.drift
    )
    begin, end = np.indices(result.diffusion.shape)
    limits = result.diffusion_interval
    first, last = (lag * result.timestep for lag in result.window)
    write_csv(
        folder / "diffusion.csv",
        [
            "from",
            "to",
            *with_limits("diffusion / angstrom^2/ps"),
            "first lag / ps",
            "last lag / ps",
        ],
        rows(begin, end, result.diffusion, limits[..., 0], limits[..., 1], first, last),
    )
    figure, ax = plt.subplots(layout="constrained")
    plot_transition_diffusion(result, ax)
    save_figure(figure, folder / "diffusion.png")


def write_conduction(folder: Path, request: Request) -> None:
    """Conduction by the transitions, and in all."""
    charges: Any = request.state_charges
    result = conduction_contributions(
        *request.data,
        request.model,
        state_charges=charges[0] if len(charges) == 1 else charges,
        temperature=float(request.temperature or np.nan),
        method=request.method,
        drift=request.drift,
    )
    begin, end = np.indices(result.sigma.shape)
    columns: list[Any] = [begin, end]
    for name in ("percent", "sigma", "diffusion"):
        limits = getattr(result, f"{name}_interval")
        columns += [getattr(result, name), limits[..., 0], limits[..., 1]]
    write_csv(
        folder / "conduction.csv",
        [
            "from",
            "to",
            *with_limits("percent"),
            *with_limits("conductivity / S/cm"),
            *with_limits("diffusion / angstrom^2/ps"),
        ],
        rows(*columns),
    )
    names = ["total", "nernst_einstein", "einstein", "closure"]
    limits = np.array([getattr(result, f"{name}_interval") for name in names])
    values = [getattr(result, name) for name in names]
    texts = ["sum of the transitions / S/cm", "Nernst-Einstein / S/cm", "Einstein / S/cm"]
    write_csv(
        folder / "conductivity.csv",
        ["quantity", "value", *INTERVAL],
        rows(np.array([*texts, "closure"]), values, limits[:, 0], limits[:, 1]),
    )
    figure, ax = plt.subplots(layout="constrained")
    plot_conduction(result, ax)
    save_figure(figure, folder / "conduction.png")


def write_residence(folder: Path, request: Request) -> None:
    """Residence times and survival, by the most probable state and by cores."""
    timestep = request.trajectories[0].timestep
    plain = residence_times(request.probabilities, timestep=timestep)
    with warnings.catch_warnings():
        # said by the first of the two
        warnings.simplefilter("ignore")
        cores = residence_times(request.probabilities, timestep=timestep, core=CORE)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained", sharey=True)
    for ax, result, title, ending in (
        (axes[0], plain, "most probable state", ""),
        (axes[1], cores, f"cores of {CORE:g}", "_cores"),
    ):
        write_table(folder / f"residence{ending}.csv", result.table())
        limits = result.survival_interval
        write_csv(
            folder / f"survival{ending}.csv",
            ["state", "age / ps", "survival", *INTERVAL],
            rows(
                np.arange(len(result.mean))[:, None],
                result.times,
                result.survival,
                limits[..., 0],
                limits[..., 1],
            ),
        )
        plot_residence_times(result, ax)
        ax.set_title(title)
    save_figure(figure, folder / "residence.png")
