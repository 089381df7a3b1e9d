"""`KoopmanModel`: a Koopman matrix in the basis of states, as a deeptime model."""

import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from deeptime.covariance import CovarianceModel
from deeptime.decomposition import VAMP, TransferOperatorModel
from deeptime.markov.msm import MarkovStateModel
from deeptime.util.validation import ChapmanKolmogorovTest
from numpy.typing import ArrayLike, NDArray

from graphkoopman.koopman._certificates import Certificates, process_residuals
from graphkoopman.koopman._chapman_kolmogorov import chapman_kolmogorov
from graphkoopman.koopman._moments import LaggedMoments, check_lagtime
from graphkoopman.koopman._spectrum import Spectrum, decompose
from graphkoopman.koopman._warnings import (
    InvalidTimescaleWarning,
    OscillatingTimescaleWarning,
    StationaryDistributionWarning,
)
from graphkoopman.tables import Tabular, html_table, rows_of

__all__ = ["KoopmanModel", "implied_timescales_of", "timescales_in_ps"]

Array = NDArray[np.float64]

_ROW_SUM_TOLERANCE = 1e-8
_ROUNDING = 1e-10


class KoopmanModel(Tabular, TransferOperatorModel):
    r"""Linear dynamics of state probabilities.

    .. math::
        \mathbb{E}[\chi_{t+\tau}] = K^T\,\mathbb{E}[\chi_t]

    Entry :math:`K_{ij}` is the transition from state i to state j within :math:`\tau`. Rows sum to
    one, so for crisp states K is a transition matrix. A free estimate may have small negative
    entries.

    Parameters
    ----------
    koopman_matrix : ndarray of shape (n_states, n_states)
        K; its rows sum to one.
    lagtime : int
        Lag time :math:`\tau` in frames.
    timestep : float, optional
        Time between frames in ps; needed by `timescales_ps` only.
    moments : LaggedMoments, optional
        Moments behind the estimate; needed by `score` and `empirical_populations`.

    Raises
    ------
    ValueError
        If the matrix is not square, or its rows do not sum to one.

    See Also
    --------
    estimate_koopman : Estimate a model from state probabilities.

    References
    ----------
    .. [1] T. Xie et al., Nat. Commun. 10, 2667 (2019), eqs. (2), (6), (11).

    Examples
    --------
    >>> from graphkoopman.koopman import KoopmanModel
    >>> model = KoopmanModel([[0.9, 0.1], [0.3, 0.7]], lagtime=5, timestep=0.1)
    >>> model.stationary_distribution.round(3)
    array([0.75, 0.25])
    >>> model.timescales().round(3)
    array([9.788])
    """

    def __init__(
        self,
        koopman_matrix: ArrayLike,
        *,
        lagtime: int,
        timestep: float | None = None,
        moments: LaggedMoments | None = None,
    ) -> None:
        super().__init__(_check_matrix(koopman_matrix))
        self._lagtime = check_lagtime(lagtime)
        if timestep is not None and not timestep > 0:
            raise ValueError(f"timestep must be positive (ps per frame) or None, got {timestep!r}")
        self._timestep = None if timestep is None else float(timestep)
        if moments is not None and moments.n_states != self.n_states:
            raise ValueError(
                f"moments must have the {self.n_states} states of koopman_matrix, "
                f"got {moments.n_states}"
            )
        self._moments = moments

    def __repr__(self) -> str:
        return (
            f"KoopmanModel(n_states={self.n_states}, lagtime={self.lagtime}, "
            f"timestep={self.timestep})"
        )

    def _repr_html_(self) -> str:
        columns: dict[str, Any] = {"from \\ to": np.arange(self.n_states)}
        columns |= {str(j): self._koopman_matrix[:, j] for j in range(self.n_states)}
        note = f"Koopman matrix at a lag of {self.lagtime} frames"
        if self.timestep is not None:
            note += f" ({self.lagtime * self.timestep:g} ps)"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a picture of the model is no place for them
            times = self.timescales()
        if self.timestep is None:
            said = ", ".join(f"{time:.4g}" for time in times) + " frames"
        else:
            said = ", ".join(f"{time * self.timestep:.4g}" for time in times) + " ps"
        return f"<p>{note}; relaxation times {said}</p>" + html_table(
            list(columns), rows_of(columns)
        )

    def table(self) -> dict[str, Any]:
        """One row per entry of the Koopman matrix."""
        begin, end = np.indices((self.n_states, self.n_states))
        return {"from": begin, "to": end, "K": self._koopman_matrix}

    @property
    def n_states(self) -> int:
        """Number of states."""
        return self._koopman_matrix.shape[0]

    @property
    def lagtime(self) -> int:
        """Lag time in frames."""
        return self._lagtime

    @property
    def timestep(self) -> float | None:
        """Time between frames in ps, or None if unknown."""
        return self._timestep

    @property
    def moments(self) -> LaggedMoments | None:
        """Moments behind the estimate, or None for a model given as a matrix."""
        return self._moments

    @cached_property
    def _spectrum(self) -> Spectrum:
        if self._moments is not None:
            reference = self._moments.mean
        else:
            reference = np.full(self.n_states, 1.0 / self.n_states)
        return decompose(self._koopman_matrix, reference)

    @property
    def eigenvalues(self) -> NDArray[Any]:
        """Eigenvalues, (n_states,): one first, then by falling magnitude."""
        return self._spectrum.eigenvalues

    @property
    def eigenvectors(self) -> NDArray[Any]:
        r"""Right eigenvectors as columns, (n_states, n_states).

        The first is the constant. The others have unit norm in the stationary distribution,
        :math:`\sum_s\pi_s r_s^2 = 1`, and their largest component is positive (the first of them
        where several tie), so that two runs can be compared.
        """
        return self._spectrum.right

    @property
    def left_eigenvectors(self) -> NDArray[Any]:
        r"""Left eigenvectors as columns, (n_states, n_states).

        The first is the stationary distribution. Biorthonormal to the right ones:
        ``left_eigenvectors.T @ eigenvectors`` is the identity (unless K is defective).
        """
        return self._spectrum.left

    @property
    def stationary_distribution(self) -> Array:
        r"""Distribution :math:`\pi` with :math:`\pi^TK=\pi^T`, (n_states,), summing to one.

        Warns
        -----
        StationaryDistributionWarning
            If several distributions are stationary (the one closest to the empirical populations
            is returned), or an entry is negative, which a free estimate from little data can give.
        """
        spectrum = self._spectrum
        stationary = spectrum.stationary
        if not spectrum.is_unique:
            self._warn_stationary(
                "the stationary distribution is not unique, because the states fall into groups "
                "without transitions between them; the one closest to the empirical populations "
                "is returned. Merge states or give more data"
            )
        if stationary.min() < -_ROUNDING:
            self._warn_stationary(
                f"the stationary distribution has a negative entry ({stationary.min():.3g}); "
                'estimate the model with constraint="stochastic" or give more data'
            )
            return stationary.copy()
        clipped = np.clip(stationary, 0.0, None)
        return clipped / clipped.sum()

    @property
    def empirical_populations(self) -> Array:
        """Mean state probabilities over all frames of the data, (n_states,)."""
        return self._need_moments("empirical_populations").mean.copy()

    def timescales(self, k: int | None = None) -> Array:
        r"""Relaxation timescales in frames, eq. (11).

        .. math::
            t_i = -\tau / \ln|\lambda_i|

        Parameters
        ----------
        k : int, optional
            Number of timescales, slowest first. All n_states - 1 by default.

        Returns
        -------
        ndarray of shape (min(k, n_states - 1),), float64
            In frames. For a complex pair of eigenvalues, the time in which the envelope of its
            oscillation decays, twice. NaN where nothing decays: an eigenvalue that is real and not
            positive, or of modulus one or more.

        Warns
        -----
        InvalidTimescaleWarning
            Names the eigenvalues without a timescale.
        OscillatingTimescaleWarning
            Names complex pairs.
        """
        eigenvalues = self.eigenvalues[1:][:k]
        timescales = implied_timescales_of(eigenvalues, self.lagtime)
        invalid = np.isnan(timescales)
        if invalid.any():
            warnings.warn(
                f"no relaxation timescale for eigenvalues {_names(eigenvalues[invalid])} at "
                f"lagtime {self.lagtime} frames (nothing decays unless an eigenvalue is complex or "
                "positive, with a modulus below 1); NaN is returned. Use another lagtime, fewer "
                "states or more data",
                InvalidTimescaleWarning,
                stacklevel=2,
            )
        complex_pairs = ~invalid & (np.imag(eigenvalues) != 0)
        if complex_pairs.any():
            warnings.warn(
                f"eigenvalues {_names(eigenvalues[complex_pairs])} at lagtime {self.lagtime} "
                "frames are complex: their timescale is that of the envelope of an oscillation. "
                "Two processes of nearly the same time look like this in little data; for dynamics "
                'in equilibrium use constraint="reversible" (reversible=True of an estimator), or '
                "give more data",
                OscillatingTimescaleWarning,
                stacklevel=2,
            )
        return timescales

    def timescales_ps(self, k: int | None = None) -> Array:
        """Relaxation timescales in ps; as `timescales`, and needs `timestep`."""
        return timescales_in_ps(self.timescales(k), self.timestep)

    @property
    def residuals(self) -> Array:
        r"""How far a true eigenvalue can be from each process's autocorrelation.

        .. math::
            \epsilon_i = \sqrt{\rho_i(2\tau) - \rho_i(\tau)^2}

        with :math:`\rho_i` the autocorrelation of process i in the data of this model. If the
        dynamics are in detailed balance, an eigenvalue of the true transfer operator lies within
        :math:`\epsilon_i` of :math:`\rho_i(\tau)`, whatever is wrong with the states.

        Returns
        -------
        ndarray of shape (n_states - 1,)
            Slowest process first.

        Raises
        ------
        ValueError
            If no run is longer than two lag times, or the model was built from a matrix.

        Notes
        -----
        The bound holds for expectation values; `BootstrapKoopmanModel.timescale_bounds` adds the
        error of a finite sample. Take data that the network has not seen, on which the states
        cannot look better than they are. A bound says that there is *an* eigenvalue, not which:
        two processes may point at the same one.

        References
        ----------
        .. [1] Parlett, The Symmetric Eigenvalue Problem (SIAM, 1998), theorem 4.5.1.
        .. [2] Nüske, Keller, Pérez-Hernández, Mey and Noé, J. Chem. Theory Comput. 10, 1739
           (2014): the autocorrelation as a Rayleigh quotient of the transfer operator.
        """
        return self._certificates.residuals.copy()

    def timescale_bounds(self, k: int | None = None) -> Array:
        r"""Bounds between which a true relaxation time lies, if the dynamics are reversible.

        Parameters
        ----------
        k : int, optional
            Number of processes, slowest first. All n_states - 1 by default.

        Returns
        -------
        ndarray of shape (min(k, n_states - 1), 2)
            Times of :math:`\rho_i(\tau) \mp \epsilon_i` in frames, see `residuals`; zero and
            infinite ends where these leave (0, 1).
        """
        return self._certificates.timescale_bounds(self.lagtime)[:k]

    def timescale_bounds_ps(self, k: int | None = None) -> Array:
        """As `timescale_bounds`, in ps; needs `timestep`."""
        return timescales_in_ps(self.timescale_bounds(k), self.timestep)

    @cached_property
    def _certificates(self) -> Certificates:
        moments = self._need_moments("residuals")
        if moments.double is None:
            raise ValueError(
                "residuals need pairs of frames two lag times apart: a run must be longer than "
                f"{2 * self.lagtime} frames; lower lagtime or give longer runs"
            )
        return process_residuals(self._spectrum, moments, moments.double)

    def propagate(self, p0: ArrayLike, n: int = 1) -> Array:
        r"""Distribution over states after n lag times, :math:`(K^T)^n p_0`.

        Parameters
        ----------
        p0 : ndarray of shape (..., n_states)
            Distribution(s) over states.
        n : int
            Number of lag times, not negative.

        Returns
        -------
        ndarray of shape (..., n_states)
        """
        start = np.asarray(p0, dtype=np.float64)
        if start.ndim == 0 or start.shape[-1] != self.n_states:
            raise ValueError(
                f"p0 must have {self.n_states} states on its last axis, got shape {start.shape}"
            )
        if n < 0 or n != int(n):
            raise ValueError(f"n must be a whole number of lag times >= 0, got {n!r}")
        return start @ np.linalg.matrix_power(self._koopman_matrix, int(n))

    def to_msm(self) -> MarkovStateModel:
        """Markov state model with the same matrix, for PCCA+, TPT and mean first passage times.

        Its ``lagtime``, ``timescales()`` and ``mfpt()`` count frames: multiplied with `timestep`
        they are ps, as the times of `graphkoopman.koopman.exchange_times` are.

        Returns
        -------
        deeptime.markov.msm.MarkovStateModel

        Raises
        ------
        ValueError
            If the matrix has negative entries, which no Markov state model allows.
        """
        matrix = self._koopman_matrix
        if matrix.min() < -_ROUNDING:
            raise ValueError(
                "koopman_matrix must be non-negative for a Markov state model, got "
                f"{matrix.min():.3g}; "
                'estimate it with constraint="stochastic" (or "reversible", which PCCA+ needs)'
            )
        matrix = np.clip(matrix, 0.0, None)
        matrix = matrix / matrix.sum(axis=1, keepdims=True)
        stationary = self.stationary_distribution
        flux = stationary[:, None] * matrix
        return MarkovStateModel(
            matrix,
            stationary_distribution=stationary,
            reversible=bool(np.allclose(flux, flux.T, rtol=0.0, atol=_ROUNDING)),
            lagtime=self.lagtime,
        )

    @cached_property
    def cov(self) -> CovarianceModel:
        """Moments as deeptime's covariance container (uncentred)."""
        moments = self._need_moments("cov")
        return CovarianceModel(
            cov_00=moments.c00,
            cov_0t=moments.c0t,
            cov_tt=moments.ctt,
            mean_0=moments.mean_0,
            mean_t=moments.mean_t,
            bessels_correction=False,
            lagtime=self.lagtime,
            data_mean_removed=False,
        )

    def score(
        self, r: float | str = 2, test_model: "KoopmanModel | None" = None, epsilon: float = 1e-10
    ) -> float:
        """VAMP score of the states, counted with the constant (1 ... n_states).

        Parameters
        ----------
        r : float or str
            1, 2, ... for VAMP-r, or "E".
        test_model : KoopmanModel, optional
            Model of held-out data in the same states. The singular functions of this model are
            then scored on the moments of the other.
        epsilon : float
            Eigenvalues of the moments below this are left out.

        Returns
        -------
        float

        Notes
        -----
        deeptime's definition. It depends on the moments only, so a constraint on K does not
        change it. Scores at different lag times are not comparable.
        """
        self._need_moments("score")
        vamp = VAMP(epsilon=epsilon).fit_from_covariances(self.cov).fetch_model()
        return float(vamp.score(r, test_model=test_model, epsilon=epsilon))

    def ck_test(self, models: Sequence[Any]) -> ChapmanKolmogorovTest:
        r"""Chapman-Kolmogorov test :math:`K(n\tau) = K^n(\tau)`, eq. (6).

        Parameters
        ----------
        models : sequence of KoopmanModel
            Models in the same states at whole multiples of this model's lag time.

        Returns
        -------
        deeptime.util.validation.ChapmanKolmogorovTest
            State-to-state matrices by lag time (frames), lag 0 as the identity first.
        """
        return chapman_kolmogorov(self, models)

    def permute(self, order: ArrayLike) -> "KoopmanModel":
        """Model with its states reordered.

        Parameters
        ----------
        order : ndarray of shape (n_states,), int
            State ``order[i]`` of this model becomes state i, as in ``probs[..., order]``.

        Returns
        -------
        KoopmanModel
        """
        index = np.asarray(order)
        if sorted(index.tolist()) != list(range(self.n_states)):
            raise ValueError(
                f"order must be a permutation of 0...{self.n_states - 1}, got {index.tolist()}"
            )
        return KoopmanModel(
            self._koopman_matrix[np.ix_(index, index)],
            lagtime=self.lagtime,
            timestep=self.timestep,
            moments=None if self._moments is None else self._moments.permute(index),
        )

    def _need_moments(self, name: str) -> LaggedMoments:
        if self._moments is None:
            raise ValueError(
                f"{name} needs the moments of the data, but this model was built from a matrix; "
                "use estimate_koopman, or pass moments="
            )
        return self._moments

    @staticmethod
    def _warn_stationary(message: str) -> None:
        warnings.warn(message, StationaryDistributionWarning, stacklevel=3)


def implied_timescales_of(eigenvalues: NDArray[Any], lagtime: int) -> Array:
    """Eq. (11), with NaN for every eigenvalue that does not decay towards zero from above.

    The modulus of a complex pair is how its envelope decays.
    """
    size = np.abs(eigenvalues)
    decays = (np.imag(eigenvalues) != 0) | (np.real(eigenvalues) > 0)
    valid = decays & (size > _ROUNDING) & (size < 1.0 - _ROUNDING)
    safe = np.where(valid, size, 0.5)
    return np.where(valid, -lagtime / np.log(safe), np.nan)


def _names(eigenvalues: NDArray[Any]) -> str:
    return ", ".join(f"{value:.4g}" for value in eigenvalues)


def timescales_in_ps(timescales: Array, timestep: float | None) -> Array:
    """Convert timescales from frames to ps, or raise if the timestep is unknown."""
    if timestep is None:
        raise ValueError(
            "timestep must be known to give timescales in ps, got None; "
            "pass timestep= (ps per frame) to estimate_koopman, or use timescales() in frames"
        )
    return timescales * timestep


def _check_matrix(koopman_matrix: ArrayLike) -> Array:
    matrix = np.array(koopman_matrix, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(
            f"koopman_matrix must be square with at least two states, got shape {matrix.shape}"
        )
    error = np.abs(matrix.sum(axis=1) - 1.0).max()
    if not error <= _ROW_SUM_TOLERANCE:
        raise ValueError(
            f"koopman_matrix must have rows that sum to one, got an error of {error:.3g}; "
            "use states whose probabilities sum to one, or transpose a column convention"
        )
    matrix.setflags(write=False)
    return matrix
