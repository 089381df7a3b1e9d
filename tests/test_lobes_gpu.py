"""The kernels for a GPU, on one where there is one and in Triton's interpreter elsewhere."""

import pytest
import torch
from lobe_cases import (
    KINDS,
    MOLECULES,
    TRICLINIC,
    assert_relative,
    batch_of,
    gas,
    gradients_of,
    make_lobe,
)

from graphkoopman.lobes import _gpu_kernels, _updates
from graphkoopman.lobes._basis import gaussian_basis
from graphkoopman.lobes._gpu_kernels import MOST_PROGRAMS, ROWS, GatedUpdate
from graphkoopman.trajectories import Trajectory

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# Edge terms are interpolated to 3e-7 of a weight and sums taken in another order in float32, as by
# the kernel for CPUs; gradients pass three of them.
RTOL = 1e-5
STEP, SPACING = 0.2 / 32, 0.2


@pytest.fixture(params=KINDS, name="kind")
def kind_fixture(request):
    return KINDS[request.param]


@pytest.fixture(autouse=True)
def kernels_for_gpus(monkeypatch):
    monkeypatch.setattr(_updates, "runs_on_gpu", lambda atoms: atoms.dtype == torch.float32)


@pytest.fixture
def few_programs(monkeypatch):
    """The interpreter takes as long for a row as for many."""
    if DEVICE.type != "cuda":
        monkeypatch.setattr(_gpu_kernels, "ROWS", 4 * ROWS)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"aggregation": "mean"},
        {"normalization": "layer"},
        {"n_features": 5},
        {"n_features": 40, "r_max": 3.0},
    ],
    ids=str,
)
def test_equals_plain_torch(kind, settings, few_programs):
    """Values and gradients of all weights, against the formulas in float64."""
    batch = batch_of(gas(1, targets=MOLECULES), **kind).to(DEVICE)
    lobe, exact = (make_lobe(1, dtype, **settings) for dtype in (torch.float32, torch.float64))
    lobe, exact = lobe.to(DEVICE), exact.to(DEVICE)
    with torch.no_grad():
        assert_relative(lobe.embed(batch).double(), exact.embed(batch, reference=True), RTOL)
    expected = gradients_of(exact, batch, reference=True)
    for name, gradient in gradients_of(lobe, batch).items():
        assert_relative(gradient.double(), expected[name], 10 * RTOL, name)


def test_same_bits_in_every_run(kind, few_programs):
    lobe = make_lobe(2).to(DEVICE)
    batch = batch_of(
        gas(2, n_frames=40 if DEVICE.type == "cuda" else 2, targets=MOLECULES), **kind
    ).to(DEVICE)
    first = gradients_of(lobe, batch)
    # the interpreter runs one program after the other: there is nothing to leave to chance
    for _ in range(3 if DEVICE.type == "cuda" else 1):
        for name, gradient in gradients_of(lobe, batch).items():
            assert torch.equal(gradient, first[name])


def test_distances_beyond_the_basis():
    lobe = make_lobe(r_max=2.0).to(DEVICE)
    batch = batch_of(gas(2, cell=3.0 * TRICLINIC)).to(DEVICE)
    with torch.no_grad():
        assert_relative(lobe(batch), lobe(batch, reference=True), RTOL)


def test_target_without_neighbors_keeps_its_embedding():
    run = Trajectory([[[0, 0, 0], [9, 0, 0], [10, 0, 0]]], None, [1, 2, 2], timestep=1, targets=[0])
    lobe = make_lobe().to(DEVICE)
    batch = batch_of(run, n_neighbors=None, cutoff=2.0).to(DEVICE)
    assert torch.equal(lobe.embed(batch), lobe.encoder.embedding.weight[:1])
    assert all(gradient.isfinite().all() for gradient in gradients_of(lobe, batch).values())


def test_falls_back_where_triton_does_not_run(monkeypatch):
    """Once, with the reason."""

    def no_compiler(device):
        raise RuntimeError("Failed to find C compiler")

    _updates.gpu_kernels.cache_clear()
    assert _updates.gpu_kernels(DEVICE) is _gpu_kernels
    monkeypatch.setattr(_gpu_kernels, "probe", no_compiler)
    _updates.gpu_kernels.cache_clear()
    with pytest.warns(RuntimeWarning, match=r"Triton does not run on .*: Failed to find C compil"):
        assert _updates.gpu_kernels(DEVICE) is None
    assert _updates.gpu_kernels(DEVICE) is None
    _updates.gpu_kernels.cache_clear()


def star(n_rows, size=1.0, seed=0):
    """Rows of two edges, all to atom 0, and gradients of one sign with it: the largest total."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.rand(12 * 32, 4, generator=generator)
    shapes = [(n_rows, 16), (n_rows, 16), (n_rows,), (16, 4), (4,)]
    terms = [torch.randn(shape, generator=generator) for shape in shapes]
    terms[0] += 10.0  # nothing is cut off by the ReLU
    neighbors = torch.zeros(2 * n_rows, dtype=torch.int32)
    distances = torch.rand(2 * n_rows, generator=generator)
    offsets = 2 * torch.arange(n_rows + 1)
    inputs = [tensor.to(DEVICE).requires_grad_() for tensor in terms]
    crowd = torch.tensor(2.0 * n_rows)
    graph = [tensor.to(DEVICE) for tensor in (neighbors, distances, offsets, crowd)]
    upstream = size * torch.rand(n_rows, 16, generator=generator).to(DEVICE)
    return inputs, (basis.to(DEVICE), STEP, SPACING, *graph), upstream


def test_totals_do_not_depend_on_the_order_of_edges():
    """Each of a thousand numbers of both signs is added as two, whose sums are never rounded."""
    inputs, rest, upstream = star(500)
    *tables, neighbors, distances, offsets, crowd = rest
    upstream *= torch.logspace(-6, 0, 500, device=DEVICE).unsqueeze(1)
    upstream[::2] *= -1.0
    order = torch.randperm(500, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    totals = []
    for rows in (torch.arange(500, device=DEVICE), order):
        terms = [inputs[0][rows], *inputs[1:]]
        far = distances.view(-1, 2)[rows].flatten()
        GatedUpdate.apply(*terms, *tables, neighbors, far, offsets, crowd).backward(upstream[rows])
        totals.append((inputs[1].grad[0], inputs[2].grad[0]))
        inputs[1].grad = inputs[2].grad = None
    assert torch.equal(totals[0][0], totals[1][0])
    assert torch.equal(totals[0][1], totals[1][1])
    exact = upstream.double().sum(dim=0)
    assert_relative(totals[0][0].double(), exact, 1e-6)


def test_an_edge_of_any_length_reaches_its_gaussians():
    """Rows of one block with edges from zero to beyond the basis, a window at a time."""
    inputs, rest, upstream = star(ROWS + 5)
    _, step, spacing, neighbors, distances, offsets, crowd = rest
    distances = torch.linspace(0.0, 4.0, len(distances), device=DEVICE)
    distances = distances[
        torch.randperm(len(distances), generator=torch.Generator().manual_seed(2))
    ]
    table = gaussian_basis(step * torch.arange(-1, 24 * 32 - 1), 17).to(DEVICE)
    for term, n in ((3, (16, 17)), (4, (17,))):
        inputs[term] = torch.randn(n, device=DEVICE).requires_grad_()
    graph = neighbors, distances, offsets, crowd
    GatedUpdate.apply(*inputs, table, step, spacing, *graph).backward(upstream)
    # all messages are positive: attention is that of two logits, and m is linear in W₃
    exact = inputs[3].detach().double().requires_grad_()
    logits = inputs[4].detach().double()
    u = gaussian_basis(distances.double(), 17)
    attention = torch.softmax((u @ logits).view(-1, 2), dim=1).reshape(-1, 1)
    (attention * (u @ exact.T)).backward(upstream.double().repeat_interleave(2, dim=0))
    assert_relative(inputs[3].grad.double(), exact.grad, RTOL)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_integer_totals_keep_the_precision_of_floats(size):
    """Attention adds up to one in every row, so atom 0 receives the sum of all gradients."""
    inputs, rest, upstream = star(ROWS + 5, size)
    GatedUpdate.apply(*inputs, *rest).backward(upstream)
    to_center, to_neighbor = inputs[0].grad, inputs[1].grad
    torch.testing.assert_close(to_center, upstream, rtol=1e-6, atol=0)
    torch.testing.assert_close(to_neighbor[0], upstream.sum(dim=0), rtol=1e-6, atol=0)
    assert not to_neighbor[1:].any()
    # the logits of a row share atom 0: their derivatives cancel, to rounding of what is added up
    assert abs(inputs[2].grad[0]) < 1e-5 * 10.0 * upstream.abs().sum()


def test_more_rows_than_a_program_takes(monkeypatch):
    """Programs that take several blocks of rows give what one per block gives."""
    results = []
    for most in (MOST_PROGRAMS, 2):
        monkeypatch.setattr("graphkoopman.lobes._gpu_kernels.MOST_PROGRAMS", most)
        inputs, rest, upstream = star(5 * ROWS + 3)
        GatedUpdate.apply(*inputs, *rest).backward(upstream)
        results.append([tensor.grad for tensor in inputs])
    for a, b in zip(*results, strict=True):
        assert_relative(a, b, 1e-6)


# numpy, in whose numbers the interpreter counts, warns where a GPU does not
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("term", range(5))
def test_not_a_number_stays_one(term):
    """A diverged network must not look like a sound one."""
    inputs, rest, upstream = star(4)
    with torch.no_grad():
        inputs[term].view(-1)[0] = float("nan")
    update = GatedUpdate.apply(*inputs, *rest)
    assert update.isnan().any()
    update.backward(upstream)
    assert any(tensor.grad.isnan().any() for tensor in inputs)
