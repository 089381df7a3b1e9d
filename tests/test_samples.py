"""Samples of both kinds by one table of columns: protocol, slices, joints, files, batches."""

import itertools
import pickle

import numpy as np
import pytest
from lobe_cases import ATOMS, KINDS, MOLECULES, TRICLINIC, gas
from scipy.spatial.transform import Rotation

from graphkoopman import GraphFeaturizer, Trajectory
from graphkoopman.descriptors import FeatureBatch, FeatureTrajectory, FunctionFeaturizer
from graphkoopman.graphs import GraphBatch, GraphTrajectory
from graphkoopman.samples import Batch, Samples, join_adjacent_samples
from graphkoopman.storage import read_arrays, write_arrays


def graphs_of(run, **changes):
    settings = {"n_neighbors": 8, "n_hops": 2, "directions": True} | changes
    if changes.get("cutoff"):
        settings["n_neighbors"] = None
    return GraphFeaturizer(**settings).transform(run)[0]


def features_of(n_frames=5, n_targets=3, n_features=4, **changes):
    features = np.random.default_rng(0).normal(size=(n_frames, n_targets, n_features))
    return FeatureTrajectory(features, **{"timestep": 0.5, "parent": "a run"} | changes)


SAMPLES = {
    "nearest": lambda: graphs_of(
        gas(n_frames=5, targets=MOLECULES), levels=[np.arange(28) // 2]
    ).of_run("a run"),
    "radius": lambda: graphs_of(gas(n_frames=5), cutoff=4.5).of_run("a run"),
    "plain": lambda: graphs_of(gas(n_frames=5), directions=False).of_run("a run"),
    "features": features_of,
    "named features": lambda: features_of(names=list("dbca"), target_atoms=[5, 1, 2]),
}


@pytest.fixture(params=SAMPLES)
def samples(request):
    return SAMPLES[request.param]()


def assert_same(a, b):
    assert type(a) is type(b)
    assert a.settings() == b.settings()
    assert a.arrays().keys() == b.arrays().keys()
    for name, array in a.arrays().items():
        np.testing.assert_array_equal(array, b.arrays()[name], err_msg=name)
        assert array.dtype == b.arrays()[name].dtype


def test_protocol(samples):
    assert isinstance(samples, Samples)
    rows = np.searchsorted(np.unique(samples.species), samples.species)
    batch = samples.batch(np.array([1, 3]), rows, samples.n_hops)
    assert isinstance(batch, Batch)
    assert (batch.n_frames, batch.n_targets) == (2, samples.n_targets)
    assert samples.nbytes == sum(array.nbytes for array in samples.arrays().values())
    assert not samples.still_targets()
    again = pickle.loads(pickle.dumps(samples))
    assert_same(again, samples)
    assert again.digest() == samples.digest() == samples.of_run("another").digest()


@pytest.mark.parametrize("cuts", [(0, 2, 5), (0, 1, 2, 3, 5)])
def test_slices_join_again(samples, cuts):
    pieces = [samples[a:b] for a, b in itertools.pairwise(cuts)]
    assert [piece.start for piece in pieces] == list(cuts[:-1])
    (joined,) = join_adjacent_samples(pieces[::-1])
    assert_same(joined, samples)
    assert [len(p) for p in join_adjacent_samples([pieces[0], pieces[-1][1:]])] == [
        len(pieces[0]), len(pieces[-1]) - 1,
    ]  # fmt: skip
    assert pieces[0].digest() != samples.digest()
    assert len(samples[3:1]) == 0
    with pytest.raises(TypeError, match="takes contiguous slices"):
        samples[::2]
    with pytest.raises(TypeError, match="takes contiguous slices"):
        samples[0]


@pytest.mark.parametrize("mmap", [False, True])
def test_files(samples, tmp_path, mmap):
    path = tmp_path / "run"
    samples[1:4].save(path)
    loaded = type(samples).load(path, mmap=mmap)
    assert_same(loaded, samples[1:4])
    assert loaded.digest() == samples[1:4].digest()


def test_files_with_other_columns_or_values(samples, tmp_path):
    path = tmp_path / "run"
    samples.save(path)
    arrays, header = read_arrays(path, samples.file)
    scalars = {name: value for name, value in header.items() if name != "labels"}
    first = next(name for name, array in arrays.items() if array.dtype.kind in "fi")
    for changed, values in (
        (arrays | {"more": np.zeros(2)}, scalars),
        ({name: array for name, array in arrays.items() if name != first}, scalars),
        (arrays | {first: arrays[first].astype(bool)}, scalars),
        (arrays | {first: arrays[first][..., None]}, scalars),
        (arrays, scalars | {"timestep": True}),
        (arrays, scalars | {"start": 1.5}),
        (arrays, {}),
    ):
        write_arrays(path, samples.file, changed, {"labels": header["labels"], **values})
        with pytest.raises(ValueError, match="is not a consistent"):
            type(samples).load(path)


def images_within(positions, cell, i, n=4):
    """Vectors from an atom to all images of all atoms, by brute force."""
    shifts = np.array(list(itertools.product(range(-n, n + 1), repeat=3))) @ cell
    vectors = (positions - positions[i])[:, None] + shifts
    owners = np.repeat(np.arange(len(positions)), len(shifts))
    vectors = vectors.reshape(-1, 3)
    lengths = np.linalg.norm(vectors, axis=1)
    keep = (lengths > 0) & (lengths < 12.0)
    return owners[keep], vectors[keep], lengths[keep]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1.0, 0.35], ids=["large cell", "atoms see their own images"])
def test_directions_are_those_of_a_brute_force_search(kind, scale):
    run = gas(3, cell=scale * TRICLINIC, n_frames=2, n_atoms=5 if scale < 1 else 28, targets=[1, 3])
    graphs = graphs_of(run, **KINDS[kind])
    lengths = np.linalg.norm(graphs.directions, axis=1)
    np.testing.assert_allclose(lengths, 1.0, rtol=1e-6)  # rounding of float32
    for f in range(2):
        frame = graphs[f : f + 1]
        degrees = np.full(frame.hop_counts[0, -2], 8) if frame.degrees is None else frame.degrees
        edge = 0
        for row, degree in enumerate(degrees):
            owners, vectors, found = images_within(run.positions[f], run.cells[f], frame.atoms[row])
            edges = slice(edge, edge + degree)
            stored = frame.directions[edges] * frame.distances[edges, None]
            # an atom sees two images of itself at one distance: any order will do, once each
            nearest = np.argsort(found, kind="stable")[: degree + 1]
            gaps = np.linalg.norm(stored[:, None] - vectors[nearest], axis=2)
            match = gaps.argmin(axis=1)
            assert len(set(match.tolist())) == degree
            # positions of about 20 Å in float32
            assert gaps.min(axis=1).max() < 1e-5
            ends = frame.atoms[frame.neighbors[edges]]
            np.testing.assert_array_equal(ends, owners[nearest[match]])
            edge += degree


def test_directions_of_images_at_one_distance_are_all_there():
    """An atom alone in a cubic cell: six images, in six directions."""
    run = Trajectory(np.zeros((1, 1, 3)), 3.0 * np.eye(3), [3], timestep=1.0, targets=[0])
    graphs = graphs_of(run, n_neighbors=6, n_hops=1)
    assert {tuple(v) for v in graphs.directions.tolist()} == {
        tuple(sign * v) for v in np.eye(3) for sign in (1.0, -1.0)
    }


def test_directions_without_a_cell_turn_with_the_system():
    run = gas(4, n_frames=2)
    free = Trajectory(run.positions, None, run.species, timestep=1.0, targets=ATOMS)
    turn = Rotation.from_euler("xyz", [0.3, 1.0, -2.0])
    turned = Trajectory(
        turn.apply(np.array(run.positions.reshape(-1, 3))).reshape(run.positions.shape),
        None, run.species, timestep=1.0, targets=ATOMS,
    )  # fmt: skip
    before, after = graphs_of(free), graphs_of(turned)
    np.testing.assert_array_equal(before.neighbors, after.neighbors)
    # rounding of float32
    np.testing.assert_allclose(turn.apply(before.directions), after.directions, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_hops", [1, 2])
def test_batches_carry_directions_in_the_order_of_their_edges(kind, n_hops):
    run = gas(5, n_frames=4, targets=MOLECULES)
    graphs = graphs_of(run, n_hops=3, **KINDS[kind])
    frames = np.array([2, 0, 3])
    batch = graphs.batch(frames, np.arange(28), n_hops)
    assert isinstance(batch, GraphBatch)
    assert batch.directions.shape == (len(batch.distances), 3)
    owner = batch.species.numpy()  # here the number of the atom
    frame_of = np.empty(len(owner), int)
    counts = graphs.hop_counts[frames, : n_hops + 1]
    low = 0
    for hop in range(n_hops + 1):
        added = counts[:, hop] - (counts[:, hop - 1] if hop else 0)
        frame_of[low : low + added.sum()] = np.repeat(frames, added)
        low += added.sum()
    near = batch.rows(batch.hop_counts[-2]).numpy()
    far = batch.neighbors.numpy()
    vectors = batch.directions.numpy() * batch.distances.numpy()[:, None]
    start = run.positions[frame_of[near], owner[near]]
    end = run.positions[frame_of[far], owner[far]]
    images = (vectors - (end - start)) @ np.linalg.inv(TRICLINIC)
    # whole lattice vectors, positions of about 20 Å in float32
    np.testing.assert_allclose(images, np.round(images), atol=1e-5)
    assert batch.to("cpu").directions.equal(batch.directions)
    plain = graphs_of(run, n_hops=3, directions=False, **KINDS[kind])
    assert plain.batch(frames, np.arange(28), n_hops).directions is None
    assert plain.offers == {"distance"} < graphs.offers


def test_cached_graphs_are_the_same(tmp_path):
    """Built in pieces of frames, joined in a file, mapped."""
    run = gas(6, n_frames=30, targets=MOLECULES)
    settings = {"n_neighbors": 6, "n_hops": 2, "directions": True,
                "levels": {"pairs": np.arange(28) // 2}}  # fmt: skip
    (memory,) = GraphFeaturizer(**settings).transform(run)
    budget = memory.nbytes // 3
    (mapped,) = GraphFeaturizer(**settings, cache_dir=tmp_path, memory_budget=budget).transform(run)
    assert_same(mapped, memory)
    assert len(list(tmp_path.iterdir())) == 1
    GraphFeaturizer(n_neighbors=6, n_hops=2, cache_dir=tmp_path).transform(run)
    assert len(list(tmp_path.iterdir())) == 2


def test_levels():
    labels = np.array(["b", "a"])[np.arange(28) % 2]
    run = gas(7, n_frames=2, targets=MOLECULES)
    graphs = graphs_of(run, levels={"kind": labels, "all": np.zeros(28, int)})
    assert graphs.level_names.tolist() == ["kind", "all"]
    np.testing.assert_array_equal(graphs.levels[0], 1 - np.arange(28) % 2)
    levels = graphs.batch(np.arange(2), np.zeros(28, int), 2).levels
    # atoms 3, 7, 1 | 0, 12 | 20 of the three molecules
    assert levels[0].tolist() == [0, 0, 0, 1, 1, 2, 3, 3, 3, 4, 4, 5]
    assert levels[1].tolist() == [0, 0, 0, 1, 1, 2, 3, 3, 3, 4, 4, 5]
    mixed = graphs_of(run, levels=[np.arange(28) % 3]).batch(np.arange(1), np.zeros(28, int), 1)
    assert mixed.levels[0].tolist() == [0, 1, 1, 2, 2, 3]


def test_levels_of_the_topology():
    import mdtraj as md

    topology = md.Topology()
    for chain in (topology.add_chain(), topology.add_chain()):
        for _ in range(2):
            residue = topology.add_residue("MOL", chain)
            for _ in range(3):
                topology.add_atom("Li", md.element.lithium, residue)
    positions = np.random.default_rng(0).uniform(0, 9, (1, 12, 3))
    run = Trajectory(positions, 9 * np.eye(3), np.full(12, 3), timestep=1.0, topology=topology,
                     targets=[0])  # fmt: skip
    graphs = graphs_of(run, levels=("residue", "chain"))
    np.testing.assert_array_equal(graphs.levels, [np.arange(12) // 3, np.arange(12) // 6])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": "residue"}, r"levels must be a sequence, got 'residue'"),
        ({"levels": ["segment"]}, r"levels must be among \('residue', 'chain'\)"),
        ({"levels": ["chain"]}, r"levels='chain' needs a topology"),
        ({"levels": [np.zeros(27, int)]}, r"one integer or string per atom \(28\), got .*27"),
        ({"levels": [np.zeros(28)]}, r"one integer or string per atom .*float64"),
        ({"directions": "yes"}, r"directions must be True or False, got 'yes'"),
    ],
)
def test_bad_columns(changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        graphs_of(gas(), **changes)


def test_graph_of_an_earlier_format(tmp_path):
    path = tmp_path / "old.graphs"
    write_arrays(path, type(GraphTrajectory.file)("graphkoopman-graphs", 1, "", ""), {}, {})
    with pytest.raises(ValueError, match=r"version 1 of an earlier graphkoopman.*featurize again"):
        GraphTrajectory.load(path)


def test_features_by_name():
    """Columns are matched by name, whatever their order."""
    features = np.random.default_rng(1).normal(size=(6, 2, 3)).astype(np.float32)
    run = FeatureTrajectory(features, timestep=1.0, names=["c", "a", "b"])
    batch = run.batch(np.array([4, 1]), np.array([2, 0, 1]), 0)
    assert isinstance(batch, FeatureBatch)
    np.testing.assert_array_equal(batch.features, features[[4, 1]].reshape(4, 3)[:, [1, 2, 0]])
    assert batch.n_target_atoms == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": np.zeros((3, 2))}, r"features must have shape .*got \(3, 2\)"),
        ({"features": np.zeros((3, 2, 1), complex)}, "features must be real numbers"),
        ({"timestep": 0.0}, "timestep must be a positive number, got 0.0"),
        ({"start": -1}, "start must be an integer >= 0, got -1"),
        ({"names": ["a"]}, r"names must hold one per feature \(4\)"),
        ({"names": ["a", "a", "b", "c"]}, "names must differ"),
    ],
)
def test_bad_features(arguments, message):
    settings = {"features": np.zeros((3, 2, 4)), "timestep": 1.0} | arguments
    with pytest.raises((ValueError, TypeError), match=message):
        FeatureTrajectory(**settings)


def centers(trajectory, targets):
    return np.stack([trajectory.positions[:, atoms].mean(axis=1) for atoms in targets], axis=1)


def test_function_featurizer():
    run = gas(8, n_frames=4, targets=MOLECULES)[1:]
    (features,) = FunctionFeaturizer(centers).fit_transform(run)
    np.testing.assert_allclose(features.features, centers(run, [np.array(m) for m in MOLECULES]))
    assert (features.timestep, features.parent, features.start) == (1.0, run.parent, run.start)
    assert features.target_atoms.tolist() == [3, 7, 1, 0, 12, 20]
    with pytest.raises(TypeError, match="function must be callable"):
        FunctionFeaturizer("centers").transform(run)
    with pytest.raises(ValueError, match=r"\(n_frames, n_targets, n_features\), \(3, 3, …\), got"):
        FunctionFeaturizer(lambda trajectory, targets: np.zeros((3, 4, 1))).transform(run)
    with pytest.raises(ValueError, match=r"finite features, got .nan. in frame 0 for target 0"):
        FunctionFeaturizer(lambda t, targets: np.full((3, 3, 1), np.nan)).transform(run)


def test_still_features():
    features = np.random.default_rng(0).normal(size=(5, 3, 2))
    features[:, 1] = features[0, 1]
    assert FeatureTrajectory(features, timestep=1.0).still_targets() == [1]
