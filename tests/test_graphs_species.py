"""Neighbours of every species: against a search by hand, in any cell, and what follows."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from graphkoopman import GDyNetEstimator, GraphFeaturizer, Trajectory
from graphkoopman.graphs import GraphTrajectory

SKEWED = np.array([[9.0, 0.0, 0.0], [3.0, 8.0, 0.0], [-2.0, 1.0, 10.0]])
SPECIES = np.array([3] * 3 + [8] * 20 + [16] * 2)
IMAGES = np.array(list(itertools.product(range(-3, 4), repeat=3)))


def run_of(cell=SKEWED, n_frames=3, species=SPECIES, seed=0):
    rng = np.random.default_rng(seed)
    box = 9.0 * np.eye(3) if cell is None else cell
    positions = rng.uniform(0.0, 1.0, (n_frames, len(species), 3)) @ box
    return Trajectory(positions, cell, species, timestep=1.0)


def by_hand(run, frame, atom):
    """All others and their images within reach: atoms, distances (Å), nearest first."""
    positions = run.positions[frame].astype(np.float64)
    shifts = np.zeros((1, 3)) if run.cell is None else IMAGES @ run.cell
    lengths = np.linalg.norm(positions[None] - positions[atom] + shifts[:, None], axis=-1)
    atoms = np.broadcast_to(np.arange(len(positions)), lengths.shape)
    others = lengths > 1e-9
    order = np.argsort(lengths[others], kind="stable")
    return atoms[others][order], lengths[others][order]


def expected_of(run, frame, atom, n_near, n_each):
    """The nearest, and of every species the nearest few."""
    atoms, lengths = by_hand(run, frame, atom)
    wanted = lengths <= lengths[n_near - 1]
    for kind in np.unique(run.species):
        own = np.flatnonzero(run.species[atoms] == kind)
        wanted[own[:n_each]] = True
    return atoms[wanted], lengths[wanted]


def row_of(graphs, frame, row):
    """Atoms and distances of one row of a frame."""
    graphs = graphs[frame : frame + 1].with_degrees()
    ends = np.concatenate([[0], np.cumsum(graphs.degrees)])
    edges = slice(ends[row], ends[row + 1])
    return graphs.atoms[graphs.neighbors[edges]], graphs.distances[edges]


@pytest.mark.parametrize("cell", [SKEWED, 0.6 * SKEWED, 12.0 * np.eye(3), None])
@pytest.mark.parametrize("n_each", [1, 3])
def test_targets_see_the_nearest_of_every_species(cell, n_each):
    run = run_of(cell)
    (graphs,) = GraphFeaturizer([0, 2], n_neighbors=4, n_per_species=n_each, n_hops=2).transform(
        run
    )
    for frame, (row, atom) in itertools.product(range(3), enumerate([0, 2])):
        atoms, distances = row_of(graphs, frame, row)
        expected, lengths = expected_of(run, frame, atom, 4, n_each)
        assert_array_equal(atoms, expected)
        assert_allclose(distances, lengths, rtol=1e-6)


def test_other_atoms_keep_their_neighbors():
    run = run_of()
    (graphs,) = GraphFeaturizer([0], n_neighbors=4, n_per_species=2, n_hops=2).transform(run)
    hops = graphs.hop_counts
    assert np.all(hops[:, 1] > 5)
    for row in range(1, int(hops[0, 1])):
        atom = graphs.atoms[row]
        atoms, _ = row_of(graphs, 0, row)
        assert_array_equal(atoms, by_hand(run, 0, atom)[0][:4])


def test_a_radius_graph_has_them_too():
    run = run_of()
    (graphs,) = GraphFeaturizer(
        [1], n_neighbors=None, cutoff=3.0, n_per_species=2, n_hops=1
    ).transform(run)
    atoms, lengths = by_hand(run, 1, 1)
    wanted = lengths < 3.0
    for kind in (3, 8, 16):
        wanted[np.flatnonzero(run.species[atoms] == kind)[:2]] = True
    assert_array_equal(row_of(graphs, 1, 0)[0], atoms[wanted])


def test_a_species_of_which_there_is_no_other():
    run = run_of(None, species=np.array([3] + [8] * 12))
    (graphs,) = GraphFeaturizer([0], n_neighbors=2, n_per_species=1, n_hops=1).transform(run)
    assert_array_equal(row_of(graphs, 0, 0)[0], by_hand(run, 0, 0)[0][:2])


def test_shells_of_a_species_are_taken_whole():
    """Rock salt, one distance to six and to twelve: no atom of a shell is left out."""
    corner = np.array(list(itertools.product(range(4), repeat=3)))
    species = np.where(corner.sum(axis=1) % 2 == 0, 3, 17)
    run = Trajectory(2.5 * corner[None], 10.0 * np.eye(3), species, timestep=1.0)
    (graphs,) = GraphFeaturizer([0, 5], n_neighbors=1, n_per_species=1, n_hops=1).transform(run)
    for row in (0, 1):
        atoms, distances = row_of(graphs, 0, row)
        assert len(atoms) == len(set(atoms.tolist())) == 18
        assert_allclose(distances, 6 * [2.5] + 12 * [2.5 * np.sqrt(2.0)], rtol=1e-6)


def test_atoms_may_be_numbered_in_another_way():
    run = run_of()
    order = np.random.default_rng(1).permutation(len(SPECIES))
    other = Trajectory(run.positions[:, order], SKEWED, SPECIES[order], timestep=1.0)
    where = np.argsort(order)[[0, 1]]
    settings = {"n_neighbors": 3, "n_per_species": 2, "n_hops": 2}
    (graphs,) = GraphFeaturizer([0, 1], **settings).transform(run)
    (again,) = GraphFeaturizer(where, **settings).transform(other)
    for row in (0, 1):
        atoms, distances = row_of(graphs, 2, row)
        same, lengths = row_of(again, 2, row)
        assert_array_equal(order[same], atoms)
        assert_array_equal(lengths, distances)


def test_directions_lead_to_the_far_ones():
    run = run_of(0.6 * SKEWED)
    (graphs,) = GraphFeaturizer(
        [0], n_neighbors=3, n_per_species=4, n_hops=1, directions=True
    ).transform(run)
    atoms, distances = row_of(graphs, 0, 0)
    arms = graphs.directions[: len(distances)] * distances[:, None]
    ends = run.positions[0][atoms] - run.positions[0][0] - arms
    assert_allclose(
        ends @ np.linalg.inv(run.cell), np.rint(ends @ np.linalg.inv(run.cell)), atol=1e-4
    )
    assert len(np.unique(arms.round(3), axis=0)) == len(arms)


def test_files_threads_and_pieces_give_the_same(tmp_path):
    run = run_of(n_frames=40)
    settings = {"n_neighbors": 4, "n_per_species": 2, "n_hops": 2}
    (graphs,) = GraphFeaturizer([0, 1], **settings).transform(run)
    (threads,) = GraphFeaturizer([0, 1], **settings, n_jobs=2).transform(run)
    small = GraphFeaturizer([0, 1], **settings, cache_dir=tmp_path, memory_budget=20_000)
    (pieces,) = small.transform(run)
    graphs.save(tmp_path / "own.graphs")
    for other in (threads, pieces, GraphTrajectory.load(tmp_path / "own.graphs")):
        assert other.n_per_species == 2
        assert_array_equal(other.neighbors, graphs.neighbors)
        assert_array_equal(other.distances, graphs.distances)
    assert "n_per_species=2" in repr(graphs)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_model_knows_how_its_graphs_were_made():
    run = run_of(n_frames=60)
    near = GraphFeaturizer([0, 1, 2], n_neighbors=4, n_hops=3).transform(run)
    far = GraphFeaturizer([0, 1, 2], n_neighbors=4, n_per_species=2, n_hops=3).transform(run)
    estimator = GDyNetEstimator(2, 1, max_epochs=1, n_init=1, random_state=0).fit(far)
    assert estimator.n_per_species_ == 2
    with pytest.raises(ValueError, match="n_per_species=2"):
        estimator.transform(near)


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "two", 10**6])
def test_other_numbers_are_refused(wrong):
    with pytest.raises((TypeError, ValueError), match="n_per_species must be"):
        GraphFeaturizer([0], n_per_species=wrong).fit(run_of())
