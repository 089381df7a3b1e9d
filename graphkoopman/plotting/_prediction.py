"""Figures of what models predict.

Public: :func:`plot_onsager`, :func:`plot_predicted_msd`, :func:`plot_arrhenius`.
"""

import numpy as np
from matplotlib.axes import Axes

from graphkoopman.generation import PredictedMSD
from graphkoopman.plotting._axes import axes_or_new, color_of, curve_with_band, error_arms
from graphkoopman.transport import Arrhenius, OnsagerContributions

BAR_WIDTH = 0.4
N_TEMPERATURES = 50  # of the line


def plot_onsager(result: OnsagerContributions, ax: Axes | None = None) -> Axes:
    """Self and distinct part of every transition, as pairs of bars.

    Parameters
    ----------
    result : OnsagerContributions
    ax : Axes or None

    Returns
    -------
    Axes
        Its title gives the sum of all parts and the Haven ratio of the targets.
    """
    ax = axes_or_new(ax)
    n_states = len(result.self_)
    places = np.arange(n_states**2)
    parts = (
        ("self", result.self_, result.self_interval, -0.5),
        ("distinct", result.distinct, result.distinct_interval, 0.5),
    )
    for number, (name, values, interval, side) in enumerate(parts):
        heights = values.ravel()
        arms = error_arms(heights, interval.reshape(-1, 2))
        ax.bar(
            places + side * BAR_WIDTH,
            heights,
            BAR_WIDTH,
            yerr=arms,
            capsize=3,
            color=color_of(number),
            label=name,
        )
    ax.axhline(0.0, color="black", linewidth=0.8)
    names = [f"{i}→{j}" for i in range(n_states) for j in range(n_states)]
    ax.set_xticks(places, names, rotation=90 if len(names) > 9 else 0)
    ax.set_xlabel("transition")
    ax.set_ylabel("conductivity / S/cm")
    ax.set_title(f"sum {result.einstein:.3g} S/cm, Haven ratio {result.total_haven:.2f}")
    ax.legend()
    return ax


def plot_predicted_msd(result: PredictedMSD, ax: Axes | None = None) -> Axes:
    """Predicted mean squared displacement over time, and how far the data themselves reach.

    Parameters
    ----------
    result : PredictedMSD
    ax : Axes or None

    Returns
    -------
    Axes
    """
    ax = axes_or_new(ax)
    order = np.argsort(result.times)
    low, high = result.diffusion_interval
    curve_with_band(
        ax,
        result.times[order],
        result.msd[order],
        result.msd_interval[order],
        marker=".",
        color=color_of(0),
        label=f"predicted, D = {result.diffusion:.3g} ({low:.3g} to {high:.3g}) Å²/ps",
    )
    ax.axvline(result.longest, color="black", linestyle=":", label="reach of the data")
    ax.set_xlabel("time / ps")
    ax.set_ylabel("squared displacement / Å²")
    ax.legend()
    return ax


def plot_arrhenius(result: Arrhenius, ax: Axes | None = None) -> Axes:
    """Values over inverse temperature, and the line through them.

    Parameters
    ----------
    result : Arrhenius
        Fit of a single quantity.
    ax : Axes or None

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the fit is of several quantities at once.
    """
    if result.values.ndim != 1:
        raise ValueError(
            f"result must be of one quantity, got values of shape {result.values.shape}; fit the "
            "transitions to be drawn one by one"
        )
    ax = axes_or_new(ax)
    ax.plot(1e3 / result.temperatures, result.values, ".", color=color_of(0))
    inverse = np.linspace(
        1.0 / result.temperatures.max(), 1.0 / result.temperatures.min(), N_TEMPERATURES
    )
    line = [result.predict(float(1.0 / value)) for value in inverse]
    low, high = result.activation_energy_interval
    curve_with_band(
        ax,
        1e3 * inverse,
        np.array([value for value, _ in line]),
        np.array([limits for _, limits in line]),
        color=color_of(0),
        label=f"{result.activation_energy:.3g} ({low:.3g} to {high:.3g}) eV",
    )
    ax.set_yscale("log")
    ax.set_xlabel("1000 K / temperature")
    ax.set_ylabel(result.quantity)
    ax.legend()
    return ax
