"""Scarce data: a ridge that grows as samples get few, and an end of the training on all frames."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter1d
from scipy.signal import lfilter

from graphkoopman import GDyNetEstimator
from graphkoopman.descriptors import FeatureTrajectory
from graphkoopman.lobes import FeatureEncoder, build_lobe
from graphkoopman.objectives import moments, subspace_score
from graphkoopman.training._batches import sample_batch
from graphkoopman.training._initialise import LOGIT_RANGES, fit_output
from graphkoopman.training._loop import Trainer
from graphkoopman.training._restarts import Restarts
from graphkoopman.training._stages import SubspaceStage
from graphkoopman.training._state import Position, Reference, TrainingResult
from graphkoopman.training._validation import validation_of

N_HIDDEN = 16
MEMORY = 0.85  # of a frame for the one before; of the states 0.94


def seen_chain(n_frames, n_noise, seed=0, n_targets=4, stay=0.97):
    """Two states with one feature that tells them, and many that forget a little faster."""
    rng = np.random.default_rng(seed)
    flips = rng.random((n_frames, n_targets)) > stay
    state = (np.cumsum(flips, axis=0) + rng.integers(2, size=n_targets)) % 2
    told = state + 0.4 * rng.standard_normal((n_frames, n_targets))
    kicks = rng.standard_normal((n_frames, n_targets, n_noise)) * np.sqrt(1.0 - MEMORY**2)
    wander = lfilter([1.0], [1.0, -MEMORY], kicks, axis=0)
    return FeatureTrajectory(
        np.concatenate([told[..., None], wander], axis=-1).astype(np.float32), timestep=1.0
    )


@pytest.mark.parametrize(
    ("n_independent", "ridge"),
    [(1e9, 1e-3), (N_HIDDEN / 2e-3, 2e-3), (N_HIDDEN / 0.03, 0.03), (3.0, 0.05)],
)
def test_the_ridge_is_the_functions_over_the_samples_within_bounds(n_independent, ridge):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((200, N_HIDDEN)))
    m = moments(x, x.roll(1, 0))
    lobe = build_lobe([1], 2, encoder=FeatureEncoder(), n_hidden=N_HIDDEN, example=an_example())
    score = SubspaceStage().score(lobe, 1e-6, n_independent)
    torch.testing.assert_close(score(m), subspace_score(m, 3, epsilon=ridge))
    # one of the settings that is larger counts
    torch.testing.assert_close(score(m, epsilon=0.3), subspace_score(m, 3, epsilon=0.3))


def an_example():
    run = seen_chain(20, 2)
    return run.batch(np.arange(5), np.arange(len(run.species)), 0)


def starts_of(*results):
    """Starts that have scored on the frames they trained on and on those they held out."""
    runs = [
        type("Start", (), {"result": TrainingResult({}, unseen, 0.01, train_score=seen)})()
        for seen, unseen in results
    ]
    restarts = object.__new__(Restarts)
    restarts.starts = runs
    return restarts


def test_the_last_training_ends_at_what_starts_had_reached_where_they_are_overfitted():
    assert starts_of((1.8, 1.6), (1.6, 1.5))._ceiling() == pytest.approx(1.7)
    assert starts_of((1.8, 1.75), (1.6, 1.6))._ceiling() == math.inf
    # one with no epoch better than its beginning has the score of that
    assert starts_of((1.8, 1.5), (1.0, 1.4))._ceiling() == pytest.approx(1.6)
    # starts that saw nothing on frames they held out say nothing
    assert starts_of((1.8, 1.0), (1.6, 1.0))._ceiling() == math.inf


# so few frames earn every warning there is
@pytest.mark.filterwarnings("ignore")
def test_few_frames_are_not_learned_by_heart(monkeypatch):
    """A long run that no fit saw tells: the slowest process is missed where training goes on."""
    run, other = seen_chain(1000, 15, 1), seen_chain(4000, 15, 2)

    def fits():
        settings = {"n_hidden": N_HIDDEN, "n_init": 2}
        return [GDyNetEstimator(2, 3, **settings, random_state=i).fit(run) for i in range(4)]

    ended = fits()
    monkeypatch.setattr(Restarts, "_ceiling", lambda self: math.inf)
    longer = fits()
    assert all(a.n_iter_ < b.n_iter_ for a, b in zip(ended, longer, strict=True))
    assert all(fit.converged_ for fit in ended)
    scores, others = ([fit.score(other) for fit in several] for several in (ended, longer))
    assert min(scores) > max(others)


def logit_range(function, seed):
    """Of states made of one function, (n_frames, n_targets), of time."""
    rng = np.random.default_rng(seed)
    lobe = build_lobe([1], 2, encoder=FeatureEncoder(), n_hidden=2, example=an_example())
    noise = rng.standard_normal(function.shape)
    responses = torch.from_numpy(np.stack([function, noise], axis=-1).reshape(-1, 2)).float()
    rows = np.arange(function.size)
    lag = 5 * function.shape[1]
    fit_output(lobe, responses, rows[:-lag], rows[lag:])
    logits = lobe.head.output(responses).detach()
    return (logits[:, 0] - logits[:, 1]).abs().max().item()


def test_few_events_of_a_continuum_bend_no_softmax():
    # of a Gaussian process no bent function is slower than the linear one (Mehler's expansion:
    # polynomial n decays n times as fast), but on frames of few events some look so
    widths = []
    for seed in range(20):
        kicks = np.random.default_rng(seed).standard_normal((900, 7))
        walk = lfilter([1.0], [1.0, -0.97], kicks, axis=0)
        widths.append(logit_range(walk, seed))
    assert np.mean(np.array(widths) < 1.5 * LOGIT_RANGES[0]) >= 0.9


def test_states_that_are_apart_get_a_steep_softmax():
    # a step takes out the noise inside states
    for seed in range(5):
        rng = np.random.default_rng(seed)
        state = np.cumsum(rng.random((4000, 7)) > 0.97, axis=0) % 2
        assert logit_range(state + 0.15 * rng.standard_normal(state.shape), seed) > LOGIT_RANGES[1]


@pytest.mark.parametrize(
    ("holds_out", "stage", "kept"), [(False, 1, False), (False, 0, True), (True, 1, True)]
)
def test_trained_states_do_not_replace_made_ones_by_one_event(holds_out, stage, kept):
    run = seen_chain(1000, 0)
    batch = sample_batch([(0, 0, len(run))], [run], 5, None, None)

    def scored(told):
        states = torch.from_numpy(np.stack([told, 1.0 - told], axis=-1).reshape(-1, 2))
        return validation_of(states, batch, 1e-8)

    told = run.features[..., 0].astype(float)
    made = scored(told)
    outlier = told.copy()
    outlier[400:460] += 4.0  # one event of all targets, which nothing shows to happen again
    clearer = scored(uniform_filter1d(told, 3, axis=0))  # less noise in all of the run
    trained = scored(outlier)
    assert min(trained.score, clearer.score) > made.score + 0.02

    trainer = object.__new__(Trainer)
    trainer.holds_out = holds_out
    trainer.position = Position(reference=Reference(made.score, made.without), stage=stage)
    assert trainer._is_beyond_chance(trained) == kept
    assert trainer._is_beyond_chance(clearer)
