"""Distances on Gaussians, eq. (7): `gaussian_basis`."""

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
