"""VAMP scores in torch: analytic chains, invariances, deeptime's numpy scores, gradients."""

from functools import partial

import numpy as np
import pytest
import torch
from deeptime.decomposition import VAMP
from torch.autograd import gradcheck

from graphkoopman import objectives
from graphkoopman.objectives import (
    EPSILON,
    SCORES,
    moments,
    moments_of_rows,
    score_gradient,
    score_of_moments,
    subspace_score,
)

METHODS = {"VAMP1": 1, "VAMP2": 2, "VAMPE": "E"}
NO_RIDGE = 1e-14
# For features that sum to one. The ridge (1e-8, the default) lowers singular values by a few times
# itself; VAMP-1 also counts rounding (1e-16) over the ridge in the null direction. Both below 1e-7.
RIDGE = EPSILON
RIDGE_ERROR = 1e-7


@pytest.fixture(params=METHODS, name="method")
def method_fixture(request):
    return request.param


def latent_pairs(seed=0, n_pairs=400, n_features=4):
    """Both ends of a linear process: correlated in time, features of unlike scale."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_pairs, n_features)) * np.arange(1, n_features + 1)
    y = 0.7 * x[:, ::-1] + rng.normal(size=x.shape)
    return x + 3.0, y - 1.0


def softmax_pairs(n_states=4):
    x, y = latent_pairs(n_features=n_states)
    return [torch.softmax(torch.from_numpy(z) / 3, dim=1) for z in (x, y)]


def torch_score(method, x, y, epsilon=NO_RIDGE):
    return SCORES[method](torch.as_tensor(x), torch.as_tensor(y), epsilon=epsilon)


def deeptime_score(method, x, y):
    model = VAMP(epsilon=NO_RIDGE).fit((np.asarray(x), np.asarray(y))).fetch_model()
    return model.score(METHODS[method], epsilon=NO_RIDGE)


def two_state_pairs(counts):
    """Indicator features of a two-state process whose pairs occur exactly in these proportions."""
    starts, ends = np.divmod(np.repeat(np.arange(4), np.ravel(counts)), 2)
    return np.eye(2)[starts], np.eye(2)[ends]


@pytest.mark.parametrize(
    ("counts", "eigenvalue"), [([[45, 5], [5, 45]], 0.8), ([[675, 75], [75, 175]], 0.6)]
)
def test_two_state_chain(counts, eigenvalue):
    lagtime = 3.0
    relaxation = -lagtime / np.log(eigenvalue)
    x, y = two_state_pairs(counts)
    square = 1 + np.exp(-2 * lagtime / relaxation)
    for method, expected in {"VAMP1": 1 + eigenvalue, "VAMP2": square, "VAMPE": square}.items():
        assert torch_score(method, x, y, RIDGE).item() == pytest.approx(expected, abs=RIDGE_ERROR)


def test_perfect_memory_scores_the_number_of_states(method):
    x = np.eye(3)[np.repeat([0, 1, 2], [50, 30, 20])]
    assert torch_score(method, x, x, RIDGE).item() == pytest.approx(3.0, abs=RIDGE_ERROR)


def test_independent_ends_score_one(method):
    # every start with every end: the cross-covariance vanishes exactly
    starts, ends = np.divmod(np.arange(9), 3)
    score = torch_score(method, np.eye(3)[starts], np.eye(3)[ends], RIDGE)
    assert score.item() == pytest.approx(1.0, abs=RIDGE_ERROR)


def test_invariant_under_affine_maps(method):
    x, y = latent_pairs()
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 4, 4)) + 3 * np.eye(4)
    moved = torch_score(method, x @ a + 5.0, y @ b - 7.0)
    # Rounding times the condition number of the maps (below 100).
    assert moved.item() == pytest.approx(torch_score(method, x, y).item(), rel=1e-10)


def test_invariant_under_order_of_pairs_and_of_features(method):
    x, y = latent_pairs()
    rng = np.random.default_rng(2)
    pairs, features = rng.permutation(len(x)), rng.permutation(x.shape[1])
    shuffled = torch_score(method, x[pairs][:, features], y[pairs][:, features])
    # The same sums in another order.
    assert shuffled.item() == pytest.approx(torch_score(method, x, y).item(), rel=1e-12)


def test_ridge_lowers_the_score(method):
    x, y = latent_pairs()
    scores = [torch_score(method, x, y, epsilon).item() for epsilon in (1e-12, 1e-2, 1.0)]
    assert scores[0] > scores[1] > scores[2] > 1.0


# deeptime cuts eigenvalues where torch adds a ridge: both vanish with epsilon, 1e-8 is what the
# squared condition number of the features (about 20) leaves of double precision, generously.
@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_equals_deeptime(method, n_features):
    x, y = latent_pairs(n_features=n_features)
    expected = deeptime_score(method, x, y)
    assert torch_score(method, x, y).item() == pytest.approx(expected, abs=1e-8)


def test_softmax_equals_deeptime_with_one_column_dropped(method):
    """Probabilities sum to one: the dropped column is the constant, which both sides count."""
    x, y = softmax_pairs()
    expected = deeptime_score(method, x[:, 1:], y[:, 1:])
    assert torch_score(method, x, y, RIDGE).item() == pytest.approx(expected, abs=RIDGE_ERROR)


def test_softmax_has_the_gradient_of_one_column_dropped(method):
    """The null direction, lifted by the ridge alone, must not leak into the gradient."""
    gradients = []
    for first_column, epsilon in ((0, RIDGE), (1, NO_RIDGE)):
        x, y = (torch.from_numpy(z / 3).requires_grad_() for z in latent_pairs())
        chi_0, chi_t = (torch.softmax(logits, dim=1)[:, first_column:] for logits in (x, y))
        SCORES[method](chi_0, chi_t, epsilon=epsilon).backward()
        gradients.append(torch.cat([x.grad, y.grad]))
    size = gradients[1].abs().max().item()
    torch.testing.assert_close(*gradients, rtol=0, atol=RIDGE_ERROR * size)


def test_float32_features_are_scored_in_float64(method):
    x, y = (torch.from_numpy(z).float() for z in latent_pairs())
    score = SCORES[method](x, y)
    assert score.dtype == torch.float64
    assert score.item() == SCORES[method](x.double(), y.double()).item()


def test_gradient_equals_finite_differences(method):
    x, y = latent_pairs(n_pairs=12, n_features=3)
    ends = [torch.from_numpy(z).requires_grad_() for z in (x, y)]
    # Steps of 1e-6: rounding 1e-16 / 1e-6 and a truncation of 1e-12 leave about 1e-9.
    assert gradcheck(lambda a, b: SCORES[method](a, b), ends, eps=1e-6, atol=1e-8, rtol=1e-6)


def test_gradient_through_a_softmax(method):
    logits = [torch.from_numpy(z / 3).requires_grad_() for z in latent_pairs(3, 12, 3)]

    def score(a, b):
        return SCORES[method](torch.softmax(a, 1), torch.softmax(b, 1), epsilon=1e-3)

    # Rounding over the ridge is 1e-13 in VAMP-1, over the step 1e-7; a smaller ridge would give
    # the differences, not the gradient, more noise.
    assert gradcheck(score, logits, eps=1e-6, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_constant_features_score_one(method, shift):
    x = torch.full((50, 3), 1 / 3, requires_grad=True)
    y = torch.full((50, 3), 1 / 3 + shift, requires_grad=True)
    score = SCORES[method](x, y)
    assert score.item() == pytest.approx(1.0, abs=1e-12)
    score.backward()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(y.grad).all()


def test_features_constant_at_one_end(method):
    x, _ = softmax_pairs()
    x.requires_grad_()
    score = SCORES[method](x, torch.full_like(x, 0.25))
    score.backward()
    assert score.item() == pytest.approx(1.0, abs=1e-12)
    assert torch.isfinite(x.grad).all()


def test_score_gradient_equals_autograd(method):
    """Every frame is the start of one pair and the end of another but counts once in features."""
    features, _ = softmax_pairs()
    pairs = torch.arange(390), torch.arange(10, 400)
    score, gradient = score_gradient(features, pairs, method=method, epsilon=1e-6)
    leaf = features.clone().requires_grad_()
    expected = SCORES[method](leaf[:390], leaf[10:], epsilon=1e-6)
    expected.backward()
    assert not score.requires_grad
    assert score.item() == expected.item()
    assert gradient.dtype == torch.float64
    # The same terms; only the order in which the two ends are added may differ.
    torch.testing.assert_close(gradient, leaf.grad, rtol=1e-10, atol=1e-14)


def test_score_gradient_of_float32(method):
    """Computed in float64, rounded in the end."""
    features = softmax_pairs()[0].float()
    pairs = torch.arange(390, dtype=torch.int32), torch.arange(10, 400, dtype=torch.int32)
    score, gradient = score_gradient(features, pairs, method=method, epsilon=1e-3)
    expected, double = score_gradient(features.double(), pairs, method=method, epsilon=1e-3)
    assert score.item() == expected.item()
    # two terms per frame, each rounded to 6e-8 of itself; they may cancel
    atol = 2e-7 * double.abs().max().item()
    torch.testing.assert_close(gradient, double.float(), rtol=0, atol=atol)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_sums_around_a_centre_are_those_around_the_means(offset):
    """Means that turn out to be far from it come first."""
    features = torch.from_numpy(latent_pairs()[0]) + offset
    pairs = torch.arange(390), torch.arange(10, 400)
    expected, gradient = score_gradient(features, pairs, epsilon=1e-6)
    score, found = score_gradient(features, pairs, epsilon=1e-6, center=0.0)
    assert (score.item() == expected.item()) == (offset > 0.0)
    # rounding of 1e-16 of squares, some ten times the variance; it would be 1e12 times
    assert score.item() == pytest.approx(expected.item(), rel=1e-12)
    # of means, 1e-16 of the offset
    size = gradient.abs().max().item()
    torch.testing.assert_close(found, gradient, rtol=0, atol=size * (1e-12 + 1e-15 * offset))


def test_pairs_that_are_not_counted_have_a_gradient():
    """Of the first pairs, of two runs, moments are made; the others only use them."""
    features = torch.from_numpy(latent_pairs()[0])
    first, second = torch.arange(100), torch.arange(200, 300)
    starts = torch.cat([first, second, first])
    pairs = starts, starts + 10
    expected, gradient = score_gradient(features, (starts[:200], starts[:200] + 10), epsilon=1e-6)
    score, found = score_gradient(features, pairs, epsilon=1e-6, sizes=[100, 100])
    assert score.item() == pytest.approx(expected.item(), rel=1e-13)
    gradient[:110] *= 2
    # rounding relative to the largest element
    size = gradient.abs().max().item()
    torch.testing.assert_close(found, gradient, rtol=0, atol=1e-12 * size)


@pytest.mark.parametrize("block", [1, 7, 390])
def test_blocks_of_pairs_do_not_matter(method, block, monkeypatch):
    features, _ = softmax_pairs()
    pairs = torch.arange(390), torch.arange(10, 400)
    expected = score_gradient(features, pairs, method=method, epsilon=1e-3)
    monkeypatch.setattr(objectives, "PART_VALUES", block)
    found = score_gradient(features, pairs, method=method, epsilon=1e-3)
    # sums in another order, amplified by the inverse of the ridge
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    m = moments_of_rows(features, *pairs)
    for name in ("c00", "c0t", "ctt"):
        whole = getattr(moments(features[:390], features[10:]), name)
        torch.testing.assert_close(getattr(m, name), whole, rtol=0, atol=1e-15)
    assert score_of_moments(m, method=method, epsilon=1e-3).item() == pytest.approx(
        SCORES[method](features[:390], features[10:], epsilon=1e-3).item(), rel=1e-12
    )


def test_subspace_score_takes_the_largest_singular_values():
    x, y = (torch.from_numpy(z) for z in latent_pairs())
    m = moments(x, y)
    squares = objectives.singular_values(m).square()
    for n in (1, 2, 4):
        assert subspace_score(m, n).item() == pytest.approx(1 + squares[:n].sum().item(), rel=1e-12)


def test_subspace_gradient_equals_autograd():
    """At a maximum over all subspaces the fixed singular vectors do not enter the gradient."""
    features = torch.from_numpy(latent_pairs()[0]).requires_grad_()
    subspace_score(moments(features[:390], features[10:]), 2).backward()
    pairs = torch.arange(390), torch.arange(10, 400)
    method = partial(subspace_score, n_functions=2)
    _, gradient = score_gradient(features.detach(), pairs, method=method)
    # Rounding relative to the largest element.
    size = features.grad.abs().max().item()
    torch.testing.assert_close(gradient, features.grad, rtol=0, atol=1e-10 * size)


@pytest.mark.parametrize("n_ends", [(3, 4), (1, 1), (0, 0)])
def test_rows_that_are_no_pairs(n_ends):
    ends = [torch.arange(n) for n in n_ends]
    with pytest.raises(ValueError, match=f"at least two, got {n_ends[0]} and {n_ends[1]}"):
        moments_of_rows(torch.rand(5, 2), *ends)


def test_moments_are_centred_covariances():
    x, y = latent_pairs()
    m = moments(torch.from_numpy(x), torch.from_numpy(y))
    covariance = np.cov(np.hstack([x, y]).T, bias=True)
    np.testing.assert_allclose(m.c00, covariance[:4, :4], rtol=1e-12)
    np.testing.assert_allclose(m.ctt, covariance[4:, 4:], rtol=1e-12)
    # Elements near zero: rounding relative to the largest, about 16.
    np.testing.assert_allclose(m.c0t, covariance[:4, 4:], atol=1e-12)


@pytest.mark.parametrize(
    "shapes", [((5, 2), (4, 2)), ((5, 2), (5, 3)), ((5,), (5,)), ((1, 2), (1, 2)), ((2, 3, 4),) * 2]
)
def test_shapes_that_are_no_pairs(method, shapes):
    x, y = (torch.ones(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"one shape \(n_pairs >= 2, n_features\), got"):
        SCORES[method](x, y)
