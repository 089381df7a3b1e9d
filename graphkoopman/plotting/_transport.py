"""Figures of displacements, conduction and lifetimes.

Public: :func:`plot_transition_msd`, :func:`plot_transition_diffusion`, :func:`plot_conduction`,
:func:`plot_residence_times`.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from graphkoopman.plotting._axes import (
    axes_or_new,
    color_of,
    curve_with_band,
    error_arms,
    style_of,
    view_of_curves,
)
from graphkoopman.transport import Conduction, ResidenceTimes, TransitionDiffusion, TransitionMSD

MOST_INSIDE = 5  # entries of a legend that does not cover its curves
# of the height of the data, for a legend of several lines above them
LEGEND_ROOM = 0.4


def plot_transition_msd(result: TransitionMSD, ax: Axes | None = None) -> Axes:
    """Expected squared displacement of every transition over the lag, and of all targets.

    Parameters
    ----------
    result : TransitionMSD
    ax : Axes or None

    Returns
    -------
    Axes
        Transitions that never occur are left out. Colours are those of the state begun in, lines
        and markers those of the state ended in. Intervals that leave the view are named.
    """
    ax = axes_or_new(ax)
    wide = view_of_curves(ax, result.msd, result.msd_interval[..., 1])
    for i, j in np.argwhere(np.isfinite(result.msd).any(axis=0)):
        curve_with_band(
            ax,
            result.times,
            result.msd[:, i, j],
            result.msd_interval[:, i, j],
            label=f"{i}→{j}" + (" *" if wide[i, j] else ""),
            **style_of(i, j),
        )
    curve_with_band(
        ax,
        result.times,
        result.total,
        result.total_interval,
        color="black",
        linewidth=2.0,
        label="all targets",
    )
    ax.set_xlabel("lag time / ps")
    ax.set_ylabel("squared displacement / Å²")
    _legend(ax, n_entries=1 + int(np.isfinite(result.msd).any(axis=0).sum()), wide=bool(wide.any()))
    return ax


def plot_transition_diffusion(result: TransitionDiffusion, ax: Axes | None = None) -> Axes:
    """Squared displacements in the window of the fit, and the lines whose slopes are 6 D.

    Parameters
    ----------
    result : TransitionDiffusion
    ax : Axes or None

    Returns
    -------
    Axes
        The legend gives D with its interval; transitions that never occur are left out. Lines of
        secants start at the origin.
    """
    ax = axes_or_new(ax)
    times = result.msd.times
    wide = view_of_curves(ax, result.msd.msd, result.msd.msd_interval[..., 1])
    ends = np.array([0.0 if result.method == "secant" else times[0], times[-1]])
    for i, j in np.argwhere(np.isfinite(result.diffusion)):
        low, high = result.diffusion_interval[i, j]
        style = style_of(i, j)
        points, limits = result.msd.msd[:, i, j], result.msd.msd_interval[:, i, j]
        curve_with_band(ax, times, points, limits, **{**style, "linestyle": "none"})
        ax.plot(
            ends,
            result.intercept[i, j] + 6.0 * result.diffusion[i, j] * ends,
            color=style["color"],
            linestyle=style["linestyle"],
            label=f"{i}→{j}: {result.diffusion[i, j]:.3g} ({low:.3g} to {high:.3g})"
            + (" *" if wide[i, j] else ""),
        )
    ax.set_xlabel("lag time / ps")
    ax.set_ylabel("squared displacement / Å²")
    n_entries = int(np.isfinite(result.diffusion).sum())
    if n_entries <= MOST_INSIDE:
        bottom, top = ax.get_ylim()
        ax.set_ylim(bottom, top + LEGEND_ROOM * (top - bottom))
    _legend(ax, n_entries, bool(wide.any()), title="diffusion / Å²/ps")
    return ax


def plot_conduction(result: Conduction, ax: Axes | None = None) -> Axes:
    """Share of every transition in the conduction (Fig. 5), as bars.

    Parameters
    ----------
    result : Conduction
    ax : Axes or None

    Returns
    -------
    Axes
        Its title gives the sum of the contributions, and that sum relative to Nernst–Einstein.
    """
    ax = axes_or_new(ax)
    n_states = len(result.percent)
    percent = result.percent.ravel()
    bars = np.arange(len(percent))
    arms = error_arms(percent, result.percent_interval.reshape(-1, 2))
    # pairs of one beginning share its colour; the axis names both ends
    colors = [color_of(bar // n_states) for bar in bars]
    ax.bar(bars, percent, yerr=arms, capsize=3, color=colors)
    ax.axhline(0.0, color="black", linewidth=0.8)
    names = [f"{i}→{j}" for i in range(n_states) for j in range(n_states)]
    ax.set_xticks(bars, names, rotation=90 if len(names) > 9 else 0)
    ax.set_xlabel("transition")
    ax.set_ylabel("share of the conductivity / %")
    ax.set_title(f"sum {result.total:.3g} S/cm, {result.closure:.2f} of Nernst–Einstein")
    return ax


def plot_residence_times(result: ResidenceTimes, ax: Axes | None = None) -> Axes:
    """Probability that a visit to each state lasts longer than an age; a line if exponential.

    Parameters
    ----------
    result : ResidenceTimes
    ax : Axes or None

    Returns
    -------
    Axes
        The legend gives the mean residence times with their intervals.
    """
    ax = axes_or_new(ax)
    for state, (low, high) in enumerate(result.mean_interval):
        # after the longest visit the interval is all of [0, 1]
        seen = result.survival[state] > 0.0
        if not seen.any():
            # no visit began within the data: there is no curve, but a lower limit of the mean
            ax.plot([], [], color=color_of(state), label=_never_entered(state, low))
            continue
        curve_with_band(
            ax,
            result.times[seen],
            result.survival[state, seen],
            result.survival_interval[state, seen],
            step=True,
            color=color_of(state),
            label=f"state {state}: {result.mean[state]:.3g} ps ({low:.3g} to {high:.3g})",
        )
    if (result.survival > 0.0).any():
        ax.set_yscale("log")
    ax.set_xlabel("age / ps")
    ax.set_ylabel("survival probability")
    ax.legend(title="mean residence")
    return ax


def _never_entered(state: int, low: float) -> str:
    if not low > 0.0:
        return f"state {state}: never visited"
    return f"state {state}: nobody enters; mean above {low:.3g} ps"


def _legend(ax: Axes, n_entries: int, wide: bool, title: str = "") -> None:
    """A legend inside, or beside the axes where it is long."""
    if wide:
        title = "\n".join(filter(None, [title, "* interval leaves the view"]))
    inside = n_entries <= MOST_INSIDE
    place: dict[str, Any] = (
        {"loc": "upper left"} if inside else {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
    )
    ax.legend(title=title or None, fontsize=None if inside else "small", **place)
