"""`TargetFeaturizer`: what all transformers from trajectories to `FeatureTrajectory` share."""

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from graphkoopman.callbacks import CallbackSupport, FitTask, with_callbacks
from graphkoopman.descriptors._trajectory import FeatureTrajectory
from graphkoopman.trajectories import Targets, Trajectory, as_trajectories, resolve_targets


class TargetFeaturizer(CallbackSupport, TransformerMixin, BaseEstimator, ABC):
    """Base of transformers that give every target of a trajectory one vector per frame.

    Derived classes have a parameter ``targets`` and say how vectors are made.
    """

    targets: Any
    source: str = "the descriptor"  # of the vectors, for messages

    @with_callbacks
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check settings and trajectories.

        Parameters
        ----------
        X : Trajectory, md.Trajectory or a list or other container of them
        y : None
            Ignored.

        Returns
        -------
        the featurizer itself
        """
        self._check()
        trajectories = as_trajectories(X)
        task = FitTask(self, trajectories)
        for trajectory in trajectories:
            resolve_targets(self.targets, trajectory)
        self._learn(trajectories)
        task.end()
        return self

    def transform(self, X: Any) -> list[FeatureTrajectory]:
        """Features of every trajectory.

        Parameters
        ----------
        X : Trajectory, md.Trajectory or a list or other container of them

        Returns
        -------
        list of FeatureTrajectory

        Raises
        ------
        ValueError
            If the targets do not get a finite vector each in every frame.
        """
        self._check()
        trajectories = as_trajectories(X)
        resolved = [resolve_targets(self.targets, trajectory) for trajectory in trajectories]
        return [
            self._features(trajectory, targets)
            for trajectory, targets in zip(trajectories, resolved, strict=True)
        ]

    @abstractmethod
    def _check(self) -> None:
        """Raise unless the settings can work."""

    def _learn(self, trajectories: list[Trajectory]) -> None:
        """Set what a fit learns; nothing here."""

    @abstractmethod
    def _vectors(
        self, trajectory: Trajectory, groups: list[np.ndarray]
    ) -> tuple[Any, list[str] | None]:
        """Features of groups of atoms, (n_frames, n_targets, n_features), and their names."""

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _features(self, trajectory: Trajectory, targets: Targets) -> FeatureTrajectory:
        groups = np.split(targets.atoms, targets.offsets[1:-1])
        found, names = self._vectors(trajectory, groups)
        features = np.asarray(found)
        expected = (len(trajectory), len(groups))
        if features.ndim != 3 or features.shape[:2] != expected:
            raise ValueError(
                f"{self.source} must return features of shape (n_frames, n_targets, n_features), "
                f"({expected[0]}, {expected[1]}, …), got {features.shape}"
            )
        if features.dtype.kind in "f" and not np.isfinite(features).all():
            frame, target, _ = np.argwhere(~np.isfinite(features))[0]
            raise ValueError(
                f"{self.source} must return finite features, got {features[frame, target]} in "
                f"frame {frame} for target {target}"
            )
        return FeatureTrajectory(
            features,
            timestep=trajectory.timestep,
            names=None if names is None else np.array(names),
            target_atoms=targets.atoms,
            parent=trajectory.parent,
            start=trajectory.start,
        )


def mean_over_targets(atoms: np.ndarray, groups: list[np.ndarray]) -> np.ndarray:
    """Mean of the vectors of each group.

    Parameters
    ----------
    atoms : ndarray of shape (n, n_features)
        Of the atoms of all groups, one group after the other.
    groups : list of ndarray
        Of which only the sizes matter.

    Returns
    -------
    ndarray of shape (n_groups, n_features)
    """
    sizes = np.array([len(group) for group in groups])
    if np.all(sizes == 1):
        return atoms
    sums = np.add.reduceat(atoms, np.cumsum(sizes) - sizes, axis=0)
    return sums / sizes[:, None]
