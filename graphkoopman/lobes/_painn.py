"""`PaiNNEncoder`: equivariant messages between atoms, invariant vectors out."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphkoopman.graphs import GraphBatch
from graphkoopman.lobes._basis import cosine_cutoff, sine_basis
from graphkoopman.lobes._embedding import SpeciesEmbedding
from graphkoopman.lobes._filters import FilterSettings
from graphkoopman.lobes._parts import register
from graphkoopman.lobes._segments import edge_sum
from graphkoopman.lobes._symmetry import directions_of

SMALLEST_NORM = 1e-8  # squared, added below roots: the norm of a zero vector has no gradient


@register("encoder")
class PaiNNEncoder(FilterSettings):
    """PaiNN up to the scalar features of the target atoms.

    Atoms carry scalars ``s`` and vectors in space ``v``, which turn with the system: messages see
    angles between neighbours, not distances alone. What leaves the encoder are the scalars, which
    are invariant to rotation and to reflection. Graphs need ``directions=True``.

    Parameters
    ----------
    n_conv : int
        Number of message and update blocks; the graphs need as many hops.
    n_features : int
        Number of scalars, and of vectors, of an atom.
    r_max : float
        Å, where a cosine takes the messages to zero.
    n_basis : int
        Number of sines of the distance.

    References
    ----------
    Schütt, Unke and Gastegger, ICML (2021), eqs. (7)–(10).

    Examples
    --------
    >>> from graphkoopman.lobes import PaiNNEncoder
    >>> sum(weight.numel() for weight in PaiNNEncoder(n_conv=2).build([1, 8]).parameters())
    27136
    """

    @property
    def needs(self) -> frozenset[str]:
        """What is read of an edge."""
        return frozenset({"distance", "direction"})

    def build(self, species: Sequence[Any]) -> nn.Module:
        """The module for atoms of these kinds, see `Encoder`.

        Raises
        ------
        ValueError
            If a setting cannot work.
        """
        return PaiNN(species, **self._checked())


class PaiNN(nn.Module):
    """The module of `PaiNNEncoder`: ``embedding``, ``messages`` and ``updates``."""

    def __init__(
        self, species: Sequence[Any], n_conv: int, n_features: int, r_max: float, n_basis: int
    ) -> None:
        super().__init__()
        self.n_features = n_features
        self.r_max, self.n_basis = r_max, n_basis
        self.embedding = SpeciesEmbedding(species, n_features)
        self.messages = nn.ModuleList(Message(n_features, n_basis) for _ in range(n_conv))
        self.updates = nn.ModuleList(Mixing(n_features) for _ in range(n_conv))

    def forward(self, batch: GraphBatch) -> Tensor:
        """Scalars of the target atoms, (n_target_atoms, n_features).

        Parameters
        ----------
        batch : GraphBatch
            With at least ``n_conv`` hops and with directions.
        """
        n_conv = len(self.messages)
        scalars: Tensor = self.embedding(batch.species)
        vectors: Tensor | None = None  # all zero before the first block
        directions = directions_of(batch, batch.hop_counts[n_conv - 1]).to(scalars.dtype)
        distances = batch.distances[: len(directions)].to(scalars.dtype)
        envelope = cosine_cutoff(distances, self.r_max).unsqueeze(1)
        basis = sine_basis(distances, self.n_basis, self.r_max)
        blocks = zip(self.messages, self.updates, strict=True)
        for layer, (message, mixing) in enumerate(blocks, start=1):
            # the last block updates the targets only, the one before also their neighbours
            n_rows = batch.hop_counts[n_conv - layer]
            edges = basis, envelope, directions
            scalars, vectors = message(scalars, vectors, edges, batch, n_rows)
            scalars, vectors = mixing(scalars, vectors)
        return scalars


class Message(nn.Module):
    """Messages between atoms, eqs. (7) and (8); vectors in space are (n_atoms, 3, n_features)."""

    def __init__(self, n_features: int, n_basis: int) -> None:
        super().__init__()
        self.of_atoms = nn.Sequential(
            nn.Linear(n_features, n_features), nn.SiLU(), nn.Linear(n_features, 3 * n_features)
        )
        self.filter = nn.Linear(n_basis, 3 * n_features)

    def forward(
        self,
        scalars: Tensor,
        vectors: Tensor | None,
        edges: tuple[Tensor, Tensor, Tensor],
        batch: GraphBatch,
        n_rows: int,
    ) -> tuple[Tensor, Tensor]:
        """Scalars and vectors of the first ``n_rows`` atoms, messages added."""
        n_edges = batch.n_edges(n_rows)
        basis, envelope, directions = (column[:n_edges] for column in edges)
        far = batch.neighbors[:n_edges]
        filters = self.filter(basis) * envelope
        products = torch.index_select(self.of_atoms(scalars), 0, far) * filters
        to_scalars, along, carried = products.chunk(3, dim=1)
        moved = directions.unsqueeze(2) * along.unsqueeze(1)
        if vectors is not None:
            moved = moved + torch.index_select(vectors, 0, far) * carried.unsqueeze(1)
        scalars = scalars[:n_rows] + edge_sum(to_scalars, batch, n_rows)
        total = edge_sum(moved, batch, n_rows)
        return scalars, total if vectors is None else vectors[:n_rows] + total


class Mixing(nn.Module):
    """Scalars and vectors of an atom act on each other, eqs. (9) and (10)."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.vectors = nn.Linear(n_features, 2 * n_features, bias=False)  # U and V
        self.gates = nn.Sequential(
            nn.Linear(2 * n_features, n_features), nn.SiLU(), nn.Linear(n_features, 3 * n_features)
        )

    def forward(self, scalars: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Both after the update, of the same shapes."""
        first, second = self.vectors(vectors).chunk(2, dim=2)
        lengths = torch.sqrt((second**2).sum(dim=1) + SMALLEST_NORM)
        gates = self.gates(torch.cat([scalars, lengths], dim=1))
        to_vectors, of_products, to_scalars = gates.chunk(3, dim=1)
        products = (first * second).sum(dim=1)
        scalars = scalars + to_scalars + of_products * products
        return scalars, vectors + to_vectors.unsqueeze(1) * first
