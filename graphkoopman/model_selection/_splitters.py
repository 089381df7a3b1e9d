"""Lag-safe folds of whole trajectories or segments.

`SegmentKFold`, `SegmentShuffleSplit`, `LeaveOneTrajectoryOut` and `TargetKFold` are scikit-learn
splitters over lists of `Trajectory` or `Samples`. They never see the estimator, so they
keep a gap of whole segments between training and test data of one run; an estimator whose lag is
longer than that gap refuses to score.
"""

import itertools
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator

from graphkoopman.model_selection._pieces import Data, Pieces, read_pieces, target_atoms
from graphkoopman.randomness import as_random_state
from graphkoopman.trajectories import check_integer

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


class _SegmentSplitter(BaseCrossValidator):
    """Folds of whole units (pieces, groups or runs) with a gap around the test pieces."""

    # Metadata routing: ``groups`` is used where it is given.
    __metadata_request__split: ClassVar = {"groups": True}

    gap: int
    n_splits: int

    def get_n_splits(
        self, X: Data | None = None, y: object = None, groups: ArrayLike | None = None
    ) -> int:
        """Number of folds.

        Parameters
        ----------
        X, y, groups : as for `split`

        Returns
        -------
        int
        """
        return self.n_splits

    def split(self, X: Data, y: object = None, groups: ArrayLike | None = None) -> Iterator[Split]:
        """Training and test indices of every fold.

        Parameters
        ----------
        X : sequence of Trajectory or Samples
        y : None
            Ignored.
        groups : array-like of shape (n_trajectories,) or None
            Trajectories of one group are never on both sides, replicas from one structure say.

        Yields
        ------
        train, test : ndarray of int
            Indices into X, ascending.

        Raises
        ------
        TypeError
            If X is a single trajectory.
        ValueError
            If there are too few pieces, or pieces of one run overlap.
        """
        pieces = read_pieces(X)
        units = self._units(X, pieces, groups)
        for held_out in self._held_out(pieces, units):
            test = np.isin(units, held_out)
            train = ~pieces.near(test, self.gap) & ~test
            if not train.any():
                raise ValueError(
                    f"a fold must leave trajectories to train on, got {len(pieces)} of which "
                    f"{test.sum()} are the test and {(~test).sum()} lie within gap={self.gap} of "
                    "it; cut more segments or lower the gap"
                )
            yield np.flatnonzero(train), np.flatnonzero(test)

    def _units(self, X: Data, pieces: Pieces, groups: ArrayLike | None) -> NDArray[np.intp]:
        """Unit of every piece, numbered in time order; a unit is on one side as a whole."""
        labels = self._default_units(X, pieces) if groups is None else np.asarray(groups)
        if labels.shape != (len(pieces),):
            raise ValueError(
                f"groups must have one label per trajectory ({len(pieces)}), got shape "
                f"{labels.shape}"
            )
        order = pieces.in_time_order()
        _, first, inverse = np.unique(labels[order], return_index=True, return_inverse=True)
        units = np.empty(len(pieces), dtype=np.intp)
        units[order] = np.argsort(np.argsort(first))[inverse]
        return units

    def _default_units(self, X: Data, pieces: Pieces) -> NDArray[np.intp]:
        return np.arange(len(pieces))

    @abstractmethod
    def _held_out(self, pieces: Pieces, units: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
        """Units of the test fold, fold after fold."""


class SegmentKFold(_SegmentSplitter):
    """K folds of consecutive segments, with a gap on both sides of the test fold.

    Segments are ordered run after run and in time; every fold is a stretch of them, so that few
    segments are lost to gaps.

    Parameters
    ----------
    n_splits : int
        Number of folds, at least 2.
    gap : int
        Segments of the same run dropped from training on each side of a test segment. They must
        be at least as long as the estimator's lag, or `GDyNetEstimator.score` refuses.

    Raises
    ------
    ValueError
        If ``n_splits`` is below 2 or ``gap`` negative.

    See Also
    --------
    graphkoopman.trajectories.segments : cuts a run into segments.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman import Trajectory, segments
    >>> from graphkoopman.model_selection import SegmentKFold
    >>> run = Trajectory(np.zeros((80, 1, 3)), None, [3], timestep=1.0)
    >>> for train, test in SegmentKFold(3, gap=1).split(segments(run, 8)):
    ...     print(train, test)
    [4 5 6 7] [0 1 2]
    [0 1 7] [3 4 5]
    [0 1 2 3 4] [6 7]
    """

    def __init__(self, n_splits: int = 5, *, gap: int = 1) -> None:
        self.n_splits = check_integer(n_splits, "n_splits", 2)
        self.gap = check_integer(gap, "gap", 0)

    def _held_out(self, pieces: Pieces, units: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
        n_units = units.max() + 1
        if n_units < self.n_splits:
            raise ValueError(
                f"n_splits must not exceed the number of segments or groups ({n_units}), got "
                f"{self.n_splits}; cut more segments or lower n_splits"
            )
        yield from np.array_split(np.arange(n_units), self.n_splits)


class TargetKFold(SegmentKFold):
    """K folds of targets instead of time: train on some atoms, test on others.

    For a list of runs that each hold a share of the targets, see `split_targets`; runs with the
    same targets are on one side. A score over targets says whether states carry over to other
    atoms of the same kind, and nothing of other times, which both sides share: see there.

    Parameters
    ----------
    n_splits : int
        Number of folds, at least 2.

    Raises
    ------
    ValueError
        If ``n_splits`` is below 2.

    See Also
    --------
    graphkoopman.trajectories.split_targets : shares the targets of a run.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.model_selection import TargetKFold
    >>> from graphkoopman.trajectories import Trajectory, split_targets
    >>> runs = [
    ...     Trajectory(np.full((9, 6, 3), x), None, [3] * 6, timestep=1.0, targets="element Li")
    ...     for x in (0.0, 1.0)
    ... ]
    >>> shares = [share for run in runs for share in split_targets(run, 3)]
    >>> for train, test in TargetKFold(3).split(shares):
    ...     print(train, test)
    [1 2 4 5] [0 3]
    [0 2 3 5] [1 4]
    [0 1 3 4] [2 5]
    """

    def __init__(self, n_splits: int = 5) -> None:
        super().__init__(n_splits, gap=0)

    def _default_units(self, X: Data, pieces: Pieces) -> NDArray[np.intp]:
        atoms = [frozenset(target_atoms(X[i])) for i in range(len(X))]
        names: dict[frozenset[int], int] = {}
        units = np.array([names.setdefault(share, len(names)) for share in atoms])
        for a, b in itertools.combinations(names, 2):
            if a & b:
                raise ValueError(
                    f"runs must have the same targets or none in common, got atom {min(a & b)} in "
                    f"a share of {len(a)} atoms and in one of {len(b)}; split every run into the "
                    "same number of shares"
                )
        return units


class SegmentShuffleSplit(_SegmentSplitter):
    """Random test segments, with a gap on both sides of each.

    Parameters
    ----------
    n_splits : int
        Number of independent splits.
    test_size : float
        Share of the segments (or groups) to test on, between 0 and 1; at least one.
    gap : int
        Segments of the same run dropped from training on each side of a test segment, see
        `SegmentKFold`. Scattered test segments lose up to ``2 * gap`` segments each.
    random_state : int, RandomState, Generator or None
        Seed. `HalvingGridSearchCV` asks for an int, so that folds stay the same.

    Raises
    ------
    ValueError
        If ``n_splits`` is below 1, ``gap`` negative, or ``test_size`` not between 0 and 1.
    """

    def __init__(
        self,
        n_splits: int = 10,
        *,
        test_size: float = 0.2,
        gap: int = 1,
        random_state: Any = None,
    ) -> None:
        self.n_splits = check_integer(n_splits, "n_splits", 1)
        self.gap = check_integer(gap, "gap", 0)
        if not 0 < test_size < 1:
            raise ValueError(f"test_size must be between 0 and 1, got {test_size!r}")
        self.test_size = test_size
        self.random_state = random_state

    def _held_out(self, pieces: Pieces, units: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
        rng = as_random_state(self.random_state)
        n_units = units.max() + 1
        n_test = max(1, round(self.test_size * n_units))
        for _ in range(self.n_splits):
            yield rng.permutation(n_units)[:n_test]


class LeaveOneTrajectoryOut(_SegmentSplitter):
    """One run after the other is the test, with all its segments; with ``groups``, one group.

    The runs must be independent of each other: files that continue each other are not, unless
    their pieces carry one ``parent``.

    Parameters
    ----------
    gap : int
        As in `SegmentKFold`; it matters where ``groups`` cut through a run.

    Raises
    ------
    ValueError
        If ``gap`` is negative.
    """

    def __init__(self, *, gap: int = 1) -> None:
        self.gap = check_integer(gap, "gap", 0)

    def get_n_splits(
        self, X: Data | None = None, y: object = None, groups: ArrayLike | None = None
    ) -> int:
        """Number of runs, or of groups.

        Parameters
        ----------
        X : sequence of Trajectory or Samples
        y : None
            Ignored.
        groups : array-like of shape (n_trajectories,) or None

        Returns
        -------
        int
        """
        runs: Any = X  # None is refused there
        return int(self._units(runs, read_pieces(runs), groups).max()) + 1

    def _default_units(self, X: Data, pieces: Pieces) -> NDArray[np.intp]:
        return pieces.runs

    def _held_out(self, pieces: Pieces, units: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
        n_units = units.max() + 1
        if n_units < 2:
            raise ValueError(
                "LeaveOneTrajectoryOut needs two runs or groups at least, got one; cut it with "
                "segments and use SegmentKFold"
            )
        for unit in range(n_units):
            yield np.array([unit])
