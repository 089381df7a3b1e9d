"""SchNet and PaiNN: invariances, equations by loops, gradients, receptive fields, every tool."""

import pickle

import numpy as np
import pytest
import torch
from lobe_cases import ATOMS, KINDS, MOLECULES, gas
from scipy.spatial.transform import Rotation
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from graphkoopman import GDyNetEstimator, GraphFeaturizer, Trajectory
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.graphs import collate
from graphkoopman.lobes import GatedEncoder, PaiNNEncoder, SchNetEncoder
from graphkoopman.lobes._basis import cosine_cutoff, sine_basis
from graphkoopman.model_selection import KoopmanScorer, SegmentKFold

ENCODERS = {
    "schnet": SchNetEncoder(2, 6, 5.0, 7),
    "painn": PaiNNEncoder(2, 6, 5.0, 7),
    "handedness": GatedEncoder(2, 6, handedness=True),
    "axis": GatedEncoder(2, 6, axis=(0.0, 0.6, 0.8)),
}
OTHERS = ("schnet", "painn")


def batch_of(run, n_hops=2, n_conv=2, **settings):
    (graphs,) = GraphFeaturizer(n_hops=n_hops, directions=True, **settings).fit_transform(run)
    return collate(graphs, np.arange(len(graphs)), np.asarray(graphs.species) - 1, n_conv)


def network_of(name, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ENCODERS[name].build([1, 2, 3]).double()


def vectors_of(name, batch):
    with torch.no_grad():
        return network_of(name)(batch).numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("targets", [ATOMS, MOLECULES])
@pytest.mark.parametrize("name", OTHERS)
def test_invariance(name, targets, kind):
    """Turned, mirrored, shifted, wrapped and numbered anew; distances are float32."""
    run = gas(targets=targets)
    expected = vectors_of(name, batch_of(run, **KINDS[kind]))
    assert expected.std(axis=0).min() > 1e-3
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    mirror = turn @ np.diag([-1.0, 1.0, 1.0])
    flipped = run.cell @ mirror.T
    flipped[0] *= -1.0  # the same lattice by vectors of the right hand
    shifts = np.random.default_rng(0).integers(-2, 3, (run.n_atoms, 3)) @ run.cell
    moved = {
        "turned": (run.positions @ turn.T, run.cell @ turn.T),
        "mirrored": (run.positions @ mirror.T, flipped),
        "shifted": (run.positions + np.array([3.0, -8.0, 40.0]), run.cell),
        "wrapped": (run.positions + shifts, run.cell),
    }
    for how, (positions, cell) in moved.items():
        other = Trajectory(positions, cell, run.species, timestep=1.0, targets=run.targets)
        found = vectors_of(name, batch_of(other, **KINDS[kind]))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, err_msg=how)
    order = np.random.default_rng(1).permutation(run.n_atoms)
    back = np.argsort(order)
    groups = [[int(back[atom]) for atom in np.atleast_1d(group)] for group in targets]
    other = Trajectory(
        run.positions[:, order], run.cell, run.species[order], timestep=1.0, targets=groups
    )
    found = vectors_of(name, batch_of(other, **KINDS[kind]))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_receptive_fields_and_chunks_are_the_whole(name):
    """Deeper graphs, all atoms as targets, and frames one by one give the same vectors."""
    run = gas()
    expected = vectors_of(name, batch_of(run, n_neighbors=8))
    deeper = vectors_of(name, batch_of(run, n_hops=4, n_neighbors=8))
    np.testing.assert_allclose(deeper, expected, rtol=1e-10, atol=1e-12)
    everything = Trajectory(
        run.positions, run.cell, run.species, timestep=1.0, targets=np.arange(run.n_atoms)
    )
    found = vectors_of(name, batch_of(everything, n_neighbors=8))
    found = found.reshape(3, run.n_atoms, -1)[:, ATOMS].reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    chunks = [vectors_of(name, batch_of(run[i : i + 1], n_neighbors=8)) for i in range(3)]
    np.testing.assert_allclose(np.concatenate(chunks), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ENCODERS)
def test_gradients(name):
    """Of every weight, against finite differences in float64."""
    batch = batch_of(gas(n_frames=1, targets=[4, 0]), n_neighbors=3)
    network = network_of(name)
    names, values = zip(*network.named_parameters(), strict=True)

    def function(*weights):
        given = dict(zip(names, weights, strict=True))
        # the plain implementation of the convolutions; the compiled one interpolates tables
        options = {"reference": True} if isinstance(ENCODERS[name], GatedEncoder) else {}
        return torch.func.functional_call(network, given, (batch,), options)

    leaves = [value.detach().clone().requires_grad_() for value in values]
    assert torch.autograd.gradcheck(function, leaves, fast_mode=True)


def linear(layer, x):
    found = x @ layer.weight.detach().numpy().T
    return found if layer.bias is None else found + layer.bias.detach().numpy()


def softplus(x):
    return np.log(0.5 * np.exp(x) + 0.5)


def silu(x):
    return x / (1.0 + np.exp(-x))


def atoms_and_edges(batch):
    """Edges of a batch in which every atom is a target: centre, neighbour, distance, direction."""
    n = batch.n_target_atoms
    return (
        zip(batch.rows(n).tolist(), batch.neighbors.tolist(), batch.distances.double().tolist(),
            batch.directions.double().numpy(), strict=True),
        batch.species.numpy(),
    )  # fmt: skip


def whole():
    """One frame of a few atoms, all of them targets, so that no shell is left out."""
    run = gas(n_frames=1, n_atoms=9, targets=np.arange(9))
    return batch_of(run, n_neighbors=4)


def test_schnet_equals_its_equations():
    batch, network = whole(), network_of("schnet")
    edges, species = atoms_and_edges(batch)
    edges = list(edges)
    atoms = network.embedding.weight.detach().numpy()[species]
    for block in network.interactions:
        inner, total = linear(block.before, atoms), np.zeros_like(atoms)
        for i, j, d, _ in edges:
            if d >= 5.0:
                continue
            basis = np.exp(-(((d - np.linspace(0, 5, 7)) / (5 / 6)) ** 2))
            filters = softplus(linear(block.filter[2], softplus(linear(block.filter[0], basis))))
            total[i] += inner[j] * filters * 0.5 * (np.cos(np.pi * d / 5.0) + 1.0)
        atoms = atoms + linear(block.after[2], softplus(linear(block.after[0], total)))
    np.testing.assert_allclose(vectors_of("schnet", batch), atoms, rtol=1e-9, atol=1e-12)


def test_painn_equals_its_equations():
    batch, network = whole(), network_of("painn")
    edges, species = atoms_and_edges(batch)
    edges = list(edges)
    s = network.embedding.weight.detach().numpy()[species]
    v = np.zeros((len(s), 3, s.shape[1]))
    for message, mixing in zip(network.messages, network.updates, strict=True):
        phi = linear(message.of_atoms[2], silu(linear(message.of_atoms[0], s)))
        ds, dv = np.zeros_like(s), np.zeros_like(v)
        for i, j, d, direction in edges:
            if d >= 5.0:
                continue
            basis = np.sin(np.arange(1, 8) * np.pi * d / 5.0) / d
            w = linear(message.filter, basis) * 0.5 * (np.cos(np.pi * d / 5.0) + 1.0)
            scalar, along, carried = np.split(phi[j] * w, 3)
            ds[i] += scalar
            dv[i] += direction[:, None] * along + v[j] * carried
        s, v = s + ds, v + dv
        u, w = np.split(linear(mixing.vectors, v), 2, axis=2)
        lengths = np.sqrt((w**2).sum(axis=1) + 1e-8)
        gates = linear(mixing.gates[0], np.concatenate([s, lengths], axis=1))
        a_vv, a_sv, a_ss = np.split(linear(mixing.gates[2], silu(gates)), 3, axis=1)
        s, v = s + a_ss + a_sv * (u * w).sum(axis=1), v + a_vv[:, None] * u
    np.testing.assert_allclose(vectors_of("painn", batch), s, rtol=1e-9, atol=1e-12)


def test_painn_sees_angles_that_distances_hide():
    """Two squares of the same six distances to the centre: only the directions differ."""
    ring = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]]) * 2.0
    bent = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, -1, 0]]) * 2.0
    batches = []
    for arms in (ring, bent):
        positions = np.concatenate([[[0.0, 0, 0]], arms])[None] + 20.0
        run = Trajectory(positions, 40 * np.eye(3), [1, 2, 2, 2, 2], timestep=1.0, targets=[0])
        batches.append(batch_of(run, n_hops=1, n_conv=1, n_neighbors=4))
    schnet, painn = SchNetEncoder(1, 6), PaiNNEncoder(1, 6)
    torch.manual_seed(0)
    for encoder, same in ((schnet, True), (painn, False)):
        network = encoder.build([1, 2, 3])
        with torch.no_grad():
            first, second = (network(batch) for batch in batches)
        assert torch.allclose(first, second, rtol=1e-5) is same


def test_bases_where_they_begin_and_end():
    d = torch.tensor([0.0, 1e-9, 2.5, 5.0, 9.0], dtype=torch.float64)
    envelope = cosine_cutoff(d, 5.0).numpy()
    np.testing.assert_allclose(envelope, [1.0, 1.0, 0.5, 0.0, 0.0], atol=1e-15)
    basis = sine_basis(d, 3, 5.0).numpy()
    expected = np.pi * np.arange(1, 4) / 5.0  # sin(x) / x is one at zero
    np.testing.assert_allclose(basis[0], expected)
    np.testing.assert_allclose(basis[1], expected)
    np.testing.assert_allclose(basis[2], np.sin(expected * 2.5) / 2.5, atol=1e-15)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (SchNetEncoder(0), "n_conv must be an integer >= 1"),
        (PaiNNEncoder(n_features=2.5), "n_features must be an integer >= 1"),
        (SchNetEncoder(r_max=0.0), "r_max must be a positive number"),
        (SchNetEncoder(n_basis=1), "n_basis must be an integer >= 2"),
        (PaiNNEncoder(n_basis=True), "n_basis must be an integer >= 1"),
    ],
)
def test_bad_settings(encoder, message):
    with pytest.raises(ValueError, match=message):
        encoder.build([1])


short = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::graphkoopman.koopman.BeyondDataWarning",
    "ignore::graphkoopman.koopman.FixedStateWarning",
)


@pytest.fixture(scope="module")
def graphs():
    run = make_hopping(chain_rates(2, slowest=20.0), 600, random_state=0).trajectory
    return GraphFeaturizer(n_neighbors=8, n_hops=2, directions=True).fit_transform(run)


def estimator_with(encoder, **changes):
    settings = {"lagtime": 5, "n_init": 1, "max_epochs": 1, "random_state": 0} | changes
    return GDyNetEstimator(2, encoder=encoder, **settings)


@short
@pytest.mark.parametrize("name", ENCODERS)
def test_every_tool_takes_them(name, graphs, tmp_path):
    """Fits, files, pickles, clones, searches, checkpoints, and another fit that starts from it."""
    encoder = clone(ENCODERS[name]).set_params(n_conv=1, n_features=3)
    graphs = [graphs[0][:240]]
    once = estimator_with(encoder).fit(graphs)
    expected = once.transform(graphs)[0]
    path = tmp_path / "model.safetensors"
    once.save(path)
    for again in (GDyNetEstimator.load(path), pickle.loads(pickle.dumps(once))):
        assert again.encoder_ == encoder
        np.testing.assert_array_equal(again.transform(graphs)[0], expected)
    for _ in range(2):  # the second goes on where the first has ended
        kept = estimator_with(encoder, checkpoint_dir=tmp_path / "kept").fit(graphs)
        np.testing.assert_array_equal(kept.transform(graphs)[0], expected)
    moved = estimator_with(None, init_from=path, freeze="encoder").fit(graphs)
    assert moved.encoder_ == encoder
    for key, value in moved.lobe_.encoder.state_dict().items():
        assert torch.equal(value, once.lobe_.encoder.state_dict()[key])
    search = GridSearchCV(
        estimator_with(encoder), {"encoder__n_features": [2]},
        cv=SegmentKFold(2, gap=0), scoring=KoopmanScorer("vamp2"), error_score="raise",
    )  # fmt: skip
    run = graphs[0]
    search.fit([run[:80], run[100:180], run[200:]])
    assert search.best_estimator_.encoder_.n_features == 2


@pytest.mark.parametrize("name", OTHERS)
def test_they_learn_the_known_answer(name, graphs):
    """Cages of short or long distances, of a relaxation time of 20 frames."""
    encoder = clone(ENCODERS[name]).set_params(n_conv=1)
    estimator = estimator_with(encoder, max_epochs=30).fit(graphs)
    run = make_hopping(chain_rates(2, slowest=20.0), 3000, random_state=1)
    test = GraphFeaturizer(n_neighbors=8, n_hops=1, directions=True).fit_transform(run.trajectory)
    # 24000 ps in all hold 600 exchanges: 8 %, more than twice
    assert estimator.koopman_model(test).timescales()[0] == pytest.approx(20.0, rel=0.2)
    agreement = (estimator.predict(test)[0] == run.labels).mean()
    assert max(agreement, 1.0 - agreement) > 0.97
