"""Time blocks and the intervals of ratios from them."""

from itertools import pairwise

import numpy as np
import pytest
from structure_systems import TRICLINIC, gas

from graphkoopman.structure._blocks import Division, divide, ratio_interval
from graphkoopman.structure._inputs import check_runs
from graphkoopman.trajectories import segments
from graphkoopman.uncertainty import Block


def division(n_blocks, time=0.0):
    blocks = [Block(0, i, i + 1, run=0) for i in range(n_blocks)]
    return Division.of(blocks, time)


def runs_of(trajectories, probs):
    return check_runs(trajectories, probs, "element Li")


def test_segments_of_one_run_are_one_run():
    pieces = segments(gas(TRICLINIC, 40, [3]), 4)
    probs = [np.ones((10, 1, 1))] * 4
    blocks = divide(runs_of(pieces, probs), "auto", 4).blocks
    assert [b.follows(a) for a, b in pairwise(blocks)] == [True, True, True]
    apart = [pieces[0], pieces[2], pieces[3]]
    blocks = divide(runs_of(apart, probs[:3]), "auto", 3).blocks
    assert [b.follows(a) for a, b in pairwise(blocks)] == [False, True]


def test_states_that_change_slowly_get_fewer_and_longer_blocks():
    states = np.arange(400)[:, None] // 100 % 2
    slow = np.eye(2)[np.broadcast_to(states, (400, 1))]
    fast = np.eye(2)[np.random.default_rng(0).integers(2, size=(400, 1))]
    run = [gas(TRICLINIC, 400, [3])]
    few, many = (divide(runs_of(run, [p]), "auto", None) for p in (slow, fast))
    assert few.n_blocks == 6
    assert len(few) == 48
    assert many.n_blocks > 40
    assert few.scatter.degrees < 5
    assert few.scatter.share < many.scatter.share


@pytest.mark.parametrize("n_blocks", [5, 10, 20])
@pytest.mark.parametrize("block_length", [2.0, 5.0, np.inf])
def test_coverage(n_blocks, block_length):
    """4000 data sets per case; blocks of 2, 5 and infinitely many correlation times."""
    rng = np.random.default_rng(n_blocks)
    n_sets, n_steps = 4000, 40
    decay = np.exp(-block_length / n_steps)
    kick = np.sqrt(1 - decay**2)
    state = rng.normal(size=n_sets)
    means = np.zeros((n_blocks, n_sets))
    for step in range(n_blocks * n_steps):
        state = decay * state + kick * rng.normal(size=n_sets)
        means[step // n_steps] += state / n_steps
    # blocks of unequal weight, as of a state that comes and goes
    weights = rng.uniform(0.5, 1.5, (n_blocks, n_sets))
    known = division(n_blocks, 1.0 / block_length)
    ratio, interval = ratio_interval((means + 3) * weights, weights, known)
    np.testing.assert_allclose(ratio, ((means + 3) * weights).sum(0) / weights.sum(0))
    covered = np.mean((interval[:, 0] < 3) & (interval[:, 1] > 3))
    # the standard error is 0.0035; neighbours that look correlated by chance add a little
    assert 0.935 < covered < 0.98


def test_a_single_block_tells_nothing_about_the_scatter():
    blocks = division(4)
    weights = np.array([[1.0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]).T
    ratio, interval = ratio_interval(2 * weights, weights, blocks)
    np.testing.assert_array_equal(ratio, [2, 2, np.nan])
    np.testing.assert_array_equal(interval, [[0, np.inf], [2, 2], [np.nan, np.nan]])


def test_rounding_in_a_single_block_does_not_matter():
    # 0.1 three times over 3 is not 0.1: the residual is not zero, its leverage is one
    blocks = division(3)
    sums = np.array([[0.1 + 0.1 + 0.1, 0.7], [0.0, 0.0], [0.0, 0.0]])
    counts = np.array([[3.0, 11.0], [0.0, 0.0], [0.0, 0.0]])
    ratio, interval = ratio_interval(sums, counts, blocks)
    np.testing.assert_allclose(ratio, [0.1, 0.7 / 11])
    np.testing.assert_array_equal(interval, [[0, np.inf], [0, np.inf]])
