"""State profiles along a cell vector and maps of the cell, Figs. 3c and 2c."""

import numpy as np
import pytest
from structure_systems import TRICLINIC, gas, random_probs

from graphkoopman.structure import spatial_map, state_profile
from graphkoopman.trajectories import Trajectory, follow_basis


def slab(cell, n_frames=30, n_atoms=40, seed=0):
    """A gas whose atoms are in state 0 in the lower quarter along c, in state 1 elsewhere."""
    trajectory = gas(cell, n_frames, [14] * n_atoms, seed=seed)
    fractions = np.linalg.solve(np.swapaxes(trajectory.cells, 1, 2)[:, None],
                                trajectory.positions[..., None])[..., 0]  # fmt: skip
    return trajectory, np.eye(2)[(fractions[..., 2] > 0.25).astype(int)], fractions


@pytest.mark.parametrize("changing", [False, True])
def test_profile_of_a_slab(changing):
    scale = np.linspace(0.9, 1.1, 30)[:, None, None] if changing else 1.0
    trajectory, probs, fractions = slab(TRICLINIC * scale)
    profile = state_profile(trajectory, probs, "element Si", axis="c", n_bins=8)
    np.testing.assert_allclose(profile.probability, np.repeat([[1, 0], [0, 1]], [2, 6], axis=1))
    counts = np.histogram(fractions[..., 2], bins=8, range=(0, 1))[0]
    np.testing.assert_array_equal(profile.counts, counts)
    volumes = np.linalg.det(trajectory.cells)
    np.testing.assert_allclose(profile.density.sum(0), counts / volumes.sum() * 8, rtol=1e-12)
    # c . z is the height above the plane of a and b
    height = np.mean(trajectory.cells[:, 2, 2])
    np.testing.assert_allclose(profile.position, (np.arange(8) + 0.5) / 8 * height, rtol=1e-12)
    inside = (profile.density_interval[..., 0] <= profile.density) & (
        profile.density <= profile.density_interval[..., 1]
    )
    assert inside.all()
    assert profile.probability_interval.max() <= 1


def test_profile_intervals_cover_the_truth():
    hits = []
    for seed in range(100):
        trajectory = gas(TRICLINIC, 40, [14] * 30, seed=seed)
        profile = state_profile(
            trajectory, np.full((40, 30, 1), 1.0), "element Si", axis=0, n_bins=4
        )
        truth = 30 / np.linalg.det(TRICLINIC)
        low, high = np.moveaxis(profile.density_interval[0], -1, 0)
        hits.append((low < truth) & (truth < high))
    # 400 values, of which three quarters are independent: three standard errors are 0.037
    assert 0.91 < np.mean(hits) < 0.99


def test_profile_does_not_depend_on_images_or_order():
    trajectory, probs, _ = slab(TRICLINIC)
    reference = state_profile(trajectory, probs, "element Si", axis=1, n_bins=6)
    rng = np.random.default_rng(0)
    order = rng.permutation(40)
    shifts = rng.integers(-4, 5, trajectory.positions.shape) @ TRICLINIC
    positions = (trajectory.positions + shifts)[:, order]
    moved = Trajectory(positions, TRICLINIC, [14] * 40, timestep=1.0)
    for pieces in ([moved], [moved[:13], moved[13:]]):
        arrays = [probs[:, order]] if len(pieces) == 1 else [probs[:13, order], probs[13:, order]]
        profile = state_profile(pieces, arrays, "element Si", axis=1, n_bins=6)
        np.testing.assert_allclose(profile.density, reference.density, rtol=1e-12, atol=1e-15)


def test_molecules_are_binned_by_their_centre():
    # the atoms are in different images, the centre is just above the boundary
    positions = np.array([[[5.0, 5.0, 9.9], [5.0, 5.0, 0.3]]])
    trajectory = Trajectory(positions, 10 * np.eye(3), [8, 8], timestep=1.0)
    profile = state_profile(trajectory, np.ones((1, 1, 1)), [[0, 1]], axis=2, n_bins=10)
    np.testing.assert_array_equal(profile.counts, [1] + [0] * 9)
    assert np.isnan(profile.probability[0, 1:]).all()
    np.testing.assert_array_equal(profile.density[0, 1:], 0)


def test_a_place_on_the_boundary_is_in_the_first_bin():
    # the remainder of a tiny negative fraction rounds up to one
    trajectory = Trajectory(np.full((1, 1, 3), -1e-18), 8 * np.eye(3), [3], timestep=1.0)
    profile = state_profile(trajectory, np.ones((1, 1, 1)), [0], axis=0, n_bins=3)
    np.testing.assert_array_equal(profile.counts, [1, 0, 0])


def test_map_agrees_with_the_profile():
    trajectory, probs, fractions = slab(TRICLINIC)
    probs = random_probs(30, 40, 3)
    voxels = spatial_map(trajectory, probs, "element Si", n_bins=(1, 1, 5))
    profile = state_profile(trajectory, probs, "element Si", axis=2, n_bins=5)
    np.testing.assert_allclose(voxels.probability[:, 0, 0], profile.probability)
    np.testing.assert_allclose(voxels.probability_interval[:, 0, 0], profile.probability_interval)
    voxels = spatial_map(trajectory, probs, "element Si", n_bins=4)
    expected = np.histogramdd(fractions.reshape(-1, 3), bins=4, range=[(0, 1)] * 3)[0]
    np.testing.assert_array_equal(voxels.counts, expected)
    np.testing.assert_allclose(voxels.positions[0, 0, 0], TRICLINIC.sum(0) / 8)


def test_map_folds_a_supercell():
    # a hops between the corner and the body centre of the unit cell of a 2 x 2 x 2 supercell
    rng = np.random.default_rng(0)
    centered = rng.integers(0, 2, 50)
    places = rng.integers(0, 2, (50, 3)) * 4.0 + centered[:, None] * 2.0 + 0.1
    trajectory = Trajectory(places[:, None], 8 * np.eye(3), [3], timestep=1.0)
    voxels = spatial_map(trajectory, np.eye(2)[centered][:, None], [0], n_bins=2, fold=2)
    assert voxels.counts.sum() == 50
    np.testing.assert_allclose(voxels.cell, 4 * np.eye(3))
    np.testing.assert_array_equal(voxels.probability[:, 0, 0, 0], [1, 0])
    np.testing.assert_array_equal(voxels.probability[:, 1, 1, 1], [0, 1])
    assert np.isnan(voxels.probability[0, 0, 0, 1])


@pytest.mark.parametrize("axis", [3, -1, "z", True, None, 1.5])
def test_bad_axis(axis):
    trajectory, probs, _ = slab(TRICLINIC)
    with pytest.raises(ValueError, match='axis must be 0, 1, 2 or "a", "b", "c"'):
        state_profile(trajectory, probs, "element Si", axis=axis, n_bins=3)


def test_errors():
    trajectory, probs, _ = slab(TRICLINIC)
    free = Trajectory(trajectory.positions, None, [14] * 40, timestep=1.0)
    with pytest.raises(ValueError, match="periodic for a profile"):
        state_profile(free, probs, "element Si", axis=0, n_bins=3)
    with pytest.raises(ValueError, match="periodic for a map"):
        spatial_map(free, probs, "element Si")
    with pytest.raises(ValueError, match="n_bins must be an integer or three"):
        spatial_map(trajectory, probs, "element Si", n_bins=(2, 2))
    with pytest.raises(ValueError, match="fold must be an integer >= 1, got 0"):
        spatial_map(trajectory, probs, "element Si", fold=0)


def resting(cells, n_atoms=6, seed=0):
    """Atoms that vibrate around fractional sites, in cells given in any basis of the lattice."""
    rng = np.random.default_rng(seed)
    fractions = (rng.integers(0, 10, (n_atoms, 3)) + 0.5) / 10
    basis = follow_basis(cells, cells[0])
    return fractions @ basis + rng.normal(0, 0.01, (len(cells), n_atoms, 3))


TILTED = np.array([[10.0, 0, 0], [4.9, 10.0, 0], [1.0, -4.9, 10.0]])
FLIPS = {
    "xy": np.array([[1, 0, 0], [-1, 1, 0], [0, 0, 1]]),
    "yz": np.array([[1, 0, 0], [0, 1, 0], [0, 1, 1]]),
    "xy and yz": np.array([[1, 0, 0], [-1, 1, 0], [-1, 1, 1]]),
}


@pytest.mark.parametrize("flip", FLIPS.values(), ids=FLIPS)
@pytest.mark.parametrize("strain", [0.0, 0.03])
def test_maps_and_profiles_do_not_see_a_box_that_flips(flip, strain):
    breathing = 1 + strain * np.sin(np.arange(40) / 5)[:, None, None]
    cells = TILTED * breathing
    flipped = np.concatenate([cells[:20], flip @ cells[20:]])
    positions = resting(flipped)
    one, two = (Trajectory(positions, c, [3] * 6, timestep=1.0) for c in (cells, flipped))
    probs = np.ones((40, 6, 1))
    before, after = (spatial_map(t, probs, "element Li", n_bins=10) for t in (one, two))
    np.testing.assert_array_equal(after.counts, before.counts)
    assert (after.counts > 0).sum() == 6  # a site is in one place
    np.testing.assert_allclose(after.cell, before.cell)
    for axis in "abc":
        before, after = (
            state_profile(t, probs, "element Li", axis=axis, n_bins=10) for t in (one, two)
        )
        np.testing.assert_array_equal(after.counts, before.counts)
        np.testing.assert_allclose(after.position, before.position)
        np.testing.assert_allclose(after.density, before.density)


def test_maps_of_several_runs_share_one_basis():
    cells = np.repeat(TILTED[None], 10, axis=0)
    positions = resting(cells)
    runs = [
        Trajectory(positions, cell, [3] * 6, timestep=1.0)
        for cell in (TILTED, FLIPS["xy"] @ TILTED)
    ]
    probs = [np.ones((10, 6, 1))] * 2
    found = spatial_map(runs, probs, "element Li", n_bins=10)
    assert (found.counts > 0).sum() == 6
    np.testing.assert_allclose(found.cell, TILTED)
    turned, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    turned *= np.sign(np.linalg.det(turned))
    runs[1] = Trajectory(positions @ turned, TILTED @ turned, [3] * 6, timestep=1.0)
    assert (spatial_map(runs, probs, "element Li", n_bins=10).counts > 0).sum() == 6


def test_maps_of_cells_that_do_not_correspond_are_refused():
    positions = np.random.default_rng(0).uniform(0, 10, (10, 6, 3))
    runs = [
        Trajectory(positions, cell, [3] * 6, timestep=1.0)
        for cell in (10.0 * np.eye(3), 21.0 * np.eye(3))
    ]
    probs = [np.ones((10, 6, 1))] * 2
    with pytest.raises(ValueError, match="cells must be near enough to each other"):
        spatial_map(runs, probs, "element Li")
