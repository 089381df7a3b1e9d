"""Parts defined outside the package, by public names: trained, searched over, saved, loaded."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import mdtraj as md
import numpy as np
import parts
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from graphkoopman import GDyNetEstimator, GraphFeaturizer, read_trajectory, segments
from graphkoopman.datasets import make_hopping
from graphkoopman.descriptors import FeatureTrajectory
from graphkoopman.lobes import FeatureEncoder, GatedEncoder
from graphkoopman.model_selection import SegmentKFold
from graphkoopman.samples import Samples

LAG = 5
OBJECTIVE = "mean of VAMP-1 and VAMP-2"
# per ps, of two states that exchange within 20 ps: 1 / (0.025 + 0.025)
RATES = 0.025 * np.array([[-1.0, 1.0], [1.0, -1.0]])
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::graphkoopman.koopman.BeyondDataWarning",
    "ignore::graphkoopman.koopman.FixedStateWarning",
)


@pytest.fixture(scope="module")
def run():
    return make_hopping(RATES, 500, random_state=0).trajectory


@pytest.fixture(scope="module")
def graphs(run):
    return GraphFeaturizer(n_neighbors=8, n_hops=1, directions=True).transform(run)


def estimator_with(**changes):
    settings = {"n_states": 2, "lagtime": LAG, "encoder": GatedEncoder(1), "n_init": 1,
                "max_epochs": 3, "random_state": 0}  # fmt: skip
    return GDyNetEstimator(**settings | changes)


def test_nothing_private_is_imported():
    """Only names that their package or module offers in ``__all__``."""
    here = Path(__file__).parent
    for path in here.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [*node.module.split("."), *(alias.name for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [part for alias in node.names for part in alias.name.split(".")]
            else:
                continue
            assert not any(name.startswith("_") for name in names), (path, names)
            if isinstance(node, ast.ImportFrom) and node.module.startswith("graphkoopman"):
                offered = importlib.import_module(node.module).__all__
                assert {alias.name for alias in node.names} <= set(offered), node.module


@pytest.mark.parametrize(
    ("changes", "grid"),
    [
        ({"encoder": parts.ShellEncoder()}, {"encoder__n_features": [4, 8]}),
        ({"encoder": parts.FieldEncoder()}, {"encoder__n_features": [2, 6]}),
        ({"pooling": parts.LargestPooling()}, {"pooling__with_mean": [False, True]}),
        ({"objective": OBJECTIVE}, {"objective": ["VAMP2", OBJECTIVE]}),
    ],
    ids=["encoder", "encoder of directions", "pooling", "objective"],
)
def test_train_search_save_load(run, changes, grid, tmp_path):
    pipe = make_pipeline(
        GraphFeaturizer(n_neighbors=8, n_hops=1, directions=True), estimator_with(**changes)
    )
    grid = {f"gdynetestimator__{name}": values for name, values in grid.items()}
    search = GridSearchCV(pipe, grid, cv=SegmentKFold(2, gap=1), error_score="raise")
    search.fit(segments(run, 8))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_
    path = tmp_path / "model.safetensors"
    best[-1].save(path)
    loaded = GDyNetEstimator.load(path)
    samples = best[:-1].transform([run])
    np.testing.assert_array_equal(loaded.transform(samples)[0], best[-1].transform(samples)[0])
    assert repr(loaded.encoder_) == repr(best[-1].encoder_)
    assert repr(loaded.pooling_) == repr(best[-1].pooling_)


def test_an_encoder_of_ones_own_learns_the_known_answer():
    data = make_hopping(RATES, 2000, random_state=0)
    (graphs,) = GraphFeaturizer(n_neighbors=8, n_hops=1).transform(data.trajectory)
    estimator = estimator_with(encoder=parts.ShellEncoder(), max_epochs=20).fit(graphs)
    # hopping between two kinds of sites, half the events fall between frames a lag apart
    assert estimator.fetch_model().timescales_ps()[0] == pytest.approx(20.0, rel=0.35)


def test_own_pooling_of_molecules(run):
    (graphs,) = GraphFeaturizer(np.arange(8).reshape(4, 2), n_neighbors=8, n_hops=1).transform(run)
    estimator = estimator_with(pooling=parts.LargestPooling(with_mean=True)).fit(graphs)
    assert estimator.lobe_.widths == (16, 32)
    assert estimator.transform(graphs)[0].shape == (500, 4, 2)


def test_checkpoints_continue(graphs, tmp_path):
    settings = {"encoder": parts.ShellEncoder(), "pooling": parts.LargestPooling(),
                "objective": OBJECTIVE}  # fmt: skip
    once = estimator_with(**settings).fit(graphs)
    kept = estimator_with(**settings, checkpoint_dir=tmp_path).fit(graphs)
    again = clone(kept).fit(graphs)
    for name, value in once.lobe_.state_dict().items():
        assert value.equal(again.lobe_.state_dict()[name])
    with pytest.raises(ValueError, match="another fit: encoder was"):
        estimator_with(**settings | {"encoder": parts.FieldEncoder()}, checkpoint_dir=tmp_path).fit(
            graphs
        )


def test_files_need_the_module_that_registers(graphs, tmp_path):
    path = tmp_path / "model.safetensors"
    estimator_with(encoder=parts.ShellEncoder()).fit(graphs).save(path)
    code = f"from graphkoopman import GDyNetEstimator; GDyNetEstimator.load({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "encoder 'extension.ShellEncoder' is not registered" in done.stderr
    assert "import the module that defines it first" in done.stderr


def test_objective_of_ones_own(graphs, tmp_path):
    path = tmp_path / "model.safetensors"
    estimator = estimator_with(objective=OBJECTIVE).fit(graphs)
    assert {row["objective"] for row in estimator.history_} == {"subspace", OBJECTIVE}
    estimator.save(path)
    loaded = GDyNetEstimator.load(path)
    assert loaded.objective == OBJECTIVE
    np.testing.assert_array_equal(loaded.transform(graphs)[0], estimator.transform(graphs)[0])
    code = f"from graphkoopman import GDyNetEstimator; GDyNetEstimator.load({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "objective must be one of ['VAMP1', 'VAMP2', 'VAMPE'] or a sequence" in done.stderr
    assert OBJECTIVE in done.stderr


def test_modules_of_ones_own(graphs, tmp_path):
    """A torch module in place of settings is trained as a copy; no file can name it."""
    module = parts.Shells([3, 8, 16], 5, 6.0)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    estimator = estimator_with(encoder=module).fit(graphs)
    assert estimator.n_hops_ == 1
    assert estimator.transform(graphs)[0].shape[2] == 2
    trained = estimator.lobe_.encoder.state_dict()
    assert any(not value.equal(trained[name]) for name, value in before.items())
    assert all(value.equal(module.state_dict()[name]) for name, value in before.items())
    with pytest.raises(ValueError, match=r"a class that files can name.*Shells; decorate"):
        estimator.save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"a class that files can name.*Shells; decorate"):
        estimator_with(encoder=module, checkpoint_dir=tmp_path).fit(graphs)


def test_what_an_encoder_needs_is_asked_for(graphs, run):
    (plain,) = GraphFeaturizer(n_neighbors=8, n_hops=1).transform(run)
    with pytest.raises(ValueError, match=r"FieldEncoder needs the direction .*directions=True"):
        estimator_with(encoder=parts.FieldEncoder()).fit(plain)
    features = FeatureTrajectory(np.random.default_rng(0).normal(size=(99, 2, 3)), timestep=1.0)
    with pytest.raises(ValueError, match=r"GatedEncoder needs the distance .*FeatureEncoder\(\)"):
        estimator_with().fit(features)
    with pytest.raises(ValueError, match=r"FeatureEncoder needs the features .*GatedEncoder\(\)"):
        estimator_with(encoder=FeatureEncoder()).fit(graphs)


def spins(seed, n_frames=3000, n_targets=3, temperature=300.0, **run):
    """Up or down by a two-state chain of known relaxation time, with noise."""
    rng = np.random.default_rng(seed)
    # it turns in 2.44 % of the steps: (1 - 2 p)^20 = 1/e
    up = np.cumsum(rng.random((n_frames, n_targets)) < 0.0244, axis=0) % 2
    vectors = rng.normal(scale=0.3, size=(n_frames, n_targets, 3))
    vectors[:, :, 2] += 2.0 * up - 1.0
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    return parts.SpinTrajectory(vectors, temperature=temperature, timestep=1.0, **run)


def test_samples_of_ones_own(tmp_path):
    run = spins(0, parent="a run")
    assert isinstance(run, Samples)
    run.save(tmp_path / "run.spins")
    run = parts.SpinTrajectory.load(tmp_path / "run.spins", mmap=True)
    pieces = [run[begin : begin + 500] for begin in range(0, 3000, 500)]
    search = GridSearchCV(
        estimator_with(encoder=FeatureEncoder(), max_epochs=15),
        {"encoder__n_layers": [0, 1]},
        cv=SegmentKFold(3, gap=1),
        error_score="raise",
    ).fit(pieces)
    best = search.best_estimator_
    # 9000 frames of three targets hold some 150 exchanges
    assert best.fetch_model().timescales_ps()[0] == pytest.approx(20.0, rel=0.25)
    best.save(tmp_path / "model.safetensors")
    loaded = GDyNetEstimator.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.transform(run)[0], best.transform(run)[0])
    with pytest.raises(ValueError, match=r"temperature=300.0 of those in training, got temp"):
        loaded.transform(spins(0, 100, temperature=310.0))
    with pytest.raises(ValueError, match=r"must have one temperature, got 300.0, 310.0"):
        estimator_with(encoder=FeatureEncoder()).fit([run, spins(0, 100, temperature=310.0)])


def topology_of(species):
    topology = md.Topology()
    residue = topology.add_residue("ALL", topology.add_chain())
    for number in species:
        element = md.element.Element.getByAtomicNumber(int(number))
        topology.add_atom(element.symbol, element, residue)
    return topology


def test_what_a_reader_of_ones_own_reads_is_trained_on(run, tmp_path):
    np.savetxt(tmp_path / "run.numbers", run.positions.reshape(-1, 3), fmt="%.4f")
    read = read_trajectory(
        tmp_path / "run.numbers", top=topology_of(run.species), timestep=run.timestep, cell=run.cell
    )
    pipe = make_pipeline(
        GraphFeaturizer(run.targets, n_neighbors=8, n_hops=1),
        estimator_with(encoder=parts.ShellEncoder()),
    )
    grid = {"gdynetestimator__encoder__n_features": [4, 8]}
    search = GridSearchCV(pipe, grid, cv=SegmentKFold(2, gap=1), error_score="raise")
    best = search.fit(segments(read, 8)).best_estimator_
    best[-1].save(tmp_path / "model.safetensors")
    loaded = GDyNetEstimator.load(tmp_path / "model.safetensors")
    samples = best[:-1].transform([read])
    np.testing.assert_array_equal(loaded.transform(samples)[0], best[-1].transform(samples)[0])


def test_reader_of_ones_own(tmp_path):
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 5, (7, 4, 3)).round(3)
    np.savetxt(tmp_path / "run.numbers", positions.reshape(-1, 3), fmt="%.3f")
    topology = topology_of([3, 3, 16, 16])
    run = read_trajectory(tmp_path / "run.numbers", top=topology, timestep=0.5)
    # the file has three digits; positions are kept as float32
    np.testing.assert_allclose(run.positions, positions, atol=1e-6)
    assert (run.cell, run.timestep, run.species.tolist()) == (None, 0.5, [3, 3, 16, 16])
    assert len(read_trajectory(tmp_path / "run.numbers", top=topology, timestep=1, stride=3)) == 3
