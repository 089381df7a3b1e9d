"""What data cannot know about a model, said in words: `DataLimits`, `data_limits`.

`warn_of_limits` says it as warnings, each with its remedy.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components

from graphkoopman.koopman._model import KoopmanModel, implied_timescales_of
from graphkoopman.koopman._warnings import BeyondDataWarning, FixedStateWarning
from graphkoopman.probabilities import probability_arrays

__all__ = ["DataLimits", "count_exchanges", "data_limits", "warn_of_limits"]

# A target is in a state for certain with this probability, and has left it when it is in another.
CERTAIN = 2.0 / 3.0
PART_BYTES = 2**24
MOST_NAMED = 6


@dataclass(frozen=True, eq=False)
class DataLimits:
    """How far the relaxation times of a model are within what the data show.

    Attributes
    ----------
    longest_run : int
        Frames.
    slow : tuple of int
        Processes, from one, whose relaxation time is longer than the longest run or has no end.
    times : tuple of float
        Their relaxation times in frames.
    exchanges : ndarray of shape (n_states, n_states), int
        How often a target went from one state to another, each with a probability of two thirds
        or more; what happens between does not count.
    groups : tuple of tuples of int
        States between which targets pass, where there are several such groups and no target
        passes from one to another; empty otherwise.
    members : tuple of tuples of (int, int)
        Targets, as (run, target), that stay in each of the groups.
    """

    longest_run: int
    slow: tuple[int, ...]
    times: tuple[float, ...]
    exchanges: NDArray[np.int64]
    groups: tuple[tuple[int, ...], ...]
    members: tuple[tuple[tuple[int, int], ...], ...]


def count_exchanges(probs: ArrayLike | Sequence[ArrayLike]) -> NDArray[np.int64]:
    """How often targets go from each state to each other.

    Parameters
    ----------
    probs : array or list of arrays
        State probabilities, each of shape (n_frames, n_targets, n_states) or (n_frames, n_states).

    Returns
    -------
    ndarray of shape (n_states, n_states), int
        A target that is in a state with a probability of two thirds or more and in another one,
        likewise, when it is next in any.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.koopman import count_exchanges
    >>> path = [1.0, 0.9, 0.5, 0.8, 0.4, 0.1, 0.0]  # probability of the first state
    >>> count_exchanges(np.column_stack([path, np.subtract(1, path)]))
    array([[0, 1],
           [0, 0]])
    """
    arrays = probability_arrays(probs)
    n_states = arrays[0].shape[2]
    counts = np.zeros((n_states, n_states), dtype=np.int64)
    for array in arrays:
        for part in _parts(array):
            _, state, target = _certain(part)
            # rows are the certain frames, target after target; a pair of two targets is no exchange
            stays = target[1:] == target[:-1]
            np.add.at(counts, (state[:-1][stays], state[1:][stays]), 1)
    np.fill_diagonal(counts, 0)
    return counts


def data_limits(
    probs: ArrayLike | Sequence[ArrayLike],
    model: KoopmanModel,
    *,
    longest: int | None = None,
    exchanges: NDArray[np.int64] | None = None,
) -> DataLimits:
    """Find processes that the data are too short for, and states that no target leaves.

    Parameters
    ----------
    probs : array or list of arrays
        What the model was estimated from.
    model : KoopmanModel
    longest : int or None
        Frames of the longest run where ``probs`` are means over frames.
    exchanges : ndarray of shape (n_states, n_states) or None
        As of `count_exchanges`, where they are known.

    Returns
    -------
    DataLimits
    """
    arrays = probability_arrays(probs)
    longest = max(len(array) for array in arrays) if longest is None else longest
    eigenvalues = model.eigenvalues[1:]
    times = implied_timescales_of(eigenvalues, model.lagtime)
    # an eigenvalue of one or more never decays: its time has no end, and is not unknown
    endless = np.isnan(times) & (np.real(eigenvalues) > 0.5)
    times = np.where(endless, np.inf, times)
    slow = np.flatnonzero(times > longest)
    exchanges = count_exchanges(arrays) if exchanges is None else exchanges
    groups, members = _separate_groups(arrays, exchanges) if len(slow) else ((), ())
    return DataLimits(
        longest_run=longest,
        slow=tuple((slow + 1).tolist()),
        times=tuple(times[slow].tolist()),
        exchanges=exchanges,
        groups=groups,
        members=members,
    )


def warn_of_limits(
    limits: DataLimits,
    *,
    timestep: float | None = None,
    kinds: Sequence[Sequence[str]] | None = None,
    stacklevel: int = 2,
) -> None:
    """Say what a model claims beyond the data, in a warning of its own for each kind.

    Parameters
    ----------
    limits : DataLimits
    timestep : float or None
        ps per frame, for the words.
    kinds : sequence of n_runs sequences of str, or None
        Name of the kind of every target, such as its elements.

    Warns
    -----
    FixedStateWarning
        If states are fixed properties of targets.
    BeyondDataWarning
        If other relaxation times exceed the longest run.
    """
    if limits.groups:
        _warn_fixed(limits, kinds, stacklevel + 1)
    # states in groups without passage account for one endless process less than there are groups
    n_explained = max(len(limits.groups) - 1, 0)
    if len(limits.slow) > n_explained:
        _warn_beyond(limits, n_explained, timestep, stacklevel + 1)


def _warn_fixed(limits: DataLimits, kinds: Sequence[Sequence[str]] | None, stacklevel: int) -> None:
    parts = []
    for states, members in zip(limits.groups, limits.members, strict=True):
        name = f"states {list(states)}: {_number(members)}"
        if kinds is not None:
            found = sorted({kinds[run][target] for run, target in members})
            shown = ", ".join(found[:MOST_NAMED]) + (", …" if len(found) > MOST_NAMED else "")
            name += f" ({shown})"
        parts.append(name)
    coincide = _coincide(limits, kinds)
    warnings.warn(
        "no target ever passes between groups of states, so they tell kinds of targets apart "
        f"and not what targets do{coincide}: {'; '.join(parts)}. The relaxation time between them "
        "means nothing. Choose targets of one kind (one element, or whole molecules) and fit "
        "again, or, if they should exchange, give longer runs",
        FixedStateWarning,
        stacklevel=stacklevel + 1,
    )


def _number(members: Sequence[tuple[int, int]]) -> str:
    return f"{len(members)} target" + ("" if len(members) == 1 else "s")


def _coincide(limits: DataLimits, kinds: Sequence[Sequence[str]] | None) -> str:
    """What the groups are, if every kind of target is in one of them."""
    if kinds is None:
        return ""
    found = [{kinds[run][target] for run, target in members} for members in limits.members]
    apart = sum(map(len, found)) == len(set().union(*found))
    return " (they coincide with what the targets are made of)" if apart else ""


def _warn_beyond(
    limits: DataLimits, n_explained: int, timestep: float | None, stacklevel: int
) -> None:
    def in_words(frames: float) -> str:
        return f"{frames:.4g} frames" if timestep is None else f"{frames * timestep:.4g} ps"

    seen = [
        f"{i}→{j}: {limits.exchanges[i, j]}"
        for i, j in np.argwhere(limits.exchanges)[: 2 * MOST_NAMED].tolist()
    ]
    counts = "exchanges seen: " + ", ".join(seen) if seen else "not one exchange is seen"
    processes = ", ".join(
        f"{process} ({'no end' if np.isinf(time) else in_words(time)})"
        for process, time in list(zip(limits.slow, limits.times, strict=True))[n_explained:]
    )
    warnings.warn(
        f"relaxation times of processes {processes} are longer than the longest run "
        f"({in_words(limits.longest_run)}): nobody has seen one from its beginning to its end "
        f"({counts}). They hold only if targets are independent and the states Markovian; read "
        "the lower end of their interval, or give longer runs",
        BeyondDataWarning,
        stacklevel=stacklevel + 1,
    )


def _separate_groups(
    arrays: list[NDArray[Any]], exchanges: NDArray[np.int64]
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[tuple[int, int], ...], ...]]:
    """Groups of states without passage between them, and the targets of each."""
    # states are linked by any exchange seen, in either direction
    n_groups, group_of = connected_components(exchanges + exchanges.T, directed=False)
    members: list[list[tuple[int, int]]] = [[] for _ in range(n_groups)]
    for run, array in enumerate(arrays):
        for first in range(0, array.shape[1], 512):
            mean = array[:, first : first + 512].mean(axis=0, dtype=np.float64)
            for target, state in enumerate(mean.argmax(axis=1), start=first):
                members[group_of[state]].append((run, target))
    visited = [g for g in range(n_groups) if members[g]]
    if len(visited) < 2:
        return (), ()
    return (
        tuple(tuple(np.flatnonzero(group_of == g).tolist()) for g in visited),
        tuple(tuple(members[g]) for g in visited),
    )


def _parts(array: NDArray[Any]) -> list[NDArray[Any]]:
    """Groups of targets that fit in memory with all their frames."""
    n_part = max(1, PART_BYTES // (8 * array.shape[0] * array.shape[2]))
    return [array[:, first : first + n_part] for first in range(0, array.shape[1], n_part)]


def _certain(
    chi: NDArray[Any],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Frame, state and target wherever a state is certain, one target after the other."""
    target, frame, state = np.nonzero(chi.transpose(1, 0, 2) >= CERTAIN)
    return frame, state, target
