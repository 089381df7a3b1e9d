"""Pieces of runs and the block split."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from graphkoopman.trajectories import (
    Trajectory,
    adjacent_runs,
    block_split,
    join_adjacent,
    segments,
)

CELL = 5 * np.eye(3)


def make(n_frames=20, seed=0, cell=CELL, **kwargs):
    positions = np.random.default_rng(seed).normal(size=(n_frames, 2, 3))
    return Trajectory(positions, cell, [3, 16], timestep=1.0, **kwargs)


def test_segments():
    run = make(targets="element Li")
    pieces = segments(run, 3)
    assert [len(piece) for piece in pieces] == [7, 7, 6]
    assert [piece.start for piece in pieces] == [0, 7, 14]
    assert len({piece.parent for piece in pieces}) == 1
    assert all(np.shares_memory(piece.positions, run.positions) for piece in pieces)
    assert pieces[2].targets == "element Li"


def test_parents_come_from_content():
    assert segments(make(), 2)[0].parent == segments(make(), 5)[0].parent
    assert segments(make(), 2)[0].parent != segments(make(seed=1), 2)[0].parent


def test_segments_of_segments_keep_the_first_parent():
    pieces = segments(make(), 2)
    again = segments(pieces[1], 2)
    assert [piece.start for piece in again] == [10, 15]
    assert {piece.parent for piece in again} == {pieces[0].parent}


def test_too_many_segments():
    with pytest.raises(ValueError, match=r"n must not exceed the number of frames \(20\), got 21"):
        segments(make(), 21)
    with pytest.raises(ValueError, match="n must be an integer >= 1, got 0"):
        segments(make(), 0)


def test_join_adjacent():
    run, other = make(), make(seed=1)
    pieces, others = segments(run, 4), segments(other, 2)
    joined = join_adjacent([pieces[0], pieces[1], others[0], pieces[3], other])
    assert [len(item) for item in joined] == [10, 10, 5, 20]
    np.testing.assert_array_equal(joined[0].positions, run.positions[:10])
    assert (joined[0].start, joined[2].start) == (0, 15)
    assert joined[3] is other
    assert not joined[0].positions.flags.writeable


def test_join_adjacent_cells():
    per_frame = CELL * np.linspace(1, 1.1, 20)[:, None, None]
    (joined,) = join_adjacent(segments(make(cell=per_frame), 3))
    np.testing.assert_array_equal(joined.cell, per_frame)
    (joined,) = join_adjacent(segments(make(), 3))
    assert joined.cell.shape == (3, 3)
    (joined,) = join_adjacent(segments(make(cell=None), 3))
    assert joined.cell is None


def test_join_refuses_other_timesteps():
    first = make(parent="run")
    second = Trajectory(first.positions, CELL, [3, 16], timestep=2.0, parent="run", start=20)
    with pytest.raises(ValueError, match="same species and timestep"):
        join_adjacent([first, second])


def test_pieces_without_parent_never_join():
    assert adjacent_runs([None, None], [0, 5], [5, 5]) == [[0], [1]]
    assert len(join_adjacent([make()[:5], make()[5:]])) == 2


@settings(max_examples=60, deadline=None)
@given(
    n_frames=st.integers(1, 60),
    n=st.integers(1, 12),
    order=st.randoms(use_true_random=False),
)
def test_join_undoes_segments(n_frames, n, order):
    run = make(n_frames)
    pieces = [piece for part in segments(run, min(n, n_frames)) for piece in segments(part, 1)]
    order.shuffle(pieces)
    (joined,) = join_adjacent(pieces)
    np.testing.assert_array_equal(joined.positions, run.positions)
    assert joined.start == 0


@settings(max_examples=300, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=30),
    fraction=st.floats(0.01, 0.99),
    lagtime=st.integers(1, 60),
    seed=st.integers(0, 2**32 - 1),
)
def test_block_split_properties(lengths, fraction, lagtime, seed):
    if min(lengths) <= lagtime or (len(lengths) == 1 and lengths[0] < 2 * (lagtime + 1)):
        with pytest.raises(ValueError, match="lagtime"):
            block_split(lengths, fraction, lagtime=lagtime, random_state=seed)
        return
    train, validation = block_split(lengths, fraction, lagtime=lagtime, random_state=seed)
    assert train
    assert validation
    used = [np.zeros(length, dtype=int) for length in lengths]
    for trajectory, start, stop in train + validation:
        assert stop - start > lagtime
        used[trajectory][start:stop] += 1
    assert all((frames == 1).all() for frames in used)
    for blocks in (train, validation):
        for a, b in itertools.pairwise(blocks):
            assert a[0] < b[0] or a[2] < b[1]  # sorted, and neighbours are merged
    assert (train, validation) == block_split(lengths, fraction, lagtime=lagtime, random_state=seed)


def frames_of(blocks):
    return sum(stop - start for _, start, stop in blocks)


@pytest.mark.parametrize("lengths", [[2000], [1000, 1000], [37] * 60, [1500, 300, 200]])
@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5])
def test_block_split_meets_the_fraction(lengths, fraction):
    _, validation = block_split(lengths, fraction, lagtime=10, random_state=1)
    # half a block of a twentieth of the frames
    assert frames_of(validation) / sum(lengths) == pytest.approx(fraction, abs=0.026)


def test_blocks_are_several_lags_long():
    train, validation = block_split([1000], 0.25, lagtime=30, random_state=0)
    assert min(stop - start for _, start, stop in train + validation) >= 151


def test_block_split_changes_with_the_seed():
    splits = [block_split([4000], 0.3, lagtime=5, random_state=seed) for seed in range(5)]
    assert len({str(split) for split in splits}) > 1


def test_block_split_without_room():
    with pytest.raises(ValueError, match=r"single trajectory of 21 frames; it needs 22"):
        block_split([21], 0.3, lagtime=10)
    with pytest.raises(ValueError, match=r"shortest trajectory \(10 frames\), got 10"):
        block_split([100, 10], 0.3, lagtime=10)
    with pytest.raises(ValueError, match="fraction must be between 0 and 1, got 1"):
        block_split([100], 1, lagtime=10)
    with pytest.raises(ValueError, match="lagtime must be an integer >= 1, got 0"):
        block_split([100], 0.3, lagtime=0)
    with pytest.raises(ValueError, match=r"\(0 frames\)"):
        block_split([], 0.3, lagtime=1)
