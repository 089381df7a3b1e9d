"""Errors of ratios whose own memory is shorter than that of the states."""

import numpy as np
import pytest
from scipy.signal import lfilter

from graphkoopman.uncertainty import (
    Scatter,
    block_scatter,
    cut_blocks,
    cut_pieces,
    error_of_mean,
    jackknife_influence,
    piece_scatter,
    t_quantile,
)

TIME = 50.0  # frames, correlation time of the states


def memory(rng, n_frames, n_sets, time):
    """Gaussian processes that forget exponentially, (n_frames, n_sets); white for no time."""
    decay = np.exp(-1.0 / time) if time else 0.0
    kicks = rng.normal(size=(n_frames, n_sets))
    kicks[1:] *= np.sqrt(1.0 - decay**2)
    return lfilter([1.0], [1.0, -decay], kicks, axis=0)


def covered(x, weights):
    """Share of data sets, (n_frames, n_sets), whose interval of the weighted mean holds zero."""
    blocks = cut_blocks([len(x)], TIME)
    pieces, block_of = cut_pieces(blocks)
    first = [piece.start for piece in pieces]
    top, bottom = (np.add.reduceat(a, first, axis=0) for a in (weights * x, weights))
    total = bottom.sum(axis=0)
    ratio = top.sum(axis=0) / total
    error, n_units = error_of_mean(
        (top - ratio * bottom) / total,
        bottom,
        piece_scatter(pieces, block_of, TIME),
        np.ones(len(blocks) - 1, bool),
    )
    return np.mean(np.abs(ratio) < t_quantile(n_units) * error)


@pytest.mark.parametrize("n_times", [5, 10, 50])
@pytest.mark.parametrize(
    ("fast", "slow", "time", "least"),
    [
        (1.0, 0.0, TIME, 0.94),  # forgotten from frame to frame
        (0.0, 1.0, 10.0, 0.94),  # in between
        (0.0, 1.0, TIME, 0.93),  # as slow as the states
        # hardly seen in a frame, and most of the error: blocks are too few to tell it from chance
        (1.0, 0.15, TIME, 0.905),
    ],
)
def test_coverage_of_a_ratio_whatever_it_remembers(fast, slow, time, least, n_times):
    """4000 data sets of 5, 10 and 50 correlation times of the states, which are the weights."""
    rng = np.random.default_rng(n_times)
    n_frames, n_sets = round(n_times * TIME), 4000
    weights = 1.0 + 0.5 * np.tanh(memory(rng, n_frames, n_sets, TIME))
    x = fast * memory(rng, n_frames, n_sets, 0) + slow * memory(rng, n_frames, n_sets, time)
    # the standard error is 0.0035
    assert least < covered(x, weights) < 0.98


def test_pieces_are_no_more_than_blocks_may_be():
    pieces, block_of = cut_pieces(cut_blocks([500], TIME))
    assert block_of == tuple(np.repeat(range(6), 8))
    assert [p.start for p in pieces[1:]] == [p.stop for p in pieces[:-1]]
    assert len(cut_pieces(cut_blocks([500], TIME), shortest=30)[0]) == 12
    many = cut_blocks([500], 0.0)
    assert cut_pieces(many) == (many, tuple(range(50)))


def test_without_pieces_the_error_is_that_of_blocks():
    """Uneven blocks, one piece each: Student's t of their residuals over the share."""
    blocks = cut_blocks([30] * 3 + [60], 10.0, n_blocks=4)
    scatter = piece_scatter(blocks, range(4), 10.0)
    known = block_scatter(blocks, 10.0)
    assert (scatter.share, scatter.degrees) == (known.share, known.degrees)
    weights = np.array([30.0, 30.0, 30.0, 60.0])
    x = np.array([1.0, 2.0, 4.0, 3.0])
    residual = weights * (x - weights @ x / 150) / 150
    error, n_units = error_of_mean(residual, weights, scatter)
    expected = np.sqrt(np.sum(residual**2 / (1 - weights / 150)) / known.share)
    assert error == pytest.approx(expected, rel=1e-12)
    assert n_units == pytest.approx(1 + min(150**2 / np.sum(weights**2) - 1, known.degrees))


def test_states_that_forget_at_once_are_neither_slow_nor_without_error():
    """What blocks show, over no hidden share; nothing where nothing scatters."""
    pieces, block_of = cut_pieces(cut_blocks([600], 0.0, n_blocks=6))
    scatter = piece_scatter(pieces, block_of, 0.0)
    weights = np.ones((48, 3))
    x = np.random.default_rng(2).normal(size=(48, 2))
    influence = np.column_stack([(x - x.mean(axis=0)) / 48, np.zeros(48)])
    error, n_units = error_of_mean(influence, weights, scatter)
    of_blocks = influence.reshape(6, 8, 3).sum(axis=1)
    np.testing.assert_allclose(error, np.sqrt(np.sum(of_blocks**2, axis=0) * 6 / 5))
    assert np.all(n_units >= 5.9)


def test_events_that_take_turns_have_the_error_of_blocks():
    """Hops there and half the way back; ends of pieces cut such pairs apart, which adds scatter.

    Ends of blocks do, too: 3 % of the error here, where that of pieces would be 15 % too large.
    """
    rng = np.random.default_rng(5)
    n_sets, n_pairs = 2000, 600
    hops = rng.normal(size=(n_pairs, n_sets))
    x = np.roll(np.stack([hops, -0.5 * hops], axis=1).reshape(2 * n_pairs, n_sets), 1, axis=0)
    pieces, block_of = cut_pieces(cut_blocks([2 * n_pairs], 1.0, n_blocks=10))
    starts = [p.start for p in pieces]
    sums = np.add.reduceat(x, starts, axis=0)
    frames = np.array([p.n_frames for p in pieces], float)[:, None]
    influence = (sums - frames * x.mean(axis=0)) / len(x)
    error, _ = error_of_mean(influence, frames, piece_scatter(pieces, block_of, 1.0))
    exact = 0.5 * np.sqrt(n_pairs) / len(x)
    assert np.sqrt(np.mean(error**2)) == pytest.approx(exact, rel=0.08)


def test_pieces_of_one_block_say_nothing_about_others():
    pieces, block_of = cut_pieces(cut_blocks([600], 10.0, n_blocks=6))
    weights = np.where(np.array(block_of) == 2, 1.0, 0.0)
    influence = weights * np.where(np.arange(len(pieces)) % 2, 0.1, -0.1)
    _, n_units = error_of_mean(influence, weights, piece_scatter(pieces, block_of, 10.0))
    assert np.isinf(t_quantile(n_units))


def test_share_that_pieces_scatter_of_a_slow_process():
    """Against 4000 simulated runs: scatter within blocks over scatter of blocks."""
    rng = np.random.default_rng(0)
    x = memory(rng, 500, 4000, TIME)
    pieces, block_of = cut_pieces(cut_blocks([500], TIME))
    means = np.add.reduceat(x, [p.start for p in pieces], axis=0) / 500
    means -= means.mean(axis=0)
    blocks = means.reshape(6, 8, -1)
    between = np.sum(blocks.sum(axis=1) ** 2, axis=0).mean() * 6 / 5
    inside = blocks - blocks.mean(axis=1, keepdims=True)
    within = np.sum(inside**2, axis=(0, 1)).mean() * 8 / 7
    # pieces of 10 or 11 frames; their sums correlate a little less than those of continuous time
    assert piece_scatter(pieces, block_of, TIME).within == pytest.approx(within / between, rel=0.1)


def test_influence_from_estimates_without_one_piece():
    rng = np.random.default_rng(1)
    x, y = rng.random((2, 12, 3))
    ratio = x.sum(axis=0) / y.sum(axis=0)
    without = (x.sum(axis=0) - x) / (y.sum(axis=0) - y)
    exact = (x - ratio * y) / y.sum(axis=0)
    np.testing.assert_allclose(jackknife_influence(ratio, without, y), exact, atol=1e-14)


def test_scatter_of_pieces_counts_units():
    assert Scatter(1.0, 5.0).n_units == 0
    pieces, block_of = cut_pieces(cut_blocks([500], TIME))
    assert piece_scatter(pieces, block_of, TIME).n_units == 6
