"""SOAP, potentials and shorter vectors: against their libraries, invariances, and every tool."""

import pickle
import sys
import warnings

import numpy as np
import pytest
import torch
from ase import Atoms
from lobe_cases import gas
from metatomic_models import metatomic_model
from scipy.spatial.transform import Rotation
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from small_fits import make_estimator

from graphkoopman import GDyNetEstimator, Trajectory, segments
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.descriptors import (
    FeatureReducer,
    FeatureTrajectory,
    PotentialFeaturizer,
    SOAPFeaturizer,
)
from graphkoopman.lobes import FeatureEncoder
from graphkoopman.model_selection import KoopmanScorer, SegmentKFold, cross_val_transform
from graphkoopman.trajectories import species_number

SMALL = {"n_max": 2, "l_max": 2}
short = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::graphkoopman.koopman.BeyondDataWarning",
    "ignore::graphkoopman.koopman.FixedStateWarning",
)


def salt(n_frames=3, targets=(0, 3, 5), cell=9.0):
    """Lithium, sulphur and chlorine about their places in a periodic cube."""
    rng = np.random.default_rng(0)
    places = cell / 3 * (np.indices((3, 3, 3)).reshape(3, -1).T[:20] + 0.5)
    positions = places + 0.3 * rng.normal(size=(n_frames, 20, 3))
    species = np.array([3, 16, 17])[np.arange(20) % 3]
    return Trajectory(positions, cell * np.eye(3), species, timestep=1.0, targets=targets)


def turned(run):
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    order = np.random.default_rng(1).permutation(run.n_atoms)
    back = np.argsort(order)
    targets = [[int(back[a]) for a in np.atleast_1d(group)] for group in run.targets]
    return Trajectory(
        run.positions[:, order] @ turn.T, run.cell @ turn.T, run.species[order], timestep=1.0,
        targets=targets,
    )  # fmt: skip


def test_soap_is_that_of_dscribe():
    from dscribe.descriptors import SOAP

    run = salt()
    featurizer = SOAPFeaturizer(r_cut=4.0, n_max=3, l_max=2, sigma=0.4)
    (found,) = featurizer.fit_transform(run)
    soap = SOAP(species=[3, 16, 17], r_cut=4.0, n_max=3, l_max=2, sigma=0.4, periodic=True)
    for frame in range(3):
        atoms = Atoms(run.species, positions=run.positions[frame], cell=run.cell, pbc=True)
        expected = soap.create(atoms, centers=[0, 3, 5])
        np.testing.assert_allclose(found.features[frame], expected, rtol=1e-5, atol=1e-6)
    names = found.names.tolist()
    assert len(set(names)) == found.n_features == soap.get_number_of_features()
    assert names[soap.get_location(("Li", "S")).start] == "Li S 0"
    np.testing.assert_array_equal(featurizer.species_, [3, 16, 17])
    (threads,) = clone(featurizer).set_params(n_jobs=2).fit_transform(run)
    np.testing.assert_array_equal(threads.features, found.features)


@pytest.mark.parametrize("kind", ["soap", "chgnet"])
def test_descriptors_are_invariant(kind):
    """Turned and numbered anew; targets of several atoms have the mean of theirs."""
    featurizer = SOAPFeaturizer(**SMALL) if kind == "soap" else PotentialFeaturizer("chgnet")
    groups = [[0, 1], [3], [6, 2, 9]]
    run = salt(n_frames=2, targets=groups)
    (here,), (there,) = featurizer.fit_transform(run), featurizer.transform(turned(run))
    size = np.abs(here.features).max()
    np.testing.assert_allclose(there.features / size, here.features / size, atol=1e-4)
    atoms = salt(n_frames=2, targets=[0, 1, 3, 6, 2, 9])
    (single,) = featurizer.transform(atoms)
    means = [single.features[:, part].mean(axis=1) for part in ([0, 1], [2], [3, 4, 5])]
    np.testing.assert_allclose(here.features, np.stack(means, axis=1), rtol=1e-5, atol=1e-6)
    assert here.features.std() > 0


def test_soap_knows_its_elements():
    run = salt()
    other = Trajectory(run.positions, run.cell, np.where(run.species == 17, 35, run.species),
                       timestep=1.0, targets=[0])  # fmt: skip
    featurizer = SOAPFeaturizer(**SMALL).fit(run)
    with pytest.raises(ValueError, match=r"the elements \['Li', 'S', 'Cl'\], got \['Br'\], too"):
        featurizer.transform(other)
    both = SOAPFeaturizer(species=["Br", "Li", 16, "Cl"], **SMALL).fit([run, other])
    first, second = both.transform([run, other])
    assert first.n_features == second.n_features
    compressed = SOAPFeaturizer(compression="mu1nu1", **SMALL).fit_transform(run)[0]
    assert compressed.names[0] == "SOAP 0"
    free = Trajectory(run.positions, None, run.species, timestep=1.0, targets=[0])
    assert SOAPFeaturizer(**SMALL).fit_transform(free)[0].features.shape[:2] == (3, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_max": 0}, "n_max must be an integer >= 1"),
        ({"l_max": 99}, "l_max must be at most 20"),
        ({"r_cut": 0.5}, "r_cut must be"),
        ({"sigma": -1.0}, "sigma must be a positive number"),
        ({"compression": "zip"}, "compression must be one of"),
    ],
)
def test_bad_soap(settings, message):
    with pytest.raises(ValueError, match=message):
        SOAPFeaturizer(**settings).fit(salt())


def test_chgnet_is_that_of_its_package():
    from chgnet.model import CHGNet
    from pymatgen.core import Lattice, Structure

    run = salt(n_frames=1)
    (found,) = PotentialFeaturizer("chgnet", "element Li").fit_transform(run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structure = Structure(Lattice(run.cell), run.species, run.positions[0],
                              coords_are_cartesian=True)  # fmt: skip
        model = CHGNet.load(use_device="cpu", verbose=False)
        expected = model.predict_structure(structure, return_atom_feas=True)["atom_fea"]
    assert found.features.shape == (1, 7, 64)
    # float32 through four layers
    np.testing.assert_allclose(found.features[0], expected[run.species == 3], rtol=1e-3, atol=1e-4)
    assert found.names[3] == "chgnet 3"


def test_potentials_that_cannot_be(tmp_path):
    free = Trajectory(salt().positions, None, salt().species, timestep=1.0, targets=[0])
    with pytest.raises(ValueError, match="CHGNet needs a periodic system"):
        PotentialFeaturizer("chgnet").fit_transform(free)
    with pytest.raises(ValueError, match='potential must be "chgnet", or a metatomic model'):
        PotentialFeaturizer(str(tmp_path / "none.pt")).fit(salt())
    with pytest.raises(ValueError, match='potential must be "chgnet", or a metatomic model'):
        PotentialFeaturizer(3).fit(salt())


@pytest.mark.parametrize("package", ["dscribe", "chgnet", "metatomic"])
def test_missing_packages_name_their_extra(package, monkeypatch):
    from graphkoopman.descriptors import _potential

    _potential._chgnet.cache_clear()
    for name in (f"{package}.model", f"{package}.descriptors", f"{package}.torch", package):
        monkeypatch.setitem(sys.modules, name, None)
    featurizer = {
        "dscribe": SOAPFeaturizer(), "chgnet": PotentialFeaturizer("chgnet"),
        "metatomic": PotentialFeaturizer("model.pt"),
    }[package]  # fmt: skip
    extra = {"dscribe": "soap"}.get(package, package)
    with pytest.raises(ImportError, match=rf'the extra "{extra}" of graphkoopman'):
        featurizer.fit(salt())


def test_metatomic_models(tmp_path):
    """As an object and as a file; one without features is refused."""
    run = salt(targets=[[0, 1], [5]])
    model = metatomic_model()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model.save(str(tmp_path / "model.pt"))
    atoms = np.stack([np.broadcast_to(run.species, (3, 20)), run.positions.mean(axis=2)], axis=2)
    expected = np.stack([atoms[:, [0, 1]].mean(axis=1), atoms[:, 5]], axis=1)
    files = str(tmp_path / "model.pt"), tmp_path / "model.pt"
    for potential in (model, *files, metatomic_model("features")):
        (found,) = PotentialFeaturizer(potential).fit_transform(run)
        np.testing.assert_allclose(found.features, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="a metatomic model with an output features, got one with"):
        PotentialFeaturizer(metatomic_model("energy_ensemble")).fit(run)


def slow_and_fast(n_frames=2000, n_targets=3, seed=0, n_noise=40):
    """One slow coordinate of small variance among large noise that is mixed with it."""
    rng = np.random.default_rng(seed)
    slow = np.empty((n_frames, n_targets))
    slow[0] = rng.normal(size=n_targets)
    for t in range(1, n_frames):
        slow[t] = 0.98 * slow[t - 1] + np.sqrt(1 - 0.98**2) * rng.normal(size=n_targets)
    hidden = np.concatenate(
        [0.1 * slow[..., None], rng.normal(size=(n_frames, n_targets, n_noise))], axis=2
    )
    mix = np.random.default_rng(99).normal(size=(n_noise + 1, n_noise + 1))
    return FeatureTrajectory(hidden @ mix + 5.0, timestep=1.0, parent=f"run {seed}"), slow


def test_slowness_is_found_where_variance_hides_it():
    run, _ = slow_and_fast()
    test, hidden = slow_and_fast(seed=1)
    vamp = FeatureReducer(2, "vamp", lagtime=5).fit(run)
    found = vamp.transform(test)[0].features[..., 0]
    # a regression on 41 columns of 6000 vectors that are correlated over 50 frames
    assert abs(np.corrcoef(found.ravel(), hidden.ravel())[0, 1]) > 0.9
    # e^(-5/49.5) of the chain itself
    assert vamp.singular_values_[0] == pytest.approx(0.98**5, abs=0.05)
    pca = FeatureReducer(2).fit(run)
    found = pca.transform(test)[0].features[..., 0]
    assert abs(np.corrcoef(found.ravel(), hidden.ravel())[0, 1]) < 0.5
    flat = pca.transform(run)[0].features.reshape(-1, 2)
    np.testing.assert_allclose(np.cov(flat.T), np.eye(2), atol=1e-2)
    assert [len(item) for item in vamp.transform([run, test[:7]])] == [2000, 7]


def test_components_that_the_data_cannot_tell():
    """A tenth of the vectors, at most; what does not vary is no component."""
    run, _ = slow_and_fast(n_frames=50, n_targets=2)
    assert FeatureReducer(30).fit(run).n_components_ == 10
    flat = FeatureTrajectory(np.repeat(run.features, 2, axis=2), timestep=1.0)
    assert FeatureReducer(80, "vamp", 3).fit(flat[:]).n_components_ == 10
    network = FeatureEncoder(0, n_components=30).build(np.arange(41))
    network.adapt([run.batch(np.arange(50), np.arange(41), 0)])
    with torch.no_grad():
        found = network(run.batch(np.arange(50), np.arange(41), 0)).numpy()
    assert found.shape == (100, 30)
    # float32
    np.testing.assert_allclose(np.cov(found.T, bias=True)[:10, :10], np.eye(10), atol=1e-3)
    assert not found[:, 10:].any()


@pytest.mark.parametrize(
    ("settings", "X", "message"),
    [
        ({"n_components": 0}, None, "n_components must be an integer >= 1"),
        ({"method": "tica"}, None, "method must be one of"),
        ({"method": "vamp"}, None, 'method="vamp" needs a lagtime in frames, got None'),
        ({"method": "vamp", "lagtime": 999}, None, r"the longest run \(30 frames\), got 999"),
        ({}, "constant", "features must vary"),
        ({}, [1, 2], "X must hold FeatureTrajectory, got \\['int'\\]"),
    ],
)
def test_bad_reductions(settings, X, message):
    run, _ = slow_and_fast(n_frames=30)
    constant = FeatureTrajectory(np.ones((30, 2, 3)), timestep=1.0)
    given = {None: run, "constant": constant}.get(X if isinstance(X, str) else None, run)
    with pytest.raises((ValueError, TypeError), match=message):
        FeatureReducer(**settings).fit(X if isinstance(X, list) else given)
    with pytest.raises(ValueError, match="the 41 of the fit, got 3"):
        FeatureReducer().fit(run).transform(constant)


@pytest.mark.parametrize("value", [0, "all", 2.5])
def test_bad_numbers_of_components(value):
    with pytest.raises(ValueError, match="n_components must be an integer"):
        FeatureEncoder(n_components=value).build([1, 2])


def test_long_vectors_are_reduced_by_themselves():
    widths = [FeatureEncoder(n_components=n).build(range(300)) for n in ("auto", None, 5)]
    assert [network.layers[0].in_features for network in widths] == [64, 300, 5]
    assert FeatureEncoder().build(range(64)).components is None


@short
def test_every_tool_takes_them(tmp_path):
    """SOAP, reduced, in a pipeline: folds, searches, files, pickles, checkpoints."""
    run = make_hopping(chain_rates(2, slowest=20.0), 400, n_targets=3, random_state=0).trajectory
    settings = {"max_epochs": 1, "n_init": 1, "random_state": 0}
    encoder = FeatureEncoder(n_components=12)
    pipe = make_pipeline(
        SOAPFeaturizer(r_cut=4.0, **SMALL), FeatureReducer(20),
        GDyNetEstimator(2, 5, encoder=encoder, **settings),
    )  # fmt: skip
    pieces = segments(run, 4)
    search = GridSearchCV(
        pipe, {"gdynetestimator__encoder__n_components": [4], "featurereducer__n_components": [9]},
        cv=SegmentKFold(2, gap=1), scoring=KoopmanScorer("vamp2"), error_score="raise",
    ).fit(pieces)  # fmt: skip
    best = search.best_estimator_
    assert best[-1].encoder_ == FeatureEncoder(n_components=4)
    samples = best[:-1].transform([run])
    assert samples[0].n_features == 9
    expected = best.transform([run])[0]
    best[-1].save(tmp_path / "model.safetensors")
    loaded = GDyNetEstimator.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.transform(samples)[0], expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(best)).transform([run])[0], expected)
    probs = cross_val_transform(pipe, pieces, cv=SegmentKFold(2, gap=1))
    assert [len(chi) for chi in probs] == [len(piece) for piece in pieces]
    kept = [
        GDyNetEstimator(2, 5, encoder=encoder, **settings, checkpoint_dir=tmp_path / "kept")
        .fit(samples).transform(samples)[0] for _ in range(2)
    ]  # fmt: skip
    np.testing.assert_array_equal(*kept)


def test_gas_has_no_elements_that_soap_refuses():
    """Node types of one's own are refused by name, elements are taken."""
    run = gas()
    beads = Trajectory(
        run.positions,
        run.cell,
        np.full(run.n_atoms, species_number("W1")),
        timestep=1.0,
        targets=[0],
    )
    with pytest.raises(ValueError, match="SOAP is made of elements"):
        SOAPFeaturizer(**SMALL).fit(beads)
    assert len(SOAPFeaturizer(**SMALL).fit(run).species_) == 3


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_network_reads_every_feature_it_was_trained_on():
    """By their names, in any order; one too few and one too many are told."""
    x = np.random.default_rng(0).normal(size=(200, 2, 3))
    names = np.array(["a", "b", "c"])
    run = FeatureTrajectory(x, timestep=1.0, names=names)
    estimator = make_estimator(encoder=None).fit([run])
    swapped = FeatureTrajectory(x[..., [2, 0, 1]], timestep=1.0, names=names[[2, 0, 1]])
    np.testing.assert_array_equal(*(estimator.transform([r])[0] for r in (run, swapped)))
    fewer = FeatureTrajectory(x[..., [2, 0]], timestep=1.0, names=names[[2, 0]])
    with pytest.raises(ValueError, match=r"got none called \['b'\]; make features as in training"):
        estimator.transform([fewer])
    more = FeatureTrajectory(x[..., [0, 1, 2, 2]], timestep=1.0, names=np.array([*names, "d"]))
    with pytest.raises(ValueError, match=r"features \['d'\] were not seen in training"):
        estimator.transform([more])
