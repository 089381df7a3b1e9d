"""The training behind `GDyNetEstimator.fit`, and what its checkpoints depend on."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from graphkoopman.callbacks import FitTask
from graphkoopman.estimator._build import (
    graph_data,
    n_epochs,
    new_lobe,
    plain_settings,
    source_digest,
    training_settings,
)
from graphkoopman.estimator._checks import warn_of_doubts
from graphkoopman.estimator._models import may_be_beyond, models_at, warn_beyond_data
from graphkoopman.graphs import GraphTrajectory
from graphkoopman.koopman import identify_states
from graphkoopman.randomness import as_random_state
from graphkoopman.storage import digest
from graphkoopman.training import (
    Checkpoint,
    Interruption,
    Restarts,
    evaluate,
    generator_state,
    train,
)
from graphkoopman.trajectories import block_split

# the trained network depends on none of these, on device and chunk_size by rounding only
NOT_IN_FINGERPRINT = (
    "reversible",
    "device",
    "chunk_size",
    "verbose",
    "checkpoint_dir",
    "checkpoint_interval",
)


def fit_network(
    estimator: Any, graphs: Sequence[GraphTrajectory], source: Any, interruption: Interruption
) -> None:
    """Train an estimator's network, set what it learns, tell its callbacks, warn of doubts.

    Parameters
    ----------
    estimator : GDyNetEstimator
        With the attributes that come from the graphs set.
    graphs : sequence of GraphTrajectory
    source : GDyNetEstimator or None
        Fitted; training starts from its weights.
    interruption : Interruption
        Ends the training when it has noted a signal.
    """
    task = FitTask(estimator, graphs, n_epochs(estimator), "epoch")

    def after_epoch(training: Restarts) -> bool:
        return task.step(lambda: learned_attributes(estimator, graphs, training))

    training = train_network(estimator, graphs, source, interruption, after_epoch)
    learned = learned_attributes(estimator, graphs, training)
    vars(estimator).update(learned)
    warn_of_doubts(estimator, training, interruption)
    if may_be_beyond(estimator.model_, graphs):
        warn_beyond_data(graphs, estimator.transform(graphs), estimator.model_, stacklevel=4)
    task.end(lambda: learned)


def train_network(
    estimator: Any,
    graphs: Sequence[GraphTrajectory],
    source: Any,
    interruption: Interruption,
    after_epoch: Callable[[Restarts], bool],
) -> Restarts:
    """Train an estimator's network on graphs, from its checkpoint where there is one.

    Parameters
    ----------
    estimator : GDyNetEstimator
        With ``species_`` set.
    graphs : sequence of GraphTrajectory
    source : GDyNetEstimator or None
        Fitted; training starts from its weights.
    interruption : Interruption
        Ends the training when it has noted a signal.
    after_epoch : callable
        Called with the training after every epoch; whether to stop.

    Returns
    -------
    Restarts
        Finished, interrupted or stopped.
    """
    rng = as_random_state(estimator.random_state)
    checkpoint = None
    if estimator.checkpoint_dir is not None:
        checkpoint = Checkpoint(
            estimator.checkpoint_dir,
            estimator.checkpoint_interval,
            _fingerprint(estimator, graphs, source, rng),
            rng,
        )
    blocks = block_split(
        [len(item) for item in graphs],
        estimator.validation_fraction,
        lagtime=estimator.lagtime,
        random_state=rng,
    )
    data = graph_data(estimator, graphs)
    start = partial(
        Restarts,
        partial(new_lobe, estimator, data.collate(0, np.arange(1)), source),
        data,
        blocks,
        training_settings(estimator, graphs),
        estimator.n_init,
        rng,
    )
    training = start() if checkpoint is None else checkpoint.resume(start)
    train(training, checkpoint, interruption, after_epoch, verbose=estimator.verbose)
    return training


def learned_attributes(
    estimator: Any, graphs: Sequence[GraphTrajectory], training: Restarts
) -> dict[str, Any]:
    """What an estimator has learned if the training ends here.

    Parameters
    ----------
    estimator : GDyNetEstimator
        With the attributes that come from the graphs set; not changed.
    graphs : sequence of GraphTrajectory
    training : Restarts

    Returns
    -------
    dict
        Values by attribute.
    """
    best = training.best
    lobe = best.best_lobe()
    batch = best.batch(None)
    features = evaluate(best.data, batch, lobe).numpy()
    state_map = identify_states(features[batch.start_rows], features[batch.end_rows])
    learned = {
        "lobe_": lobe,
        "validation_score_": best.result.score,
        "history_": list(best.result.history),
        "n_iter_": len(best.result.history),
        "converged_": best.result.converged and training.finished,
        "state_map_": state_map,
        "clipped_mass_": state_map.clipped_mass,
    }
    fitted = copy.copy(estimator)
    vars(fitted).update(learned)
    (model,) = models_at(fitted, graphs, [fitted.lagtime], with_limits=False)
    return learned | {"model_": model}


def _fingerprint(
    estimator: Any, graphs: Sequence[GraphTrajectory], source: Any, rng: np.random.RandomState
) -> dict[str, Any]:
    """Everything that the result of a training depends on."""
    settings = {
        name: value
        for name, value in plain_settings(estimator).items()
        if name not in NOT_IN_FINGERPRINT
    }
    settings["init_from"] = source_digest(source)
    if isinstance(estimator.random_state, np.random.RandomState | np.random.Generator):
        settings["random_state"] = digest(str(generator_state(rng)), [])
    data = {f"run {i} of X": item.digest() for i, item in enumerate(graphs)}
    return {"settings": settings, "data": data}
