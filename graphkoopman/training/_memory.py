"""How much of the data fits in memory at a time: `Room`, `memory_budget`, `bytes_kept`.

The backward pass of a chunk needs what the forward pass has computed. What that takes is measured
on a few frames, and chunks are as large as a budget bears; where memory runs out in spite of that,
because others use it, chunks are halved and computed again. Results do not depend on chunks.
"""

import math
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphkoopman.samples import Batch

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
SHARE_OF_FREE = 0.5  # of the memory that is free, where no budget is given
CONTAINER = Path("/sys/fs/cgroup")
WORKING = 2.0  # what a pass uses while it runs, in what it keeps
SMALLEST_SHARE = 2.0**-30
ASKED_AGAIN = 1.0  # seconds after which free memory is asked for again; a small step takes less


def memory_budget(text: str, name: str = "chunk_size") -> int:
    """Bytes of a budget such as "2 GiB".

    Raises
    ------
    ValueError
        If it is no number with a unit.

    Examples
    --------
    >>> from graphkoopman.training._memory import memory_budget
    >>> memory_budget("1.5 GiB")
    1610612736
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?i?b)\s*", text, re.IGNORECASE)
    try:
        number = float(match[1]) * UNITS[match[2].upper()] if match else math.nan
    except (KeyError, ValueError):
        number = math.nan
    if not 1 <= number < 2**60:
        raise ValueError(
            f'{name} must be a number of frames or an amount of memory such as "2 GiB", got '
            f"{text!r}"
        )
    return int(number)


def bytes_kept(function: Callable[[Batch], Tensor], batch: Batch) -> int:
    """Bytes of a batch and of what torch keeps of a pass over it for the backward pass.

    Parameters
    ----------
    function : callable
        Of a batch, with parameters that need gradients.
    batch : Batch
        On the device of the function.

    Returns
    -------
    int
    """
    found: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
        return tensor

    entries: Any = fields(batch)  # type: ignore[arg-type]
    for value in (getattr(batch, entry.name) for entry in entries):
        if isinstance(value, Tensor):
            note(value)
    module: Any = getattr(function, "__self__", function)
    trained = isinstance(module, torch.nn.Module) and module.training
    if trained:
        module.eval()  # moments of a batch and dropout are for the training alone
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        output = function(batch)
        note(output)
    if trained:
        module.train()
    return sum(found.values())


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device; a large number where that is not known.

    What the system holds of files counts as free, and the limit of a container as the end.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [2**62]
    with suppress(OSError, ValueError, KeyError):
        found.append(1024 * _numbers_of(Path("/proc/meminfo"))["MemAvailable:"])
    with suppress(OSError, ValueError, KeyError):
        limit = int((CONTAINER / "memory.max").read_text())  # "max" where there is none
        files = _numbers_of(CONTAINER / "memory.stat")["inactive_file"]
        found.append(limit - int((CONTAINER / "memory.current").read_text()) + files)
    return max(0, min(found))


def _numbers_of(path: Path) -> dict[str, int]:
    """First number after the first word of every line."""
    words = [line.split() for line in path.read_text().splitlines()]
    return {line[0]: int(line[1]) for line in words if len(line) > 1 and line[1].isdigit()}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is that of an allocation, of numpy, torch or a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("not enough memory" in text or "t allocate" in text)


class Room:
    """What is known of the memory that chunks take; grows less each time that it runs out.

    Parameters
    ----------
    device : torch.device
    budget : int or None
        Bytes that a pass may take; None is half of what is free.

    Attributes
    ----------
    bytes_per_cost : float
        Largest found so far, of a frame of one edge; zero before the first pass is measured.
    """

    def __init__(self, device: torch.device, budget: int | None = None) -> None:
        self.device = device
        self.budget = budget
        self.bytes_per_cost = 0.0
        self.share = 1.0
        self._free, self._asked = 0, -math.inf

    def measure(self, function: Callable[[Batch], Tensor], batch: Batch, cost: float) -> None:
        """Note what a pass over a batch takes, whose frames cost so many edges together."""
        kept = bytes_kept(function, batch)
        self.bytes_per_cost = max(self.bytes_per_cost, WORKING * kept / max(1.0, cost))

    @property
    def largest_cost(self) -> float:
        """Edges of the frames that may be in memory at a time."""
        if self.bytes_per_cost == 0.0:
            return math.inf
        budget = SHARE_OF_FREE * self._free_memory() if self.budget is None else self.budget
        return self.share * budget / self.bytes_per_cost

    def _free_memory(self) -> int:
        """Bytes that are free, as of a moment ago."""
        now = time.monotonic()
        if now > self._asked + ASKED_AGAIN:
            self._free, self._asked = free_memory(self.device), now
        return self._free

    def shrink(self) -> bool:
        """Take half as much from now on; False where that makes no sense any more."""
        self.share /= 2.0
        self._asked = -math.inf  # what was free has just proved not to be
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return self.share > SMALLEST_SHARE
