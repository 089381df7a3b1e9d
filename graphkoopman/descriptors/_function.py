"""`FunctionFeaturizer`: features by a function of a trajectory and its targets."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from graphkoopman.callbacks import CallbackSupport, FitTask, with_callbacks
from graphkoopman.descriptors._trajectory import FeatureTrajectory
from graphkoopman.trajectories import (
    Targets,
    TargetsLike,
    Trajectory,
    as_trajectories,
    resolve_targets,
)


class FunctionFeaturizer(CallbackSupport, TransformerMixin, BaseEstimator):
    """Turn trajectories into features of their targets by a function.

    Parameters
    ----------
    function : callable
        ``function(trajectory, targets)`` takes a `graphkoopman.Trajectory` and the targets as a
        list of index arrays, one per target, and returns an array of shape (n_frames, n_targets,
        n_features). A function of a module can be sent to other processes, a lambda cannot.
    targets : str, array, list of arrays, callable or None
        Whose features are wanted, see `graphkoopman.GraphFeaturizer`. None takes the trajectory's
        own targets.

    Notes
    -----
    Stateless: ``fit`` only checks its input.

    Examples
    --------
    Distance from every lithium to the first anion, in Å:

    >>> import numpy as np
    >>> from graphkoopman import Trajectory
    >>> from graphkoopman.descriptors import FunctionFeaturizer
    >>> def distance(trajectory, targets):
    ...     ions = np.stack([trajectory.positions[:, atoms].mean(axis=1) for atoms in targets], 1)
    ...     return np.linalg.norm(ions - trajectory.positions[:, -1:], axis=2, keepdims=True)
    >>> run = Trajectory(np.zeros((7, 3, 3)), None, [3, 3, 17], timestep=1.0)
    >>> FunctionFeaturizer(distance, "element Li").fit_transform(run)
    [FeatureTrajectory(7 frames of 1 ps, 2 targets, 1 features, 0.0 MiB)]
    """

    def __init__(
        self, function: Callable[[Trajectory, list[np.ndarray]], Any], targets: TargetsLike = None
    ) -> None:
        self.function = function
        self.targets = targets

    @with_callbacks
    def fit(self, X: Any, y: Any = None) -> "FunctionFeaturizer":
        """Check settings and trajectories; nothing is learned.

        Parameters
        ----------
        X : Trajectory, md.Trajectory or a list or other container of them
        y : None
            Ignored.

        Returns
        -------
        FunctionFeaturizer
            Itself.
        """
        self._check_function()
        trajectories = as_trajectories(X)
        task = FitTask(self, trajectories)
        for trajectory in trajectories:
            resolve_targets(self.targets, trajectory)
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
            If the function does not return features of every target in every frame.
        """
        self._check_function()
        trajectories = as_trajectories(X)
        resolved = [resolve_targets(self.targets, trajectory) for trajectory in trajectories]
        return [
            self._features(trajectory, targets)
            for trajectory, targets in zip(trajectories, resolved, strict=True)
        ]

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _check_function(self) -> None:
        if not callable(self.function):
            raise TypeError(
                "function must be callable with a trajectory and a list of index arrays, got "
                f"{self.function!r}"
            )

    def _features(self, trajectory: Trajectory, targets: Targets) -> FeatureTrajectory:
        groups = np.split(targets.atoms, targets.offsets[1:-1])
        features = np.asarray(self.function(trajectory, groups))
        expected = (len(trajectory), len(groups))
        if features.ndim != 3 or features.shape[:2] != expected:
            raise ValueError(
                f"function must return features of shape (n_frames, n_targets, n_features), "
                f"({expected[0]}, {expected[1]}, …), got {features.shape}"
            )
        if features.dtype.kind in "f" and not np.isfinite(features).all():
            frame, target, _ = np.argwhere(~np.isfinite(features))[0]
            raise ValueError(
                f"function must return finite features, got {features[frame, target]} in frame "
                f"{frame} for target {target}"
            )
        return FeatureTrajectory(
            features,
            timestep=trajectory.timestep,
            target_atoms=targets.atoms,
            parent=trajectory.parent,
            start=trajectory.start,
        )
