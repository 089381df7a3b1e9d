r"""Landing densities over frames of the data: `LandingDensities`, `learn_landing`.

A deep generative Markov state model draws a state i with the probabilities :math:`\chi(x)` of the
present frame and lands on a frame y with density :math:`q_i(y)`. Here the densities are weights of
the frames at hand.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

Array = NDArray[np.float64]

MAX_ITERATIONS = 500
CONVERGED = 1e-8  # change of the log-likelihood per pair
MATCHED = 1e-4  # of a transition probability
STEEPEST = 1e3  # exponent of a weight, per unit of probability


@dataclass(frozen=True, eq=False)
class LandingDensities:
    r"""Weights of frames to land on, one row per state.

    Attributes
    ----------
    weights : ndarray of shape (n_states, n_frames)
        :math:`q_i(y)`; rows sum to one.
    matrix : ndarray of shape (n_states, n_states)
        :math:`\sum_y q_i(y)\chi_j(y)`, the Koopman matrix of what is generated.
    log_likelihood : float
        Mean over pairs of :math:`\ln\sum_i\chi_i(x)\,q_i(y)/\rho(y)`, what the present frame tells
        of the next.
    is_matched : bool
        Whether ``matrix`` is the one asked for.
    """

    weights: Array
    matrix: Array
    log_likelihood: float
    is_matched: bool


def learn_landing(chi: Array, chi_0: Array, chi_t: Array, matrix: Array) -> LandingDensities:
    r"""Landing densities of greatest likelihood, then with the kinetics of a model.

    First :math:`q_i(y)=\rho(y)\sum_jG_{ij}\chi_j(y)` that make the pairs likeliest, by expectation
    maximisation; they are then multiplied with :math:`e^{\lambda_i\cdot\chi(y)}`, the least change
    in relative entropy with :math:`\sum_yq_i(y)\chi_j(y)=K_{ij}`.

    Parameters
    ----------
    chi : ndarray of shape (n_frames, n_states)
        Probabilities of the frames to land on.
    chi_0, chi_t : ndarray of shape (n_pairs, n_states)
        Probabilities of frames and of those one lag time later.
    matrix : ndarray of shape (n_states, n_states)
        K.
    """
    mixing, log_likelihood = _most_likely(chi_0, chi_t, chi.mean(axis=0))
    log_base = np.log(np.maximum(mixing @ chi.T, 1e-300)) - np.log(len(chi))
    weights = np.stack([_tilted(log_base[i], chi, row) for i, row in enumerate(matrix)])
    reached = weights @ chi
    is_matched = bool(np.abs(reached - matrix).max() <= MATCHED)
    return LandingDensities(weights, reached, log_likelihood, is_matched)


def _most_likely(chi_0: Array, chi_t: Array, mean: Array) -> tuple[Array, float]:
    """Mixing G of greatest likelihood, with Σ_j G_ij <χ_j> = 1, and ln of it per pair."""
    mean = np.maximum(mean, 1e-12)
    expected = chi_0.T @ chi_t + 1e-12
    mixing = expected / expected.sum(axis=1, keepdims=True) / mean
    before = -np.inf
    for _ in range(MAX_ITERATIONS):
        forward = chi_0 @ mixing
        likelihood = np.einsum("ti,ti->t", forward, chi_t)
        mean_log = float(np.log(np.maximum(likelihood, 1e-300)).mean())
        if mean_log - before < CONVERGED:
            break
        before = mean_log
        shares = mixing * (chi_0.T @ (chi_t / np.maximum(likelihood, 1e-300)[:, None]))
        mixing = shares / shares.sum(axis=1, keepdims=True) / mean
    return mixing, mean_log


def _tilted(log_base: Array, chi: Array, row: Array) -> Array:
    """Weights nearest to the base in relative entropy under which the mean of χ is a row of K."""
    # probabilities sum to one, so the last state follows from the others
    features = chi[:, :-1] - row[:-1]

    def dual(tilt: Array) -> tuple[float, Array]:
        exponent = log_base + features @ tilt
        normalisation = logsumexp(exponent)
        return float(normalisation), np.exp(exponent - normalisation) @ features

    # where a row of K is beyond reach of the frames, the tilt would grow without end
    found = minimize(
        dual,
        np.zeros(features.shape[1]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-STEEPEST, STEEPEST)] * features.shape[1],
        options={"ftol": 1e-14, "gtol": 1e-9},
    )
    exponent = log_base + features @ found.x
    return np.exp(exponent - logsumexp(exponent))
