"""Figures of Koopman models and of training.

Public: :func:`plot_timescales`, :func:`plot_ck_test`, :func:`plot_eigenvectors`,
:func:`plot_populations`, :func:`plot_global_timescales`, :func:`plot_history`,
:func:`plot_exchange`.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from deeptime.plots import plot_ck_test as deeptime_plot_ck_test, plot_implied_timescales
from deeptime.util.validation import ChapmanKolmogorovTest, ImpliedTimescales
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import FuncFormatter, LogFormatter, LogLocator
from numpy.typing import NDArray

from graphkoopman.koopman import BootstrapKoopmanModel, GlobalKoopman, KoopmanModel
from graphkoopman.plotting._axes import COLORS, axes_or_new, color_of, error_arms

BAR_WIDTH = 0.8
SMALLEST_RATE = 1e-3  # of the fastest, that is drawn


def _in_ps(timestep: float) -> FuncFormatter:
    return FuncFormatter(lambda frames, _: f"{frames * timestep:g}")


class _LogInPs(LogFormatter):
    """Minor ticks of a logarithmic axis in frames, where matplotlib finds room for labels."""

    def __init__(self, timestep: float) -> None:
        super().__init__()
        self.timestep = timestep

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x * self.timestep:g}" if super().__call__(x, pos) else ""


def _label_times(ax: Axes, timestep: float) -> None:
    """Plain numbers of ps on a logarithmic axis of times, at 1, 2 and 5 of every decade or more."""
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(_in_ps(timestep))
    ax.yaxis.set_minor_formatter(_LogInPs(timestep))


def plot_timescales(
    timescales: ImpliedTimescales,
    ax: Axes | None = None,
    *,
    timestep: float,
    models: Sequence[KoopmanModel | BootstrapKoopmanModel] = (),
) -> Axes:
    """Relaxation timescales over the lag (Figs. 2b, 3d, 4d), with bands where there are samples.

    Parameters
    ----------
    timescales : ImpliedTimescales
        From ``deeptime.util.validation.implied_timescales``; frames.
    ax : Axes or None
    timestep : float
        ps per frame, for the labels.
    models : sequence of KoopmanModel or BootstrapKoopmanModel
        Models whose `timescale_bounds` are drawn as thin bars, where they have any.

    Returns
    -------
    Axes
    """
    ax = axes_or_new(ax)
    ax.set_yscale("log")
    with warnings.catch_warnings():
        # where no sample of a process has a time, its mean is a gap
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        plot_implied_timescales(timescales, ax=ax, colors=COLORS, show_cutoff=False)
    limits = ax.get_ylim()
    for model in models:
        _draw_bounds(ax, model, limits)
    ax.set_ylim(limits)
    # below the lag time nothing can be resolved; a straight line is curved on this axis
    lags = np.linspace(timescales.lagtimes[0], timescales.lagtimes[-1], 100)
    ax.plot(lags, lags, color="black", linewidth=2)
    ax.fill_between(lags, ax.get_ylim()[0], lags, color="grey", alpha=0.5, linewidth=0.0)
    ax.xaxis.set_major_formatter(_in_ps(timestep))
    _label_times(ax, timestep)
    ax.set_xlabel("lag time / ps")
    ax.set_ylabel("relaxation time / ps")
    return ax


def _draw_bounds(
    ax: Axes, model: KoopmanModel | BootstrapKoopmanModel, limits: tuple[float, float]
) -> None:
    """Bars between which true relaxation times lie if the dynamics are reversible."""
    prior = model.prior if isinstance(model, BootstrapKoopmanModel) else model
    if prior.moments is None or prior.moments.double is None:
        return
    for process, (low, high) in enumerate(np.clip(model.timescale_bounds(), *limits)):
        ax.plot([model.lagtime] * 2, [low, high], color=color_of(process), linewidth=0.8, alpha=0.6)


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
    # deeptime 0.4.5 swaps the names in its legend, and counts states from one
    grid = deeptime_plot_ck_test(test, color=color_of(0), xlabel="lag time / ps", legend=False)
    for (begin, end), ax in np.ndenumerate(grid.axes):
        ax.xaxis.set_major_formatter(_in_ps(timestep))
        (name,) = ax.texts
        name.set_text(f"{begin}→{end}")
        # curves start at one on the diagonal and at zero elsewhere
        name.set_position((0.05, 0.05 if begin == end else 0.88))
    estimated, predicted = grid.axes[0, 0].lines
    grid.figure.legend(
        [estimated, predicted],
        ["estimated", "predicted"],
        title="95 % bands" if test.has_errors else None,
        loc="outside upper center",
        ncol=2,
        frameon=False,
    )
    return grid.figure


def plot_eigenvectors(model: KoopmanModel | BootstrapKoopmanModel, ax: Axes | None = None) -> Axes:
    """Relaxation processes projected on the states (Figs. 3e, 4e), as groups of bars.

    A process exchanges the states of positive component with those of negative component.

    Parameters
    ----------
    model : KoopmanModel or BootstrapKoopmanModel
        With samples, bars carry the 95 % intervals of ``model.t_interval``.
    ax : Axes or None

    Returns
    -------
    Axes

    Notes
    -----
    Of a complex pair the real parts are drawn, and its label says so. The sign of an eigenvector
    is free: those of the samples are turned to the estimate's.
    """
    ax = axes_or_new(ax)
    prior = model.prior if isinstance(model, BootstrapKoopmanModel) else model
    vectors = prior.eigenvectors.real
    processes = np.arange(1, prior.n_states)
    intervals = _eigenvector_intervals(model) if isinstance(model, BootstrapKoopmanModel) else None
    width = BAR_WIDTH / len(processes)
    for process in processes:
        eigenvalue = prior.eigenvalues[process]
        number = f"{eigenvalue:.3f}" + ("" if np.isreal(eigenvalue) else ", real part")
        ax.bar(
            np.arange(prior.n_states) + (process - 0.5 * (len(processes) + 1)) * width,
            vectors[:, process],
            width,
            yerr=None
            if intervals is None
            else error_arms(vectors[:, process], intervals[:, process]),
            capsize=2,
            color=color_of(process - 1),
            label=f"process {process}, λ = {number}",
        )
    ax.axhline(0.0, color="black", linewidth=0.8)
    ax.set_xticks(np.arange(prior.n_states))
    ax.set_xlabel("state")
    ax.set_ylabel("eigenvector component")
    ax.legend()
    return ax


def _eigenvector_intervals(model: BootstrapKoopmanModel) -> NDArray[np.float64]:
    """Limits of the components, (n_states, n_states, 2)."""
    estimate = model.prior.eigenvectors.real

    def turned(other: KoopmanModel) -> NDArray[np.float64]:
        vectors = other.eigenvectors.real
        return vectors * np.where((estimate * vectors).sum(axis=0) < 0.0, -1.0, 1.0)

    return model.interval_of(turned)


def plot_populations(model: KoopmanModel | BootstrapKoopmanModel, ax: Axes | None = None) -> Axes:
    """Populations of the states in the data, as bars.

    Parameters
    ----------
    model : KoopmanModel or BootstrapKoopmanModel
        Estimated from data; with samples, bars carry the intervals of
        ``model.populations_interval``.
    ax : Axes or None

    Returns
    -------
    Axes
    """
    ax = axes_or_new(ax)
    if isinstance(model, BootstrapKoopmanModel):
        populations = model.prior.empirical_populations
        arms = error_arms(populations, model.populations_interval())
    else:
        populations, arms = model.empirical_populations, None
    states = np.arange(model.n_states)
    colors = [color_of(state) for state in states]
    ax.bar(states, populations, BAR_WIDTH, yerr=arms, capsize=4, color=colors)
    ax.set_xticks(states)
    ax.set_xlabel("state")
    ax.set_ylabel("population")
    ax.set_ylim(bottom=0.0)
    return ax


def plot_global_timescales(result: GlobalKoopman, ax: Axes | None = None) -> Axes:
    """Relaxation times over the sites of a cell, each degenerate group once.

    Parameters
    ----------
    result : GlobalKoopman
        From `graphkoopman.koopman.global_koopman`; its local model needs a timestep.
    ax : Axes or None

    Returns
    -------
    Axes
        Labels say how many modes share a time; error bars are there if the local model has
        samples. Groups that never relax are named and not drawn.
    """
    ax = axes_or_new(ax)
    times, interval = result.timescales_ps, result.timescales_ps_interval
    groups = np.arange(len(times))
    shown = np.isfinite(times)
    arms = None if interval is None else error_arms(times, interval)[:, shown]
    ax.errorbar(groups[shown], times[shown], arms, fmt="o", capsize=4, color=color_of(0))
    ax.set_yscale("log")
    _label_times(ax, 1.0)
    names = [
        f"{number + 1}\n{size} mode" + ("s" if size > 1 else "") + ("" if relaxes else ", endless")
        for number, size, relaxes in zip(groups, result.degeneracies, shown, strict=True)
    ]
    ax.set_xticks(groups, names)
    ax.set_xlim(-0.5, len(groups) - 0.5)
    ax.set_xlabel("group of degenerate modes")
    ax.set_ylabel("relaxation time / ps")
    return ax


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
    ax = axes_or_new(ax)
    epochs = np.arange(1, len(history) + 1)
    curves = {"train_score": "training", "validation_score": "validation VAMP-2"}
    for number, (key, label) in enumerate(curves.items()):
        ax.plot(epochs, [row[key] for row in history], color=color_of(number), label=label)
    ax.set_xlabel("epoch")
    ax.set_ylabel("VAMP score")
    ax.legend()
    return ax


def plot_exchange(model: KoopmanModel | BootstrapKoopmanModel, ax: Axes | None = None) -> Axes:
    r"""States as discs whose areas are populations, with arrows labelled by rates in 1/ns.

    A rate is :math:`K_{ij} / \tau`; those of less than a thousandth of the fastest are left out,
    and so are entries that are not positive.

    Parameters
    ----------
    model : KoopmanModel or BootstrapKoopmanModel
        Estimated from data, with a timestep.
    ax : Axes or None

    Returns
    -------
    Axes
    """
    ax = axes_or_new(ax)
    prior = model.prior if isinstance(model, BootstrapKoopmanModel) else model
    if prior.timestep is None:
        raise ValueError("timestep must be known for rates, got None; estimate with one")
    rates = 1000.0 * prior.koopman_matrix / (prior.lagtime * prior.timestep)
    rates = np.where(np.eye(prior.n_states, dtype=bool), 0.0, np.maximum(rates, 0.0))
    angles = np.pi / 2 - 2.0 * np.pi * np.arange(prior.n_states) / prior.n_states
    places = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    populations = np.clip(prior.empirical_populations, 0.0, 1.0)
    sizes = 0.12 + 0.25 * np.sqrt(populations)
    for i, j in np.argwhere(rates > SMALLEST_RATE * rates.max()):
        _arrow(ax, places[i], places[j], (sizes[i], sizes[j]), rates[i, j], rates.max(), int(i))
    for state, (x, y) in enumerate(places):
        ax.add_patch(Circle((x, y), sizes[state], color=color_of(state), zorder=3))
        label = f"{state}\n{populations[state]:.0%}"
        ax.text(x, y, label, ha="center", va="center", zorder=4, color="white", weight="bold")
    ax.set_xlim(-1.6, 1.6)
    ax.set_ylim(-1.6, 1.6)
    ax.set_aspect("equal")
    ax.axis("off")
    return ax


def _arrow(
    ax: Axes,
    begin: NDArray[np.float64],
    end: NDArray[np.float64],
    sizes: tuple[float, float],
    rate: float,
    fastest: float,
    state: int,
) -> None:
    """An arrow between two discs, beside the one that leads back."""
    along = (end - begin) / np.linalg.norm(end - begin)
    aside = 0.09 * np.array([-along[1], along[0]])
    start, stop = begin + along * (sizes[0] + 0.04) + aside, end - along * (sizes[1] + 0.04) + aside
    ax.annotate(
        "",
        xy=tuple(stop),
        xytext=tuple(start),
        arrowprops={
            "arrowstyle": "-|>",
            "color": color_of(state),
            "linewidth": 1.0 + 3.0 * np.sqrt(rate / fastest),
        },
    )
    # labels of both directions keep clear of each other, and of the middle of the figure
    place = start + 0.42 * (stop - start) + 1.6 * aside
    ax.text(place[0], place[1], f"{rate:.3g}", ha="center", va="center", fontsize="small", zorder=5)
