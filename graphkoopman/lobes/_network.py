"""The network χ: embedding, convolutions, pooling (10) and the two-layer softmax head."""

import torch
from torch import Tensor, nn

from graphkoopman.graphs import GraphBatch
from graphkoopman.lobes._convolution import BASIS_SPACING, GraphConvolution, segment_sum


def pool_targets(atoms: Tensor, batch: GraphBatch) -> Tensor:
    """Mean over the atoms of each target, eq. (10).

    Parameters
    ----------
    atoms : Tensor of shape (n_target_atoms, n_features)
    batch : GraphBatch

    Returns
    -------
    Tensor of shape (n_frames * n_targets, n_features)
    """
    if batch.target_of_atom is None:  # every target is one atom
        return atoms
    n_groups = batch.n_frames * batch.n_targets
    size = segment_sum(torch.ones_like(atoms[:, :1]), batch.target_of_atom, n_groups)
    return segment_sum(atoms, batch.target_of_atom, n_groups) / size


class GDyNetLobe(nn.Module):
    """Graph dynamical network: species embedding, convolutions, pooling, two-layer softmax head.

    Parameters
    ----------
    n_species : int
        Number of node types.
    n_states : int
        Number of output probabilities.
    n_conv : int
        Number of convolutions K; information travels K neighbour shells.
    n_features : int
        Length of the atom vectors.
    n_hidden : int
        Width of the head's hidden layer.
    r_max : float
        Largest centre of the Gaussian basis in Å.
    normalization, aggregation
        As in :class:`GraphConvolution`.
    """

    pooled_mean: Tensor
    pooled_scale: Tensor

    def __init__(
        self,
        n_species: int,
        n_states: int,
        *,
        n_conv: int = 3,
        n_features: int = 16,
        n_hidden: int = 32,
        r_max: float = 8.0,
        normalization: str | None = None,
        aggregation: str = "sum",
    ) -> None:
        super().__init__()
        self.r_max = r_max
        self.embedding = nn.Embedding(n_species, n_features)
        n_basis = round(r_max / BASIS_SPACING) + 1
        self.convolutions = nn.ModuleList(
            GraphConvolution(
                n_features, n_basis, normalization=normalization, aggregation=aggregation
            )
            for _ in range(n_conv)
        )
        # A fixed change of units between pooling and head, set from data before training: the
        # weights behind it then are of order one, whatever the spread of the embedding.
        self.register_buffer("pooled_mean", torch.zeros(n_features))
        self.register_buffer("pooled_scale", torch.ones(n_features))
        self.hidden = nn.Linear(n_features, n_hidden)
        self.output = nn.Linear(n_hidden, n_states)

    def embed(self, batch: GraphBatch, *, reference: bool = False) -> Tensor:
        """Pooled vectors of the targets, (n_frames * n_targets, n_features)."""
        n_conv = len(self.convolutions)
        atoms: Tensor = self.embedding.weight
        species: Tensor | None = batch.species
        for layer, convolution in enumerate(self.convolutions, start=1):
            # the last convolution updates the targets only, the one before also their neighbours
            n_rows = batch.hop_counts[n_conv - layer]
            atoms = convolution(atoms, batch, n_rows, species=species, reference=reference)
            species = None
        return pool_targets(atoms[: batch.hop_counts[0]], batch)

    def respond(self, pooled: Tensor) -> Tensor:
        """Responses of the head's hidden layer, (n_samples, n_hidden)."""
        standard = (pooled - self.pooled_mean) / self.pooled_scale
        return torch.relu(self.hidden(standard))

    def head(self, pooled: Tensor) -> Tensor:
        """Logits of the states, (n_samples, n_states)."""
        return self.output(self.respond(pooled))

    def forward(self, batch: GraphBatch, *, reference: bool = False) -> Tensor:
        """Probabilities of the states.

        Parameters
        ----------
        batch : GraphBatch
            With at least ``n_conv`` hops.
        reference : bool
            Use the plain implementation of the convolutions throughout.

        Returns
        -------
        Tensor of shape (n_frames * n_targets, n_states), rows sum to one.
        """
        logits = self.head(self.embed(batch, reference=reference))
        # down the columns: along rows, torch takes one short row after the other
        return torch.softmax(logits.T, dim=0).T.contiguous()
