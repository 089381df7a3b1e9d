"""`SchNetEncoder`: continuous-filter convolutions."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphkoopman.graphs import GraphBatch
from graphkoopman.lobes._basis import cosine_cutoff, gaussian_basis
from graphkoopman.lobes._embedding import SpeciesEmbedding
from graphkoopman.lobes._filters import FilterSettings
from graphkoopman.lobes._parts import register
from graphkoopman.lobes._segments import edge_sum


@register("encoder")
class SchNetEncoder(FilterSettings):
    """SchNet up to the vectors of the target atoms.

    Every convolution multiplies the vectors of the neighbours by filters that a small network makes
    of their distance, ``Σ_j x_j ∘ W(d_ij)``, between linear layers and shifted softplus.

    Parameters
    ----------
    n_conv : int
        Number of interaction blocks; the graphs need as many hops.
    n_features : int
        Length of the atom vectors and of the filters.
    r_max : float
        Å, where a cosine takes the filters to zero.
    n_basis : int
        Number of Gaussians from 0 to ``r_max``, as wide as they are apart.

    References
    ----------
    Schütt et al., NeurIPS (2017), section 3 and figure 2; J. Chem. Phys. 148, 241722 (2018), for
    the cutoff.

    Examples
    --------
    >>> from graphkoopman.lobes import SchNetEncoder
    >>> sum(weight.numel() for weight in SchNetEncoder(n_conv=2).build([1, 8]).parameters())
    9792
    """

    least_basis = 2  # Gaussians have a distance between them

    @property
    def needs(self) -> frozenset[str]:
        """What is read of an edge."""
        return frozenset({"distance"})

    def build(self, species: Sequence[Any]) -> nn.Module:
        """The module for atoms of these kinds, see `Encoder`.

        Raises
        ------
        ValueError
            If a setting cannot work.
        """
        return SchNet(species, **self._checked())


class SchNet(nn.Module):
    """The module of `SchNetEncoder`: ``embedding`` and ``interactions``."""

    def __init__(
        self, species: Sequence[Any], n_conv: int, n_features: int, r_max: float, n_basis: int
    ) -> None:
        super().__init__()
        self.n_features = n_features
        self.r_max, self.n_basis = r_max, n_basis
        self.embedding = SpeciesEmbedding(species, n_features)
        self.interactions = nn.ModuleList(Interaction(n_features, n_basis) for _ in range(n_conv))

    def forward(self, batch: GraphBatch) -> Tensor:
        """Vectors of the target atoms, (n_target_atoms, n_features).

        Parameters
        ----------
        batch : GraphBatch
            With at least ``n_conv`` hops.
        """
        n_conv = len(self.interactions)
        atoms: Tensor = self.embedding(batch.species)
        n_edges = batch.n_edges(batch.hop_counts[n_conv - 1])
        distances = batch.distances[:n_edges].to(atoms.dtype)
        spacing = self.r_max / (self.n_basis - 1)
        basis = gaussian_basis(distances, self.n_basis, spacing)
        envelope = cosine_cutoff(distances, self.r_max).unsqueeze(1)
        for layer, interaction in enumerate(self.interactions, start=1):
            # the last one updates the targets only, the one before also their neighbours
            atoms = interaction(atoms, basis, envelope, batch, batch.hop_counts[n_conv - layer])
        return atoms


class ShiftedSoftplus(nn.Module):
    """``ln(½ eˣ + ½)``, which is zero at zero."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.softplus(x) - math.log(2.0)


class Interaction(nn.Module):
    """One interaction block; its parts have the names of the figure."""

    def __init__(self, n_features: int, n_basis: int) -> None:
        super().__init__()
        self.before = nn.Linear(n_features, n_features, bias=False)
        self.filter = nn.Sequential(
            nn.Linear(n_basis, n_features),
            ShiftedSoftplus(),
            nn.Linear(n_features, n_features),
            ShiftedSoftplus(),
        )
        self.after = nn.Sequential(
            nn.Linear(n_features, n_features),
            ShiftedSoftplus(),
            nn.Linear(n_features, n_features),
        )

    def forward(
        self, atoms: Tensor, basis: Tensor, envelope: Tensor, batch: GraphBatch, n_rows: int
    ) -> Tensor:
        """Update of the first ``n_rows`` atoms, (n_rows, n_features)."""
        n_edges = batch.n_edges(n_rows)
        filters = self.filter(basis[:n_edges]) * envelope[:n_edges]
        far = torch.index_select(self.before(atoms), 0, batch.neighbors[:n_edges])
        return atoms[:n_rows] + self.after(edge_sum(far * filters, batch, n_rows))
