"""The public face: `GDyNetEstimator`; `check_gap` guards its scores against leaks."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.estimator._estimator import EstimatorLike, GDyNetEstimator
    from graphkoopman.estimator._gap import check_gap
    from graphkoopman.estimator._lags import LagsMet, MixedLagWarning as MixedLagWarning
    from graphkoopman.estimator._model_file import MODEL
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "GDyNetEstimator",
]
