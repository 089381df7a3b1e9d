"""Intervals that hold the training of the network: `with_refits`, `probability_sets`, `widened`.

Probabilities of the same frames from several trainings are a list of sets: the first is that of the
fitted network, the others come from refits to half of the time blocks each. A half sample
differs from the whole as much as the whole from another data set, so the spread of refits is
what training on other data, with other random numbers, would have changed.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import wraps
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.uncertainty._student import CONFIDENCE, t_quantile

__all__ = ["probability_sets", "widened", "with_refits"]

Array = NDArray[np.float64]
F = TypeVar("F", bound=Callable[..., Any])

AT_MOST_ONE = ("population", "populations", "probability", "kappa")


def probability_sets(probs: Any) -> list[Any]:
    """Sets of probabilities, that of the fitted network first.

    Parameters
    ----------
    probs : array, list of arrays, or list of lists of arrays
        The latter is several sets, each with one array per trajectory.

    Returns
    -------
    list
        One entry per set.

    Raises
    ------
    ValueError
        If sets differ in their frames, targets or states.
    """
    several = (
        isinstance(probs, list | tuple)
        and len(probs) > 0
        and all(isinstance(one, list | tuple) and len(one) > 0 for one in probs)
        and all(getattr(array, "ndim", 0) >= 2 for one in probs for array in one)
    )
    if not several:
        return [probs]
    shapes = [[array.shape for array in one] for one in probs]
    for number, shape in enumerate(shapes[1:], start=1):
        if shape != shapes[0]:
            raise ValueError(
                "sets of probs must be of the same frames, targets and states, got "
                f"{shapes[0]} in the first and {shape} in number {number}; evaluate all networks "
                "on the same trajectories"
            )
    return list(probs)


def spread_of_refits(
    estimate: ArrayLike, refits: ArrayLike, confidence: float = CONFIDENCE
) -> tuple[Array, Array]:
    """How far training may have moved an estimate, below and above.

    Student's t for the number of refits times their root mean square distance from the estimate;
    without end on a side where a refit has no finite value.

    Parameters
    ----------
    estimate : array-like of shape (...)
    refits : array-like of shape (n_refits, ...)
        On the same scale.
    confidence : float
    """
    values, centre = np.asarray(refits, dtype=np.float64), np.asarray(estimate, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        distance = values - centre
    known = np.isfinite(distance)
    n_known = known.sum(axis=0)
    square = np.where(known, distance, 0.0) ** 2
    spread = np.sqrt(square.sum(axis=0) / np.maximum(n_known, 1))
    # as many degrees of freedom as refits: they are compared with what they are to spread around
    half = np.where(n_known > 0, t_quantile(1.0 + n_known, confidence) * spread, 0.0)
    low, high = np.isneginf(values).any(axis=0), np.isposinf(values).any(axis=0)
    return np.where(low, np.inf, half), np.where(high, np.inf, half)


def widened(
    estimate: ArrayLike, interval: ArrayLike, refits: ArrayLike, *, at_most: float = np.inf
) -> Array:
    """Interval of an estimate with the spread over refits in it.

    The half-widths of both add in squares: on a logarithmic scale where everything is positive, on
    the linear one elsewhere.

    Parameters
    ----------
    estimate : array-like of shape (...)
    interval : array-like of shape (..., 2)
    refits : array-like of shape (n_refits, ...)
    at_most : float
        Bound that the quantity cannot exceed.

    Returns
    -------
    ndarray of shape (..., 2)
    """
    centre, limits = np.asarray(estimate, dtype=float), np.asarray(interval, dtype=float)
    values = np.asarray(refits, dtype=float)
    positive = (centre > 0) & (limits[..., 0] > 0) & np.all(~(values <= 0), axis=0)
    results = []
    for on_log in (False, True):
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            c, lim, v = (np.log(x) if on_log else x for x in (centre, limits, values))
            below, above = spread_of_refits(c, v)
            low = c - np.hypot(c - lim[..., 0], below)
            high = c + np.hypot(lim[..., 1] - c, above)
            both = np.stack([low, high], axis=-1)
            results.append(np.exp(both) if on_log else both)
    linear = results[0]
    # what cannot be negative without refits cannot be with them
    linear[..., 0] = np.where(limits[..., 0] >= 0, np.maximum(linear[..., 0], 0.0), linear[..., 0])
    joined = np.where(positive[..., None], results[1], linear)
    joined = np.where(np.isnan(limits), limits, joined)
    return np.minimum(joined, at_most)


def with_refits(function: F) -> F:
    """Let an analysis take a list of sets of probabilities, and widen its intervals.

    The function must have a parameter ``probs`` and return a dataclass in which ``name_interval``
    belongs to ``name``. Where it has a ``model``, refit r takes ``model.refits[r]``, if there is
    one, with its own set.
    """
    signature = inspect.signature(function)
    name = next(p for p in ("probs", "probs_or_labels") if p in signature.parameters)

    @wraps(function)
    def wrapper(*args: Any, **options: Any) -> Any:
        bound = signature.bind(*args, **options)
        first, *others = probability_sets(bound.arguments[name])
        bound.arguments[name] = first
        result = function(*bound.args, **bound.kwargs)
        models = getattr(bound.arguments.get("model"), "refits", None) or []
        refits = []
        for number, probs in enumerate(others):
            bound.arguments[name] = probs
            if len(models) == len(others):
                bound.arguments["model"] = models[number]
            refits.append(function(*bound.args, **bound.kwargs))
        return _widen_result(result, refits) if refits else result

    return wrapper  # type: ignore[return-value]


def _widen_result(result: Any, refits: Sequence[Any]) -> Any:
    """The result of the fitted network with the intervals of all."""
    changes: dict[str, Any] = {}
    for field in fields(result):
        value = getattr(result, field.name)
        if is_dataclass(value) and not isinstance(value, type):
            changes[field.name] = _widen_result(value, [getattr(r, field.name) for r in refits])
        if isinstance(value, tuple) and any(is_dataclass(item) for item in value):
            of_items = zip(*(getattr(r, field.name) for r in refits), strict=True)
            changes[field.name] = tuple(map(_widen_result, value, of_items))
        interval = getattr(result, f"{field.name.rstrip('_')}_interval", None)
        if interval is None or not np.ndim(interval):
            continue
        others = [np.asarray(getattr(r, field.name), dtype=float) for r in refits]
        if any(other.shape != np.shape(value) for other in others):
            others = [_fitted_to(other, np.shape(value)) for other in others]
        at_most = 1.0 if field.name in AT_MOST_ONE else np.inf
        changes[f"{field.name.rstrip('_')}_interval"] = widened(
            value, interval, others, at_most=at_most
        )
    return replace(result, **changes)


def _fitted_to(values: Array, shape: tuple[int, ...]) -> Array:
    """Curves of another length, cut or continued by NaN."""
    found = np.full(shape, np.nan)
    part = tuple(slice(min(a, b)) for a, b in zip(shape, values.shape, strict=True))
    found[part] = values[part]
    return found
