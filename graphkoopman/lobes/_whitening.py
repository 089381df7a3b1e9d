"""Start values of a linear layer from data: `whitened_layer`, `slow_layer`."""

from collections.abc import Sequence

import numpy as np

# Directions of the data that vary less are left to training: whitened, they would be mostly
# rounding, and weights this large would make every step of the layers before them a leap.
RELATIVE_VARIANCE = 1e-3
RELATIVE_SPREAD = 1e-2  # of single features, for the same reason
FASTEST = 0.02  # autocorrelation at which a direction counts at least
RAREST = 3.0  # standard deviations, beyond which the first of the units responds


def whitened_layer(
    vectors: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Units of some vectors, and a layer with unit response to them.

    Parameters
    ----------
    vectors : ndarray of shape (n_samples, n_features)
    directions : ndarray of shape (n_hidden, n_features)
        Random; rescaled to unit response to the whitened vectors.

    Returns
    -------
    mean, scale : ndarray of shape (n_features,)
        What is subtracted and divided by in front of the layer.
    weight, bias : ndarray of shape (n_hidden, n_features) and (n_hidden,)
        The layer; its biases spread from -1 to 1 about the mean.
    """
    mean, scale, whiten, center = _units(vectors)
    weight = _normalised(directions[:, : whiten.shape[1]]) @ whiten.T
    return mean, scale, weight, np.linspace(-1.0, 1.0, len(weight)) - weight @ center


def slow_layer(
    ends: Sequence[np.ndarray],
    directions: np.ndarray,
    biases: tuple[float, float] = (-RAREST, 1.0),
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Units of some groups' vectors, and a layer that sees first what changes slowly in them.

    Whitened directions are weighted by their autocorrelation over a lag, as in a kinetic map: a
    rare, slow change of one group then moves every unit, under whatever noise. What differs from
    group to group and stays is not slow, it is another group.

    Parameters
    ----------
    ends : sequence of ndarray of shape (n_pairs, 2, n_groups, n_features)
        Per run: vectors of the groups at both ends of pairs of frames a lag apart.
    directions : ndarray of shape (n_hidden, n_features)
        Random.
    biases : (float, float)
        Between which those of the units spread; by default some respond to what is rare only.

    Returns
    -------
    mean, scale, weight, bias
        As of `whitened_layer`.

    References
    ----------
    Noé and Clementi, J. Chem. Theory Comput. 11, 5002 (2015), kinetic map.
    """
    n_features = directions.shape[1]
    mean, scale, whiten, center = _units(np.concatenate([x.reshape(-1, n_features) for x in ends]))
    lagged = np.zeros((whiten.shape[1], whiten.shape[1]))
    for pairs in ends:
        changes = (pairs - pairs.mean(axis=(0, 1), keepdims=True)) / scale @ whiten
        lagged += np.einsum("pgi,pgj->ij", changes[:, 0], changes[:, 1])
    lagged /= sum(len(pairs) * pairs.shape[2] for pairs in ends)
    correlation, axes = np.linalg.eigh(0.5 * (lagged + lagged.T))
    weighted = directions[:, : len(correlation)] * np.maximum(correlation, FASTEST)
    weight = _normalised(weighted) @ (whiten @ axes).T
    return mean, scale, weight, np.linspace(*biases, len(weight)) - weight @ center


def _normalised(directions: np.ndarray) -> np.ndarray:
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _units(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and scale of the features; the whitening of what they leave, and its centre."""
    mean, scale = vectors.mean(axis=0), vectors.std(axis=0)
    largest = scale.max()
    scale = np.maximum(scale, RELATIVE_SPREAD * largest) if largest > 0 else np.ones_like(scale)
    return mean, scale, *_whitening((vectors - mean) / scale)


def _whitening(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = z.mean(axis=0)
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov((z - mean).T)))
    kept = variances > RELATIVE_VARIANCE * max(variances[-1], np.finfo(float).tiny)
    return axes[:, kept] / np.sqrt(variances[kept]), mean
