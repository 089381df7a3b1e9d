"""Equal parts of a range on as many threads as torch uses: `over_parts`."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch

T = TypeVar("T")


def over_parts(call: Callable[[int, int], T], n: int, least: int) -> list[T]:
    """Results of ``call(begin, end)`` for equal parts of ``range(n)``, in order.

    Parameters
    ----------
    call : callable
        Releases the interpreter's lock, or the threads wait for each other.
    n : int
    least : int
        Size below which a part is not worth a thread.

    Returns
    -------
    list

    Examples
    --------
    >>> from graphkoopman.threads import over_parts
    >>> over_parts(lambda begin, end: (begin, end), 5, least=100)
    [(0, 5)]
    """
    n_threads = max(1, min(torch.get_num_threads(), n // least))
    if n_threads == 1:
        return [call(0, n)]
    bounds = np.linspace(0, n, n_threads + 1).astype(np.int64)
    parts = itertools.pairwise(bounds.tolist())
    return list(_pool(n_threads).map(lambda part: call(*part), parts))


@lru_cache(maxsize=1)
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads)
