"""Score of the held-out frames and its statistical error."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from graphkoopman.objectives import (
    Moments,
    moments_of_rows,
    score_of_moments,
    singular_values,
)
from graphkoopman.training._batches import StatisticsBatch

N_GROUPS = 10
UNLIKE_ERRORS = 2.0
# Errors of the difference by which states have to score more on frames that they are made of or
# trained on. Few events make outliers of a function, and states that bend at them score more on
# these frames and less on others.
CHANCE_ERRORS = 2.0
SMALLEST_EXCESS = 0.01  # of a VAMP-2 score over one: a correlation of a tenth


@dataclass(frozen=True)
class Validation:
    """What the held-out frames say about a network.

    Attributes
    ----------
    score : float
        VAMP-2, counted with the constant.
    error : float
        Its standard error, from a jackknife over stretches of the frames; differences between two
        networks on the same frames are known much better.
    slowest : float
        Largest singular value beside the constant's.
    without : list of float
        Scores without one stretch of the frames after the other, the jackknife's; empty where
        there are too few pairs for stretches.
    """

    score: float
    error: float
    slowest: float
    without: list[float] = field(default_factory=list)


def says_something(score: float, error: float) -> bool:
    """Whether a VAMP-2 score is beyond its error from one, that of frames without any event."""
    return score - 1.0 > max(error, SMALLEST_EXCESS)


def validation_of(features: Tensor, batch: StatisticsBatch, epsilon: float) -> Validation:
    """Score features of held-out frames.

    Parameters
    ----------
    features : Tensor of shape (n_rows, n_states)
    batch : StatisticsBatch
        The pairs among the rows.
    epsilon : float
    """
    rows = torch.from_numpy(batch.start_rows), torch.from_numpy(batch.end_rows)
    m = moments_of_rows(features, *rows)
    without = scores_without_stretches(features, rows, epsilon)
    return Validation(
        score=score_of_moments(m, epsilon=epsilon).item(),
        error=jackknife_error(without),
        slowest=singular_values(m, epsilon)[0].item(),
        without=without,
    )


def is_better(score: float, error: float, other: float, other_error: float) -> bool:
    """Whether a network beats another one on the same held-out frames.

    Their errors are mostly shared, and the higher score wins. An early network may score high by
    chance, with the large error of rare events: where errors are unlike, scores less errors count.
    NaN is below everything.
    """
    if math.isnan(score) or math.isnan(other):
        return math.isnan(other) and not math.isnan(score)
    low, high = sorted((error, other_error))
    if math.isfinite(high) and high > UNLIKE_ERRORS * low:
        return score - error > other - other_error
    return score > other


def jackknife_error(without: Sequence[float]) -> float:
    """Standard error of a score from its values without one stretch after the other.

    Infinite without stretches. Given differences of two networks on the same stretches, it is the
    error of their difference, which is much smaller than that of either.
    """
    n_groups = len(without)
    if n_groups < 2:
        return math.inf
    return math.sqrt(n_groups - 1) * float(np.std(without))


def paired_rise(
    score: float, without: Sequence[float], earlier: float, earlier_without: Sequence[float]
) -> tuple[float, float]:
    """Difference of two scores on the same held-out frames, and its standard error.

    Parameters
    ----------
    score, earlier : float
        Scores of two networks.
    without, earlier_without : sequence of float
        Theirs without one stretch after the other.

    Returns
    -------
    rise, error : float
        The error is zero where there are no stretches.
    """
    differences = np.subtract(without, earlier_without)
    error = jackknife_error(differences.tolist())
    return score - earlier, error if math.isfinite(error) else 0.0


def is_beyond_chance(
    score: float, without: Sequence[float], earlier: float, earlier_without: Sequence[float]
) -> bool:
    """Whether states score more than others on the same frames by more than chance.

    Arguments are those of `paired_rise`.
    """
    rise, error = paired_rise(score, without, earlier, earlier_without)
    return rise > CHANCE_ERRORS * error


def n_significant(features: Tensor, batch: StatisticsBatch, epsilon: float) -> int:
    """Number of squared singular values that held-out frames tell from zero.

    Parameters
    ----------
    features : Tensor of shape (n_rows, n_states)
    batch : StatisticsBatch
        The pairs among the rows.
    epsilon : float
    """
    rows = torch.from_numpy(batch.start_rows), torch.from_numpy(batch.end_rows)
    squares = singular_values(moments_of_rows(features, *rows), epsilon).square().numpy()
    without = [singular_values(m, epsilon).square().numpy() for m in _without(features, rows)]
    if not without:
        return len(squares)
    errors = np.sqrt(len(without) - 1) * np.std(without, axis=0)
    return int((squares > np.maximum(2.0 * errors, SMALLEST_EXCESS)).sum())


def scores_without_stretches(
    features: Tensor, rows: tuple[Tensor, Tensor], epsilon: float
) -> list[float]:
    """VAMP-2 without one stretch of the pairs after the other; empty where pairs are too few.

    Parameters
    ----------
    features : Tensor of shape (n_rows, n_states)
    rows : (Tensor, Tensor), each (n_pairs,)
        Of both ends of every pair, in order of time.
    epsilon : float
    """
    return [score_of_moments(m, epsilon=epsilon).item() for m in _without(features, rows)]


def _without(features: Tensor, rows: tuple[Tensor, Tensor]) -> Iterator[Moments]:
    """Moments without one stretch of the pairs after the other; none where pairs are too few."""
    n_pairs = len(rows[0])
    n_groups = min(N_GROUPS, n_pairs // 2)
    if n_groups < 2:
        return
    group = torch.arange(n_pairs) * n_groups // n_pairs
    for g in range(n_groups):
        yield moments_of_rows(features, *(end[group != g] for end in rows))
