"""Everything that is said of a model and its data, computed once: `Study`, `study`.

Commands print it, tables hold it, and the report draws it.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.koopman import BootstrapKoopmanModel, ExchangeTimes, exchange_times
from graphkoopman.progress import Progress
from graphkoopman.report._analysis import Analysis, analyse
from graphkoopman.report._verdict import Verdict, judge, name_of_targets
from graphkoopman.samples import Samples
from graphkoopman.structure import StateDescription, describe_states
from graphkoopman.trajectories import TargetsLike, Trajectory
from graphkoopman.transport import ResidenceTimes, residence_times

__all__ = ["CORE", "Study", "study"]

CORE = 0.7  # probability at which a state counts as entered


@dataclass(frozen=True, eq=False)
class Study:
    """A fitted model with what it says about trajectories.

    Attributes
    ----------
    estimator : GDyNetEstimator
    trajectories : list of Trajectory
    probabilities : list of ndarray of shape (n_frames, n_targets, n_states)
    targets : object
        See `resolve_targets`.
    name : str
        What the targets are called in the text.
    analysis : Analysis
    exchange : ExchangeTimes
    residence : ResidenceTimes
        Residence times in the most probable state.
    core_residence : ResidenceTimes
        Transition-based.
    description : StateDescription
    verdict : Verdict
    """

    estimator: GDyNetEstimator
    trajectories: list[Trajectory]
    probabilities: list[NDArray[np.float64]]
    targets: TargetsLike
    name: str
    analysis: Analysis
    exchange: ExchangeTimes
    residence: ResidenceTimes
    core_residence: ResidenceTimes
    description: StateDescription
    verdict: Verdict

    @property
    def data(self) -> tuple[Any, Any, Any]:
        """Trajectories, probabilities and targets, the first arguments of every analysis."""
        return self.trajectories, self.probabilities, self.targets

    @property
    def n_states(self) -> int:
        """Number of states."""
        return int(self.analysis.model.n_states)

    @property
    def lag(self) -> float:
        """Lag of the model, ps."""
        return float(self.estimator.lagtime * self.estimator.timestep_)

    def summary(self) -> dict[str, Any]:
        """The key numbers, for programs."""
        model = self.analysis.model
        return {
            "targets": self.name,
            "n_states": self.n_states,
            "lag_ps": self.lag,
            "timestep_ps": float(self.estimator.timestep_),
            "frames": [len(item) for item in self.trajectories],
            "n_targets": [array.shape[1] for array in self.probabilities],
            "populations": model.prior.empirical_populations,
            "populations_interval": model.populations_interval(),
            "koopman_matrix": model.koopman_matrix,
            "koopman_matrix_interval": model.koopman_matrix_interval(),
            "relaxation_times_ps": model.prior.timescales_ps(),
            "relaxation_times_interval_ps": model.timescales_ps_interval(),
            **_certificates(model),
            "exchange_times_ps": self.exchange.mean,
            "exchange_times_interval_ps": self.exchange.interval,
            "exchange_seen": self.exchange.seen,
            "residence_times_ps": self.core_residence.mean,
            "residence_times_interval_ps": self.core_residence.mean_interval,
            "events": self.core_residence.transitions,
            "markovian": self.verdict.markovian,
            "ck_error": self.verdict.ck,
            "ck_error_interval": self.verdict.ck_interval,
            "verdict": self.verdict.line,
            "notes": self.verdict.notes,
            "states_in_words": self.description.sentences,
            "kappa": self.description.kappa,
            "validation_score": self.estimator.validation_score_,
            "clipped_mass": self.estimator.clipped_mass_,
            "converged": self.estimator.converged_,
        }


def study(
    estimator: GDyNetEstimator,
    trajectories: Sequence[Trajectory],
    graphs: Sequence[Samples],
    targets: TargetsLike,
    *,
    charges: Any = None,
    n_refits: int = 0,
    verbose: bool = False,
) -> Study:
    """Analyse trajectories with a fitted estimator.

    Parameters
    ----------
    estimator : GDyNetEstimator
    trajectories : list of Trajectory
    graphs : list of samples
        Graphs or features of these trajectories.
    targets : object
    charges : array-like or None
        Charge of every atom, e.
    n_refits : int
        Trainings on half the data, for intervals that hold the training.
    verbose : bool
        Show progress.
    """
    probs = estimator.transform(graphs)
    with Progress("tests and intervals", active=verbose and not n_refits):
        analysis = analyse(estimator, graphs, n_refits)
    timestep = float(estimator.timestep_)
    name = name_of_targets(trajectories[0], targets)
    with warnings.catch_warnings():
        # said by the first of the two
        plain = residence_times(probs, timestep=timestep)
        warnings.simplefilter("ignore")
        cores = residence_times(probs, timestep=timestep, core=CORE)
    with Progress("states in words", active=verbose):
        description = describe_states(trajectories, probs, targets, charges=charges)
    return Study(
        estimator=estimator,
        trajectories=list(trajectories),
        probabilities=probs,
        targets=targets,
        name=name,
        analysis=analysis,
        exchange=exchange_times(analysis.model, cores.least_times()),
        residence=plain,
        core_residence=cores,
        description=description,
        verdict=judge(
            estimator, analysis.model, analysis.markov, [len(array) for array in probs], name=name
        ),
    )


def _certificates(model: BootstrapKoopmanModel) -> dict[str, Any]:
    """Residuals and bounds of the processes; None where no run is longer than two lags."""
    try:
        return {
            "residuals": model.residuals,
            "relaxation_times_bounds_ps": model.timescale_bounds_ps(),
        }
    except ValueError:
        return {"residuals": None, "relaxation_times_bounds_ps": None}
