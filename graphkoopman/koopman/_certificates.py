r"""How far an estimated process can be from one of the true dynamics: `process_residuals`.

For dynamics in detailed balance the transfer operator :math:`T_\tau` is self-adjoint in the
equilibrium-weighted space, and :math:`T_\tau^2 = T_{2\tau}`. With f of mean zero and unit variance
and its autocorrelation :math:`\rho(s) = \langle f, T_s f\rangle`,

.. math::
    \|T_\tau f - \rho(\tau) f\|^2 = \langle f, T_{2\tau} f\rangle - \rho(\tau)^2
    = \rho(2\tau) - \rho(\tau)^2 ,

and a self-adjoint operator has an eigenvalue no further from any number than the residual of a
unit vector (Krylov and Weinstein): a true :math:`\lambda` lies within the root of this of
:math:`\rho(\tau)`. f need not be an eigenfunction, nor the states be Markovian.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphkoopman.koopman._moments import LaggedMoments
from graphkoopman.koopman._spectrum import Spectrum

__all__ = ["Certificates", "process_residuals"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Certificates:
    """Autocorrelations of the processes and their residuals.

    Attributes
    ----------
    autocorrelation : ndarray of shape (n_states - 1,)
        At the lag time, in the order of the eigenvalues; NaN for a process that the data lack.
    residuals : ndarray of shape (n_states - 1,)
    """

    autocorrelation: Array
    residuals: Array

    def timescale_bounds(self, lagtime: int) -> Array:
        """Relaxation times of the ends of the bounds, (n_states - 1, 2), frames."""
        ends = self.autocorrelation[:, None] + self.residuals[:, None] * [-1.0, 1.0]
        with np.errstate(divide="ignore"):
            bounds: Array = -lagtime / np.log(np.clip(ends, 0.0, 1.0))
        return np.abs(bounds)


def process_residuals(
    spectrum: Spectrum, moments: LaggedMoments, double: LaggedMoments
) -> Certificates:
    r"""Bound of every process by its autocorrelation at one and at two lag times.

    Parameters
    ----------
    spectrum : Spectrum
        Its right eigenvectors are the processes as combinations of the states.
    moments, double : LaggedMoments
        At the lag time and at twice the lag.

    Returns
    -------
    Certificates

    Notes
    -----
    Both directions of time are averaged, as detailed balance has it. Of a complex pair, which
    reversible dynamics do not have, the two real combinations of largest and smallest
    autocorrelation stand for the pair.
    """
    modes = _real_modes(spectrum, moments)
    variance, covariance = _quadratic_forms(modes, moments)
    variance_double, covariance_double = _quadratic_forms(modes, double)
    with np.errstate(divide="ignore", invalid="ignore"):
        # ‖T f - ρ f‖² = ρ(2τ) - ρ(τ)² for a reversible operator T and a function f of variance one
        rho = np.where(variance > 0, covariance / variance, np.nan)
        rho_double = np.where(variance_double > 0, covariance_double / variance_double, np.nan)
    return Certificates(rho, np.sqrt(np.maximum(rho_double - rho**2, 0.0)))


def _real_modes(spectrum: Spectrum, moments: LaggedMoments) -> Array:
    """Processes as real combinations of the states, (n_states, n_states - 1)."""
    values, right = spectrum.eigenvalues[1:], spectrum.right[:, 1:]
    modes = right.real.copy()
    for i in np.flatnonzero(np.imag(values) > 0):
        pair = np.column_stack([right[:, i].real, right[:, i].imag])
        c00, c0t = (pair.T @ matrix @ pair for matrix in _symmetrised(moments))
        size, axes = np.linalg.eigh(c00)
        if size[0] <= 1e-12 * size[1]:
            continue
        whiten = axes / np.sqrt(size)
        # autocorrelations of the plane's two extreme functions
        _, ritz = np.linalg.eigh(whiten.T @ c0t @ whiten)
        modes[:, [i, i + 1]] = (pair @ whiten @ ritz)[:, ::-1]
    return modes


def _symmetrised(moments: LaggedMoments) -> tuple[Array, Array]:
    """Covariances (N, N) at lag zero and at the lag, averaged over both directions of time."""
    mean = 0.5 * (moments.mean_0 + moments.mean_t)
    square = np.outer(mean, mean)
    c00 = 0.5 * (moments.c00 + moments.ctt) - square
    return c00, 0.5 * (moments.c0t + moments.c0t.T) - square


def _quadratic_forms(modes: Array, moments: LaggedMoments) -> tuple[Array, Array]:
    """Variance and lagged covariance of every mode."""
    c00, c0t = _symmetrised(moments)
    variance, covariance = (np.einsum("ik,ij,jk->k", modes, c, modes) for c in (c00, c0t))
    return np.where(variance > 1e-14, variance, 0.0), covariance
