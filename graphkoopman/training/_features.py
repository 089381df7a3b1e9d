"""Forward and backward passes in chunks of frames."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from graphkoopman.objectives import score_gradient
from graphkoopman.samples import Batch
from graphkoopman.training._batches import Run, StatisticsBatch
from graphkoopman.training._data import SampleData
from graphkoopman.training._gradients import ParameterGradients
from graphkoopman.training._memory import is_out_of_memory
from graphkoopman.training._shares import Share

T = TypeVar("T")

Chunk = tuple[int, np.ndarray]  # trajectory, frames
# Probabilities, and responses of whitened vectors, are about as far from zero as they vary.
CENTER = 0.0


def chunks_of(data: SampleData, runs: Sequence[Run]) -> Iterator[Chunk]:
    """The frames of runs in the order of their rows, neighbouring runs merged, chunk by chunk."""
    pending: list[np.ndarray] = []
    current = -1
    for run in runs:
        if run.trajectory != current:
            yield from _cut(data, current, pending)
            pending, current = [], run.trajectory
        pending.append(run.frames)
    yield from _cut(data, current, pending)


def _cut(data: SampleData, trajectory: int, pieces: list[np.ndarray]) -> Iterator[Chunk]:
    if not pieces:
        return
    size = data.frames_per_chunk(trajectory)
    for frames in data.pieces(trajectory, np.concatenate(pieces)):
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
        Of all processes, each of which has to call it.
    """
    if data.reducer.size == 1:
        return _as_memory_bears(data, lambda: _stacked(data, batch.runs, function)).cpu()
    share = data.share(batch)
    features = _as_memory_bears(data, lambda: _stacked(data, share.runs, function)).cpu()
    # every row is of one process; zeros of the others leave its bits as they are
    rows = features.new_zeros((batch.n_rows, *features.shape[1:]))
    rows[torch.from_numpy(share.rows)] = features
    data.reducer.add(rows)
    return rows


def _stacked(data: SampleData, runs: Sequence[Run], function: Callable[[Batch], Tensor]) -> Tensor:
    n_rows = sum(len(run.frames) * data.samples[run.trajectory].n_targets for run in runs)
    if n_rows and data.room.budget is not None:
        data.measure(function, *next(chunks_of(data, runs)))
    features = torch.empty(0)
    row = 0
    with torch.no_grad():
        for output in map(function, batches_of(data, chunks_of(data, runs))):
            if row == 0:
                features = output.new_empty((n_rows, *output.shape[1:]))
            features[row : row + len(output)] = output
            row += len(output)
        if n_rows == 0:  # all frames are of other processes; its width says how many functions
            features = function(data.example.to(data.device))[:0]
    return features


def _with_exchanged(data: SampleData, share: Share, features: Tensor) -> Tensor:
    """Features of this process and, after them, those that pairs across processes need."""
    if share.n_exchanged == 0:
        return features
    exchanged = features.new_zeros((share.n_exchanged, features.shape[1]))
    lent = torch.from_numpy(share.lent_rows).to(features.device)
    exchanged[torch.from_numpy(share.places).to(features.device)] = features[lent]
    data.reducer.add(exchanged)
    return torch.cat([features, exchanged])


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
    depend on either, nor on the chunk size. Of several processes each evaluates its own frames;
    score and gradient are those of all.

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
    share = data.share(batch)
    features, kept = _as_memory_bears(data, lambda: _first_pass(function, data, share.runs))
    rows = (
        torch.from_numpy(share.start_rows).to(features.device),
        torch.from_numpy(share.end_rows).to(features.device),
    )
    value, gradient = score_gradient(
        _with_exchanged(data, share, features),
        rows,
        method=score,
        epsilon=epsilon,
        n_pairs=share.n_pairs,
        sizes=share.sizes,
        center=CENTER if features.dtype == torch.float32 else None,
        reducer=data.reducer,
    )
    gradients = ParameterGradients(function)

    def second_pass() -> None:
        gradients.clear()
        try:
            _second_pass(function, data, share.runs, gradient, kept, gradients)
        finally:
            kept.clear()  # what is left of it would be taken for all

    _as_memory_bears(data, second_pass)
    gradients.add_to_parameters(data.reducer)
    return value.item()


def _first_pass(
    function: Callable[[Batch], Tensor], data: SampleData, runs: Sequence[Run]
) -> tuple[Tensor, list[Tensor]]:
    """Features of all frames, and the outputs of all chunks where they may be kept."""
    chunks = list(chunks_of(data, runs))
    if chunks:
        data.measure(function, *chunks[0])
        chunks = list(chunks_of(data, runs))
    if len(chunks) == 1 or (chunks and data.keeps(runs)):
        kept = list(map(function, batches_of(data, chunks)))
        return torch.cat([output.detach() for output in kept]), kept
    return _stacked(data, runs, function), []


def _second_pass(
    function: Callable[[Batch], Tensor],
    data: SampleData,
    runs: Sequence[Run],
    gradient: Tensor,
    kept: list[Tensor],
    gradients: ParameterGradients,
) -> None:
    """Back-propagate the gradient with respect to the features, chunk by chunk."""
    outputs: Iterator[Tensor] = (
        (kept.pop(0) for _ in range(len(kept)))
        if kept
        else map(function, batches_of(data, chunks_of(data, runs)))
    )
    row = 0
    for output in outputs:
        piece = gradient[row : row + len(output)]
        output.backward(-piece.to(output.dtype))
        gradients.take()
        row += len(output)
        del output  # holds the graphs of its chunk, which must be gone before the next one


def _as_memory_bears(data: SampleData, call: Callable[[], T]) -> T:
    """Result of a call that computes chunks, smaller ones where memory has run out."""
    while True:
        try:
            return call()
        except (MemoryError, RuntimeError) as error:
            if not (is_out_of_memory(error) and data.takes_less()):
                raise
            reason = str(error).strip().splitlines()[:1]
        warnings.warn(
            f"memory ran out ({' '.join(reason) or 'no reason given'}); chunks are half as large "
            "from here on, with the same results",
            RuntimeWarning,
            stacklevel=3,
        )
