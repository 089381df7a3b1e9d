"""CPU time of calls that are compared with each other: `alternate`, `spread_text`."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def alternate(
    calls: Mapping[Any, Callable[[], Any]], n_repeats: int
) -> dict[Any, NDArray[np.float64]]:
    """CPU seconds of every call, (n_repeats,) each.

    Every repeat runs all calls one after the other, so that a busy machine slows all of them.
    Calls run once before the clock starts.
    """
    seconds = {name: np.empty(n_repeats) for name in calls}
    for call in calls.values():
        call()
    for repeat in range(n_repeats):
        for name, call in calls.items():
            begin = time.process_time()
            call()
            seconds[name][repeat] = time.process_time() - begin
    return seconds


def spread(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float, float]:
    """Minimum, median, maximum."""
    return float(np.min(values)), float(np.median(values)), float(np.max(values))


def spread_text(values: Sequence[float] | NDArray[np.float64]) -> str:
    """Minimum – median – maximum with three digits."""
    return " – ".join(f"{value:.3g}" for value in spread(values))
