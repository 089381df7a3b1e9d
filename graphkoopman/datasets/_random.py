"""Random number generators from scikit-learn's ``random_state`` convention."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_random_state

RandomState = int | np.random.RandomState | np.random.Generator | None


def as_generator(random_state: RandomState) -> np.random.Generator:
    """Return a numpy Generator; the same int or an equal RandomState gives the same stream."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    legacy = check_random_state(random_state)
    return np.random.default_rng(legacy.randint(2**32, size=4, dtype=np.uint64))
