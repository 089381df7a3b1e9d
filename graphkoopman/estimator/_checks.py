"""Everything that can be wrong with settings or graphs, said before any long work starts."""

import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from graphkoopman.graphs import GraphTrajectory
from graphkoopman.objectives import SCORES
from graphkoopman.training import Interruption, Restarts

AT_LEAST = {
    "n_states": 2,
    "lagtime": 1,
    "n_conv": 1,
    "n_features": 1,
    "n_hidden": 1,
    "max_epochs": 1,
    "steps_per_epoch": 1,
    "patience": 1,
    "n_init": 1,
}
CLIPPED_MASS_LIMIT = 0.01
NOT_NEGATIVE = ("checkpoint_interval",)
POSITIVE = ("r_max", "learning_rate", "epsilon")
CHOICES = {"normalization": (None, "layer", "batch"), "aggregation": ("sum", "mean")}


def check_settings(settings: dict[str, Any]) -> None:
    """Raise ValueError for the first parameter of an estimator that cannot work."""
    for name, least in AT_LEAST.items():
        value = settings[name]
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} must be an integer >= {least}, got {value!r}")
    for name in POSITIVE:
        value = settings[name]
        if not isinstance(value, numbers.Real) or not 0 < float(value) < np.inf:
            raise ValueError(f"{name} must be a positive number, got {value!r}")
    for name in NOT_NEGATIVE:
        value = settings[name]
        if not isinstance(value, numbers.Real) or not 0 <= float(value) < np.inf:
            raise ValueError(f"{name} must be a number >= 0, got {value!r}")
    for name, choices in CHOICES.items():
        if settings[name] not in choices:
            raise ValueError(f"{name} must be one of {choices}, got {settings[name]!r}")
    for name in ("batch_size", "chunk_size"):
        value = settings[name]
        if value is None or (name == "batch_size" and value == "auto"):
            continue
        if not isinstance(value, numbers.Integral) or value < 1:
            raise ValueError(f"{name} must be None or a number of frames >= 1, got {value!r}")
    fraction = settings["validation_fraction"]
    if not isinstance(fraction, numbers.Real) or not 0 < float(fraction) < 1:
        raise ValueError(
            f"validation_fraction must be between 0 and 1 (both excluded), got {fraction!r}"
        )
    check_objectives(settings["objective"])
    check_device(settings["device"])


def check_device(device: str) -> None:
    """Raise ValueError unless torch has the device."""
    if isinstance(device, str) and device == "auto":
        return
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    # torch raises AssertionError where it was built without CUDA
    except (RuntimeError, TypeError, AssertionError, ImportError) as error:
        reason = (str(error).splitlines() or ["unknown"])[0][:100]
        raise ValueError(
            f"device must be 'auto' or a device of this machine such as 'cpu' or 'cuda', got "
            f"{device!r} ({reason}); device='auto' runs anywhere"
        ) from error
    if place.type == "meta":
        raise ValueError("device must hold numbers, got 'meta'; use device='auto'")


def check_objectives(objective: str | Sequence[str]) -> tuple[str, ...]:
    """The scores of the training stages, one or several, as a tuple."""
    stages = (objective,) if isinstance(objective, str) else tuple(objective)
    unknown = [stage for stage in stages if stage not in SCORES]
    if unknown or not stages:
        raise ValueError(
            f"objective must be one of {sorted(SCORES)} or a sequence of them, got {objective!r}"
        )
    return stages


def check_graphs(X: Any) -> list[GraphTrajectory]:
    """A list of graphs that agree in timestep and kind."""
    graphs = [X] if isinstance(X, GraphTrajectory) else list(X)
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
            raise ValueError(f"all graphs must have one {name}, got {sorted(values)}; {remedy}")
    return graphs


def check_input(estimator: Any, X: Any) -> list[GraphTrajectory]:
    """Settings and graphs of an estimator, checked together."""
    check_settings(estimator.get_params(deep=False))
    graphs = check_graphs(X)
    check_hops(graphs, estimator.n_conv)
    return graphs


def check_lagtime(graphs: Sequence[GraphTrajectory], lagtime: int) -> None:
    """Raise ValueError unless every trajectory is longer than the lag."""
    shortest = min(len(item) for item in graphs)
    if lagtime >= shortest:
        raise ValueError(
            f"lagtime must be < the shortest trajectory ({shortest} frames), got {lagtime}; lower "
            "lagtime or drop short runs"
        )


def check_hops(graphs: Sequence[GraphTrajectory], n_conv: int) -> None:
    """Raise ValueError unless the graphs reach as far as the convolutions."""
    hops = min(item.n_hops for item in graphs)
    if hops < n_conv:
        raise ValueError(
            f"n_conv={n_conv} convolutions need graphs of n_hops >= {n_conv}, got {hops}; "
            f"featurize with n_hops={n_conv} or lower n_conv"
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
        warnings.warn(doubt, ConvergenceWarning, stacklevel=3)
