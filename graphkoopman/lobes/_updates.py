"""The gated update (8)(9) of some atoms: three implementations behind one signature.

Each takes the terms of a convolution and the edges of a batch and gives the update,
``(terms, edges) -> (n_rows, n_features)``; `update_for` chooses one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphkoopman.devices import warn_without_triton
from graphkoopman.graphs import GraphBatch
from graphkoopman.lobes._basis import BASIS_SPACING, TAIL, gaussian_basis
from graphkoopman.lobes._kernels import POINTS_PER_WIDTH, GatedConvolution
from graphkoopman.lobes._segments import segment_softmax, segment_sum

STEP = BASIS_SPACING / POINTS_PER_WIDTH  # Å, between points of the tables of edge terms


@dataclass(frozen=True, eq=False)
class Terms:
    """What a convolution multiplies, and with which weights.

    Attributes
    ----------
    atoms : Tensor of shape (n_atoms, n_features)
        Vectors ``v``, at least those of every neighbour of the updated atoms.
    kinds : Tensor of shape (n_atoms,) or None
        Before the first convolution atoms of one kind are alike: ``atoms`` then holds one vector
        per kind, and atom ``i`` is ``atoms[kinds[i]]``.
    center, neighbor, edge : Linear
        ``W₁ v_i + b``, ``W₂ v_j`` and ``W₃ u_ij`` of the message.
    neighbor_logit, edge_logit : Linear
        The same of the attention logit (8), where the term of ``v_i`` cancels.
    message_norm : Module or None
        Normaliser of the messages before the ReLU.
    residual : bool
        Whether ``v_i`` is added to the update, as in (9).
    """

    atoms: Tensor
    kinds: Tensor | None
    center: nn.Linear
    neighbor: nn.Linear
    edge: nn.Linear
    neighbor_logit: nn.Linear
    edge_logit: nn.Linear
    message_norm: nn.Module | None
    residual: bool

    def own(self, n_rows: int) -> Tensor:
        """Vectors ``v_i`` of the first ``n_rows`` atoms, (n_rows, n_features)."""
        if self.kinds is None:
            return self.atoms[:n_rows]
        if not self.atoms.is_cuda:
            return self.atoms[self.kinds[:n_rows]]
        # a product, whose gradient adds in a fixed order; that of atoms[kinds] does not
        every_kind = torch.arange(len(self.atoms), device=self.atoms.device)
        return (self.kinds[:n_rows].unsqueeze(1) == every_kind).to(self.atoms) @ self.atoms

    def finish(self, update: Tensor) -> Tensor:
        """The update, with ``v_i`` added where it is asked for."""
        return self.own(len(update)) + update if self.residual else update


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges of the first ``n_rows`` atoms of a batch, one atom after the other."""

    batch: GraphBatch
    n_rows: int


Update = Callable[[Terms, Edges], Tensor]


def update_for(terms: Terms, *, reference: bool = False) -> Update:
    """The implementation for these terms; ``reference`` asks for the plain one."""
    if reference or terms.message_norm is not None:  # kernels never hold all messages
        return plain_update
    if runs_on_gpu(terms.atoms):
        return gpu_update
    return cpu_update if terms.atoms.device.type == "cpu" else plain_update


def plain_update(terms: Terms, edges: Edges) -> Tensor:
    """Equations (7)–(9) as written, an array of (n_edges, n_features) at a time."""
    atoms, batch, n_rows = terms.atoms, edges.batch, edges.n_rows
    rows = batch.rows(n_rows)
    distances = batch.distances[: len(rows)].to(atoms.dtype)
    basis = gaussian_basis(distances, terms.edge.in_features)
    # atoms of a kind are alike before the first convolution: terms are computed once per kind
    near, far, near_atoms = rows, batch.neighbors[: len(rows)], atoms[:n_rows]
    if terms.kinds is not None:
        near, far, near_atoms = terms.kinds[near], terms.kinds[far], atoms
    # (n_edges,): the term of v_i is the same for all j and cancels in the softmax (8)
    logits = terms.neighbor_logit(atoms)[far].squeeze(1) + terms.edge_logit(basis).squeeze(1)
    # (n_edges, n_features): W₁ v_i + W₂ v_j + W₃ u_ij
    messages = terms.center(near_atoms)[near] + terms.neighbor(atoms)[far] + terms.edge(basis)
    if terms.message_norm is not None:
        messages = terms.message_norm(messages)
    attention = segment_softmax(logits, rows, n_rows)
    return terms.finish(segment_sum(attention.unsqueeze(1) * torch.relu(messages), rows, n_rows))


def cpu_update(terms: Terms, edges: Edges) -> Tensor:
    """By the compiled kernels of `_kernels`."""
    offsets = edges.batch.offsets(edges.n_rows)
    basis = torch.from_numpy(_basis_on_grid(terms.edge.in_features, terms.atoms.dtype))
    return GatedConvolution.apply(  # type: ignore[no-untyped-call]
        terms.atoms,
        terms.center.weight,
        terms.center.bias,
        terms.neighbor.weight,
        terms.neighbor_logit.weight,
        terms.edge(basis),
        terms.edge_logit(basis).squeeze(1),
        edges.batch.neighbors[: offsets[-1]],
        edges.batch.distances[: offsets[-1]],
        terms.kinds,
        offsets,
        STEP,
        terms.residual,
    )


def gpu_update(terms: Terms, edges: Edges) -> Tensor:
    """By the kernels of `_gpu_kernels`."""
    batch, n_rows = edges.batch, edges.n_rows
    if terms.kinds is not None:
        terms = replace(terms, atoms=terms.own(len(terms.kinds)), kinds=None)
    atoms = terms.atoms
    n_edges = batch.n_edges(n_rows)
    update = gpu_kernels(atoms.device).GatedUpdate.apply(
        terms.center(atoms[:n_rows]),
        terms.neighbor(atoms),
        terms.neighbor_logit(atoms).squeeze(1),
        terms.edge.weight,
        terms.edge_logit.weight.squeeze(0),
        _basis_on_device(terms.edge.in_features, atoms.device),
        STEP,
        BASIS_SPACING,
        batch.neighbors[:n_edges],
        batch.distances[:n_edges],
        batch.offsets_on_device(n_rows),
        batch.crowd,
    )
    return terms.finish(update)


@lru_cache
def gpu_kernels(device: torch.device) -> Any:
    """The module of kernels for a GPU; None, with a warning, where they do not run on a device."""
    try:
        from graphkoopman.lobes import _gpu_kernels

        _gpu_kernels.probe(device)
    except Exception as error:  # no Triton, no compiler or headers for it, a GPU it does not know
        warn_without_triton(
            device,
            error,
            "convolutions take torch's own operations there, which are many times slower; install "
            "what is missing",
        )
        return None
    return _gpu_kernels


def runs_on_gpu(atoms: Tensor) -> bool:
    """Whether the kernels for a GPU take these vectors."""
    on_gpu = atoms.is_cuda and atoms.dtype == torch.float32
    return on_gpu and gpu_kernels(atoms.device) is not None


@lru_cache(maxsize=4)
def _basis_on_grid(n_basis: int, dtype: torch.dtype) -> np.ndarray:
    """The basis (n_points, n_basis) where the compiled update tabulates edge terms.

    Kept as a numpy array: a tensor first made in inference mode could not be used in training.
    """
    # far enough beyond the last centre for every Gaussian to have vanished
    n_points = (n_basis + TAIL) * POINTS_PER_WIDTH
    grid = STEP * torch.arange(-1, n_points, dtype=torch.float64)
    return gaussian_basis(grid, n_basis).to(dtype).numpy()


@lru_cache(maxsize=4)
def _basis_on_device(n_basis: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # or the tensor could not be used in training
        return torch.from_numpy(_basis_on_grid(n_basis, torch.float32)).to(device)
