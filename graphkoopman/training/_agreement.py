"""How far the states of several networks agree: Cohen's κ after matching."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment


def cohen_kappa(a: ArrayLike, b: ArrayLike, n_states: int) -> float:
    """Cohen's κ of two assignments to states, after the matching of states with most agreement.

    ``κ = (p_o - p_e) / (1 - p_e)``, with the share ``p_o`` of samples in matched states and its
    value ``p_e`` for independent assignments of the same populations.

    Parameters
    ----------
    a, b : array-like of int, one shape
        State of every sample, from 0 to ``n_states - 1``.
    n_states : int

    Returns
    -------
    float
        1 where both are the same, 0 where they agree as by chance. Zero, too, where both have one
        and the same state throughout, which says nothing.

    References
    ----------
    Cohen, Educ. Psychol. Meas. 20, 37 (1960).
    """
    joint = np.zeros((n_states, n_states))
    np.add.at(joint, (np.ravel(a), np.ravel(b)), 1.0)
    joint /= joint.sum()
    joint = joint[:, linear_sum_assignment(-joint)[1]]
    observed = np.trace(joint)
    expected = joint.sum(axis=1) @ joint.sum(axis=0)
    return float((observed - expected) / (1.0 - expected)) if expected < 1.0 else 0.0


def median_agreement(labels: Sequence[np.ndarray], n_states: int) -> float:
    """Median of κ over all pairs of networks; NaN for fewer than two.

    Parameters
    ----------
    labels : sequence of ndarray of int, one shape
        States of the same samples from each network.
    n_states : int

    Returns
    -------
    float
    """
    kappas = [cohen_kappa(a, b, n_states) for a, b in combinations(labels, 2)]
    return float(np.median(kappas)) if kappas else float("nan")
