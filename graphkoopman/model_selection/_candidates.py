"""The columns of ``cv_results_`` that the selection rule reads: `Candidates`, `LagChoice`."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from graphkoopman.koopman import markov_verdict
from graphkoopman.model_selection._scorers import SELECTION_SCORES

__all__ = ["Candidates", "LagChoice"]

Array = NDArray[np.float64]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class LagChoice:
    """Chapman-Kolmogorov test of one lag, pooled over the folds.

    Attributes
    ----------
    lagtime : int
        Frames.
    error, half_width : float
        Error, positive where predictions decay too fast, and half of its 95 % interval.
    verdict : str
        "markovian", "not markovian", or "inconclusive" where the interval is too wide to tell; see
        `graphkoopman.koopman.markov_verdict`.
    index : int
        Row of ``cv_results_``.
    """

    lagtime: int
    error: float
    half_width: float
    verdict: str
    index: int


class Candidates:
    """Scores and Chapman-Kolmogorov errors of a search, one row per candidate.

    Parameters
    ----------
    cv_results : mapping
        Of a search over ``n_states`` and ``lagtime`` with ``scoring=markov_scorer(...)``.

    Attributes
    ----------
    n_states, lagtime : ndarray of shape (n_candidates,), int
    scores : ndarray of shape (n_candidates, n_folds)
        Cross-validated VAMP-2.
    errors, half_widths : ndarray of shape (n_candidates,)
        Mean Chapman-Kolmogorov error over the folds and half of its 95 % interval.
    valid : ndarray of shape (n_candidates,), bool
        False where a fit failed.

    Raises
    ------
    ValueError
        If a parameter or score is missing, there is one fold only, or no fit succeeded.
    """

    def __init__(self, cv_results: Mapping[str, Any]) -> None:
        params = cv_results["params"]
        self.n_states = _parameter(params, "n_states")
        self.lagtime = _parameter(params, "lagtime")
        self.scores, errors, standard_errors = (
            _folds(cv_results, name) for name in SELECTION_SCORES
        )
        if self.scores.shape[1] < 2:
            raise ValueError("the search must have at least two folds, got one")
        self.errors = -errors.mean(axis=1)
        n_folds = standard_errors.shape[1]
        # test folds are disjoint, so their errors add up like independent ones
        pooled = np.sqrt(np.square(standard_errors).sum(axis=1)) / n_folds
        self.half_widths = stats.norm.ppf(0.5 * (1.0 + CONFIDENCE)) * pooled
        self.valid = np.isfinite(self.scores).all(axis=1) & np.isfinite(pooled)
        if not self.valid.any():
            raise ValueError("cv_results must hold a candidate without NaN, got none")

    @property
    def lagtimes(self) -> list[int]:
        """Lags of the grid, rising."""
        return sorted(set(self.lagtime[self.valid].tolist()))

    def row(self, n_states: int, lagtime: int) -> int | None:
        """Candidate of a number of states and a lag; the best where other parameters vary."""
        rows = np.flatnonzero(self.valid & (self.n_states == n_states) & (self.lagtime == lagtime))
        return int(max(rows, key=lambda i: self.scores[i].mean())) if len(rows) else None

    def lag_choices(self, n_states: int, max_width: float) -> list[LagChoice]:
        """Chapman-Kolmogorov tests of a number of states, by rising lag."""
        rows = [self.row(n_states, lag) for lag in self.lagtimes]
        return [self._lag_choice(i, max_width) for i in rows if i is not None]

    def _lag_choice(self, row: int, max_width: float) -> LagChoice:
        error, half_width = float(self.errors[row]), float(self.half_widths[row])
        verdict = markov_verdict(error, half_width, max_width=max_width)
        return LagChoice(int(self.lagtime[row]), error, half_width, verdict, int(row))


def _parameter(params: list[dict[str, Any]], name: str) -> NDArray[np.int64]:
    """Values of a parameter of the estimator, at whatever depth it sits."""
    keys = [key for key in params[0] if key == name or key.endswith(f"__{name}")]
    if not keys:
        raise ValueError(
            f"the search must vary {name} (a single value will do), got parameters "
            f"{sorted(params[0])}"
        )
    return np.array([row[keys[0]] for row in params])


def _folds(cv_results: Mapping[str, Any], name: str) -> Array:
    """Scores of every candidate and fold, (n_candidates, n_folds)."""
    columns = [
        cv_results[f"split{i}_test_{name}"]
        for i in itertools.takewhile(
            lambda i: f"split{i}_test_{name}" in cv_results, itertools.count()
        )
    ]
    if not columns:
        raise ValueError(
            f"cv_results must hold the score {name!r}; search with scoring=markov_scorer(...)"
        )
    return np.column_stack(columns)
