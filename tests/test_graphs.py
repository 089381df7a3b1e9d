"""Graphs of the receptive field: equal to a search from every atom, sliced, joined, saved, batched.

The reference searches the neighbours of all atoms of a frame and walks outwards from the targets
in plain Python; neighbours themselves have their own tests.
"""

from dataclasses import fields

import numpy as np
import pytest
import torch

from graphkoopman.graphs import GraphTrajectory, _build, build_graphs, collate
from graphkoopman.neighbors import k_nearest, within
from graphkoopman.samples import join_adjacent_samples
from graphkoopman.trajectories import Trajectory, resolve_targets, segments

# Stored distances are float32: half a unit in the last place is 6e-8 of the value.
RTOL = 1e-7
TRICLINIC = np.array([[11.0, 0.0, 0.0], [6.5, 9.0, 0.0], [-5.0, 4.0, 10.0]])
MOLECULES = [[3, 7, 1], [0, 12], [20], [5, 6, 8, 9]]
FCC = 6.5 * np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0], [0.46, 0.52, 0.48]])


def gas(seed, cell, n_frames=3, n_atoms=28, targets=(4, 0, 11)):
    """Independent frames of atoms at random, some of them outside the cell."""
    rng = np.random.default_rng(seed)
    fractions = rng.uniform(-1.0, 2.0, (n_frames, n_atoms, 3))
    box = 12.0 * np.eye(3) if cell is None else cell
    return Trajectory(fractions @ box, cell, rng.integers(1, 4, n_atoms), timestep=0.5,
                      targets=list(targets))  # fmt: skip


def tiny():
    """Five atoms, fewer than the neighbours asked for: most neighbours are images."""
    positions = FCC + np.random.default_rng(1).normal(0.0, 0.1, (3, 5, 3))
    return Trajectory(positions, 6.5 * np.eye(3), [16] * 4 + [3], timestep=0.1, targets=[4])


def breathing():
    cells = TRICLINIC * np.array([1.0, 1.1, 0.9, 1.3])[:, None, None]
    return gas(2, cells, n_frames=4)


SYSTEMS = {
    "triclinic": gas(0, TRICLINIC),
    "tiny": tiny(),
    "cell per frame": breathing(),
    "no cell": gas(3, None),
    "molecules": gas(4, TRICLINIC, targets=MOLECULES),
}
# 4 Å leaves some atoms without a neighbour; 13 Å gives more than 64, so that buffers must grow
KINDS = {
    "nearest": {"n_neighbors": 12},
    "sparse": {"n_neighbors": None, "cutoff": 4.0},
    "dense": {"n_neighbors": None, "cutoff": 13.0},
}


@pytest.fixture(params=SYSTEMS, name="trajectory")
def trajectory_fixture(request):
    return SYSTEMS[request.param]


@pytest.fixture(params=KINDS, name="kind")
def kind_fixture(request):
    return KINDS[request.param]


def graphs_of(trajectory, **settings):
    return build_graphs(trajectory, resolve_targets(None, trajectory), **settings)


def all_neighbors(trajectory, frame, n_neighbors=None, cutoff=None):
    """Neighbours and distances of every atom of a frame, as lists of arrays."""
    cell = None if trajectory.cells is None else trajectory.cells[frame]
    if n_neighbors is not None:
        return [list(part) for part in k_nearest(trajectory.positions[frame], cell, n_neighbors)]
    center, neighbor, distance = within(trajectory.positions[frame], cell, cutoff)
    cuts = np.searchsorted(center, np.arange(1, trajectory.n_atoms))
    return np.split(neighbor, cuts), np.split(distance, cuts)


def hops_from(targets, neighbors, n_hops):
    """Fewest hops from a target to each atom in reach."""
    hops = {int(atom): 0 for atom in targets}
    for hop in range(1, n_hops + 1):
        for atom in [atom for atom, reached in hops.items() if reached == hop - 1]:
            for neighbor in neighbors[atom]:
                hops.setdefault(int(neighbor), hop)
    return hops


def assert_same(a, b):
    for field in fields(GraphTrajectory):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            np.testing.assert_array_equal(x, y, err_msg=field.name)
        else:
            assert x == y, field.name


@pytest.mark.parametrize("n_hops", [1, 2, 3, 4])
def test_equals_a_search_from_every_atom(trajectory, kind, n_hops):
    graphs = graphs_of(trajectory, n_hops=n_hops, **kind)
    targets = resolve_targets(None, trajectory)
    np.testing.assert_array_equal(graphs.target_offsets, targets.offsets)
    assert (len(graphs), graphs.n_hops) == (trajectory.n_frames, n_hops)
    for f in range(len(graphs)):
        neighbors, distances = all_neighbors(trajectory, f, **kind)
        hops = hops_from(targets.atoms, neighbors, n_hops)
        atoms = graphs.atoms[graphs.atom_offsets[f] : graphs.atom_offsets[f + 1]]
        assert sorted(atoms) == sorted(hops)
        np.testing.assert_array_equal(atoms[: len(targets.atoms)], targets.atoms)
        levels = np.array([hops[atom] for atom in atoms])
        assert np.all(np.diff(levels) >= 0)
        within_hops = [np.sum(levels <= hop) for hop in range(n_hops + 1)]
        np.testing.assert_array_equal(graphs.hop_counts[f], within_hops)
        rows = atoms[: graphs.hop_counts[f, -2]]
        edges = slice(graphs.edge_offsets[f], graphs.edge_offsets[f + 1])
        found = atoms[graphs.neighbors[edges]]
        np.testing.assert_array_equal(found, np.concatenate([neighbors[a] for a in rows]))
        expected = np.concatenate([distances[a] for a in rows])
        np.testing.assert_allclose(graphs.distances[edges], expected, rtol=RTOL)
        if graphs.degrees is not None:
            degrees = graphs.degrees[graphs.row_offsets[f] : graphs.row_offsets[f + 1]]
            np.testing.assert_array_equal(degrees, [len(neighbors[a]) for a in rows])


def test_radius_graphs_reach_their_extremes():
    sparse, dense = (graphs_of(SYSTEMS["no cell"], **KINDS["sparse"], n_hops=1),
                     graphs_of(SYSTEMS["triclinic"], **KINDS["dense"], n_hops=1))  # fmt: skip
    assert sparse.degrees.min() == 0
    assert dense.degrees.min() > 64


def test_known_graph_of_a_chain():
    """Atoms 1 Å apart on a line: two neighbours each, one more atom on both sides per hop."""
    positions = np.arange(9.0)[None, :, None] * [1.0, 0.0, 0.0]
    chain = Trajectory(positions, None, [6] * 9, timestep=1.0, targets=[4])
    graphs = graphs_of(chain, n_neighbors=None, cutoff=1.5, n_hops=3)
    assert graphs.hop_counts.tolist() == [[1, 3, 5, 7]]
    assert graphs.atoms.tolist() == [4, 3, 5, 2, 6, 1, 7]
    assert graphs.degrees.tolist() == [2] * 5
    assert set(graphs.distances) == {1.0}


def test_lone_target_has_no_edges():
    lone = Trajectory(
        [[[0, 0, 0], [9, 0, 0], [10, 0, 0]]], None, [3, 8, 8], timestep=1, targets=[0]
    )
    graphs = graphs_of(lone, n_neighbors=None, cutoff=3.0, n_hops=2)
    assert graphs.hop_counts.tolist() == [[1, 1, 1]]
    assert graphs.degrees.tolist() == [0]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_threads_and_chunks_give_identical_arrays(trajectory, kind, n_jobs, monkeypatch):
    whole = graphs_of(trajectory, **kind)
    monkeypatch.setattr(_build, "CHUNK_BYTES", 1)  # one frame per chunk
    assert_same(whole, graphs_of(trajectory, n_jobs=n_jobs, **kind))


def test_slices_are_views(trajectory, kind):
    (piece,) = segments(trajectory, 1)
    graphs = graphs_of(piece, **kind)
    part = graphs[1:3]
    for name in ("hop_counts", "atoms", "neighbors", "distances"):
        assert np.shares_memory(getattr(part, name), getattr(graphs, name)), name
    assert (len(part), part.start, part.parent) == (2, 1, graphs.parent)
    assert_same(part, graphs_of(piece[1:3], **kind))
    assert_same(part[1:], graphs[2:3])
    assert_same(graphs[:], graphs)
    assert len(graphs[2:1]) == len(graphs[99:]) == 0


def test_slices_must_be_contiguous():
    graphs = graphs_of(tiny())
    for index in (slice(None, None, 2), slice(None, None, -1), 0, [0, 1]):
        with pytest.raises(TypeError, match="contiguous slices"):
            graphs[index]


def test_joined_segments_equal_the_whole_run(kind):
    run = gas(5, TRICLINIC, n_frames=7, targets=MOLECULES)
    (whole,) = segments(run, 1)
    pieces = [graphs_of(piece, n_hops=2, **kind) for piece in segments(run, 3)]
    (joined,) = join_adjacent_samples([pieces[i] for i in (2, 0, 1)])
    assert_same(joined, graphs_of(whole, n_hops=2, **kind))
    apart = join_adjacent_samples([pieces[0], pieces[2]])
    assert apart[0] is pieces[0]
    assert apart[1] is pieces[2]


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(
    "labels",
    [None, np.tile([0, 1], 14), np.tile([0, 1], 14).astype(np.int8), np.tile(["OH", "ether"], 14)],
    ids=["elements", "int64", "int8", "strings"],
)
def test_save_and_load(kind, labels, mmap, tmp_path):
    (run,) = segments(gas(6, TRICLINIC, targets=MOLECULES), 1)
    graphs = graphs_of(run[1:], species=labels, **kind)
    graphs.save(tmp_path / "run.graphs")
    loaded = GraphTrajectory.load(tmp_path / "run.graphs", mmap=mmap)
    assert_same(loaded, graphs)
    assert loaded.species.dtype == graphs.species.dtype
    assert isinstance(loaded.distances, np.memmap) == mmap
    assert [path.name for path in tmp_path.iterdir()] == ["run.graphs"]
    frames, index = np.array([1, 0]), np.zeros(28, np.int64)
    batches = [collate(item, frames, index, 3) for item in (graphs, loaded)]
    np.testing.assert_array_equal(batches[0].neighbors, batches[1].neighbors)


def test_settings_of_numpy_types_are_saved(tmp_path):
    graphs = graphs_of(tiny(), n_neighbors=np.int64(6), n_hops=np.int64(2))
    graphs.save(tmp_path / "run.graphs")
    assert_same(GraphTrajectory.load(tmp_path / "run.graphs"), graphs)


def test_size_and_repr():
    graphs = graphs_of(tiny(), n_neighbors=12, n_hops=2)
    arrays = [getattr(graphs, field.name) for field in fields(graphs)]
    assert graphs.nbytes == sum(a.nbytes for a in arrays if isinstance(a, np.ndarray))
    assert (len(graphs), graphs.n_frames, graphs.n_targets) == (3, 3, 1)
    assert repr(graphs).startswith(
        "GraphTrajectory(3 frames of 0.1 ps, 1 targets, n_neighbors=12, n_hops=2"
    )
    assert "cutoff=4.0 Å" in repr(graphs_of(tiny(), n_neighbors=None, cutoff=4))
    # the smallest index types: 5 atoms fit in a byte
    assert graphs.atoms.dtype == graphs.neighbors.dtype == np.uint8


def test_too_few_atoms_without_a_cell():
    with pytest.raises(ValueError, match=r"n_neighbors=28 needs at least 29 atoms.*got 28"):
        graphs_of(gas(3, None), n_neighbors=28)
    assert len(graphs_of(gas(3, None), n_neighbors=27)) == 3


def test_nanometres_are_noticed(kind):
    run = gas(7, TRICLINIC)
    # 0.5 Å is the limit: the nearest neighbours of this gas are 1.5 Å apart (median)
    short = Trajectory(run.positions / 10, run.cell / 10, run.species, timestep=1.0, targets=[0])
    with pytest.raises(ValueError, match=r"positions must be in Å.*multiply both by 10"):
        graphs_of(short, **kind)


def naive_batch(graphs, frames, species_index, n_conv):
    """Species, neighbours and distances of a batch, one frame and one atom at a time."""
    order = []  # (position in the batch, stored atom), target atoms of all frames first
    for hop in range(n_conv + 1):
        for position, f in enumerate(frames):
            low = graphs.hop_counts[f, hop - 1] if hop else 0
            order += [(position, a) for a in range(low, graphs.hop_counts[f, hop])]
    place = {key: i for i, key in enumerate(order)}
    n_rows = sum(graphs.hop_counts[f, n_conv - 1] for f in frames)
    species, neighbors, distances = [], [], []
    for position, atom in order:
        f = frames[position]
        species.append(species_index[graphs.atoms[graphs.atom_offsets[f] + atom]])
    for position, atom in order[:n_rows]:
        f = frames[position]
        if graphs.degrees is None:
            degrees = np.full(graphs.hop_counts[f, -2], graphs.n_neighbors)
        else:
            degrees = graphs.degrees[graphs.row_offsets[f] : graphs.row_offsets[f + 1]]
        begin = graphs.edge_offsets[f] + degrees[:atom].sum()
        edges = range(begin, begin + degrees[atom])
        neighbors.append([place[position, graphs.neighbors[e]] for e in edges])
        distances.append([graphs.distances[e] for e in edges])
    return species, neighbors, distances


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def collating_threads(request, monkeypatch):
    """However few the edges."""
    monkeypatch.setattr("graphkoopman.graphs._batch.MIN_EDGES_PER_THREAD", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("collating_threads")
@pytest.mark.parametrize("frames", [[0], [2, 0, 1], [1, 1, 2]], ids=["one", "mixed", "repeated"])
@pytest.mark.parametrize("n_conv", [1, 2, 3])
def test_batch_equals_a_naive_one(trajectory, kind, n_conv, frames):
    graphs = graphs_of(trajectory, n_hops=3, **kind)
    index = np.arange(trajectory.n_atoms)[::-1].copy()
    batch = collate(graphs, np.array(frames), index, n_conv)
    species, neighbors, distances = naive_batch(graphs, frames, index, n_conv)
    assert batch.hop_counts == tuple(graphs.hop_counts[frames].sum(axis=0)[: n_conv + 1])
    np.testing.assert_array_equal(batch.species, species)
    np.testing.assert_array_equal(batch.neighbors, np.concatenate(neighbors))
    np.testing.assert_array_equal(batch.distances, np.concatenate(distances))
    n_rows, degrees = len(neighbors), [len(row) for row in neighbors]
    np.testing.assert_array_equal(batch.degrees(n_rows), degrees)
    np.testing.assert_array_equal(batch.rows(n_rows), np.repeat(np.arange(n_rows), degrees))
    sizes = np.diff(graphs.target_offsets)
    if np.all(sizes == 1):
        assert batch.target_of_atom is None
    else:
        owner = np.repeat(np.arange(len(frames) * len(sizes)), np.tile(sizes, len(frames)))
        np.testing.assert_array_equal(batch.target_of_atom, owner)
