"""Forward and backward passes in chunks of frames."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from graphkoopman.objectives import score_gradient
from graphkoopman.samples import Batch
from graphkoopman.training._batches import StatisticsBatch
from graphkoopman.training._data import SampleData

Chunk = tuple[int, np.ndarray]  # trajectory, frames


def chunks_of(data: SampleData, batch: StatisticsBatch) -> Iterator[Chunk]:
    """The frames of a batch in the order of its rows, neighbouring runs merged, chunk by chunk."""
    pending: list[np.ndarray] = []
    current = -1
    for run in batch.runs:
        if run.trajectory != current:
            yield from _cut(data, current, pending)
            pending, current = [], run.trajectory
        pending.append(run.frames)
    yield from _cut(data, current, pending)


def _cut(data: SampleData, trajectory: int, pieces: list[np.ndarray]) -> Iterator[Chunk]:
    if not pieces:
        return
    frames = np.concatenate(pieces)
    size = data.frames_per_chunk(trajectory)
    for begin in range(0, len(frames), size):
        yield trajectory, frames[begin : begin + size]


def batches_of(data: SampleData, chunks: Iterable[Chunk]) -> Iterator[Batch]:
    """Graphs of every chunk on the data's device, one at a time.

    A GPU is not waited for: it computes on a chunk while the next one is collated.
    """
    return (data.batch(*chunk).to(data.device) for chunk in chunks)


def evaluate(
    data: SampleData,
    batch: StatisticsBatch,
    function: Callable[[Batch], Tensor],
) -> Tensor:
    """Stack a function of the graphs over a batch, without a graph for gradients.

    Returns
    -------
    Tensor of shape (n_rows, n_outputs), on the CPU
    """
    return _stacked(data, batch, function).cpu()


def _stacked(
    data: SampleData, batch: StatisticsBatch, function: Callable[[Batch], Tensor]
) -> Tensor:
    n_rows = sum(len(run.frames) * data.samples[run.trajectory].n_targets for run in batch.runs)
    features = torch.empty(0)
    row = 0
    with torch.no_grad():
        for output in map(function, batches_of(data, chunks_of(data, batch))):
            if row == 0:
                features = output.new_empty((n_rows, *output.shape[1:]))
            features[row : row + len(output)] = output
            row += len(output)
    return features


def backward_score(
    function: Callable[[Batch], Tensor],
    data: SampleData,
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
    data : SampleData
    batch : StatisticsBatch
    score : str or callable
        The ``method`` of `score_gradient`.
    epsilon : float

    Returns
    -------
    float
    """
    chunks = list(chunks_of(data, batch))
    if len(chunks) == 1 or data.keeps(batch):
        kept = list(map(function, batches_of(data, chunks)))
        features = torch.cat([output.detach() for output in kept])
        outputs: Iterator[Tensor] = (kept.pop(0) for _ in chunks)
    else:
        features = _stacked(data, batch, function)
        outputs = map(function, batches_of(data, chunks))
    rows = (
        torch.from_numpy(batch.start_rows).to(features.device),
        torch.from_numpy(batch.end_rows).to(features.device),
    )
    value, gradient = score_gradient(features, rows, method=score, epsilon=epsilon)
    row = 0
    for output in outputs:
        piece = gradient[row : row + len(output)]
        output.backward(-piece.to(output.dtype))
        row += len(output)
        del output  # holds the graphs of its chunk, which must be gone before the next one
    return value.item()
