"""Everything that can be wrong with settings or graphs, said before any long work starts."""

import math
import numbers
import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from graphkoopman.checks import check_choice
from graphkoopman.graphs import GraphTrajectory
from graphkoopman.lobes import describe_part, needs_of
from graphkoopman.objectives import SCORES
from graphkoopman.training import Interruption, Restarts, TrainingResult
from graphkoopman.trajectories import Trajectory, items_of

AT_LEAST = {
    "n_states": 2,
    "lagtime": 1,
    "n_hidden": 1,
    "max_epochs": 1,
    "steps_per_epoch": 1,
    "patience": 1,
    "n_init": 1,
}
CLIPPED_MASS_LIMIT = 0.01
# Excess of a VAMP-2 score over one below which there is doubt, and above which there is none: the
# best of many epochs on noise reaches 0.02, and few events have large errors.
LEAST_EXCESS, PLAIN_EXCESS = 0.03, 0.1
SIGNIFICANT = 3.0  # statistical errors, between the two
NOT_NEGATIVE = ("checkpoint_interval",)
POSITIVE = ("learning_rate", "epsilon")
# far beyond use; more is a slip, and would ask for all memory
AT_MOST = {"n_states": 1000, "n_hidden": 10_000, "learning_rate": 1.0}
LEAST_EPSILON = 1e-14  # a ridge below it is lost in the rounding of a covariance
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
        if not _is_integer(settings[name], least):
            raise ValueError(f"{name} must be an integer >= {least}, got {settings[name]!r}")
    for name in POSITIVE:
        if not _is_real(settings[name]) or not 0 < settings[name] < np.inf:
            raise ValueError(f"{name} must be a positive number, got {settings[name]!r}")
    for name in NOT_NEGATIVE:
        if not _is_real(settings[name]) or not 0 <= settings[name] < np.inf:
            raise ValueError(f"{name} must be a number >= 0, got {settings[name]!r}")
    if not LEAST_EPSILON <= settings["epsilon"] <= 1:
        raise ValueError(
            f"epsilon must be from {LEAST_EPSILON:g} (below, rounding rules) to 1, got "
            f"{settings['epsilon']!r}"
        )
    for name, most in AT_MOST.items():
        if settings[name] > most:
            raise ValueError(f"{name} must be at most {most:g}, got {settings[name]!r}")
    for name in ("batch_size", "chunk_size"):
        value = settings[name]
        if value is None or (name == "batch_size" and isinstance(value, str) and value == "auto"):
            continue
        if not _is_integer(value, 1):
            raise ValueError(f"{name} must be None or a number of frames >= 1, got {value!r}")
    fraction = settings["validation_fraction"]
    if not _is_real(fraction) or not 0 < fraction < 1:
        raise ValueError(
            f"validation_fraction must be between 0 and 1 (both excluded), got {fraction!r}"
        )


def _is_integer(value: Any, least: int) -> bool:
    # True is an Integral
    return (
        isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least
    )


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_seed(value: Any) -> bool:
    return _is_integer(value, 0) and int(value) <= MAX_SEED


def check_device(device: str) -> None:
    """Raise ValueError unless torch has the device."""
    if not isinstance(device, str):
        raise TypeError(f"device must be a string such as 'auto', 'cpu' or 'cuda', got {device!r}")
    if device == "auto":
        return
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    # torch raises AssertionError where it was built without CUDA
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = (str(error).splitlines() or ["unknown"])[0][:100]
        raise ValueError(
            f"device must be 'auto' or a device of this machine such as 'cpu' or 'cuda', got "
            f"{device!r} ({reason}); device='auto' runs anywhere"
        ) from error
    if place.type == "meta":
        raise ValueError("device must hold numbers, got 'meta'; use device='auto'")


def check_objectives(objective: str | Sequence[str]) -> tuple[str, ...]:
    """The scores of the training stages, one or several, as a tuple."""
    stages = objective if isinstance(objective, list | tuple) else (objective,)
    if not stages or not all(isinstance(stage, str) and stage in SCORES for stage in stages):
        raise ValueError(
            f"objective must be one of {sorted(SCORES)} or a sequence of them, got {objective!r}"
        )
    return tuple(stages)


def check_graphs(X: Any) -> list[GraphTrajectory]:
    """A list of graphs that agree in timestep and kind."""
    graphs = items_of(X, GraphTrajectory | Trajectory)
    if not graphs:
        raise ValueError("X must hold at least one GraphTrajectory, got an empty list")
    for item in graphs:
        if not isinstance(item, GraphTrajectory):
            raise TypeError(
                f"X must hold GraphTrajectory objects, got {type(item).__name__}; put a "
                "GraphFeaturizer before the estimator"
            )
    for name, remedy in (
        ("timestep", "resample the trajectories to one timestep"),
        ("n_neighbors", "featurize them with one n_neighbors"),
        ("cutoff", "featurize them with one cutoff"),
    ):
        values = {getattr(item, name) for item in graphs}
        # times read from files differ in their last bits
        if name == "timestep" and np.ptp(list(values)) < 1e-6 * max(values):
            continue
        if len(values) > 1:
            got = ", ".join(sorted(str(value) for value in values))
            raise ValueError(f"all graphs must have one {name}, got {got}; {remedy}")
    return graphs


def check_input(estimator: Any, X: Any) -> list[GraphTrajectory]:
    """Settings and graphs of an estimator, checked together."""
    check_settings(estimator.get_params(deep=False))
    return check_graphs(X)


def check_training_data(graphs: Sequence[GraphTrajectory], n_states: int, lagtime: int) -> None:
    """Raise ValueError where graphs cannot be learned from, before any work on them."""
    check_lagtime(graphs, lagtime)
    n_frames = sum(len(item) for item in graphs)
    if n_frames < n_states:
        raise ValueError(
            f"n_states must not exceed the number of frames ({n_frames}), got {n_states}; give "
            "more data or lower n_states"
        )
    first = np.unique(graphs[0].species)
    for i, item in enumerate(graphs[1:], start=1):
        other = np.unique(item.species)
        if not np.array_equal(other, first):
            raise ValueError(
                f"all trajectories must have the same species, got {first.tolist()} in the first "
                f"and {other.tolist()} in number {i}; fit them one by one, or give common labels "
                "with GraphFeaturizer(species_labels=…)"
            )
    for i, item in enumerate(graphs):
        still = still_targets(item)
        if still:
            raise ValueError(
                f"targets must move, got the same neighbours at the same distances in all "
                f"{len(item)} frames of trajectory {i} for {len(still)} of {item.n_targets} "
                f"targets, number {still[0]} first; leave out frozen atoms and repeated frames"
            )


def still_targets(graphs: GraphTrajectory) -> list[int]:
    """Targets with neighbours whose distances are the same in every frame.

    Frozen atoms, or one frame over and over. Looks at as many frames as it takes to see all move.
    """
    atoms = list(range(graphs.hop_counts[0, 0]))
    first = target_distances(graphs, 0)
    still = [a for a in atoms if len(first[a])]
    for frame in range(1, len(graphs)):
        if not still:
            return []
        now = target_distances(graphs, frame)
        still = [a for a in still if np.array_equal(first[a], now[a])]
    moving = set(atoms) - set(still)
    offsets = graphs.target_offsets
    groups = (range(offsets[i], offsets[i + 1]) for i in range(graphs.n_targets))
    return [i for i, group in enumerate(groups) if len(graphs) > 1 and moving.isdisjoint(group)]


def target_distances(graphs: GraphTrajectory, frame: int) -> list[np.ndarray]:
    """Distances of the neighbours of every target atom in a frame, Å."""
    n_atoms, begin = graphs.hop_counts[frame, 0], graphs.edge_offsets[frame]
    if graphs.degrees is None:
        degrees = np.full(n_atoms, graphs.n_neighbors)
    else:
        row = graphs.hop_counts[:frame, -2].sum(dtype=np.int64)
        degrees = graphs.degrees[row : row + n_atoms]
    ends = np.cumsum(degrees)
    return np.split(graphs.distances[begin : begin + ends[-1]], ends[:-1])


def check_lagtime(graphs: Sequence[GraphTrajectory], lagtime: int) -> None:
    """Raise ValueError unless every trajectory is longer than the lag."""
    if not _is_integer(lagtime, 1):
        raise ValueError(f"lagtime must be an integer >= 1, got {lagtime!r}")
    shortest = min(len(item) for item in graphs)
    if lagtime >= shortest:
        raise ValueError(
            f"lagtime must be < the shortest trajectory ({shortest} frames), got {lagtime}; lower "
            "lagtime or drop short runs"
        )


def check_same_kind(graphs: Sequence[GraphTrajectory], estimator: Any) -> None:
    """Raise ValueError unless the graphs have the neighbours that the network was trained on."""
    for name in ("n_neighbors", "cutoff"):
        trained, got = getattr(estimator, f"{name}_"), getattr(graphs[0], name)
        if got != trained:
            raise ValueError(
                f"graphs must have the {name}={trained} of those in training, got {name}={got}; "
                f"featurize with GraphFeaturizer(n_neighbors={estimator.n_neighbors_}, "
                f"cutoff={estimator.cutoff_})"
            )


def check_hops(graphs: Sequence[GraphTrajectory], estimator: Any) -> None:
    """Raise ValueError unless the graphs reach as far as the encoder looks."""
    needed, hops = estimator.n_hops_, min(item.n_hops for item in graphs)
    if hops < needed:
        raise ValueError(
            f"{type(estimator.encoder_).__name__} looks {needed} hops far and needs graphs of "
            f"n_hops >= {needed}, got {hops}; featurize with n_hops={needed} or take an encoder "
            f"that looks less far, such as GatedEncoder(n_conv={hops})"
        )


def species_rows(graphs: Sequence[GraphTrajectory], species: np.ndarray) -> list[np.ndarray]:
    """Row of the embedding for every atom of every trajectory.

    Raises
    ------
    ValueError
        If a trajectory has node types that are not among ``species``.
    """
    rows = []
    for item in graphs:
        unseen = np.setdiff1d(item.species, species)
        if len(unseen):
            raise ValueError(
                f"node types {unseen.tolist()} were not seen in training "
                f"({species.tolist()}); fit on trajectories that contain them"
            )
        rows.append(np.searchsorted(species, item.species))
    return rows


def warn_of_doubts(estimator: Any, training: Restarts, interruption: Interruption) -> None:
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
    doubts += _doubts_of_training(training.best.result)
    n_distinct = estimator.state_map_.n_distinct
    if n_distinct < estimator.n_states:
        doubts.append(
            f"the network tells only {n_distinct} of n_states={estimator.n_states} states apart, "
            "the others are empty; lower n_states or give more data"
        )
    if estimator.clipped_mass_ > CLIPPED_MASS_LIMIT:
        doubts.append(
            f"{estimator.clipped_mass_:.1%} of the memberships lay outside the simplex of the "
            f"states (limit {CLIPPED_MASS_LIMIT:.0%}) and were cut off: states overlap; lower "
            "n_states, raise lagtime or give more data"
        )
    for doubt in doubts:
        warnings.warn(doubt, ConvergenceWarning, stacklevel=4)


def _doubts_of_training(result: TrainingResult) -> list[str]:
    """Whether the network learned anything, and from which frames."""
    if result.history and all(math.isnan(row["train_score"]) for row in result.history):
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
