"""Sums and softmax over rows of ragged segments: edges of an atom, atoms of a target."""

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from graphkoopman.graphs import GraphBatch


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


def group_sum(values: Tensor, group: Tensor, n_groups: int) -> Tensor:
    """`segment_sum` of groups whose rows come in any order."""
    if bool((group[1:] < group[:-1]).any()):
        order = torch.argsort(group, stable=True)
        values, group = values[order], group[order]
    return segment_sum(values, group, n_groups)


def segment_softmax(logits: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Softmax of ``logits`` (n_rows, ...) within each segment, whose rows may come in any order."""
    index = segment.reshape(-1, *[1] * (logits.ndim - 1)).expand_as(logits)
    highest = logits.new_full((n_segments, *logits.shape[1:]), -math.inf)
    highest = highest.scatter_reduce(0, index, logits.detach(), "amax")
    weights = torch.exp(logits - highest[segment])
    return weights / group_sum(weights, segment, n_segments)[segment]


def edge_sum(values: Tensor, batch: GraphBatch, n_rows: int) -> Tensor:
    """Sum over the edges of each of the first ``n_rows`` atoms, (n_rows, ...).

    Parameters
    ----------
    values : Tensor of shape (n_edges, ...)
        Values of the edges of these atoms.
    batch : GraphBatch
    n_rows : int
    """
    if batch.row_offsets is None and batch.n_neighbors:  # as many edges everywhere: no index needed
        return values.reshape(n_rows, batch.n_neighbors, *values.shape[1:]).sum(dim=1)
    return segment_sum(values, batch.rows(n_rows), n_rows)
