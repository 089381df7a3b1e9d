"""Identifiable states: the crispest memberships in the subspace that a network has learned.

A VAMP score does not see affine mixing of the features, so the softmax outputs of a perfectly
scored network can be any non-negative mixture of the states. What is determined is the space that
they span with the constant. In it, frames of metastable states gather in clusters at the corners
of a simplex (Deuflhard and Weber's picture), and memberships are the barycentric coordinates:

1. whiten the features to left singular functions, the coordinates in which rare states lie far out;
2. take the corners of the inner simplex (extreme frames) as first vertices;
3. assign frames, move every vertex to the centre of the frames assigned to it, repeat;
4. barycentric coordinates, negative parts clipped, rows scaled back to one.

Extreme frames alone would make vibrations inside a state look like a mixture; their centres do
not. Step 4 works on real singular functions, so complex or negative eigenvalues of K do no harm.
It fails where the states are no clusters (a diffusive barrierless coordinate, or more states than
slow processes): the clipped mass then is large, and reported as overlap. Clipping that much throws
away what tells frames apart beyond the centres. On request the simplex is therefore widened about
its own centre until little is clipped: memberships then are less crisp, the most probable state of
every frame is the same.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import svd
from sklearn.utils.extmath import svd_flip

MAX_SWEEPS = 50
WIDENING_STEPS = 30  # halvings of an interval
RELATIVE_RANK = 1e-10  # of a covariance's largest eigenvalue


@dataclass(frozen=True, eq=False)
class StateMap:
    """Affine map from features to memberships, then a clip to the simplex.

    Attributes
    ----------
    weight : ndarray of shape (n_features, n_states)
    bias : ndarray of shape (n_states,)
    clipped_mass : float
        Mean over the fitted frames of the negative part that was cut off, a fraction of one.
    populations : ndarray of shape (n_states,)
        Mean memberships of the fitted frames, falling.
    n_distinct : int
        Number of states that the features can tell apart; the others stay empty.
    overlap : float
        The clipped mass of crisp memberships, those of a simplex that is not widened: small for
        metastable states, a tenth and more for parts of a continuum.
    """

    weight: np.ndarray
    bias: np.ndarray
    clipped_mass: float
    populations: np.ndarray
    n_distinct: int
    overlap: float = 0.0

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Memberships of the states.

        Parameters
        ----------
        features : ndarray of shape (..., n_features)

        Returns
        -------
        ndarray of shape (..., n_states), float64, rows sum to one.
        """
        return _clip(np.asarray(features, dtype=np.float64) @ self.weight + self.bias)


def singular_functions(chi_0: np.ndarray, chi_t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left singular functions of the Koopman operator in the span of the features.

    Parameters
    ----------
    chi_0, chi_t : ndarray of shape (n_pairs, n_features)

    Returns
    -------
    coefficients : ndarray of shape (n_features, rank)
        ``(chi - offset) @ coefficients`` has zero mean and unit covariance over ``chi_0``, the
        function of the largest singular value first.
    offset : ndarray of shape (n_features,)

    References
    ----------
    Wu and Noé, J. Nonlinear Sci. 30, 23 (2020), Algorithm 1.
    """
    mean_0, mean_t = chi_0.mean(axis=0), chi_t.mean(axis=0)
    x, y = chi_0 - mean_0, chi_t - mean_t
    whiten_0, whiten_t = _whitening(x.T @ x / len(x)), _whitening(y.T @ y / len(y))
    # singular values of C00^(-1/2) C0t Ctt^(-1/2): how much of each function is left after the lag
    left, _, right = svd(whiten_0.T @ (x.T @ y / len(x)) @ whiten_t, full_matrices=False)
    if left.size:  # features that are constant at either end have none
        left, _ = svd_flip(left, right)
    return whiten_0 @ left, mean_0


def inner_simplex(points: np.ndarray) -> np.ndarray | None:
    """Corners of the largest simplex found greedily among the points.

    Parameters
    ----------
    points : ndarray of shape (n_points, dim)

    Returns
    -------
    ndarray of shape (dim + 1, dim) or None
        None where the points do not span ``dim`` dimensions.

    References
    ----------
    Weber and Galliat, ZIB-Report 02-12 (2002), the inner simplex algorithm.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.koopman import inner_simplex
    >>> inner_simplex(np.array([[0.1], [3.0], [-1.0], [2.0]]))
    array([[ 3.],
           [-1.]])
    """
    dim = points.shape[1]
    corners = [int(np.argmax(np.square(points).sum(axis=1)))]
    rest = points - points[corners[0]]
    for _ in range(dim):
        distance = np.square(rest).sum(axis=1)
        corner = int(np.argmax(distance))
        if distance[corner] <= RELATIVE_RANK * np.square(points).sum(axis=1).max():
            return None
        corners.append(corner)
        axis = rest[corner] / np.sqrt(distance[corner])
        rest = rest - np.outer(rest @ axis, axis)
    return points[corners]


def identify_states(chi_0: np.ndarray, chi_t: np.ndarray, largest_cut: float = 1.0) -> StateMap:
    """Fit the affine map from features to the crispest memberships.

    Parameters
    ----------
    chi_0, chi_t : ndarray of shape (n_pairs, n_states)
        Features at both ends of every pair, for instance softmax outputs.
    largest_cut : float
        Clipped mass beyond which the simplex is widened. 1 leaves it as it is.

    Returns
    -------
    StateMap
        States in order of falling population.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.koopman import identify_states
    >>> states = np.eye(2)[np.arange(400) // 40 % 2]
    >>> mixed = states @ [[0.7, 0.3], [0.4, 0.6]]  # what a score cannot tell from the states
    >>> state_map = identify_states(mixed[:-5], mixed[5:])
    >>> bool(np.allclose(state_map(mixed).max(axis=1), 1.0))
    True
    """
    chi_0 = np.asarray(chi_0, dtype=np.float64)
    n_states = chi_0.shape[1]
    coefficients, offset = singular_functions(chi_0, np.asarray(chi_t, dtype=np.float64))
    points = (chi_0 - offset) @ coefficients[:, : n_states - 1]
    vertices = _centred_vertices(points)
    n_distinct = len(vertices)
    if n_distinct == 1:
        to_memberships = np.ones((1, 1))
    else:
        to_memberships = np.linalg.inv(np.column_stack([vertices, np.ones(n_distinct)]))
    weight = np.zeros((n_states, n_states))
    bias = np.zeros(n_states)
    weight[:, :n_distinct] = coefficients[:, : n_distinct - 1] @ to_memberships[:-1]
    bias[:n_distinct] = to_memberships[-1] - offset @ weight[:, :n_distinct]
    raw = chi_0 @ weight + bias
    overlap = _clipped_mass(raw)
    widening = _widening(raw[:, :n_distinct], largest_cut)
    weight /= widening
    # the centre of the simplex, where all memberships are the same, stays where it is
    bias[:n_distinct] = (bias[:n_distinct] - 1.0 / n_distinct) / widening + 1.0 / n_distinct
    raw = chi_0 @ weight + bias
    populations = _clip(raw).mean(axis=0)
    order = np.argsort(-populations, kind="stable")
    return StateMap(
        weight=weight[:, order],
        bias=bias[order],
        clipped_mass=_clipped_mass(raw),
        populations=populations[order],
        n_distinct=n_distinct,
        overlap=overlap,
    )


def _clipped_mass(raw: np.ndarray) -> float:
    return float(np.maximum(-raw, 0.0).sum(axis=1).mean())


def _widening(raw: np.ndarray, largest_cut: float) -> float:
    """How much wider than crisp a simplex has to be, for no more than that to be clipped.

    Memberships of a simplex that is wider by ``w`` are ``1/n + (raw - 1/n) / w``. What is clipped
    of them falls with ``w``, to zero at the end.
    """
    if _clipped_mass(raw) <= largest_cut:
        return 1.0
    centre = 1.0 / raw.shape[1]

    def cut(widening: float) -> float:
        return _clipped_mass(centre + (raw - centre) / widening)

    lower, upper = 1.0, max(2.0, 1.0 - raw.min() * raw.shape[1] * 2.0)
    for _ in range(WIDENING_STEPS):
        middle = 0.5 * (lower + upper)
        lower, upper = (middle, upper) if cut(middle) > largest_cut else (lower, middle)
    return upper


def _centred_vertices(points: np.ndarray) -> np.ndarray:
    """Vertices at the centres of the frames nearest to them in barycentric coordinates."""
    vertices = inner_simplex(points)
    while vertices is None:
        points = points[:, :-1]
        vertices = inner_simplex(points) if points.shape[1] else np.zeros((1, 0))
    previous = None
    for _ in range(MAX_SWEEPS):
        if len(vertices) == 1:
            break
        homogeneous = np.column_stack([vertices, np.ones(len(vertices))])
        state = np.argmax(
            np.column_stack([points, np.ones(len(points))]) @ np.linalg.inv(homogeneous), axis=1
        )
        if previous is not None and np.array_equal(state, previous):
            break
        moved = vertices.copy()
        for s in range(len(vertices)):
            if np.any(state == s):
                moved[s] = np.median(points[state == s], axis=0)
        spread = np.linalg.svd(moved - moved.mean(axis=0), compute_uv=False)
        if spread[len(moved) - 2] < 1e-6 * spread[0]:
            break  # centres in one plane span no simplex: keep the last that did
        vertices, previous = moved, state
    return vertices


def _clip(raw: np.ndarray) -> np.ndarray:
    clipped = np.maximum(raw, 0.0)
    return clipped / clipped.sum(axis=-1, keepdims=True)


def _whitening(covariance: np.ndarray) -> np.ndarray:
    variances, axes = np.linalg.eigh(covariance)
    kept = variances > RELATIVE_RANK * max(variances[-1], np.finfo(float).tiny)
    return axes[:, kept] / np.sqrt(variances[kept])
