"""The public face: `GDyNetEstimator`."""

from graphkoopman.estimator._estimator import GDyNetEstimator

__all__ = ["GDyNetEstimator"]
