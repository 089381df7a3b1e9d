"""The public face: `GDyNetEstimator`; `check_gap` guards its scores against leaks."""

from graphkoopman.estimator._estimator import GDyNetEstimator
from graphkoopman.estimator._gap import check_gap

__all__ = ["GDyNetEstimator", "check_gap"]
