"""Chapman-Kolmogorov test of eq. (6) in the basis of states.

Public objects: `StateObservable`, `chapman_kolmogorov`. Both speak deeptime's language, so that
`deeptime.plots.plot_ck_test` draws the result.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from deeptime.base import BayesianModel, Observable
from deeptime.util.validation import ChapmanKolmogorovTest
from numpy.typing import NDArray

__all__ = ["StateObservable", "chapman_kolmogorov"]

Array = NDArray[np.float64]


class StateObservable(Observable):
    r"""Probability to be in state j after a lag, given state i before it.

    Passed to `deeptime.util.validation.ck_test`, it compares :math:`K(n\tau)` with
    :math:`K^n(\tau)`, eq. (6).

    Parameters
    ----------
    n_states : int
        Number of states. deeptime asks for lag 0 without a model, so the size must be known.
    """

    def __init__(self, n_states: int) -> None:
        self.n_states = n_states

    def __call__(self, model: Any, mlag: float = 1, **kwargs: Any) -> Array:
        """Evaluate :math:`K^m` of a model.

        Parameters
        ----------
        model : KoopmanModel, BootstrapKoopmanModel or None
            Model to evaluate; None stands for lag 0.
        mlag : float
            Multiple m of the model's lag time; must be a whole number.

        Returns
        -------
        ndarray of shape (n_states, n_states)
        """
        if model is None or mlag == 0:
            return np.eye(self.n_states)
        if isinstance(model, BayesianModel):
            model = model.prior
        return np.linalg.matrix_power(model.koopman_matrix, whole_multiple(mlag, 1))


def whole_multiple(lagtime: float, unit: float) -> int:
    """Return lagtime / unit as int, or raise if it is not a positive whole number."""
    multiple = round(lagtime / unit)
    if multiple < 1 or abs(lagtime / unit - multiple) > 1e-9:
        raise ValueError(
            "models must have lag times that are whole multiples of the tested model's lagtime "
            f"({unit:g} frames), got {lagtime:g}; estimate them at {unit:g}, {2 * unit:g}, ..."
        )
    return multiple


def chapman_kolmogorov(tested: Any, models: Sequence[Any]) -> ChapmanKolmogorovTest:
    r"""Compare :math:`K(n\tau)` of `models` with :math:`K^n(\tau)` of `tested`, eq. (6).

    Parameters
    ----------
    tested : KoopmanModel or BootstrapKoopmanModel
        Model at lag :math:`\tau`. A bootstrap model adds samples of the predictions.
    models : sequence of models
        Estimates at lags :math:`n\tau`, in any order. If all are bootstrap models and `tested` is
        one, samples of the estimates are added too.

    Returns
    -------
    deeptime.util.validation.ChapmanKolmogorovTest
        Lag 0 comes first, as the identity. ``estimates[k, i, j]`` and ``predictions[k, i, j]`` are
        the probabilities to go from i to j in ``lagtimes[k]`` frames.

    Raises
    ------
    ValueError
        If `models` is empty, states do not match, or a lag is no whole multiple of :math:`\tau`.
    """
    models = sorted(models, key=lambda model: model.lagtime)
    if not models:
        raise ValueError("models must hold at least one model to test against, got an empty list")
    priors = [_prior(model) for model in models]
    n_states = _prior(tested).n_states
    sizes = {prior.n_states for prior in priors}
    if sizes != {n_states}:
        raise ValueError(
            f"models must have the {n_states} states of the tested model, got {sorted(sizes)}"
        )
    observable = StateObservable(n_states)
    steps = [whole_multiple(model.lagtime, tested.lagtime) for model in models]
    samples = _samples(tested)
    has_estimate_samples = bool(samples) and all(_samples(model) for model in models)
    return ChapmanKolmogorovTest(
        lagtimes=[0, *(model.lagtime for model in models)],
        predictions=[observable(tested, mlag=n) for n in (0, *steps)],
        predictions_samples=[[observable(s, mlag=n) for s in samples] for n in (0, *steps)]
        if samples
        else [],
        estimates=[observable(model) for model in (None, *priors)],
        estimates_samples=[
            [np.eye(n_states)],
            *([observable(s) for s in _samples(model)] for model in models),
        ]
        if has_estimate_samples
        else [],
        observable=observable,
    )


def _prior(model: Any) -> Any:
    return model.prior if isinstance(model, BayesianModel) else model


def _samples(model: Any) -> list[Any]:
    return list(model.samples) if isinstance(model, BayesianModel) else []
