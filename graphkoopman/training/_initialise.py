"""The head as the best linear model on the embedding.

Random weights leave the softmax outputs nearly equal in every frame, and Adam then spends most of
its steps on finding the scale. The embedding of a random graph network already tells environments
apart, so the head starts as the best linear model on it: its hidden layer sees the embedding
whitened, its output layer points from the middle to the vertices of the simplex that the slowest
singular functions span.
"""

import numpy as np
import torch
from torch import Tensor

from graphkoopman.koopman import inner_simplex, singular_functions
from graphkoopman.lobes import GDyNetLobe, slow_layer, whitened_layer
from graphkoopman.objectives import EPSILON, moments_of_rows, score_of_moments
from graphkoopman.training._batches import StatisticsBatch
from graphkoopman.training._validation import is_beyond_chance, scores_without_stretches

SMALLEST_SPREAD = 1e-6  # rounding of float32
# Logits between the vertices: the softmax is nearly linear at the first, nearly a step at the last.
# Where states overlap, bending costs score; where they are apart, it takes out noise.
LOGIT_RANGES = (1.0, 2.0, 4.0, 8.0)
BIASES = (-1.0, 1.0)  # of the hidden layer, in standard deviations


class ConstantEmbeddingError(ValueError):
    """The untrained embedding is the same for every target in every frame."""


def initialise_hidden(
    lobe: GDyNetLobe,
    pooled: Tensor,
    batch: StatisticsBatch | None = None,
    rng: np.random.RandomState | None = None,
) -> None:
    """Let the head's hidden layer see pooled vectors whitened, in place.

    Parameters
    ----------
    lobe : GDyNetLobe
    pooled : Tensor of shape (n_samples, n_features)
        Output of ``lobe.embed``.
    batch : StatisticsBatch or None
        Of which the vectors are. A pooling that asks for it, see `lobes.Pooling`, then has the
        layer see first what is slow in them.
    rng : RandomState or None
        Draws the directions that the units see. None takes those of the layer, which are random as
        long as it has not been trained.

    Raises
    ------
    ConstantEmbeddingError
        If the embedding is the same for every target in every frame.
    """
    z = pooled.double().numpy()
    if z.std(axis=0).max() < SMALLEST_SPREAD:
        raise ConstantEmbeddingError(
            "all targets have the same neighbourhood in every frame, there is nothing to "
            "learn; check that the trajectory moves and that r_max reaches the neighbours"
        )
    head = lobe.head
    if rng is None:
        random = head.hidden.weight.detach().double().cpu().numpy()
    else:
        random = rng.normal(size=tuple(head.hidden.weight.shape))
    if batch is not None and getattr(lobe.pooling, "slow_first", False):
        mean, scale, weight, bias = slow_layer(_ends(z, batch), random, BIASES)
    else:
        mean, scale, weight, bias = whitened_layer(z, random)
    head.set_units(mean, scale)
    head.set_hidden(weight, bias)


def _ends(rows: np.ndarray, batch: StatisticsBatch) -> list[np.ndarray]:
    """Of every run of frames the rows of a batch in pairs, (n_pairs, 2, n_targets, n_columns)."""
    ends, begin = [], 0
    for run in batch.runs:
        n_targets = batch.n_targets[run.trajectory]
        stop = begin + len(run.frames) * n_targets
        frames = rows[begin:stop].reshape(len(run.frames), n_targets, -1)
        ends.append(np.stack([frames[: -run.lag_steps], frames[run.lag_steps :]], axis=1))
        begin = stop
    return ends


def fit_output(
    lobe: GDyNetLobe, responses: Tensor, start_rows: np.ndarray, end_rows: np.ndarray
) -> float:
    """Point the output layer at the vertices of the slowest singular functions, in place.

    Of several slopes of the softmax the flattest is taken that none of the steeper ones beats by
    more than chance: a flat one keeps the singular functions, and their score, as they are. Nothing
    changes where the hidden layer has fewer independent directions than states.

    Parameters
    ----------
    lobe : GDyNetLobe
    responses : Tensor of shape (n_samples, n_hidden)
        Output of ``lobe.respond``.
    start_rows, end_rows : ndarray of shape (n_pairs,)
        Rows at both ends of every pair.

    Returns
    -------
    float
        VAMP-2 of the states on the same samples; NaN where nothing changes.
    """
    response = responses.double().numpy()
    coefficients, offset = singular_functions(response[start_rows], response[end_rows])
    n_processes = lobe.head.n_states - 1
    functions = (response - offset) @ coefficients[:, :n_processes]
    vertices = inner_simplex(functions) if functions.shape[1] == n_processes else None
    if vertices is None:
        return float("nan")
    to_memberships = np.linalg.inv(np.column_stack([vertices, np.ones(len(vertices))]))
    memberships = torch.from_numpy(functions @ to_memberships[:-1] + to_memberships[-1])
    rows = torch.from_numpy(start_rows), torch.from_numpy(end_rows)
    width, score = _softmax_width(memberships, rows)
    slope = coefficients[:, :n_processes] @ to_memberships[:-1]
    intercept = to_memberships[-1] - offset @ slope
    lobe.head.set_output(width * slope.T, width * intercept)
    return score


def _softmax_width(memberships: Tensor, rows: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Logits between the vertices, and VAMP-2 of the states that they make."""

    def scored(width: float) -> tuple[float, list[float]]:
        states = torch.softmax(width * memberships, dim=1)
        score = score_of_moments(moments_of_rows(states, *rows), epsilon=EPSILON).item()
        return score, scores_without_stretches(states, rows, EPSILON)

    flattest, *steeper = LOGIT_RANGES
    chosen, best = flattest, scored(flattest)
    for width in steeper:
        this = scored(width)
        if is_beyond_chance(*this, *best):
            chosen, best = width, this
    return chosen, best[0]
