"""`GatedEncoder`: the paper's network up to the vectors of the target atoms, eqs. (7)–(9)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphkoopman.checks import check_choice, check_integer, check_number
from graphkoopman.graphs import GraphBatch
from graphkoopman.lobes._basis import BASIS_SPACING
from graphkoopman.lobes._convolution import GraphConvolution
from graphkoopman.lobes._embedding import SpeciesEmbedding
from graphkoopman.lobes._parts import PartSettings, register
from graphkoopman.lobes._symmetry import PER_TARGET, AxisProjection, Handedness, check_axis

# far beyond use; more is a slip, and would ask for all memory
MOST_CONVOLUTIONS, MOST_FEATURES, LARGEST_RADIUS = 100, 10_000, 1e3
NORMALIZATIONS = (None, "layer", "batch")
AGGREGATIONS = ("sum", "mean")


@register("encoder")
class GatedEncoder(PartSettings):
    """Embedding of the species and gated graph convolutions, eqs. (7)–(9); the default for graphs.

    Parameters
    ----------
    n_conv : int
        Number of convolutions; the graphs need as many hops.
    n_features : int
        Length of the atom vectors.
    r_max : float
        Å, largest centre of the Gaussian basis (7).
    normalization : {None, "layer", "batch"}
        None is the paper's equations; "batch" the authors' code, whose results depend on
        ``chunk_size``; "layer" normalises every atom's update by itself.
    aggregation : {"sum", "mean"}
        Equation (9), or the authors' code.
    handedness : bool
        Whether to add a number per target atom that a mirror image changes the sign of: the triple
        product ``A₁ · (A₂ × A₃)`` of three sums over its edges, ``A_c = Σ_j φ_c(v_i, v_j, u_ij)
        r̂_ij``. Graphs need ``directions=True``.
    axis : (float, float, float), "per target" or None
        A direction that the system does not turn with, such as the normal of an interface, a polar
        axis or a field, or one for every target and frame, ``GraphFeaturizer(axes=...)``. Adds sums
        over the edges of a target atom of powers of their projection, ``Σ_j φ_c(v_i, v_j, u_ij)
        (r̂_ij · n)^m``, for ``m`` of one and two. Graphs need ``directions=True``.

    Notes
    -----
    With ``handedness`` or ``axis`` the vectors grow by their numbers, and ``φ`` takes the vectors
    before the last convolution, of which the neighbours have one. The vectors stay invariant to
    rotation, with ``axis`` to one of system and axis together.

    Identical atoms hide handedness: the flips of an ammonia molecule differ by a rotation and an
    exchange of hydrogens, so nothing that is invariant to rotation tells them apart unless the
    hydrogens have labels of their own, ``GraphFeaturizer(species_labels=...)``.

    References
    ----------
    Xie et al., Nat. Commun. 10, 2667 (2019).

    Examples
    --------
    >>> from graphkoopman.lobes import GatedEncoder
    >>> encoder = GatedEncoder(n_conv=2)
    >>> sum(weight.numel() for weight in encoder.build([1, 8]).parameters())
    2514
    """

    def __init__(
        self,
        n_conv: int = 3,
        n_features: int = 16,
        r_max: float = 8.0,
        normalization: str | None = None,
        aggregation: str = "sum",
        handedness: bool = False,
        axis: Any = None,
    ) -> None:
        self.n_conv = n_conv
        self.n_features = n_features
        self.r_max = r_max
        self.normalization = normalization
        self.aggregation = aggregation
        self.handedness = handedness
        self.axis = axis

    @property
    def n_hops(self) -> int:
        """Neighbour shells that a message crosses."""
        return check_integer(self.n_conv, "n_conv", 1, MOST_CONVOLUTIONS)

    @property
    def needs(self) -> frozenset[str]:
        """What is read of an edge, and of a target."""
        needs = {"distance"}
        if self.handedness or self.axis is not None:
            needs.add("direction")
        if isinstance(self.axis, str) and self.axis == PER_TARGET:
            needs.add("axis")
        return frozenset(needs)

    def build(self, species: Sequence[Any]) -> nn.Module:
        """The module for atoms of these kinds, see `Encoder`.

        Raises
        ------
        ValueError
            If a setting cannot work.
        """
        check_choice(self.normalization, "normalization", NORMALIZATIONS)
        check_choice(self.aggregation, "aggregation", AGGREGATIONS)
        if not isinstance(self.handedness, bool | np.bool_):
            raise ValueError(f"handedness must be True or False, got {self.handedness!r}")
        return GatedNetwork(
            species,
            self.n_hops,
            check_integer(self.n_features, "n_features", 1, MOST_FEATURES),
            check_number(self.r_max, "r_max", above=0.0, maximum=LARGEST_RADIUS),
            self.normalization,
            self.aggregation,
            bool(self.handedness),
            check_axis(self.axis),
        )


class GatedNetwork(nn.Module):
    """The module of `GatedEncoder`: ``embedding``, ``convolutions`` and ``symmetry``."""

    def __init__(
        self,
        species: Sequence[Any],
        n_conv: int,
        n_features: int,
        r_max: float,
        normalization: str | None,
        aggregation: str,
        handedness: bool = False,
        axis: Any = None,
    ) -> None:
        super().__init__()
        self.embedding = SpeciesEmbedding(species, n_features)
        n_basis = round(r_max / BASIS_SPACING) + 1
        self.convolutions = nn.ModuleList(
            GraphConvolution(
                n_features, n_basis, normalization=normalization, aggregation=aggregation
            )
            for _ in range(n_conv)
        )
        symmetry: list[Handedness | AxisProjection] = []
        if handedness:
            symmetry.append(Handedness(n_features, n_basis))
        if axis is not None:
            fixed = None if axis == PER_TARGET else axis
            symmetry.append(AxisProjection(n_features, n_basis, fixed))
        self.symmetry = nn.ModuleList(symmetry)
        self.n_features = n_features + sum(part.n_added for part in symmetry)

    def forward(self, batch: GraphBatch, *, reference: bool = False) -> Tensor:
        """Vectors of the target atoms, (n_target_atoms, n_features).

        Parameters
        ----------
        batch : GraphBatch
            With at least ``n_conv`` hops.
        reference : bool
            Use the plain implementation of the convolutions throughout.
        """
        n_conv = len(self.convolutions)
        atoms: Tensor = self.embedding.weight
        species: Tensor | None = batch.species
        for layer, convolution in enumerate(self.convolutions, start=1):
            # the last convolution updates the targets only, the one before also their neighbours
            n_rows = batch.hop_counts[n_conv - layer]
            before, kinds = atoms, species
            atoms = convolution(atoms, batch, n_rows, species=species, reference=reference)
            species = None
        added = [part(before, kinds, batch) for part in self.symmetry]
        return torch.cat([atoms, *added], dim=1) if added else atoms
