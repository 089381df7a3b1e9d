"""`FunctionFeaturizer`: features by a function of a trajectory and its targets."""

from collections.abc import Callable
from typing import Any

import numpy as np

from graphkoopman.descriptors._featurizer import TargetFeaturizer
from graphkoopman.trajectories import TargetsLike, Trajectory


class FunctionFeaturizer(TargetFeaturizer):
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

    source = "function"

    def __init__(
        self, function: Callable[[Trajectory, list[np.ndarray]], Any], targets: TargetsLike = None
    ) -> None:
        self.function = function
        self.targets = targets

    def _check(self) -> None:
        if not callable(self.function):
            raise TypeError(
                "function must be callable with a trajectory and a list of index arrays, got "
                f"{self.function!r}"
            )

    def _vectors(self, trajectory: Trajectory, groups: list[np.ndarray]) -> tuple[Any, None]:
        return self.function(trajectory, groups), None
