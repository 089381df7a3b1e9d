"""Score of the held-out frames and its statistical error."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkoopman.objectives import moments_of_rows, score_of_moments, singular_values
from graphkoopman.training._batches import StatisticsBatch

N_GROUPS = 10
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
    """

    score: float
    error: float
    slowest: float


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
    return Validation(
        score=score_of_moments(m, epsilon=epsilon).item(),
        error=_jackknife_error(features, rows, epsilon),
        slowest=singular_values(m, epsilon)[0].item(),
    )


def _jackknife_error(features: Tensor, rows: tuple[Tensor, Tensor], epsilon: float) -> float:
    """Standard error of VAMP-2 from leaving out one stretch of pairs at a time."""
    n_pairs = len(rows[0])
    n_groups = min(N_GROUPS, n_pairs // 2)
    if n_groups < 2:
        return math.inf
    group = torch.arange(n_pairs) * n_groups // n_pairs
    rest = ([end[group != g] for end in rows] for g in range(n_groups))
    without = torch.stack(
        [score_of_moments(moments_of_rows(features, *ends), epsilon=epsilon) for ends in rest]
    )
    return math.sqrt(n_groups - 1) * without.std(correction=0).item()
