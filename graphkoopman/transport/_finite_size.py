"""Hydrodynamic interaction with periodic images: `yeh_hummer`."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import constants

from graphkoopman.transport._inputs import check_temperature

# Of a cubic lattice, minus its Madelung-like sum.
XI = 2.837297
ANGSTROM2_PER_PS = 1e-8  # m²/s
CUBIC = 0.02  # relative deviation of edges, and of the cosine of angles


def yeh_hummer(cell: ArrayLike, temperature: float, viscosity: float) -> float:
    r"""What a cubic periodic cell takes off the diffusion coefficient of a liquid.

    .. math:: D_\infty - D = \frac{2.837297\,k_BT}{6\pi\eta L}

    Parameters
    ----------
    cell : array-like of shape (3, 3) or (n_frames, 3, 3)
        Lattice vectors as rows, Å; the mean edge is taken where the cell changes.
    temperature : float
        K.
    viscosity : float
        Shear viscosity :math:`\eta` in mPa s; it hardly depends on the size of the cell.

    Returns
    -------
    float
        Å²/ps, to be added to the diffusion coefficient.

    Raises
    ------
    ValueError
        If the cell is not cubic, or a number is not positive.

    Notes
    -----
    For diffusion in liquids. Ions in a solid framework take their momentum from the framework and
    have no such correction.

    References
    ----------
    .. [1] I.-C. Yeh and G. Hummer, J. Phys. Chem. B 108, 15873 (2004), eq. (12).

    Examples
    --------
    Water in a box of 18.6 Å, with the viscosity of SPC/E: a fifth of what is seen there.

    >>> from graphkoopman.transport import yeh_hummer
    >>> round(yeh_hummer([[18.6, 0, 0], [0, 18.6, 0], [0, 0, 18.6]], 300.0, 0.73), 4)
    0.0459
    """
    vectors = np.asarray(cell, dtype=np.float64)
    if vectors.shape[-2:] != (3, 3) or vectors.ndim not in (2, 3):
        raise ValueError(f"cell must have shape (3, 3) or (n_frames, 3, 3), got {vectors.shape}")
    edge = _cubic_edge(vectors.reshape(-1, 3, 3).mean(axis=0))
    if isinstance(viscosity, bool) or not np.isfinite(viscosity) or viscosity <= 0:
        raise ValueError(f"viscosity must be a positive number of mPa s, got {viscosity!r}")
    thermal = constants.k * check_temperature(temperature)
    per_second = XI * thermal / (6.0 * np.pi * 1e-3 * viscosity * 1e-10 * edge)
    return float(per_second / ANGSTROM2_PER_PS)


def _cubic_edge(vectors: NDArray[np.float64]) -> float:
    """Edge of a cubic cell, or an error that says what it is instead."""
    edges = np.linalg.norm(vectors, axis=1)
    cosines = (vectors @ vectors.T / np.outer(edges, edges))[np.triu_indices(3, 1)]
    if np.ptp(edges) > CUBIC * edges.mean() or np.abs(cosines).max() > CUBIC:
        raise ValueError(
            f"cell must be cubic for this correction, got edges {edges.round(3).tolist()} Å and "
            f"cosines {cosines.round(3).tolist()}; extrapolate D over 1/L of several cells instead"
        )
    return float(edges.mean())
