"""Steps that minimum images mistake: strides, warnings, unwrapped input, long molecules."""

import itertools
import warnings

import mdtraj as md
import numpy as np
import pytest

from graphkoopman.trajectories import (
    LongStepWarning,
    Trajectory,
    join_adjacent,
    segments,
    target_centers,
    unwrap,
    whole_centers,
    whole_targets,
)
from graphkoopman.transport import transition_diffusion, transition_displacements

CUBIC = 12.0 * np.eye(3)
TRICLINIC = np.array([[10.0, 0, 0], [4.9, 9.0, 0], [-3.0, 2.0, 11.0]])


def walk(n_frames, n_atoms, step, seed=0):
    steps = np.random.default_rng(seed).normal(0.0, step, (n_frames, n_atoms, 3))
    return 3.0 + np.cumsum(steps, axis=0)


def wrap(positions, cell):
    fractions = positions @ np.linalg.inv(cell)
    return (fractions - np.floor(fractions)) @ cell


def run_of(positions, cell, **kwargs):
    species = np.full(positions.shape[1], 3)
    return Trajectory(positions, cell, species, timestep=0.1, **kwargs)


@pytest.mark.parametrize("cell", [CUBIC, TRICLINIC], ids=["cubic", "triclinic"])
@pytest.mark.parametrize("step", [2, 7, 60])
def test_paths_do_not_depend_on_the_stride(cell, step):
    path = walk(1201, 20, 0.6)
    thinned = run_of(wrap(path, cell), cell)[::step]
    moved = unwrap(thinned)
    np.testing.assert_allclose(moved - moved[0], (path - path[0])[::step], atol=1e-9)
    np.testing.assert_array_equal(thinned.positions, wrap(path, cell)[::step])


def test_some_atoms_pieces_and_strides_of_strides():
    path = walk(1201, 20, 0.6)
    run = run_of(wrap(path, CUBIC), CUBIC)
    thinned = run[100::40]
    some = unwrap(thinned, [17, 4])
    np.testing.assert_allclose(some - some[0], (path - path[100])[100::40, [17, 4]], atol=1e-9)
    piece = unwrap(thinned[5:20])
    expected = path[100::40][5:20]
    np.testing.assert_allclose(piece - piece[0], expected - expected[0], atol=1e-9)
    twice = run[100::8][::5]
    np.testing.assert_array_equal(unwrap(twice), unwrap(thinned))
    (joined,) = join_adjacent(segments(thinned, 3))
    np.testing.assert_array_equal(unwrap(joined), unwrap(thinned))


def test_stride_in_a_cell_that_changes():
    breathing = (1 + 0.01 * np.sin(np.arange(1201) / 50))[:, None, None]
    path = walk(1201, 20, 0.6)
    cells = TRICLINIC * breathing
    run = run_of(wrap(path, cells), cells)
    whole, thinned = unwrap(run)[::30], unwrap(run[::30])
    # each of the lattice vectors crossed meanwhile may have changed by 1 %
    np.testing.assert_allclose(np.diff(thinned, axis=0), np.diff(whole, axis=0), atol=0.5)


@pytest.mark.parametrize("sigma", [2.5, 4.0])
def test_steps_near_half_the_cell_are_warned_of(sigma):
    path = walk(300, 20, sigma)
    with pytest.warns(LongStepWarning, match=r"near half the shortest lattice vector \(6 Å\)"):
        unwrap(run_of(wrap(path, CUBIC), CUBIC))
    # nothing finer is known of them, so a stride cannot help
    with pytest.warns(LongStepWarning):
        unwrap(run_of(wrap(path, CUBIC), CUBIC)[::2])


def test_long_steps_in_the_plane_of_a_skewed_cell():
    """Near the face between an atom and the image at a + b, although both vectors are long."""
    cell = np.array([[10.0, 0, 0], [-5.0, 8.66, 0], [0, 0, 30.0]])
    step = 0.46 * (cell[0] + cell[1])
    moving = np.array([[np.zeros(3)], [step]])
    with pytest.warns(LongStepWarning):
        unwrap(run_of(moving, cell))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unwrap(run_of(np.array([[np.zeros(3)], [[0, 0, 13.0]]]), cell))  # far from its 15 Å
        unwrap(run_of(moving, None))


def test_unwrapped_input_is_taken_at_its_word():
    path = walk(300, 20, 3.0)
    run = run_of(path, CUBIC, unwrapped=True)
    np.testing.assert_array_equal(unwrap(run), path)
    np.testing.assert_array_equal(unwrap(run[::3]), path[::3])
    np.testing.assert_array_equal(unwrap(segments(run, 2)[1]), path[150:])
    result = transition_displacements(run, np.ones((300, 20, 1)), "element Li", [1, 10])
    expected = [((path[k:] - path[:-k]) ** 2).sum(axis=2).mean() for k in (1, 10)]
    np.testing.assert_allclose(result.total, expected, rtol=1e-12)
    with pytest.raises(TypeError, match="unwrapped must be True or False, got 'yes'"):
        run_of(path, CUBIC, unwrapped="yes")


def test_unwrapped_input_in_a_cell_that_changes_and_flips():
    """Atoms at rest in fractions, far from the origin, diffuse no more than the cell breathes."""
    rng = np.random.default_rng(1)
    tilted = np.array([[10.0, 0, 0], [4.9, 10.0, 0], [0, 0, 10.0]])
    flipped = tilted - np.array([[0, 0, 0], [10.0, 0, 0], [0, 0, 0]])
    cells = (
        np.array([tilted, tilted, flipped, flipped]) * np.array([1, 1.02, 1.02, 1])[:, None, None]
    )
    fractions = rng.uniform(0, 1, (8, 3)) + np.repeat(rng.integers(-40, 40, (4, 3)), 2, axis=0)
    bases = np.array([tilted, 1.02 * tilted, 1.02 * tilted, tilted])
    run = run_of(fractions @ bases, cells, unwrapped=True)
    moved = unwrap(run) - unwrap(run)[0]
    # within the cell they move with it, by 2 % of at most its diagonal
    assert np.abs(moved).max() < 0.02 * 20
    np.testing.assert_allclose(moved[2], moved[1], atol=1e-9)


def test_diffusion_at_any_stride():
    path = walk(3001, 40, 0.6)
    run = run_of(wrap(path, CUBIC), CUBIC)
    for stride in (1, 10, 40):
        thinned = run[::stride]
        lag = 40 // stride
        ones = np.ones((len(thinned), 40, 1))
        fit = transition_diffusion(thinned, ones, "element Li", lag, method="secant")
        moved = path[::stride]
        true = ((moved[lag:] - moved[:-lag]) ** 2).sum(axis=2).mean() / (6 * lag * 0.1 * stride)
        assert fit.diffusion[0, 0] == pytest.approx(true, rel=1e-9)


def chain(n_frames, size, seed=3):
    """A chain several cells long that slides and wriggles."""
    rng = np.random.default_rng(seed)
    shape = np.cumsum(rng.normal(0, 0.6, (size, 3)) + np.array([0.7, 0.2, 0.1]), axis=0)
    slide = np.cumsum(rng.normal(0, 0.3, (n_frames, 1, 3)), axis=0)
    return 5 + shape + slide + rng.normal(0, 0.1, (n_frames, size, 3))


def topology_of_chains(n_chains, size):
    topology = md.Topology()
    for _ in range(n_chains):
        residue = topology.add_residue("PEO", topology.add_chain())
        atoms = [topology.add_atom("C", md.element.carbon, residue) for _ in range(size)]
        for pair in itertools.pairwise(atoms):
            topology.add_bond(*pair)
    return topology


@pytest.mark.parametrize("bonded", [True, False])
@pytest.mark.parametrize("size", [3, 93])
def test_chains_longer_than_the_cell(bonded, size):
    paths = np.concatenate([chain(60, size), 4.0 + chain(60, size, seed=4)], axis=1)
    cell = np.array([[13.0, 0, 0], [3.0, 14.0, 0], [1.0, -2.0, 12.0]])
    run = Trajectory(
        wrap(paths, cell),
        cell,
        np.full(2 * size, 6),
        timestep=1.0,
        topology=topology_of_chains(2, size) if bonded else None,
    )
    targets = np.arange(2 * size).reshape(2, size)
    centers = target_centers(run, targets)
    expected = paths.reshape(60, 2, size, 3).mean(axis=2)
    np.testing.assert_allclose(centers - centers[0], expected - expected[0], atol=1e-9)
    # in each frame by itself, too, up to the lattice vectors that the first atom crosses; without
    # bonds a chain that winds through its own images may be put together from several of them
    if not bonded and size > 3:
        return
    shapes = whole_targets(run, targets).reshape(60, 2, size, 3)
    true = paths.reshape(60, 2, size, 3)
    np.testing.assert_allclose(shapes, true - true[:, :, :1], atol=1e-9)
    jumps = (whole_centers(run, targets) - expected) @ np.linalg.inv(cell)
    np.testing.assert_allclose(jumps - np.rint(jumps), 0, atol=1e-9)


def test_chains_whose_atoms_are_shuffled_in_the_file():
    paths = chain(40, 50)
    order = np.random.default_rng(0).permutation(50)
    run = Trajectory(wrap(paths, CUBIC)[:, order], CUBIC, np.full(50, 6), timestep=1.0)
    centers = target_centers(run, [np.arange(50)])[:, 0]
    expected = paths.mean(axis=1)
    np.testing.assert_allclose(centers - centers[0], expected - expected[0], atol=1e-9)


def test_atoms_that_drift_apart_are_followed_one_by_one():
    paths = np.concatenate([walk(400, 1, 0.4, seed=s) for s in (0, 1, 2)], axis=1)
    run = Trajectory(wrap(paths, CUBIC), CUBIC, [6, 8, 8], timestep=1.0)
    weights = np.array([12.01078, 15.99943, 15.99943])
    expected = (paths * weights[:, None]).sum(axis=1) / weights.sum()
    with pytest.warns(LongStepWarning, match="followed one by one"):
        centers = target_centers(run, [[0, 1, 2]])[:, 0]
    np.testing.assert_allclose(centers - centers[0], expected - expected[0], atol=1e-9)


def test_far_from_the_origin_nothing_is_lost():
    """Unwrapped coordinates of 10⁷ Å, where single precision knows whole ångströms only."""
    paths = np.concatenate([walk(50, 2, 0.1), walk(50, 2, 0.1) + np.array([0.9, 0, 0])], axis=1)
    run = Trajectory(paths + 1e7, CUBIC, [8, 8, 1, 1], timestep=1.0)
    near = Trajectory(paths, CUBIC, [8, 8, 1, 1], timestep=1.0)
    moved, expected = (target_centers(item, [[0, 2], [1, 3]]) for item in (run, near))
    # doubles at 1e7 are 2e-9 apart
    np.testing.assert_allclose(moved - moved[0], expected - expected[0], atol=2e-8)
