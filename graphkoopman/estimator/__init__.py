"""The public face: `GDyNetEstimator`; `check_gap` guards its scores against leaks."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.estimator._estimator import GDyNetEstimator
    from graphkoopman.estimator._gap import check_gap
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "GDyNetEstimator",
]
