"""Data that hold less than was asked for end in a warned, valid model or in one clear error."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from graphkoopman import GDyNetEstimator, GraphFeaturizer, Trajectory
from graphkoopman.datasets import chain_rates, label_timescales, make_hopping
from graphkoopman.lobes import GatedEncoder
from graphkoopman.training import Trainer

LAG = 5


def graphs_of(trajectory):
    return GraphFeaturizer(n_neighbors=8, n_hops=1).transform(trajectory)


def fit(graphs, n_states, **changes):
    settings = {"lagtime": LAG, "encoder": GatedEncoder(n_conv=1), "random_state": 0} | changes
    return GDyNetEstimator(n_states, **settings).fit(graphs)


def fit_with_doubts(graphs, n_states, **changes):
    """Estimator, and what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        estimator = fit(graphs, n_states, **changes)
    return estimator, " ".join(str(warning.message) for warning in caught)


def assert_valid(estimator, graphs):
    model = estimator.fetch_model()
    # one division per entry
    np.testing.assert_allclose(model.koopman_matrix.sum(axis=1), 1.0, atol=1e-10)
    np.testing.assert_allclose(model.empirical_populations.sum(), 1.0, atol=1e-10)
    for probs in estimator.transform(graphs):
        assert np.isfinite(probs).all()
        assert probs.min() >= 0.0
        np.testing.assert_allclose(probs.sum(axis=-1), 1.0, atol=1e-10)


@pytest.mark.parametrize("n_states", [3, 4])
def test_more_states_than_there_are(n_states):
    """States never visited: the slowest process is still that of the two there are."""
    data = make_hopping(chain_rates(2, slowest=20.0), 1500, random_state=0)
    graphs = graphs_of(data.trajectory)
    with pytest.warns(ConvergenceWarning, match=r"outside the simplex.*lower n_states"):
        estimator = fit(graphs, n_states)
    assert_valid(estimator, graphs)
    truth = label_timescales(data.labels, LAG, 1.0).timescales[0]
    # 12 000 frames: more directions than processes cost the slowest a few per cent
    assert np.abs(estimator.fetch_model().eigenvalues[1]) == pytest.approx(
        np.exp(-LAG / truth), abs=0.05
    )


def test_two_states_that_look_alike():
    data = make_hopping(chain_rates(3, slowest=20.0), 1500, visible=[0, 1, 1], random_state=0)
    graphs = graphs_of(data.trajectory)
    with pytest.warns(ConvergenceWarning, match=r"outside the simplex.*lower n_states"):
        estimator = fit(graphs, 3)
    assert_valid(estimator, graphs)
    visible = label_timescales(data.visible_labels, LAG, 1.0).timescales[0]
    assert np.abs(estimator.fetch_model().eigenvalues[1]) == pytest.approx(
        np.exp(-LAG / visible), abs=0.05
    )


def test_one_state_all_the_time():
    data = make_hopping(chain_rates(2, slowest=1e7), 800, n_targets=1, random_state=0)
    assert (data.labels == data.labels[0]).all()
    graphs = graphs_of(data.trajectory)
    estimator, doubts = fit_with_doubts(graphs, 2)
    assert "held-out frames show no process" in doubts
    assert_valid(estimator, graphs)


def test_white_noise_has_no_process():
    data = make_hopping(chain_rates(2, slowest=0.01), 800, random_state=0)
    graphs = graphs_of(data.trajectory)
    estimator, doubts = fit_with_doubts(graphs, 2)
    assert "held-out frames show no process" in doubts
    assert_valid(estimator, graphs)


def test_neighbourhoods_that_never_change():
    """A rigid crystal that drifts: targets move, distances do not."""
    still = make_hopping(chain_rates(2, slowest=20.0), 1, random_state=0).trajectory
    drift = np.arange(100.0)[:, None, None] * [0.01, 0.0, 0.0]
    trajectory = Trajectory(
        still.positions.astype(float) + drift,
        still.cell,
        still.species,
        timestep=1.0,
        targets=still.targets[:1],
    )
    with pytest.raises(ValueError, match="targets must move, got the same neighbours"):
        fit(graphs_of(trajectory), 2)


def test_updates_that_are_all_taken_back(monkeypatch):
    monkeypatch.setattr(Trainer, "_step", lambda trainer: None)
    data = make_hopping(chain_rates(2, slowest=20.0), 1500, random_state=0)
    graphs = graphs_of(data.trajectory)
    estimator, doubts = fit_with_doubts(graphs, 2)
    assert "every update of the network was taken back" in doubts
    assert_valid(estimator, graphs)


def test_one_state_is_no_model():
    data = make_hopping(chain_rates(2, slowest=20.0), 100, random_state=0)
    with pytest.raises(ValueError, match="n_states must be an integer >= 2, got 1"):
        fit(graphs_of(data.trajectory), 1)
