"""Networks trained again on half of the data, and what they say of all: `refits_of`."""

import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone

from graphkoopman.koopman import align_states
from graphkoopman.progress import counted
from graphkoopman.randomness import as_random_state
from graphkoopman.ranks import alone

if TYPE_CHECKING:
    from graphkoopman.estimator._estimator import GDyNetEstimator

__all__ = ["refits_of"]

MOST_PIECES = 20
# A piece has frames to train on and to hold out, with a lag between them.
LAGS_PER_PIECE = 8
SHARE_OF_EPOCHS = 0.2


def refits_of(
    estimator: "GDyNetEstimator",
    samples: Sequence[Any],
    probs: Sequence[NDArray[Any]],
    n_refits: int,
) -> Iterator[list[NDArray[np.float64]]]:
    """Probabilities of all samples from networks trained again on half of their time blocks.

    Each has other random numbers and other held-out frames. In turn they start from the weights of
    the fitted network, with a short training, which says what other data would have changed, and
    are drawn anew, as a fit with another seed: that settles on other details of the states, which
    weights that are already there do not leave. States are put into the order of the fitted ones.

    Parameters
    ----------
    estimator : GDyNetEstimator
        Fitted.
    samples : sequence of Samples
    probs : sequence of ndarray of shape (n_frames, n_targets, n_states)
        Of the fitted network.
    n_refits : int

    Yields
    ------
    list of ndarray of shape (n_frames, n_targets, n_states)
    """
    rng = as_random_state(estimator.random_state)
    pieces = _pieces(samples, estimator.lagtime)
    tasks = (
        delayed(_refit)(
            estimator, samples, _half(pieces, rng), rng.randint(2**31 - 1), anew=number % 2 == 1
        )
        for number in range(n_refits)
    )
    refits = Parallel(return_as="generator")(tasks)
    for _ in counted(n_refits, "refits", active=estimator.verbose):
        found = next(refits)
        order = align_states(list(probs), found)
        yield [array[..., order] for array in found]
    next(refits, None)  # joblib ends with its last result taken


def _refit(
    estimator: "GDyNetEstimator",
    samples: Sequence[Any],
    chosen: Sequence[tuple[int, int, int]],
    seed: int,
    *,
    anew: bool,
) -> list[NDArray[np.float64]]:
    """Probabilities of all samples from a network trained on some of their pieces."""
    again = clone(estimator, safe=False).set_params(
        init_from=estimator.init_from if anew else estimator,
        n_init=1,
        max_epochs=estimator.max_epochs if anew else _few_epochs(estimator.max_epochs),
        checkpoint_dir=None,
        verbose=False,
        random_state=seed,
    )
    with warnings.catch_warnings(), alone():
        # half the data and a short training: doubts that the interval is to show
        warnings.simplefilter("ignore")
        again.fit([samples[i][start:stop] for i, start, stop in chosen])
    return again.transform(samples)


def _few_epochs(max_epochs: int) -> int:
    return max(2, round(SHARE_OF_EPOCHS * max_epochs))


def _pieces(samples: Sequence[Any], lagtime: int) -> list[tuple[int, int, int]]:
    """Contiguous pieces (run, start, stop) that are long enough to learn from."""
    total = sum(len(item) for item in samples)
    size = max(total / MOST_PIECES, LAGS_PER_PIECE * lagtime)
    pieces = []
    for i, item in enumerate(samples):
        if len(item) <= lagtime:
            continue
        count = max(1, int(len(item) / size))
        edges = [len(item) * k // count for k in range(count + 1)]
        pieces += [(i, a, b) for a, b in pairwise(edges)]
    return pieces


def _half(
    pieces: list[tuple[int, int, int]], rng: np.random.RandomState
) -> list[tuple[int, int, int]]:
    """Half of the pieces at random, in their order; all of one or two."""
    if len(pieces) < 3:
        return pieces
    kept = rng.permutation(len(pieces))[: (len(pieces) + 1) // 2]
    return [pieces[i] for i in sorted(kept.tolist())]
