"""Folds of whole pieces of trajectories: `SegmentKFold`."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SegmentKFold"]


class SegmentKFold:
    """Contiguous folds of pieces in time order, with pieces dropped on both sides of each.

    Parameters
    ----------
    n_splits : int
    gap : int
        Pieces dropped on each side of a test fold.
    """

    def __init__(self, n_splits: int = 5, *, gap: int = 1) -> None:
        self.n_splits = n_splits
        self.gap = gap

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds."""
        return self.n_splits

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Indices of the training and of the test pieces of every fold."""
        indices = np.arange(len(X))
        for test in np.array_split(indices, self.n_splits):
            apart = (indices < test[0] - self.gap) | (indices > test[-1] + self.gap)
            yield indices[apart], test
