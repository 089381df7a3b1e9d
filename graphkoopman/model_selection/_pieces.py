"""What a splitter needs to know of a list of trajectories: which run each is a piece of, and when.

`Pieces` reads it from a `Trajectory` or from `Samples`; both carry ``parent`` and ``start``.
"""

import itertools
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphkoopman.samples import Samples
from graphkoopman.trajectories import Trajectory, resolve_targets

# what a splitter is given, with or without a featurizer before the estimator
Data: TypeAlias = Sequence[Samples] | Sequence[Trajectory]


@dataclass(frozen=True)
class Pieces:
    """Pieces of runs, in the order of the list they came from.

    Attributes
    ----------
    runs : ndarray of shape (n_pieces,), int
        Run that a piece belongs to, numbered by first appearance; without a parent a piece is a
        run of its own.
    ranks : ndarray of shape (n_pieces,), int
        Place of a piece among the pieces of its run, in time order.
    """

    runs: NDArray[np.intp]
    ranks: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.runs)

    def in_time_order(self) -> NDArray[np.intp]:
        """Indices of the pieces, run after run and in time order within a run."""
        return np.lexsort((self.ranks, self.runs))

    def near(self, chosen: NDArray[np.bool_], gap: int) -> NDArray[np.bool_]:
        """Pieces at most ``gap`` places from a chosen piece of the same run, those included.

        Parameters
        ----------
        chosen : ndarray of shape (n_pieces,), bool
        gap : int

        Returns
        -------
        ndarray of shape (n_pieces,), bool
        """
        marked = chosen.copy()
        for run in np.unique(self.runs[chosen]):
            members = np.flatnonzero(self.runs == run)
            distances = np.abs(self.ranks[members][:, None] - self.ranks[members[chosen[members]]])
            marked[members] |= distances.min(axis=1) <= gap
        return marked


def read_pieces(X: Data) -> Pieces:
    """Pieces behind a list of trajectories.

    Parameters
    ----------
    X : sequence of Trajectory or Samples
        Other objects, such as an mdtraj.Trajectory, count as runs of their own.

    Returns
    -------
    Pieces

    Raises
    ------
    TypeError
        If X is a single trajectory: folds are made of whole trajectories.
    ValueError
        If X is empty or pieces of one run overlap in time.
    """
    if isinstance(X, Trajectory | Samples) or not isinstance(X, Sized):
        raise TypeError(
            f"X must be a list of trajectories to split, got {type(X).__name__}; cut a single "
            "trajectory with segments(trajectory, n)"
        )
    items = [X[i] for i in range(len(X))]
    if not items:
        raise ValueError("X must hold at least one trajectory, got an empty list")
    names: dict[Any, int] = {}
    parents = [getattr(item, "parent", None) for item in items]
    keys = [i if parent is None else parent for i, parent in enumerate(parents)]
    runs = np.array([names.setdefault(key, len(names)) for key in keys])
    starts = np.array([getattr(item, "start", 0) for item in items])
    stops = starts + np.array([len(item) for item in items])
    ranks = np.empty(len(items), dtype=np.intp)
    for run in range(len(names)):
        members = np.flatnonzero(runs == run)
        members = members[np.argsort(starts[members], kind="stable")]
        _check_disjoint(members, starts, stops)
        ranks[members] = np.arange(len(members))
    return Pieces(runs, ranks)


def _check_disjoint(
    members: NDArray[np.intp], starts: NDArray[np.intp], stops: NDArray[np.intp]
) -> None:
    for before, after in itertools.pairwise(members):
        if starts[after] < stops[before]:
            raise ValueError(
                "pieces of one run must not overlap in time, got frames "
                f"{starts[before]}-{stops[before]} (item {before} of X) and "
                f"{starts[after]}-{stops[after]} (item {after}); cut every run once"
            )


def target_atoms(item: Trajectory | Samples) -> list[int]:
    """Atoms of all targets of a run.

    Raises
    ------
    ValueError
        If samples do not know them.
    """
    if isinstance(item, Samples):
        if item.target_atoms is None:
            raise ValueError(
                f"folds over targets need to know their atoms, {type(item).__name__} does not; "
                "give target_atoms"
            )
        return item.target_atoms.tolist()
    return resolve_targets(None, item).atoms.tolist()
