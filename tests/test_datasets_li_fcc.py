"""Lithium in the FCC lattice: potential, thermostat, sites, and reference values of the frames."""

import dataclasses
import itertools

import numpy as np
import pytest

from graphkoopman.datasets import (
    TooFewTransitionsError,
    _li_fcc as li_fcc,
    assign_sites,
    fcc_sites,
    global_reference,
    li_fcc_reference,
    simulate_li_fcc,
    two_state_reference,
)
from graphkoopman.trajectories import Trajectory

A = 6.5


@pytest.fixture(scope="module")
def run():
    return simulate_li_fcc(20_000.0, random_state=0)


def brute_force_energy(points):
    """Energy in eV of Li at each point, (n,), from every image within 6 Å."""
    shifts = A * np.array(list(itertools.product(range(-3, 4), repeat=3)))
    images = (li_fcc._fcc_basis(A)[:, None] + shifts).reshape(-1, 3)
    reach = (images > points.min(axis=0) - 6.0) & (images < points.max(axis=0) + 6.0)
    energy = np.zeros(len(points))
    for image in images[reach.all(axis=1)]:
        r = np.linalg.norm(points - image, axis=1)
        term = 9.857e13 * (np.exp(-r / 0.07) - np.exp(-6.0 / 0.07))
        energy += np.where(r < 6.0, term, 0.0)
    return energy


def test_energy_matches_the_sum_over_all_images():
    points = np.random.default_rng(0).uniform(-10, 20, (200, 3))
    lattice = li_fcc._lattice(A)
    energy = [li_fcc._energy_force(point, lattice)[0] for point in points]
    # random points reach 1e11 eV next to S and 1e-7 eV far away: compare relative values;
    # wrapping a coordinate of 20 Å costs 1e-14 Å of 0.07 Å
    np.testing.assert_allclose(energy, brute_force_energy(points), rtol=1e-10)


@pytest.mark.parametrize("distance", [2.2, 2.6, 2.8, 3.2])
def test_force_is_minus_the_gradient(distance):
    lattice = li_fcc._lattice(A)
    point = distance * np.array([0.48, 0.6, 0.64])
    step = 1e-5
    for d, offset in enumerate(step * np.eye(3)):
        plus, minus = (li_fcc._energy_force(point + s * offset, lattice)[0] for s in (1, -1))
        force = li_fcc._energy_force(point, lattice)[1 + d]
        # (step / rho)² / 6 = 3e-9 from the third derivative; 1e-9 eV/Å from rounding
        assert force == pytest.approx((minus - plus) / (2 * step), rel=1e-6, abs=1e-8)


def test_energy_vanishes_continuously_at_the_cutoff():
    lone = li_fcc._Lattice(
        40.0, np.zeros((1, 3)), np.zeros((1000, 1), dtype=np.int64), np.ones(1000, dtype=np.int64)
    )
    inside = li_fcc._energy_force(np.array([6.0 - 1e-9, 0.0, 0.0]), lone)
    outside = li_fcc._energy_force(np.array([6.0 + 1e-9, 0.0, 0.0]), lone)
    scale = 9.857e13 * np.exp(-6.0 / 0.07)
    assert 0 < inside[0] < 1e-6 * scale
    assert outside == (0.0, 0.0, 0.0, 0.0)


def test_every_voxel_lists_every_image_within_the_cutoff():
    lattice = li_fcc._lattice(A)
    rng = np.random.default_rng(1)
    for point in rng.uniform(0, A, (300, 3)):
        i, j, k = (point * 10 / A).astype(int)
        voxel = (i * 10 + j) * 10 + k
        near = set(lattice.near[voxel, : lattice.n_near[voxel]])
        needed = np.flatnonzero(np.linalg.norm(lattice.images - point, axis=1) < 6.0)
        assert near.issuperset(needed)


def test_kinetic_temperature():
    rng = np.random.default_rng(2)
    lattice, langevin = li_fcc._lattice(A), li_fcc._coefficients(64.0, 100.0, 0.001)
    state = li_fcc._initial_state(A, 64.0, rng)
    velocities = np.empty((3000, 3))
    for velocity in velocities:
        li_fcc._propagate(state, 1, 100, lattice, langevin, rng)
        velocity[:] = state[1]
    temperature = li_fcc.LITHIUM_MASS * (velocities**2).mean() / li_fcc.ACCELERATION
    temperature /= li_fcc.BOLTZMANN
    # velocities forget within 0.01 ps, so 9000 are independent: 3 sd = 3 √(2/9000) = 4.5 %;
    # the integrator's own error is below 0.1 %
    assert temperature == pytest.approx(64.0, rel=0.045)


def test_population_follows_boltzmann(run):
    grid = (np.arange(32) + 0.5) / 32 * A
    points = np.array(list(itertools.product(grid, repeat=3)))
    weight = np.exp(-brute_force_energy(points) / (li_fcc.BOLTZMANN * 64.0))
    # basins: the tetrahedra of the S lattice, and the octahedra that fill the rest
    sites = fcc_sites(A)
    tetrahedral = np.zeros(len(points), dtype=bool)
    for signs, site in zip(
        itertools.product((1, -1), repeat=3), sites.positions[sites.types == 1], strict=True
    ):
        offset = points - site
        offset -= A * np.round(offset / A)
        corner = -np.prod(signs)
        normals = [n for n in itertools.product((1, -1), repeat=3) if np.prod(n) == corner]
        depth = (offset @ -np.array(normals).T / np.sqrt(3)).max(axis=1)
        tetrahedral |= depth < A * np.sqrt(3) / 12
    exact = 1 - weight[tetrahedral].sum() / weight.sum()
    assert exact == pytest.approx(0.926, abs=0.003)  # 0.9260 on a 60³ grid
    error = run.reference.populations_error[0]
    # cores assign the barrier region differently, which moves the population by 0.004
    assert run.reference.populations[0] == pytest.approx(exact, abs=3 * error + 0.004)


def test_sites_and_their_connectivity():
    sites = fcc_sites(A)
    assert sites.positions.shape == (12, 3)
    assert np.bincount(sites.types).tolist() == [4, 8]
    sulfur = li_fcc._fcc_basis(A)
    offset = sites.positions[:, None] - sulfur
    offset -= A * np.round(offset / A)
    nearest = np.linalg.norm(offset, axis=-1).min(axis=1)
    np.testing.assert_allclose(nearest[sites.types == 0], A / 2)
    np.testing.assert_allclose(nearest[sites.types == 1], A * np.sqrt(3) / 4)

    offset = sites.positions[sites.edges[:, 0]] - sites.positions[sites.edges[:, 1]]
    offset -= A * np.round(offset / A)
    np.testing.assert_allclose(np.linalg.norm(offset, axis=1), A * np.sqrt(3) / 4)
    degree = np.bincount(sites.edges.ravel())
    assert degree.tolist() == 4 * [8] + 8 * [4]


def test_assignment_keeps_the_last_core():
    sites = fcc_sites(A).positions
    between = 0.5 * (sites[0] + sites[11])
    path = np.array([between, sites[0], between, sites[11], between, sites[0] + [0.9, 0, 0]])
    assert assign_sites(path, A).tolist() == [0, 0, 0, 11, 11, 0]
    assert assign_sites(path - 7 * A, A).tolist() == [0, 0, 0, 11, 11, 0]


def test_trajectory_layout(run):
    trajectory = run.trajectory
    assert trajectory.positions.shape == (200_000, 5, 3)
    assert trajectory.positions.dtype == np.float32
    assert np.asarray(trajectory.species).tolist() == [3, 16, 16, 16, 16]
    assert trajectory.timestep == 0.1
    assert np.asarray(trajectory.targets).tolist() == [0]
    assert np.ptp(trajectory.positions[:, 1:], axis=0).max() == 0
    # unwrapped: no jump of a cell edge between frames
    assert np.abs(np.diff(trajectory.positions[:, 0], axis=0)).max() < A / 2


def test_reference_is_in_the_known_range(run):
    reference = run.reference
    # 200 ns of the same system give 40 ± 2 ps and an octahedral population of 0.928 ± 0.005
    assert abs(reference.relaxation_time - 40) < 3 * np.hypot(reference.relaxation_time_error, 2)
    assert abs(reference.populations[0] - 0.928) < 3 * np.hypot(
        reference.populations_error[0], 0.005
    )
    at_lag = reference.at_lag(50)
    # the same frames, so only the memory of the exchange within the lag separates the two
    assert at_lag.timescales[0] == pytest.approx(reference.relaxation_time, rel=0.15)
    np.testing.assert_array_equal(reference.types, fcc_sites(A).types[reference.labels])


def test_global_timescales_are_those_of_the_bipartite_network(run):
    reference = run.reference
    slow = 1 / reference.two_state.rates[0]
    known = reference.global_reference
    assert len(reference.global_timescales) == len(known.sites) - 1
    assert (np.diff(known.timescales) <= 0).all()
    assert known.multiplet == pytest.approx(known.timescales[:3].mean())
    # grazing visits add up to a tenth to the counted rate of leaving an octahedral site
    assert abs(known.multiplet - slow) < 3 * known.multiplet_error + 0.1 * slow
    np.testing.assert_allclose(known.transition_matrix.sum(axis=1), 1)


def test_global_reference_recovers_known_rates():
    leave_octahedral, leave_tetrahedral, timestep = 0.02, 0.1, 1.0
    labels = bipartite_walk(leave_octahedral, leave_tetrahedral, 200_000, timestep)
    known = global_reference(labels, 2, timestep)
    assert known.multiplet == pytest.approx(50.0, abs=3 * known.multiplet_error)
    assert 0 < known.multiplet_error < 5
    assert known.timescales[3:10].mean() == pytest.approx(10.0, rel=0.05)
    assert known.timescales[10] == pytest.approx(1 / 0.12, rel=0.05)


def test_two_state_errors_cover_the_truth():
    covered = 0
    for seed in range(200):
        types = fcc_sites(A).types[bipartite_walk(0.02, 0.1, 10_000, 0.5, seed)]
        known = two_state_reference(types, 0.5)
        # a frame hides the visits shorter than itself, at most timestep * k = 5 % of them
        covered += abs(known.relaxation_time - 1 / 0.12) < 2 * known.relaxation_time_error + 0.4
        assert known.n_transitions.min() > 20
    assert covered / 200 > 0.9


def bipartite_walk(leave_octahedral, leave_tetrahedral, n_frames, timestep, seed=0):
    """Site labels of a walker between 4 octahedral and 8 tetrahedral sites, all joined."""
    rng = np.random.default_rng(seed)
    n_visits = int(n_frames * timestep * leave_octahedral) + 1
    sites = np.stack([rng.integers(0, 4, n_visits), rng.integers(4, 12, n_visits)], axis=1)
    means = np.array([1 / leave_octahedral, 1 / leave_tetrahedral])
    ends = np.cumsum(rng.exponential(1.0, (n_visits, 2)) * means)
    frames = np.arange(n_frames) * timestep
    return sites.ravel()[np.minimum(np.searchsorted(ends, frames), 2 * n_visits - 1)]


def test_reference_of_a_slice_uses_its_own_frames(run):
    trajectory = run.trajectory
    half = li_fcc_reference(trajectory[100_000:])
    assert half.labels.shape == (100_000,)
    # the core visited last before the cut is unknown to the slice, nothing else is
    first_core = np.flatnonzero(np.diff(half.labels))[0] + 1
    np.testing.assert_array_equal(
        half.labels[first_core:], run.reference.labels[100_000:][first_core:]
    )
    assert half.relaxation_time != run.reference.relaxation_time


def test_reference_does_not_depend_on_wrapping_or_origin(run):
    positions = run.trajectory.positions[:50_000].astype(np.float64)
    moved = dataclasses.replace(
        run.trajectory, positions=np.mod(positions, A) + np.array([1.0, -2.0, 0.3])
    )
    np.testing.assert_array_equal(
        li_fcc_reference(moved).labels, li_fcc_reference(run.trajectory[:50_000]).labels
    )


def test_same_seed_same_trajectory():
    first, second, other = (simulate_li_fcc(20.0, random_state=s).trajectory for s in (5, 5, 6))
    np.testing.assert_array_equal(first.positions, second.positions)
    assert not np.array_equal(first.positions, other.positions)
    generators = [np.random.default_rng(5), np.random.RandomState(5), None]
    assert all(len(simulate_li_fcc(1.0, random_state=g).trajectory) == 10 for g in generators)


def test_global_generator_is_left_alone():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    simulate_li_fcc(1.0, random_state=1)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"duration": -1.0}, "duration must be a positive number, got -1"),
        ({"temperature": np.nan}, "temperature must be a positive number"),
        ({"duration": 0.01}, "duration must be at least one frame_interval"),
        ({"frame_interval": 0.1, "md_timestep": 0.03}, "multiple of md_timestep"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate_li_fcc(**{"duration": 1.0, **arguments})


def test_a_step_that_is_too_long_is_reported():
    with pytest.raises(FloatingPointError, match="smaller md_timestep"):
        simulate_li_fcc(10.0, md_timestep=0.1, temperature=5000.0, random_state=0, friction=1.0)


def test_short_runs_say_what_is_missing():
    short = simulate_li_fcc(5.0, random_state=0)
    with pytest.raises(TooFewTransitionsError, match="at least 2 transitions each way") as caught:
        _ = short.reference
    assert caught.value.required == 2
    assert caught.value.n_transitions < 2
    with pytest.raises(TooFewTransitionsError, match="at least 4 visited sites, got 2"):
        global_reference(np.array([0, 4, 0]), 1, 0.1)


def test_reference_refuses_other_systems(run):
    trajectory = run.trajectory[:10]
    gas = Trajectory(trajectory.positions, trajectory.cell, [3, 3, 16, 16, 16], timestep=0.1)
    with pytest.raises(ValueError, match="1 Li and 4 S"):
        li_fcc_reference(gas)
    skewed = dataclasses.replace(trajectory, cell=A * np.eye(3) + np.eye(3, k=-1))
    with pytest.raises(ValueError, match="one cubic cell"):
        li_fcc_reference(skewed)
    with pytest.raises(ValueError, match="core_radius must be two positive radii"):
        assign_sites(np.zeros((3, 3)), A, (2.0, 1.0))
    with pytest.raises(ValueError, match="no frame of li_positions is inside a core"):
        assign_sites(np.zeros((3, 3)), A)
    with pytest.raises(ValueError, match="types must be 0 or 1"):
        two_state_reference(np.array([0, 2]), 0.1)
