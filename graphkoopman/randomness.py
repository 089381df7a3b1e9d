"""Random number generators from a ``random_state``: `as_random_state`, `as_generator`.

An int, a RandomState or a Generator as in scikit-learn. None draws fresh entropy, it does not use
numpy's global generator, which belongs to the caller.
"""

import numpy as np
from sklearn.utils import check_random_state

RandomState = int | np.random.RandomState | np.random.Generator | None


def as_random_state(random_state: RandomState) -> np.random.RandomState:
    """A numpy RandomState.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        A RandomState is returned as it is; a Generator seeds a new one and advances by that.

    Returns
    -------
    RandomState

    Raises
    ------
    ValueError
        For anything else.
    """
    if random_state is None:
        random_state = np.random.default_rng()
    if isinstance(random_state, np.random.Generator):
        return np.random.RandomState(random_state.integers(2**32, size=4))
    return check_random_state(random_state)


def as_generator(random_state: RandomState) -> np.random.Generator:
    """A numpy Generator; the same int or an equal RandomState gives the same stream."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    seeds = as_random_state(random_state).randint(2**32, size=4, dtype=np.uint64)
    return np.random.default_rng(seeds)
