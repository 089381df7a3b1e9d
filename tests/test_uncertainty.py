"""Units, quantiles and blocks behind every interval."""

import numpy as np
import pytest
from scipy import stats

from graphkoopman.uncertainty import block_counts, effective_units, t_quantile


def test_equal_weights_count_and_one_heavy_unit_does_not():
    assert effective_units(np.full(7, 0.3)) == pytest.approx(7.0)
    assert effective_units([1e9, 1.0, 1.0]) == pytest.approx(1.0)
    weights = np.random.default_rng(0).random((5, 3, 2))
    expected = weights.sum(0) ** 2 / (weights**2).sum(0)
    np.testing.assert_allclose(effective_units(weights), expected)
    np.testing.assert_array_equal(effective_units(np.zeros((3, 2))), [0.0, 0.0])


def test_quantiles_are_students_and_without_end_for_one_unit():
    np.testing.assert_allclose(t_quantile([5, 12.5]), stats.t.ppf(0.975, [4, 11.5]))
    np.testing.assert_allclose(t_quantile(5, 0.68), stats.t.ppf(0.84, 4))
    np.testing.assert_array_equal(t_quantile([0.0, 1.0]), np.inf)
    assert t_quantile(1.4, fewest=0.5) == np.inf


def test_blocks_have_the_length_asked_for_where_there_are_enough():
    assert block_counts([100, 45], 10) == [10, 4]
    # a run shorter than a block is one
    assert block_counts([100, 3], 10) == [10, 1]


def test_blocks_shrink_to_four_and_no_further_than_the_shortest():
    (count,) = block_counts([100], 90)
    assert count == 4
    assert block_counts([100], 90, shortest=40) == [2]
    assert block_counts([2], 90) == [2]
    # four targets in one block are four units already
    assert block_counts([100], 90, copies=[4]) == [1]
