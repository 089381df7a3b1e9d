"""State probabilities in the shape that deeptime's estimators take: `as_target_trajectories`."""

import numpy as np
from numpy.typing import NDArray

from graphkoopman.probabilities import ProbabilitiesLike, as_probabilities, probability_arrays

__all__ = ["as_target_trajectories"]


def as_target_trajectories(probs: ProbabilitiesLike) -> list[NDArray[np.float64]]:
    """One trajectory per target, for any estimator of deeptime.

    Parameters
    ----------
    probs : array or list of arrays
        State probabilities, each of shape (n_frames, n_targets, n_states) or (n_frames, n_states).

    Returns
    -------
    list of ndarray of shape (n_frames, n_states), float64
        All targets of the first run, then those of the next.

    Raises
    ------
    ValueError
        If the arrays are no probabilities.

    Notes
    -----
    The columns sum to one, so covariances have one direction less than states. TICA and VAMP of
    deeptime cut it off. For a Markov state model take the most probable state of every frame.

    Examples
    --------
    >>> import numpy as np
    >>> from deeptime.decomposition import VAMP
    >>> from graphkoopman.koopman import as_target_trajectories
    >>> probs = np.eye(2)[np.random.default_rng(0).integers(2, size=(50, 3))]
    >>> trajectories = as_target_trajectories([probs])
    >>> len(trajectories), trajectories[0].shape
    (3, (50, 2))
    >>> VAMP(lagtime=1).fit_fetch(trajectories).lagtime
    1
    """
    per_target = (np.moveaxis(as_probabilities(chi), 1, 0) for chi in probability_arrays(probs))
    return [target for chi in per_target for target in np.ascontiguousarray(chi)]
