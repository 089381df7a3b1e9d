"""Features of targets that are not learned: one vector per target and frame.

Public: :class:`FeatureTrajectory`, the samples; :class:`FeatureBatch`, frames of them as a tensor.
Made by :class:`FunctionFeaturizer`, a function of one's own, :class:`SOAPFeaturizer`, power spectra
of the neighbours, and :class:`PotentialFeaturizer`, pretrained interatomic potentials; made shorter
by :class:`FeatureReducer`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.descriptors._function import FunctionFeaturizer
    from graphkoopman.descriptors._potential import PotentialFeaturizer
    from graphkoopman.descriptors._reducer import FeatureReducer
    from graphkoopman.descriptors._soap import SOAPFeaturizer
    from graphkoopman.descriptors._trajectory import FeatureBatch, FeatureTrajectory
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "FeatureBatch",
    "FeatureReducer",
    "FeatureTrajectory",
    "FunctionFeaturizer",
    "PotentialFeaturizer",
    "SOAPFeaturizer",
]
