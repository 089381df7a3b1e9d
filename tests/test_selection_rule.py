"""The selection rule as a pure function of cv_results_: known answers, no network."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from graphkoopman.model_selection import (
    SELECTION_SCORES,
    SelectionWarning,
    explain_selection,
    select_markovian,
    selection_report,
)
from graphkoopman.model_selection._selection import paired_standard_error

LAGS = [2, 4, 8]
FOLD_EFFECT = np.array([0.3, -0.2, 0.1, -0.2])  # data of a fold move all candidates alike


def table(scores, errors, standard_error=0.01, prefix="", n_folds=4):
    """cv_results_ from {n_states: score (or folds)} at all lags and {lag: error} at all n."""
    params, folds = [], []
    for n, score in scores.items():
        for lag in LAGS:
            params.append({f"{prefix}n_states": n, f"{prefix}lagtime": lag})
            # scores fall with the lag: rows of different lags must not be compared
            folds.append(np.array(score) + FOLD_EFFECT[:n_folds] - 0.1 * lag)
    results = {"params": params}
    spread = np.array([1.0, -1.0, 1.0, -1.0])[:n_folds] * 1e-3
    error = np.array([[errors[p[f"{prefix}lagtime"]]] for p in params]) + spread
    columns = (np.array(folds), -error, np.full_like(error, -standard_error))
    for name, values in zip(SELECTION_SCORES, columns, strict=True):
        results |= {f"split{i}_test_{name}": values[:, i] for i in range(n_folds)}
    return results


# of the error pooled over four folds: 1.96 * 0.01 / 2
HALF_WIDTH = 0.0098
PASSING_FROM_4 = {2: 0.05, 4: 0.009, 8: 0.001}
# four states gain 0.01 in one fold and lose it in another
NOISE = np.array([0.011, -0.01, 0.0, 0.0])
THREE_ARE_RIGHT = {2: 1.5, 3: 2.0, 4: 2.0 + NOISE}


def chosen(results, **options):
    row = results["params"][select_markovian(results, **options)]
    return row["n_states"], row["lagtime"]


def test_fewest_states_within_a_paired_standard_error_and_shortest_markovian_lag():
    results = table(THREE_ARE_RIGHT, PASSING_FROM_4)
    assert chosen(results) == (3, 4)
    selection = explain_selection(results)
    assert [c.is_enough for c in selection.states] == [False, True, True]
    assert [lag.verdict for lag in selection.lags] == ["not markovian", "markovian", "markovian"]
    # quantile of the normal distribution in four digits
    assert selection.lags[0].half_width == pytest.approx(HALF_WIDTH, rel=1e-4)
    assert selection.verdict == "markovian"


def test_folds_differ_far_more_than_candidates_and_do_not_hide_a_state():
    # deviations over folds are 0.24, the third state gains 0.05 in every one
    assert chosen(table({2: 1.95, 3: 2.0}, PASSING_FROM_4))[0] == 3


def test_standard_error_is_that_of_folds_that_share_training_data():
    differences = np.array([1.0, 2.0, 3.0, 6.0])
    # s² = 14/3; 1/4 + 1/3
    assert paired_standard_error(differences) == pytest.approx(np.sqrt(14 / 3 * 7 / 12))


def test_literal_rule_stops_at_the_fewest_states():
    assert explain_selection(table(THREE_ARE_RIGHT, PASSING_FROM_4)).literal == (2, 4)
    never = {2: 0.5, 4: 0.5, 8: 0.5}
    with pytest.warns(SelectionWarning):
        select_markovian(table(THREE_ARE_RIGHT, never))
    assert explain_selection(table(THREE_ARE_RIGHT, never)).literal is None


def test_max_lagtime_bounds_the_lag_and_the_scoring_lag():
    results = table(THREE_ARE_RIGHT, PASSING_FROM_4)
    assert explain_selection(results, max_lagtime=5).scoring_lagtime == 4
    assert explain_selection(results, scoring_lagtime=2).scoring_lagtime == 2
    with pytest.warns(SelectionWarning, match="no lag up to 2 frames passes.*allow longer lags"):
        assert chosen(results, max_lagtime=2) == (3, 2)


def test_wide_intervals_are_inconclusive_not_markovian():
    # half the width is 1.96 * 0.06 / 2 = 0.0588
    results = table(THREE_ARE_RIGHT, PASSING_FROM_4, standard_error=0.06)
    with pytest.warns(SelectionWarning, match="too little data"):
        assert chosen(results) == (3, 8)
    selection = explain_selection(results)
    assert {lag.verdict for lag in selection.lags} == {"inconclusive"}
    assert selection.literal == (2, 2)
    assert chosen(results, max_width=0.12) == (3, 2)


def test_an_error_below_zero_counts_like_one_above():
    results = table(THREE_ARE_RIGHT, {2: -0.05, 4: 0.03, 8: -0.005})
    assert chosen(results) == (3, 8)


def test_parameters_of_a_pipeline_and_other_parameters():
    results = table(THREE_ARE_RIGHT, PASSING_FROM_4, prefix="gdynetestimator__")
    row = results["params"][select_markovian(results)]
    assert row == {"gdynetestimator__n_states": 3, "gdynetestimator__lagtime": 4}
    doubled = table(THREE_ARE_RIGHT, PASSING_FROM_4)
    n = len(doubled["params"])
    doubled["params"] = [{**p, "n_conv": n_conv} for n_conv in (1, 2) for p in doubled["params"]]
    for key in [key for key in doubled if key != "params"]:
        better = 0.1 if "vampe" in key else 0.0
        doubled[key] = np.concatenate([doubled[key], doubled[key] + better])
    index = select_markovian(doubled)
    assert index >= n
    assert doubled["params"][index] == {"n_states": 3, "lagtime": 4, "n_conv": 2}


def test_candidates_that_failed_are_left_out():
    results = table(THREE_ARE_RIGHT, PASSING_FROM_4)
    results["split1_test_vampe_cv"][results["params"].index({"n_states": 3, "lagtime": 4})] = np.nan
    assert chosen(results) == (3, 8)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"params": [{"lagtime": 2}]}, {}, "must vary n_states"),
        ({"params": [{"n_states": 2}]}, {}, "must vary lagtime"),
        ({}, {"max_lagtime": 1}, "max_lagtime must be at least"),
        ({}, {"scoring_lagtime": 3}, "scoring_lagtime must be a lag of the grid"),
    ],
)
def test_what_is_missing_is_named(change, options, message):
    results = table(THREE_ARE_RIGHT, PASSING_FROM_4) | change
    with pytest.raises(ValueError, match=message):
        select_markovian(results, **options)


def test_missing_scores_or_folds_are_named():
    results = table(THREE_ARE_RIGHT, PASSING_FROM_4)
    without = {key: value for key, value in results.items() if "error" not in key}
    with pytest.raises(ValueError, match=r"'neg_ck_error'; search with scoring=markov_scorer"):
        select_markovian(without)
    with pytest.raises(ValueError, match="at least two folds"):
        select_markovian(table({2: 1.5, 3: 2.0}, PASSING_FROM_4, n_folds=1))
    failed = results | {"split0_test_vampe_cv": np.full(9, np.nan)}
    with pytest.raises(ValueError, match="without NaN"):
        select_markovian(failed)


def test_report_explains_the_choice_beside_the_literal_rule():
    results = table(THREE_ARE_RIGHT, PASSING_FROM_4)
    report = selection_report(results, timestep=0.5)
    assert report.startswith("Number of states: 3\n")
    assert "Lag time: 4 frames (2 ps), markovian" in report
    assert "within one standard error of the best (4)" in report
    assert "gives 2 states and 4 frames (2 ps)" in report
    search = SimpleNamespace(cv_results_=results, refit=partial(select_markovian, max_lagtime=2))
    assert "no lag up to 2 frames passes" in selection_report(search)
    assert "this is the largest number tried" in selection_report(
        table({2: 1, 3: 2}, PASSING_FROM_4)
    )
