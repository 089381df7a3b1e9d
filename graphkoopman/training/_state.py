"""What a run is made of: `TrainingSettings`, where it stands, `TrainingResult`."""

import numbers
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from graphkoopman.objectives import EPSILON
from graphkoopman.training._validation import paired_rise, says_something

# Updates between two validations: enough that a validation costs little beside them, few enough
# that the best network is not passed by.
STEPS_PER_EPOCH = 10
# Share of the frames that is never trained on. Scores of weights and starts are compared on it, so
# a smaller share makes the choice noisier, a larger one leaves less to learn from.
VALIDATION_FRACTION = 0.2
CHECKPOINT_INTERVAL = 60.0  # s of work that a kill may cost; a save takes a small part of that
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


@dataclass(frozen=True)
class TrainingSettings:
    """How to train: parameters of the estimator, and what is the same in every fit.

    Attributes
    ----------
    lagtime : int
        Frames.
    objectives : sequence of str
        The score of every stage after the subspace, trained one after the other.
    learning_rate : float
        Step size of Adam at the height of a cycle, for the states; the subspace takes a multiple.
    max_epochs : int
        Most epochs of a stage.
    patience : int
        Epochs of a cycle. A stage ends with a cycle that has brought no rise.
    batch_size : int or None
        Frames of a VAMP estimate (about); None is all.
    steps_per_epoch : int
        Updates between two validations.
    validation_fraction : float
        Share of the frames, in contiguous blocks, that is held out.
    epsilon : float
        Ridge of the covariances, relative to their mean variance.
    checkpoint_interval : float
        Seconds between two saves of the state; 0 saves after every step.
    """

    lagtime: int
    objectives: Sequence[str] = ("VAMP2",)
    learning_rate: float = 1e-3
    max_epochs: int = 60
    patience: int = 12
    batch_size: int | None = 4000
    steps_per_epoch: int = STEPS_PER_EPOCH
    validation_fraction: float = VALIDATION_FRACTION
    epsilon: float = EPSILON
    checkpoint_interval: float = CHECKPOINT_INTERVAL


@dataclass
class TrainingResult:
    """The best network of a run and how it got there.

    Attributes
    ----------
    weights : dict of str to Tensor
        State of the network with the best validation score, its error considered.
    score : float
        That score, VAMP-2 counted with the constant.
    error : float
        Its statistical error.
    without : list of float
        The score without one stretch of the held-out frames after the other.
    train_score : float
        VAMP-2 of its states on training frames in the subspace, mean score of the batches of the
        epoch in later stages.
    history : list of dict
        One row per epoch: ``stage``, ``epoch``, ``objective``, ``train_score``,
        ``validation_score`` (VAMP-2), ``validation_error``, ``effective_sample_size`` (of a batch,
        for the slowest process), ``learning_rate`` (at the end of the epoch), ``n_rollbacks``,
        ``seconds``.
    converged : bool
        Whether every stage ended with a whole cycle that brought no rise.
    """

    weights: dict[str, Tensor]
    score: float
    error: float
    without: list[float] = field(default_factory=list)
    train_score: float = 1.0
    history: list[dict[str, Any]] = field(default_factory=list)
    converged: bool = True

    @property
    def validated(self) -> bool:
        """Whether the held-out frames show any process at all."""
        return says_something(self.score, self.error)

    def rise_over(self, other: "TrainingResult | Reference") -> tuple[float, float]:
        """How much better this is on the same held-out frames, and the error of that."""
        return paired_rise(self.score, self.without, other.score, other.without)


@dataclass
class Reference:
    """The best score when a cycle began, which the cycle has to beat.

    Attributes
    ----------
    score, without, train_score
        As the attributes of these names of `TrainingResult`.
    """

    score: float = 1.0
    without: list[float] = field(default_factory=list)
    train_score: float = 1.0


@dataclass
class Position:
    """Where a run stands: what its next step depends on beside the network and the optimiser.

    Attributes
    ----------
    damping : float
        Share of the learning rate that collapses have left.
    reference : Reference
        What the cycle under way has to beat.
    stage, cycle, epoch, step : int
        Counted from zero; ``step`` within the epoch, ``cycle`` and ``epoch`` within the stage.
    cycle_start : int
        First epoch of the cycle.
    highest : float
        Highest training score of the stage.
    shown : list of float
        The most that the hidden layer has shown of every process since it was whitened.
    scores : list of float
        Training scores of the batches of the epoch under way.
    n_rollbacks : int
        Updates taken back in the epoch under way.
    seconds : float
        Spent on the epoch under way.
    """

    damping: float = 1.0
    reference: Reference = field(default_factory=Reference)
    stage: int = 0
    cycle: int = 0
    epoch: int = 0
    step: int = 0
    cycle_start: int = 0
    highest: float = 1.0
    shown: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    n_rollbacks: int = 0
    seconds: float = 0.0


def check_numbers(position: Position, result: TrainingResult) -> None:
    """Raise TypeError or LookupError unless what was read from a file are lists and numbers."""
    # an empty dictionary would pass for a list without numbers
    lists: list[Any] = [position.scores, position.shown, position.reference.without]
    lists += [result.without, result.history]
    if not all(isinstance(value, list) for value in lists):
        raise TypeError("something else in place of a list")
    kept = ("scores", "shown", "reference")
    values = [value for name, value in vars(position).items() if name not in kept]
    values += [*position.scores, *position.shown, result.score, result.error, result.train_score]
    values += [*result.without, position.reference.score, position.reference.train_score]
    values += position.reference.without
    values += [row[name] for row in result.history for name in ROW_NUMBERS]
    wrong = [value for value in values if not isinstance(value, numbers.Real)]
    if wrong:
        raise TypeError(f"{wrong[0]!r} in place of a number")
