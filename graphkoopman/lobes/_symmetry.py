"""Symmetry broken on purpose: `Handedness` and `AxisProjection` of the target atoms.

Vectors of atoms that come from distances are the same in a mirror, and however the system is
turned. What is here depends on the directions of edges: on their handedness, or on how they lie to
an axis that is given.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphkoopman.graphs import GraphBatch
from graphkoopman.lobes._basis import gaussian_basis
from graphkoopman.lobes._segments import edge_sum

PER_TARGET = "per target"
N_CHANNELS = 4  # weighted sums of edges per moment of an axis


class EdgeWeights(nn.Module):
    """Weights of edges in sums of directions, ``φ(v_i, v_j, u_ij)``, one per channel.

    A hyperbolic tangent of ``W [v_i, v_j, u_ij] + b``, of either sign.

    Parameters
    ----------
    n_features : int
        Length of the atom vectors ``v``.
    n_basis : int
        Number of Gaussians of (7).
    n_channels : int
    """

    def __init__(self, n_features: int, n_basis: int, n_channels: int) -> None:
        super().__init__()
        self.center = nn.Linear(n_features, n_channels)  # W₁ v_i + b
        self.neighbor = nn.Linear(n_features, n_channels, bias=False)  # W₂ v_j
        self.edge = nn.Linear(n_basis, n_channels, bias=False)  # W₃ u_ij

    def forward(self, atoms: Tensor, kinds: Tensor | None, batch: GraphBatch) -> Tensor:
        """Weights of the edges of the target atoms, (n_edges, n_channels)."""
        rows = batch.rows(batch.n_target_atoms)
        far = batch.neighbors[: len(rows)]
        distances = batch.distances[: len(rows)].to(atoms.dtype)
        edge = self.edge(gaussian_basis(distances, self.edge.in_features))
        if kinds is not None:
            rows, far = kinds[rows], kinds[far]
        near_term = self.center(atoms).index_select(0, rows)
        return torch.tanh(near_term + self.neighbor(atoms).index_select(0, far) + edge)


class Handedness(nn.Module):
    """A number per target atom that a mirror turns into its negative.

    With ``A_c = Σ_j φ_c(v_i, v_j, u_ij) r̂_ij`` for ``c = 1, 2, 3`` it is ``p = A₁ · (A₂ × A₃)``: a
    triple product of sums over edges, so that its cost grows with the number of neighbours, not
    with that of their triples. It is invariant to rotation.

    Parameters
    ----------
    n_features, n_basis : int
        Of `EdgeWeights`.
    """

    n_added = 1

    def __init__(self, n_features: int, n_basis: int) -> None:
        super().__init__()
        self.weights = EdgeWeights(n_features, n_basis, 3)

    def forward(self, atoms: Tensor, kinds: Tensor | None, batch: GraphBatch) -> Tensor:
        """The number of every target atom, (n_target_atoms, 1).

        Parameters
        ----------
        atoms : Tensor of shape (n_atoms, n_features)
            Vectors of at least the target atoms and their neighbours.
        kinds : Tensor of shape (n_atoms,) or None
            Where ``atoms`` holds one vector per kind of atom: the kind of each.
        batch : GraphBatch
            With directions.
        """
        directions = directions_of(batch).to(atoms.dtype)
        weighted = self.weights(atoms, kinds, batch).unsqueeze(2) * directions.unsqueeze(1)
        # (n_target_atoms, 3, 3): rows are the vectors A_c
        sums = edge_sum(weighted, batch, batch.n_target_atoms)
        first, second, third = sums.unbind(dim=1)
        return (first * torch.linalg.cross(second, third)).sum(dim=1, keepdim=True)


class AxisProjection(nn.Module):
    """How the edges of a target atom lie to an axis.

    Sums ``Σ_j φ_c(v_i, v_j, u_ij) (r̂_ij · n)^m`` for ``m = 1`` and ``m = 2``: the first change sign
    with the axis ``n``, the second do not. They are invariant to rotation about it.

    Parameters
    ----------
    n_features, n_basis : int
        Of `EdgeWeights`.
    axis : sequence of three float or None
        One direction for all targets; None takes that of every target from the batch.
    """

    n_added = 2 * N_CHANNELS
    axis: Tensor | None

    def __init__(self, n_features: int, n_basis: int, axis: Any) -> None:
        super().__init__()
        self.weights = EdgeWeights(n_features, n_basis, self.n_added)
        # from the settings of the encoder, so that it has no place among the weights of a file
        self.register_buffer("axis", None if axis is None else unit(axis), persistent=False)

    def forward(self, atoms: Tensor, kinds: Tensor | None, batch: GraphBatch) -> Tensor:
        """The sums of every target atom, (n_target_atoms, 8), see `Handedness`."""
        directions = directions_of(batch).to(atoms.dtype)
        if self.axis is not None:
            along = directions @ self.axis.to(atoms.dtype)
        else:
            rows = batch.rows(batch.n_target_atoms)
            along = (directions * axes_of(batch).to(atoms.dtype)[rows]).sum(dim=1)
        odd, even = self.weights(atoms, kinds, batch).chunk(2, dim=1)
        along = along.unsqueeze(1)
        weighted = torch.cat([odd * along, even * along**2], dim=1)
        return edge_sum(weighted, batch, batch.n_target_atoms)


def directions_of(batch: GraphBatch, n_rows: int | None = None) -> Tensor:
    """Unit vectors of the edges of the first ``n_rows`` atoms, by default of the target atoms.

    Raises
    ------
    ValueError
        If the graphs have none.
    """
    if batch.directions is None:
        raise ValueError(
            "the encoder needs directions of edges, got graphs without; featurize with "
            "GraphFeaturizer(directions=True)"
        )
    return batch.directions[: batch.n_edges(batch.n_target_atoms if n_rows is None else n_rows)]


def axes_of(batch: GraphBatch) -> Tensor:
    """The axis of the target of every target atom, (n_target_atoms, 3).

    Raises
    ------
    ValueError
        If the graphs have none.
    """
    if batch.axes is None:
        raise ValueError(
            f"axis={PER_TARGET!r} needs a vector per target, got graphs without; featurize with "
            "GraphFeaturizer(axes=...)"
        )
    return batch.axes if batch.target_of_atom is None else batch.axes[batch.target_of_atom]


def check_axis(axis: Any) -> Any:
    """None, ``"per target"``, or a direction as three float.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if axis is None or (isinstance(axis, str) and axis == PER_TARGET):
        return axis
    try:
        vector = np.asarray(axis, dtype=float)
    except (TypeError, ValueError):
        vector = np.zeros(0)
    if vector.shape != (3,) or not np.isfinite(vector).all() or not vector.any():
        raise ValueError(
            f"axis must be a direction of three numbers, not all zero, {PER_TARGET!r} or None, got "
            f"{axis!r}"
        )
    return tuple(vector.tolist())


def unit(axis: Any) -> Tensor:
    """A direction as a vector of length one, float64."""
    vector = np.asarray(axis, dtype=np.float64)
    return torch.from_numpy(vector / np.linalg.norm(vector))
