"""Koopman models of an estimator's states, each warning said once: `models_at`."""

import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from graphkoopman.estimator._refits import refits_of
from graphkoopman.koopman import (
    BeyondDataWarning,
    BootstrapKoopmanModel,
    FixedStateWarning,
    KoopmanModel,
    data_limits,
    estimate_koopman,
    warn_of_limits,
)
from graphkoopman.trajectories import is_species, species_label

if TYPE_CHECKING:
    from graphkoopman.estimator._estimator import GDyNetEstimator

__all__ = ["kinds_of", "may_be_beyond", "models_at", "warn_beyond_data"]


def models_at(
    estimator: "GDyNetEstimator",
    samples: Sequence[Any],
    lagtimes: Sequence[int],
    n_bootstrap: int = 0,
    n_refits: int = 0,
    *,
    with_limits: bool = True,
    stacklevel: int = 2,
) -> list[Any]:
    """Koopman models at several lags; what is wrong at several of them is said once.

    Parameters
    ----------
    estimator : GDyNetEstimator
        Fitted.
    samples : sequence of GraphTrajectory
    lagtimes : sequence of int
        Frames.
    n_bootstrap : int
        Bootstrap samples per lag.
    n_refits : int
        Trainings on half of the data.
    with_limits : bool
        Whether to say what the first model claims beyond the data.
    stacklevel : int

    Returns
    -------
    list of KoopmanModel or of BootstrapKoopmanModel
    """
    probs = estimator.transform(samples)
    sets = [probs, *refits_of(estimator, samples, probs, n_refits)] if n_refits else probs
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        models: list[Any] = [
            estimate_koopman(
                sets,
                lagtime,
                timestep=samples[0].timestep,
                constraint="reversible" if estimator.reversible else None,
                n_bootstrap=n_bootstrap,
                random_state=estimator.random_state,
            )
            for lagtime in lagtimes
        ]
    # those of the shortest lag come first; the others say the same with other numbers
    first = {warning.category: warning.message for warning in reversed(caught)}
    for category, message in first.items():
        if not issubclass(category, BeyondDataWarning | FixedStateWarning):
            warnings.warn(message, stacklevel=stacklevel + 1)
    if with_limits and len(models):
        warn_beyond_data(samples, probs, models[0], stacklevel=stacklevel + 1)
    return models


def may_be_beyond(model: KoopmanModel, samples: Sequence[Any]) -> bool:
    """Whether a relaxation time reaches beyond the longest run; the data need not be looked at."""
    longest = max(len(item) for item in samples)
    # of an eigenvalue of one or more, too
    decay = np.abs(model.eigenvalues[1:])
    return bool((decay >= np.exp(-model.lagtime / longest)).any())


def warn_beyond_data(
    samples: Sequence[Any],
    probs: Sequence[Any],
    model: KoopmanModel | BootstrapKoopmanModel,
    *,
    stacklevel: int = 2,
) -> None:
    """Say what a model claims beyond the data, and which kinds of targets its states are."""
    prior = model.prior if isinstance(model, BootstrapKoopmanModel) else model
    warn_of_limits(
        data_limits(probs, prior),
        timestep=prior.timestep,
        kinds=kinds_of(samples),
        stacklevel=stacklevel + 1,
    )


def kinds_of(samples: Sequence[Any]) -> list[list[str]] | None:
    """What every target is made of, such as "O" or "H2 O"; None where samples do not say."""
    known = ("species", "target_offsets", "atoms")
    if not all(hasattr(item, name) for item in samples for name in known):
        return None
    kinds = []
    for item in samples:
        own = item.species[item.atoms[: item.target_offsets[-1]]]
        offsets = item.target_offsets
        kinds.append([_formula(own[a:b]) for a, b in pairwise(offsets)])
    return kinds


def _formula(species: Any) -> str:
    # node types of the user's own are numbers or strings of no element
    counts = Counter(
        species_label(value) if isinstance(value, int) and is_species(value) else str(value)
        for value in species.tolist()
    )
    return " ".join(
        name + (str(number) if number > 1 else "") for name, number in sorted(counts.items())
    )
