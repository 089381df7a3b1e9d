"""Figures of the surroundings and places of the states.

Public: :func:`plot_state_rdf`, :func:`plot_coordination`, :func:`plot_charge_integral`,
:func:`plot_state_profile`, :func:`plot_spatial_map`, :func:`plot_state_description`.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from graphkoopman.plotting._axes import (
    LINE_STYLES,
    axes_or_new,
    color_of,
    curve_with_band,
    error_arms,
)
from graphkoopman.structure import (
    ChargeIntegral,
    SpatialMap,
    StateDescription,
    StateProfile,
    StateRDF,
    first_shells,
)

Array = NDArray[np.float64]

VECTORS = "abc"
FIRST_SHELL_VIEW = 1.25  # of the radius of the first shell


def plot_state_rdf(
    result: StateRDF, ax: Axes | None = None, *, species: str | Sequence[str] | None = None
) -> Axes:
    """Radial distribution functions: a colour per state, a line style per species.

    Parameters
    ----------
    result : StateRDF
    ax : Axes or None
    species : str, sequence of str or None
        Names among ``result.species``; all by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        For a species that the result does not have.
    """
    ax = axes_or_new(ax)
    _species_curves(ax, result, result.r, result.g, result.g_interval, species)
    ax.set_xlabel("r / Å")
    ax.set_ylabel("g(r)")
    return ax


def plot_coordination(
    result: StateRDF, ax: Axes | None = None, *, species: str | Sequence[str] | None = None
) -> Axes:
    """Running coordination numbers, at the outer borders of the bins.

    Parameters
    ----------
    result : StateRDF
    ax, species
        As for `plot_state_rdf`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        For a species that the result does not have.
    """
    ax = axes_or_new(ax)
    _species_curves(
        ax, result, result.edges[1:], result.coordination, result.coordination_interval, species
    )
    names = (species,) if isinstance(species, str) else tuple(species or result.species)
    shells = first_shells(result)[[result.species.index(name) for name in names]]
    # a running number grows as r³: the first shell is what can be read
    end = min(float(result.edges[-1]), FIRST_SHELL_VIEW * float(shells.max()))
    inside = result.coordination[..., result.edges[1:] <= end]
    columns = [result.species.index(name) for name in names]
    top = np.nanmax(inside[:, columns], initial=0.0)
    ax.set_xlim(0.0, end)
    if top > 0.0:
        ax.set_ylim(0.0, 1.05 * top)
    ax.set_xlabel("r / Å")
    ax.set_ylabel("neighbours within r")
    return ax


def plot_charge_integral(result: ChargeIntegral, ax: Axes | None = None) -> Axes:
    """Charge within a radius of targets in each state (Fig. 4c).

    Parameters
    ----------
    result : ChargeIntegral
    ax : Axes or None

    Returns
    -------
    Axes
    """
    ax = axes_or_new(ax)
    for state, (charge, interval) in enumerate(
        zip(result.charge, result.charge_interval, strict=True)
    ):
        curve_with_band(
            ax, result.r, charge, interval, color=color_of(state), label=f"state {state}"
        )
    ax.set_xlabel("r / Å")
    ax.set_ylabel("charge within r / e")
    ax.legend()
    return ax


def plot_state_profile(
    result: StateProfile,
    ax: Axes | None = None,
    *,
    quantity: Literal["density", "probability"] = "density",
) -> Axes:
    """Distribution of the states along a cell vector (Fig. 3c).

    Parameters
    ----------
    result : StateProfile
    ax : Axes or None
    quantity : {"density", "probability"}
        Targets in the state per volume, or the state's share of the targets that are there.

    Returns
    -------
    Axes
    """
    if quantity not in ("density", "probability"):
        raise ValueError(f'quantity must be "density" or "probability", got {quantity!r}')
    ax = axes_or_new(ax)
    curves, intervals = getattr(result, quantity), getattr(result, f"{quantity}_interval")
    for state, (curve, interval) in enumerate(zip(curves, intervals, strict=True)):
        # a slab between empty ones shows as its marker only
        curve_with_band(
            ax,
            result.position,
            curve,
            interval,
            marker=".",
            color=color_of(state),
            label=f"state {state}",
        )
    ax.set_xlabel(f"position along {VECTORS[result.axis]} / Å")
    ax.set_ylabel("density / Å⁻³" if quantity == "density" else "probability")
    ax.legend()
    return ax


def plot_state_description(
    result: StateDescription, ax: Axes | None = None, *, n_largest: int = 3
) -> Axes:
    """What tells the states apart: standardised differences of order parameters.

    Parameters
    ----------
    result : StateDescription
    ax : Axes or None
    n_largest : int
        Order parameters of each state, those of the largest effects.

    Returns
    -------
    Axes
        A row per order parameter, a point per state. Infinite effects are left out.
    """
    ax = axes_or_new(ax)
    chosen: list[int] = []
    for state in range(result.n_states):
        chosen += [i for i in result.largest(state, n_largest) if i not in chosen]
    rows = np.arange(len(chosen))
    for state in range(result.n_states):
        effect = result.effect[state, chosen]
        shown = np.isfinite(effect)
        # side by side, so that bars of several states can be told apart
        shift = (state - 0.5 * (result.n_states - 1)) * 0.6 / max(result.n_states, 1)
        ax.errorbar(
            effect[shown],
            (rows + shift)[shown],
            xerr=error_arms(effect, result.effect_interval[state, chosen])[:, shown],
            fmt="o",
            markersize=4,
            capsize=2,
            color=color_of(state),
            label=f"state {state}",
        )
    ax.axvline(0.0, color="black", linewidth=0.8)
    ax.set_yticks(rows, [result.parameters[i].name for i in chosen])
    ax.invert_yaxis()
    ax.set_xlabel("state minus the others / standard deviation")
    ax.set_title(f"rules of order parameters give the states with κ = {result.kappa:.2f}")
    ax.legend()
    return ax


def plot_spatial_map(
    result: SpatialMap,
    ax: Axes | None = None,
    *,
    state: int = 0,
    axis: int | Literal["a", "b", "c"] = "c",
    layer: int = 0,
) -> Axes:
    """Probability of a state in one layer of the cell (Fig. 2c), with a colour bar.

    Parameters
    ----------
    result : SpatialMap
    ax : Axes or None
    state : int
    axis : int or str
        Cell vector that the layers divide; the two others span the figure, at their true angle.
    layer : int
        Voxel along it.

    Returns
    -------
    Axes
        Voxels that no target ever entered are empty.

    Raises
    ------
    ValueError
        For a state, axis or layer that the map does not have.
    """
    vector = VECTORS.find(axis) if isinstance(axis, str) else axis
    if vector not in (0, 1, 2):
        raise ValueError(f'axis must be 0, 1, 2 or "a", "b", "c", got {axis!r}')
    n_states, shape = len(result.probability), result.counts.shape
    if not (0 <= state < n_states and 0 <= layer < shape[vector]):
        raise ValueError(
            f"state and layer must be below {n_states} and {shape[vector]} and not negative, got "
            f"{state} and {layer}"
        )
    ax = axes_or_new(ax)
    first, second = (i for i in range(3) if i != vector)
    mesh = ax.pcolormesh(
        *_corners(result.cell[[first, second]], shape[first], shape[second]),
        np.take(result.probability[state], layer, axis=vector),
        vmin=0.0,
        vmax=1.0,
    )
    ax.figure.colorbar(mesh, ax=ax, label=f"probability of state {state}")
    ax.set_title(f"layer {layer} of {shape[vector]} along {VECTORS[vector]}")
    ax.set_aspect("equal")
    ax.set_xlabel(f"along {VECTORS[first]} / Å")
    ax.set_ylabel(f"across {VECTORS[first]} / Å")
    return ax


def _species_curves(
    ax: Axes,
    result: StateRDF,
    r: Array,
    curves: Array,
    intervals: Array,
    species: str | Sequence[str] | None,
) -> None:
    """Curves of (n_states, n_species, n_bins) for the species asked for."""
    names = result.species if species is None else species
    names = (names,) if isinstance(names, str) else tuple(names)
    unknown = [name for name in names if name not in result.species]
    if unknown:
        raise ValueError(f"species must be among {list(result.species)}, got {unknown}")
    for style, name in enumerate(names):
        column = result.species.index(name)
        for state in range(len(curves)):
            curve_with_band(
                ax,
                r,
                curves[state, column],
                intervals[state, column],
                color=color_of(state),
                linestyle=LINE_STYLES[style % len(LINE_STYLES)],
                label=f"state {state}, {name}",
            )
    ax.legend()


def _corners(vectors: Array, n_first: int, n_second: int) -> tuple[Array, Array]:
    """x and y of the voxels' corners, (n_first + 1, n_second + 1): the first vector is along x."""
    length = np.linalg.norm(vectors[0])
    along = vectors[1] @ vectors[0] / length
    across = np.sqrt(vectors[1] @ vectors[1] - along**2)
    u = np.linspace(0.0, 1.0, n_first + 1)[:, None]
    v = np.linspace(0.0, 1.0, n_second + 1)
    return u * length + v * along, np.broadcast_to(v * across, (n_first + 1, n_second + 1))
