"""Files of fitted estimators: one safetensors file whose header is JSON, never a pickle."""

import os
from typing import Any

import numpy as np
import torch

from graphkoopman.estimator._build import new_lobe, plain_settings
from graphkoopman.koopman import KoopmanModel, Moments, StateMap
from graphkoopman.storage import FileKind, read_arrays, write_arrays

MODEL = FileKind("graphkoopman-model", 1, "model file", "write it with GDyNetEstimator.save")
MOMENT_ARRAYS = ("c00", "c0t", "ctt", "mean")


def write_estimator(path: str | os.PathLike, estimator: Any) -> None:
    """Write a fitted `GDyNetEstimator`: settings as JSON, everything learned as arrays."""
    model, states = estimator.model_, estimator.state_map_
    moments = model.moments
    arrays = {
        f"lobe.{name}": value.cpu().numpy() for name, value in estimator.lobe_.state_dict().items()
    }
    arrays |= {
        "states.weight": states.weight,
        "states.bias": states.bias,
        "states.populations": states.populations,
        "model.koopman_matrix": model.koopman_matrix,
    }
    arrays |= {f"moments.{name}": getattr(moments, name) for name in MOMENT_ARRAYS}
    header = {
        "settings": plain_settings(estimator),
        "species": estimator.species_.tolist(),
        "states": {"clipped_mass": states.clipped_mass, "n_distinct": states.n_distinct},
        "moments": {"n_pairs": int(moments.n_pairs), "lagtime": int(moments.lagtime)},
        "fitted": {
            name: getattr(estimator, name)
            for name in ("timestep_", "validation_score_", "history_", "n_iter_", "converged_")
        },
    }
    write_arrays(path, MODEL, arrays, header)


def read_estimator(path: str | os.PathLike, cls: type) -> Any:
    """Rebuild a fitted `GDyNetEstimator` from its file."""
    arrays, header = read_arrays(path, MODEL)
    try:
        estimator = cls(**header["settings"])
        estimator.species_ = np.array(header["species"])
        for name, value in header["fitted"].items():
            setattr(estimator, name, value)
        states = header["states"]
        estimator.state_map_ = StateMap(
            weight=arrays["states.weight"],
            bias=arrays["states.bias"],
            populations=arrays["states.populations"],
            **states,
        )
        estimator.clipped_mass_ = states["clipped_mass"]
        sums: dict[str, Any] = {name: arrays[f"moments.{name}"] for name in MOMENT_ARRAYS}
        moments = Moments(**sums, **header["moments"])
        estimator.model_ = KoopmanModel(
            arrays["model.koopman_matrix"],
            lagtime=moments.lagtime,
            timestep=estimator.timestep_,
            moments=moments,
        )
        estimator.lobe_ = new_lobe(estimator, np.random.RandomState(0))
        weights = {
            name.removeprefix("lobe."): torch.from_numpy(value)
            for name, value in arrays.items()
            if name.startswith("lobe.")
        }
        estimator.lobe_.load_state_dict(weights)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"{path} is incomplete or inconsistent ({error}); save it again"
        ) from error
    estimator.lobe_.eval()
    return estimator
