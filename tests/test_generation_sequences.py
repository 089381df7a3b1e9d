"""Generated sequences of states and of frames: dwell times, populations, timescales, CK test."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from graphkoopman.datasets import make_hopping
from graphkoopman.generation import ClosureWarning, rewire, sample_states
from graphkoopman.koopman import KoopmanModel, estimate_koopman
from graphkoopman.trajectories import Trajectory

MATRIX = np.array([[0.9, 0.08, 0.02], [0.1, 0.85, 0.05], [0.04, 0.06, 0.9]])
NEGATIVE = MATRIX + np.array([[0.0, 0.03, -0.03], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
MODEL = KoopmanModel(MATRIX, lagtime=7, timestep=0.5)


@pytest.fixture(scope="module")
def states():
    return sample_states(MODEL, 4000, 50, random_state=0)


def dwell_times(labels, state):
    """Lengths of stays that begin and end inside, of every target."""
    times = []
    for path in labels.T:
        edges = np.flatnonzero(np.diff(path)) + 1
        stays = np.split(path, edges)[1:-1]
        times += [len(stay) for stay in stays if stay[0] == state]
    return np.array(times)


@pytest.mark.parametrize("state", [0, 1, 2])
def test_dwell_times_are_geometric(states, state):
    times = dwell_times(states, state)
    stay = MATRIX[state, state]
    n_bins = 12
    observed = np.bincount(np.minimum(times, n_bins), minlength=n_bins + 1)[1:]
    share = stay ** np.arange(n_bins) * (1 - stay)
    share[-1] = stay ** (n_bins - 1)
    # one of three, fixed seed: a true law is refused once in a thousand
    assert stats.chisquare(observed, share * observed.sum()).pvalue > 1e-3
    np.testing.assert_allclose(times.mean(), 1 / (1 - stay), rtol=0.05)


def test_kinetics_of_drawn_states_are_those_of_the_model(states):
    drawn = estimate_koopman(np.eye(3)[states], 1, n_bootstrap=100, random_state=0)
    intervals = drawn.timescales_interval()
    for exact, (low, high) in zip(MODEL.timescales() / 7, intervals, strict=True):
        middle, width = 0.5 * (low + high), high - low
        assert abs(exact - middle) < width  # four standard errors
    np.testing.assert_allclose(drawn.prior.koopman_matrix, MATRIX, atol=0.01)
    # Chapman-Kolmogorov: counted after n steps, against the power of K
    for n in (2, 5, 20):
        later = estimate_koopman(np.eye(3)[states], n).koopman_matrix
        np.testing.assert_allclose(later, np.linalg.matrix_power(MATRIX, n), atol=0.03)
    populations = np.bincount(states.ravel()) / states.size
    np.testing.assert_allclose(populations, MODEL.stationary_distribution, atol=0.02)


def test_starts():
    assert (sample_states(MODEL, 1, 500, start=2, random_state=0) == 2).all()
    each = np.array([0, 2, 1, 1])
    np.testing.assert_array_equal(sample_states(MODEL, 3, 4, start=each, random_state=0)[0], each)
    first = sample_states(MODEL, 1, 20_000, start=[0.0, 0.3, 0.7], random_state=0)[0]
    np.testing.assert_allclose(np.bincount(first, minlength=3) / 20_000, [0, 0.3, 0.7], atol=0.01)


def test_the_seed_gives_the_sequence():
    one, same, other = (sample_states(MODEL, 50, 3, random_state=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_transitions_that_never_happen_are_never_drawn():
    ring = KoopmanModel([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]], lagtime=1)
    states = sample_states(ring, 5000, 4, random_state=0)
    moves = (np.diff(states, axis=0) % 3).ravel()
    assert set(moves) == {0, 1}


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (KoopmanModel(NEGATIVE, lagtime=1), {}, ValueError, 'constraint="stoch'),
        (MODEL, {"n_frames": 0}, ValueError, "n_frames"),
        (MODEL, {"n_targets": 1.5}, TypeError, "n_targets"),
        (MODEL, {"start": 3}, ValueError, "states from 0 to 2"),
        (MODEL, {"start": [0.5, 0.6, 0.0]}, ValueError, "start must be a state"),
        (MODEL, {"start": [0, 1], "n_targets": 3}, ValueError, "each of the 3 targets"),
        (object(), {}, TypeError, "without koopman_matrix"),
    ],
)
def test_bad_arguments(model, options, error, message):
    with pytest.raises(error, match=message):
        sample_states(model, **({"n_frames": 10} | options))


@pytest.fixture(scope="module")
def fuzzy():
    """Cages whose states are seen through noise, so that no frame is purely in one."""
    system = make_hopping(
        [[-0.02, 0.02], [0.05, -0.05]], 4000, n_targets=8, timestep=1.0, random_state=0
    )
    rng = np.random.default_rng(0)
    share = np.where(system.labels == 1, 0.75, 0.1) + rng.normal(0, 0.07, system.labels.shape)
    share = np.clip(share, 0.0, 1.0)
    return system.trajectory, np.stack([1 - share, share], axis=-1), system


def test_rewired_frames_have_the_timescale_of_the_model(fuzzy):
    trajectory, probs, _ = fuzzy
    lag = 5
    model = estimate_koopman(probs, lag, timestep=1.0, constraint="stochastic")
    sequence = rewire(trajectory, probs, model, 4000, 20, random_state=0)
    again = estimate_koopman(sequence.probs, 1, timestep=sequence.timestep)
    np.testing.assert_allclose(again.timescales_ps(), model.timescales_ps(), rtol=0.1)
    np.testing.assert_allclose(sequence.koopman_matrix, model.koopman_matrix, atol=1e-3)
    np.testing.assert_allclose(
        again.empirical_populations, model.stationary_distribution, atol=0.02
    )
    assert sequence.timestep == 5.0
    # without matching, frames drawn after frames of a fuzzy state forget faster than K
    naive = np.einsum("fni,fnj->ij", probs[:-lag], probs[lag:])
    naive /= naive.sum(axis=1, keepdims=True)
    assert np.linalg.eigvals(naive).min() < 0.7 * np.linalg.eigvals(model.koopman_matrix).min()


def test_rewired_frames_are_those_of_the_data(fuzzy):
    trajectory, probs, system = fuzzy
    model = estimate_koopman(probs, 5, constraint="stochastic")
    halves = [trajectory[:1500], trajectory[1500:]]
    arrays = [probs[:1500], probs[1500:]]
    sequence = rewire(halves, arrays, model, 200, 3, random_state=0)
    assert sequence.frame.shape == (200, 3)
    for t, k in np.ndindex(200, 3):
        where = arrays[sequence.trajectory[t, k]][sequence.frame[t, k], sequence.target[t, k]]
        np.testing.assert_allclose(sequence.probs[t, k], where, atol=1e-12)
    # true labels of the environments change as slowly as those of the data
    offset = np.array([0, 1500])[sequence.trajectory]
    labels = system.labels[sequence.frame + offset, sequence.target]
    changes = (np.diff(labels, axis=0) != 0).mean()
    exact = system.visible_transition_matrix(5)
    assert changes < 2.5 * system.visible_populations[0] * exact[0, 1] * 2


def test_crisp_states_learn_the_counted_likelihood():
    labels = sample_states(MODEL, 3000, 5, random_state=1)
    run = Trajectory(np.zeros((3000, 5, 3)), None, [3] * 5, timestep=1.0)
    probs = np.eye(3)[labels]
    model = estimate_koopman(probs, 1, constraint="stochastic")
    sequence = rewire(run, probs, model, 10, random_state=0)
    # of crisp states the densities are K_ij / <χ_j>, and the likelihood a mutual information
    counts = np.einsum("fni,fnj->ij", probs[:-1], probs[1:])
    counts /= counts.sum()
    mean = probs.mean(axis=(0, 1))
    expected = np.sum(counts * np.log(counts / counts.sum(axis=1, keepdims=True) / mean))
    np.testing.assert_allclose(sequence.log_likelihood, expected, rtol=1e-5)


def test_a_model_beyond_reach_is_said():
    rng = np.random.default_rng(0)
    probs = np.full((400, 4, 2), 0.5)
    probs[..., 0] += rng.uniform(-0.1, 0.1, size=(400, 4))
    probs[..., 1] = 1 - probs[..., 0]
    run = Trajectory(np.zeros((400, 4, 3)), None, [3] * 4, timestep=1.0)
    model = KoopmanModel([[0.99, 0.01], [0.01, 0.99]], lagtime=2)
    with pytest.warns(ClosureWarning, match="the nearest miss one by 0.3"):
        sequence = rewire(run, probs, model, 100, random_state=0)
    assert sequence.probs.shape == (100, 1, 2)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"probs": np.full((10, 2, 3), 1 / 3)}, ValueError, r"probs\[0\] must have shape"),
        ({"probs": [np.full((20, 2, 2), 0.5)] * 2}, ValueError, "one array per trajectory"),
        ({"probs": np.full((20, 2, 2), 0.7)}, ValueError, "sum to one"),
        ({"model": SimpleNamespace(**{"koopman_matrix": np.eye(2)})}, TypeError, "model must have"),
        ({"model": KoopmanModel(np.eye(2), lagtime=20)}, ValueError, "lagtime of model must be <"),
        ({"n_frames": -1}, ValueError, "n_frames"),
    ],
)
@pytest.mark.filterwarnings("ignore::graphkoopman.koopman.StationaryDistributionWarning")
def test_bad_arguments_of_rewire(changes, error, message):
    arguments = {
        "trajs": Trajectory(np.zeros((20, 2, 3)), None, [3, 3], timestep=1.0),
        "probs": np.full((20, 2, 2), 0.5),
        "model": KoopmanModel([[0.9, 0.1], [0.3, 0.7]], lagtime=2),
        "n_frames": 10,
    }
    with pytest.raises(error, match=message):
        rewire(**(arguments | changes))
