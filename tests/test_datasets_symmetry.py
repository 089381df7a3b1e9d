"""Ammonia and polar cages: geometry, exact kinetics, and states that no distance tells apart."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import ks_2samp

from graphkoopman import GraphFeaturizer
from graphkoopman.datasets import chain_rates, make_polar_cages, simulate_ammonia
from graphkoopman.datasets._symmetry import BOND, GRID, HEIGHT, _double_well, _tumbling


def molecules_of(data):
    return data.trajectory.positions.reshape(len(data.heights), -1, 4, 3).astype(float)


def test_ammonia_keeps_its_bonds_and_its_hand():
    data = simulate_ammonia(50, n_molecules=5, vibration=0.0, random_state=0)
    nitrogen, *hydrogens = np.moveaxis(molecules_of(data), 2, 0)
    arms = [hydrogen - nitrogen for hydrogen in hydrogens]
    # float32 positions of about 10 Å
    for arm in arms:
        np.testing.assert_allclose(np.linalg.norm(arm, axis=2), BOND, atol=1e-5)
    triple = np.einsum("fmi,fmi->fm", arms[0], np.cross(arms[1], arms[2]))
    outside = np.abs(data.heights) > 0.05
    assert outside.mean() > 0.9
    np.testing.assert_array_equal((triple < 0.0)[outside], (data.labels == 1)[outside])
    middle = np.mean(hydrogens, axis=0)
    np.testing.assert_allclose(
        np.einsum("fmi,fmi->fm", nitrogen - middle, data.axes), data.heights, atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.norm(data.axes, axis=2), 1.0)


def test_heights_follow_boltzmann():
    """Populations of the chain are those of the double well on the grid."""
    rates = _double_well(3.0, 7.0)
    weight = np.exp(-3.0 * ((GRID / HEIGHT) ** 2 - 1.0) ** 2)
    np.testing.assert_allclose(weight @ rates, 0.0, atol=1e-9 * np.abs(rates).max())
    # the slowest time is the one asked for, the next that of a single well
    values = np.sort(-1.0 / np.linalg.eigvals(rates).real)[::-1]
    times = values[np.isfinite(values) & (values < 1e6)]
    assert times[0] == pytest.approx(7.0, rel=1e-9)
    assert times[1] < 0.5 * times[0]


def test_the_rate_is_the_one_of_the_frames():
    data = simulate_ammonia(8000, n_molecules=40, tumbling_time=None, random_state=1)
    side = 2 * data.labels - 1
    lag = 25
    time = -lag * 0.1 / np.log((side[:-lag] * side[lag:]).mean())
    # 32000 ps in all hold 6400 flips: 2.5 %, twice
    assert time == pytest.approx(data.relaxation_time, rel=0.05)
    assert data.rate == pytest.approx(1.0 / (2.0 * data.timescales[0]))
    np.testing.assert_array_equal(data.axes[..., 2], 1.0)


@pytest.mark.parametrize("steps", [0.02, 0.5, 5.0])
def test_tumbling_is_that_of_a_sphere(steps):
    rng = np.random.default_rng(0)
    turns = _tumbling(400, 300, steps, rng)
    for column in range(3):
        kept = np.einsum("fmi,fmi->fm", turns[:-1, ..., column], turns[1:, ..., column])
        # 120000 cosines of spread below 0.6, which follow one another at worst for 50 frames
        assert kept.mean() == pytest.approx(np.exp(-steps) if steps < 3 else 0.0, abs=0.01)


def distances(positions):
    return np.sort([pdist(frame) for frame in positions], axis=1)


def test_distances_are_the_same_on_both_sides():
    data = simulate_ammonia(4000, n_molecules=1, relaxation_time=0.05, random_state=0)
    inside = distances(molecules_of(data)[:, 0])
    for column in inside.T:
        # frames are 2 relaxation times apart; a test of one in a thousand
        assert ks_2samp(*(column[data.labels[:, 0] == i] for i in (0, 1))).pvalue > 1e-3
    cages = make_polar_cages(chain_rates(2, slowest=0.5), 4000, n_targets=1, random_state=0)
    (graphs,) = GraphFeaturizer(n_neighbors=6, n_hops=1).fit_transform(cages.trajectory)
    for column in graphs.distances.reshape(4000, 6).T:
        assert ks_2samp(*(column[cages.labels[:, 0] == i] for i in (0, 1))).pvalue > 1e-3


def test_cages_tell_up_from_down():
    data = make_polar_cages(chain_rates(2, slowest=20.0), 200, n_targets=4, random_state=0)
    bodies = data.trajectory.positions.reshape(200, 4, 7, 3)
    shift = bodies[:, :, 0, 2] - bodies[:, :, 1:, 2].mean(axis=2)
    np.testing.assert_array_equal(shift > 0, data.labels == 1)
    assert data.timescales[0] == pytest.approx(20.0)
    assert len(data.trajectory.targets) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_frames": 0}, "n_frames must be an integer >= 1"),
        ({"n_molecules": 0}, "n_molecules must be an integer >= 1"),
        ({"relaxation_time": -1.0}, "relaxation_time must be a positive number"),
        ({"barrier": 60.0}, "barrier must be at most 50"),
        ({"tumbling_time": 0.0}, "tumbling_time must be a positive number"),
    ],
)
def test_bad_ammonia(settings, message):
    with pytest.raises(ValueError, match=message):
        simulate_ammonia(**{"n_frames": 3} | settings)


def test_bad_cages():
    with pytest.raises(ValueError, match="two states down and up, got 3"):
        make_polar_cages(chain_rates(3, slowest=20.0), 10)
