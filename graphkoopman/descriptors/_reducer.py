"""`FeatureReducer`: long vectors made short, by variance or by slowness."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from deeptime.decomposition import VAMP
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from graphkoopman.callbacks import CallbackSupport, FitTask, with_callbacks
from graphkoopman.checks import check_choice, check_integer
from graphkoopman.descriptors._trajectory import FeatureTrajectory
from graphkoopman.trajectories import items_of

METHODS = ("pca", "vamp")
MOST_COMPONENTS = 10_000
VECTORS_PER_COMPONENT = 10  # that it takes to know a component
SMALLEST_VARIANCE = 1e-6  # of a component, of the largest: rounding of float32


class FeatureReducer(CallbackSupport, TransformerMixin, BaseEstimator):
    """Give targets shorter vectors, which keep the largest or the slowest changes.

    Features are standardised. ``"pca"`` keeps their principal components, by falling variance.
    ``"vamp"`` keeps the singular functions of the linear Koopman model of these components, by
    falling singular value: what is left is slow. All have unit variance over the frames of the fit.
    As a step of a pipeline it learns from the training folds only.

    Parameters
    ----------
    n_components : int
        At most; fewer are kept where there are fewer.
    method : {"pca", "vamp"}
    lagtime : int or None
        Frames, for ``"vamp"``.

    Attributes
    ----------
    n_components_ : int
        Components kept.
    singular_values_ : ndarray of shape (n_components,), or None
        Of ``"vamp"``, falling.

    Notes
    -----
    Covariances of ``n`` features are known from some ten ``n`` vectors on: ``"vamp"`` works on as
    many principal components as a tenth of the vectors.

    References
    ----------
    Wu and Noé, J. Nonlinear Sci. 30, 23 (2020).

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.descriptors import FeatureReducer, FeatureTrajectory
    >>> noise = np.random.default_rng(0).normal(size=(200, 5, 40))
    >>> FeatureReducer(3).fit_transform(FeatureTrajectory(noise, timestep=1.0))
    [FeatureTrajectory(200 frames of 1 ps, 5 targets, 3 features, 0.0 MiB)]
    """

    def __init__(
        self, n_components: int = 16, method: str = "pca", lagtime: int | None = None
    ) -> None:
        self.n_components = n_components
        self.method = method
        self.lagtime = lagtime

    @with_callbacks
    def fit(self, X: Any, y: Any = None) -> "FeatureReducer":
        """Find the components.

        Parameters
        ----------
        X : FeatureTrajectory or sequence of FeatureTrajectory
        y : None
            Ignored.

        Returns
        -------
        FeatureReducer
            Itself.

        Raises
        ------
        ValueError, TypeError
            If a setting cannot work, X holds something else, or no run is longer than the lag.
        """
        n = check_integer(self.n_components, "n_components", 1, MOST_COMPONENTS)
        check_choice(self.method, "method", METHODS)
        runs = _runs(X)
        task = FitTask(self, runs)
        flat = np.concatenate([_vectors(run) for run in runs])
        self.n_features_in_ = flat.shape[1]
        if not np.ptp(flat, axis=0).any():
            raise ValueError("features must vary, got the same vector for all targets and frames")
        # arrays, whatever scikit-learn is configured to give
        self.scaler_ = StandardScaler().set_output(transform="default").fit(flat)
        standard = self.scaler_.transform(flat)
        most = max(1, min(flat.shape[1], len(flat) // VECTORS_PER_COMPONENT))
        pca = PCA(most if self.method == "vamp" else min(n, most), whiten=True)
        pca.set_output(transform="default").fit(standard)
        variances = pca.explained_variance_
        self.n_known_ = int((variances > SMALLEST_VARIANCE * variances[0]).sum())
        self.pca_ = pca
        self.vamp_: Any = None
        self.singular_values_: NDArray[np.float64] | None = None
        if self.method == "vamp":
            self._fit_vamp(runs, n)
        self.n_components_ = min(n, self.n_known_)
        task.end()
        return self

    def _fit_vamp(self, runs: Sequence[FeatureTrajectory], n: int) -> None:
        if self.lagtime is None:
            raise ValueError('method="vamp" needs a lagtime in frames, got None')
        lagtime = check_integer(self.lagtime, "lagtime", 1)
        long = [run for run in runs if len(run) > lagtime]
        if not long:
            longest = max(len(run) for run in runs)
            raise ValueError(
                f"lagtime must be < the longest run ({longest} frames), got {lagtime}; lower it"
            )
        series = [
            part
            for run in long
            for part in self._known(_vectors(run)).reshape(len(run), run.n_targets, -1)
            .swapaxes(0, 1)
        ]  # fmt: skip
        estimator = VAMP(lagtime=lagtime, dim=min(n, self.n_known_), epsilon=1e-8)
        self.vamp_ = estimator.fit_from_timeseries(
            [np.ascontiguousarray(part) for part in series]
        ).fetch_model()
        self.singular_values_ = np.asarray(self.vamp_.singular_values)[: min(n, self.n_known_)]

    def transform(self, X: Any) -> list[FeatureTrajectory]:
        """Shorter vectors of every run.

        Parameters
        ----------
        X : FeatureTrajectory or sequence of FeatureTrajectory

        Returns
        -------
        list of FeatureTrajectory
        """
        check_is_fitted(self)
        reduced = []
        for run in _runs(X):
            if run.n_features != self.n_features_in_:
                raise ValueError(
                    f"features must be the {self.n_features_in_} of the fit, got {run.n_features}"
                )
            found = self._known(_vectors(run))
            if self.vamp_ is not None:
                found = self.vamp_.transform(found)
            found = np.asarray(found)[:, : self.n_components_].astype(np.float32)
            reduced.append(
                FeatureTrajectory(
                    found.reshape(len(run), run.n_targets, -1),
                    timestep=run.timestep,
                    names=[f"{self.method} {i}" for i in range(found.shape[1])],  # type: ignore[arg-type]
                    target_atoms=run.target_atoms,
                    parent=run.parent,
                    start=run.start,
                )
            )
        return reduced

    def _known(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Whitened principal components, rounding left out."""
        return self.pca_.transform(self.scaler_.transform(vectors))[:, : self.n_known_]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags


def _runs(X: Any) -> list[FeatureTrajectory]:
    runs = items_of(X, FeatureTrajectory)
    if not runs:
        raise ValueError("X must hold at least one FeatureTrajectory, got none")
    if not all(isinstance(run, FeatureTrajectory) for run in runs):
        kinds = sorted({type(run).__name__ for run in runs})
        raise TypeError(
            f"X must hold FeatureTrajectory, got {kinds}; take it from a featurizer of "
            "graphkoopman.descriptors"
        )
    return runs


def _vectors(run: FeatureTrajectory) -> NDArray[np.float64]:
    """One row per frame and target."""
    return np.asarray(run.features, np.float64).reshape(-1, run.n_features)
