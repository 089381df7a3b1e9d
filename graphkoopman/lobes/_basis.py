"""Distances as vectors: `gaussian_basis` (7), `sine_basis` and `cosine_cutoff`."""

import math

import torch
from torch import Tensor

BASIS_SPACING = 0.2  # Å, eq. (7): both the distance between centres and the width σ
TAIL = 5  # widths; exp(-25) = 1.4e-11 of a Gaussian is left


def gaussian_basis(distances: Tensor, n_basis: int, spacing: float = BASIS_SPACING) -> Tensor:
    """Distances on Gaussians, eq. (7): ``u[t] = exp(-(d - μ_t)² / σ²)``, ``μ_t = σ t``; no ½.

    Parameters
    ----------
    distances : Tensor of shape (...), Å
    n_basis : int
        Number of centres. A distance far beyond the last has no basis function left and is seen
        only as "far".
    spacing : float
        Distance between centres and width σ, in Å.

    Returns
    -------
    Tensor of shape (..., n_basis)
    """
    centres = spacing * torch.arange(n_basis, dtype=distances.dtype, device=distances.device)
    return torch.exp(-(((distances.unsqueeze(-1) - centres) / spacing) ** 2))


def sine_basis(distances: Tensor, n_basis: int, r_max: float) -> Tensor:
    """``sin(n π d / r_max) / d`` for ``n`` from 1 on, (..., n_basis); finite at ``d = 0``.

    References
    ----------
    Schütt, Unke and Gastegger, ICML (2021), section 4, after Gasteiger, Groß and Günnemann, ICLR
    (2020), eq. (7).
    """
    orders = torch.arange(1, n_basis + 1, dtype=distances.dtype, device=distances.device) / r_max
    return math.pi * orders * torch.sinc(distances.unsqueeze(-1) * orders)


def cosine_cutoff(distances: Tensor, r_max: float) -> Tensor:
    """``(cos(π d / r_max) + 1) / 2`` within ``r_max``, zero beyond.

    References
    ----------
    Schütt et al., J. Chem. Phys. 148, 241722 (2018), after Behler, ibid. 134, 074106 (2011).
    """
    return 0.5 * (torch.cos(math.pi * (distances / r_max).clamp_max(1.0)) + 1.0)
