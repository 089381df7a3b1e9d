"""Files of fitted estimators: one safetensors file whose header is JSON, never a pickle."""

import json
import numbers
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from graphkoopman.estimator._build import new_lobe
from graphkoopman.koopman import KoopmanModel, Moments, StateMap

FORMAT = "graphkoopman-model"
FORMAT_VERSION = 1
MOMENT_ARRAYS = ("c00", "c0t", "ctt", "mean")


def write_model(path: str | os.PathLike, arrays: dict[str, np.ndarray], header: dict) -> None:
    """Write arrays and a JSON header, whole or not at all.

    Parameters
    ----------
    path : path
    arrays : dict of str to ndarray
    header : dict
        Anything JSON holds.
    """
    path = Path(path)
    metadata = {"format": FORMAT, "version": str(FORMAT_VERSION), "header": json.dumps(header)}
    partial = path.with_name(path.name + ".partial")
    save_file(
        {name: np.ascontiguousarray(a) for name, a in arrays.items()}, partial, metadata=metadata
    )
    os.replace(partial, path)


def read_model(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_model` wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    arrays : dict of str to ndarray
    header : dict

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a model, damaged, or of a newer version.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no model file at {path}; write one with GDyNetEstimator.save")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable model file ({error}); save it again") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} was not written by GDyNetEstimator.save; save a fitted estimator")
    if int(metadata["version"]) > FORMAT_VERSION:
        raise ValueError(
            f"{path} has model format {metadata['version']}, this version reads up to "
            f"{FORMAT_VERSION}; upgrade graphkoopman"
        )
    return arrays, json.loads(metadata["header"])


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
        "settings": _plain_settings(estimator),
        "species": estimator.species_.tolist(),
        "states": {"clipped_mass": states.clipped_mass, "n_distinct": states.n_distinct},
        "moments": {"n_pairs": int(moments.n_pairs), "lagtime": int(moments.lagtime)},
        "fitted": {
            name: getattr(estimator, name)
            for name in ("timestep_", "validation_score_", "history_", "n_iter_", "converged_")
        },
    }
    write_model(path, arrays, header)


def read_estimator(path: str | os.PathLike, cls: type) -> Any:
    """Rebuild a fitted `GDyNetEstimator` from its file."""
    arrays, header = read_model(path)
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


def _plain_settings(estimator: Any) -> dict[str, Any]:
    """Parameters as JSON holds them; a generator cannot be stored and becomes None."""
    settings = estimator.get_params(deep=False)
    seed = settings["random_state"]
    settings["random_state"] = int(seed) if isinstance(seed, numbers.Integral) else None
    if not isinstance(settings["objective"], str):
        settings["objective"] = list(settings["objective"])
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in settings.items()
    }
