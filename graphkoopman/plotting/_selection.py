"""Figures of a choice of lag and number of states.

Public: :func:`plot_state_scores`, :func:`plot_ck_errors`, :func:`plot_selection_timescales`.
"""

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from graphkoopman.model_selection import ModelSelection, Selection
from graphkoopman.plotting._axes import axes_or_new
from graphkoopman.plotting._koopman import plot_timescales

PANEL_WIDTH = 3.6


def plot_state_scores(selection: Selection, ax: Axes | None = None) -> Axes:
    """How far every number of states is behind the best, with paired standard errors.

    Parameters
    ----------
    selection : Selection
    ax : Axes or None

    Returns
    -------
    Axes
    """
    ax = axes_or_new(ax)
    numbers = [choice.n_states for choice in selection.states]
    ax.errorbar(
        numbers,
        [-choice.behind for choice in selection.states],
        [choice.standard_error for choice in selection.states],
        fmt="o-",
        capsize=4,
    )
    ax.axvline(selection.n_states, color="black", linestyle="--", linewidth=0.8)
    ax.set_xticks(numbers)
    ax.set_xlabel("number of states")
    ax.set_ylabel("cross-validated VAMP-2 − best")
    return ax


def plot_ck_errors(selection: Selection, ax: Axes | None = None, *, timestep: float) -> Axes:
    """Chapman-Kolmogorov error over the lag for the number of states chosen, 95 % intervals.

    Parameters
    ----------
    selection : Selection
    ax : Axes or None
    timestep : float
        ps per frame.

    Returns
    -------
    Axes
    """
    ax = axes_or_new(ax)
    ax.errorbar(
        [lag.lagtime * timestep for lag in selection.lags],
        [lag.error for lag in selection.lags],
        [lag.half_width for lag in selection.lags],
        fmt="o-",
        capsize=4,
    )
    ax.axhline(0.0, color="black", linewidth=0.8)
    ax.axvline(selection.lagtime * timestep, color="black", linestyle="--", linewidth=0.8)
    ax.set_xlabel("lag time / ps")
    ax.set_ylabel("Chapman–Kolmogorov error")
    return ax


def plot_selection_timescales(result: ModelSelection) -> Figure:
    """Relaxation times over the lag, one panel per number of states.

    Parameters
    ----------
    result : ModelSelection

    Returns
    -------
    Figure
    """
    n_panels = len(result.timescales)
    figure, axes = plt.subplots(
        1,
        n_panels,
        figsize=(PANEL_WIDTH * n_panels, PANEL_WIDTH),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, (n_states, timescales) in zip(axes[0], result.timescales.items(), strict=True):
        plot_timescales(timescales, ax, timestep=result.timestep)
        chosen = ", chosen" if n_states == result.selection.n_states else ""
        ax.set_title(f"{n_states} states{chosen}")
    for ax in axes[0, 1:]:
        ax.set_ylabel("")
    return figure
