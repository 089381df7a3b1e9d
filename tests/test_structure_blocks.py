"""Time blocks and the intervals of ratios from them."""

import numpy as np
import pytest
from structure_systems import TRICLINIC, gas

from graphkoopman.structure._blocks import Block, cut_blocks, ratio_interval
from graphkoopman.trajectories import segments


def test_blocks_cover_every_frame_once():
    runs = [gas(TRICLINIC, n, [3]) for n in (100, 30, 7)]
    blocks = cut_blocks(runs, 12)
    assert len(blocks) == 12
    for i, run in enumerate(runs):
        own = [block for block in blocks if block.trajectory == i]
        frames = np.concatenate([np.arange(block.start, block.stop) for block in own])
        np.testing.assert_array_equal(frames, np.arange(len(run)))
        assert [block.follows for block in own] == [False] + [True] * (len(own) - 1)
    lengths = [block.stop - block.start for block in blocks]
    assert max(lengths) <= 2 * min(lengths)


def test_few_frames_and_many_trajectories():
    assert len(cut_blocks([gas(TRICLINIC, 3, [3])], 20)) == 3
    assert len(cut_blocks([gas(TRICLINIC, 3, [3])] * 5, 2)) == 5


def test_segments_of_one_run_follow_one_another():
    pieces = segments(gas(TRICLINIC, 40, [3]), 4)
    assert [block.follows for block in cut_blocks(pieces, 4)] == [False, True, True, True]
    blocks = cut_blocks([pieces[0], pieces[2], pieces[3]], 3)
    assert [block.follows for block in blocks] == [False, False, True]


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
    blocks = [Block(0, i, i + 1, i > 0) for i in range(n_blocks)]
    ratio, interval = ratio_interval((means + 3) * weights, weights, blocks)
    np.testing.assert_allclose(ratio, ((means + 3) * weights).sum(0) / weights.sum(0))
    covered = np.mean((interval[:, 0] < 3) & (interval[:, 1] > 3))
    # the standard error is 0.0035; correlation at two correlation times costs up to 0.06
    assert (0.88 if block_length == 2 else 0.93) < covered < 0.97


def test_a_single_block_tells_nothing_about_the_scatter():
    blocks = [Block(0, i, i + 1, i > 0) for i in range(4)]
    weights = np.array([[1.0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]).T
    ratio, interval = ratio_interval(2 * weights, weights, blocks)
    np.testing.assert_array_equal(ratio, [2, 2, np.nan])
    np.testing.assert_array_equal(interval, [[0, np.inf], [2, 2], [np.nan, np.nan]])


def test_rounding_in_a_single_block_does_not_matter():
    # 0.1 three times over 3 is not 0.1: the residual is not zero, its leverage is one
    blocks = [Block(0, i, i + 1, i > 0) for i in range(3)]
    sums = np.array([[0.1 + 0.1 + 0.1, 0.7], [0.0, 0.0], [0.0, 0.0]])
    counts = np.array([[3.0, 11.0], [0.0, 0.0], [0.0, 0.0]])
    ratio, interval = ratio_interval(sums, counts, blocks)
    np.testing.assert_allclose(ratio, [0.1, 0.7 / 11])
    np.testing.assert_array_equal(interval, [[0, np.inf], [0, np.inf]])
