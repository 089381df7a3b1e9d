"""Figures: one ``plot_*(result, ax=None) -> ax`` per result, nothing is computed here.

Public: :func:`plot_timescales`, :func:`plot_ck_test`, :func:`plot_history`, :func:`plot_state_map`.
Times are in ps.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from deeptime.plots import plot_ck_test as deeptime_plot_ck_test
from deeptime.plots import plot_implied_timescales
from deeptime.util.validation import ChapmanKolmogorovTest, ImpliedTimescales
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter


def _in_ps(timestep: float) -> FuncFormatter:
    return FuncFormatter(lambda frames, _: f"{frames * timestep:g}")


def plot_timescales(
    timescales: ImpliedTimescales, ax: Axes | None = None, *, timestep: float
) -> Axes:
    """Relaxation timescales over the lag (Figs. 2b, 3d, 4d), with bands where there are samples.

    Parameters
    ----------
    timescales : ImpliedTimescales
        From ``deeptime.util.validation.implied_timescales``; frames.
    ax : Axes or None
    timestep : float
        ps per frame, for the labels.

    Returns
    -------
    Axes
    """
    ax = plt.figure().add_subplot() if ax is None else ax
    ax.set_yscale("log")
    plot_implied_timescales(timescales, ax=ax)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(_in_ps(timestep))
    ax.set_xlabel("lag time / ps")
    ax.set_ylabel("relaxation time / ps")
    return ax


def plot_ck_test(test: ChapmanKolmogorovTest, *, timestep: float) -> Figure:
    """Chapman–Kolmogorov test (Figs. 2d, 3f, 4f), one panel per pair of states.

    Parameters
    ----------
    test : ChapmanKolmogorovTest
        From ``KoopmanModel.ck_test``.
    timestep : float
        ps per frame, for the labels.

    Returns
    -------
    Figure
    """
    grid = deeptime_plot_ck_test(test, xlabel="lag time / ps")
    for ax in np.ravel(grid.axes):
        ax.xaxis.set_major_formatter(_in_ps(timestep))
    return grid.figure


def plot_history(history: Sequence[dict[str, Any]], ax: Axes | None = None) -> Axes:
    """Scores over the epochs of a fit.

    Parameters
    ----------
    history : sequence of dict
        ``GDyNetEstimator.history_``.
    ax : Axes or None

    Returns
    -------
    Axes
    """
    ax = plt.figure().add_subplot() if ax is None else ax
    epochs = np.arange(1, len(history) + 1)
    for key, label in (("train_score", "training"), ("validation_score", "validation VAMP-2")):
        ax.plot(epochs, [row[key] for row in history], label=label)
    ax.set_xlabel("epoch")
    ax.set_ylabel("VAMP score")
    ax.legend()
    return ax
