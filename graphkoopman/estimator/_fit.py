"""The training behind `GDyNetEstimator.fit`, and what its checkpoints depend on."""

import copy
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from graphkoopman.callbacks import FitTask
from graphkoopman.estimator._build import (
    n_epochs,
    new_lobe,
    plain_settings,
    sample_data,
    source_digest,
    training_settings,
)
from graphkoopman.estimator._checks import warn_of_doubts
from graphkoopman.estimator._models import may_be_beyond, models_at, warn_beyond_data
from graphkoopman.estimator._shared_model import shared_model, warn_beyond_shared_data
from graphkoopman.koopman import identify_states
from graphkoopman.randomness import as_random_state
from graphkoopman.ranks import ALONE, Reducer, agree
from graphkoopman.samples import Samples
from graphkoopman.storage import digest
from graphkoopman.training import (
    Checkpoint,
    Interruption,
    Restarts,
    TrainingSettings,
    evaluate,
    generator_state,
    resume,
    run_digests,
    set_generator_state,
    train,
)
from graphkoopman.trajectories import block_split

if TYPE_CHECKING:
    from graphkoopman.estimator._estimator import GDyNetEstimator

# Share of all memberships that may be cut off. Cutting more throws away what tells frames apart
# inside a state: on the electrolyte up to 0.1 of a held-out VAMP-2.
LARGEST_CUT = 0.02
# the trained network depends on none of these, on device and chunk_size by rounding only
NOT_IN_FINGERPRINT = (
    "reversible",
    "device",
    "chunk_size",
    "verbose",
    "checkpoint_dir",
)
# no parameters of an estimator, but another version may have other values
FIXED_SETTINGS = ("steps_per_epoch", "validation_fraction", "epsilon")


def fit_network(
    estimator: "GDyNetEstimator",
    samples: Sequence[Samples],
    source: "GDyNetEstimator | None",
    interruption: Interruption,
    reducer: Reducer = ALONE,
) -> None:
    """Train an estimator's network, set what it learns, tell its callbacks, warn of doubts.

    Parameters
    ----------
    estimator : GDyNetEstimator
        With the attributes that come from the samples set.
    samples : sequence of Samples
    source : GDyNetEstimator or None
        Fitted; training starts from its weights.
    interruption : Interruption
        Ends the training when it has noted a signal.
    reducer : Reducer
        Of the processes that share the samples.
    """
    task = FitTask(estimator, samples, n_epochs(estimator), "epoch")

    def after_epoch(training: Restarts) -> bool:
        return task.step(lambda: learned_attributes(estimator, samples, training))

    training = train_network(estimator, samples, source, interruption, after_epoch, reducer)
    learned = learned_attributes(estimator, samples, training)
    estimator.__dict__.update(learned)
    # what rank 0 says is said for all
    with warnings.catch_warnings(action="ignore") if reducer.rank > 0 else nullcontext():
        warn_of_doubts(estimator, training, interruption)
        if may_be_beyond(estimator.model_, samples):
            if reducer.size > 1:
                warn_beyond_shared_data(estimator, samples, reducer, stacklevel=4)
            else:
                probs = estimator.transform(samples)
                warn_beyond_data(samples, probs, estimator.model_, stacklevel=4)
    task.end(lambda: learned)


def train_network(
    estimator: "GDyNetEstimator",
    samples: Sequence[Samples],
    source: "GDyNetEstimator | None",
    interruption: Interruption,
    after_epoch: Callable[[Restarts], bool],
    reducer: Reducer = ALONE,
) -> Restarts:
    """Train an estimator's network on samples, from its checkpoint where there is one.

    Parameters
    ----------
    estimator : GDyNetEstimator
        With ``species_`` set.
    samples : sequence of Samples
    source : GDyNetEstimator or None
        Fitted; training starts from its weights.
    interruption : Interruption
        Ends the training when it has noted a signal.
    after_epoch : callable
        Called with the training after every epoch; whether to stop.
    reducer : Reducer
        Of the processes that share the samples.

    Returns
    -------
    Restarts
        Finished, interrupted or stopped.
    """
    rng = as_random_state(estimator.random_state)
    settings = training_settings(estimator, samples)
    checkpoint, state = None, None
    if estimator.checkpoint_dir is not None:
        fingerprint = _fingerprint(estimator, samples, source, settings, rng, reducer)
        where, interval = estimator.checkpoint_dir, settings.checkpoint_interval
        checkpoint = agree(
            reducer,
            lambda: Checkpoint(where, interval, fingerprint, rng) if reducer.rank == 0 else None,
        )
        state = None if checkpoint is None else checkpoint.state
    if reducer.size > 1:
        set_generator_state(rng, reducer.same(generator_state(rng)))
        state = reducer.same(state)
    splits = [
        block_split(
            [len(item) for item in samples],
            settings.validation_fraction,
            lagtime=estimator.lagtime,
            random_state=rng,
        )
        for _ in range(estimator.n_init)
    ]
    data = sample_data(estimator, samples, reducer)
    start = partial(
        Restarts,
        partial(new_lobe, estimator, data, source),
        data,
        splits,
        settings,
        rng,
    )
    training = resume(start, state, estimator.checkpoint_dir)
    train(training, checkpoint, interruption, after_epoch, verbose=estimator.verbose)
    return training


def learned_attributes(
    estimator: "GDyNetEstimator", samples: Sequence[Samples], training: Restarts
) -> dict[str, Any]:
    """What an estimator has learned if the training ends here.

    Parameters
    ----------
    estimator : GDyNetEstimator
        With the attributes that come from the samples set; not changed.
    samples : sequence of Samples
    training : Restarts

    Returns
    -------
    dict
        Values by attribute.
    """
    best = training.best
    lobe = best.best_lobe()
    batch = best.linear_batch()
    features = evaluate(best.data, batch, lobe).numpy()
    # corners and medians are no sums: of at most so many frames, whose features all ranks have
    state_map = identify_states(
        features[batch.start_rows], features[batch.end_rows], largest_cut=LARGEST_CUT
    )
    learned = {
        "lobe_": lobe,
        "validation_score_": training.start.result.score,
        "history_": training.history,
        "n_iter_": len(training.history),
        "converged_": training.converged,
        "state_map_": state_map,
        "clipped_mass_": state_map.clipped_mass,
        "agreement_": training.agreement,
        "start_scores_": np.array(training.start_scores),
    }
    fitted = copy.copy(estimator)
    fitted.__dict__.update(learned)
    if best.data.reducer.size > 1:
        return learned | {"model_": shared_model(fitted, samples, best.data.reducer)}
    (model,) = models_at(fitted, samples, [fitted.lagtime], with_limits=False)
    return learned | {"model_": model}


def _fingerprint(
    estimator: "GDyNetEstimator",
    samples: Sequence[Samples],
    source: "GDyNetEstimator | None",
    training: TrainingSettings,
    rng: np.random.RandomState,
    reducer: Reducer,
) -> dict[str, Any]:
    """Everything that the result of a training depends on."""
    settings = {
        name: value
        for name, value in plain_settings(estimator).items()
        if name not in NOT_IN_FINGERPRINT
    }
    settings |= {name: getattr(training, name) for name in FIXED_SETTINGS}
    settings["init_from"] = source_digest(source)
    if isinstance(estimator.random_state, np.random.RandomState | np.random.Generator):
        settings["random_state"] = digest(str(generator_state(rng)), [])
    hashes = run_digests(samples, reducer)
    data = {f"run {i} of X": words for i, words in enumerate(hashes)}
    return {"settings": settings, "data": data}
