"""Sequences of states with the kinetics of a model: `sample_states`."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman._compiling import njit
from graphkoopman.generation._stochastic import check_size, first_states, stochastic_model
from graphkoopman.randomness import RandomState, as_generator
from graphkoopman.transport import ModelLike


def sample_states(
    model: ModelLike,
    n_frames: int,
    n_targets: int = 1,
    *,
    start: ArrayLike | None = None,
    random_state: RandomState = None,
) -> NDArray[np.int64]:
    r"""Draw sequences of states from a model.

    Every target is a Markov chain of its own with the transition matrix of the model, one lag time
    per frame. It stays in state i for n frames with probability :math:`K_{ii}^{n-1}(1-K_{ii})`.

    Parameters
    ----------
    model : KoopmanModel
        Anything with ``koopman_matrix``, ``stationary_distribution`` and ``lagtime``, or with a
        ``prior`` that has them. Its rows must be probabilities: estimate it with
        ``constraint="stochastic"`` or ``"reversible"``.
    n_frames : int
        Frames to draw, one lag time apart.
    n_targets : int
        Independent chains.
    start : int, array-like of shape (n_targets,) of int, (n_states,) of float, or None
        State in the first frame: one, one for each target, a distribution, or the model's
        stationary distribution.
    random_state : int, RandomState, Generator or None

    Returns
    -------
    states : ndarray of shape (n_frames, n_targets), int64
        ``np.eye(n_states)[states]`` are state probabilities as `estimate_koopman` takes them.

    Raises
    ------
    ValueError
        If the model has negative entries, or an argument is not as described.

    Examples
    --------
    >>> from graphkoopman.generation import sample_states
    >>> from graphkoopman.koopman import KoopmanModel
    >>> model = KoopmanModel([[0.9, 0.1], [0.3, 0.7]], lagtime=5)
    >>> states = sample_states(model, 10_000, 4, random_state=0)
    >>> states.shape, bool(abs((states == 0).mean() - 0.75) < 0.02)
    ((10000, 4), True)
    """
    n_frames, n_targets = check_size(n_frames, n_targets)
    chain = stochastic_model(model)
    rng = as_generator(random_state)
    states = np.empty((n_frames, n_targets), dtype=np.int64)
    states[0] = first_states(start, chain, n_targets, rng)
    cumulative = np.cumsum(chain.matrix, axis=1)
    # a draw above the last sum, which rounding may leave below one, is of the last state it can be
    cumulative[cumulative >= cumulative[:, -1:]] = np.inf
    for begin in range(1, n_frames, FRAMES_PER_CHUNK):
        chunk = states[begin - 1 : begin + FRAMES_PER_CHUNK]
        _walk(chunk, cumulative, rng.random((len(chunk) - 1, n_targets)))
    return states


FRAMES_PER_CHUNK = 2**14


@njit(cache=True, nogil=True)
def _walk(states, cumulative, uniforms):
    """Fill all rows of states but the first."""
    for t in range(len(uniforms)):
        for k in range(states.shape[1]):
            row = cumulative[states[t, k]]
            j = 0
            while uniforms[t, k] >= row[j]:
                j += 1
            states[t + 1, k] = j
