"""Fits go on where they stopped, bit for bit, and checkpoints of other fits are refused."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.training import Restarts

# fits are short on purpose
pytestmark = [
    pytest.mark.filterwarnings("ignore:training was still improving"),
    pytest.mark.filterwarnings("ignore:.*memberships lay outside the simplex"),
]

N_STEPS = 2 * 2 * 3 * 4  # runs, stages, epochs, steps


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def graphs():
    data = make_hopping(chain_rates(2, slowest=20.0), 400, random_state=0)
    return GraphFeaturizer(n_neighbors=8, n_hops=1).fit_transform(data.trajectory)


def estimator_with(**changes):
    settings = {
        "n_states": 2,
        "lagtime": 5,
        "n_conv": 1,
        "n_init": 2,
        "objective": ("VAMP2", "VAMP1"),
        "normalization": "batch",
        "max_epochs": 3,
        "steps_per_epoch": 4,
        "patience": 5,
        "batch_size": 100,
        "checkpoint_interval": 0,
        "random_state": 0,
    }
    return GDyNetEstimator(**settings | changes)


@pytest.fixture(scope="module")
def uninterrupted(graphs):
    with pytest.warns(ConvergenceWarning):
        return estimator_with().fit(graphs)


def assert_same_fit(a, b):
    """Bit for bit, wall time apart."""
    for name, value in a.lobe_.state_dict().items():
        assert torch.equal(value, b.lobe_.state_dict()[name]), name
    np.testing.assert_array_equal(a.model_.koopman_matrix, b.model_.koopman_matrix)
    assert len(a.history_) == len(b.history_)
    for row, other in zip(a.history_, b.history_, strict=True):
        np.testing.assert_equal({**row, "seconds": 0}, {**other, "seconds": 0})


def dying_after(n_steps, monkeypatch, act):
    """Do something in the given step of the training, counted over all runs."""
    advance, count = Restarts.advance, iter(range(1, 10**6))

    def advance_or_die(training):
        if next(count) == n_steps:
            act()
        advance(training)

    monkeypatch.setattr(Restarts, "advance", advance_or_die)


def raise_killed():
    raise Killed


# within an epoch, at its end, in another stage, at the end of a run, in the second run, the last
@pytest.mark.parametrize("step", [1, 2, 5, 13, 24, 25, 30, N_STEPS])
def test_killed_fits_resume_bit_for_bit(graphs, uninterrupted, tmp_path, monkeypatch, step):
    with monkeypatch.context() as patch:
        dying_after(step, patch, raise_killed)
        with pytest.raises(Killed):
            estimator_with(checkpoint_dir=tmp_path).fit(graphs)
    resumed = estimator_with(checkpoint_dir=tmp_path).fit(graphs)
    assert_same_fit(resumed, uninterrupted)


def test_steps_between_saves_are_done_again(graphs, uninterrupted, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        dying_after(15, patch, raise_killed)
        with pytest.raises(Killed):
            estimator_with(checkpoint_dir=tmp_path, checkpoint_interval=1000.0).fit(graphs)
    assert_same_fit(estimator_with(checkpoint_dir=tmp_path).fit(graphs), uninterrupted)
