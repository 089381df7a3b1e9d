"""First shells of radial distributions: `first_minimum`, `first_shells`, `most_different`."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from graphkoopman.structure._rdf import StateRDF

__all__ = ["first_minimum", "first_shells", "most_different"]

Array = NDArray[np.float64]

SMOOTHING = 0.1  # Å, of a radial distribution before its minimum is looked for
RISE = 0.1  # of the height of a peak: a rise beyond it ends the search for the minimum behind it


def first_minimum(r: Array, density: Array) -> tuple[float, float]:
    """First peak of a radial distribution and the minimum behind it.

    Parameters
    ----------
    r : ndarray of shape (n_bins,)
        Centres of bins of equal width, Å.
    density : ndarray of shape (n_bins,)
        Neighbours per volume, on any scale.

    Returns
    -------
    peak, minimum : float
        Å; NaN without a peak. Where nothing is between two shells, the middle of the gap; the
        lowest place up to the end of ``r`` where the distribution never rises again.
    """
    if not density.any():
        return np.nan, np.nan
    volume = r**2 / np.sum(r**2)
    smooth = gaussian_filter1d(density, SMOOTHING / (r[1] - r[0]), mode="nearest")
    smooth = smooth / (density @ volume)
    rising = np.diff(smooth)
    tops = np.flatnonzero((rising[:-1] > 0) & (rising[1:] <= 0)) + 1
    # a shoulder of few neighbours is no shell
    tops = tops[smooth[tops] >= min(1.0, 0.2 * smooth.max())]
    if not len(tops):
        return np.nan, np.nan
    peak = int(tops[0])
    lowest, end = np.inf, len(smooth)
    for i in range(peak, len(smooth)):
        if smooth[i] > smooth[peak]:
            peak, lowest = i, np.inf  # a shoulder before the peak
        lowest = min(lowest, smooth[i])
        if smooth[i] > lowest + RISE * smooth[peak]:
            end = i
            break
    bottom = np.flatnonzero(smooth[peak:end] <= lowest + 1e-3 * smooth[peak]) + peak
    return float(r[peak]), float(r[bottom].mean())


def first_shells(rdf: StateRDF) -> Array:
    """First minimum of the distribution of each species around all targets, (n_species,) in Å.

    The end of the range where a species has no shell.
    """
    # empty states have no distribution
    weights = np.where(rdf.populations > 0.0, rdf.populations, 0.0)
    total = np.tensordot(weights, np.nan_to_num(rdf.g), axes=1)
    radii = np.array([first_minimum(rdf.r, row)[1] for row in total])
    return np.where(np.isfinite(radii), radii, rdf.edges[-1])


def most_different(rdf: StateRDF, n: int = 4) -> tuple[str, ...]:
    """Species whose number within the first shell differs most between states.

    Parameters
    ----------
    rdf : StateRDF
    n : int
        At most so many, in the order of falling difference.

    Returns
    -------
    tuple of str
    """
    bins = np.minimum(np.searchsorted(rdf.edges[1:], first_shells(rdf)), len(rdf.r) - 1)
    numbers = rdf.coordination[:, np.arange(len(bins)), bins]
    numbers = numbers[np.isfinite(numbers).all(axis=1)]
    # a difference of one neighbour says more where there are few
    difference = np.ptp(numbers, axis=0) / (numbers.mean(axis=0) + 0.5)
    order = np.argsort(-difference, kind="stable")[:n]
    return tuple(rdf.species[i] for i in order)
