"""What an estimator's parameters stand for: a device, a network, training settings."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import clone

from graphkoopman.checks import is_integer
from graphkoopman.devices import device_of
from graphkoopman.estimator._checks import check_objectives, species_rows
from graphkoopman.lobes import (
    FeatureEncoder,
    GatedEncoder,
    GDyNetLobe,
    MeanPooling,
    build_lobe,
    describe_part,
    transfer_weights,
)
from graphkoopman.ranks import ALONE, Reducer
from graphkoopman.samples import Batch, Samples
from graphkoopman.storage import digest
from graphkoopman.training import SampleData, TrainingSettings

if TYPE_CHECKING:
    from graphkoopman.estimator._estimator import GDyNetEstimator

SAMPLES_PER_BATCH = 5_000
EDGES_PER_BATCH = 1_500_000  # bounds the time of a step where the fields of few targets are large
MIN_FRAMES_PER_BATCH = 50
INITIALISING = threading.Lock()  # threads of a process share torch's global generator
MOST_SEEN = 2_000  # frames that a part is adapted to
MOST_EDGES = 1_000_000  # of those whose atom vectors are in memory at a time


def sample_data(
    estimator: "GDyNetEstimator", samples: Sequence[Any], reducer: Reducer = ALONE
) -> SampleData:
    """Samples with the species that a fitted or fitting estimator knows."""
    chunk: Any = estimator.chunk_size
    return SampleData(
        samples=samples,
        species_rows=species_rows(samples, estimator.species_),
        n_hops=estimator.n_hops_,
        chunk_size=int(chunk) if is_integer(chunk, 1) else chunk,
        device=device_of(estimator.device),
        reducer=reducer,
    )


def set_parts(
    estimator: "GDyNetEstimator", samples: Sequence[Samples], source: "GDyNetEstimator | None"
) -> None:
    """Set ``encoder_``, ``pooling_`` and ``n_hops_`` of a fit: what None stands for."""
    if source is not None:
        defaults: tuple[Any, Any] = source.encoder_, source.pooling_
    elif "features" in samples[0].offers:
        defaults = FeatureEncoder(), MeanPooling()
    else:
        defaults = GatedEncoder(), MeanPooling()
    parts = [
        clone(default if part is None else part, safe=False)
        for part, default in zip((estimator.encoder, estimator.pooling), defaults, strict=True)
    ]
    estimator.encoder_, estimator.pooling_ = parts
    # a module of the user's own may not say how far it looks
    estimator.n_hops_ = int(
        getattr(estimator.encoder_, "n_hops", min(item.n_hops for item in samples))
    )


def plain_lobe(
    estimator: "GDyNetEstimator",
    widths: tuple[int, int] | None = None,
    example: Batch | None = None,
) -> GDyNetLobe:
    """Network with an estimator's settings, its weights torch's own choice."""
    return build_lobe(
        estimator.species_,
        estimator.n_states,
        encoder=estimator.encoder_,
        pooling=estimator.pooling_,
        n_hidden=estimator.n_hidden,
        widths=widths,
        example=example,
    )


def new_lobe(
    estimator: "GDyNetEstimator",
    data: SampleData,
    source: "GDyNetEstimator | None",
    rng: np.random.RandomState,
) -> GDyNetLobe:
    """Network with an estimator's settings and random weights, on its device.

    Parameters
    ----------
    estimator : GDyNetEstimator
        With the attributes that come from the samples set.
    data : SampleData
        To try modules on, and to adapt them to.
    source : GDyNetEstimator or None
        Fitted; its weights take the place of the random ones where they fit.
    rng : RandomState
    """
    # torch initialises layers from its global generator: seed a fork of it, leave the original
    with INITIALISING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.randint(2**31 - 1))
        lobe = plain_lobe(estimator, example=data.example)
    adapt = getattr(lobe.encoder, "adapt", None)
    if data.reducer.size > 1:
        refuse_batch_moments(lobe)
    if callable(adapt):
        adapt(_some_frames(data))
    adapt = getattr(lobe.pooling, "adapt", None)
    if callable(adapt):
        with torch.no_grad():
            seen = _some_pairs(data, estimator.lagtime)
            adapt([(lobe.encoder(batch), batch) for batch in seen])
    if source is not None:
        transfer_weights(source.lobe_, lobe)
    if estimator.freeze is not None:
        lobe.freeze_encoder()
    return lobe.to(device_of(estimator.device))


def _some_frames(data: SampleData) -> list[Batch]:
    """Evenly spaced frames of all runs, as many as an encoder needs to see units."""
    share = MOST_SEEN / sum(len(item) for item in data.samples)
    return _batches_of_all(
        data,
        [
            np.linspace(0, len(item) - 1, max(2, int(share * len(item)))).astype(int)[:, None]
            for item in data.samples
        ],
    )


def _batches_of_all(data: SampleData, chosen: Sequence[np.ndarray]) -> list[Batch]:
    """Frames (n, 1), or pairs of them (n, 2), of every run, as batches that all processes get.

    A pair whose ends are on two processes is left out.
    """
    if data.reducer.size == 1:
        return [data.batch(i, frames.ravel()) for i, frames in enumerate(chosen) if len(frames)]
    own: dict[tuple[int, int], Batch] = {}
    for i, run in enumerate(data.samples):
        pieces = run.owners(chosen[i])
        for number, piece in enumerate(run.pieces):
            frames = chosen[i][(pieces == number).all(axis=1)].ravel()
            if piece.samples is not None and len(frames):
                own[i, number] = data.batch(i, frames)
    of_all = {key: batch for part in data.reducer.gather(own) for key, batch in part.items()}
    return [of_all[key] for key in sorted(of_all)]


def refuse_batch_moments(lobe: torch.nn.Module) -> None:
    """Raise ValueError where a layer takes moments of the frames that it is given."""
    for module in lobe.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            raise ValueError(
                'normalization must not be "batch" in a fit on several processes: each would take '
                "mean and variance of its own frames, and the network would not be that of one "
                "process; take normalization=None"
            )


def _some_pairs(data: SampleData, lagtime: int) -> list[Batch]:
    """Frames in pairs a lag apart, evenly spaced over all runs, one end after the other."""
    starts = [(i, len(item) - lagtime) for i, item in enumerate(data.samples)]
    starts = [(i, n_pairs) for i, n_pairs in starts if n_pairs > 0]
    edges = sum(n_pairs * max(1.0, data.samples[i].cost) for i, n_pairs in starts)
    share = 0.5 * min(MOST_SEEN / sum(n_pairs for _, n_pairs in starts), MOST_EDGES / edges, 2.0)
    chosen = [np.empty((0, 2), int) for _ in data.samples]
    for i, n_pairs in starts:
        first = np.linspace(0, n_pairs - 1, max(1, int(share * n_pairs))).astype(int)
        chosen[i] = np.stack([first, first + lagtime], axis=1)
    return _batches_of_all(data, chosen)


def source_digest(source: "GDyNetEstimator | None") -> str | None:
    """Hash of the weights that a fit starts from."""
    if source is None:
        return None
    weights = source.lobe_.state_dict()
    return digest(repr(list(weights)), [value.cpu().numpy() for value in weights.values()])


def training_settings(estimator: "GDyNetEstimator", samples: Sequence[Samples]) -> TrainingSettings:
    """The estimator's training parameters, "auto" resolved for the samples at hand."""
    batch_size: Any = estimator.batch_size
    if batch_size == "auto":
        n_frames = sum(len(item) for item in samples)
        targets_per_frame = sum(len(item) * item.n_targets for item in samples) / n_frames
        edges_per_frame = max(1.0, sum(len(item) * item.cost for item in samples) / n_frames)
        affordable = min(SAMPLES_PER_BATCH / targets_per_frame, EDGES_PER_BATCH / edges_per_frame)
        batch_size = max(MIN_FRAMES_PER_BATCH, int(affordable))
    return TrainingSettings(
        lagtime=estimator.lagtime,
        objectives=check_objectives(estimator.objective),
        learning_rate=estimator.learning_rate,
        max_epochs=estimator.max_epochs,
        patience=estimator.patience,
        batch_size=batch_size,
    )


def n_epochs(estimator: "GDyNetEstimator") -> int:
    """Largest number of epochs of a fit, all stages and runs together."""
    cycle = min(estimator.patience, estimator.max_epochs)
    n_stages = 1 + len(check_objectives(estimator.objective))
    return (estimator.n_init - 1 + n_stages) * cycle + estimator.max_epochs


def plain_settings(estimator: "GDyNetEstimator") -> dict[str, Any]:
    """Parameters as JSON holds them; what cannot or should not be stored becomes None.

    A generator cannot; a folder to write to and a file to read have no place in one that others
    may open.
    """
    settings = estimator.get_params(deep=False)
    seed = settings["random_state"]
    settings["random_state"] = int(seed) if is_integer(seed, 0) else None
    settings["checkpoint_dir"] = settings["init_from"] = None
    for kind in ("encoder", "pooling"):
        settings[kind] = describe_part(kind, settings[kind])
    if not isinstance(settings["objective"], str):
        settings["objective"] = list(settings["objective"])
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in settings.items()
    }
