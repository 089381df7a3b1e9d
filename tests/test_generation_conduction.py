"""Conductivity at long times, of walkers for which it is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks._walkers import BOX, crisp_model, lithium, pair_hoppers, switching_walkers
from graphkoopman.generation import predict_conduction, predict_displacements
from graphkoopman.trajectories import Trajectory
from graphkoopman.transport import onsager_contributions
from graphkoopman.transport._conduction import NERNST_EINSTEIN

TEMPERATURE = 500.0
MATRIX, WIDTH, LAG = np.array([[0.97, 0.03], [0.06, 0.94]]), np.array([0.1, 0.5]), 10
OPTIONS = {"state_charges": 1.0, "temperature": TEMPERATURE}


def agrees(value, interval):
    """Within twice the 95 % interval, four standard errors: dozens of checks, none by chance."""
    middle, width = np.mean(interval, axis=-1), np.ptp(interval, axis=-1)
    return np.all(np.abs(np.asarray(value) - middle) <= width)


def test_one_step_is_the_onsager_split():
    walkers = switching_walkers(200, 6, 2, np.random.default_rng(0), MATRIX, WIDTH)
    trajs, probs, targets = walkers.data(timestep=0.5)
    probs = [np.ones((*array.shape[:2], 1)) for array in probs]
    model = SimpleNamespace(koopman_matrix=[[1.0]], stationary_distribution=[1.0], lagtime=LAG)
    result = predict_conduction(trajs, probs, targets, model, [5.0], memory=0, **OPTIONS)
    split = onsager_contributions(trajs, probs, targets, model, **OPTIONS)
    np.testing.assert_allclose(result.nernst_einstein, split.nernst_einstein, rtol=1e-9)
    np.testing.assert_allclose(result.einstein, split.einstein, rtol=1e-9)
    np.testing.assert_allclose(result.einstein_interval[0], split.einstein_interval, rtol=1e-6)


def test_independent_walkers_obey_nernst_einstein_at_all_times():
    walkers = switching_walkers(101, 8, 40, np.random.default_rng(1), MATRIX, WIDTH)
    result = predict_conduction(
        *walkers.data(), crisp_model(MATRIX, LAG), [10.0, 100.0, 1000.0], **OPTIONS
    )
    populations = crisp_model(MATRIX, 1).stationary_distribution
    diffusion = populations @ WIDTH**2 / 2  # Å²/ps
    exact = NERNST_EINSTEIN / TEMPERATURE * 8 / BOX**3 * diffusion
    assert agrees(exact, result.nernst_einstein_interval)
    assert agrees(exact, result.nernst_einstein_limit_interval)
    assert agrees(exact, result.einstein_interval)
    assert agrees(exact, result.einstein_limit_interval)
    assert "einstein_limit=" in repr(result)
    path = predict_displacements(*walkers.data(), crisp_model(MATRIX, LAG), [1000.0])
    density = 8 / BOX**3
    expected = NERNST_EINSTEIN / TEMPERATURE * density * path.diffusion
    np.testing.assert_allclose(result.nernst_einstein_limit, expected, rtol=1e-9)


def test_pairs_that_hop_together_conduct_more():
    pairs = pair_hoppers(6000, 8, np.random.default_rng(2), 0.1, 0.1, None)
    result = predict_conduction(
        lithium(pairs.paths),
        np.eye(2)[pairs.labels],
        "element Li",
        crisp_model(np.full((2, 2), 0.5), 2),
        [2.0, 200.0],
        **OPTIONS,
    )
    scale = NERNST_EINSTEIN / (6 * BOX**3 * TEMPERATURE)
    self_, distinct = scale * pairs.self_.sum(), scale * pairs.distinct.sum()
    assert agrees(self_, result.nernst_einstein_interval)
    assert agrees(self_ + distinct, result.einstein_interval)
    assert agrees(self_ + distinct, result.einstein_limit_interval)


def test_bound_anions_take_the_current_away():
    walkers = switching_walkers(400, 8, 1, np.random.default_rng(3), MATRIX, WIDTH)
    (path,), (labels,) = walkers.paths, walkers.labels
    options = {"others": {"element Cl": -1.0}, **OPTIONS}
    result = predict_conduction(
        lithium(path, path + 1.0),
        np.eye(2)[labels],
        "element Li",
        crisp_model(MATRIX, LAG),
        [100.0],
        **options,
    )
    assert result.nernst_einstein[0] > 0.01
    assert abs(result.einstein[0]) < 1e-9 * result.nernst_einstein[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a positive"),
        ({"state_charges": 0.0}, "not all zero"),
        ({"times": 1.0}, "none below one lag time"),
        ({"memory": -1}, 'memory must be "auto"'),
        ({"memory": 50}, "must be < the longest trajectory"),
        ({"unit": "frames"}, "unit must be"),
        ({"others": {"element Li": 1.0}}, "no other carrier has"),
    ],
)
def test_bad_arguments(changes, message):
    walkers = switching_walkers(101, 4, 1, np.random.default_rng(4), MATRIX, WIDTH)
    trajs, probs, targets = walkers.data()
    arguments = {"model": crisp_model(MATRIX, LAG), "times": 100.0, **OPTIONS}
    with pytest.raises(ValueError, match=message):
        predict_conduction(trajs, probs, targets, **(arguments | changes))


def test_no_cell_no_conductivity():
    run = Trajectory(np.zeros((50, 2, 3)), None, [3, 3], timestep=1.0)
    with pytest.raises(ValueError, match="must have cells"):
        predict_conduction(
            run, np.full((50, 2, 2), 0.5), "element Li", crisp_model(MATRIX, 5), 20.0, **OPTIONS
        )
