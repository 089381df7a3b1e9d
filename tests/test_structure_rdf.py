"""State-weighted radial distribution functions and coordination numbers, eq. (12)."""

import freud
import numpy as np
import pytest
from structure_systems import CELLS, TRICLINIC, distances_of, gas, radius_limit, random_probs

from graphkoopman.structure import EmptyStateWarning, state_rdf
from graphkoopman.trajectories import Trajectory

LI, OXYGEN, S = 3, 8, 16


def ones(trajectory, n_targets):
    return np.ones((len(trajectory), n_targets, 1))


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("kind", ["own", "other"])
def test_probabilities_of_one_give_freuds_rdf(name, kind):
    trajectory = gas(CELLS[name], 4, [LI] * 60 + [S] * 40, seed=3)
    r_max = 0.98 * radius_limit(CELLS[name])
    oracle = freud.density.RDF(
        bins=25, r_max=r_max, normalization_mode="finite_size" if kind == "own" else "exact"
    )
    lithium, others = trajectory.positions[:, :60], trajectory.positions[:, 60:]
    points = lithium if kind == "own" else others
    box = freud.box.Box.from_matrix(CELLS[name].T)
    for frame in range(len(trajectory)):
        oracle.compute(
            (box, box.wrap(points[frame])),
            box.wrap(lithium[frame]),
            neighbors={"r_max": r_max, "exclude_ii": kind == "own"},
            reset=False,
        )
    rdf = state_rdf(trajectory, ones(trajectory, 60), "element Li", r_max=r_max, n_bins=25)
    column = rdf.species.index("Li" if kind == "own" else "S")
    # freud works in single precision
    np.testing.assert_allclose(rdf.r, oracle.bin_centers, rtol=1e-6)
    np.testing.assert_allclose(rdf.g[0, column], oracle.rdf, rtol=1e-5)
    np.testing.assert_allclose(rdf.coordination[0, column], oracle.n_r, rtol=1e-5)


@pytest.mark.parametrize("name", CELLS)
def test_ideal_gas_is_one_within_its_intervals(name):
    trajectory = gas(CELLS[name], 400, [LI] * 20 + [S] * 30, seed=1)
    probs = random_probs(400, 20, 2, seed=2)
    r_max = radius_limit(CELLS[name])
    rdf = state_rdf(trajectory, probs, "element Li", r_max=r_max, n_bins=40)
    inside = (rdf.g_interval[..., 0] <= 1.0) & (rdf.g_interval[..., 1] >= 1.0)
    # 160 values that are nearly independent: 0.95 within three standard errors of 0.017
    assert inside.mean() > 0.9
    # the pooled deviation, in which every pair counts, is far below 1 %
    np.testing.assert_allclose(rdf.coordination[..., -1] / rdf.density, 4 / 3 * np.pi * r_max**3,
                               rtol=0.02)  # fmt: skip


def test_states_add_up_to_the_plain_rdf():
    runs = [gas(TRICLINIC, n, [LI] * 5 + [S] * 20, seed=n) for n in (7, 12)]
    probs = [random_probs(n, 5, 3, seed=n) for n in (7, 12)]
    arguments = {"r_max": 4.0, "n_bins": 16}
    states = state_rdf(runs, probs, "element Li", **arguments)
    total = state_rdf(runs, [ones(run, 5) for run in runs], "element Li", **arguments)
    np.testing.assert_allclose(states.populations.sum(), 1.0, rtol=1e-14)
    for name in ("g", "coordination"):
        weighted = np.tensordot(states.populations, getattr(states, name), axes=1)
        np.testing.assert_allclose(weighted, getattr(total, name)[0], rtol=1e-12, atol=1e-14)


def breathing_gas(n_frames=45, seed=5):
    """A gas whose cell changes from frame to frame, also within each of the 20 blocks."""
    rng = np.random.default_rng(seed)
    cells = TRICLINIC + rng.uniform(-0.8, 0.8, (n_frames, 3, 3))
    return gas(cells, n_frames, [LI] * 4 + [S] * 25, seed=seed)


def test_changing_cells_follow_the_definition():
    trajectory = breathing_gas()
    probs = random_probs(45, 4, 2, seed=1)
    rdf = state_rdf(trajectory, probs, "element Li", r_max=3.5, n_bins=7, species="S")
    counts, expected = np.zeros((2, 7)), np.zeros(2)
    for frame in range(45):
        for target in range(4):
            center = trajectory.positions[frame, target]
            distances = distances_of(trajectory, frame, center, slice(4, None))
            histogram = np.histogram(distances, bins=7, range=(0, 3.5))[0]
            counts += probs[frame, target][:, None] * histogram
            expected += probs[frame, target] * 25 / np.linalg.det(trajectory.cells[frame])
    shells = 4 / 3 * np.pi * np.diff(rdf.edges**3)
    np.testing.assert_allclose(rdf.g[:, 0], counts / shells / expected[:, None], rtol=1e-12)
    np.testing.assert_allclose(rdf.density[:, 0], expected / probs.sum((0, 1)), rtol=1e-12)
    plain = state_rdf(trajectory, ones(trajectory, 4), "element Li", r_max=3.5, n_bins=7,
                      species="S")  # fmt: skip
    weights = rdf.populations * rdf.density[:, 0] / plain.density[0, 0]
    np.testing.assert_allclose(weights @ rdf.g[:, 0], plain.g[0, 0], rtol=1e-12)


def octahedron_and_tetrahedron(n_frames=6):
    """One ion in an octahedron of sulphur at 2.65 Å, one in a tetrahedron at 2.25 Å."""
    corners = np.concatenate([np.eye(3), -np.eye(3)]) * 2.65
    tetrahedron = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 2.25 / np.sqrt(3)
    places = np.array([[0.3, 0.2, 0.1], [12.0, 12.0, 12.0]])
    positions = np.concatenate([places, places[0] + corners, places[1] + tetrahedron])
    return Trajectory(
        np.broadcast_to(positions, (n_frames, 12, 3)), 24 * np.eye(3), [LI] * 2 + [S] * 10,
        timestep=1.0,
    )  # fmt: skip


def test_environments_have_their_analytic_coordination():
    trajectory = octahedron_and_tetrahedron()
    probs = np.broadcast_to([[0.9, 0.1], [0.2, 0.8]], (6, 2, 2))
    rdf = state_rdf(trajectory, probs, "element Li", r_max=4.0, n_bins=40, species=S)
    expected = [(0.9 * 6 + 0.2 * 4) / 1.1, (0.1 * 6 + 0.8 * 4) / 0.9]
    np.testing.assert_allclose(rdf.coordination[:, 0, -1], expected, rtol=1e-12)
    np.testing.assert_allclose(rdf.populations, [0.55, 0.45], rtol=1e-12)
    crisp = np.broadcast_to(np.eye(2), (6, 2, 2))
    rdf = state_rdf(trajectory, crisp, "element Li", r_max=4.0, n_bins=40, species=S)
    first = [rdf.r[g > 0] for g in rdf.g[:, 0]]
    np.testing.assert_allclose(first, [[2.65], [2.25]], rtol=1e-12)
    # nothing changes in time, so nothing is uncertain
    np.testing.assert_allclose(rdf.coordination_interval[:, 0, -1], [[6, 6], [4, 4]], rtol=1e-12)


def test_a_sphere_around_everything_counts_every_atom():
    rng = np.random.default_rng(0)
    cluster = rng.uniform(0, 4, (3, 30, 3))
    trajectory = Trajectory(cluster, 30 * np.eye(3), [LI] * 10 + [OXYGEN] * 20, timestep=1.0)
    rdf = state_rdf(trajectory, ones(trajectory, 10), "element Li", r_max=15.0, n_bins=30)
    assert rdf.species == ("Li", "O")
    np.testing.assert_allclose(rdf.coordination[0, :, -1], [9, 20], rtol=1e-14)
    np.testing.assert_allclose(rdf.density[0], np.array([9, 20]) / 30**3, rtol=1e-14)


def rdf_of(positions, cell, species, probs, targets, r_max):
    trajectory = Trajectory(positions, cell, species, timestep=1.0)
    rdf = state_rdf(trajectory, probs, targets, r_max=r_max, n_bins=20)
    return rdf.g, rdf.g_interval, rdf.coordination


@pytest.mark.parametrize("case", ["unwrapped", "translated", "permuted", "rotated", "sheared"])
@pytest.mark.parametrize("molecules", [False, True])
def test_invariance(case, molecules):
    rng = np.random.default_rng(11)
    trajectory = breathing_gas()
    positions, cell = trajectory.positions, trajectory.cell
    if molecules:
        positions = np.array(positions)
        positions[:, [1, 3]] = positions[:, [0, 2]] + rng.normal(size=(45, 2, 3))
    species = trajectory.species
    targets = np.array([[0, 1], [2, 3]]) if molecules else np.arange(4)
    probs = random_probs(45, len(targets), 2, seed=8)
    # the sheared cells are as flat as 5 Å
    reference = rdf_of(positions, cell, species, probs, targets, r_max=2.4)
    if case == "unwrapped":
        positions = positions + rng.integers(-3, 4, positions.shape) @ cell
    elif case == "translated":
        positions = positions + rng.normal(size=3)
    elif case == "permuted":
        order = rng.permutation(29)
        positions, species = positions[:, order], species[order]
        targets = np.argsort(order)[targets]
    elif case == "rotated":
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        rotation *= np.linalg.det(rotation)
        positions, cell = positions @ rotation, cell @ rotation
    else:
        cell = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]]) @ cell
    changed = rdf_of(positions, cell, species, probs, targets, r_max=2.4)
    for new, old in zip(changed, reference, strict=True):
        # rounding moves no distance of these across the border of a bin
        np.testing.assert_allclose(new, old, rtol=1e-10, atol=1e-12)


def test_molecules_are_their_centre_of_mass_without_their_atoms():
    rng = np.random.default_rng(2)
    trajectory = gas(TRICLINIC, 5, [OXYGEN, 1, 1] * 6, seed=4)
    oxygen = trajectory.positions[:, ::3]
    positions = np.array(trajectory.positions)
    for k in (1, 2):
        # a molecule across the boundary, its atoms in different images
        positions[:, k::3] = oxygen + rng.normal(size=oxygen.shape) * 0.6 + TRICLINIC[k]
    trajectory = Trajectory(positions, TRICLINIC, trajectory.species, timestep=1.0)
    molecules = np.arange(18).reshape(6, 3)
    rdf = state_rdf(trajectory, ones(trajectory, 6), molecules, r_max=4.2, n_bins=14)
    masses = np.array([15.99943, 1.007947, 1.007947])
    counts = np.zeros((2, 14))
    for frame in range(5):
        for molecule in molecules:
            first = positions[frame, molecule[0]]
            arms = positions[frame, molecule] - first
            arms[1:] -= TRICLINIC[1:]
            center = first + masses @ arms / masses.sum()
            for row, element in enumerate((1, 8)):
                atoms = np.setdiff1d(np.flatnonzero(trajectory.species == element), molecule)
                distances = distances_of(trajectory, frame, center, atoms)
                counts[row] += np.histogram(distances, bins=14, range=(0, 4.2))[0]
    assert rdf.species == ("H", "O")
    np.testing.assert_allclose(rdf.coordination[0], np.cumsum(counts, axis=1) / 30, rtol=1e-12)
    volume = np.linalg.det(TRICLINIC)
    np.testing.assert_allclose(rdf.density[0], [10 / volume, 5 / volume], rtol=1e-12)


@pytest.mark.parametrize("molecules", [False, True])
def test_small_spheres_in_large_systems_count_the_same(molecules):
    # r_max decides between a plain pass over all atoms and the neighbour grid
    trajectory = gas(2 * TRICLINIC, 3, [LI] * 8 + [S] * 600, seed=9)
    targets = np.arange(8).reshape(4, 2) if molecules else np.arange(8)
    probs = random_probs(3, len(targets), 2)
    small = state_rdf(trajectory, probs, targets, r_max=2.0, n_bins=10, species="S")
    large = state_rdf(trajectory, probs, targets, r_max=9.0, n_bins=45, species="S")
    np.testing.assert_allclose(small.coordination, large.coordination[..., :10], rtol=1e-12)
    assert small.coordination.max() > 0.5


def test_spellings_of_the_input_agree():
    trajectory = gas(np.diag([11.0, 12.0, 13.0]), 10, [LI] + [S] * 12, seed=6)
    probs = random_probs(10, 1, 2).astype(np.float32)
    arguments = {"r_max": 5.0, "n_bins": 10}
    reference = state_rdf(trajectory, probs, "element Li", **arguments)
    assert reference.species == ("S",)
    for trajs, array in (
        ([trajectory], [probs]),
        (trajectory, probs[:, 0]),
        (trajectory.to_mdtraj(), probs.astype(float)),
    ):
        rdf = state_rdf(trajs, array, [0], **arguments)
        # mdtraj holds single precision, in nm
        np.testing.assert_allclose(rdf.g, reference.g, rtol=1e-5)
    pieces = [trajectory[:4], trajectory[4:]]
    rdf = state_rdf(pieces, [probs[:4], probs[4:]], "element Li", **arguments)
    np.testing.assert_allclose(rdf.g, reference.g, rtol=1e-12)


def test_species_may_be_groups_of_atoms():
    trajectory = gas(TRICLINIC, 6, [LI] * 2 + [OXYGEN] * 9, seed=6)
    probs = ones(trajectory, 2)
    groups = {"near": [2, 3, 4], "far": "index 5 to 10"}
    arguments = {"r_max": 4.5, "n_bins": 9}
    split = state_rdf(trajectory, probs, "element Li", species=groups, **arguments)
    joint = state_rdf(trajectory, probs, "element Li", species=[8], **arguments)
    assert split.species == ("near", "far")
    np.testing.assert_allclose(split.coordination.sum(1), joint.coordination[:, 0], rtol=1e-12)
    with pytest.raises(ValueError, match="groups 'near' and 'too' that do"):
        state_rdf(
            trajectory, probs, "element Li", species={"near": [2], "too": [2, 3]}, **arguments
        )


def test_runs_of_different_composition_are_pooled():
    runs = [gas(TRICLINIC, 5, [LI] + [S] * n, seed=n) for n in (10, 30)]
    rdf = state_rdf(runs, [ones(run, 1) for run in runs], "element Li", r_max=4.5, n_bins=9)
    np.testing.assert_allclose(rdf.density[0, 0], 20 / np.linalg.det(TRICLINIC), rtol=1e-12)


def test_an_empty_state_is_announced():
    trajectory = gas(TRICLINIC, 5, [LI] * 3 + [S] * 5)
    probs = np.zeros((5, 3, 2))
    probs[..., 0] = 1
    with pytest.warns(EmptyStateWarning, match=r"states \[1\] have no weight"):
        rdf = state_rdf(trajectory, probs, "element Li", r_max=4.0, n_bins=5)
    assert np.isnan(rdf.g[1]).all()
    assert np.isnan(rdf.g_interval[1]).all()
    assert np.isfinite(rdf.g_interval[0]).all()


def test_one_frame_has_no_upper_end():
    trajectory = gas(TRICLINIC, 1, [LI] * 3 + [S] * 5)
    rdf = state_rdf(trajectory, ones(trajectory, 3), "element Li", r_max=4.0, n_bins=5)
    assert rdf.n_blocks == 1
    np.testing.assert_array_equal(rdf.g_interval[..., 0], 0)
    np.testing.assert_array_equal(rdf.g_interval[..., 1], np.inf)


def test_intervals_cover_the_truth():
    # 60 independent ideal gases of independent frames
    hits = []
    for seed in range(60):
        trajectory = gas(TRICLINIC, 40, [LI] * 3 + [S] * 15, seed=1000 + seed)
        probs = random_probs(40, 3, 2, seed=seed)
        rdf = state_rdf(trajectory, probs, "element Li", r_max=4.5, n_bins=3, species="S")
        hits.append((rdf.g_interval[..., 0] < 1) & (rdf.g_interval[..., 1] > 1))
    # 360 values: three standard errors are 0.035
    assert 0.91 < np.mean(hits) < 0.99


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"r_max": 5.0}, r"r_max must be <= half the smallest height.*\(4\.91\d* Å\), got 5 Å"),
        ({"r_max": 0.0}, "r_max must be > 0"),
        ({"r_max": np.nan}, "r_max must be > 0"),
        ({"n_bins": 0}, "n_bins must be an integer >= 1, got 0"),
        ({"n_bins": 2.5}, "n_bins must be an integer"),
        ({"n_blocks": 1}, "n_blocks must be an integer >= 2"),
        ({"species": "Au"}, r"species must be elements of the trajectories \(Li, S\), got 'Au'"),
        ({"species": ["S", 16]}, "species must be different"),
        ({"targets": [0], "species": "Li", "probs": np.ones((5, 1, 1))}, None),
        ({"probs": np.ones((4, 2, 1))}, r"\(5, 2, n_states\), got \(4, 2, 1\)"),
        ({"probs": np.ones((5, 3, 1))}, r"\(5, 2, n_states\), got \(5, 3, 1\)"),
        ({"probs": np.ones((5, 2))}, r"got \(5, 2\)"),
        ({"probs": np.full((5, 2, 2), 0.4)}, r"sum to one.*\[0\.4, 0\.4\] at frame 0, target 0"),
        ({"probs": np.full((5, 2, 1), np.nan)}, "sum to one"),
        ({"probs": np.tile([1.5, -0.5], (5, 2, 1))}, "not negative"),
        ({"probs": [np.ones((5, 2, 1))] * 2}, r"one array per trajectory \(1\), got 2"),
    ],
)
def test_errors(changes, message):
    trajectory = gas(TRICLINIC, 5, [LI] * 2 + [S] * 5)
    arguments = {"probs": np.ones((5, 2, 1)), "targets": "element Li", "r_max": 4.0, "n_bins": 5}
    if message is None:
        assert state_rdf(trajectory, **(arguments | changes)).density[0, 0] > 0
        return
    with pytest.raises(ValueError, match=message):
        state_rdf(trajectory, **(arguments | changes))


def test_the_limit_is_that_of_the_smallest_frame():
    cells = np.eye(3) * np.array([12.0, 10.0, 11.0])[:, None, None]
    trajectory = gas(cells, 3, [LI] * 2)
    probs = np.ones((3, 2, 1))
    assert state_rdf(trajectory, probs, [0, 1], r_max=5.0, n_bins=5).edges[-1] == 5.0
    with pytest.raises(ValueError, match=r"\(5 Å\), got 5\.01 Å"):
        state_rdf(trajectory, probs, [0, 1], r_max=5.01, n_bins=5)


def test_more_errors():
    arguments = {"r_max": 3.0, "n_bins": 5}
    lonely = gas(TRICLINIC, 2, [LI, S])
    with pytest.raises(ValueError, match=r"besides the targets' own, got none for \['Li'\]"):
        state_rdf(lonely, np.ones((2, 1, 1)), [0], species="Li", **arguments)
    free = Trajectory(lonely.positions, None, [LI, S], timestep=1.0)
    with pytest.raises(ValueError, match="trajs must be periodic for a radial distribution"):
        state_rdf(free, np.ones((2, 1, 1)), [0], **arguments)
    with pytest.raises(ValueError, match=r"same number of states in every trajectory, got \[1, 2"):
        state_rdf([lonely, lonely], [np.ones((2, 1, 1)), np.full((2, 1, 2), 0.5)], [0], **arguments)
    with pytest.raises(TypeError, match="must be real numbers"):
        state_rdf(lonely, np.ones((2, 1, 1), dtype=complex), [0], **arguments)
