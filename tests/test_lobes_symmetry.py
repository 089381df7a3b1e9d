"""Handedness and axes: what turns, mirrors and exchanges do to the vectors of target atoms."""

import numpy as np
import pytest
import torch
from lobe_cases import ATOMS, KINDS, MOLECULES, gas
from scipy.spatial.transform import Rotation

from graphkoopman import GDyNetEstimator, GraphFeaturizer, GraphTrajectory, Trajectory
from graphkoopman.graphs import collate
from graphkoopman.lobes import GatedEncoder
from graphkoopman.lobes._symmetry import AxisProjection, EdgeWeights, Handedness

MIRROR = np.diag([1.0, 1.0, -1.0])
TURN = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
N_FEATURES = 5


def batch_of(run, axes=None, **settings):
    featurizer = GraphFeaturizer(n_hops=2, directions=True, axes=axes, **settings)
    (graphs,) = featurizer.fit_transform(run)
    return collate(graphs, np.arange(len(graphs)), np.asarray(graphs.species) - 1, 2)


def moved(run, matrix):
    """Everything turned, or turned and mirrored: positions and cell."""
    cell = run.cell @ matrix.T
    cell[0] *= np.sign(np.linalg.det(matrix))  # the same lattice by vectors of the right hand
    return Trajectory(
        run.positions @ matrix.T, cell, run.species, timestep=1.0, targets=run.targets
    )


def vectors_of(batch, seed=0, **settings):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = GatedEncoder(2, N_FEATURES, **settings).build([1, 2, 3]).double()
    with torch.no_grad():
        return network(batch).numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("targets", [ATOMS, MOLECULES])
def test_handedness_turns_into_its_negative_in_a_mirror(kind, targets):
    """And nothing else changes; nothing at all when the system turns. Directions are float32."""
    run = gas(targets=targets)
    here, turned, mirrored = (
        vectors_of(batch_of(moved(run, matrix), **KINDS[kind]), handedness=True)
        for matrix in (np.eye(3), TURN, TURN @ MIRROR)
    )
    assert here.shape[1] == N_FEATURES + 1
    assert np.abs(here[:, -1]).min() > 1e-3
    size = np.abs(here).max(axis=0)
    np.testing.assert_allclose(turned / size, here / size, atol=1e-5)
    here[:, -1] *= -1
    np.testing.assert_allclose(mirrored / size, here / size, atol=1e-5)


@pytest.mark.parametrize("axis", [(0, 0, 1), "per target"])
def test_axes_turn_with_the_system(axis):
    """Turning system and axis changes nothing; turning the axis over changes the odd sums only."""
    run = gas(targets=MOLECULES)

    def vectors(matrix, sign=1.0):
        if axis == "per target":
            given = sign * np.arange(1.0, 10.0).reshape(3, 3) @ np.diag([1, -1, 1]) @ matrix.T
            return vectors_of(batch_of(moved(run, matrix), axes=given), axis=axis)
        turned = tuple((sign * matrix @ np.array(axis)).tolist())
        return vectors_of(batch_of(moved(run, matrix)), axis=turned)

    here, turned, over = vectors(np.eye(3)), vectors(TURN), vectors(np.eye(3), -1.0)
    size = np.abs(here).max(axis=0)
    assert here.shape[1] == N_FEATURES + 8
    np.testing.assert_allclose(turned / size, here / size, atol=1e-5)
    odd = slice(N_FEATURES, N_FEATURES + 4)
    assert np.abs(here[:, odd]).min() > 1e-4
    here[:, odd] *= -1
    np.testing.assert_array_equal(over, here)


def test_turning_the_system_alone_shows_where_there_is_an_axis():
    run = gas()
    here, turned = (vectors_of(batch_of(moved(run, m)), axis=(0, 0, 1)) for m in (np.eye(3), TURN))
    np.testing.assert_allclose(turned[:, :N_FEATURES], here[:, :N_FEATURES], rtol=1e-4, atol=1e-6)
    assert np.abs(turned - here)[:, N_FEATURES:].max() > 1e-2


def test_lengths_of_axes_do_not_matter():
    batch = batch_of(gas())
    np.testing.assert_array_equal(
        vectors_of(batch, axis=(0, 3, 4)), vectors_of(batch, axis=np.array([0, 0.6, 0.8]))
    )


def test_the_numbers_of_atoms_do_not_matter():
    """Atoms numbered anew, targets in the same order."""
    run = gas()
    order = np.random.default_rng(1).permutation(run.n_atoms)
    back = np.argsort(order)
    other = Trajectory(
        run.positions[:, order], run.cell, run.species[order], timestep=1.0, targets=back[ATOMS]
    )
    settings = {"handedness": True, "axis": (1, 2, 3)}
    here, there = (vectors_of(batch_of(r), **settings) for r in (run, other))
    np.testing.assert_allclose(there, here, rtol=1e-6, atol=1e-7)


def test_handedness_equals_its_equation():
    """Sums over edges and the triple product by loops, target by target."""
    batch = batch_of(gas(n_frames=1), n_neighbors=6)
    torch.manual_seed(0)
    part = Handedness(N_FEATURES, 21).double()
    atoms = torch.randn(len(batch.species), N_FEATURES, dtype=torch.float64)
    with torch.no_grad():
        found = part(atoms, None, batch).numpy()[:, 0]
        weight = {name: value.numpy() for name, value in part.weights.named_parameters()}
    for target in range(3):
        sums = np.zeros((3, 3))
        for edge in range(6 * target, 6 * target + 6):
            distance = float(batch.distances[edge])
            basis = np.exp(-(((distance - 0.2 * np.arange(21)) / 0.2) ** 2))
            linear = weight["center.weight"] @ atoms[target].numpy() + weight["center.bias"]
            linear += weight["neighbor.weight"] @ atoms[batch.neighbors[edge]].numpy()
            linear += weight["edge.weight"] @ basis
            sums += np.tanh(linear)[:, None] * batch.directions[edge].double().numpy()
        np.testing.assert_allclose(found[target], np.linalg.det(sums), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("part", ["handedness", "axis", "axis of targets"])
@pytest.mark.parametrize("by_kind", [False, True])
def test_gradients(part, by_kind):
    """Of all weights and vectors, against finite differences in float64."""
    batch = batch_of(gas(n_frames=1), axes=np.eye(3), n_neighbors=4)
    torch.manual_seed(0)
    module = {
        "handedness": lambda: Handedness(3, 8),
        "axis": lambda: AxisProjection(3, 8, (1.0, 2.0, 2.0)),
        "axis of targets": lambda: AxisProjection(3, 8, None),
    }[part]().double()
    kinds = batch.species if by_kind else None
    atoms = torch.randn(3 if by_kind else len(batch.species), 3, dtype=torch.float64)
    names, values = zip(*module.named_parameters(), strict=True)

    def function(vectors, *weights):
        given = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(module, given, (vectors, kinds, batch))

    leaves = [value.detach().clone().requires_grad_() for value in (atoms, *values)]
    assert torch.autograd.gradcheck(function, leaves)


def test_weights_of_kinds_are_those_of_their_atoms():
    batch = batch_of(gas())
    torch.manual_seed(0)
    weights, table = EdgeWeights(3, 8, 2), torch.randn(3, 3)
    with torch.no_grad():
        torch.testing.assert_close(
            weights(table, batch.species, batch), weights(table[batch.species], None, batch)
        )


def test_the_plain_network_is_the_same_as_before():
    """Without handedness and axis nothing is added: not a weight, not a draw."""
    batch = batch_of(gas())
    plain, handed = vectors_of(batch), vectors_of(batch, handedness=True)
    np.testing.assert_array_equal(plain, handed[:, :N_FEATURES])
    assert GatedEncoder().needs == {"distance"}
    assert not [k for k in GatedEncoder().build([1]).state_dict() if "symmetry" in k]


@pytest.mark.parametrize("axis", [(0, 0, 0), (1, 2), "z", (0, 0, np.nan), [[1, 2, 3]], 3.0])
def test_bad_axes(axis):
    with pytest.raises(ValueError, match=r"axis must be a direction of three numbers, not all zer"):
        GDyNetEstimator(encoder=GatedEncoder(axis=axis)).fit(batch_of_graphs())


def batch_of_graphs(**settings):
    run = gas(n_frames=30)
    return GraphFeaturizer(n_neighbors=4, n_hops=1, **settings).fit_transform(run)


@pytest.mark.parametrize(
    ("settings", "featurized", "message"),
    [
        ({"handedness": 1}, {"directions": True}, "handedness must be True or False, got 1"),
        ({"handedness": True}, {}, r"needs the direction .* GraphFeaturizer\(directions=True\)"),
        ({"axis": (0, 0, 1)}, {}, r"needs the direction .* GraphFeaturizer\(directions=True\)"),
        (
            {"axis": "per target"},
            {"directions": True},
            r"the axis .*GraphFeaturizer\(axes=\.\.\.\)",
        ),
    ],
)
def test_graphs_that_lack_what_is_needed(settings, featurized, message):
    with pytest.raises(ValueError, match=message):
        GDyNetEstimator(encoder=GatedEncoder(1, **settings)).fit(batch_of_graphs(**featurized))


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (np.ones((2, 3)), r"a vector per target, shape \(3, 3\), or per frame and target"),
        (np.zeros((3, 3)), r"of a length above zero, got \[0. 0. 0.\] in frame 0 for target 0"),
        (np.full((3, 3), np.inf), "must be finite"),
        ("z", "got shape"),
    ],
)
def test_bad_vectors_of_targets(axes, message):
    with pytest.raises(ValueError, match=message):
        GraphFeaturizer(axes=axes).fit(gas())


def test_axes_are_a_column_of_graphs(tmp_path):
    """In slices, files and joints, beside a cache that does not depend on them."""
    run = gas(n_frames=6)
    given = np.random.default_rng(0).normal(size=(6, 3, 3))
    featurizer = GraphFeaturizer(
        n_neighbors=4, n_hops=1, axes=lambda t: given[t.start : t.start + len(t)],
        cache_dir=tmp_path,
    )  # fmt: skip
    (graphs,) = featurizer.fit_transform(run)
    expected = given / np.linalg.norm(given, axis=2, keepdims=True)
    np.testing.assert_allclose(graphs.axes, expected, atol=1e-7)
    assert graphs.offers == {"distance", "axis"}
    (part,) = featurizer.transform(run[2:5])
    np.testing.assert_array_equal(part.axes, graphs[2:5].axes)
    graphs.save(tmp_path / "graphs")
    again = GraphTrajectory.load(tmp_path / "graphs")
    np.testing.assert_array_equal(again.axes, graphs.axes)
    np.testing.assert_array_equal(again[:2].joined([again[2:]]).axes, graphs.axes)
    np.testing.assert_array_equal(
        collate(graphs, np.array([4, 1]), np.asarray(graphs.species) - 1, 1).axes,
        graphs.axes[[4, 1]].reshape(6, 3),
    )
