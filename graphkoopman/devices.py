"""Devices: `check_device`, `device_of`, and `warn_without_triton`."""

import warnings
from typing import TYPE_CHECKING

from graphkoopman.ranks import group_is_initialised, local_rank

if TYPE_CHECKING:
    import torch


def check_device(device: str) -> None:
    """Raise ValueError unless torch has the device."""
    if not isinstance(device, str):
        raise TypeError(f"device must be a string such as 'auto', 'cpu' or 'cuda', got {device!r}")
    if device in ("auto", "cpu"):
        return
    import torch

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


def device_of(device: str) -> "torch.device":
    """Torch device behind the ``device`` parameter; of several processes each has its own GPU."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and group_is_initialised():
        return torch.device("cuda", local_rank() % torch.cuda.device_count())
    return torch.device(device)


def warn_without_triton(device: "torch.device", error: Exception, instead: str) -> None:
    """Warn that our kernels do not run on a GPU, and what is done instead."""
    warnings.warn(
        f"Triton does not run on {device} ({type(error).__name__}: {error}): {instead}",
        RuntimeWarning,
        stacklevel=3,
    )
