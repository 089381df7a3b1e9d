"""`GraphFeaturizer` as a scikit-learn transformer: settings, pipelines, cache, mdtraj input."""

import mdtraj as md
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from graphkoopman.graphs import GraphFeaturizer, GraphTrajectory, _featurizer
from graphkoopman.trajectories import Trajectory

ARRAYS = ("hop_counts", "atoms", "neighbors", "distances", "species", "target_offsets")


def gas(seed=0, n_frames=4, n_atoms=24, **changes):
    rng = np.random.default_rng(seed)
    settings = {"cell": 10.0 * np.eye(3), "timestep": 0.5, "targets": [3, 1]} | changes
    return Trajectory(
        rng.uniform(0, 10, (n_frames, n_atoms, 3)), species=np.tile([3, 16], 12), **settings
    )


def water(n_molecules=9):
    """Flexible water in a cubic box of 8 Å, as mdtraj would load it: in nm and with times."""
    topology = md.Topology()
    chain = topology.add_chain()
    for _ in range(n_molecules):
        residue = topology.add_residue("HOH", chain)
        for name in ("O", "H1", "H2"):
            topology.add_atom(name, md.element.Element.getBySymbol(name[0]), residue)
    rng = np.random.default_rng(1)
    xyz = rng.uniform(0.0, 0.8, (5, n_molecules, 1, 3)) + rng.normal(
        0, 0.08, (5, n_molecules, 3, 3)
    )
    traj = md.Trajectory(xyz.reshape(5, -1, 3), topology, time=2.0 + 0.25 * np.arange(5))
    traj.unitcell_vectors = np.tile(0.8 * np.eye(3), (5, 1, 1))
    return traj


def assert_same(a, b):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_parameters():
    featurizer = GraphFeaturizer("element Li", n_neighbors=7, n_hops=2)
    copy = clone(featurizer)
    assert copy.get_params() == featurizer.get_params() == {
        "targets": "element Li", "n_neighbors": 7, "cutoff": None, "n_per_species": 0, "n_hops": 2,
        "directions": False, "levels": (), "axes": None,
        "species_labels": None, "cache_dir": None, "memory_budget": None, "n_jobs": None,
        "device": "cpu", "store": True,
    }  # fmt: skip
    copy.set_params(n_neighbors=None, cutoff=3.0)
    (graphs,) = copy.fit_transform(gas())
    assert (graphs.n_neighbors, graphs.cutoff, graphs.n_targets) == (None, 3.0, 12)
    assert featurizer.n_neighbors == 7


def test_one_graph_trajectory_per_trajectory():
    runs = [gas(0), gas(1, n_frames=2, timestep=0.25)]
    graphs = GraphFeaturizer(n_neighbors=5).transform(runs)
    assert [(len(item), item.timestep) for item in graphs] == [(4, 0.5), (2, 0.25)]
    assert_same(graphs[1], GraphFeaturizer(n_neighbors=5).fit_transform(runs[1])[0])


def test_in_a_pipeline():
    frames = FunctionTransformer(lambda graphs: [len(item) for item in graphs])
    pipe = make_pipeline(GraphFeaturizer(n_neighbors=5), frames)
    assert pipe.fit_transform([gas(0), gas(1, n_frames=2)]) == [4, 2]
    pipe.set_params(graphfeaturizer__n_hops=1)
    assert clone(pipe)[0].n_hops == 1
    assert pipe.transform(gas()) == [4]


def test_targets_in_all_spellings():
    run, featurizer = gas(targets=None), GraphFeaturizer(n_neighbors=5)

    def graphs(targets):
        return clone(featurizer).set_params(targets=targets).fit_transform(run)[0]

    lithium = np.arange(0, 24, 2)
    expected = graphs(lithium)
    assert_same(graphs("element Li"), expected)
    assert_same(graphs(lambda trajectory: np.flatnonzero(trajectory.species == 3)), expected)
    assert graphs(np.arange(6).reshape(3, 2)).target_offsets.tolist() == [0, 2, 4, 6]
    assert graphs([[0, 5], [7], [1, 2, 9]]).target_offsets.tolist() == [0, 2, 3, 6]


def test_mdtraj_input():
    traj = water()
    (graphs,) = GraphFeaturizer("name O", n_neighbors=6, n_hops=2).fit_transform(traj)
    run = Trajectory(10.0 * traj.xyz.astype(float), 8.0 * np.eye(3), [8, 1, 1] * 9, timestep=0.25,
                     targets=np.arange(0, 27, 3))  # fmt: skip
    (expected,) = GraphFeaturizer(n_neighbors=6, n_hops=2).fit_transform(run)
    assert graphs.timestep == 0.25
    assert graphs.species.tolist() == [8, 1, 1] * 9
    np.testing.assert_array_equal(graphs.atoms, expected.atoms)
    np.testing.assert_array_equal(graphs.neighbors, expected.neighbors)
    # mdtraj's coordinates are float32: rounding of 10 Å is 5e-7 Å
    np.testing.assert_allclose(graphs.distances, expected.distances, atol=3e-6)


@pytest.mark.parametrize("labels", [np.arange(24) % 3, np.array(["OH", "ether", "Li"] * 8)])
def test_species_labels_replace_elements(labels):
    (graphs,) = GraphFeaturizer(n_neighbors=5, species_labels=labels.tolist()).transform(gas())
    np.testing.assert_array_equal(graphs.species, labels)
    assert_same(graphs, GraphFeaturizer(n_neighbors=5, species_labels=labels).transform(gas())[0])


def test_cache_is_mapped_on_the_second_call(tmp_path, monkeypatch):
    cached = GraphFeaturizer(n_neighbors=5, cache_dir=tmp_path / "new" / "folder")
    runs = [gas(0), gas(1)]
    first = cached.fit_transform(runs)

    def must_not_run(*args, **kwargs):
        raise AssertionError("graphs were built again")

    monkeypatch.setattr(_featurizer, "write_graph_file", must_not_run)
    second = clone(cached).transform(runs)
    monkeypatch.undo()
    plain = GraphFeaturizer(n_neighbors=5).transform(runs)
    for a, b, c in zip(first, second, plain, strict=True):
        assert isinstance(b.distances, np.memmap)
        assert_same(a, c)
        assert_same(b, c)
    assert len(list((tmp_path / "new" / "folder").iterdir())) == 2


SETTINGS = [
    {"n_neighbors": 6},
    {"n_neighbors": None, "cutoff": 3.0},
    {"n_neighbors": None, "cutoff": 3.5},
    {"n_hops": 2},
    {"targets": [1, 3]},
    {"targets": [[1, 3]]},
    {"species_labels": np.arange(24)},
    {"species_labels": ["a", "b"] * 12},
]
RUNS = [
    {"seed": 1},
    {"cell": 10.5 * np.eye(3)},
    {"cell": None},
    {"timestep": 1.0},
    {"parent": "run"},
    {"parent": "run", "start": 4},
    {"n_frames": 5},
]


def test_cache_keeps_other_settings_and_runs_apart(tmp_path):
    cached = GraphFeaturizer(n_neighbors=5, cache_dir=tmp_path)
    cached.transform(gas())
    for settings in SETTINGS:
        clone(cached).set_params(**settings).transform(gas())
    for changes in RUNS:
        cached.transform(gas(**changes))
    last = gas().positions.copy()
    last[-1, -1, -1] += 1e-9
    moved = Trajectory(last, 10.0 * np.eye(3), np.tile([3, 16], 12), timestep=0.5, targets=[3, 1])
    cached.transform(moved)
    assert len(list(tmp_path.iterdir())) == 1 + len(SETTINGS) + len(RUNS) + 1
    cached.transform(moved)
    assert len(list(tmp_path.iterdir())) == 1 + len(SETTINGS) + len(RUNS) + 1


def test_damaged_cache_file_says_which(tmp_path):
    cached = GraphFeaturizer(n_neighbors=5, cache_dir=tmp_path)
    cached.transform(gas())
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=f"{path.name} is not a readable graph file"):
        cached.transform(gas())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutoff": 3.0}, "exactly one of n_neighbors and cutoff, got n_neighbors=5 and cutoff=3"),
        ({"n_neighbors": None}, "exactly one of n_neighbors and cutoff"),
        ({"n_neighbors": 0}, "n_neighbors must be an integer >= 1, got 0"),
        ({"n_neighbors": 5.0}, "n_neighbors must be an integer >= 1"),
        ({"n_hops": 0}, "n_hops must be an integer >= 1, got 0"),
        ({"n_hops": "3"}, "n_hops must be an integer"),
        ({"n_neighbors": None, "cutoff": -1.0}, "cutoff must be a positive distance"),
        ({"n_neighbors": None, "cutoff": np.inf}, "cutoff must be a positive distance"),
        ({"n_neighbors": None, "cutoff": "3"}, "cutoff must be a positive distance"),
        ({"species_labels": np.arange(23)}, r"one label per atom \(24\), got shape \(23,\)"),
        ({"species_labels": np.ones((24, 1))}, "one label per atom"),
        ({"species_labels": np.ones(24)}, "must be integers or strings, got dtype float64"),
        ({"species_labels": np.full(24, None)}, "must be integers or strings, got dtype object"),
        ({"memory_budget": 0, "cache_dir": "."}, "memory_budget must be a number of bytes"),
        ({"memory_budget": 1e9, "cache_dir": "."}, "memory_budget must be a number of bytes"),
        ({"memory_budget": True, "cache_dir": "."}, "memory_budget must be a number of bytes"),
        ({"memory_budget": "1 GB", "cache_dir": "."}, "memory_budget must be a number of bytes"),
        ({"memory_budget": 2**20}, "needs a folder for the graphs .*; give cache_dir"),
        ({"targets": "element Na"}, "targets must select at least one atom"),
        ({"targets": "resname LIG"}, "targets without a topology"),
        ({"targets": [[0, 1], [1, 2]]}, "targets must not overlap"),
        ({"targets": [24]}, "targets must be atom indices from 0 to 23"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "transform"])
def test_bad_settings(settings, message, method):
    featurizer = GraphFeaturizer(**({"n_neighbors": 5} | settings))
    with pytest.raises(ValueError, match=message):
        getattr(featurizer, method)(gas())


def test_bad_input():
    with pytest.raises(TypeError, match="trajectories must be a Trajectory"):
        GraphFeaturizer().transform(np.zeros((3, 4, 3)))
    with pytest.raises(ValueError, match="got an empty list"):
        GraphFeaturizer().fit([])
    with pytest.raises(ValueError, match="targets must be given"):
        GraphFeaturizer().fit(gas(targets=None))
    with pytest.raises(ValueError, match="n_neighbors=24 needs at least 25 atoms"):
        GraphFeaturizer(n_neighbors=24).transform(gas(cell=None))


def test_results_are_graph_trajectories():
    assert all(isinstance(item, GraphTrajectory) for item in GraphFeaturizer().transform(gas()))
