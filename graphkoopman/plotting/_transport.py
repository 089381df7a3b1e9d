"""Figures of displacements, conduction and lifetimes.

Public: :func:`plot_transition_msd`, :func:`plot_transition_diffusion`, :func:`plot_conduction`,
:func:`plot_residence_times`.
"""

import numpy as np
from matplotlib.axes import Axes

from graphkoopman.plotting._axes import axes_or_new, color_of, curve_with_band, error_arms
from graphkoopman.transport import Conduction, ResidenceTimes, TransitionDiffusion, TransitionMSD

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
        Transitions that never occur are left out.
    """
    ax = axes_or_new(ax)
    n_states = result.msd.shape[1]
    for i, j in np.argwhere(np.isfinite(result.msd).any(axis=0)):
        curve_with_band(
            ax,
            result.times,
            result.msd[:, i, j],
            result.msd_interval[:, i, j],
            marker=".",
            color=color_of(i * n_states + j),
            label=f"{i}→{j}",
        )
    curve_with_band(
        ax,
        result.times,
        result.total,
        result.total_interval,
        color="black",
        linestyle="--",
        label="all targets",
    )
    ax.set_xlabel("lag time / ps")
    ax.set_ylabel("squared displacement / Å²")
    ax.legend()
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
    n_states, times = len(result.diffusion), result.msd.times
    ends = np.array([0.0 if result.method == "secant" else times[0], times[-1]])
    for i, j in np.argwhere(np.isfinite(result.diffusion)):
        low, high = result.diffusion_interval[i, j]
        color = color_of(i * n_states + j)
        points, limits = result.msd.msd[:, i, j], result.msd.msd_interval[:, i, j]
        curve_with_band(ax, times, points, limits, marker=".", linestyle="none", color=color)
        ax.plot(
            ends,
            result.intercept[i, j] + 6.0 * result.diffusion[i, j] * ends,
            color=color,
            label=f"{i}→{j}: {result.diffusion[i, j]:.3g} ({low:.3g} to {high:.3g})",
        )
    ax.set_xlabel("lag time / ps")
    ax.set_ylabel("squared displacement / Å²")
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top + LEGEND_ROOM * (top - bottom))
    ax.legend(title="diffusion / Å²/ps", loc="upper left")
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
    ax.bar(bars, percent, yerr=arms, capsize=3, color=[color_of(bar) for bar in bars])
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
        curve_with_band(
            ax,
            result.times[seen],
            result.survival[state, seen],
            result.survival_interval[state, seen],
            step=True,
            color=color_of(state),
            label=f"state {state}: {result.mean[state]:.3g} ps ({low:.3g} to {high:.3g})",
        )
    ax.set_yscale("log")
    ax.set_xlabel("age / ps")
    ax.set_ylabel("survival probability")
    ax.legend(title="mean residence")
    return ax
