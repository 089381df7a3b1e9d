"""Which number of states and lag a table of cross-validated scores speaks for.

Public: :func:`select_markovian`, :func:`explain_selection`, :class:`Selection`,
:class:`StateChoice`, :class:`LagChoice`, :class:`SelectionWarning`.
Pure functions of ``cv_results_``; no network and no trajectory is needed.
"""

import itertools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.model_selection._candidates import Candidates, LagChoice
from graphkoopman.tables import Tabular, interval_columns

Array = NDArray[np.float64]

MAX_CK_WIDTH = 0.1


class SelectionWarning(UserWarning):
    """No candidate satisfies the selection rule; one is returned all the same."""


@dataclass(frozen=True)
class StateChoice:
    """A number of states at the scoring lag.

    Attributes
    ----------
    n_states : int
    score : float
        Mean cross-validated VAMP-2 over the folds.
    behind, standard_error : float
        How far below the best number of states, mean and standard error of the paired difference.
    is_enough : bool
        Whether that is within one standard error.
    """

    n_states: int
    score: float
    behind: float
    standard_error: float
    is_enough: bool


@dataclass(frozen=True)
class Selection(Tabular):
    """What was chosen and why.

    Attributes
    ----------
    n_states, lagtime, index : int
        The choice and its row of ``cv_results_``.
    verdict : str
        That of the lag chosen; anything but "markovian" means that no lag passed.
    scoring_lagtime : int
        Lag in frames at which numbers of states were compared.
    states : tuple of StateChoice
    lags : tuple of LagChoice
        All lags of the grid, for the number of states chosen.
    max_lagtime : int
        Longest lag allowed.
    max_width : float
        Widest interval that can tell.
    n_folds : int
    literal : tuple of int or None
        Number of states and lag by the literal rule of the paper, the smallest number of states
        and then lag whose error is within its uncertainty, however wide.
    """

    n_states: int
    lagtime: int
    index: int
    verdict: str
    scoring_lagtime: int
    states: tuple[StateChoice, ...]
    lags: tuple[LagChoice, ...]
    max_lagtime: int
    max_width: float
    n_folds: int
    literal: tuple[int, int] | None

    def table(self) -> dict[str, Any]:
        """One row per lag, of the number of states chosen."""
        errors = np.array([lag.error for lag in self.lags])
        half = np.array([lag.half_width for lag in self.lags])
        return {
            "states": self.n_states,
            "lag / frames": np.array([lag.lagtime for lag in self.lags]),
            **interval_columns(
                "CK error", errors, np.stack([errors - half, errors + half], axis=1)
            ),
            "verdict": np.array([lag.verdict for lag in self.lags]),
            "chosen": np.array([lag.lagtime == self.lagtime for lag in self.lags]),
        }


def select_markovian(
    cv_results: Mapping[str, Any],
    *,
    max_lagtime: int | None = None,
    scoring_lagtime: int | None = None,
    max_width: float = MAX_CK_WIDTH,
) -> int:
    """Row of ``cv_results_`` with the number of states and the lag that the data support.

    A ``refit`` callable for scikit-learn's searches over ``n_states`` and ``lagtime``;
    ``functools.partial`` sets its options. The search needs ``scoring=markov_scorer(...)``.

    Parameters
    ----------
    cv_results, max_lagtime, scoring_lagtime, max_width
        See `explain_selection`.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        See `explain_selection`.

    Warns
    -----
    SelectionWarning
        If no lag passes the Chapman-Kolmogorov test; the longest one allowed is then returned.
    """
    selection = explain_selection(
        cv_results,
        max_lagtime=max_lagtime,
        scoring_lagtime=scoring_lagtime,
        max_width=max_width,
    )
    warn_unless_markovian(selection)
    return selection.index


def explain_selection(
    cv_results: Mapping[str, Any],
    *,
    max_lagtime: int | None = None,
    scoring_lagtime: int | None = None,
    max_width: float = MAX_CK_WIDTH,
) -> Selection:
    r"""The selection rule with all that it rests on.

    1. ``n_states`` is the smallest whose cross-validated VAMP-2 at the scoring lag is within one
       paired standard error of the best.
    2. ``lagtime`` is the smallest, at most ``max_lagtime``, whose Chapman-Kolmogorov error is
       within its 95 % interval, where that interval is at most ``max_width`` wide.

    Parameters
    ----------
    cv_results : mapping
        ``cv_results_`` of a search over ``n_states`` and ``lagtime`` (under any step of a
        Pipeline) with ``scoring=markov_scorer(...)``.
    max_lagtime : int or None
        Longest lag in frames to choose; None allows the whole grid.
    scoring_lagtime : int or None
        Lag of the grid at which numbers of states are compared; None takes the longest allowed,
        at which fast processes no longer count.
    max_width : float
        A probability; a wider interval leaves the test inconclusive.

    Returns
    -------
    Selection

    Raises
    ------
    ValueError
        If the results lack a parameter or score, or the grid a lag.

    Notes
    -----
    "Cross-validated VAMP-2" is ``vampe_cv``: singular functions and values of the training model
    on the test data. Where they are right it equals VAMP-2, and unlike VAMP-2 of the test data by
    itself it does not grow with states that describe noise, see `KoopmanScorer`.

    The standard error is that of the *difference* to the best candidate over the folds: all
    candidates meet the same test data, whose own ups and downs cancel. Folds share training data,
    so the variance of the mean over k of them is s²(1/k + 1/(k - 1)) rather than s²/k (Nadeau and
    Bengio, with the ratio of test to training data of k-fold cross-validation).

    The paper's words, "the smallest feature space dimension and τ that fulfils the CK equation
    within statistical uncertainty", cannot find the number of states: two states that span the
    slowest process of a system with many pass the test, and so does everything with little data.

    References
    ----------
    Xie et al., Nat. Commun. 10, 2667 (2019), Methods; Nadeau and Bengio, Mach. Learn. 52, 239
    (2003).
    """
    table = Candidates(cv_results)
    limit = max(table.lagtimes) if max_lagtime is None else max_lagtime
    allowed = [lag for lag in table.lagtimes if lag <= limit]
    if not allowed:
        raise ValueError(
            f"max_lagtime must be at least the shortest lag of the grid ({min(table.lagtimes)} "
            f"frames), got {max_lagtime}"
        )
    scoring_lagtime = allowed[-1] if scoring_lagtime is None else scoring_lagtime
    states = _compare_states(table, scoring_lagtime)
    n_states = next(choice.n_states for choice in states if choice.is_enough)
    lags = table.lag_choices(n_states, max_width)
    possible = [lag for lag in lags if lag.lagtime <= limit]
    if not possible:
        raise ValueError(
            f"the grid must hold a lag <= {limit} frames for n_states={n_states}, got "
            f"{[lag.lagtime for lag in lags]}"
        )
    chosen = next((lag for lag in possible if lag.verdict == "markovian"), possible[-1])
    return Selection(
        n_states=n_states,
        lagtime=chosen.lagtime,
        index=chosen.index,
        verdict=chosen.verdict,
        scoring_lagtime=scoring_lagtime,
        states=tuple(states),
        lags=tuple(lags),
        max_lagtime=allowed[-1],
        max_width=max_width,
        n_folds=table.scores.shape[1],
        literal=_literal_rule(table, limit),
    )


def warn_unless_markovian(selection: Selection) -> None:
    """Warn of a selection in which no lag passed."""
    if selection.verdict == "markovian":
        return
    allowed = [lag for lag in selection.lags if lag.lagtime <= selection.max_lagtime]
    if any(lag.verdict == "inconclusive" for lag in allowed):
        remedy = (
            f"too little data to tell (intervals wider than {selection.max_width:g}); give "
            "more data"
        )
    else:
        remedy = "allow longer lags"
    warnings.warn(
        f"no lag up to {selection.max_lagtime} frames passes the Chapman-Kolmogorov test with "
        f"n_states={selection.n_states}, {selection.lagtime} is returned: {remedy}",
        SelectionWarning,
        stacklevel=3,
    )


def paired_standard_error(differences: Array) -> float:
    """Standard error of a mean over folds that share training data, after Nadeau and Bengio.

    Parameters
    ----------
    differences : ndarray of shape (n_folds,)

    Returns
    -------
    float
    """
    n_folds = len(differences)
    share = 1.0 / n_folds + 1.0 / (n_folds - 1.0)
    return float(np.std(differences, ddof=1) * np.sqrt(share))


def _compare_states(table: Candidates, lagtime: int) -> list[StateChoice]:
    """Numbers of states against the best of them, by rising number."""
    numbers = sorted(set(table.n_states[table.valid].tolist()))
    rows = {n: table.row(n, lagtime) for n in numbers}
    scores = {n: table.scores[row] for n, row in rows.items() if row is not None}
    if not scores:
        raise ValueError(
            f"scoring_lagtime must be a lag of the grid, {table.lagtimes}, got {lagtime}"
        )
    best = max(scores, key=lambda n: scores[n].mean())
    choices = []
    for n, score in scores.items():
        behind = scores[best] - score
        standard_error = paired_standard_error(behind)
        is_enough = bool(behind.mean() <= standard_error)
        choices.append(
            StateChoice(n, float(score.mean()), float(behind.mean()), standard_error, is_enough)
        )
    return choices


def _literal_rule(table: Candidates, limit: int) -> tuple[int, int] | None:
    numbers = sorted(set(table.n_states[table.valid].tolist()))
    for n, lag in itertools.product(numbers, table.lagtimes):
        row = table.row(n, lag)
        if lag <= limit and row is not None and abs(table.errors[row]) <= table.half_widths[row]:
            return n, lag
    return None
