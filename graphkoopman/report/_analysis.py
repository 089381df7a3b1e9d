"""Koopman models of trajectories at multiples of the lag: `Analysis`, `analyse`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from deeptime.util.validation import ChapmanKolmogorovTest, ImpliedTimescales, implied_timescales

from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.koopman import BootstrapKoopmanModel, ChapmanKolmogorovError, ck_error
from graphkoopman.samples import Samples

__all__ = ["Analysis", "analyse"]

MAX_MULTIPLE = 5
N_BOOTSTRAP = 200


@dataclass(frozen=True, eq=False)
class Analysis:
    """Koopman models of some trajectories at multiples of the lag.

    Attributes
    ----------
    model : BootstrapKoopmanModel
        At the estimator's lag.
    timescales : ImpliedTimescales
        Over the lags.
    ck : ChapmanKolmogorovTest
        Chapman-Kolmogorov test of the model against models at longer lags.
    markov : ChapmanKolmogorovError or None
        The same as one number with its verdict; None where no run is longer than two lags.
    models : list of BootstrapKoopmanModel
        At all lags.
    """

    model: BootstrapKoopmanModel
    timescales: ImpliedTimescales
    ck: ChapmanKolmogorovTest
    markov: ChapmanKolmogorovError | None
    models: list[BootstrapKoopmanModel]

    @property
    def verdict(self) -> str:
        """Whether the states are Markovian at the lag, in words."""
        if self.markov is None:
            return "Markovian at this lag: can't tell (no run is longer than two lags)"
        return str(self.markov)

    @property
    def ck_error(self) -> float:
        """Largest deviation between estimated and predicted transition probabilities."""
        return float(np.abs(self.ck.estimates - self.ck.predictions).max())


def analyse(estimator: GDyNetEstimator, graphs: Sequence[Samples], n_refits: int = 0) -> Analysis:
    """Estimate, with error bars, at the lag and as many multiples of it as the data carry.

    Parameters
    ----------
    estimator : GDyNetEstimator
        Fitted.
    graphs : sequence of samples
        What it was fitted to, or others of the kind.
    n_refits : int
        Trainings on half the data, for intervals that hold the training.
    """
    lag = estimator.lagtime
    n_lags = n_multiples(lag, [len(item) for item in graphs])
    models = estimator.koopman_models(
        graphs, [lag * n for n in range(1, n_lags + 1)], N_BOOTSTRAP, n_refits
    )
    markov = None
    if min(len(item) for item in graphs) > 2 * lag:
        markov = ck_error(estimator.transform(graphs), lag, max(2, n_lags) * lag)
    return Analysis(
        models[0], implied_timescales(models), models[0].ck_test(models), markov, models
    )


def n_multiples(lagtime: int, lengths: Sequence[int]) -> int:
    """Multiples of the lag that the shortest run carries, up to five."""
    # a model at a lag beyond half a trajectory would rest on its two ends alone
    return max(1, min(MAX_MULTIPLE, min(lengths) // (2 * lagtime)))
