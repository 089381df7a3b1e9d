"""Training of the network: statistics batches, chunked gradients, early stopping.

Public: :class:`GraphData`, :class:`TrainingSettings`, :class:`TrainingResult`, :class:`Trainer`,
:func:`evaluate`, :func:`sample_batch`, :func:`all_frames`.
"""

from graphkoopman.training._batches import StatisticsBatch, all_frames, sample_batch
from graphkoopman.training._features import GraphData, backward_score, evaluate
from graphkoopman.training._loop import Trainer, TrainingResult, TrainingSettings

__all__ = [
    "GraphData",
    "StatisticsBatch",
    "Trainer",
    "TrainingResult",
    "TrainingSettings",
    "all_frames",
    "backward_score",
    "evaluate",
    "sample_batch",
]
