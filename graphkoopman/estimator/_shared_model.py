"""The Koopman model of runs that lie on several processes: `shared_model`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphkoopman.estimator._models import kinds_of
from graphkoopman.koopman import (
    KoopmanModel,
    count_exchanges,
    data_limits,
    model_of_moments,
    shared_moments,
    warn_of_limits,
)
from graphkoopman.ranks import Reducer
from graphkoopman.training import SharedRun

if TYPE_CHECKING:
    from graphkoopman.estimator._estimator import GDyNetEstimator

__all__ = ["shared_model", "warn_beyond_shared_data"]


def shared_model(
    estimator: "GDyNetEstimator", runs: Sequence[Any], reducer: Reducer
) -> KoopmanModel:
    """Model of the frames of all processes, of which every one evaluates its own.

    Parameters
    ----------
    estimator : GDyNetEstimator
        Fitted.
    runs : sequence of SharedRun
    reducer : Reducer

    Returns
    -------
    KoopmanModel
        That of a process by itself with the frames of all.
    """
    lagtime, n_states = estimator.lagtime, estimator.n_states
    probs = _own_probabilities(estimator, runs)
    lengths = [len(run) for run in runs]
    followed = [_followed(run, probs, i, 2 * lagtime, reducer) for i, run in enumerate(runs)]
    single, double = (
        shared_moments(
            [piece for i, own in enumerate(followed) if lengths[i] > lag for piece in own],
            n_states,
            lag,
            reducer,
        )
        for lag in (lagtime, 2 * lagtime)
    )
    if single is None:
        raise ValueError(f"lagtime must be < the longest trajectory, got {lagtime}")
    return model_of_moments(
        single,
        double,
        timestep=runs[0].timestep,
        constraint="reversible" if estimator.reversible else None,
    )


def _own_probabilities(
    estimator: "GDyNetEstimator", runs: Sequence[SharedRun]
) -> dict[tuple[int, int], np.ndarray]:
    """Probabilities of the pieces of this process, by run and first frame."""
    here = {
        (i, piece.begin): piece.samples
        for i, run in enumerate(runs)
        for piece in run.own
        if piece.samples is not None
    }
    if not here:
        return {}
    return dict(zip(here, estimator.transform(list(here.values())), strict=True))


def _followed(
    run: SharedRun,
    probs: dict[tuple[int, int], np.ndarray],
    number: int,
    n_after: int,
    reducer: Reducer,
) -> list[tuple[np.ndarray, int]]:
    """Pieces of this process, each with the frames after it, and its own number of frames."""
    found = []
    for i, piece in enumerate(run.pieces):
        parts = [probs.get((number, piece.begin))]
        end = min(piece.stop + n_after, len(run))
        for after in run.pieces[i + 1 :]:
            if after.begin >= end:
                break
            own = probs.get((number, after.begin))
            lent = None if own is None else own[: end - after.begin]
            parts.append(reducer.send(lent, after.rank, piece.rank))
        if piece.samples is not None:
            arrays = [part for part in parts if part is not None]
            found.append((np.concatenate(arrays), piece.stop - piece.begin))
    return found


def warn_beyond_shared_data(
    estimator: "GDyNetEstimator",
    runs: Sequence[Any],
    reducer: Reducer,
    *,
    stacklevel: int = 2,
) -> None:
    """`warn_beyond_data` of all processes. A passage across the ends of a piece is not counted."""
    probs = _own_probabilities(estimator, runs)
    n_states = estimator.n_states
    exchanges = np.zeros((n_states, n_states), np.int64)
    totals: dict[int, np.ndarray] = {}
    kinds: dict[int, Any] = {}
    for (number, begin), array in probs.items():
        exchanges += count_exchanges(array)
        totals[number] = totals.get(number, 0.0) + array.sum(axis=0)
        (piece,) = [piece for piece in runs[number].own if piece.begin == begin]
        kinds[number] = kinds_of([piece.samples])
    parts = reducer.gather((exchanges, totals, kinds))
    means, names = [], []
    for number in range(len(runs)):
        total = np.sum([part[1][number] for part in parts if number in part[1]], axis=0)
        means.append(total[None] / total.sum(axis=-1, keepdims=True))
        names.append(next(part[2][number] for part in parts if number in part[2]))
    known = all(name is not None for name in names)
    limits = data_limits(
        means,
        estimator.model_,
        longest=max(len(run) for run in runs),
        exchanges=np.sum([part[0] for part in parts], axis=0),
    )
    warn_of_limits(
        limits,
        timestep=runs[0].timestep,
        kinds=[name[0] for name in names] if known else None,
        stacklevel=stacklevel + 1,
    )
