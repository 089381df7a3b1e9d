"""Features of targets that are not learned: one vector per target and frame.

Public: :class:`FeatureTrajectory`, the samples; :class:`FeatureBatch`, frames of them as a tensor;
:class:`FunctionFeaturizer`, which makes them by a function of one's own.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.descriptors._function import FunctionFeaturizer
    from graphkoopman.descriptors._trajectory import FeatureBatch, FeatureTrajectory
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "FeatureBatch",
    "FeatureTrajectory",
    "FunctionFeaturizer",
]
