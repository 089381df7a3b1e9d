"""The network: equations (7)-(10), kernel against plain torch, receptive fields, invariances."""

import itertools

import numpy as np
import pytest
import torch
from lobe_cases import (
    ATOMS,
    KINDS,
    MOLECULES,
    TRICLINIC,
    assert_relative,
    batch_of,
    gas,
    gradients_of,
    make_lobe,
)
from scipy.spatial.transform import Rotation
from torch.autograd import gradcheck

from graphkoopman.lobes import GraphConvolution, gaussian_basis, segment_softmax, segment_sum
from graphkoopman.lobes._kernels import MIN_ROWS_PER_THREAD, GatedConvolution
from graphkoopman.trajectories import Trajectory

# The compiled kernel interpolates edge terms: 3e-7 of a weight at most (its docstring). Weights are
# below one and about ten Gaussians overlap, so 1e-6 of the largest output bounds it in float64.
# In float32 the sums of plain and compiled are also ordered differently, some 10 times 6e-8.
KERNEL_RTOL = {torch.float32: 1e-5, torch.float64: 1e-6}


@pytest.fixture(params=KINDS, name="kind")
def kind_fixture(request):
    return KINDS[request.param]


def softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def equations(lobe, batch):
    """Equations (7)-(10) in numpy, edge by edge, with z = [v_i, v_j, u_ij] built.

    The weights of v_i in (8) and its bias cancel in the softmax, so the network has none: any
    numbers must do.
    """
    rng = np.random.default_rng(5)
    weights = {name: value.double().numpy() for name, value in lobe.state_dict().items()}
    v = weights["encoder.embedding.weight"][batch.species.numpy()]
    far, distances = batch.neighbors.numpy(), batch.distances.numpy().astype(float)
    for n, convolution in enumerate(lobe.encoder.convolutions):

        def w(name, n=n):
            return weights[f"encoder.convolutions.{n}.{name}"]

        w_n = np.hstack([w("center.weight"), w("neighbor.weight"), w("edge.weight")])
        free = rng.normal(size=(1, v.shape[1]))
        w_a = np.hstack([free, w("neighbor_logit.weight"), w("edge_logit.weight")])[0]
        b_a = rng.normal()
        updated = v.copy()
        offsets = batch.offsets(batch.hop_counts[-2])
        for i, (begin, end) in enumerate(itertools.pairwise(offsets)):
            if begin == end:
                continue
            d = distances[begin:end, None]
            u = np.exp(-((d - 0.2 * np.arange(41)) ** 2) / 0.2**2)  # (7), 0 to 8 Å
            v_i = np.broadcast_to(v[i], (end - begin, v.shape[1]))
            z = np.hstack([v_i, v[far[begin:end]], u])
            alpha = softmax(z @ w_a + b_a)  # (8)
            gate = np.maximum(z @ w_n.T + w("center.bias"), 0.0)
            update = alpha @ gate
            if convolution.aggregation == "mean":
                update /= end - begin
            updated[i] = v[i] + update  # (9)
        v = updated
    v = v[: batch.hop_counts[0]]
    owner = np.arange(len(v)) if batch.target_of_atom is None else batch.target_of_atom.numpy()
    pooled = np.array([v[owner == t].mean(axis=0) for t in range(owner[-1] + 1)])  # (10)
    hidden = np.maximum(pooled @ weights["head.hidden.weight"].T + weights["head.hidden.bias"], 0.0)
    return np.array(
        [softmax(x) for x in hidden @ weights["head.output.weight"].T + weights["head.output.bias"]]
    )


@pytest.mark.parametrize("targets", [ATOMS, MOLECULES], ids=["atoms", "molecules"])
@pytest.mark.parametrize("aggregation", ["sum", "mean"])
def test_equals_the_papers_equations(kind, targets, aggregation):
    lobe = make_lobe(dtype=torch.float64, aggregation=aggregation)
    batch = batch_of(gas(targets=targets), **kind)
    expected = equations(lobe, batch)
    with torch.no_grad():
        # The same sums in another order, logits of order one.
        np.testing.assert_allclose(lobe(batch, reference=True), expected, rtol=1e-12)
        np.testing.assert_allclose(lobe(batch), expected, rtol=KERNEL_RTOL[torch.float64])
    np.testing.assert_allclose(expected.sum(axis=1), 1.0, rtol=1e-14)


def test_gaussian_basis():
    """One at a centre, 1/e one width away, no half in the exponent."""
    basis = gaussian_basis(torch.tensor([0.0, 0.4, 0.5, 50.0], dtype=torch.float64), 6)
    assert basis.shape == (4, 6)
    e = np.exp(-1.0)
    # Centres such as 3 times 0.2 are rounded.
    np.testing.assert_allclose(basis[0, :3], [1.0, e, e**4], rtol=1e-12)
    np.testing.assert_allclose(basis[1, 1:4], [e, 1.0, e], rtol=1e-12)
    np.testing.assert_allclose(basis[2, 2:4], np.exp(-0.25), rtol=1e-12)
    assert not basis[3].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"aggregation": "mean"},
        {"normalization": "layer"},
        {"n_features": 5},
        {"n_features": 40},
    ],
    ids=str,
)
def test_kernel_equals_plain_torch(kind, dtype, settings):
    lobe = make_lobe(1, dtype, **settings)
    batch = batch_of(gas(1, targets=MOLECULES), **kind)
    with torch.no_grad():
        assert_relative(lobe.embed(batch), lobe.embed(batch, reference=True), KERNEL_RTOL[dtype])
    plain = gradients_of(lobe, batch, reference=True)
    for name, gradient in gradients_of(lobe, batch).items():
        # Three layers back, each with the error of a kernel; sums over all edges.
        assert_relative(gradient, plain[name], 10 * KERNEL_RTOL[dtype], name)


def test_distances_beyond_the_basis():
    """Only "far" is seen there: no edge term at all, in the kernel as in the formula."""
    lobe = make_lobe(dtype=torch.float64, r_max=2.0)
    run = gas(2, cell=3.0 * TRICLINIC)
    batch = batch_of(run)
    assert batch.distances.min() < 5.0 < batch.distances.max()
    with torch.no_grad():
        assert_relative(lobe(batch), lobe(batch, reference=True), KERNEL_RTOL[torch.float64])


@pytest.mark.parametrize("reference", [False, True])
def test_target_without_neighbors_keeps_its_embedding(reference):
    run = Trajectory([[[0, 0, 0], [9, 0, 0], [10, 0, 0]]], None, [1, 2, 2], timestep=1, targets=[0])
    lobe = make_lobe()
    batch = batch_of(run, n_neighbors=None, cutoff=2.0)
    assert torch.equal(lobe.embed(batch, reference=reference), lobe.encoder.embedding.weight[:1])
    assert all(g.isfinite().all() for g in gradients_of(lobe, batch, reference=reference).values())


def convolution_case(n_atoms=5):
    """Three rows of 3, 0 and 2 edges; two distances outside the table."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(n_atoms, 16), (16, 16), (16,), (16, 16), (1, 16), (12, 16), (12,)]
    tensors = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    neighbors = torch.tensor([4, 0, 4, 2, 1], dtype=torch.int32)
    distances = torch.tensor([0.0, 0.33, 0.4, 7.0, 0.91])  # the table ends at 0.8
    return tensors, neighbors, distances, np.array([0, 3, 3, 5]), 0.1


def test_compiled_convolution_interpolates_a_cubic_exactly():
    """On a table that is a cubic in d the kernel is the formula, to rounding."""
    tensors, neighbors, distances, offsets, step = convolution_case()
    atoms, weight, bias, neighbor_weight, logit_weight, rates, _ = tensors

    def cubic(d):
        return (d**3 - d)[:, None] * rates[0]

    grid = step * torch.arange(-1, 11, dtype=torch.float64)
    tables = cubic(grid), cubic(grid)[:, 0]
    edges = neighbors, distances, None, offsets
    update = GatedConvolution.apply(*tensors[:5], *tables, *edges, step, False)
    edge = cubic(distances.double().clamp_max(0.8))
    rows = torch.tensor([0, 0, 0, 2, 2])
    far = atoms[neighbors]
    attention = segment_softmax(far @ logit_weight[0] + edge[:, 0], rows, 3)
    messages = torch.relu(atoms[rows] @ weight.T + bias + far @ neighbor_weight.T + edge)
    expected = segment_sum(attention[:, None] * messages, rows, 3)
    # The clamped end of the table is exact, 0.33 and 0.4 are float32 in both.
    torch.testing.assert_close(update, expected, rtol=1e-12, atol=1e-12)
    assert not update[1].any()


@pytest.mark.parametrize("kinds", [None, [1, 0, 1, 2, 2]])
@pytest.mark.parametrize("residual", [True, False])
def test_compiled_convolution_gradient(kinds, residual):
    """Also where atoms of a kind share a row."""
    tensors, *edges, offsets, step = convolution_case(5 if kinds is None else 3)
    if kinds is not None:
        kinds = torch.tensor(kinds, dtype=torch.int32)
    inputs = [tensor.requires_grad_() for tensor in tensors]
    rest = *edges, kinds, offsets, step, residual
    assert gradcheck(lambda *t: GatedConvolution.apply(*t, *rest), inputs, eps=1e-6, atol=1e-8)


@pytest.mark.parametrize("n_conv", [1, 2, 3])
def test_receptive_field_is_exact(kind, n_conv):
    """Targets alone give what the whole system gives: nothing that they see is left out."""
    lobe = make_lobe(2, torch.float64, n_conv=n_conv)
    everything = gas(3, targets=np.arange(28))
    few = gas(3, targets=ATOMS)
    with torch.no_grad():
        full = lobe(batch_of(everything, n_conv, **kind)).view(3, 28, 4)[:, ATOMS]
        own = lobe(batch_of(few, n_conv, **kind)).view(3, 3, 4)
        deeper = lobe(batch_of(few, n_conv + 1, n_conv, **kind)).view(3, 3, 4)
    # The matrix products of other sizes may be summed in another order; kernels are exact.
    torch.testing.assert_close(own, full, rtol=1e-12, atol=0)
    torch.testing.assert_close(deeper, full, rtol=1e-12, atol=0)


ROTATION = Rotation.from_rotvec([0.3, -1.1, 2.0]).as_matrix()


def wrapped(positions):
    fractions = positions @ np.linalg.inv(TRICLINIC)
    return (fractions - np.floor(fractions)) @ TRICLINIC


UNIMODULAR = np.array([[1, 1, 0], [0, 1, 2], [1, 1, 1]])
MIRROR = np.diag([-1.0, 1.0, 1.0])
MOVES = {
    "rotation": (lambda x: x @ ROTATION, TRICLINIC @ ROTATION),
    "translation": (lambda x: x + np.array([3.0, -50.0, 0.7]), TRICLINIC),
    # cells are right-handed, so two lattice vectors change places
    "reflection": (lambda x: x @ MIRROR, (TRICLINIC @ MIRROR)[[1, 0, 2]]),
    "images": (wrapped, TRICLINIC),
    "equivalent cell": (lambda x: x, UNIMODULAR @ TRICLINIC),
}


@pytest.mark.parametrize("move", MOVES)
def test_invariances(kind, move):
    run = gas(4, targets=MOLECULES)
    change, cell = MOVES[move]
    moved = Trajectory(change(run.positions), cell, run.species, timestep=1, targets=MOLECULES)
    lobe = make_lobe(3)
    with torch.no_grad():
        before, after = (lobe(batch_of(item, **kind)) for item in (run, moved))
    # Distances are float32, rounded to 6e-8 of themselves; the network's slopes are of order ten.
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    assert before.std(dim=0).max() > 1e-2  # not a constant function


def test_invariant_under_permutation_of_atoms(kind):
    run = gas(4, targets=MOLECULES)
    order = np.random.default_rng(8).permutation(28)
    groups = [np.argsort(order)[group] for group in MOLECULES]
    moved = Trajectory(
        run.positions[:, order], run.cell, run.species[order], timestep=1.0, targets=groups
    )
    lobe = make_lobe(3)
    with torch.no_grad():
        before, after = (lobe(batch_of(item, **kind)) for item in (run, moved))
    # Neighbours come in the same order, by distance; matrix products in another: rounding.
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)


def test_species_and_distance_matter():
    run = gas(4)
    lobe = make_lobe(3)
    other = Trajectory(run.positions, run.cell, run.species[::-1], timestep=1.0, targets=ATOMS)
    closer = Trajectory(0.9 * run.positions, 0.9 * run.cell, run.species, timestep=1, targets=ATOMS)
    with torch.no_grad():
        for changed in (other, closer):
            assert (lobe(batch_of(changed)) - lobe(batch_of(run))).abs().max() > 1e-3


def test_molecules_are_pooled_by_their_mean():
    lobe = make_lobe(4, torch.float64)
    atoms = [atom for group in MOLECULES for atom in group]
    batch = batch_of(gas(5, targets=MOLECULES))
    with torch.no_grad():
        pooled = lobe.embed(batch).view(3, 3, -1)
        single = lobe.embed(batch_of(gas(5, targets=atoms))).view(3, 6, -1)
    expected = torch.stack([part.mean(dim=1) for part in single.split([3, 2, 1], dim=1)], dim=1)
    torch.testing.assert_close(pooled, expected, rtol=1e-12, atol=1e-12)  # sums reordered


def test_mean_is_the_sum_over_the_number_of_neighbors(kind):
    batch = batch_of(gas(6), n_hops=1, **kind)
    n_rows = batch.hop_counts[0]
    layers = {name: GraphConvolution(16, 41, aggregation=name) for name in ("sum", "mean")}
    layers["mean"].load_state_dict(layers["sum"].state_dict())
    atoms = torch.randn(batch.hop_counts[1], 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        update = {k: layer(atoms, batch, n_rows) - atoms[:n_rows] for k, layer in layers.items()}
    expected = update["sum"] / batch.degrees(n_rows)[:, None]
    # One float32 rounding of the residual sum, whose terms are of order one.
    torch.testing.assert_close(update["mean"], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("normalization", ["layer", "batch"])
@pytest.mark.parametrize("training", [True, False])
def test_normalization(normalization, training):
    lobe = make_lobe(5, normalization=normalization).train(training)
    batch = batch_of(gas(7))
    probabilities = lobe(batch)
    # float32 rounding of four terms
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(9), rtol=0, atol=1e-6)
    gradients = gradients_of(lobe, batch)
    assert all(g.isfinite().all() for g in gradients.values())
    assert gradients["encoder.convolutions.0.update_norm.weight"].any()
    if normalization == "batch":  # moments of messages need the plain path, so both are one
        assert torch.equal(lobe.eval()(batch), lobe(batch, reference=True))


@pytest.fixture
def set_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_runs_are_identical_and_threads_change_only_rounding(set_threads, kind):
    lobe, batch = make_lobe(6), batch_of(gas(8, n_frames=30), **kind)
    assert batch.hop_counts[-2] > 4 * MIN_ROWS_PER_THREAD
    results = []
    for n_threads in (1, 1, 2, 2):
        set_threads(n_threads)
        results.append({"output": lobe(batch).detach()} | gradients_of(lobe, batch))
    one, one_again, two, two_again = results
    for name in one:
        assert torch.equal(one[name], one_again[name]), name
        assert torch.equal(two[name], two_again[name]), name
        # float32 sums over 600 rows in other orders
        assert_relative(two[name], one[name], 1e-5, name)
