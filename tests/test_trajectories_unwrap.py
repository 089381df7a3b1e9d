"""Minimum images, unwrapping and centres against brute force, ASE and paths that are known."""

import itertools

import numpy as np
import pytest
from ase.geometry import find_mic, minkowski_reduce

from graphkoopman.trajectories import (
    Trajectory,
    minimum_image,
    reduce_cell,
    target_centers,
    unwrap,
)

CELLS = {
    "cubic": np.eye(3) * 10.0,
    "triclinic": np.array([[9.0, 0, 0], [2.0, 8.0, 0], [-1.0, 3.0, 7.0]]),
    "truncated octahedron": np.array([[10.0, 0, 0], [10 / 3, 9.428, 0], [-10 / 3, 4.714, 8.165]]),
    "hexagonal": np.array([[5.0, 0, 0], [-2.5, 4.330127, 0], [0, 0, 12.0]]),
    "skewed": np.array([[5.0, 0, 0], [23.0, 6.0, 0], [-61.0, 47.0, 5.5]]),
    "needle": np.array([[1.0, 0.2, 0], [0.4, 30.0, 0], [13.3, -44.0, 11.0]]),
}


def random_cells(n):
    rng = np.random.default_rng(7)
    cells = rng.normal(size=(n, 3, 3)) * 3
    cells += 20 * rng.integers(-3, 4, size=(n, 1, 1)) * cells[:, [1, 2, 0]] * [[1], [0], [0]]
    return cells[np.abs(np.linalg.det(cells)) > 3]


def brute_force(vectors, cell, reach=5):
    """Shortest of (2 reach + 1)^3 images around the rounded ones in a Minkowski-reduced cell."""
    reduced, _ = minkowski_reduce(cell)
    base = vectors - np.rint(vectors @ np.linalg.inv(reduced)) @ reduced
    images = np.array(list(itertools.product(range(-reach, reach + 1), repeat=3))) @ reduced
    return np.linalg.norm(base[:, None] + images, axis=-1).min(axis=1)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_minimum_image_is_the_shortest(cell):
    vectors = np.random.default_rng(1).normal(size=(400, 3)) * 40
    shortest = minimum_image(vectors, cell)
    lengths = np.linalg.norm(shortest, axis=1)
    np.testing.assert_allclose(lengths, brute_force(vectors, cell), atol=1e-10)
    np.testing.assert_allclose(lengths, find_mic(vectors, cell, pbc=True)[1], atol=1e-10)
    shift = (shortest - vectors) @ np.linalg.inv(cell)
    # whole lattice vectors; skewed cells lose digits in the inverse
    np.testing.assert_allclose(shift, np.rint(shift), atol=1e-8)


def test_minimum_image_in_many_random_cells():
    cells = random_cells(60)
    vectors = np.random.default_rng(2).normal(size=(len(cells), 30, 3)) * 10
    lengths = np.linalg.norm(minimum_image(vectors, cells), axis=-1)
    expected = [brute_force(v, cell, reach=2) for v, cell in zip(vectors, cells, strict=True)]
    np.testing.assert_allclose(lengths, expected, atol=1e-9)


def test_reduced_cells_are_ases():
    cells = random_cells(60)
    lengths = np.linalg.norm(reduce_cell(cells), axis=-1)
    # the lengths of a Minkowski-reduced basis are unique, its vectors are not
    expected = [np.sort(np.linalg.norm(minkowski_reduce(cell)[0], axis=1)) for cell in cells]
    np.testing.assert_allclose(lengths, expected, rtol=1e-9)
    assert np.linalg.norm(reduce_cell(CELLS["cubic"]) - CELLS["cubic"]) == 0


def test_minimum_image_without_a_cell():
    vectors = np.array([[30.0, 0, 0]])
    np.testing.assert_array_equal(minimum_image(vectors, None), vectors)


def walk(n_frames=300, n_atoms=5, step=0.5, seed=3):
    steps = np.random.default_rng(seed).uniform(-step, step, size=(n_frames, n_atoms, 3))
    return 3.0 + np.cumsum(steps, axis=0)


def wrap(positions, cell):
    scaled = positions @ np.linalg.inv(cell)
    return (scaled - np.floor(scaled)) @ cell


def trajectory_of(positions, cell, species=None):
    species = np.full(positions.shape[1], 3) if species is None else species
    return Trajectory(positions, cell, species, timestep=1.0)


@pytest.mark.parametrize("name", ["cubic", "triclinic", "truncated octahedron", "skewed"])
def test_unwrap_undoes_wrap(name):
    cell = CELLS[name]
    path = walk()
    wrapped = wrap(path, cell)
    assert np.abs(np.diff(wrapped, axis=0)).max() > 2.0  # it did cross the boundary
    unwrapped = unwrap(trajectory_of(wrapped, cell))
    np.testing.assert_allclose(unwrapped - unwrapped[0], path - path[0], atol=1e-9)
    np.testing.assert_array_equal(unwrapped[0], wrapped[0])


def test_unwrap_leaves_unwrapped_positions_as_they_are():
    path = walk(step=1.0)
    np.testing.assert_array_equal(unwrap(trajectory_of(path, CELLS["triclinic"])), path)
    np.testing.assert_array_equal(unwrap(trajectory_of(path, None)), path)


def test_unwrap_of_some_atoms_and_of_single_precision():
    wrapped = wrap(walk(), CELLS["cubic"]).astype(np.float32)
    trajectory = trajectory_of(wrapped, CELLS["cubic"])
    some = unwrap(trajectory, [4, 1])
    assert some.dtype == np.float64
    np.testing.assert_array_equal(some, unwrap(trajectory)[:, [4, 1]])
    with pytest.raises(ValueError, match="atoms must be atom indices from 0 to 4, got 5"):
        unwrap(trajectory, [5])


def test_unwrap_in_blocks(monkeypatch):
    whole = unwrap(trajectory_of(wrap(walk(), CELLS["triclinic"]), CELLS["triclinic"]))
    monkeypatch.setattr("graphkoopman.trajectories._validation.CHUNK_ELEMENTS", 100)
    pieces = unwrap(trajectory_of(wrap(walk(), CELLS["triclinic"]), CELLS["triclinic"]))
    np.testing.assert_allclose(pieces, whole, atol=1e-12)


def test_unwrap_in_a_breathing_cell():
    breathing = 1 + 0.02 * np.sin(np.arange(300) / 7)
    cells = CELLS["triclinic"] * breathing[:, None, None]
    path = walk()
    steps = np.diff(unwrap(trajectory_of(wrap(path, cells), cells)), axis=0)
    # crossing k cells shifts a step by k times the change of the cell between the two frames
    change = np.abs(np.diff(cells, axis=0)).max() * np.abs(path @ np.linalg.inv(cells)).max() * 3
    np.testing.assert_allclose(steps, np.diff(path, axis=0), atol=change)
    assert np.abs(steps).max() < 1.5


@pytest.mark.parametrize("name", ["cubic", "triclinic", "skewed"])
@pytest.mark.parametrize("varying", [False, True])
def test_centers_of_molecules_cut_by_the_boundary(name, varying):
    cell = CELLS[name]
    origin = walk(n_atoms=2)[:, :, None]
    arms = np.array([[[0, 0, 0], [0.9, 0.3, 0], [-0.2, 0.9, 0.4]]])
    whole = origin + arms  # (n_frames, 2 molecules, 3 atoms, 3)
    masses = np.array([15.99943, 1.007947, 1.007947])
    expected = (whole * masses[:, None]).sum(axis=2) / masses.sum()
    cells = np.repeat(cell[None], 300, axis=0) if varying else cell
    trajectory = trajectory_of(wrap(whole.reshape(300, 6, 3), cell), cells, [8, 1, 1] * 2)
    centers = target_centers(trajectory, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_allclose(centers - centers[0], expected - expected[0], atol=1e-9)
    shift = (centers[0] - expected[0]) @ np.linalg.inv(cell)
    np.testing.assert_allclose(shift, np.rint(shift), atol=1e-8)


def test_centers_of_targets_of_different_sizes():
    path = walk(n_atoms=4)
    trajectory = trajectory_of(path, None, [3, 8, 1, 1])
    centers = target_centers(trajectory, [[0], [1, 3]])
    np.testing.assert_array_equal(centers[:, 0], path[:, 0])
    weights = np.array([15.99943, 1.007947])
    expected = (path[:, [1, 3]] * weights[:, None]).sum(axis=1) / weights.sum()
    np.testing.assert_allclose(centers[:, 1], expected, atol=1e-12)
    np.testing.assert_array_equal(target_centers(trajectory, [2, 0]), path[:, [2, 0]])


def test_centers_are_invariant_under_wrapping_of_single_atoms():
    cell = CELLS["triclinic"]
    path = walk(n_atoms=3, step=0.2)[:, :1] + np.array([[0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]])
    hops = np.random.default_rng(5).integers(-2, 3, size=(300, 3, 3)) @ cell
    expected = target_centers(trajectory_of(path, cell), [[0, 1, 2]])
    scrambled = target_centers(trajectory_of(path + hops, cell), [[0, 1, 2]])
    np.testing.assert_allclose(np.diff(scrambled, axis=0), np.diff(expected, axis=0), atol=1e-9)
