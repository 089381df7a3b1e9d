"""Neighbours at one distance belong together: graphs of rigid lattices do not depend on chance."""

from dataclasses import replace

import numpy as np
import pytest

from graphkoopman import GraphFeaturizer, Trajectory
from graphkoopman.graphs import GraphTrajectory

EDGE = 4.0  # Å, of a face-centred cubic cell: shells of 12, 6, 24, 12 atoms
SHELLS = np.cumsum([12, 6, 24, 12])


def lattice(n=3, *, vibration=0.0, order=None, n_frames=1):
    corners = EDGE * np.stack(np.meshgrid(*[np.arange(n)] * 3), axis=-1).reshape(-1, 1, 3)
    basis = EDGE * np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    sites = (corners + basis).reshape(-1, 3)
    sites = sites if order is None else sites[order]
    rng = np.random.default_rng(0)
    positions = sites + vibration * rng.standard_normal((n_frames, *sites.shape))
    cell, species = n * EDGE * np.eye(3), np.full(len(sites), 3)
    targets = np.arange(len(sites))
    return Trajectory(positions.astype(np.float32), cell, species, timestep=1.0, targets=targets)


def target_distances(graphs, frame=0):
    return [np.sort(found) for found in graphs._target_distances(frame)]


@pytest.mark.parametrize("n_neighbors", [5, 12, 14, 18, 20])
def test_shells_are_whole_and_sites_alike(n_neighbors):
    (graphs,) = GraphFeaturizer(n_neighbors=n_neighbors, n_hops=2).fit_transform(lattice())
    whole = SHELLS[np.searchsorted(SHELLS, n_neighbors)]
    assert set(graphs.with_degrees().degrees) == {whole}
    first, *others = target_distances(graphs)
    assert len(first) == whole
    for other in others:
        np.testing.assert_allclose(other, first, atol=2e-6)  # single precision of the positions


def test_the_order_of_atoms_does_not_matter():
    order = np.random.default_rng(1).permutation(108)
    featurizer = GraphFeaturizer(n_neighbors=14, n_hops=2)
    (graphs,), (shuffled,) = (featurizer.fit_transform(lattice(order=o)) for o in (None, order))
    np.testing.assert_array_equal(graphs.hop_counts, shuffled.hop_counts)
    np.testing.assert_allclose(np.sort(graphs.distances), np.sort(shuffled.distances), atol=2e-6)


def test_moving_atoms_have_as_many_neighbours_as_asked_for():
    (graphs,) = GraphFeaturizer(n_neighbors=14, n_hops=1).fit_transform(lattice(vibration=0.2))
    assert graphs.degrees is None


def test_frames_with_and_without_shells_join(tmp_path):
    """A perfect lattice at first, as many runs start from, then a moving one."""
    still, moving = lattice(), lattice(vibration=0.2, n_frames=3)
    positions = np.concatenate([still.positions, moving.positions])
    run = replace(still, positions=positions)
    featurizer = GraphFeaturizer(n_neighbors=14, n_hops=1)
    (whole,) = featurizer.fit_transform(run)
    pieces = featurizer.fit_transform([run[:1], run[1:]])
    assert pieces[0].degrees is not None
    assert pieces[1].degrees is None
    for joined in (pieces[0].joined(pieces[1:]), pieces[1].joined(pieces[:1])[0:0]):
        assert joined.degrees is not None
    joined = pieces[0].joined(pieces[1:])
    np.testing.assert_array_equal(joined.distances, whole.distances)
    np.testing.assert_array_equal(joined.degrees, whole.degrees)
    joined.save(tmp_path / "run.graphs")
    loaded = GraphTrajectory.load(tmp_path / "run.graphs")
    np.testing.assert_array_equal(loaded.edge_offsets, whole.edge_offsets)
