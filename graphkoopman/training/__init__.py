"""Training of the network: statistics batches, chunked gradients, early stopping, checkpoints.

All of it is internal: what `graphkoopman.GDyNetEstimator.fit` does. :func:`train` advances
:class:`Restarts` of several :class:`Trainer`, under :class:`TrainingSettings`, on
:class:`SampleData`; a :class:`TrainingResult` comes of it, a :class:`Checkpoint` and an
:class:`Interruption` guard it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.training._batches import StatisticsBatch, all_frames, sample_batch
    from graphkoopman.training._checkpoint import CHECKPOINT, Checkpoint, resume
    from graphkoopman.training._data import SampleData
    from graphkoopman.training._features import backward_score, evaluate
    from graphkoopman.training._interruption import Interruption
    from graphkoopman.training._loop import Trainer
    from graphkoopman.training._memory import memory_budget
    from graphkoopman.training._restarts import Restarts, generator_state, set_generator_state
    from graphkoopman.training._runs import SharedRun, run_digests, share_runs
    from graphkoopman.training._state import TrainingResult, TrainingSettings
    from graphkoopman.training._train import train
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__: list[str] = []
