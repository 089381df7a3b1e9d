"""A search over numbers of states and lags that keeps what it has found: `search`.

`CandidateFile` is the table of a folder that every candidate is added to as it ends.
"""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ParameterGrid

from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.model_selection._candidates import Candidates
from graphkoopman.progress import Progress
from graphkoopman.samples import Samples
from graphkoopman.storage import digest, replacing

__all__ = ["CandidateFile", "search"]

PARAMETERS = ("n_states", "lagtime")
TABLE, OWNER = "candidates.csv", "candidates.json"
NOT_IN_FINGERPRINT = ("n_states", "lagtime", "verbose", "device", "chunk_size", "checkpoint_dir")

Row = dict[str, float]


class CandidateFile:
    """Scores of the candidates of one search, in a folder, one row each.

    Parameters
    ----------
    folder : path or None
        Made where there is none; None keeps nothing.
    fingerprint : mapping
        What scores depend on beside the candidate, JSON.

    Attributes
    ----------
    rows : list of dict
        Numeric columns of ``cv_results_``, with ``n_states`` and ``lagtime``, of all candidates
        done, those of an earlier process first.

    Raises
    ------
    ValueError
        If the folder holds candidates of another search.
    OSError
        If the folder cannot be made or written to.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None, fingerprint: Mapping[str, Any]
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.rows: list[Row] = []
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        owner = self.folder / OWNER
        if owner.is_file():
            _check_owner(owner, fingerprint)
            self.rows = _read_rows(self.folder / TABLE)
        else:
            with replacing(owner) as file:
                file.write((json.dumps(fingerprint, indent=1) + "\n").encode())
            self._write()

    def row(self, candidate: Mapping[str, Any]) -> Row | None:
        """Scores of a candidate; None where it has not been tried."""
        for row in self.rows:
            if all(row[name] == candidate[name] for name in PARAMETERS):
                return row
        return None

    def add(self, results: Mapping[str, Any]) -> list[Row]:
        """Add the candidates of a ``cv_results_``; returns their rows."""
        new = _rows_of(results)
        self.rows += new
        self._write()
        return new

    def _write(self) -> None:
        if self.folder is None:
            return
        text = io.StringIO()
        writer = csv.writer(text)
        header = list(self.rows[0]) if self.rows else list(PARAMETERS)
        writer.writerow(header)
        # repr gives every bit of a number
        writer.writerows([[repr(row[name]) for name in header] for row in self.rows])
        with replacing(self.folder / TABLE) as file:
            file.write(text.getvalue().encode())


def search(
    estimator: GDyNetEstimator,
    pieces: Sequence[Samples],
    grid: Mapping[str, Sequence[int]],
    *,
    scoring: Any,
    cv: Any,
    horizon: int,
    n_jobs: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    verbose: bool = False,
) -> dict[str, Any]:
    """``cv_results_`` of a grid search, candidate by candidate, as many at a time as jobs run.

    Parameters
    ----------
    estimator : GDyNetEstimator
    pieces : list of Samples
    grid : mapping
        Values of ``n_states`` and ``lagtime``.
    scoring, cv, n_jobs
        As of `GridSearchCV`.
    horizon : int
        Frames over which the scorer predicts; scores depend on it.
    folder : path or None
        See `CandidateFile`; candidates in there are not tried again.
    verbose : bool
        Show progress, and a line for every candidate as it ends.

    Returns
    -------
    dict
    """
    candidates = list(ParameterGrid(grid))
    done = CandidateFile(folder, _fingerprint(estimator, pieces, cv, horizon))
    missing = [candidate for candidate in candidates if done.row(candidate) is None]
    n_known = len(candidates) - len(missing)
    at_once = effective_n_jobs(n_jobs)
    timestep = pieces[0].timestep
    with Progress("search", len(candidates), "candidates", done=n_known, active=verbose) as stage:
        if n_known:
            stage.say(f"{n_known} of {len(candidates)} candidates are known already")
        for first in range(0, len(missing), at_once):
            batch = missing[first : first + at_once]
            several = GridSearchCV(
                clone(estimator), [{name: [value] for name, value in one.items()} for one in batch],
                scoring=scoring, cv=cv, refit=False, n_jobs=n_jobs, error_score="raise",
            ).fit(list(pieces))  # fmt: skip
            for row in done.add(several.cv_results_):
                stage.say(_line(row, timestep))
                stage.step()
    rows = [done.row(candidate) for candidate in candidates]
    return _results_of(candidates, [row for row in rows if row is not None])


def _fingerprint(
    estimator: GDyNetEstimator, pieces: Sequence[Samples], cv: Any, horizon: int
) -> dict[str, Any]:
    settings = {
        name: repr(value)
        for name, value in estimator.get_params(deep=False).items()
        if name not in NOT_IN_FINGERPRINT
    }
    data = digest(" ".join(item.digest() for item in pieces), [])
    return {"settings": settings, "folds": repr(cv), "horizon": int(horizon), "data": data}


def _check_owner(path: Path, fingerprint: Mapping[str, Any]) -> None:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        known = None
    # what JSON makes of the fingerprint
    wanted = json.loads(json.dumps(fingerprint))
    if known == wanted:
        return
    differences = (
        ["it is damaged"]
        if not isinstance(known, dict)
        else [f"other {name}" for name in wanted if known.get(name) != wanted[name]]
    )
    raise ValueError(
        f"{path.parent} holds candidates of another search ({', '.join(differences)}); give "
        "another folder or delete it"
    )


def _read_rows(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: int(text) if name in PARAMETERS else float(text) for name, text in row.items()}
            for row in csv.DictReader(file)
        ]


def _rows_of(results: Mapping[str, Any]) -> list[Row]:
    """Numbers of every candidate of a ``cv_results_``; ranks are of all candidates together."""
    columns = [
        name for name in results if not name.startswith(("param", "rank_"))
    ]  # fmt: skip
    return [
        {
            **{name: int(params[name]) for name in PARAMETERS},
            **{name: float(results[name][number]) for name in columns},
        }
        for number, params in enumerate(results["params"])
    ]


def _results_of(candidates: Sequence[dict[str, Any]], rows: Sequence[Row]) -> dict[str, Any]:
    """The ``cv_results_`` of a search over all candidates."""
    results: dict[str, Any] = {"params": list(candidates)}
    for name in PARAMETERS:
        column: Any = np.ma.array([one[name] for one in candidates], mask=False, dtype=object)
        results[f"param_{name}"] = column
    for name in rows[0]:
        if name not in PARAMETERS:
            results[name] = np.array([row[name] for row in rows])
    for name in [name for name in results if name.startswith("mean_test_")]:
        best_first = rankdata(-results[name], method="min").astype(np.int32)
        results[name.replace("mean_", "rank_")] = best_first
    return results


def _line(row: Row, timestep: float) -> str:
    """A candidate in a line."""
    params = {name: row[name] for name in PARAMETERS}
    one = Candidates(_results_of([params], [row]))
    return (
        f"{row['n_states']:d} states, lag {row['lagtime'] * timestep:g} ps: VAMP-2 "
        f"{one.scores.mean():.4f}, CK error {one.errors[0]:+.4f} ± {one.half_widths[0]:.4f}"
    )
