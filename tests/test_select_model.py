"""The whole choice in one call: folds that do not leak, a known answer, what is refused."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from matplotlib import pyplot as plt
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import make_pipeline

from graphkoopman import GDyNetEstimator, GraphFeaturizer, segments
from graphkoopman.datasets import chain_rates, label_timescales, make_hopping
from graphkoopman.lobes import GatedEncoder
from graphkoopman.model_selection import (
    SegmentKFold,
    markov_scorer,
    select_markovian,
    select_model,
    selection_report,
    time_pieces,
)
from graphkoopman.model_selection._search import CandidateFile
from graphkoopman.plotting import plot_ck_errors, plot_selection_timescales, plot_state_scores

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LAGS = [2, 4]


@pytest.fixture(scope="module")
def hopping():
    rates = chain_rates(2, slowest=20.0)
    return make_hopping(rates, 1200, n_targets=6, molecules=True, vibration=0.03, random_state=0)


@pytest.fixture(scope="module")
def graphs(hopping):
    return GraphFeaturizer(n_neighbors=2, n_hops=1).fit_transform(hopping.trajectory)


@pytest.fixture(scope="module")
def estimator():
    return GDyNetEstimator(
        encoder=GatedEncoder(n_conv=1), max_epochs=3, batch_size=200, random_state=0
    )


@pytest.fixture(scope="module")
def result(graphs, estimator):
    return select_model(graphs, LAGS, [2, 3], estimator=estimator)


def test_candidates_that_are_done_are_not_tried_again(
    result, graphs, estimator, tmp_path, monkeypatch
):
    tried = []
    add = CandidateFile.add

    def note(self, results):
        tried.append(results["params"][0])
        rows = add(self, results)
        if len(tried) == 3:
            raise KeyboardInterrupt
        return rows

    monkeypatch.setattr(CandidateFile, "add", note)
    again = partial(
        select_model, graphs, LAGS, [2, 3], estimator=estimator, checkpoint_dir=tmp_path
    )
    with pytest.raises(KeyboardInterrupt):
        again()
    found = again()
    assert tried == list(ParameterGrid({"n_states": [2, 3], "lagtime": LAGS}))
    assert found.selection == result.selection
    for name, column in result.cv_results.items():
        # times are of the clock
        if name.startswith(("split", "mean_test", "std_test", "rank", "param")):
            np.testing.assert_array_equal(np.asarray(found.cv_results[name]), np.asarray(column))
    with pytest.raises(ValueError, match=r"another search \(other settings"):
        again(estimator=clone(estimator).set_params(max_epochs=2))


def test_the_table_is_that_of_scikit_learn(result, graphs, estimator):
    search = GridSearchCV(
        estimator,
        {"n_states": [2], "lagtime": LAGS},
        scoring=markov_scorer(2 * LAGS[-1]),
        cv=SegmentKFold(4, gap=1),
        refit=False,
    ).fit(time_pieces(graphs, 4, LAGS[-1], 2 * LAGS[-1]))
    assert set(search.cv_results_) == set(result.cv_results)
    rows = [params["n_states"] == 2 for params in result.cv_results["params"]]
    for name, column in search.cv_results_.items():
        if name.startswith(("split", "mean_test", "std_test")):
            np.testing.assert_array_equal(np.asarray(result.cv_results[name])[rows], column)


def test_two_states_and_the_shortest_lag_of_a_markov_chain(result, hopping):
    assert (result.selection.n_states, result.selection.lagtime) == (2, 2)
    assert result.selection.verdict == "markovian"
    assert result.estimator.n_states == 2
    truth = label_timescales(hopping.labels, 2, 1.0)
    # the network sees every frame's state but for soft memberships
    np.testing.assert_allclose(result.estimator.model_.timescales_ps(), truth.timescales, rtol=0.05)
    assert sorted(result.timescales) == [2, 3]
    assert list(result.timescales[2].lagtimes) == LAGS
    assert result.timescales[3].timescales_for_process(1).shape == (2,)
    assert len(result.cv_results["params"]) == 4


def test_figures_show_every_candidate(result):
    ax = plot_state_scores(result.selection)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["2", "3"]
    ax = plot_ck_errors(result.selection, timestep=result.timestep)
    assert ax.get_xlabel() == "lag time / ps"
    figure = plot_selection_timescales(result)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["2 states, chosen", "3 states"]
    plt.close("all")


def test_jobs_and_trajectories_give_the_same_choice(
    result, hopping, estimator, two_processes, capsys
):
    again = select_model(
        segments(hopping.trajectory, 4),
        LAGS,
        [2, 3],
        estimator=estimator,
        featurizer=GraphFeaturizer(n_neighbors=2, n_hops=1),
        n_jobs=2,
        verbose=True,
    )
    assert again.selection.index == result.selection.index
    assert capsys.readouterr().out.count("VAMP-2") == 4
    for name in ("mean_test_vampe_cv", "mean_test_neg_ck_error"):
        # one thread per worker here and there: the same operations
        np.testing.assert_allclose(again.cv_results[name], result.cv_results[name], atol=1e-10)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(50, 400), min_size=1, max_size=5),
    n_splits=st.integers(2, 5),
    longest=st.integers(1, 30),
)
def test_no_training_pair_comes_within_the_longest_lag_of_a_test_frame(
    graphs, lengths, n_splits, longest
):
    runs = [replace(graphs[0][:n], parent=f"run {i}") for i, n in enumerate(lengths)]
    # two pieces per fold at the least; shorter data are refused, which has a test of its own
    target = max(2 * longest + 1, sum(lengths) // (8 * n_splits) + 1)
    assume(sum(max(1, n // target) for n in lengths) >= 2 * n_splits)
    assume(min(lengths) > 2 * longest and sum(lengths) > n_splits * 2 * longest)
    pieces = time_pieces(runs, n_splits, longest, 2 * longest)
    assert sum(map(len, pieces)) == sum(lengths)
    tested = []
    for train, test in SegmentKFold(n_splits, gap=1).split(pieces):
        tested += list(test)
        for i in train:
            for j in test:
                one, other = sorted((pieces[i], pieces[j]), key=lambda piece: piece.start)
                apart = other.start - (one.start + len(one))
                assert one.parent != other.parent or apart >= longest
    assert sorted(tested) == list(range(len(pieces)))


def test_refit_callable_of_a_grid_search_over_a_pipeline(hopping, estimator):
    pipeline = make_pipeline(GraphFeaturizer(n_neighbors=2, n_hops=1), estimator)
    search = GridSearchCV(
        pipeline,
        {"gdynetestimator__n_states": [2, 3], "gdynetestimator__lagtime": [2]},
        scoring=markov_scorer(horizon=8),
        cv=SegmentKFold(2, gap=1),
        refit=partial(select_markovian, max_lagtime=2),
    )
    search.fit(segments(hopping.trajectory[:800], 8))
    assert search.best_params_ == {"gdynetestimator__n_states": 2, "gdynetestimator__lagtime": 2}
    assert search.best_estimator_[-1].n_states == 2
    assert selection_report(search).startswith("Number of states: 2")


def test_short_data_and_empty_grids_are_refused_before_any_fit(graphs, estimator):
    with pytest.raises(ValueError, match="1200 frames for 4 folds and a shortest"):
        select_model(graphs, [4, 400], [2], estimator=estimator)
    for options, message in (
        ({"max_lagtime": 1}, "max_lagtime must be at least the shortest"),
        ({"scoring_lagtime": 3}, r"scoring_lagtime must be one of lagtimes, \[2, 4\], got 3"),
        ({"horizon": 7}, r"horizon must be at least two of the longest lags \(8 frames\), got 7"),
    ):
        with pytest.raises(ValueError, match=message):
            select_model(graphs, LAGS, [2], estimator=estimator, **options)
    with pytest.raises(ValueError, match="lagtimes must hold at least one"):
        select_model(graphs, [], [2], estimator=estimator)
