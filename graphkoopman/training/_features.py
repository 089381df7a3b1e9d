"""Forward and backward passes in chunks of frames."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphkoopman.graphs import GraphBatch, GraphTrajectory, collate
from graphkoopman.objectives import score_gradient
from graphkoopman.training._batches import StatisticsBatch

AUTO_CHUNK_EDGES = 400_000
KEPT_EDGES = 4_000_000  # about 200 MB of what the backward pass needs


@dataclass(frozen=True, eq=False)
class GraphData:
    """Graphs with the node types of a network, and how many frames fit in one pass.

    Attributes
    ----------
    graphs : sequence of GraphTrajectory
    species_index : list of ndarray of shape (n_atoms,)
        Row of the embedding for every atom of every trajectory.
    n_conv : int
    chunk_size : int or None
        Frames per forward pass; None keeps a pass near a fixed number of edges.
    device : torch.device
    """

    graphs: Sequence[GraphTrajectory]
    species_index: list[np.ndarray]
    n_conv: int
    chunk_size: int | None
    device: torch.device

    def edges_per_frame(self, trajectory: int) -> float:
        """Mean number of edges of a frame of a trajectory."""
        graphs = self.graphs[trajectory]
        return len(graphs.distances) / max(1, len(graphs))

    def keeps(self, batch: StatisticsBatch) -> bool:
        """Whether all chunks of a batch may be in memory at a time."""
        n_edges = sum(len(run.frames) * self.edges_per_frame(run.trajectory) for run in batch.runs)
        return self.chunk_size is None and n_edges <= KEPT_EDGES

    def frames_per_chunk(self, trajectory: int) -> int:
        """Frames of a trajectory in one forward pass."""
        if self.chunk_size is not None:
            return self.chunk_size
        return max(1, int(AUTO_CHUNK_EDGES / max(1.0, self.edges_per_frame(trajectory))))

    def collate(self, trajectory: int, frames: np.ndarray) -> GraphBatch:
        """Frames of a trajectory as one batch on the device."""
        batch = collate(
            self.graphs[trajectory], frames, self.species_index[trajectory], self.n_conv
        )
        return batch.to(self.device) if self.device.type != "cpu" else batch


def chunks_of(data: GraphData, batch: StatisticsBatch) -> Iterator[tuple[int, np.ndarray]]:
    """The frames of a batch in the order of its rows, neighbouring runs merged, chunk by chunk."""
    pending: list[np.ndarray] = []
    current = -1
    for run in batch.runs:
        if run.trajectory != current:
            yield from _cut(data, current, pending)
            pending, current = [], run.trajectory
        pending.append(run.frames)
    yield from _cut(data, current, pending)


def _cut(
    data: GraphData, trajectory: int, pieces: list[np.ndarray]
) -> Iterator[tuple[int, np.ndarray]]:
    if not pieces:
        return
    frames = np.concatenate(pieces)
    size = data.frames_per_chunk(trajectory)
    for begin in range(0, len(frames), size):
        yield trajectory, frames[begin : begin + size]


def evaluate(
    data: GraphData,
    batch: StatisticsBatch,
    function: Callable[[GraphBatch], Tensor],
) -> Tensor:
    """Stack a function of the graphs over a batch, without a graph for gradients.

    Returns
    -------
    Tensor of shape (n_rows, n_outputs), on the CPU
    """
    n_rows = sum(len(run.frames) * data.graphs[run.trajectory].n_targets for run in batch.runs)
    features = torch.empty(0)
    row = 0
    with torch.no_grad():
        for chunk in chunks_of(data, batch):
            output = function(data.collate(*chunk))
            if row == 0:
                features = torch.empty((n_rows, *output.shape[1:]), dtype=output.dtype)
            features[row : row + len(output)] = output.cpu()
            row += len(output)
    return features


def backward_score(
    function: Callable[[GraphBatch], Tensor],
    data: GraphData,
    batch: StatisticsBatch,
    *,
    score: str | Callable[..., Tensor],
    epsilon: float,
) -> float:
    """Add the gradient of minus the score to the parameters; return the score.

    The exact gradient of the score with respect to the features of all chunks comes first, then
    each chunk is back-propagated with its slice of it. Where the whole batch fits in memory, what
    the first pass has computed is kept; otherwise chunks are computed again. The result does not
    depend on either, nor on the chunk size.

    Parameters
    ----------
    function : callable
        From graphs to features, the network or a part of it.
    data : GraphData
    batch : StatisticsBatch
    score : str or callable
        The ``method`` of `score_gradient`.
    epsilon : float

    Returns
    -------
    float
    """
    chunks = list(chunks_of(data, batch))
    rows = (torch.from_numpy(batch.start_rows), torch.from_numpy(batch.end_rows))
    kept: list[Tensor] = []
    if len(chunks) == 1 or data.keeps(batch):
        kept = [function(data.collate(*chunk)) for chunk in chunks]
        features = torch.cat([output.detach().cpu() for output in kept])
    else:
        features = evaluate(data, batch, function)
    value, gradient = score_gradient(features, rows, method=score, epsilon=epsilon)
    row = 0
    for chunk in chunks:
        output = kept.pop(0) if kept else function(data.collate(*chunk))
        piece = gradient[row : row + len(output)]
        output.backward(-piece.to(output.device, output.dtype))
        row += len(output)
        del output  # holds the graphs of its chunk, which must be gone before the next one
    return value.item()
