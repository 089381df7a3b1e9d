"""One gated graph convolution: the plain reference, and compiled kernels where they apply."""

import math
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphkoopman.graphs import GraphBatch
from graphkoopman.lobes._kernels import POINTS_PER_WIDTH, GatedConvolution

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


@lru_cache(maxsize=1)
def _torch_scatter() -> Any:
    try:
        import torch_scatter
    except ImportError:
        return None
    return torch_scatter


def segment_sum(values: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Sum of the rows of each segment, (n_segments, ...); ``segment`` is (n_rows,), ascending.

    On a GPU by ``segment_reduce``, which adds in a fixed order; elsewhere by torch-scatter where it
    is installed, by torch's own ``index_add`` otherwise.
    """
    if values.is_cuda:
        sizes = torch.bincount(segment, minlength=n_segments)
        return torch.segment_reduce(values, "sum", lengths=sizes, axis=0, unsafe=True, initial=0)
    scatter = _torch_scatter()
    if scatter is not None:
        return scatter.scatter(values, segment, dim=0, dim_size=n_segments, reduce="sum")
    out = values.new_zeros((n_segments, *values.shape[1:]))
    return out.index_add(0, segment, values)


@lru_cache
def gpu_kernels(device: torch.device) -> Any:
    """The module of kernels for a GPU; None, with a warning, where they do not run on a device."""
    try:
        from graphkoopman.lobes import _gpu_kernels

        _gpu_kernels.probe(device)
    except Exception as error:  # no Triton, no compiler or headers for it, a GPU it does not know
        warnings.warn(
            f"Triton does not run on {device} ({type(error).__name__}: {error}): convolutions take "
            "torch's own operations there, which are many times slower; install what is missing",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return _gpu_kernels


def runs_on_gpu(atoms: Tensor) -> bool:
    """Whether the kernels for a GPU take these vectors."""
    on_gpu = atoms.is_cuda and atoms.dtype == torch.float32
    return on_gpu and gpu_kernels(atoms.device) is not None


def segment_softmax(logits: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Softmax of ``logits`` (n_rows,) within each segment."""
    highest = logits.new_full((n_segments,), -math.inf)
    highest = highest.scatter_reduce(0, segment, logits.detach(), "amax")
    weights = torch.exp(logits - highest[segment])
    return weights / segment_sum(weights, segment, n_segments)[segment]


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
        norms = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d}
        self.update_norm = norms[normalization](n_features) if normalization else None

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
            Use the plain implementation where the compiled one would apply.

        Returns
        -------
        Tensor of shape (n_rows, n_features)
        """
        fused = self.message_norm is None and not reference
        on_gpu = fused and runs_on_gpu(atoms)
        compiled = fused and atoms.device.type == "cpu" and not on_gpu
        if compiled and self.aggregation == "sum" and self.update_norm is None:
            return self._compiled(atoms, batch, n_rows, species, residual=True)
        if compiled:
            update = self._compiled(atoms, batch, n_rows, species, residual=False)
        elif on_gpu:
            if species is not None:
                # a product, whose gradient adds in a fixed order; that of atoms[species] does not
                kinds = torch.arange(len(atoms), device=atoms.device)
                atoms, species = (species.unsqueeze(1) == kinds).to(atoms) @ atoms, None
            update = self._on_gpu(atoms, batch, n_rows)
        else:
            update = self._plain(atoms, batch, n_rows, species)
        if self.aggregation == "mean":
            update = update / batch.degrees(n_rows).to(update).clamp_min(1.0).unsqueeze(1)
        if self.update_norm is not None:
            update = self.update_norm(update)
        return (atoms[:n_rows] if species is None else atoms[species[:n_rows]]) + update

    def _compiled(
        self,
        atoms: Tensor,
        batch: GraphBatch,
        n_rows: int,
        species: Tensor | None,
        *,
        residual: bool,
    ) -> Tensor:
        offsets = batch.offsets(n_rows)
        basis = torch.from_numpy(_basis_on_grid(self.edge.in_features, atoms.dtype))
        return GatedConvolution.apply(
            atoms,
            self.center.weight,
            self.center.bias,
            self.neighbor.weight,
            self.neighbor_logit.weight,
            self.edge(basis),
            self.edge_logit(basis).squeeze(1),
            batch.neighbors[: offsets[-1]],
            batch.distances[: offsets[-1]],
            species,
            offsets,
            BASIS_SPACING / POINTS_PER_WIDTH,
            residual,
        )

    def _on_gpu(self, atoms: Tensor, batch: GraphBatch, n_rows: int) -> Tensor:
        offsets = batch.offsets_on_device(n_rows)
        n_edges = batch.n_edges(n_rows)
        return gpu_kernels(atoms.device).GatedUpdate.apply(
            self.center(atoms[:n_rows]),
            self.neighbor(atoms),
            self.neighbor_logit(atoms).squeeze(1),
            self.edge.weight,
            self.edge_logit.weight.squeeze(0),
            _basis_on_device(self.edge.in_features, atoms.device),
            BASIS_SPACING / POINTS_PER_WIDTH,
            BASIS_SPACING,
            batch.neighbors[:n_edges],
            batch.distances[:n_edges],
            offsets,
        )

    def _plain(
        self, atoms: Tensor, batch: GraphBatch, n_rows: int, species: Tensor | None
    ) -> Tensor:
        """Equations (7)–(9) as written, an array of (n_edges, n_features) at a time."""
        rows = batch.rows(n_rows)
        distances = batch.distances[: len(rows)].to(atoms.dtype)
        basis = gaussian_basis(distances, self.edge.in_features)
        near, far, near_atoms = rows, batch.neighbors[: len(rows)], atoms[:n_rows]
        if species is not None:
            near, far, near_atoms = species[near], species[far], atoms
        logits = self.neighbor_logit(atoms)[far].squeeze(1) + self.edge_logit(basis).squeeze(1)
        messages = self.center(near_atoms)[near] + self.neighbor(atoms)[far] + self.edge(basis)
        if self.message_norm is not None:
            messages = self.message_norm(messages)
        attention = segment_softmax(logits, rows, n_rows)
        return segment_sum(attention.unsqueeze(1) * torch.relu(messages), rows, n_rows)


@lru_cache(maxsize=4)
def _basis_on_grid(n_basis: int, dtype: torch.dtype) -> np.ndarray:
    """The basis (n_points, n_basis) where the compiled update tabulates edge terms.

    Kept as a numpy array: a tensor first made in inference mode could not be used in training.
    """
    # far enough beyond the last centre for every Gaussian to have vanished
    n_points = (n_basis + TAIL) * POINTS_PER_WIDTH
    grid = BASIS_SPACING / POINTS_PER_WIDTH * torch.arange(-1, n_points, dtype=torch.float64)
    return gaussian_basis(grid, n_basis).to(dtype).numpy()


@lru_cache(maxsize=4)
def _basis_on_device(n_basis: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # or the tensor could not be used in training
        return torch.from_numpy(_basis_on_grid(n_basis, torch.float32)).to(device)
