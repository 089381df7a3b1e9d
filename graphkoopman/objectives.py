"""VAMP scores of features at both ends of a lag, in torch and float64.

Public: :func:`register_objective` and :func:`score_of_moments`, for an objective of one's own.
Internal: :class:`Moments`, what scores are functions of, the scores of features themselves
(:func:`vamp1_score`, :func:`vamp2_score`, :func:`vampe_score`, :func:`subspace_score`), and
:func:`score_gradient`, what training needs of them.

All scores count the constant function (deeptime's convention): the best score of ``n_states``
softmax outputs is ``n_states``. Moments are centred, which takes the constant out exactly and is
what makes the sum-to-one direction of a softmax harmless: it becomes a null direction of both
covariances, which the ridge lifts and the cross-covariance leaves at zero.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from graphkoopman.ranks import ALONE, Reducer, in_two

__all__ = [
    "register_objective",
    "score_of_moments",
]

# Ridge of the covariances relative to their mean variance: outputs that have become alike still
# have an inverse. Features in float32 are rounding noise below about 1e-7 of their spread.
EPSILON = 1e-8
PART_VALUES = 2**17  # features of pairs in float64 at a time: 1 MiB at each end
GPU_PART_VALUES = 2**24  # 128 MiB; fewer would not fill a GPU
# Squared distance of a mean from the centre of sums, in variances, that takes less than the digits
# between the ridge and float64: products then keep twelve.
FAR = 1e4
AT_A_TIME = 32  # sums of parts, in memory
MIN_VARIANCE = 1e-16  # of features that are probabilities in float32: below it is rounding noise


Pairs = tuple[Tensor, Tensor]  # rows of features at t and at t + τ


@dataclass(frozen=True)
class Moments:
    """Centred second moments of features at ``t`` and ``t + τ``, float64.

    Attributes
    ----------
    c00, c0t, ctt : Tensor of shape (n_features, n_features)
        Covariances of ``chi_0`` with itself, of ``chi_0`` with ``chi_t``, of ``chi_t`` with itself.
    """

    c00: Tensor
    c0t: Tensor
    ctt: Tensor


def moments(chi_0: Tensor, chi_t: Tensor) -> Moments:
    """Centred covariances of paired features.

    Parameters
    ----------
    chi_0, chi_t : Tensor of shape (n_pairs, n_features)
        Features at the two ends of every pair; any floating dtype, cast to float64.

    Returns
    -------
    Moments

    Raises
    ------
    ValueError
        If the shapes differ or there are fewer than two pairs.
    """
    if chi_0.shape != chi_t.shape or chi_0.ndim != 2 or len(chi_0) < 2:
        raise ValueError(
            "chi_0 and chi_t must have one shape (n_pairs >= 2, n_features), got "
            f"{tuple(chi_0.shape)} and {tuple(chi_t.shape)}; pair every frame with the one a lag "
            "later"
        )
    x = _columns(chi_0.double())
    y = _columns(chi_t.double())
    x = x - x.mean(dim=1, keepdim=True)
    y = y - y.mean(dim=1, keepdim=True)
    n_pairs = len(chi_0)
    return Moments(x @ x.T / n_pairs, x @ y.T / n_pairs, y @ y.T / n_pairs)


def moments_of_rows(features: Tensor, start_rows: Tensor, end_rows: Tensor) -> Moments:
    """`moments` of pairs among the rows of one array; only some pairs are copied at a time.

    Parameters
    ----------
    features : Tensor of shape (n_samples, n_features)
        Without a graph.
    start_rows, end_rows : Tensor of shape (n_pairs,), int32 or int64
        Rows at ``t`` and at ``t + τ``.

    Returns
    -------
    Moments
    """
    columns = _columns(features)
    _check_pairs((start_rows, end_rows), len(start_rows))
    parts = _parts((start_rows, end_rows), columns)
    return _moments_of_columns(columns, parts, len(start_rows))[0]


def _columns(features: Tensor) -> Tensor:
    """Features one after the other in memory, (n_features, n_samples).

    The few states of a row are too short for the inner loops of gathers, sums and products.
    """
    return features.T.contiguous()


def _moments_of_columns(
    columns: Tensor,
    parts: Sequence[Pairs],
    n_pairs: int,
    center: float | None = None,
    reducer: Reducer = ALONE,
) -> tuple[Moments, Tensor, Tensor]:
    """Moments, means at both ends, (2, n_features), and what rounding has taken off these.

    Around a centre near the means one sum over the ranks gives all; otherwise they come first.
    """
    zero = columns.new_zeros((2, len(columns)), dtype=torch.float64)
    if center is not None:
        around = zero + center if center else None
        m, sums = _moments_around(columns, parts, n_pairs, around, reducer)
        shift = sums.sum(dim=0) / n_pairs
        if not _is_far(m, shift):
            missing = (sums - n_pairs * in_two(shift)).sum(dim=0) / n_pairs
            return m, center + shift, missing
    ends = _ends_of(columns, parts, None)
    total = _sum_of((torch.stack([x.sum(dim=1), y.sum(dim=1)]) for x, y in ends), zero)
    reducer.add(total)
    means = total.sum(dim=0) / n_pairs
    m, sums = _moments_around(columns, parts, n_pairs, means, reducer)
    return m, means, sums.sum(dim=0) / n_pairs


def _moments_around(
    columns: Tensor,
    parts: Sequence[Pairs],
    n_pairs: int,
    around: Tensor | None,
    reducer: Reducer,
) -> tuple[Moments, Tensor]:
    """Moments from sums of features and of their products less vectors, and the former sums.

    The sums, (2, 2, n_features), are in two, see `in_two`, of the features at both ends.
    """
    k = len(columns)
    sums = (
        torch.cat([x @ x.T, x @ y.T, y @ y.T, x.sum(dim=1)[None], y.sum(dim=1)[None]])
        for x, y in _ends_of(columns, parts, around)
    )
    total = _sum_of(sums, columns.new_zeros((3 * k + 2, k), dtype=torch.float64))
    reducer.add(total)
    products, shift = (total.sum(dim=0) / n_pairs).split([3 * k, 2])
    # about the means themselves: Σ (x - a)(y - b)ᵀ less n times the product of their shifts
    x, y = shift
    outer = torch.stack([torch.outer(x, x), torch.outer(x, y), torch.outer(y, y)])
    c00, c0t, ctt = products.reshape(3, k, k) - outer
    return Moments(c00, c0t, ctt), total[:, 3 * k :]


def _sum_of(arrays: Iterator[Tensor], zero: Tensor) -> Tensor:
    """Sum of arrays in two, (2, ...), see `in_two`; of none of them it is zero."""
    total = torch.stack([zero, zero])
    while some := list(islice(arrays, AT_A_TIME)):
        total += in_two(torch.stack(some)).sum(dim=1)
    return total


def _is_far(m: Moments, shift: Tensor) -> bool:
    """Whether means are so far from where products were summed that these have lost digits."""
    return any(
        bool((end.square().max() > FAR * covariance.diagonal().mean()).item())
        for end, covariance in zip(shift, (m.c00, m.ctt), strict=True)
    )


def _check_pairs(pairs: Pairs, n_pairs: int) -> None:
    """Raise ValueError unless both ends have as many rows, and all ranks together two pairs."""
    if len(pairs[1]) != len(pairs[0]) or n_pairs < 2:
        raise ValueError(
            f"start_rows and end_rows must hold the same number of rows, at least two, got "
            f"{n_pairs} and {len(pairs[1])}; pair every frame with the one a lag later"
        )


def _parts(pairs: Pairs, columns: Tensor, sizes: Sequence[int] | None = None) -> list[Pairs]:
    """Some pairs after the other, never of two runs; ``sizes`` are the pairs of every run."""
    n_values = GPU_PART_VALUES if columns.is_cuda else PART_VALUES
    most = max(1, n_values // len(columns))
    lengths = [
        min(most, size - begin)
        for size in ([len(pairs[0])] if sizes is None else sizes)
        for begin in range(0, size, most)
    ]
    return list(zip(*(end.split(lengths) for end in pairs), strict=True))


def _ends_of(
    columns: Tensor, parts: Sequence[Pairs], around: Tensor | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Features (n_features, n_part) at the ends of some pairs, less vectors, float64."""
    for starts, ends in parts:
        x, y = columns.index_select(1, starts).double(), columns.index_select(1, ends).double()
        if around is not None:
            x -= around[0].unsqueeze(1)
            y -= around[1].unsqueeze(1)
        yield x, y


def _whitening(covariance: Tensor, epsilon: float) -> Tensor:
    """``W`` with ``W C Wᵀ = 1`` for the covariance plus a ridge of epsilon times its mean variance.

    A Cholesky factor, not an inverse square root: the scores do not depend on the rotation
    between the two, and its derivative has no eigenvalue differences in the denominator.
    """
    n = len(covariance)
    mean_variance = covariance.diagonal().mean().clamp_min(MIN_VARIANCE)
    identity = torch.eye(n, dtype=covariance.dtype, device=covariance.device)
    factor = torch.linalg.cholesky(covariance + epsilon * mean_variance * identity)
    return torch.linalg.solve_triangular(factor, identity, upper=False)


def _half_weighted_koopman(m: Moments, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    whiten_0 = _whitening(m.c00, epsilon)
    whiten_t = _whitening(m.ctt, epsilon)
    return whiten_0 @ m.c0t @ whiten_t.T, whiten_0, whiten_t


def singular_values(m: Moments, epsilon: float = EPSILON) -> Tensor:
    """Singular values of the half-weighted Koopman matrix, falling; the constant's 1 left out.

    Parameters
    ----------
    m : Moments
    epsilon : float
        Ridge added to both covariances, relative to their mean variance.

    Returns
    -------
    Tensor of shape (n_features,), float64
    """
    koopman, _, _ = _half_weighted_koopman(m, epsilon)
    return torch.linalg.svdvals(koopman)


def vamp1_score(chi_0: Tensor, chi_t: Tensor, *, epsilon: float = EPSILON) -> Tensor:
    """VAMP-1: one plus the sum of singular values of ``C00^-1/2 C0t Ctt^-1/2``.

    Parameters
    ----------
    chi_0, chi_t : Tensor of shape (n_pairs, n_features)
    epsilon : float
        Ridge added to both covariances, relative to their mean variance.

    Returns
    -------
    Tensor of shape (), float64, between 1 and 1 + n_features.

    References
    ----------
    Wu and Noé, J. Nonlinear Sci. 30, 23 (2020), eq. (33) with r = 1.
    """
    return _vamp1(moments(chi_0, chi_t), epsilon)


def vamp2_score(chi_0: Tensor, chi_t: Tensor, *, epsilon: float = EPSILON) -> Tensor:
    """VAMP-2, eq. (5) of the paper: one plus the squared norm of ``C00^-1/2 C0t Ctt^-1/2``.

    Parameters
    ----------
    chi_0, chi_t : Tensor of shape (n_pairs, n_features)
    epsilon : float
        Ridge added to both covariances, relative to their mean variance.

    Returns
    -------
    Tensor of shape (), float64, between 1 and 1 + n_features.

    References
    ----------
    Wu and Noé, J. Nonlinear Sci. 30, 23 (2020), eq. (33) with r = 2.

    Examples
    --------
    >>> import torch
    >>> from graphkoopman.objectives import vamp2_score
    >>> chi = torch.eye(2)[[0, 0, 0, 1, 1, 1, 0, 0]]
    >>> round(float(vamp2_score(chi, chi)), 3)  # nothing is forgotten: one for each state
    2.0
    """
    return _vamp2(moments(chi_0, chi_t), epsilon)


def vampe_score(chi_0: Tensor, chi_t: Tensor, *, epsilon: float = EPSILON) -> Tensor:
    """VAMP-E: the operator's Hilbert–Schmidt error up to a constant, larger is better.

    ``1 + tr(2 Kᵀ C0t − Kᵀ C00 K Ctt)`` in the whitened basis, with ``K`` the half-weighted Koopman
    matrix. Equal to VAMP-2 for a vanishing ridge on the data that ``K`` was estimated from.

    Parameters
    ----------
    chi_0, chi_t : Tensor of shape (n_pairs, n_features)
    epsilon : float
        Ridge added to both covariances, relative to their mean variance.

    Returns
    -------
    Tensor of shape (), float64.

    References
    ----------
    Wu and Noé, J. Nonlinear Sci. 30, 23 (2020), eq. (30).
    """
    return _vampe(moments(chi_0, chi_t), epsilon)


def _vamp1(m: Moments, epsilon: float) -> Tensor:
    return 1.0 + singular_values(m, epsilon).sum()


def _vamp2(m: Moments, epsilon: float) -> Tensor:
    koopman, _, _ = _half_weighted_koopman(m, epsilon)
    return 1.0 + koopman.square().sum()


def _vampe(m: Moments, epsilon: float) -> Tensor:
    koopman, whiten_0, whiten_t = _half_weighted_koopman(m, epsilon)
    c00 = whiten_0 @ m.c00 @ whiten_0.T
    ctt = whiten_t @ m.ctt @ whiten_t.T
    return 1.0 + 2.0 * koopman.square().sum() - (koopman.T @ c00 @ koopman @ ctt).trace()


def subspace_score(m: Moments, n_functions: int, *, epsilon: float = EPSILON) -> Tensor:
    """VAMP-2 of the best ``n_functions`` linear combinations of the features.

    One plus the sum of the largest squared singular values of ``C00^-1/2 C0t Ctt^-1/2``, the
    VAMP-r score of a truncated operator. Features that span more than the states can be scored
    with it before anything non-linear makes states of them.

    Parameters
    ----------
    m : Moments
    n_functions : int
        At most ``n_features``; the constant is counted beside them.
    epsilon : float
        Ridge added to both covariances, relative to their mean variance.

    Returns
    -------
    Tensor of shape (), float64, between 1 and 1 + n_functions.

    References
    ----------
    Wu and Noé, J. Nonlinear Sci. 30, 23 (2020), eq. (33) with r = 2 and a finite rank.
    """
    koopman, _, _ = _half_weighted_koopman(m, epsilon)
    # The leading singular vectors may be held fixed: at the maximum over all subspaces the score
    # does not change with them to first order, and equal singular values then do no harm.
    left, _, _ = torch.linalg.svd(koopman.detach())
    return 1.0 + (left[:, :n_functions].T @ koopman).square().sum()


SCORES: dict[str, Callable[..., Tensor]] = {
    "VAMP1": vamp1_score,
    "VAMP2": vamp2_score,
    "VAMPE": vampe_score,
}


_OF_MOMENTS: dict[str, Callable[[Moments, float], Tensor]] = {
    "VAMP1": _vamp1,
    "VAMP2": _vamp2,
    "VAMPE": _vampe,
}


Objective = Callable[[Moments, float], Tensor]


def register_objective(name: str) -> Callable[[Objective], Objective]:
    """Let ``GDyNetEstimator(objective=name)`` maximise a function of the moments; a decorator.

    Files of models name the objective; they can be read wherever the module that registers it has
    been imported.

    Parameters
    ----------
    name : str

    Returns
    -------
    callable
        Takes ``function(moments, epsilon)`` and returns it. ``moments`` has the covariances
        ``c00``, ``c0t`` and ``ctt`` of the states at both ends of a lag, Tensors of shape
        (n_states, n_states); `score_of_moments` makes VAMP scores of them. The function gives a
        Tensor of shape (), differentiable, of float64, counted like a VAMP score: one where nothing
        is told apart, and larger is better. ``epsilon`` is the ridge relative to the mean variance.

    Raises
    ------
    ValueError
        If the name is that of another function.

    Examples
    --------
    >>> from graphkoopman.objectives import register_objective, score_of_moments
    >>> @register_objective("halfway to VAMP-1")
    ... def halfway(moments, epsilon):
    ...     scores = [
    ...         score_of_moments(moments, method=method, epsilon=epsilon)
    ...         for method in ("VAMP1", "VAMP2")
    ...     ]
    ...     return sum(scores) / 2
    """

    def decorate(function: Objective) -> Objective:
        known = _OF_MOMENTS.get(name)
        # a notebook's cell that is run again defines the same function anew
        if known is not None and _place(known) != _place(function):
            raise ValueError(
                f"objective {name!r} is registered as {_place(known)}; give {_place(function)} "
                "another name"
            )

        def score(chi_0: Tensor, chi_t: Tensor, *, epsilon: float = EPSILON) -> Tensor:
            return function(moments(chi_0, chi_t), epsilon)

        _OF_MOMENTS[name], SCORES[name] = function, score
        return function

    return decorate


def _place(function: Objective) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def score_of_moments(m: Moments, *, method: str = "VAMP2", epsilon: float = EPSILON) -> Tensor:
    """One of the scores from moments that are there already.

    Parameters
    ----------
    m : Moments
    method : str
        "VAMP1", "VAMP2", "VAMPE" or a name that was registered.
    epsilon : float
        Ridge added to both covariances, relative to their mean variance.

    Returns
    -------
    Tensor of shape (), float64
    """
    return _OF_MOMENTS[method](m, epsilon)


def score_gradient(
    features: Tensor,
    pairs: tuple[Tensor, Tensor],
    *,
    method: str | Callable[..., Tensor] = "VAMP2",
    epsilon: float = EPSILON,
    n_pairs: int | None = None,
    sizes: Sequence[int] | None = None,
    center: float | None = None,
    reducer: Reducer = ALONE,
) -> tuple[Tensor, Tensor]:
    """A score and its exact gradient with respect to every feature.

    Frames that serve as the start of one pair and the end of another appear once in
    ``features``; the gradient is what a second pass back-propagates, in chunks of any size. With
    ``G`` the derivatives with respect to the moments of ``n`` pairs ``(x, y)`` around their means,
    ``x`` receives ``(x (G00 + G00ᵀ) + y G0tᵀ) / n`` and ``y`` ``(y (Gtt + Gttᵀ) + x G0t) / n``;
    what comes through the means adds up to zero. Beyond two copies of features and of the gradient,
    memory does not grow with the number of pairs.

    Parameters
    ----------
    features : Tensor of shape (n_samples, n_features)
        Outputs of the network, without a graph.
    pairs : tuple of Tensor of shape (n_pairs,), int32 or int64
        Rows of ``features`` at ``t`` and at ``t + τ``.
    method : {"VAMP1", "VAMP2", "VAMPE"} or callable
        A callable takes ``(moments, epsilon=epsilon)``, like `subspace_score`.
    epsilon : float
        Ridge relative to the mean variance.
    n_pairs : int or None
        Counted on all processes; None is those given.
    sizes : sequence of int or None
        Pairs of every run, of the first of ``pairs``. Sums are made run by run, and have the same
        bits whichever process has a run. Of several processes only these pairs are counted here;
        the others are counted elsewhere, and the features of one of their ends are of this process.
        None is one run.
    center : float or None
        Known to be near the means of all features: one sum over the processes instead of three,
        with less exact moments, which float32 features do not feel. It is left alone where it turns
        out to be far from them.
    reducer : Reducer
        Of the processes. Moments are summed, ``3 k² + 2 k`` numbers in two float64 each, for k
        features; without a center ``6 k`` float64 more.

    Returns
    -------
    score : Tensor of shape (), float64, on the CPU
    gradient : Tensor of shape (n_samples, n_features), of the features' dtype, where they are
    """
    columns = _columns(features)
    n_counted = len(pairs[0]) if sizes is None else sum(sizes)
    n_pairs = n_counted if n_pairs is None else n_pairs
    _check_pairs(pairs, n_pairs)
    counted = _parts((pairs[0][:n_counted], pairs[1][:n_counted]), columns, sizes)
    others = _parts((pairs[0][n_counted:], pairs[1][n_counted:]), columns)
    m, means, missing = _moments_of_columns(columns, counted, n_pairs, center, reducer)
    # matrices this small take a GPU longer than a CPU
    leaves = [c.cpu().requires_grad_() for c in (m.c00, m.c0t, m.ctt)]
    if isinstance(method, str):
        score = score_of_moments(Moments(*leaves), method=method, epsilon=epsilon)
    else:
        score = method(Moments(*leaves), epsilon=epsilon)
    gradients = torch.autograd.grad(score, leaves)
    g00, g0t, gtt = (g.to(means.device) / n_pairs for g in gradients)
    g00, gtt = g00 + g00.T, gtt + gtt.T

    def gradient_of(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return g00 @ x + g0t @ y, gtt @ y + g0t.T @ x

    # the sum over all pairs is zero but for rounding, which large derivatives make matter: that of
    # the means, or, for a sum over the processes more, that of every product
    offsets = torch.stack(gradient_of(*missing.unsqueeze(2)))
    if center is None:
        offsets = torch.zeros_like(offsets)
        for ends in _ends_of(columns, counted, means):
            offsets += torch.stack(gradient_of(*ends)).sum(dim=2, keepdim=True) / n_pairs
        reducer.add(offsets)
    gradient = torch.zeros_like(columns)
    parts = [*counted, *others]
    for rows, ends in zip(parts, _ends_of(columns, parts, means), strict=True):
        for end_rows, part, offset in zip(rows, gradient_of(*ends), offsets, strict=True):
            # several times faster than with int32 rows
            gradient.index_add_(1, end_rows.long(), (part - offset).to(gradient))
    return score.detach(), gradient.T.contiguous()
