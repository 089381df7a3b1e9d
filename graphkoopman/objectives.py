"""VAMP scores of features at both ends of a lag, in torch and float64.

Public: :class:`Moments`, :func:`moments`, :func:`vamp1_score`, :func:`vamp2_score`,
:func:`vampe_score`, :func:`subspace_score`, :func:`singular_values`, :func:`score_gradient`.

All scores count the constant function (deeptime's convention): the best score of ``n_states``
softmax outputs is ``n_states``. Moments are centred, which takes the constant out exactly and is
what makes the sum-to-one direction of a softmax harmless: it becomes a null direction of both
covariances, which the ridge lifts and the cross-covariance leaves at zero.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "SCORES",
    "Moments",
    "moments",
    "score_gradient",
    "singular_values",
    "subspace_score",
    "vamp1_score",
    "vamp2_score",
    "vampe_score",
]

EPSILON = 1e-8
MIN_VARIANCE = 1e-16  # of features that are probabilities in float32: below it is rounding noise


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
    x = chi_0.double()
    y = chi_t.double()
    x = x - x.mean(dim=0)
    y = y - y.mean(dim=0)
    n_pairs = len(x)
    return Moments(x.T @ x / n_pairs, x.T @ y / n_pairs, y.T @ y / n_pairs)


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
    return 1.0 + singular_values(moments(chi_0, chi_t), epsilon).sum()


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
    koopman, _, _ = _half_weighted_koopman(moments(chi_0, chi_t), epsilon)
    return 1.0 + koopman.square().sum()


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
    m = moments(chi_0, chi_t)
    koopman, whiten_0, whiten_t = _half_weighted_koopman(m, epsilon)
    c00 = whiten_0 @ m.c00 @ whiten_0.T
    ctt = whiten_t @ m.ctt @ whiten_t.T
    return 1.0 + 2.0 * koopman.square().sum() - (koopman.T @ c00 @ koopman @ ctt).trace()


def subspace_score(
    chi_0: Tensor, chi_t: Tensor, n_functions: int, *, epsilon: float = EPSILON
) -> Tensor:
    """VAMP-2 of the best ``n_functions`` linear combinations of the features.

    One plus the sum of the largest squared singular values of ``C00^-1/2 C0t Ctt^-1/2``, the
    VAMP-r score of a truncated operator. Features that span more than the states can be scored
    with it before anything non-linear makes states of them.

    Parameters
    ----------
    chi_0, chi_t : Tensor of shape (n_pairs, n_features)
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
    koopman, _, _ = _half_weighted_koopman(moments(chi_0, chi_t), epsilon)
    # The leading singular vectors may be held fixed: at the maximum over all subspaces the score
    # does not change with them to first order, and equal singular values then do no harm.
    left, _, _ = torch.linalg.svd(koopman.detach())
    return 1.0 + (left[:, :n_functions].T @ koopman).square().sum()


SCORES: dict[str, Callable[..., Tensor]] = {
    "VAMP1": vamp1_score,
    "VAMP2": vamp2_score,
    "VAMPE": vampe_score,
}


def score_gradient(
    features: Tensor,
    pairs: tuple[Tensor, Tensor],
    *,
    method: str | Callable[..., Tensor] = "VAMP2",
    epsilon: float = EPSILON,
) -> tuple[Tensor, Tensor]:
    """A score and its exact gradient with respect to every feature.

    Frames that serve as the start of one pair and the end of another appear once in
    ``features``; the gradient is what a second pass back-propagates, in chunks of any size.

    Parameters
    ----------
    features : Tensor of shape (n_samples, n_features)
        Outputs of the network, without a graph.
    pairs : tuple of Tensor of shape (n_pairs,), int64
        Rows of ``features`` at ``t`` and at ``t + τ``.
    method : {"VAMP1", "VAMP2", "VAMPE"} or callable
        A callable takes ``(chi_0, chi_t, epsilon=epsilon)`` like the scores here.
    epsilon : float
        Ridge relative to the mean variance.

    Returns
    -------
    score : Tensor of shape (), float64
    gradient : Tensor of shape (n_samples, n_features), float64
    """
    leaf = features.detach().double().requires_grad_()
    score_of = SCORES[method] if isinstance(method, str) else method
    score = score_of(leaf[pairs[0]], leaf[pairs[1]], epsilon=epsilon)
    (gradient,) = torch.autograd.grad(score, leaf)
    return score.detach(), gradient
