"""The checks of tests/estimator_checks.py themselves: each fails on an estimator broken its way."""

import copy

import estimator_checks as checks
import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from graphkoopman.callbacks import CallbackSupport, FitTask, with_callbacks
from graphkoopman.randomness import as_random_state
from graphkoopman.trajectories import Trajectory, as_trajectories


class Good(CallbackSupport, TransformerMixin, BaseEstimator):
    """Distance of every frame from a random place near the mean position.

    Parameters
    ----------
    spread : float
    random_state : int, RandomState, Generator or None
    """

    def __init__(self, spread=1.0, random_state=0):
        self.spread = spread
        self.random_state = random_state

    @with_callbacks
    def fit(self, X, y=None):
        trajectories = as_trajectories(X)
        task = FitTask(self, trajectories)
        noise = as_random_state(self.random_state).normal(size=3)
        mean = np.mean([run.positions.mean(axis=(0, 1)) for run in trajectories], axis=0)
        self.place_ = mean + self.spread * noise
        task.end()
        return self

    def transform(self, X):
        check_is_fitted(self)
        distances = (run.positions.mean(axis=1) - self.place_ for run in as_trajectories(X))
        return [np.linalg.norm(distance, axis=1) for distance in distances]

    def score(self, X, y=None):
        return -float(np.mean([chi.mean() for chi in self.transform(X)]))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags


class ConvertsInInit(Good):
    def __init__(self, spread=1.0, random_state=0):
        super().__init__(str(spread), random_state)


class Undocumented(Good):
    """No parameters here."""


class SetsInSilence(Good):
    def set_params(self, **params):
        super().set_params(**params)


class ClonesWithMemory(Good):
    def __sklearn_clone__(self):
        return copy.deepcopy(self)


class ForgetsItsSeed(Good):
    def fit(self, X, y=None):
        super().fit(X)
        self.place_ = np.random.default_rng().normal(size=3)
        return self


class TakesFramesForRuns(Good):
    def fit(self, X, y=None):
        return super().fit([X[:1], X[1:]] if isinstance(X, Trajectory) else X)


class ReturnsNothing(Good):
    def fit(self, X, y=None):
        super().fit(X)


class LearnsWithoutUnderscore(Good):
    def fit(self, X, y=None):
        self.place = 0
        return super().fit(X)


class SetsParameters(Good):
    def fit(self, X, y=None):
        self.spread = float(self.spread) + 0.0
        return super().fit(X)


class SortsItsInput(Good):
    def fit(self, X, y=None):
        if isinstance(X, list):
            X.sort(key=len)
        return super().fit(X)


class CountsCalls(Good):
    def transform(self, X):
        self.n_calls_ = getattr(self, "n_calls_", 0) + 1
        return super().transform(X)


class StartsWarm(Good):
    def fit(self, X, y=None):
        before = getattr(self, "place_", 0.0)
        super().fit(X)
        self.place_ = self.place_ + before
        return self


class UsesY(Good):
    def fit(self, X, y=None):
        super().fit(X)
        self.place_ = self.place_ + (0.0 if y is None else np.mean(y))
        return self


class KeepsNothingInPickles(Good):
    def __getstate__(self):
        return {"spread": self.spread, "random_state": self.random_state}


class AnswersUnfitted(Good):
    def transform(self, X):
        if not hasattr(self, "place_"):
            return [np.zeros(len(run)) for run in as_trajectories(X)]
        return super().transform(X)


class TransformsOtherwiseTogether(Good):
    def fit_transform(self, X, y=None):
        return [2 * chi for chi in self.fit(X).transform(X)]


class Stacks(Good):
    def transform(self, X):
        return np.concatenate(super().transform(X))


class Normalises(Good):
    def transform(self, X):
        found = super().transform(X)
        return [chi / max(chi.max() for chi in found) for chi in found]


class ListsOnly(Good):
    def fit(self, X, y=None):
        if not isinstance(X, list):
            raise TypeError("X must be a list")
        return super().fit(X)


class TakesAnything(Good):
    def fit(self, X, y=None):
        return super().fit(X if isinstance(X, list) and X and hasattr(X[0], "cell") else run())


class SeedsTorch(Good):
    def fit(self, X, y=None):
        torch.manual_seed(0)
        return super().fit(X)


class DrawsFromNumpy(Good):
    def fit(self, X, y=None):
        check_random_state(None).normal()
        return super().fit(X)


class IgnoresGenerators(Good):
    def fit(self, X, y=None):
        super().fit(X)
        if not isinstance(self.random_state, int):
            self.place_ = np.random.default_rng().normal(size=3)
        return self


class NamesColumns(Good):
    def get_feature_names_out(self, input_features=None):
        return np.array(["distance"])


class ClaimsArrays(Good):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


class ClaimsNoFit(Good):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


class SwallowsWeights(Good):
    def fit(self, X, y=None, sample_weight=None):
        return super().fit(X)


class NeverEndsItsTask(Good):
    @with_callbacks
    def fit(self, X, y=None):
        super().fit(X)
        FitTask(self, as_trajectories(X))
        return self


BROKEN = {
    ConvertsInInit: checks.check_init_stores_arguments_only,
    Undocumented: checks.check_every_parameter_is_documented,
    SetsInSilence: checks.check_params_round_trip,
    ClonesWithMemory: checks.check_clone_is_unfitted_and_equal,
    ForgetsItsSeed: checks.check_refit_is_idempotent,
    TakesFramesForRuns: checks.check_one_trajectory_is_a_list_of_one,
    ReturnsNothing: checks.check_fit_returns_self,
    LearnsWithoutUnderscore: checks.check_fit_sets_public_attributes_with_underscore,
    SetsParameters: checks.check_fit_leaves_parameters_alone,
    SortsItsInput: checks.check_fit_leaves_data_alone,
    CountsCalls: checks.check_methods_leave_estimator_alone,
    StartsWarm: checks.check_refit_forgets,
    UsesY: checks.check_y_is_ignored,
    KeepsNothingInPickles: checks.check_pickle_keeps_outputs,
    AnswersUnfitted: checks.check_unfitted_raises,
    TransformsOtherwiseTogether: checks.check_fit_transform,
    Stacks: checks.check_one_output_per_trajectory,
    Normalises: checks.check_trajectories_are_independent,
    ListsOnly: checks.check_containers_are_accepted,
    TakesAnything: checks.check_bad_input_raises,
    SeedsTorch: checks.check_global_generators_are_left_alone,
    DrawsFromNumpy: checks.check_global_generators_are_left_alone,
    IgnoresGenerators: checks.check_random_state_kinds,
    NamesColumns: checks.check_set_output_is_left_alone,
    ClaimsArrays: checks.check_tags_tell_the_truth,
    ClaimsNoFit: checks.check_tags_tell_the_truth,
    SwallowsWeights: checks.check_sample_weight_is_refused,
    NeverEndsItsTask: checks.check_callbacks_are_told,
}


def run(n_frames=9, seed=0):
    positions = np.random.default_rng(seed).normal(size=(n_frames, 2, 3))
    return Trajectory(positions, None, [3, 16], timestep=1.0)


def samples():
    return [run(9), run(7, 1), run(8, 2)]


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
def test_a_sound_estimator_passes(check):
    check(Good(), samples())


@pytest.mark.parametrize(
    "broken",
    [name for name in BROKEN if name is not NeverEndsItsTask or hasattr(Good, "set_callbacks")],
    ids=lambda broken: broken.__name__,
)
def test_a_broken_estimator_fails(broken):
    # AssertionError from expect, other errors from the broken method itself
    with pytest.raises((AssertionError, AttributeError, TypeError, ValueError)):
        BROKEN[broken](broken(), samples())


def test_every_check_has_an_estimator_that_fails_it():
    # without scikit-learn's callbacks there is nothing to break
    idle = set() if hasattr(Good(), "set_callbacks") else {checks.check_callbacks_are_told}
    assert set(checks.CHECKS) - idle == set(BROKEN.values()) - idle
