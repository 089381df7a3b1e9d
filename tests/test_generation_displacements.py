"""Displacements at long times: walkers whose mean squared displacement is known at all times."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks._walkers import Walkers, crisp_model, exact_msd, switching_walkers
from graphkoopman.generation import (
    ClosureWarning,
    predict_displacements,
    propagators,
    transfer_tensors,
)
from graphkoopman.generation._closure import Closure, Seen, _states
from graphkoopman.koopman import estimate_koopman
from graphkoopman.trajectories import Trajectory
from graphkoopman.transport import ShortTrajectoryWarning, transition_displacements
from graphkoopman.uncertainty import Scatter

MATRIX, WIDTH = np.array([[0.97, 0.03], [0.06, 0.94]]), np.array([0.1, 0.5])
LAG = 10
KINDS = {
    "fresh": {},
    "persistent": {"persistence": (0.0, 0.8)},
    "turning back": {"persistence": (-0.5, -0.3)},
    "vibrating": {"noise": 0.3},
}


def walkers(seed=0, n_frames=5 * LAG + 1, n_targets=8, n_runs=10, **kind):
    return switching_walkers(
        n_frames, n_targets, n_runs, np.random.default_rng(seed), MATRIX, WIDTH, **kind
    )


def agrees(value, interval):
    """Within twice the 95 % interval, four standard errors: dozens of checks, none by chance."""
    middle, width = np.mean(interval, axis=-1), np.ptp(interval, axis=-1)
    return np.all(np.abs(np.asarray(value) - middle) <= width)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_lag_times_from_runs_of_five(kind):
    trajs, probs, targets = walkers(n_runs=60, **KINDS[kind]).data()
    model = estimate_koopman(probs, LAG, constraint="stochastic")
    n_steps = np.array([1, 4, 20, 100])
    result = predict_displacements(trajs, probs, targets, model, n_steps * float(LAG))
    exact = exact_msd(n_steps * LAG, MATRIX, WIDTH, **KINDS[kind])
    assert agrees(exact, result.msd_interval)
    # 480 walkers over five steps, about 5 %: an interval that holds all would show
    np.testing.assert_allclose(result.msd, exact, rtol=0.2)
    slope = (exact_msd(2000, MATRIX, WIDTH, **KINDS[kind]) - exact[-1])[0] / 1000 / 6
    assert agrees(slope, result.diffusion_interval)
    assert result.memory_holds
    assert result.longest == 5 * LAG


@pytest.mark.parametrize("kind", KINDS)
def test_coverage(kind):
    exact, hits = exact_msd(100 * LAG, MATRIX, WIDTH, **KINDS[kind])[0], []
    for seed in range(50):
        trajs, probs, targets = walkers(seed, **KINDS[kind]).data()
        model = estimate_koopman(probs, LAG, constraint="stochastic")
        result = predict_displacements(trajs, probs, targets, model, 100.0 * LAG)
        hits.append(result.msd_interval[0, 0] <= exact <= result.msd_interval[0, 1])
    # binomial standard error 0.03; `benchmarks.prediction` counts 200
    assert np.mean(hits) > 0.85


def test_data_that_start_in_one_state():
    trajs, probs, targets = walkers(1, n_runs=60, start=1).data()
    model = crisp_model(MATRIX, LAG)
    times = np.array([10.0, 30.0, 1000.0])
    result = predict_displacements(trajs, probs, targets, model, times)
    assert agrees(exact_msd(times, MATRIX, WIDTH), result.msd_interval)
    # the data themselves move faster
    own = transition_displacements(trajs, [np.ones((51, 8, 1))] * 60, targets, [10])
    assert own.total[0] > 1.15 * exact_msd(10, MATRIX, WIDTH)[0]


def test_targets_that_start_in_one_state():
    trajs, probs, targets = walkers(2, n_runs=60).data()
    times = np.array([10.0, 50.0, 400.0])
    result = predict_displacements(
        trajs, probs, targets, crisp_model(MATRIX, LAG), times, start=[0.0, 1.0]
    )
    # independent steps: three widths squared of the state at the start of each
    squares, expected, population = 3 * WIDTH**2, [], np.array([0.0, 1.0])
    for _ in range(400):
        expected.append(population @ squares)
        population = population @ MATRIX
    expected = np.cumsum(expected)[times.astype(int) - 1]
    assert agrees(expected, result.msd_interval)
    np.testing.assert_allclose(result.msd, result.msd_from[:, 1])
    np.testing.assert_allclose(result.msd_interval, result.msd_from_interval[:, 1])


def test_one_state_and_no_memory_is_a_straight_line():
    steps = np.random.default_rng(3).normal(size=(40, 20, 3))
    walk = Trajectory(np.cumsum(steps, axis=0), None, [3] * 20, timestep=0.5)
    probs = np.ones((40, 20, 1))
    model = SimpleNamespace(koopman_matrix=[[1.0]], stationary_distribution=[1.0], lagtime=4)
    result = predict_displacements(
        walk, probs, "element Li", model, [2.0, 3.0, 40.0], memory=0, unit="targets"
    )
    single = transition_displacements(walk, probs, "element Li", [4], unit="targets")
    np.testing.assert_allclose(result.msd, single.total[0] * np.array([1.0, 1.5, 20.0]))
    np.testing.assert_allclose(result.msd_interval[0], single.total_interval[0])
    np.testing.assert_allclose(result.diffusion, single.total[0] / 12.0)
    assert result.memory_holds is None


def test_soft_states_predict_as_crisp_ones_do():
    trajs, probs, targets = walkers(4, n_runs=60).data()
    blurred = [array @ np.array([[0.9, 0.1], [0.2, 0.8]]) for array in probs]
    results = [
        predict_displacements(
            trajs, states, targets, estimate_koopman(states, LAG), 1000.0, start=None, memory=1
        )
        for states in (probs, blurred)
    ]
    # a linear change of states changes neither K's eigenvalues nor means over all states
    np.testing.assert_allclose(results[1].msd, results[0].msd, rtol=1e-6)


def test_long_memory_is_said():
    # a walker that keeps its direction for 200 frames, in runs of 60
    kind = {"persistence": (0.995, 0.995)}
    walk = switching_walkers(
        61, 20, 20, np.random.default_rng(5), MATRIX, np.array([0.3, 0.3]), **kind
    )
    trajs, probs, targets = walk.data()
    with pytest.warns(ClosureWarning, match="remember their direction for 5 lag times"):
        result = predict_displacements(trajs, probs, targets, crisp_model(MATRIX, LAG), 500.0)
    assert result.memory_holds is False
    assert result.memory == 5


# two of three states look alike: what is seen of them is no Markov chain
HIDDEN = np.array([[0.90, 0.02, 0.08], [0.005, 0.99, 0.005], [0.06, 0.01, 0.93]])
LOOKS = np.array([0, 0, 1])
HIDDEN_WIDTH = np.array([0.1, 0.1, 0.5])


def seen_matrix(n_frames):
    """Exact Koopman matrix of what is seen."""
    populations = crisp_model(HIDDEN, 1).stationary_distribution
    merge = np.eye(2)[LOOKS]
    joint = merge.T @ np.diag(populations) @ np.linalg.matrix_power(HIDDEN, n_frames) @ merge
    return joint / joint.sum(axis=1, keepdims=True)


def test_transfer_tensors_are_the_memory_of_a_lumped_chain():
    matrices = np.array([seen_matrix(5 * m) for m in range(1, 31)])
    tensors = transfer_tensors(matrices)
    sizes = np.abs(tensors).max(axis=(1, 2))
    # one hidden relaxation: the kernel decays by one factor per step
    np.testing.assert_allclose(sizes[3:8] / sizes[2:7], sizes[3] / sizes[2], rtol=1e-6)
    np.testing.assert_allclose(propagators(tensors[:25], 30)[1:], matrices, atol=1e-5)
    # few tensors miss part of it, K alone most of it
    off = [np.abs(propagators(tensors[:n], 12)[12] - matrices[11]).max() for n in (1, 2, 4, 8)]
    assert np.all(np.diff(off) < 0)
    assert off[3] < 0.1 * off[0]
    # replicates keep their axis in front
    both = transfer_tensors(np.stack([matrices, matrices]))
    np.testing.assert_array_equal(both[1], tensors)
    assert propagators(both, 2).shape == (3, 2, 2, 2)
    with pytest.raises(ValueError, match="matrices must have shape"):
        transfer_tensors(np.eye(2))


def test_states_that_remember_are_said_and_corrected():
    walk = switching_walkers(
        121, 8, 150, np.random.default_rng(7), HIDDEN, HIDDEN_WIDTH, np.zeros(3)
    )
    trajs, probs, targets = Walkers(walk.paths, [LOOKS[labels] for labels in walk.labels]).data()
    model = estimate_koopman(probs, 5, constraint="stochastic")
    times = np.array([20.0, 60.0, 120.0])
    squares = 3 * np.array([0.1, 0.5]) ** 2
    later = np.cumsum([seen_matrix(n) @ squares for n in range(120)], axis=0)
    exact = later[times.astype(int) - 1]
    with pytest.warns(
        ClosureWarning, match="states remember more than 1 lag times of 5 ps"
    ) as said:
        plain = predict_displacements(trajs, probs, targets, model, times)
    # the hidden exchange takes as long as the runs can test
    assert "no longer lag time that the runs can test forgets, or take state_memory=" in str(
        said[0].message
    )
    assert plain.states_forget is False
    assert not agrees(exact, plain.msd_from_interval)
    better = predict_displacements(trajs, probs, targets, model, times, state_memory="auto")
    assert 2 <= better.state_memory <= 8
    assert agrees(exact, better.msd_from_interval)
    assert np.abs(better.msd_from - exact).max() < 0.4 * np.abs(plain.msd_from - exact).max()
    # all targets at rest move as they do, whatever states remember
    np.testing.assert_allclose(better.msd, plain.msd, rtol=0.02)


def test_the_shortest_lag_time_that_forgets_is_named():
    matrices = np.array([seen_matrix(20 * m) for m in range(1, 13)])
    # six units whose scatter hides what is small
    noise = np.random.default_rng(8).normal(scale=0.0002, size=(6, 12, 2, 2))
    closure = Closure(
        correlation=np.zeros((7, 12, 2)),
        matrices=np.concatenate([matrices[None], matrices + noise]),
        populations=np.full((7, 2), 0.5),
        weights=np.ones(6),
        scatter=Scatter(1.0, 5.0),
    )
    seen = Seen(1, True, *_states(closure))
    assert seen.states_forget is False
    off = [
        np.mean([np.trace(seen_matrix(20 * k * j) - np.linalg.matrix_power(seen_matrix(20 * k), j))
                 for j in range(2, 12 // k + 1)]) / 2
        for k in range(1, 7)
    ]  # fmt: skip
    np.testing.assert_allclose(seen.surplus, off[0], rtol=1e-10)
    low, high = closure.interval(closure.at_every(seen.better).surplus(1))
    assert seen.better > 1
    assert low <= 0.0 <= high
    assert abs(off[seen.better - 1]) < 0.5 * abs(off[0])
    assert closure.surplus(seen.state_memory)[0] < 0.5 * closure.surplus(1)[0]


def test_short_runs_are_left_out_of_a_given_memory():
    few = walkers(6, n_runs=4)
    short = Walkers([*few.paths[:3], few.paths[3][:15]], [*few.labels[:3], few.labels[3][:15]])
    trajs, probs, targets = short.data()
    with pytest.warns(ShortTrajectoryWarning, match="1 of 4"):
        predict_displacements(trajs, probs, targets, crisp_model(MATRIX, LAG), 100.0, memory=2)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"times": 5.0}, ValueError, r"none below one lag time \(10 ps\)"),
        ({"times": []}, ValueError, "times must be finite"),
        ({"times": [100.0, np.nan]}, ValueError, "times must be finite"),
        ({"start": [1.0, 1.0]}, ValueError, "start must be 2 probabilities"),
        ({"start": [1.0]}, ValueError, "start must be 2 probabilities"),
        ({"memory": -1}, ValueError, 'memory must be "auto" or'),
        ({"state_memory": 0}, ValueError, 'state_memory must be "auto" or'),
        ({"memory": 5}, ValueError, "must be < the longest trajectory"),
        ({"model": object()}, TypeError, "without koopman_matrix"),
        ({"model": crisp_model(np.full((3, 3), 1 / 3), LAG)}, ValueError, "the 2 states of probs"),
        ({"unit": "frames"}, ValueError, "unit must be one of"),
    ],
)
def test_bad_arguments(changes, error, message):
    trajs, probs, targets = walkers(n_runs=2).data()
    arguments = {"model": crisp_model(MATRIX, LAG), "times": 100.0}
    with pytest.raises(error, match=message):
        predict_displacements(trajs, probs, targets, **(arguments | changes))


def test_repr_gives_the_diffusion():
    trajs, probs, targets = walkers(n_runs=2).data()
    result = predict_displacements(trajs, probs, targets, crisp_model(MATRIX, LAG), 100.0)
    assert repr(result).startswith("PredictedMSD(n_times=1, to 100 ps, diffusion=0.")
