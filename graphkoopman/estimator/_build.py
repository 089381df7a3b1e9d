"""What an estimator's parameters stand for: a device, a network, training settings."""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from graphkoopman.estimator._checks import check_objectives, species_rows
from graphkoopman.graphs import GraphTrajectory
from graphkoopman.lobes import GDyNetLobe
from graphkoopman.training import GraphData, TrainingSettings

SAMPLES_PER_BATCH = 5_000
EDGES_PER_BATCH = 1_500_000  # bounds the time of a step where the fields of few targets are large
MIN_FRAMES_PER_BATCH = 50


def device_of(device: str) -> torch.device:
    """Torch device behind the ``device`` parameter."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def graph_data(estimator: Any, graphs: Sequence[GraphTrajectory]) -> GraphData:
    """Graphs with the node types that a fitted or fitting estimator knows."""
    return GraphData(
        graphs=graphs,
        species_index=species_rows(graphs, estimator.species_),
        n_conv=estimator.n_conv,
        chunk_size=estimator.chunk_size,
        device=device_of(estimator.device),
    )


def plain_lobe(estimator: Any) -> GDyNetLobe:
    """Network with an estimator's settings, its weights torch's own choice."""
    return GDyNetLobe(
        len(estimator.species_),
        estimator.n_states,
        n_conv=estimator.n_conv,
        n_features=estimator.n_features,
        n_hidden=estimator.n_hidden,
        r_max=estimator.r_max,
        normalization=estimator.normalization,
        aggregation=estimator.aggregation,
    )


def new_lobe(estimator: Any, rng: np.random.RandomState) -> GDyNetLobe:
    """Network with an estimator's settings and random weights, on its device."""
    # torch initialises layers from its global generator: seed a fork of it, leave the original
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.randint(2**31 - 1))
        lobe = plain_lobe(estimator)
    return lobe.to(device_of(estimator.device))


def training_settings(estimator: Any, graphs: Sequence[GraphTrajectory]) -> TrainingSettings:
    """The estimator's training parameters, "auto" resolved for the graphs at hand."""
    batch_size = estimator.batch_size
    if batch_size == "auto":
        n_frames = sum(len(item) for item in graphs)
        targets_per_frame = sum(len(item) * item.n_targets for item in graphs) / n_frames
        edges_per_frame = max(1.0, sum(len(item.distances) for item in graphs) / n_frames)
        affordable = min(SAMPLES_PER_BATCH / targets_per_frame, EDGES_PER_BATCH / edges_per_frame)
        batch_size = max(MIN_FRAMES_PER_BATCH, int(affordable))
    return TrainingSettings(
        lagtime=estimator.lagtime,
        objectives=check_objectives(estimator.objective),
        learning_rate=estimator.learning_rate,
        max_epochs=estimator.max_epochs,
        steps_per_epoch=estimator.steps_per_epoch,
        patience=estimator.patience,
        batch_size=batch_size,
        epsilon=estimator.epsilon,
    )


def n_epochs(estimator: Any) -> int:
    """Largest number of epochs of a fit, all stages and runs together."""
    n_stages = estimator.n_init + len(check_objectives(estimator.objective))
    return n_stages * estimator.max_epochs


def plain_settings(estimator: Any) -> dict[str, Any]:
    """Parameters as JSON holds them; what cannot or should not be stored becomes None.

    A generator cannot; a folder to write to has no place in a file that others may open.
    """
    settings = estimator.get_params(deep=False)
    seed = settings["random_state"]
    settings["random_state"] = int(seed) if isinstance(seed, numbers.Integral) else None
    settings["checkpoint_dir"] = None
    if not isinstance(settings["objective"], str):
        settings["objective"] = list(settings["objective"])
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in settings.items()
    }
