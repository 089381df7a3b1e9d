"""Files of fitted estimators: one safetensors file whose header is JSON, never a pickle."""

import os
import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.pipeline import Pipeline

from graphkoopman.devices import check_device, device_of
from graphkoopman.estimator._build import plain_lobe, plain_settings
from graphkoopman.estimator._checks import check_settings
from graphkoopman.koopman import KoopmanModel, LaggedMoments, StateMap
from graphkoopman.lobes import describe_part, part_of
from graphkoopman.storage import FileKind, read_arrays, write_arrays

if TYPE_CHECKING:
    from graphkoopman.estimator._estimator import GDyNetEstimator

MODEL = FileKind(
    "graphkoopman-model",
    4,
    "model file",
    "fit again and write it with GDyNetEstimator.save",
    oldest=4,
)
FITTED: dict[str, type] = {
    "n_hops_": int,
    "kind_": dict,
    "timestep_": float,
    "validation_score_": float,
    "history_": list,
    "n_iter_": int,
    "converged_": bool,
}
KINDS = ("encoder", "pooling")
STATE_NUMBERS = ("clipped_mass", "overlap", "n_distinct")
MOMENT_ARRAYS = ("c00", "c0t", "ctt", "mean")


def write_estimator(path: str | os.PathLike[str], estimator: "GDyNetEstimator") -> None:
    """Write a fitted `GDyNetEstimator`: settings as JSON, everything learned as arrays."""
    model, states = estimator.model_, estimator.state_map_
    moments: Any = model.moments
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
    if moments.double is not None:  # the residuals of the processes need them
        arrays |= {f"double.{name}": getattr(moments.double, name) for name in MOMENT_ARRAYS}
    header = {
        "settings": plain_settings(estimator),
        "parts": {kind: describe_part(kind, getattr(estimator, f"{kind}_")) for kind in KINDS},
        "widths": estimator.lobe_.widths,
        "species": estimator.species_.tolist(),
        "states": {name: getattr(states, name) for name in STATE_NUMBERS},
        "moments": {"n_pairs": int(moments.n_pairs), "lagtime": int(moments.lagtime)},
        "double": None if moments.double is None else {"n_pairs": int(moments.double.n_pairs)},
        "fitted": {name: getattr(estimator, name) for name in FITTED},
        "starts": {
            "agreement": float(estimator.agreement_),
            "scores": estimator.start_scores_.tolist(),
        },
        "training_frames": estimator.training_frames_,
    }
    write_arrays(path, MODEL, arrays, header)


def read_estimator(path: str | os.PathLike[str], cls: type) -> Any:
    """Rebuild a fitted `GDyNetEstimator` from its file.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is not one of ours, damaged, or of a newer version.
    """
    arrays, header = read_arrays(path, MODEL)
    try:
        return _rebuild(cls, arrays, header)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        raise ValueError(
            f"{path} is an incomplete or inconsistent {MODEL.noun} ({e}); {MODEL.remedy}"
        ) from e


def _rebuild(cls: type, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> Any:
    estimator = cls(**_settings(header))
    _check_device(estimator)
    check_settings(estimator.get_params(deep=False))
    _set_fitted(estimator, header)
    for name, array in arrays.items():
        if not np.all(np.isfinite(array)):
            raise ValueError(f"{name} is not finite")
    widths = _widths(header["widths"], arrays)
    _check_sizes(estimator, widths, arrays)
    estimator.state_map_ = StateMap(
        weight=arrays["states.weight"],
        bias=arrays["states.bias"],
        populations=arrays["states.populations"],
        clipped_mass=float(header["states"]["clipped_mass"]),
        n_distinct=int(header["states"]["n_distinct"]),
        overlap=float(header["states"]["overlap"]),
    )
    estimator.clipped_mass_ = estimator.state_map_.clipped_mass
    moments = _moments(header, arrays)
    estimator.model_ = KoopmanModel(
        arrays["model.koopman_matrix"],
        lagtime=moments.lagtime,
        timestep=estimator.timestep_,
        moments=moments,
    )
    with torch.random.fork_rng(devices=[]):
        lobe = plain_lobe(estimator, widths)
    lobe.load_state_dict(_weights(arrays))
    lobe.has_states = True
    estimator.lobe_ = lobe.to(device_of(estimator.device)).eval()
    return estimator


def _settings(header: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the estimator, which name no file or folder."""
    settings = header["settings"]
    if settings.get("checkpoint_dir") is not None:
        raise ValueError(f"it names a folder to write to, {settings['checkpoint_dir']!r}")
    if settings.get("init_from") is not None:
        raise ValueError(f"it names a file to read, {settings['init_from']!r}")
    for kind in KINDS:
        if settings[kind] not in (None, header["parts"][kind]):
            raise ValueError(f"{kind} is {settings[kind]} but was {header['parts'][kind]}")
        settings[kind] = part_of(kind, settings[kind])
    return settings


def _set_fitted(estimator: Any, header: dict[str, Any]) -> None:
    """Learned attributes that are no arrays."""
    for name, expected in FITTED.items():
        value = header["fitted"][name]
        if not isinstance(value, expected):
            raise ValueError(f"{name} is {value!r}")
        setattr(estimator, name, value)
    if not isinstance(estimator.kind_.get("class"), str):
        raise ValueError(f"kind_ is {estimator.kind_!r}")
    estimator.agreement_ = float(header["starts"]["agreement"])
    estimator.start_scores_ = np.array(header["starts"]["scores"], dtype=float)
    for kind in KINDS:
        setattr(estimator, f"{kind}_", part_of(kind, header["parts"][kind]))
    estimator.training_frames_ = [
        (str(run), int(start), int(stop)) for run, start, stop in header["training_frames"]
    ]
    estimator.species_ = np.array(header["species"])
    if not 0 < estimator.timestep_ < np.inf or estimator.species_.dtype.kind not in "biuU":
        raise ValueError(f"timestep {estimator.timestep_!r}, species {header['species']!r}")


def _moments(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> LaggedMoments:
    """Moments at the lag, and at twice the lag where runs were long enough."""
    counts = header["moments"]
    lagtime = int(counts["lagtime"])
    double = None
    if header["double"] is not None:
        sums: dict[str, Any] = {name: arrays[f"double.{name}"] for name in MOMENT_ARRAYS}
        n_pairs = int(header["double"]["n_pairs"])
        double = LaggedMoments(**sums, n_pairs=n_pairs, lagtime=2 * lagtime)
    sums = {name: arrays[f"moments.{name}"] for name in MOMENT_ARRAYS}
    return LaggedMoments(**sums, n_pairs=int(counts["n_pairs"]), lagtime=lagtime, double=double)


def fitted_source(init_from: Any, cls: type) -> Any:
    """The fitted estimator behind ``init_from``: itself, the last step of a Pipeline, or a file.

    Raises
    ------
    ValueError, TypeError
        If it is none, or not fitted.
    """
    if init_from is None:
        return None
    if isinstance(init_from, str | os.PathLike):
        return read_estimator(init_from, cls)
    source = init_from[-1] if isinstance(init_from, Pipeline) else init_from
    if not isinstance(source, cls):
        raise TypeError(
            f"init_from must be a fitted {cls.__name__}, the path of its file or None, got "
            f"{init_from!r}"
        )
    if not hasattr(source, "lobe_"):
        raise ValueError(
            "init_from must be fitted, got one that is not; fit it first, or give the path of a "
            "file that save wrote"
        )
    return source


def _check_device(estimator: "GDyNetEstimator") -> None:
    """A model trained on a GPU is of use on a machine without one."""
    try:
        check_device(estimator.device)
    except ValueError as error:
        warnings.warn(f"{error}; loaded with device='auto'", RuntimeWarning, stacklevel=5)
        estimator.device = "auto"


def _weights(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix("lobe."): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith("lobe.")
    }


def _widths(widths: Any, arrays: dict[str, np.ndarray]) -> tuple[int, int]:
    """Lengths of the vectors of encoder and pooling; the second is that which the head takes."""
    n_features, n_pooled = widths
    if arrays["lobe.head.mean"].shape != (n_pooled,) or type(n_features) is not int:
        raise ValueError(f"vectors of lengths {widths!r}")
    return n_features, n_pooled


def _check_sizes(
    estimator: "GDyNetEstimator", widths: tuple[int, int], arrays: dict[str, np.ndarray]
) -> None:
    """Raise ValueError unless the arrays are those of the settings.

    Before anything is built from the settings: a wrong number among them must not take the memory
    of the machine. Parts of others are built: their code may need numbers.
    """
    parts = (estimator.encoder_, estimator.pooling_)
    own = all(type(part).__module__.startswith("graphkoopman.") for part in parts)
    with torch.random.fork_rng(devices=[]), torch.device("meta") if own else nullcontext():
        state = plain_lobe(estimator, widths).state_dict()
    expected = {f"lobe.{name}": tuple(tensor.shape) for name, tensor in state.items()}
    n = estimator.n_states
    expected |= {"states.weight": (n, n), "states.bias": (n,), "states.populations": (n,)}
    expected["model.koopman_matrix"] = (n, n)
    kinds = ["moments", *(["double"] if "double.mean" in arrays else [])]
    for kind in kinds:
        expected[f"{kind}.mean"] = (n,)
        expected |= {f"{kind}.{name}": (n, n) for name in ("c00", "c0t", "ctt")}
    found = {name: array.shape for name, array in arrays.items()}
    wrong = [name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)]
    if wrong:
        raise ValueError(f"array {wrong[0]} does not fit the settings")
