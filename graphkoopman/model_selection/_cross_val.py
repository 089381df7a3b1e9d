"""`cross_val_transform`: states of every trajectory by a model that has not seen it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed

from graphkoopman.checks import is_integer
from graphkoopman.estimator import EstimatorLike, GDyNetEstimator, check_gap
from graphkoopman.koopman import align_states
from graphkoopman.model_selection._pieces import Data
from graphkoopman.model_selection._splitters import SegmentKFold


def cross_val_transform(
    estimator: EstimatorLike,
    X: Data,
    y: object = None,
    *,
    groups: ArrayLike | None = None,
    cv: Any = 5,
    align: bool = True,
    n_jobs: int | None = None,
    verbose: int = 0,
    pre_dispatch: int | str = "2*n_jobs",
) -> list[NDArray[np.float64]]:
    """Transform every trajectory by a model fitted on the other folds.

    scikit-learn's `cross_val_predict` stacks its results into one array, which trajectories of
    different lengths do not allow, and its `learning_curve` wants a y.

    Parameters
    ----------
    estimator : estimator
        A `GDyNetEstimator` or a Pipeline that ends in one; it is cloned, not fitted.
    X : list of Trajectory or Samples
    y : None
        Ignored.
    groups : array-like of shape (n_trajectories,) or None
        Passed to the splitter.
    cv : int, splitter or iterable of (train, test)
        An int is `SegmentKFold` with that many folds. The test folds must hold every trajectory
        once.
    align : bool
        Order the states of every fold as those of the first, see Notes. Needed before results of
        several folds are put together; False for transformers that do not give states.
    n_jobs : int or None
        Folds at a time, joblib's convention.
    verbose, pre_dispatch : as in `joblib.Parallel`

    Returns
    -------
    list of ndarray of shape (n_frames, n_targets, n_states)
        In the order of X.

    Raises
    ------
    ValueError
        If the test folds do not partition X, or lie within a lag of the training frames.

    Notes
    -----
    Every fold numbers its states by falling population, so states of near populations may change
    places from fold to fold. They are matched by the correlation of the fold's memberships with
    those of the first fold's model on the same trajectories (`align_states`). Only the order of
    the states can be influenced by that, though the first model has seen those trajectories.
    """
    items = [X[i] for i in range(len(X))]
    cv = SegmentKFold(int(cv)) if is_integer(cv, 0) else check_cv(cv)
    splits = [(np.asarray(a), np.asarray(b)) for a, b in cv.split(items, y, groups)]
    tested = np.concatenate([test for _, test in splits])
    if not np.array_equal(np.sort(tested), np.arange(len(items))):
        raise ValueError(
            f"cv must test each of the {len(items)} trajectories once, got tests of "
            f"{tested.tolist()}; use SegmentKFold or LeaveOneTrajectoryOut"
        )
    parallel = Parallel(n_jobs=n_jobs, verbose=verbose, pre_dispatch=pre_dispatch)
    fitted, outputs = zip(
        *parallel(
            delayed(_fit_and_transform)(
                clone(estimator), [items[i] for i in train], [items[i] for i in test]
            )
            for train, test in splits
        ),
        strict=True,
    )
    transformed: list[Any] = [None] * len(items)
    for k, ((_, test), output) in enumerate(zip(splits, outputs, strict=True)):
        if align and k > 0:
            order = align_states(fitted[0].transform([items[i] for i in test]), output)
            output = [chi[..., order] for chi in output]
        for i, chi in zip(test, output, strict=True):
            transformed[i] = chi
    return transformed


def _fit_and_transform(
    estimator: EstimatorLike, train: Sequence[Any], test: Sequence[Any]
) -> tuple[Any, list[NDArray[np.float64]]]:
    estimator.fit(train)
    final = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if isinstance(final, GDyNetEstimator):
        check_gap(final, test)
    return estimator, estimator.transform(test)
