"""Scores of a fitted estimator on data it has not seen, as scikit-learn scorers.

Public: :class:`KoopmanScorer`, :func:`markov_scorer`, and the warning
:class:`~graphkoopman.estimator.MixedLagWarning`; ``vamp2_scorer`` and its like are short for
``KoopmanScorer("vamp2")``.

All are higher-is-better and take an estimator or a Pipeline that ends in one. scikit-learn's
table of scorer names is not open to others, so ``scoring=KoopmanScorer("vamp2")`` stands where
``scoring="vamp2"`` would; several names make a multimetric scorer that passes the network once.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from graphkoopman.estimator import EstimatorLike, GDyNetEstimator, LagsMet, check_gap
from graphkoopman.koopman import (
    BeyondDataWarning,
    ChapmanKolmogorovError,
    FixedStateWarning,
    KoopmanModel,
    ck_error,
    estimate_koopman,
)
from graphkoopman.samples import Samples, SamplesLike, join_adjacent_samples
from graphkoopman.trajectories import TrajectoriesLike

SELECTION_SCORES = ("vampe_cv", "neg_ck_error", "neg_ck_standard_error")
DEFAULT_MULTIPLES = 5


class KoopmanScorer:
    """Scorer, or several at once, by name.

    Parameters
    ----------
    names : str or sequence of str
        ``"vamp1"``, ``"vamp2"``, ``"vampe"``: score of the states on the data, the paper's.
        ``"vamp1_cv"``, ``"vamp2_cv"``, ``"vampe_cv"``: the training model's singular functions on
        the data, deeptime's ``score(test_model=...)``. ``"ck"``: minus the absolute
        Chapman-Kolmogorov error in units of its standard error; ``"neg_ck_error"`` and
        ``"neg_ck_standard_error"``: minus the two by themselves, the error with its sign.
        ``"timescale"``: slowest relaxation time in ps.
    lagtime : int or None
        Lag in frames at which VAMP scores and timescales are computed; None takes the estimator's.
        Scores of estimators with different lags are comparable at a common one only.
    horizon : int or None
        Frames over which the Chapman-Kolmogorov test predicts, see `koopman.ck_error`; None takes
        five lags of the estimator.
    warn_mixed_lags : bool
        Warn where one scorer meets the same data at different lags.

    Raises
    ------
    ValueError
        If a name is unknown.

    Notes
    -----
    ``"vamp1_cv"`` and ``"vamp2_cv"`` keep all singular functions of the training model, which span
    the same space as the states, and deeptime whitens them again with the test data: they equal
    ``"vamp1"`` and ``"vamp2"`` wherever no direction is lost. Both can therefore only gain from
    one more state, on average by about ``2 n_states - 1`` over the number of independent pairs
    even where it is noise. ``"vampe_cv"`` takes the singular values from training too. For the
    exact functions it equals VAMP-2; states that only describe the training data lower it. Use it
    to compare numbers of states. It needs the training model's own lag.

    With ``n_jobs`` every worker has its own copy of a scorer, which does not know what the others
    have met; `~graphkoopman.estimator.MixedLagWarning` is then not raised.

    References
    ----------
    Wu and Noé, J. Nonlinear Sci. 30, 23 (2020), eqs. (30), (33).

    Examples
    --------
    >>> from graphkoopman.model_selection import KoopmanScorer
    >>> scoring = KoopmanScorer(["vamp2", "ck"], lagtime=10)
    """

    def __init__(
        self,
        names: str | Sequence[str],
        *,
        lagtime: int | None = None,
        horizon: int | None = None,
        warn_mixed_lags: bool = True,
    ) -> None:
        self.names = names if isinstance(names, str) else tuple(names)
        self.lagtime = lagtime
        self.horizon = horizon
        self.warn_mixed_lags = warn_mixed_lags
        asked = [names] if isinstance(names, str) else list(names)
        unknown = [name for name in asked if name not in _SCORES]
        if unknown or not asked:
            raise ValueError(f"names must be among {SCORER_NAMES}, got {unknown or 'none'}")
        self._lags_met = LagsMet()

    def __call__(
        self, estimator: EstimatorLike, X: SamplesLike | TrajectoriesLike, y: object = None
    ) -> float | dict[str, float]:
        """Score a fitted estimator, or a Pipeline that ends in one, on trajectories.

        Returns
        -------
        float, or dict of str to float where several names were given.
        """
        states = _States(self, *_final_step(estimator, X))
        if isinstance(self.names, str):
            return _SCORES[self.names](states)
        return {name: _SCORES[name](states) for name in self.names}

    def __repr__(self) -> str:
        return f"KoopmanScorer({self.names!r}, lagtime={self.lagtime}, horizon={self.horizon})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lags_met": LagsMet()}

    def check_lag(self, graphs: Sequence[Samples], lagtime: int) -> None:
        """Warn if these data were scored at another lag before."""
        if self.warn_mixed_lags:
            remedy = f"give one scoring lag, KoopmanScorer({self.names!r}, lagtime={{lag}})"
            self._lags_met.check(graphs, lagtime, remedy, stacklevel=4)


class _States:
    """A fitted estimator's states on some data, computed once for all scores."""

    def __init__(
        self, scorer: KoopmanScorer, estimator: GDyNetEstimator, graphs: list[Samples]
    ) -> None:
        check_gap(estimator, graphs)
        self.scorer = scorer
        self.estimator = estimator
        self.graphs = graphs
        self.lagtime = estimator.lagtime if scorer.lagtime is None else scorer.lagtime
        self.probabilities: list[NDArray[Any]] = estimator.transform(graphs)

    @cached_property
    def model(self) -> KoopmanModel:
        """Koopman model of the data at the scoring lag."""
        with warnings.catch_warnings():
            # parts of the data are shorter than all of them
            warnings.simplefilter("ignore", BeyondDataWarning)
            warnings.simplefilter("ignore", FixedStateWarning)
            return estimate_koopman(
                self.probabilities,
                self.lagtime,
                timestep=self.graphs[0].timestep,
                constraint="reversible" if self.estimator.reversible else None,
            )

    @cached_property
    def ck(self) -> ChapmanKolmogorovError:
        """Chapman-Kolmogorov error at the estimator's lag."""
        lagtime = self.estimator.lagtime
        horizon = self.scorer.horizon
        return ck_error(
            self.probabilities,
            lagtime,
            DEFAULT_MULTIPLES * lagtime if horizon is None else horizon,
        )

    def vamp(self, r: float | str) -> float:
        """Own score on the data."""
        self.scorer.check_lag(self.graphs, self.lagtime)
        return self.model.score(r)

    def cross_vamp(self, r: float | str) -> float:
        """Score of the training model's singular functions on the data."""
        self.scorer.check_lag(self.graphs, self.lagtime)
        trained = self.estimator.fetch_model()
        if r == "E" and trained.lagtime != self.lagtime:
            raise ValueError(
                "vampe_cv compares singular values of training and test data, which must be at "
                f"one lag, got a scoring lag of {self.lagtime} and an estimator with "
                f"lagtime={trained.lagtime}; leave the scorer's lagtime None"
            )
        return trained.score(r, test_model=self.model)


_SCORES: dict[str, Callable[[_States], float]] = {
    "vamp1": lambda states: states.vamp(1),
    "vamp2": lambda states: states.vamp(2),
    "vampe": lambda states: states.vamp("E"),
    "vamp1_cv": lambda states: states.cross_vamp(1),
    "vamp2_cv": lambda states: states.cross_vamp(2),
    "vampe_cv": lambda states: states.cross_vamp("E"),
    "ck": lambda states: -abs(states.ck.error) / states.ck.standard_error,
    "neg_ck_error": lambda states: -states.ck.error,
    "neg_ck_standard_error": lambda states: -states.ck.standard_error,
    "timescale": lambda states: float(states.model.timescales_ps(1)[0]),
}
SCORER_NAMES = tuple(_SCORES)


def _final_step(
    estimator: EstimatorLike, X: SamplesLike | TrajectoriesLike
) -> tuple[GDyNetEstimator, list[Samples]]:
    """The estimator behind a Pipeline, and what reaches it."""
    if isinstance(estimator, Pipeline):
        X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        estimator = estimator[-1]
    if not isinstance(estimator, GDyNetEstimator):
        raise TypeError(
            "a KoopmanScorer needs a GDyNetEstimator, or a Pipeline that ends in one, got "
            f"{type(estimator).__name__}"
        )
    samples: Any = X
    pieces = [samples] if isinstance(samples, Samples) else list(samples)
    return estimator, join_adjacent_samples(pieces)


vamp1_scorer = KoopmanScorer("vamp1")
vamp2_scorer = KoopmanScorer("vamp2")
vampe_scorer = KoopmanScorer("vampe")
ck_scorer = KoopmanScorer("ck")
timescale_scorer = KoopmanScorer("timescale")


def markov_scorer(horizon: int | None = None) -> KoopmanScorer:
    """The scores that `select_markovian` reads, in one pass of the network.

    Parameters
    ----------
    horizon : int or None
        Frames over which the Chapman-Kolmogorov test predicts, the same for all lags of a grid so
        that their errors can be compared; twice the longest lag is a good choice. None takes five
        lags of each estimator.

    Returns
    -------
    KoopmanScorer
    """
    # the rule compares scores of one lag only
    return KoopmanScorer(SELECTION_SCORES, horizon=horizon, warn_mixed_lags=False)
