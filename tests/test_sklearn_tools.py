"""scikit-learn's tools, and deeptime's estimators, on a pipeline from trajectories to states.

Whatever runs in parallel runs in two processes of one thread each, and must give the numbers of
one process. The tolerance is 1e-10: the same operations on the same numbers, in another process.
"""

import pickle

import numpy as np
import pytest
from deeptime.decomposition import TICA, VAMP
from deeptime.markov import TransitionCountEstimator
from deeptime.markov.msm import MaximumLikelihoodMSM
from estimator_checks import Container
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - opens the next import
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_validate,
)
from small_fits import LAG, make_estimator, make_featurizer, make_pipe

import graphkoopman.callbacks
from graphkoopman import GraphFeaturizer, as_target_trajectories, segments
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.model_selection import (
    LeaveOneTrajectoryOut,
    MixedLagWarning,
    SegmentKFold,
    SegmentShuffleSplit,
    cross_val_transform,
)

# fits are as short as can be on purpose
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def run():
    return make_hopping(chain_rates(2, slowest=20.0), 480, random_state=0).trajectory


@pytest.fixture(scope="module")
def pieces(run):
    """Of one run, of two lengths, and a short run of its own: ragged."""
    other = make_hopping(chain_rates(2, slowest=20.0), 70, random_state=1).trajectory
    return [*segments(run, 7), other]


def assert_same_scores(one, other):
    for name in one:
        if name.endswith("_score"):
            np.testing.assert_allclose(one[name], other[name], rtol=0, atol=1e-10)


def test_cross_validate(pieces, two_processes):
    scores = [
        cross_validate(make_pipe(), pieces, cv=SegmentKFold(3), n_jobs=n, error_score="raise")
        for n in (1, 2)
    ]
    assert_same_scores(*scores)
    assert np.all((scores[0]["test_score"] >= 1.0) & (scores[0]["test_score"] <= 2.0))


@pytest.mark.parametrize("Search", [GridSearchCV, RandomizedSearchCV, HalvingGridSearchCV])
def test_searches(Search, pieces, two_processes):
    settings = {
        GridSearchCV: {"param_grid": {"gdynetestimator__encoder__n_features": [4, 8]}},
        RandomizedSearchCV: {
            "param_distributions": {"graphfeaturizer__n_neighbors": [3, 4, 5]},
            "n_iter": 2,
            "random_state": 0,
        },
        HalvingGridSearchCV: {
            "param_grid": {"gdynetestimator__encoder__n_features": [4, 8]},
            "resource": "gdynetestimator__max_epochs",
            "max_resources": 2,
            "factor": 2,
        },
    }[Search]
    cv = SegmentKFold(2, gap=1)
    one, two = (
        Search(make_pipe(), cv=cv, n_jobs=n, error_score="raise", **settings).fit(pieces)
        for n in (1, 2)
    )
    names = [name for name in one.cv_results_ if name.startswith("split")]
    for name in names:
        np.testing.assert_allclose(one.cv_results_[name], two.cv_results_[name], atol=1e-10)
    assert one.best_params_ == two.best_params_
    assert one.score(pieces) == pytest.approx(two.score(pieces), abs=1e-10)
    assert [len(chi) for chi in two.predict(pieces)] == [len(piece) for piece in pieces]
    if Search is HalvingGridSearchCV:
        assert one.n_resources_ == [1, 2]
        assert one.best_estimator_[-1].max_epochs == 2


def test_halving_of_the_bare_estimator_by_epochs(pieces):
    graphs = make_featurizer().transform(pieces)
    search = HalvingGridSearchCV(
        make_estimator(),
        {"encoder__n_features": [4, 8]},
        resource="max_epochs",
        max_resources=2,
        factor=2,
        cv=SegmentKFold(2),
        error_score="raise",
    ).fit(graphs)
    assert sorted(set(search.cv_results_["n_resources"])) == [1, 2]


def test_search_over_lags_stops_where_the_gap_is_too_short(run):
    pieces = segments(run, 16)  # of 30 frames
    search = GridSearchCV(
        make_pipe(),
        {"gdynetestimator__lagtime": [30, 31]},
        cv=SegmentKFold(2, gap=1),
        error_score="raise",
    )
    with pytest.raises(ValueError, match="lagtime=31 frames away"):
        search.fit(pieces)
    search.set_params(param_grid={"gdynetestimator__lagtime": [2, 30]})
    # scores at two lags are not comparable, whatever they are
    with pytest.warns(MixedLagWarning, match="lags of 30 and 2 frames"):
        search.fit(pieces)


def test_pipeline_memory(pieces, tmp_path, monkeypatch):
    plain = make_pipe().fit(pieces).score(pieces)
    cached = make_pipe(memory=str(tmp_path))
    assert cached.fit(pieces).score(pieces) == plain
    monkeypatch.setattr(GraphFeaturizer, "transform", None)
    # graphs come from the cache: the featurizer would fail
    cached.fit(pieces)
    graphs = make_featurizer()
    monkeypatch.undo()
    assert cached[-1].score(graphs.transform(pieces)) == plain


def test_nested_parameters_clone_and_pickle(pieces):
    pipe = make_pipe().set_params(gdynetestimator__n_states=3, graphfeaturizer__n_neighbors=5)
    assert pipe.get_params()["gdynetestimator__n_states"] == 3
    copy = clone(pipe)
    assert copy[-1].n_states == 3
    assert copy[0].n_neighbors == 5
    with pytest.raises(ValueError, match="Invalid parameter 'states'"):
        pipe.set_params(gdynetestimator__states=3)
    with pytest.raises(NotFittedError):
        make_pipe().transform(pieces)
    fitted = make_pipe().fit(pieces)
    thawed = pickle.loads(pickle.dumps(fitted))
    assert thawed.score(pieces) == fitted.score(pieces)


def test_custom_container_in_the_tools(pieces):
    # indexed by scikit-learn, trajectory by trajectory, for the folds
    contained, listed = (
        cross_validate(make_pipe(), X, cv=SegmentKFold(2), error_score="raise")["test_score"]
        for X in (Container(pieces), pieces)
    )
    np.testing.assert_array_equal(contained, listed)
    # and passed whole
    assert make_pipe().fit(Container(pieces)).score(Container(pieces)) > 1.0


def test_metadata_routing(pieces):
    groups = [0, 0, 0, 1, 1, 1, 1, 2]
    cv = LeaveOneTrajectoryOut()
    plain = cross_validate(make_pipe(), pieces, cv=cv, groups=groups, error_score="raise")
    with config_context(enable_metadata_routing=True):
        routed = cross_validate(
            make_pipe(), pieces, cv=cv, params={"groups": groups}, error_score="raise"
        )
        weights = np.ones(len(pieces))
        with pytest.raises(TypeError, match=r"sample_weight.* not routed to any object"):
            make_pipe().fit(pieces, sample_weight=weights)
        with pytest.raises(ValueError, match=r"sample_weight.* not explicitly set as requested"):
            make_pipe().fit(pieces).score(pieces, sample_weight=weights)
    assert len(plain["test_score"]) == 3
    assert_same_scores(plain, routed)


def test_cross_val_transform(run, two_processes):
    pieces = segments(run, 8)
    one, two = (
        cross_val_transform(make_pipe(max_epochs=20), pieces, cv=2, n_jobs=n) for n in (1, 2)
    )
    assert [len(chi) for chi in one] == [len(piece) for piece in pieces]
    for chi, other in zip(one, two, strict=True):
        np.testing.assert_allclose(chi, other, rtol=0, atol=1e-10)
    # every piece is transformed by the model of the other half: pieces 5 to 7, pieces 0 to 2
    second = make_pipe(max_epochs=20).fit(pieces[5:])
    np.testing.assert_array_equal(one[0], second.transform(pieces[:1])[0])


def test_cross_val_transform_gives_folds_the_same_states(run):
    data = make_hopping(chain_rates(2, slowest=20.0), 960, random_state=3)
    pieces = segments(data.trajectory, 8)
    states = cross_val_transform(make_pipe(max_epochs=20), pieces, cv=SegmentKFold(2))
    predicted = np.concatenate(states).argmax(axis=-1)
    agreement = np.mean(predicted == data.labels)
    # a frame tells the state; folds in different orders would agree in about half of the frames
    assert max(agreement, 1.0 - agreement) > 0.95


def test_cross_val_transform_refuses_what_it_cannot_do(pieces):
    with pytest.raises(ValueError, match="cv must test each of the 8 trajectories once"):
        cross_val_transform(make_pipe(), pieces, cv=SegmentShuffleSplit(2, random_state=0))
    with pytest.raises(ValueError, match="lagtime=3 frames away"):
        cross_val_transform(make_pipe(), pieces, cv=SegmentKFold(2, gap=0))
    # what it is there for: scikit-learn stacks, and cannot
    with pytest.raises(ValueError, match="inhomogeneous"):
        cross_val_predict(make_pipe(), pieces, cv=SegmentKFold(2))


def test_deeptime_takes_the_states_of_every_target(pieces):
    pipe = make_pipe(max_epochs=20).fit(pieces)
    probs = pipe.transform(pieces)
    trajectories = as_target_trajectories(probs)
    n_targets = probs[0].shape[1]
    assert len(trajectories) == len(pieces) * n_targets
    # rows are divided by their sum once more
    np.testing.assert_allclose(trajectories[n_targets + 2], probs[1][:, 2], atol=1e-15)
    ours = pipe[-1].koopman_model(pipe[0].transform(apart(pieces)), LAG)
    # both cut the direction that the columns' sum makes redundant, at thresholds of their own
    vamp = VAMP(lagtime=LAG).fit_fetch(trajectories)
    assert vamp.score(2) == pytest.approx(ours.score(2), abs=1e-6)
    tica = TICA(lagtime=LAG).fit_fetch(trajectories)
    assert tica.timescales(lagtime=LAG).shape == (1,)
    labels = [chi.argmax(axis=1) for chi in trajectories]
    counts = TransitionCountEstimator(LAG, "sliding").fit_fetch(labels)
    msm = MaximumLikelihoodMSM().fit_fetch(counts.submodel_largest())
    assert msm.n_states == 2
    assert msm.timescales()[0] == pytest.approx(tica.timescales(lagtime=LAG)[0], rel=0.5)


def apart(pieces):
    """Pieces as runs of their own: nothing is joined, as in a plain list of arrays."""
    return [piece._with(parent=None, start=0) for piece in pieces]


def test_set_output_is_refused_by_name(pieces):
    with pytest.raises(ValueError, match="Unable to configure output for GraphFeaturizer"):
        make_pipe().set_output(transform="pandas")


# --- callbacks -----------------------------------------------------------------------------------


def test_progress_bar_and_scoring_monitor(pieces, capsys):
    if not hasattr(make_estimator(), "set_callbacks"):
        assert not hasattr(make_pipe(), "set_callbacks")  # scikit-learn < 1.9 has none either
        return
    from sklearn.callback import ProgressBar, ScoringMonitor

    graphs = make_featurizer().transform(pieces)
    plain = make_estimator(max_epochs=3, n_init=2).fit(graphs)
    monitor = ScoringMonitor(scoring={"vamp2": lambda fitted, X, y: fitted.score(X)})
    estimator = make_estimator(max_epochs=3, n_init=2).set_callbacks(ProgressBar(), monitor)
    estimator.fit(graphs)
    assert estimator.score(graphs) == plain.score(graphs)
    assert "GDyNetEstimator - fit" in capsys.readouterr().out
    rows = monitor.get_logs().data
    epochs = [row["vamp2"] for row in rows if row["task_name"] == "epoch"]
    # a subspace for both starts, then subspace and score of the better one on all frames
    assert len(epochs) == 12
    # "as if the fit had stopped there": the score of the network kept, at the end that of the fit
    assert epochs[-1] == estimator.score(graphs)
    assert [row["vamp2"] for row in rows if row["task_name"] == "fit"] == [epochs[-1]]


def test_progress_bar_of_a_pipeline_reaches_its_steps(pieces, capsys):
    if not hasattr(make_estimator(), "set_callbacks"):
        return
    from sklearn.callback import ProgressBar

    make_pipe().set_callbacks(ProgressBar(max_propagation_depth=None)).fit(pieces)
    printed = capsys.readouterr().out
    assert "GraphFeaturizer - fit" in printed
    assert "GDyNetEstimator - fit" in printed
    search = GridSearchCV(make_pipe(), {"gdynetestimator__n_init": [1, 2]}, cv=SegmentKFold(2))
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(pieces)
    assert "GDyNetEstimator - fit" in capsys.readouterr().out


def test_a_callback_may_stop_the_fit(pieces, recwarn):
    if not hasattr(make_estimator(), "set_callbacks"):
        return

    class StopAtOnce:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            assert fitted_estimator.transform(graphs)[0].shape == (69, graphs[0].n_targets, 2)
            return True

    graphs = make_featurizer().transform(pieces)
    estimator = make_estimator(max_epochs=20).set_callbacks(StopAtOnce()).fit(graphs)
    assert estimator.n_iter_ == 1
    assert not estimator.converged_


def test_verbose_shows_progress_without_callbacks(pieces, capsys, monkeypatch):
    monkeypatch.setattr("graphkoopman.progress.NEWS", 0.0)  # however fast the fit
    graphs = make_featurizer().transform(pieces)
    make_estimator(verbose=True).fit(graphs)
    assert "6 epochs" in capsys.readouterr().err


def test_older_versions_without_callbacks_fit_the_same():
    task = graphkoopman.callbacks.FitTask(object(), [1, 2])
    assert task.step(dict) is False
    task.end()
