"""Scorers: agreement with deeptime and the paper's score, pipelines, names, mixed lags."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

from graphkoopman import GDyNetEstimator, GraphFeaturizer, segments
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.koopman import ck_error
from graphkoopman.lobes import GatedEncoder
from graphkoopman.model_selection import (
    SCORER_NAMES,
    SELECTION_SCORES,
    KoopmanScorer,
    MixedLagWarning,
    SegmentKFold,
    ck_scorer,
    markov_scorer,
    timescale_scorer,
    vamp1_scorer,
    vamp2_scorer,
    vampe_scorer,
)

# fits of a few epochs are not asked to converge here
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LAG = 4
FOLDS = SegmentKFold(2)


def small_estimator(**changes):
    settings = {
        "n_states": 2,
        "lagtime": LAG,
        "encoder": GatedEncoder(n_conv=1),
        "max_epochs": 3,
        "random_state": 0,
    }
    return GDyNetEstimator(**settings | changes)


@pytest.fixture(scope="module")
def trajectory():
    rates = chain_rates(2, slowest=20.0)
    return make_hopping(rates, 1200, n_targets=4, n_ligands=4, random_state=0).trajectory


@pytest.fixture(scope="module")
def graphs(trajectory):
    pieces = segments(trajectory, 6)
    return GraphFeaturizer(n_neighbors=4, n_hops=1).fit_transform(pieces)


@pytest.fixture(scope="module")
def fitted(graphs):
    return small_estimator().fit(graphs[:3])


def test_own_scores_are_those_of_a_model_of_the_test_data(fitted, graphs):
    test = graphs[4:]
    model = fitted.koopman_model(test)
    assert vamp2_scorer(fitted, test) == fitted.score(test) == model.score(2)
    assert vamp1_scorer(fitted, test) == model.score(1)
    # of its own data, VAMP-E equals VAMP-2 but for rounding
    assert vampe_scorer(fitted, test) == pytest.approx(model.score(2), abs=1e-10)
    at_lag_9 = KoopmanScorer("vamp2", lagtime=9)(fitted, test)
    assert at_lag_9 == fitted.koopman_model(test, 9).score(2)
    times = fitted.koopman_model(test).timescales_ps()
    assert timescale_scorer(fitted, test) == times[0]


def test_cross_validated_scores_are_deeptimes(fitted, graphs):
    test = graphs[4:]
    model = fitted.koopman_model(test)
    trained = fitted.fetch_model()
    names = ("vamp1_cv", "vamp2_cv", "vampe_cv")
    found = KoopmanScorer(names)(fitted, test)
    assert found == {
        name: trained.score(r, test_model=model) for name, r in zip(names, (1, 2, "E"), strict=True)
    }
    # the training singular functions span the same space, and are whitened again
    assert found["vamp2_cv"] == pytest.approx(model.score(2), abs=1e-10)
    assert found["vampe_cv"] < found["vamp2_cv"]


def test_adjacent_test_pieces_are_joined(fitted, graphs, trajectory):
    (whole,) = GraphFeaturizer(n_neighbors=4, n_hops=1).fit_transform(trajectory[800:1200])
    assert vamp2_scorer(fitted, graphs[4:]) == pytest.approx(vamp2_scorer(fitted, whole), abs=1e-12)


def test_ck_in_units_of_its_standard_error(fitted, graphs):
    result = ck_error(fitted.transform(graphs[4:5])[0], LAG, 12)
    scores = KoopmanScorer(["ck", "neg_ck_error", "neg_ck_standard_error"], horizon=12)(
        fitted, graphs[4:5]
    )
    assert scores["ck"] == -abs(result.error) / result.standard_error
    assert scores["neg_ck_error"] == -result.error
    assert scores["neg_ck_standard_error"] == -result.standard_error
    default = ck_error(fitted.transform(graphs[4:5])[0], LAG, 5 * LAG)
    assert ck_scorer(fitted, graphs[4:5]) == -abs(default.error) / default.standard_error


def test_a_pipeline_scores_like_its_estimator(fitted, graphs, trajectory):
    pipeline = make_pipeline(GraphFeaturizer(n_neighbors=4, n_hops=1), fitted)
    scorer = KoopmanScorer(["vamp2", "ck", "timescale"])
    assert scorer(pipeline, segments(trajectory, 6)[4:]) == scorer(fitted, graphs[4:])


def test_names_serve_scikit_learn_as_multimetric_scoring(graphs):
    names = ("vamp2", "vampe_cv")
    both = cross_validate(small_estimator(), graphs, scoring=KoopmanScorer(names), cv=FOLDS)
    each = cross_validate(
        small_estimator(), graphs, scoring={name: KoopmanScorer(name) for name in names}, cv=FOLDS
    )
    for name in names:
        np.testing.assert_array_equal(both[f"test_{name}"], each[f"test_{name}"])


def test_scoring_one_grid_at_several_lags_warns(graphs):
    search = GridSearchCV(
        small_estimator(max_epochs=1),
        {"lagtime": [2, 4]},
        scoring=vamp2_scorer,
        cv=FOLDS,
        refit=False,
    )
    with pytest.warns(MixedLagWarning, match="lags of 2 and 4 frames.*lagtime=4.*select_markovian"):
        clone(search).fit(graphs)
    # no warning, which would be an error here, at a common lag or for the selection rule
    for scoring in (KoopmanScorer("vamp2", lagtime=4), markov_scorer(8), KoopmanScorer("ck")):
        clone(search).set_params(scoring=scoring).fit(graphs)


def test_scorers_copy_without_what_they_have_met(fitted, graphs):
    scorer = KoopmanScorer("vamp2")
    scorer(fitted, graphs[4:])
    other = clone(fitted).set_params(lagtime=5)
    other.__dict__ |= {k: v for k, v in vars(fitted).items() if k.endswith("_")}
    for copied in (pickle.loads(pickle.dumps(scorer)), copy.deepcopy(scorer)):
        assert repr(copied) == repr(scorer)
        copied(other, graphs[4:])
    with pytest.warns(MixedLagWarning):
        scorer(other, graphs[4:])


def test_every_name_gives_a_finite_number(fitted, graphs):
    scores = KoopmanScorer(SCORER_NAMES)(fitted, graphs[4:])
    assert set(SELECTION_SCORES) < set(scores) == set(SCORER_NAMES)
    assert np.isfinite(list(scores.values())).all()


def test_what_cannot_be_scored_is_named(fitted, graphs):
    with pytest.raises(ValueError, match=r"names must be among .* got \['vamp3'\]"):
        KoopmanScorer(["vamp2", "vamp3"])
    with pytest.raises(TypeError, match="got GraphFeaturizer"):
        vamp2_scorer(GraphFeaturizer(), graphs)
    with pytest.raises(ValueError, match="scoring lag of 7 and an estimator with lagtime=4"):
        KoopmanScorer("vampe_cv", lagtime=7)(fitted, graphs[4:])
