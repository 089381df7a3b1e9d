"""Cycles, comparisons on held-out frames, agreement of starts, and states that cost no score."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import cohen_kappa_score

from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.descriptors import FeatureTrajectory
from graphkoopman.koopman import identify_states
from graphkoopman.lobes import GatedEncoder
from graphkoopman.training import _loop
from graphkoopman.training._agreement import cohen_kappa, median_agreement
from graphkoopman.training._batches import Run, StatisticsBatch
from graphkoopman.training._restarts import Restarts, _union
from graphkoopman.training._schedule import rate_in_cycle
from graphkoopman.training._validation import (
    is_better,
    jackknife_error,
    n_significant,
    paired_rise,
    validation_of,
)


def test_the_rate_rises_and_falls_once_in_a_cycle():
    rates = [rate_in_cycle(done) for done in np.linspace(0.0, 1.0, 101)]
    top = int(np.argmax(rates))
    assert 0.0 < rates[0] < 0.2
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    assert np.all(np.diff(rates[: top + 1]) > 0)
    assert np.all(np.diff(rates[top:]) < 0)
    assert 0.9 < rates[top] <= 1.0


@pytest.mark.parametrize("n_states", [2, 3])
def test_kappa_is_that_of_scikit_learn_after_the_best_matching(n_states):
    rng = np.random.default_rng(0)
    a = rng.integers(n_states, size=500)
    b = np.where(rng.random(500) < 0.3, rng.integers(n_states, size=500), (a + 1) % n_states)
    orders = itertools.permutations(range(n_states))
    best = max(cohen_kappa_score(a, np.array(order)[b]) for order in orders)
    assert cohen_kappa(a, b, n_states) == pytest.approx(best)


def test_kappa_of_one_state_and_of_chance():
    a = np.arange(10_000) % 2
    assert cohen_kappa(a, 1 - a, 2) == 1.0
    assert cohen_kappa(np.zeros(5, int), np.zeros(5, int), 2) == 0.0
    other = np.random.default_rng(0).integers(2, size=len(a))
    # sd of κ by chance is 1/sqrt(n)
    assert abs(cohen_kappa(a, other, 2)) < 4 / math.sqrt(len(a))
    assert math.isnan(median_agreement([a], 2))
    assert median_agreement([a, a, 1 - a], 2) == 1.0


def chain_features(noise, seed, n=4000):
    """A two-state chain seen through noise, as two features that sum to one."""
    rng = np.random.default_rng(0)
    state = (np.cumsum(rng.random(n) < 0.02) % 2).astype(float)
    seen = state + noise * np.random.default_rng(seed).standard_normal(n)
    return torch.from_numpy(np.column_stack([seen, 1.0 - seen]))


def all_pairs(n, lag=5):
    frames = np.arange(n)
    return StatisticsBatch([Run(0, frames, lag)], [1])


def test_differences_on_the_same_frames_are_known_better_than_scores():
    clear, noisy = (chain_features(noise, seed) for noise, seed in ((0.1, 1), (0.3, 2)))
    batch = all_pairs(len(clear))
    a, b = (validation_of(features, batch, 1e-8) for features in (clear, noisy))
    rise, error = paired_rise(a.score, a.without, b.score, b.without)
    assert rise == pytest.approx(a.score - b.score)
    assert rise > 3 * error
    assert error < 0.7 * math.hypot(a.error, b.error)
    assert jackknife_error(a.without) == a.error


def test_without_stretches_there_is_no_error():
    assert jackknife_error([]) == math.inf
    assert paired_rise(1.5, [], 1.2, []) == (pytest.approx(0.3), 0.0)


def test_a_high_score_of_few_events_does_not_beat_a_sure_one():
    assert is_better(1.32, 0.05, 1.34, 0.15)
    assert not is_better(1.34, 0.15, 1.32, 0.05)
    assert is_better(1.34, 0.06, 1.32, 0.05)
    assert is_better(1.1, math.inf, 1.05, math.inf)
    assert not is_better(math.nan, math.nan, 1.05, 0.1)
    assert is_better(1.05, 0.1, math.nan, math.nan)


def test_processes_that_held_out_frames_show():
    features = chain_features(0.1, 1)
    noise = torch.from_numpy(np.random.default_rng(3).standard_normal((len(features), 1)))
    batch = all_pairs(len(features))
    assert n_significant(torch.hstack([features[:, :1], noise]), batch, 1e-8) == 1


def gradual(n=20_000, seed=0):
    """A diffusive coordinate without barriers, which has no states apart."""
    rng = np.random.default_rng(seed)
    x = np.zeros(n)
    for i, kick in enumerate(rng.standard_normal(n - 1) * math.sqrt(1 - 0.95**2)):
        x[i + 1] = 0.95 * x[i] + kick
    return np.column_stack([x, -x])


def vamp2(chi, lag=5):
    batch = all_pairs(len(chi), lag)
    return validation_of(torch.from_numpy(chi[:, :1].copy()), batch, 1e-8).score


def test_states_of_a_continuum_are_widened_until_little_is_cut():
    x = gradual()
    crisp = identify_states(x[:-5], x[5:])
    wide = identify_states(x[:-5], x[5:], largest_cut=0.02)
    assert crisp.clipped_mass == crisp.overlap == wide.overlap > 0.1
    assert wide.clipped_mass == pytest.approx(0.02, abs=1e-3)
    assert (crisp(x).argmax(axis=1) == wide(x).argmax(axis=1)).all()
    # the coordinate itself is the slowest function there is
    assert vamp2(x) > vamp2(wide(x)) > vamp2(crisp(x))
    assert vamp2(x) - vamp2(wide(x)) < 0.02


def test_states_apart_stay_crisp():
    chi = chain_features(0.05, 1).numpy()
    crisp, asked = (identify_states(chi[:-5], chi[5:], cut) for cut in (1.0, 0.05))
    np.testing.assert_array_equal(crisp.weight, asked.weight)


@pytest.fixture(scope="module")
def graphs():
    data = make_hopping(chain_rates(2, slowest=20.0), 600, random_state=0)
    return GraphFeaturizer(n_neighbors=8, n_hops=1).fit_transform(data.trajectory)


def estimator(**changes):
    settings = {"encoder": GatedEncoder(n_conv=1), "patience": 3, "max_epochs": 6}
    return GDyNetEstimator(2, 5, random_state=0, **settings | changes)


@pytest.mark.filterwarnings("ignore:training was still improving")
def test_starts_are_compared_and_saved(graphs, tmp_path):
    fitted = estimator(n_init=3).fit(graphs)
    assert fitted.start_scores_.shape == (3,)
    assert fitted.agreement_ > 0.95  # all see the cages
    fitted.save(tmp_path / "model.safetensors")
    loaded = GDyNetEstimator.load(tmp_path / "model.safetensors")
    assert loaded.agreement_ == fitted.agreement_
    np.testing.assert_array_equal(loaded.start_scores_, fitted.start_scores_)
    assert loaded.state_map_.overlap == fitted.state_map_.overlap


@pytest.mark.filterwarnings("ignore:training was still improving")
def test_one_start_agrees_with_nothing(graphs):
    fitted = estimator(n_init=1).fit(graphs)
    assert math.isnan(fitted.agreement_)
    assert fitted.start_scores_.shape == (1,)


def test_starts_that_disagree_are_said(graphs, monkeypatch):
    monkeypatch.setattr("graphkoopman.training._restarts.median_agreement", lambda *_: 0.5)
    with pytest.warns(ConvergenceWarning, match=r"starts disagree: .* 0\.50 .*give longer data"):
        estimator(n_init=2, patience=3, max_epochs=12).fit(graphs)


def test_a_stage_goes_on_while_cycles_raise_the_score(graphs):
    """Cycles of three epochs: the last of each stage brings no rise, or epochs have run out."""
    fitted = estimator(n_init=1, patience=3, max_epochs=30).fit(graphs)
    assert fitted.converged_
    for rows in (validated(fitted), on_all_frames(fitted)):
        assert len(rows) % 3 == 0
        rates = np.array([row["learning_rate"] for row in rows]).reshape(-1, 3)
        assert np.all(np.diff(rates, axis=1) < 0)
    # every cycle of the start begins at the full rate again
    rates = np.array([row["learning_rate"] for row in validated(fitted)]).reshape(-1, 3)
    np.testing.assert_allclose(rates, rates[:1].repeat(len(rates), axis=0))
    # all frames have one cycle in the subspace and one for the score
    assert [row["stage"] for row in on_all_frames(fitted)] == [0, 0, 0, 1, 1, 1]


def validated(fitted):
    """Epochs of the start: only there frames are held out."""
    return [row for row in fitted.history_ if not math.isnan(row["validation_score"])]


def on_all_frames(fitted):
    return [row for row in fitted.history_ if math.isnan(row["validation_score"])]


@pytest.mark.filterwarnings("ignore:training was still improving")
def test_the_validation_score_is_of_frames_that_no_update_had_seen(graphs):
    fitted = estimator(n_init=2).fit(graphs)
    best = max(row["validation_score"] for row in validated(fitted))
    assert fitted.validation_score_ >= best
    # the starts come first, the training on all frames after them
    assert fitted.history_ == [*validated(fitted), *on_all_frames(fitted)]


@pytest.mark.filterwarnings("ignore:training was still improving")
def test_every_start_holds_out_other_frames_and_the_last_training_none(graphs, monkeypatch):
    trainings = []
    begin = Restarts.__init__

    def remember(self, *arguments, **options):
        begin(self, *arguments, **options)
        trainings.append(self)

    monkeypatch.setattr(Restarts, "__init__", remember)
    estimator(n_init=3).fit(graphs)
    (training,) = trainings
    held_out = [frames_of(validation) for _, validation in training.splits]
    for (own, _), frames in zip(training.splits, held_out, strict=True):
        assert not frames_of(own) & frames
    assert len(set(map(frozenset, held_out))) > 1
    assert frames_of(training.final.training_blocks) == set(range(len(graphs[0])))
    # all starts are compared on the same frames, and the best goes on
    assert training.start_scores[training.chosen] == max(training.start_scores)
    common = _union([block for _, validation in training.splits for block in validation])
    assert frames_of(common) == set.union(*held_out)


def frames_of(blocks):
    return {frame for _, start, stop in blocks for frame in range(start, stop)}


def two_chains(rates, n_frames=3000, n_targets=4):
    """Two independent two-state chains and a third of noise, seen through noise."""
    rng = np.random.default_rng(1)
    flips = rng.random((n_frames, n_targets, len(rates))) < rates
    features = np.concatenate(
        [np.cumsum(flips, axis=0) % 2.0, rng.standard_normal((n_frames, n_targets, 1))], axis=2
    )
    return FeatureTrajectory(features + 0.3 * rng.standard_normal(features.shape), timestep=1.0)


# the noise makes some of the memberships soft
@pytest.mark.filterwarnings("ignore:.*memberships lay outside the simplex")
def test_starts_agree_where_one_process_is_slowest():
    fitted = GDyNetEstimator(2, 5, random_state=0).fit(two_chains([0.02, 0.06]))
    assert fitted.agreement_ > 0.9


@pytest.mark.filterwarnings("ignore:.*memberships lay outside the simplex")
def test_starts_disagree_where_two_processes_are_equally_slow():
    """Which of them is slower in the data depends on the frames that a start sees."""
    with pytest.warns(ConvergenceWarning, match="starts disagree"):
        GDyNetEstimator(2, 5, random_state=0).fit(two_chains([0.02, 0.02]))


def test_a_union_of_stretches():
    blocks = [(1, 0, 5), (0, 10, 20), (0, 0, 5), (0, 15, 30), (0, 12, 14)]
    assert _union(blocks) == [(0, 0, 5), (0, 10, 30), (1, 0, 5)]


# of three starts, those that have lost a process disagree with the others
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_process_that_the_hidden_layer_loses_is_found_again(monkeypatch):
    """Four states of a cage, whose faint processes long steps take out of sight of the ridge."""
    rates = chain_rates(4, slowest=150.0, separation=3.0)
    runs = [
        make_hopping(rates, 6000, timestep=1.0, molecules=False, random_state=seed)
        for seed in (0, 1000)
    ]
    graphs = GraphFeaturizer(n_neighbors=8, n_hops=1).transform([run.trajectory for run in runs])

    def held_out_score():
        fit = GDyNetEstimator(4, 5, encoder=GatedEncoder(n_conv=1), random_state=0).fit(graphs[0])
        return fit.score(graphs[1])

    exact = 1.0 + sum(np.exp(-2 * 5 / time) for time in (150.0, 50.0, 50.0 / 3.0))
    assert held_out_score() > exact - 0.05
    monkeypatch.setattr(_loop, "LOST_SHARE", 0.0)
    assert held_out_score() < exact - 0.4
