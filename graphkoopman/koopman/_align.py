"""Matching of states between models: `align_states`, `state_correlation`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from graphkoopman.probabilities import ProbabilitiesLike, as_probabilities, probability_arrays

__all__ = ["align_states", "state_correlation"]

Array = NDArray[np.float64]

_BLOCK = 4096  # frames


def align_states(reference: Any, other: Any) -> NDArray[np.intp] | list[NDArray[np.intp]]:
    r"""Order of another model's states that matches the reference best.

    The assignment maximises the summed correlation of matched states over the same frames
    (Hungarian method), so averages over seeds, folds or models make sense.

    Parameters
    ----------
    reference : array or list of arrays
        State probabilities, each of shape (n_frames, n_targets, n_states) or (n_frames, n_states).
    other : like `reference`, or a list of such
        Probabilities of the same frames and targets from another model, or from several.

    Returns
    -------
    ndarray of shape (n_states,), or list of ndarray
        ``order`` such that ``other[..., order]`` matches `reference`; pass it to
        `KoopmanModel.permute` as well. A list if several models were given.

    Raises
    ------
    ValueError
        If frames, targets or states do not match.

    Notes
    -----
    Correlation, not joint probability, decides, so a rare state weighs as much as a common one. A
    state that never varies matches anything.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.koopman import align_states
    >>> probs = np.eye(3)[[0, 1, 1, 2, 0, 1]]
    >>> align_states(probs, probs[:, [2, 0, 1]])
    array([1, 2, 0])
    """
    if _depth(other) > _depth(reference):
        return [_align_one(reference, one) for one in other]
    return _align_one(reference, other)


def state_correlation(reference: Any, other: Any) -> Array:
    """Correlation over frames and targets of each state with each state of another model.

    Parameters
    ----------
    reference, other : array or list of arrays
        State probabilities of the same frames and targets.

    Returns
    -------
    ndarray of shape (n_states, n_states)
        Rows are states of `reference`. Zero for a state that never varies.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.koopman import state_correlation
    >>> probs = np.eye(2)[[0, 0, 1, 0, 1]]
    >>> state_correlation(probs, probs[:, ::-1]).round(6)
    array([[-1.,  1.],
           [ 1., -1.]])
    """
    first, second = probability_arrays(reference), probability_arrays(other)
    shapes = [array.shape for array in first], [array.shape for array in second]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "other must hold the frames, targets and states of reference "
            f"{shapes[0]}, got {shapes[1]}; evaluate both models on the same trajectories"
        )
    n_states = first[0].shape[2]
    moments, totals, n_rows = np.zeros((2 * n_states, 2 * n_states)), np.zeros(2 * n_states), 0
    for chi, eta in zip(first, second, strict=True):
        for start in range(0, len(chi), _BLOCK):
            part = slice(start, start + _BLOCK)
            rows = np.concatenate([as_probabilities(chi[part]), as_probabilities(eta[part])], -1)
            rows = rows.reshape(-1, 2 * n_states)
            moments += rows.T @ rows
            totals += rows.sum(axis=0)
            n_rows += len(rows)
    mean = totals / n_rows
    covariance = moments / n_rows - np.outer(mean, mean)
    deviation = np.sqrt(np.clip(np.diag(covariance), 0.0, None))
    inverse = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-7)
    return inverse[:n_states, None] * covariance[:n_states, n_states:] * inverse[n_states:]


def _align_one(reference: Any, other: Any) -> NDArray[np.intp]:
    _, order = linear_sum_assignment(state_correlation(reference, other), maximize=True)
    return order


def _depth(probs: ProbabilitiesLike) -> int:
    """Number of nested lists around the arrays."""
    if isinstance(probs, (list, tuple)) and probs:
        return 1 + _depth(probs[0])
    return 0
