"""Runs continued in another file: found, joined, and left apart where they are not."""

import numpy as np
import pytest

from graphkoopman import read_trajectory
from graphkoopman.trajectories import Trajectory, find_seams, join_runs, unwrap

CELL = np.array([[11.0, 0, 0], [2.0, 12.0, 0], [0, 1.0, 10.0]])


def wrap(positions, cell=CELL):
    fractions = positions @ np.linalg.inv(cell)
    return (fractions - np.floor(fractions)) @ cell


def path(n_frames=200, seed=0, step=0.15):
    """Lithium that walks, and a framework of sulphur that shakes."""
    rng = np.random.default_rng(seed)
    start = np.random.default_rng(1).uniform(0, 10, (1, 32, 3))
    sites = start[:, 20:]
    lithium = start[:, :20] + np.cumsum(rng.normal(0, step, (n_frames, 20, 3)), axis=0)
    shake = np.zeros((n_frames, 12, 3))
    for k in range(1, n_frames):
        shake[k] = 0.7 * shake[k - 1] + rng.normal(0, 0.05, (12, 3))
    return np.concatenate([lithium, sites + shake], axis=1)


def run_of(positions, cell=CELL, **kwargs):
    return Trajectory(positions, cell, [3] * 20 + [16] * 12, timestep=0.1, **kwargs)


@pytest.mark.parametrize("cell", [CELL, None], ids=["periodic", "free"])
@pytest.mark.parametrize("cut", [3, 60, 150])
def test_pieces_of_a_run_are_joined(cell, cut):
    whole = path() if cell is None else wrap(path())
    pieces = [run_of(whole[:cut], cell), run_of(whole[cut:], cell)]
    (seam,) = find_seams(pieces)
    assert seam.follows is True
    assert 0 < seam.across < 1.2 * seam.inside
    (joined,) = join_runs(pieces)
    np.testing.assert_array_equal(joined.positions, whole)
    assert joined.parent is None


@pytest.mark.parametrize("gap", [5, 20])
def test_missing_frames_are_no_continuation(gap):
    whole = wrap(path())
    pieces = [run_of(whole[:100]), run_of(whole[100 + gap :])]
    assert find_seams(pieces)[0].follows is False
    assert [len(run) for run in join_runs(pieces)] == [100, 100 - gap]


def test_replicas_and_files_in_another_order():
    first, second = wrap(path()), wrap(path(seed=5))  # of one beginning
    replicas = [run_of(first), run_of(second)]
    assert [seam.follows for seam in find_seams(replicas)] == [False]
    assert find_seams([run_of(first[100:]), run_of(first[:100])])[0].follows is False
    assert len(join_runs(replicas)) == 2
    (forced,) = join_runs(replicas, join=True)
    assert len(forced) == 400
    assert len(join_runs([run_of(first[:100]), run_of(first[100:])], join=False)) == 2


def test_a_frame_that_a_restart_writes_again_is_kept_once():
    whole = wrap(path())
    pieces = [run_of(whole[:100]), run_of(whole[99:])]
    assert find_seams(pieces)[0].repeated
    (joined,) = join_runs(pieces)
    np.testing.assert_array_equal(joined.positions, whole)


def test_frames_too_far_apart_tell_nothing():
    gas = np.random.default_rng(0).uniform(0, 10, (60, 32, 3))
    pieces = [run_of(gas[:30]), run_of(gas[30:])]
    (seam,) = find_seams(pieces)
    assert seam.follows is None
    assert "as far in a frame as in the whole run" in seam.reason
    assert len(join_runs(pieces)) == 2
    assert find_seams([run_of(gas[:1]), run_of(gas[1:2])])[0].follows is None


@pytest.mark.parametrize(("lag", "follows"), [(1, True), (9, False), (-300, None)])
def test_times_of_the_files_decide_where_atoms_do_not(tmp_path, lag, follows):
    gas = np.random.default_rng(0).uniform(0, 10, (60, 32, 3))
    runs = [run_of(gas[:30], 10 * np.eye(3)), run_of(gas[30:], 10 * np.eye(3))]
    read = []
    for run, start in zip(runs, (300, 329 + lag), strict=True):
        made = run.to_mdtraj()
        made.time = (start + np.arange(30)) * 0.1
        made.save(str(tmp_path / f"{start}.xtc"))
        read.append(read_trajectory(tmp_path / f"{start}.xtc", run.to_mdtraj()))
    assert find_seams(read)[0].follows is follows
    # a part of a file has none of its times
    assert find_seams([read[0][:20], read[1]])[0].follows is None


def test_other_systems_do_not_continue_and_cannot_be_joined():
    whole = wrap(path())
    first = run_of(whole[:100])
    others = {
        "other atoms": Trajectory(whole[100:], CELL, [3] * 19 + [16] * 13, timestep=0.1),
        "timesteps": Trajectory(whole[100:], CELL, first.species, timestep=0.2),
        "without": run_of(whole[100:], None),
        "another size": run_of(whole[100:], 1.2 * CELL),
        "unwrapped": run_of(whole[100:], unwrapped=True),
    }
    for what, other in others.items():
        (seam,) = find_seams([first, other])
        assert seam.follows is False
        assert what in seam.reason
        with pytest.raises(ValueError, match=f"must be of one run, got .*{what}"):
            join_runs([first, other], join=True)
    with pytest.raises(TypeError, match="join must be True, False or None"):
        join_runs([first], join="yes")


def test_unwrapped_pieces_that_begin_in_the_cell_again():
    whole = path()
    shift = np.floor(whole[100] @ np.linalg.inv(CELL)) @ CELL
    pieces = [run_of(whole[:100], unwrapped=True), run_of(whole[100:] - shift, unwrapped=True)]
    (joined,) = join_runs(pieces)
    np.testing.assert_allclose(unwrap(joined), whole, atol=1e-9)


def test_strides_are_remembered_over_the_seam():
    whole = path(step=0.6)
    run = run_of(wrap(whole))
    (joined,) = join_runs([run[:100][::10], run[100:][::10]], join=True)
    moved = unwrap(joined)
    np.testing.assert_allclose(np.diff(moved[:10], axis=0), np.diff(whole[:100:10], axis=0))
    np.testing.assert_allclose(np.diff(moved[10:], axis=0), np.diff(whole[100::10], axis=0))


@pytest.mark.parametrize(
    ("name", "lengths"), [("Li6PS5I_100p", [300, 300]), ("Li6PS5Cl_50p", [630])]
)
def test_consecutive_files_of_argyrodite(shared_data, name, lengths):
    files = sorted((shared_data / "argyrodite").glob(f"{name}_run*.XDATCAR.gz"))
    pieces = [read_trajectory(file, timestep=0.1) for file in files]
    assert [len(run) for run in join_runs(pieces)] == lengths
    # the third file does not continue the first, nor the first the second
    assert [seam.follows for seam in find_seams([pieces[0], pieces[2]])] == [False]
    assert [seam.follows for seam in find_seams(pieces[1::-1])] == [False]
