"""Structure and transport of the states as tables and figures: `Inputs`, `write_analyses`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm.auto import tqdm

from graphkoopman.cli._analysis import write_csv
from graphkoopman.koopman import BootstrapKoopmanModel
from graphkoopman.plotting import (
    plot_charge_integral,
    plot_conduction,
    plot_coordination,
    plot_residence_times,
    plot_state_profile,
    plot_state_rdf,
    plot_transition_msd,
)
from graphkoopman.structure import charge_integral, state_profile, state_rdf
from graphkoopman.trajectories import Trajectory
from graphkoopman.transport import (
    conduction_contributions,
    residence_times,
    transition_displacements,
)

BIN_WIDTH = 0.1  # Å, of radial distributions
N_SLABS = 50
N_LAGS = 12
INTERVAL = ["95 % low", "95 % high"]
NEEDS = {
    "cell": "trajectories with a cell",
    "charges": "--charges",
    "state_charges": "--state-charges",
    "temperature": "--temperature",
}


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the analyses work on; None is what the user did not give.

    Attributes
    ----------
    trajectories : list of Trajectory
    probabilities : list of ndarray of shape (n_frames, n_targets, n_states)
    targets : str or None
    model : BootstrapKoopmanModel
    r_max : float
        Å.
    charges : ndarray of shape (n_atoms,) or None
        e.
    state_charges : list of float or None
        e; one per state, or one for all.
    temperature : float or None
        K.
    """

    trajectories: list[Trajectory]
    probabilities: list[NDArray[np.float64]]
    targets: str | None
    model: BootstrapKoopmanModel
    r_max: float
    charges: NDArray[np.float64] | None
    state_charges: list[float] | None
    temperature: float | None

    @property
    def data(self) -> tuple[Any, Any, Any]:
        """Trajectories, probabilities and targets, the first arguments of every analysis."""
        return self.trajectories, self.probabilities, self.targets

    @property
    def n_bins(self) -> int:
        """Radial bins."""
        return max(1, round(self.r_max / BIN_WIDTH))

    def missing(self, needs: Sequence[str]) -> list[str]:
        """Those of the needs that are not there, as a user would give them."""
        given = {
            "cell": all(item.cell is not None for item in self.trajectories),
            "charges": self.charges is not None,
            "state_charges": self.state_charges is not None,
            "temperature": self.temperature is not None,
        }
        return [NEEDS[need] for need in needs if not given[need]]


def write_analyses(folder: Path, inputs: Inputs) -> None:
    """Run every analysis that the inputs allow, and name what the others lack."""
    missing = {name: inputs.missing(needs) for name, (needs, _) in ANALYSES.items()}
    with tqdm([name for name in ANALYSES if not missing[name]], unit="analysis") as progress:
        for name in progress:
            progress.set_description(name)
            ANALYSES[name][1](folder, inputs)
    print()
    for name in ANALYSES:
        if missing[name]:
            print(f"not run: {name}, which needs {' and '.join(missing[name])}")


def write_rdf(folder: Path, inputs: Inputs) -> None:
    """Radial distribution functions and coordination numbers of each species."""
    result = state_rdf(*inputs.data, r_max=inputs.r_max, n_bins=inputs.n_bins)
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
    n_species = len(result.species)
    figure, axes = plt.subplots(
        2, n_species, figsize=(4.5 * n_species, 6.5), squeeze=False, layout="constrained"
    )
    for column, name in enumerate(result.species):
        plot_state_rdf(result, axes[0, column], species=name)
        plot_coordination(result, axes[1, column], species=name)
    save_figure(figure, folder / "rdf.png")


def write_charge(folder: Path, inputs: Inputs) -> None:
    """Charge around the targets."""
    result = charge_integral(*inputs.data, inputs.charges, r_max=inputs.r_max, n_bins=inputs.n_bins)
    states, limits = np.arange(len(result.charge))[:, None], result.charge_interval
    write_csv(
        folder / "charge.csv",
        ["state", "r / angstrom", "charge / e", *INTERVAL],
        rows(states, result.r, result.charge, limits[..., 0], limits[..., 1]),
    )
    figure, ax = plt.subplots(layout="constrained")
    plot_charge_integral(result, ax)
    save_figure(figure, folder / "charge.png")


def write_profile(folder: Path, inputs: Inputs) -> None:
    """States along the third cell vector."""
    result = state_profile(*inputs.data, axis="c", n_bins=N_SLABS)
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


def write_displacement(folder: Path, inputs: Inputs) -> None:
    """Squared displacement of the transitions, up to two lags of the model."""
    longest = min(2 * inputs.model.lagtime, *(len(item) // 2 for item in inputs.trajectories))
    lags = np.unique(np.linspace(1, max(1, longest), N_LAGS).round().astype(int))
    result = transition_displacements(*inputs.data, lags)
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


def write_conduction(folder: Path, inputs: Inputs) -> None:
    """Conduction by the transitions, and in all."""
    charges: Any = inputs.state_charges
    result = conduction_contributions(
        *inputs.data,
        inputs.model,
        state_charges=charges[0] if len(charges) == 1 else charges,
        temperature=float(inputs.temperature or np.nan),
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


def write_residence(folder: Path, inputs: Inputs) -> None:
    """Residence times and survival."""
    timestep = inputs.trajectories[0].timestep
    result = residence_times(inputs.probabilities, timestep=timestep)
    states, limits = np.arange(len(result.mean)), result.mean_interval
    counts = [result.n_exits, result.n_censored]
    write_csv(
        folder / "residence.csv",
        ["state", "residence time / ps", *INTERVAL, "exits", "censored"],
        rows(states, result.mean, limits[:, 0], limits[:, 1], *counts),
    )
    limits = result.survival_interval
    write_csv(
        folder / "survival.csv",
        ["state", "age / ps", "survival", *INTERVAL],
        rows(states[:, None], result.times, result.survival, limits[..., 0], limits[..., 1]),
    )
    figure, ax = plt.subplots(layout="constrained")
    plot_residence_times(result, ax)
    save_figure(figure, folder / "residence.png")


ANALYSES: dict[str, tuple[tuple[str, ...], Callable[[Path, Inputs], None]]] = {
    "radial distribution functions": (("cell",), write_rdf),
    "charge integral": (("charges",), write_charge),
    "profile along c": (("cell",), write_profile),
    "displacement of transitions": ((), write_displacement),
    "conduction": (("cell", "state_charges", "temperature"), write_conduction),
    "residence times": ((), write_residence),
}


def rows(*columns: Any) -> list[list[str]]:
    """Arrays that broadcast against each other as rows of text."""
    flat = [column.ravel() for column in np.broadcast_arrays(*columns)]
    return [[_text(value) for value in row] for row in zip(*flat, strict=True)]


def with_limits(name: str) -> list[str]:
    """Column names of a quantity in a table that holds several with their intervals."""
    return [name, *(f"{name}, {limit}" for limit in INTERVAL)]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure, and close it."""
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)
