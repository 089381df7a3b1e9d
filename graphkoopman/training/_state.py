"""What a run is made of: `TrainingSettings`, where it stands, `TrainingResult`."""

import numbers
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from graphkoopman.objectives import EPSILON
from graphkoopman.training._validation import says_something

ROW_NUMBERS = (
    "stage",
    "epoch",
    "train_score",
    "validation_score",
    "validation_error",
    "effective_sample_size",
    "learning_rate",
    "n_rollbacks",
    "seconds",
)
SUBSPACE = "subspace"  # the stage before those of the settings


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; the estimator's parameters of the same names.

    ``objectives`` holds the score of every stage after the subspace, trained one after the other.
    """

    lagtime: int
    objectives: Sequence[str] = ("VAMP2",)
    learning_rate: float = 1e-3
    max_epochs: int = 50
    steps_per_epoch: int = 10
    patience: int = 4
    batch_size: int | None = 4000
    epsilon: float = EPSILON

    @property
    def stages(self) -> tuple[str, ...]:
        """What is trained, one after the other."""
        return (SUBSPACE, *self.objectives)


@dataclass
class TrainingResult:
    """The best network of a run and how it got there.

    Attributes
    ----------
    weights : dict of str to Tensor
        State of the network with the best validation score.
    score : float
        That score, VAMP-2 counted with the constant.
    error : float
        Its statistical error.
    train_score : float
        Mean score of the batches of the same epoch, of this stage.
    history : list of dict
        One row per epoch: ``stage``, ``epoch``, ``objective``, ``train_score`` (mean over the
        batches), ``validation_score`` (VAMP-2), ``validation_error``, ``effective_sample_size``
        (of a batch, for the slowest process), ``learning_rate``, ``n_rollbacks``, ``seconds``.
    converged : bool
        Whether every stage after the subspace stopped by itself before ``max_epochs``.
    """

    weights: dict[str, Tensor]
    score: float
    error: float
    train_score: float = 1.0
    history: list[dict] = field(default_factory=list)
    converged: bool = True

    @property
    def validated(self) -> bool:
        """Whether the held-out frames show any process at all."""
        return says_something(self.score, self.error)


@dataclass
class Position:
    """Where a run stands: what its next step depends on beside the network and the optimiser.

    Attributes
    ----------
    learning_rate : float
    stage, epoch, step : int
        Counted from zero; ``step`` within the epoch, ``epoch`` within the stage.
    stale : int
        Epochs since the score last rose.
    highest : float
        Mean score of the batches of the best epoch of the stage.
    scores : list of float
        Of the batches of the epoch under way.
    n_rollbacks : int
        In the epoch under way.
    seconds : float
        Spent on the epoch under way.
    """

    learning_rate: float
    stage: int = 0
    epoch: int = 0
    step: int = 0
    stale: int = 0
    highest: float = 1.0
    scores: list[float] = field(default_factory=list)
    n_rollbacks: int = 0
    seconds: float = 0.0


def check_numbers(position: Position, result: TrainingResult) -> None:
    """Raise TypeError or LookupError unless numbers that were read from a file are numbers."""
    values = [value for name, value in vars(position).items() if name != "scores"]
    values += [*position.scores, result.score, result.error, result.train_score]
    values += [row[name] for row in result.history for name in ROW_NUMBERS]
    wrong = [value for value in values if not isinstance(value, numbers.Real)]
    if wrong:
        raise TypeError(f"{wrong[0]!r} in place of a number")
