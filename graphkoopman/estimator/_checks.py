"""Everything that can be wrong with settings or samples, said before any long work starts."""

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from graphkoopman.checks import check_choice, check_integer, check_number, is_integer
from graphkoopman.devices import check_device
from graphkoopman.lobes import describe_part, needs_of
from graphkoopman.objectives import SCORES
from graphkoopman.ranks import Reducer
from graphkoopman.samples import Samples, class_name
from graphkoopman.training import Interruption, Restarts, SharedRun, memory_budget
from graphkoopman.trajectories import Trajectory, items_of

if TYPE_CHECKING:
    from graphkoopman.estimator._estimator import GDyNetEstimator

AT_LEAST = {
    "n_states": 2,
    "lagtime": 1,
    "n_hidden": 1,
    "max_epochs": 1,
    "patience": 1,
    "n_init": 1,
}
# Clipped mass of crisp memberships from which states are called parts of a continuum: silicon at
# its melt has 0.015, lithium in argyrodites 0.02 to 0.09, in a polymer 0.1, water 0.2.
LARGEST_OVERLAP = 0.1
LEAST_AGREEMENT = 0.8  # Cohen's κ between starts
# Excess of a VAMP-2 score over one below which there is doubt, and above which there is none: the
# best of many epochs on noise reaches 0.02, and few events have large errors.
LEAST_EXCESS, PLAIN_EXCESS = 0.03, 0.1
SIGNIFICANT = 3.0  # statistical errors, between the two
# far beyond use; more is a slip, and would ask for all memory
AT_MOST = {"n_states": 1000, "n_hidden": 10_000, "learning_rate": 1.0}
SAME_GRAPHS = "neighbours at the same distances"
MAX_SEED = 2**32 - 1
EXAMPLES = {"encoder": "GatedEncoder()", "pooling": "MeanPooling()"}


def check_settings(settings: dict[str, Any]) -> None:
    """Raise ValueError or TypeError for the first parameter of an estimator that cannot work."""
    _check_numbers(settings)
    check_choice(settings["freeze"], "freeze", (None, "encoder"))
    for kind in EXAMPLES:
        _check_part(kind, settings[kind], named=settings["checkpoint_dir"] is not None)
    for name in ("reversible", "verbose"):
        if not isinstance(settings[name], bool | np.bool_):
            raise TypeError(f"{name} must be True or False, got {settings[name]!r}")
    folder = settings["checkpoint_dir"]
    if not isinstance(folder, str | os.PathLike | None) or (folder is not None and not str(folder)):
        raise TypeError(f"checkpoint_dir must be the path of a folder or None, got {folder!r}")
    seed = settings["random_state"]
    if not (isinstance(seed, np.random.RandomState | np.random.Generator | None) or _is_seed(seed)):
        raise ValueError(
            f"random_state must be None, an integer from 0 to {MAX_SEED} or a RandomState or "
            f"Generator, got {seed!r}"
        )
    check_objectives(settings["objective"])
    check_device(settings["device"])


def _check_part(kind: str, part: Any, *, named: bool) -> None:
    """Raise unless a network can be built of a part; ``named`` if a file must name its class."""
    if part is None:
        return
    if isinstance(part, type) or not (isinstance(part, torch.nn.Module) or hasattr(part, "build")):
        raise TypeError(
            f"{kind} must be None, an object of settings with a method build such as "
            f"{EXAMPLES[kind]}, or a torch module, got {part!r}"
        )
    if kind == "encoder":
        needs_of(part)
    if named:
        describe_part(kind, part)
    # settings of our own classes are checked by building nothing of any size
    if type(part).__module__.startswith("graphkoopman."):
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            part.build([0] if kind == "encoder" else 1)


def _check_numbers(settings: dict[str, Any]) -> None:
    for name, least in AT_LEAST.items():
        check_integer(settings[name], name, least)
    check_number(settings["learning_rate"], "learning_rate", above=0.0)
    for name, most in AT_MOST.items():
        if settings[name] > most:
            raise ValueError(f"{name} must be at most {most:g}, got {settings[name]!r}")
    for name in ("batch_size", "chunk_size"):
        value = settings[name]
        if value is None or (name == "batch_size" and isinstance(value, str) and value == "auto"):
            continue
        if name == "chunk_size" and isinstance(value, str):
            memory_budget(value)
            continue
        if not is_integer(value, 1):
            raise ValueError(f"{name} must be None or a number of frames >= 1, got {value!r}")


def _is_seed(value: Any) -> bool:
    return is_integer(value, 0) and int(value) <= MAX_SEED


def check_objectives(objective: str | Sequence[str]) -> tuple[str, ...]:
    """The scores of the training stages, one or several, as a tuple."""
    stages = objective if isinstance(objective, list | tuple) else (objective,)
    if not stages or not all(isinstance(stage, str) and stage in SCORES for stage in stages):
        raise ValueError(
            f"objective must be one of {sorted(SCORES)} or a sequence of them, got {objective!r}"
        )
    return tuple(stages)


def check_samples(X: Any, *, may_be_empty: bool = False) -> list[Samples]:
    """A list of samples that agree in timestep and kind."""
    samples = items_of(X, Samples | Trajectory)
    if may_be_empty and not samples:
        return []
    if not samples:
        raise ValueError("X must hold at least one GraphTrajectory, got an empty list")
    for item in samples:
        if not isinstance(item, Samples):
            raise TypeError(
                f"X must hold samples such as GraphTrajectory or FeatureTrajectory, got "
                f"{type(item).__name__}; put a GraphFeaturizer before the estimator"
            )
    check_alike(samples)
    return samples


def check_alike(samples: Sequence[Any]) -> None:
    """Raise ValueError unless samples, or runs on several processes, are of one kind."""
    what = _noun(samples[0])
    classes = sorted({class_name(item) for item in samples})
    if len(classes) > 1:
        raise ValueError(f"all samples must be of one kind, got {', '.join(classes)}")
    times = [item.timestep for item in samples]
    # times read from files differ in their last bits
    if np.ptp(times) >= 1e-6 * max(times):
        got = ", ".join(sorted({str(time) for time in times}))
        raise ValueError(
            f"all {what} must have one timestep, got {got}; resample the trajectories to one "
            "timestep"
        )
    for name in samples[0].kind:
        values = {item.kind[name] for item in samples}
        if len(values) > 1:
            got = ", ".join(sorted(str(value) for value in values))
            raise ValueError(
                f"all {what} must have one {name}, got {got}; featurize them with one {name}"
            )


def _noun(item: Samples) -> str:
    """What samples are called in messages."""
    return "features" if "features" in item.offers else "graphs"


def check_input(
    estimator: "GDyNetEstimator", X: Any, *, may_be_empty: bool = False
) -> list[Samples]:
    """Settings and samples of an estimator, checked together."""
    check_settings(estimator.get_params(deep=False))
    return check_samples(X, may_be_empty=may_be_empty)


def check_same_settings(estimator: "GDyNetEstimator", reducer: Reducer) -> None:
    """Raise ValueError unless all processes fit in the same way."""
    callbacks = len(vars(estimator).get("_skl_callbacks", []))
    settings = {name: repr(value) for name, value in estimator.get_params(deep=False).items()}
    for name in ("encoder", "pooling", "init_from", "random_state"):  # repr may hold addresses
        settings[name] = type(getattr(estimator, name)).__name__
    settings["device"] = settings["chunk_size"] = settings["verbose"] = settings[
        "checkpoint_dir"
    ] = "of each rank"
    settings["callbacks"] = str(callbacks)
    first, *others = reducer.gather(settings)
    for rank, other in enumerate(others, start=1):
        for name, value in other.items():
            if value != first[name]:
                raise ValueError(
                    f"{name} must be the same on all ranks, got {first[name]} on rank 0 and "
                    f"{value} on rank {rank}; run the same program on all of them"
                )


def check_training_data(samples: Sequence[Samples], n_states: int, lagtime: int) -> None:
    """Raise ValueError where samples cannot be learned from, before any work on them."""
    check_lagtime(samples, lagtime)
    n_frames = sum(len(item) for item in samples)
    if n_frames < n_states:
        raise ValueError(
            f"n_states must not exceed the number of frames ({n_frames}), got {n_states}; give "
            "more data or lower n_states"
        )
    first = np.unique(samples[0].species)
    for i, item in enumerate(samples[1:], start=1):
        other = np.unique(item.species)
        if not np.array_equal(other, first):
            raise ValueError(
                f"all trajectories must have the same species, got {first.tolist()} in the first "
                f"and {other.tolist()} in number {i}; fit them one by one, or give common labels "
                "with GraphFeaturizer(species_labels=…)"
            )
    for i, item in enumerate(samples):
        still = item.still_targets()
        if still:
            same = _noun(item) if _noun(item) == "features" else SAME_GRAPHS
            raise ValueError(
                f"targets must move, got the same {same} in all {len(item)} frames of trajectory "
                f"{i} for {len(still)} of {item.n_targets} targets, number {still[0]} first; leave "
                "out frozen atoms and repeated frames"
            )


def check_lagtime(samples: Sequence[Samples], lagtime: int) -> None:
    """Raise ValueError unless every trajectory is longer than the lag."""
    check_integer(lagtime, "lagtime", 1)
    shortest = min(len(item) for item in samples)
    if lagtime >= shortest:
        raise ValueError(
            f"lagtime must be < the shortest trajectory ({shortest} frames), got {lagtime}; lower "
            "lagtime or drop short runs"
        )


def check_same_kind(samples: Sequence[Samples], estimator: "GDyNetEstimator") -> None:
    """Raise ValueError unless the samples are like those that the network was trained on."""
    trained = dict(estimator.kind_)
    name, got = trained.pop("class"), class_name(samples[0])
    if got != name:
        raise ValueError(f"X must hold {name} as in training, got {got}")
    for name, value in trained.items():
        if samples[0].kind.get(name) != value:
            settings = ", ".join(f"{key}={trained[key]}" for key in trained)
            made_by = getattr(samples[0], "made_by", "a featurizer")
            raise ValueError(
                f"{_noun(samples[0])} must have the {name}={value} of those in training, got "
                f"{name}={samples[0].kind.get(name)}; featurize with {made_by}({settings})"
            )


def check_encoder(samples: Sequence[Samples], estimator: "GDyNetEstimator") -> None:
    """Raise ValueError unless the samples have what the encoder reads, as far as it looks."""
    encoder = type(estimator.encoder_).__name__
    for item in samples:
        missing = sorted(needs_of(estimator.encoder_) - item.offers)
        if missing:
            remedy = {
                "direction": "featurize with GraphFeaturizer(directions=True)",
                "axis": "featurize with GraphFeaturizer(axes=...), a vector per target",
                "features": "take graphkoopman.lobes.GatedEncoder() for graphs",
            }.get(missing[0], "take graphkoopman.lobes.FeatureEncoder() for features")
            raise ValueError(
                f"{encoder} needs the {' and '.join(missing)} of edges or targets, got "
                f"{type(item).__name__} with {sorted(item.offers)}; {remedy}"
            )
    needed, hops = estimator.n_hops_, min(item.n_hops for item in samples)
    if hops < needed:
        raise ValueError(
            f"{encoder} looks {needed} hops far and needs graphs of n_hops >= {needed}, got "
            f"{hops}; featurize with n_hops={needed} or take an encoder that looks less far, such "
            f"as GatedEncoder(n_conv={hops})"
        )


def species_rows(samples: Sequence[Any], species: np.ndarray) -> list[Any]:
    """Row of the embedding for every atom of every trajectory.

    Raises
    ------
    ValueError
        If a trajectory has node types that are not among ``species``, or features not all of
        them.
    """
    rows: list[Any] = []
    for item in samples:
        if isinstance(item, SharedRun):
            own = [piece.samples for piece in item.pieces]
            rows.append([None if s is None else species_rows([s], species)[0] for s in own])
            continue
        noun = "features" if _noun(item) == "features" else "node types"
        unseen = np.setdiff1d(item.species, species)
        if len(unseen):
            raise ValueError(
                f"{noun} {unseen.tolist()} were not seen in training "
                f"({species.tolist()}); fit on trajectories that contain them"
            )
        missing = np.setdiff1d(species, item.species)
        # a graph may be without an element, but a network reads every feature
        if noun == "features" and len(missing):
            raise ValueError(
                f"X must have the features of training ({species.tolist()}), got none called "
                f"{missing.tolist()}; make features as in training"
            )
        rows.append(np.searchsorted(species, item.species))
    return rows


def warn_of_doubts(
    estimator: "GDyNetEstimator", training: Restarts, interruption: Interruption
) -> None:
    """Warn of a fit that ended without an error but should not be trusted blindly."""
    doubts = []
    if interruption.signal is not None and not training.finished:
        doubts.append(
            "a signal stopped the training, the best network so far is kept; fit again to go on "
            f"from checkpoint_dir={str(estimator.checkpoint_dir)!r}"
        )
    # one that a callback has stopped was not meant to converge
    elif training.finished and not estimator.converged_:
        doubts.append(
            f"training was still improving after max_epochs={estimator.max_epochs}; "
            "raise max_epochs"
        )
    doubts += _doubts_of_training(training)
    doubts += _doubts_of_states(estimator, training)
    for doubt in doubts:
        warnings.warn(doubt, ConvergenceWarning, stacklevel=4)


def _doubts_of_states(estimator: "GDyNetEstimator", training: Restarts) -> list[str]:
    """Whether there are as many states as asked for, and whether they are apart.

    States that the network failed to find have no process in the held-out frames; states that
    overlap have one, and are parts of a continuum.
    """
    n_states, n_distinct = estimator.n_states, estimator.state_map_.n_distinct
    if n_distinct < n_states:
        return [
            f"the network tells only {n_distinct} of n_states={n_states} states apart, the others "
            "are empty; lower n_states or give more data"
        ]
    if not training.start.result.validated:
        return []
    if not estimator.converged_:
        return _doubts_of_starts(estimator)
    n_seen = training.n_processes_seen()
    overlap = estimator.state_map_.overlap
    outside = f"{overlap:.1%} of the memberships lay outside the simplex of crisp states"
    if n_seen < n_states - 1:
        return [
            f"{outside}, and the held-out frames show {n_seen} of the {n_states - 1} processes "
            f"between n_states={n_states} states: not all states were found; lower n_states, give "
            "more data or lower lagtime"
        ]
    doubts = _doubts_of_starts(estimator)
    if overlap > LARGEST_OVERLAP:
        doubts.append(
            f"{outside} (limit {LARGEST_OVERLAP:.0%}), and the held-out frames show all processes: "
            "states were found and overlap, as parts of a continuum do; timescales hold, "
            "populations depend on where boundaries are drawn; lower n_states for states apart"
        )
    return doubts


def _doubts_of_starts(estimator: "GDyNetEstimator") -> list[str]:
    """Whether starts that were trained for a whole cycle have come to the same states."""
    whole_cycle = estimator.max_epochs >= estimator.patience
    if not (whole_cycle and estimator.agreement_ < LEAST_AGREEMENT):
        return []
    scores = ", ".join(f"{score:.3f}" for score in sorted(estimator.start_scores_)[::-1])
    return [
        f"starts disagree: Cohen's κ between their states is {estimator.agreement_:.2f} (limit "
        f"{LEAST_AGREEMENT:g}), validation scores {scores}; the data do not decide between several "
        "slow processes, or a start has missed one: give longer data, take fewer states or a "
        "longer lag, or raise n_init"
    ]


def _doubts_of_training(training: Restarts) -> list[str]:
    """Whether the network learned anything, and from which frames."""
    history, result = training.history, training.start.result
    most = training.settings.steps_per_epoch
    if history and all(row["n_rollbacks"] >= most for row in history):
        return [
            "every update of the network was taken back, it is as it was before training; lower "
            "learning_rate, n_hidden or n_features of the encoder, or give more data"
        ]
    threshold = np.clip(SIGNIFICANT * result.error, LEAST_EXCESS, PLAIN_EXCESS)
    if not result.score - 1.0 >= threshold:  # of a NaN as well
        return [
            f"the held-out frames show no process: VAMP-2 is {result.score:.3f} with an error of "
            f"{result.error:.3f}, 1 is none; check that targets change state more often than a few "
            "times, give more data or lower lagtime"
        ]
    return []
