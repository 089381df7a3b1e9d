"""Checkpoints: the state of a training on disk, and whose training it is."""

import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkoopman.storage import FileKind, read_arrays, write_arrays
from graphkoopman.training._restarts import Restarts, generator_state, set_generator_state

CHECKPOINT = FileKind(
    "graphkoopman-checkpoint", 4, "checkpoint", "delete it to train again from the start", oldest=4
)
# what reading numbers, lists and tensors out of a wrong structure ends in
STRUCTURE_ERRORS: tuple[type[Exception], ...] = (ArithmeticError, AttributeError, LookupError)
STRUCTURE_ERRORS += (RuntimeError, TypeError, ValueError)
FILE_NAME = "checkpoint.safetensors"


class Checkpoint:
    """The file in a folder that a training is saved to and continues from.

    Parameters
    ----------
    folder : path
        Made where there is none.
    interval : float
        Seconds between saves; 0 saves after every step.
    fingerprint : dict
        What the result depends on, a checkpoint with another one is refused: ``settings``, any
        JSON by name, and ``data``, hashes by name.
    rng : RandomState
        Set to the state it had when the checkpoint's training began.

    Attributes
    ----------
    state : dict or None
        State to continue from; None where there is no checkpoint yet.

    Raises
    ------
    ValueError
        If the checkpoint there is of other settings or data, damaged, or of a newer version.
    OSError
        If the folder cannot be made.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        interval: float,
        fingerprint: dict[str, Any],
        rng: np.random.RandomState,
    ) -> None:
        self.path = Path(folder) / FILE_NAME
        self.interval = interval
        self.fingerprint = fingerprint
        self.state: dict[str, Any] | None = None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self._read(rng)
        else:
            self.generator_at_start = generator_state(rng)
        self._last = time.monotonic()

    def _read(self, rng: np.random.RandomState) -> None:
        arrays, header = read_arrays(self.path, CHECKPOINT)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        try:
            differences = _differences(header["fingerprint"], self.fingerprint)
            self.generator_at_start = header["generator_at_start"]
            self.state = _join(header["state"], tensors)
            set_generator_state(rng, self.generator_at_start)
        except STRUCTURE_ERRORS as error:
            raise self._damaged(error) from error
        if differences:
            raise ValueError(
                f"checkpoint_dir={str(self.path.parent)!r} holds the checkpoint of another fit: "
                f"{'; '.join(differences)}; choose another checkpoint_dir or delete {self.path}"
            )

    def _damaged(self, error: Exception) -> ValueError:
        return _damaged(self.path, error)

    def save_if_due(self, training: Restarts, *, last: bool = False) -> None:
        """Save where the last save is an interval ago, or this is the last chance.

        Where that fails, warn and go on: the earlier checkpoint survives, and the disk may have
        room again by the next save.
        """
        if not last and time.monotonic() - self._last < self.interval:
            return
        try:
            self.save(training)
        except OSError as error:
            self._last = time.monotonic()
            warnings.warn(f"{error}; training goes on", RuntimeWarning, stacklevel=2)

    def save(self, training: Restarts) -> None:
        """Write the state of a training, whole or not at all."""
        tensors: dict[str, Tensor] = {}
        header = {
            "fingerprint": self.fingerprint,
            "generator_at_start": self.generator_at_start,
            "state": _split(training.state_dict(), "state", tensors),
        }
        arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        write_arrays(self.path, CHECKPOINT, arrays, header)
        self._last = time.monotonic()


def resume(
    start: Callable[..., Restarts],
    state: dict[str, Any] | None,
    folder: str | os.PathLike[str] | None,
) -> Restarts:
    """A training in the state of a checkpoint, or a new one where there is none.

    Parameters
    ----------
    start : callable
        Returns a training; takes ``state``.
    state : dict or None
        Of `Checkpoint`, on rank 0 or sent by it.
    folder : path or None
        Of the checkpoint, for messages.

    Raises
    ------
    ValueError
        If the state does not fit the training.
    """
    if state is None:
        return start()
    try:
        return start(state=state)
    except STRUCTURE_ERRORS as error:
        raise _damaged(Path(folder or ".") / FILE_NAME, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is an inconsistent checkpoint ({error!r}); {CHECKPOINT.remedy}")


def _split(state: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """The state with every tensor moved to ``tensors`` and its name in place."""
    if isinstance(state, Tensor):
        tensors[name] = state.detach()
        return {"tensor": name}
    if isinstance(state, Mapping):
        return {key: _split(value, f"{name}.{key}", tensors) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [_split(value, f"{name}.{i}", tensors) for i, value in enumerate(state)]
    return state


def _join(state: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undo `_split`."""
    if isinstance(state, dict):
        if list(state) == ["tensor"]:
            return tensors[state["tensor"]]
        return {key: _join(value, tensors) for key, value in state.items()}
    if isinstance(state, list):
        return [_join(value, tensors) for value in state]
    return state


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What differs between two fingerprints, in words."""
    old, new = there["settings"], here["settings"]
    words = [
        f"{name} was {old.get(name)!r}, is {new.get(name)!r}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    old, new = there["data"], here["data"]
    if len(old) != len(new):
        return [*words, f"X had {len(old)} runs, has {len(new)}"]
    return words + [f"{name} differs" for name in new if not _are_same(old.get(name), new[name])]


def _are_same(old: Any, new: str) -> bool:
    """Whether the hashes that both have of a run are the same: of some frames, then of all."""
    if not isinstance(old, str):
        return False
    return all(a == b for a, b in zip(old.split(), new.split(), strict=False))
