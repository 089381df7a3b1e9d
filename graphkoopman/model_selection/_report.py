"""A selection in words: `selection_report`."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from graphkoopman.model_selection._selection import Selection, explain_selection

__all__ = ["selection_report"]


def selection_report(search: Any, *, timestep: float | None = None, **options: Any) -> str:
    """Why a number of states and a lag were chosen, and what the paper's rule would choose.

    Parameters
    ----------
    search : fitted search, mapping or Selection
        A mapping is a ``cv_results_``.
    timestep : float or None
        ps per frame, to give lags in ps beside frames.
    **options
        Settings of `explain_selection`. Settings of a ``refit=partial(select_markovian, ...)`` are
        known already.

    Returns
    -------
    str
        Several lines.
    """
    if isinstance(search, Selection):
        selection = search
    else:
        refit = getattr(search, "refit", None)
        if isinstance(refit, partial):
            options = {**refit.keywords, **options}
        selection = explain_selection(getattr(search, "cv_results_", search), **options)
    parts = (
        _states(selection, timestep),
        _lags(selection, timestep),
        _literal(selection, timestep),
    )
    return "\n\n".join("\n".join(lines) for lines in parts)


def _time(lagtime: int, timestep: float | None) -> str:
    frames = f"{lagtime} frame" + ("" if lagtime == 1 else "s")
    return frames if timestep is None else f"{frames} ({lagtime * timestep:g} ps)"


def _states(selection: Selection, timestep: float | None) -> Iterator[str]:
    yield f"Number of states: {selection.n_states}"
    yield (
        f"Cross-validated VAMP-2 at a lag of {_time(selection.scoring_lagtime, timestep)}, "
        f"{selection.n_folds} folds:"
    )
    yield "  states     score  behind best  standard error"
    for choice in selection.states:
        mark = "*" if choice.n_states == selection.n_states else " "
        yield (
            f"{mark} {choice.n_states:6d}  {choice.score:8.4f}  {choice.behind:11.4f}  "
            f"{choice.standard_error:14.4f}"
        )
    best = min(selection.states, key=lambda choice: choice.behind)
    if best.n_states == selection.n_states:
        fewer = best.n_states > selection.states[0].n_states
        rest = "every smaller number is further behind" if fewer else "the fewest tried"
        yield f"{best.n_states} states are the best, {rest}"
    else:
        yield (
            f"{selection.n_states} states are the fewest within one standard error of the best "
            f"({best.n_states})"
        )
    if selection.n_states == selection.states[-1].n_states:
        yield "this is the largest number tried: try more"


def _lags(selection: Selection, timestep: float | None) -> Iterator[str]:
    yield f"Lag time: {_time(selection.lagtime, timestep)}, {selection.verdict}"
    yield (
        f"Chapman-Kolmogorov error with {selection.n_states} states (probability to be in the "
        "same state later, observed minus predicted) and its 95 % interval:"
    )
    yield "     lag    error       low      high  verdict"
    for lag in selection.lags:
        mark = "*" if lag.lagtime == selection.lagtime else " "
        beyond = ", longer than allowed" if lag.lagtime > selection.max_lagtime else ""
        yield (
            f"{mark} {lag.lagtime:6d}  {lag.error:7.4f}  {lag.error - lag.half_width:8.4f}  "
            f"{lag.error + lag.half_width:8.4f}  {lag.verdict}{beyond}"
        )
    if selection.verdict == "markovian":
        yield f"{selection.lagtime} is the shortest lag whose error is within its uncertainty"
    else:
        yield (
            f"no lag up to {_time(selection.max_lagtime, timestep)} passes; intervals wider than "
            f"{selection.max_width:g} are called inconclusive"
        )


def _literal(selection: Selection, timestep: float | None) -> list[str]:
    if selection.literal is None:
        return ["The paper's rule by itself finds no candidate that passes the test"]
    n_states, lagtime = selection.literal
    return [
        "The paper's rule by itself (smallest number of states and lag that pass the test, however "
        f"uncertain) gives {n_states} states and {_time(lagtime, timestep)}"
    ]
