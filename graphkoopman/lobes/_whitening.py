"""A linear layer that sees data whitened: `whitened_layer`."""

import numpy as np

# Directions of the data that vary less are left to training: whitened, they would be mostly
# rounding, and weights this large would make every step of the layers before them a leap.
RELATIVE_VARIANCE = 1e-3
RELATIVE_SPREAD = 1e-2  # of single features, for the same reason


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
    mean, scale = vectors.mean(axis=0), vectors.std(axis=0)
    largest = scale.max()
    scale = np.maximum(scale, RELATIVE_SPREAD * largest) if largest > 0 else np.ones_like(scale)
    whiten, center = _whitening((vectors - mean) / scale)
    directions = directions[:, : whiten.shape[1]]
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    weight = directions @ whiten.T
    return mean, scale, weight, np.linspace(-1.0, 1.0, len(weight)) - weight @ center


def _whitening(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = z.mean(axis=0)
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov((z - mean).T)))
    kept = variances > RELATIVE_VARIANCE * max(variances[-1], np.finfo(float).tiny)
    return axes[:, kept] / np.sqrt(variances[kept]), mean
