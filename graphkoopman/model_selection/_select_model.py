"""The whole choice of τ and the number of states in one call: `select_model`."""

import itertools
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from deeptime.util.validation import ImpliedTimescales, implied_timescales
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.graphs import GraphFeaturizer
from graphkoopman.koopman import (
    InvalidTimescaleWarning,
    RankDeficientWarning,
    SkippedTrajectoryWarning,
)
from graphkoopman.model_selection._candidates import Candidates
from graphkoopman.model_selection._scorers import markov_scorer
from graphkoopman.model_selection._search import search
from graphkoopman.model_selection._selection import (
    Selection,
    explain_selection,
    warn_unless_markovian,
)
from graphkoopman.model_selection._splitters import SegmentKFold
from graphkoopman.progress import Progress, counted
from graphkoopman.samples import Samples, join_adjacent_samples
from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.trajectories import TrajectoriesLike

__all__ = ["ModelSelection", "select_model"]

MOST_PIECES_PER_FOLD = 8
N_BOOTSTRAP = 100


@dataclass(frozen=True, eq=False, repr=False)
class ModelSelection(Tabular):
    """Outcome of `select_model`.

    Attributes
    ----------
    estimator : GDyNetEstimator
        With the number of states and the lag chosen, fitted on all data.
    selection : Selection
        The choice and what it rests on.
    cv_results : dict
        All scores, as of scikit-learn's searches.
    timescales : dict of int to ImpliedTimescales
        For every number of states, relaxation times in frames over the lags of the grid, with
        bootstrap samples; from one network trained on all data at the chosen lag.
    timestep : float
        ps per frame.
    """

    estimator: GDyNetEstimator
    selection: Selection
    cv_results: dict[str, Any]
    timescales: dict[int, ImpliedTimescales]
    timestep: float

    def __repr__(self) -> str:
        chosen = self.selection
        return (
            f"ModelSelection(n_states={chosen.n_states}, lagtime={chosen.lagtime} "
            f"({chosen.lagtime * self.timestep:g} ps), {chosen.verdict}, "
            f"{len(self.cv_results['params'])} candidates)"
        )

    def table(self) -> dict[str, Any]:
        """One row per candidate: VAMP-2 over the folds, Chapman-Kolmogorov error."""
        found = Candidates(self.cv_results)
        limits = found.errors[:, None] + found.half_widths[:, None] * [-1.0, 1.0]
        return {
            "states": found.n_states,
            "lag / ps": found.lagtime * self.timestep,
            "VAMP-2": found.scores.mean(axis=1),
            **interval_columns("CK error", found.errors, limits),
            "chosen": np.arange(len(found.errors)) == self.selection.index,
        }


def select_model(
    trajs: TrajectoriesLike,
    lagtimes: Sequence[int],
    n_states: Sequence[int],
    *,
    estimator: GDyNetEstimator | None = None,
    featurizer: GraphFeaturizer | None = None,
    n_splits: int = 4,
    max_lagtime: int | None = None,
    scoring_lagtime: int | None = None,
    horizon: int | None = None,
    n_jobs: int | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    verbose: bool = False,
) -> ModelSelection:
    """Choose the number of states and the lag by cross-validation, and fit the model chosen.

    Trajectories are cut into pieces, and every candidate is trained and tested on folds of whole
    pieces that lie at least the longest lag apart. `explain_selection` states the rule.

    Parameters
    ----------
    trajs : Trajectory, Samples, or list of either
        Graphs are built once, before the search.
    lagtimes : sequence of int
        Frames.
    n_states : sequence of int
    estimator : GDyNetEstimator or None
        All other settings; None takes the defaults.
    featurizer : GraphFeaturizer or None
        Builds the graphs of trajectories; not needed for graphs.
    n_splits : int
        Number of folds.
    max_lagtime, scoring_lagtime : int or None
        See `explain_selection`.
    horizon : int or None
        Frames over which the Chapman-Kolmogorov test predicts; None takes twice the longest lag.
    n_jobs : int or None
        Candidates and folds trained at the same time, joblib's convention.
    checkpoint_dir : path or None
        Folder that every candidate is written to as it ends, as ``candidates.csv``; the same call
        with the same data goes on from there.
    verbose : bool
        Show progress, and every candidate as it ends.

    Returns
    -------
    ModelSelection

    Raises
    ------
    ValueError
        If the data are too short for the lags and folds, ``checkpoint_dir`` holds another search,
        or an argument is not as described.

    Warns
    -----
    SelectionWarning
        If no lag passes the Chapman-Kolmogorov test.
    ConvergenceWarning
        Of the model chosen only; candidates with too many states warn as a matter of course.
    """
    lagtimes, n_states = _distinct(lagtimes, "lagtimes"), _distinct(n_states, "n_states")
    horizon = 2 * lagtimes[-1] if horizon is None else horizon
    _check_lags(lagtimes, max_lagtime, scoring_lagtime, horizon)
    graphs = _graphs(trajs, featurizer)
    pieces = time_pieces(graphs, n_splits, lagtimes[-1], horizon)
    estimator = GDyNetEstimator() if estimator is None else estimator
    with warnings.catch_warnings():
        for category in (ConvergenceWarning, RankDeficientWarning, SkippedTrajectoryWarning):
            warnings.simplefilter("ignore", category)
        results = search(
            estimator,
            pieces,
            {"n_states": n_states, "lagtime": lagtimes},
            scoring=markov_scorer(horizon),
            cv=SegmentKFold(n_splits, gap=1),
            horizon=horizon,
            n_jobs=n_jobs,
            folder=checkpoint_dir,
            verbose=verbose,
        )
    selection = explain_selection(results, max_lagtime=max_lagtime, scoring_lagtime=scoring_lagtime)
    warn_unless_markovian(selection)
    chosen = clone(estimator).set_params(n_states=selection.n_states, lagtime=selection.lagtime)
    with Progress("fit of the choice", active=verbose):
        chosen.fit(graphs)
    return ModelSelection(
        estimator=chosen,
        selection=selection,
        cv_results=results,
        timescales=_timescales(chosen, n_states, lagtimes, graphs, verbose),
        timestep=float(graphs[0].timestep),
    )


def time_pieces(
    graphs: Sequence[Samples], n_splits: int, longest: int, horizon: int
) -> list[Samples]:
    """Cut graphs of whole trajectories into contiguous pieces for lag-safe folds.

    Parameters
    ----------
    graphs : sequence of Samples
        Joined where they are adjacent.
    n_splits : int
        Number of folds.
    longest : int
        Longest lag in frames; every piece is more than twice as long, so that ``gap=1`` keeps
        training and test data apart.
    horizon : int
        Frames that every trajectory and every fold must exceed.

    Returns
    -------
    list of Samples
        In time order, with ``parent`` and ``start``.

    Raises
    ------
    ValueError
        If the data are too short.
    """
    n_frames = sum(len(item) for item in graphs)
    shortest = min(len(item) for item in graphs)
    target = max(2 * longest + 1, math.ceil(n_frames / (MOST_PIECES_PER_FOLD * n_splits)))
    counts = [max(1, len(item) // target) for item in graphs]
    needed = max(horizon, 2 * longest)
    if shortest <= needed or n_frames <= n_splits * needed or sum(counts) < 2 * n_splits:
        raise ValueError(
            f"every trajectory and every test fold must be longer than {needed} frames (the "
            "horizon of the Chapman-Kolmogorov test, and two of the longest lags), and folds of "
            f"two pieces at least, got {n_frames} frames for {n_splits} folds and a shortest "
            f"trajectory of {shortest}; lower lagtimes or n_splits, drop short runs or give more "
            "data"
        )
    pieces = []
    for i, (item, count) in enumerate(zip(graphs, counts, strict=True)):
        parent = f"trajectory {i}" if item.parent is None else item.parent
        item = item.of_run(parent)
        edges = np.linspace(0, len(item), count + 1).astype(int)
        pieces += [item[begin:stop] for begin, stop in itertools.pairwise(edges.tolist())]
    return pieces


def _check_lags(
    lagtimes: list[int], max_lagtime: int | None, scoring_lagtime: int | None, horizon: int
) -> None:
    """Raise for lags that would fail after the search only."""
    if max_lagtime is not None and max_lagtime < lagtimes[0]:
        raise ValueError(
            f"max_lagtime must be at least the shortest of lagtimes ({lagtimes[0]} frames), got "
            f"{max_lagtime}"
        )
    if scoring_lagtime is not None and scoring_lagtime not in lagtimes:
        raise ValueError(
            f"scoring_lagtime must be one of lagtimes, {lagtimes}, got {scoring_lagtime}"
        )
    if horizon < 2 * lagtimes[-1]:
        raise ValueError(
            f"horizon must be at least two of the longest lags ({2 * lagtimes[-1]} frames), got "
            f"{horizon}"
        )


def _distinct(values: Sequence[int], name: str) -> list[int]:
    numbers = sorted({int(value) for value in values})
    if not numbers:
        raise ValueError(f"{name} must hold at least one number, got none")
    return numbers


def _graphs(trajs: TrajectoriesLike, featurizer: GraphFeaturizer | None) -> list[Samples]:
    """Graphs of the trajectories, built where they are not given, adjacent ones joined."""
    items = [trajs] if isinstance(trajs, Samples) else trajs
    if isinstance(items, Sequence) and all(isinstance(item, Samples) for item in items):
        return join_adjacent_samples(list(items))
    featurizer = GraphFeaturizer() if featurizer is None else featurizer
    return join_adjacent_samples(featurizer.fit_transform(items))


def _timescales(
    chosen: GDyNetEstimator,
    n_states: Sequence[int],
    lagtimes: Sequence[int],
    graphs: list[Samples],
    verbose: bool,
) -> dict[int, ImpliedTimescales]:
    """Relaxation times over the lags for every number of states, from networks on all data."""
    timescales = {}
    for number in counted(len(n_states), "relaxation times", active=verbose):
        n = n_states[number]
        fitted = chosen
        with warnings.catch_warnings():
            # more states than processes are among the candidates on purpose
            for category in (ConvergenceWarning, InvalidTimescaleWarning, RankDeficientWarning):
                warnings.simplefilter("ignore", category)
            if n != chosen.n_states:
                fitted = clone(chosen).set_params(n_states=n).fit(graphs)
            models = fitted.koopman_models(graphs, lagtimes, n_bootstrap=N_BOOTSTRAP)
            timescales[n] = implied_timescales(models)
    return timescales
