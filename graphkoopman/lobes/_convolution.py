"""`GraphConvolution`: the weights of one gated graph convolution."""

from torch import Tensor, nn

from graphkoopman.graphs import GraphBatch
from graphkoopman.lobes._updates import Edges, Terms, update_for

NORMS = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d}


class GraphConvolution(nn.Module):
    """One gated convolution: attention over neighbours (8) and residual update (9).

    Parameters
    ----------
    n_features : int
        Length of the atom vectors ``v``.
    n_basis : int
        Number of Gaussians of (7).
    normalization : {None, "layer", "batch"}
        Normaliser of the update before it is added. ``"layer"`` works per atom. ``"batch"`` is
        the authors' code (message and update); its moments couple all frames of a forward pass,
        so results then depend on ``chunk_size``.
    aggregation : {"sum", "mean"}
        Equation (9) sums over neighbours; the authors' code divides by their number.
    """

    def __init__(
        self,
        n_features: int,
        n_basis: int,
        *,
        normalization: str | None = None,
        aggregation: str = "sum",
    ) -> None:
        super().__init__()
        self.aggregation = aggregation
        self.center = nn.Linear(n_features, n_features)  # W₁ v_i + b_n
        self.neighbor = nn.Linear(n_features, n_features, bias=False)  # W₂ v_j
        self.edge = nn.Linear(n_basis, n_features, bias=False)  # W₃ u_ij
        self.neighbor_logit = nn.Linear(n_features, 1, bias=False)  # the same of W_a in (8)
        self.edge_logit = nn.Linear(n_basis, 1, bias=False)
        self.message_norm = nn.BatchNorm1d(n_features) if normalization == "batch" else None
        self.update_norm = NORMS[normalization](n_features) if normalization else None

    def forward(
        self,
        atoms: Tensor,
        batch: GraphBatch,
        n_rows: int,
        *,
        species: Tensor | None = None,
        reference: bool = False,
    ) -> Tensor:
        """Update the first ``n_rows`` atoms.

        Parameters
        ----------
        atoms : Tensor of shape (n_atoms, n_features)
            At least every neighbour of the updated atoms.
        batch : GraphBatch
        n_rows : int
        species : Tensor of shape (n_atoms,) or None
            Before the first convolution atoms of one type are alike: ``atoms`` then holds one
            vector per type, and atom ``i`` is ``atoms[species[i]]``.
        reference : bool
            Use the plain implementation where a compiled one would apply.

        Returns
        -------
        Tensor of shape (n_rows, n_features)
        """
        bare = self.aggregation == "sum" and self.update_norm is None
        terms = Terms(
            atoms,
            species,
            self.center,
            self.neighbor,
            self.edge,
            self.neighbor_logit,
            self.edge_logit,
            self.message_norm,
            residual=bare,
        )
        update = update_for(terms, reference=reference)(terms, Edges(batch, n_rows))
        if bare:
            return update
        if self.aggregation == "mean":
            update = update / batch.degrees(n_rows).to(update).clamp_min(1.0).unsqueeze(1)
        if self.update_norm is not None:
            update = self.update_norm(update)
        return terms.own(n_rows) + update
