"""Estimators that fit in a tenth of a second, for tests of what surrounds a fit."""

from sklearn.pipeline import make_pipeline

from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.lobes import GatedEncoder

LAG = 3


def make_featurizer():
    return GraphFeaturizer(n_neighbors=4, n_hops=1)


def make_estimator(**changes):
    settings = {
        "n_states": 2,
        "lagtime": LAG,
        "encoder": GatedEncoder(n_conv=1, n_features=4),
        "n_hidden": 8,
        "max_epochs": 2,
        "n_init": 1,
        "random_state": 0,
    }
    return GDyNetEstimator(**settings | changes)


def make_pipe(memory=None, **changes):
    return make_pipeline(make_featurizer(), make_estimator(**changes), memory=memory)
