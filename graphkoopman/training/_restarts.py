"""Several starts from different random networks, then the training on all frames from the best."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from graphkoopman.koopman import identify_states
from graphkoopman.lobes import GDyNetLobe
from graphkoopman.training._agreement import cohen_kappa, median_agreement
from graphkoopman.training._batches import Block
from graphkoopman.training._data import SampleData
from graphkoopman.training._features import evaluate
from graphkoopman.training._initialise import ConstantEmbeddingError
from graphkoopman.training._loop import Trainer
from graphkoopman.training._stages import SubspaceStage, stages_of
from graphkoopman.training._state import TrainingResult, TrainingSettings
from graphkoopman.training._validation import (
    Validation,
    is_better,
    n_significant,
    paired_rise,
)

GOOD_ERRORS = 2.0  # of the difference to the best start that a good one may be below it
GOOD_SHARE = 0.05  # or of the best score's excess over the constant
# Of the excess that starts have on frames they trained on: what they may have less on those they
# held out before they count as overfitted.
OVERFITTED_SHARE = 0.1
MOST_DRAWS = 5  # of a network whose embedding does not tell targets apart


class Restarts:
    """A whole training, step by step: starts on parts of the frames, then the best on all of them.

    Every start trains its subspace for one cycle, on training blocks of its own, so that starts
    differ as fits with other seeds would: in their networks and in the frames they saw. They are
    compared on one set of frames, those that any of them held out. The best goes on until its
    held-out frames gain no more, and then with all frames, one cycle in the subspace and one for
    every objective: scarce data are not left unused, and what is found does not hang on which
    blocks were held out. Where starts score less on frames that they held out than on those they
    trained on, nothing would tell this last training when to stop: it then ends at the score that
    starts have reached on their own training frames, on average.

    Parameters
    ----------
    new_lobe : callable
        From a random generator to a network with random weights.
    data : SampleData
    splits : sequence of tuples of sequences of Block
        Training and validation stretches of every start.
    settings : TrainingSettings
    rng : RandomState
        Draws the networks and their batches.
    state : dict or None
        What `state_dict` returned: continue there.

    Attributes
    ----------
    starts : list of Trainer
        Those that have begun.
    final : Trainer or None
        The training on all frames; None before the starts have been compared.
    start_scores : list of float
        Score of every start on the frames that all are compared on; empty before that.
    good : list of int
        Starts that are within the error of the difference or 5 % of the best one, which comes
        first; with one good start, it and the next best.
    agreement : float
        Median of Cohen's κ between the states of the good starts. At the end, the median between
        them and the states of the training on all frames where that is lower: what none of the
        starts has found is not agreed on. NaN with one start, or before they have been compared.
    """

    def __init__(
        self,
        new_lobe: Callable[[np.random.RandomState], GDyNetLobe],
        data: SampleData,
        splits: Sequence[tuple[Sequence[Block], Sequence[Block]]],
        settings: TrainingSettings,
        rng: np.random.RandomState,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.new_lobe = new_lobe
        self.data = data
        self.splits = splits
        self.settings = settings
        self.rng = rng
        self.final: Trainer | None = None
        self.chosen: int | None = None
        self.start_scores: list[float] = []
        self.good: list[int] = []
        self.agreement = math.nan
        self.starts: list[Trainer] = []
        if state is None:
            self.starts.append(self._new_start())
            return
        for start in state["runs"][: len(splits)]:
            self.starts.append(self._new_start(start))
        if state["chosen"] is not None:
            self.chosen = range(len(self.starts))[state["chosen"]]
            self.start_scores = [float(score) for score in state["start_scores"]]
            self.good = [range(len(self.starts))[i] for i in state["good"]]
            self.agreement = float(state["agreement"])
            for run in state["runs"][len(splits) :]:
                self.final = self._trainer_on_all(self.start, run)
        set_generator_state(rng, state["rng"])

    @property
    def finished(self) -> bool:
        """Whether the training on all frames is done."""
        return self.final is not None and self.final.finished

    @property
    def converged(self) -> bool:
        """Whether the best start gained no more, and all frames had whole cycles."""
        return self.finished and all(run.result.converged for run in (self.start, self.best))

    @property
    def start(self) -> Trainer:
        """The start chosen to go on; before that, the one with the best validation score so far."""
        if self.chosen is not None:
            return self.starts[self.chosen]
        return self.starts[_best_of([run.result for run in self.starts], range(len(self.starts)))]

    @property
    def best(self) -> Trainer:
        """The run whose network is the result if the training ends here."""
        return self.final or self.start

    @property
    def history(self) -> list[dict[str, Any]]:
        """Rows of the epochs that led to the best network."""
        return self.start.result.history + (self.final.result.history if self.final else [])

    @property
    def runs(self) -> list[Trainer]:
        """The starts, then the training on all frames."""
        return self.starts + ([self.final] if self.final else [])

    def advance(self) -> Trainer:
        """One step of the run under way, or of the next one; returns that run."""
        if self.chosen is None and self.starts[-1].explored:
            self.starts.append(self._new_start())
        run = self.starts[-1] if self.chosen is None else self.best
        run.advance()
        if self.chosen is None and run.explored and len(self.starts) == len(self.splits):
            self._choose()
        if self.final is None and self.chosen is not None and self.start.finished:
            self.final = self._trainer_on_all(self.start)
        elif self.finished and self.good:
            self._compare_with_starts()
        return run

    def n_processes_seen(self) -> int:
        """Number of processes of the best network that the chosen start's held-out frames show."""
        held_out = self.start.held_out
        features = evaluate(self.data, held_out, self.best.best_lobe())
        return n_significant(features, held_out, self.settings.epsilon)

    def _choose(self) -> None:
        """Compare the starts, and go on with the best."""
        if len(self.starts) == 1:
            self.start_scores, self.chosen = [self.starts[0].result.score], 0
        else:
            self._compare()

    def _compare(self) -> None:
        """Scores of the starts on the same frames, the best, and whether the good ones agree."""
        held_out = [block for _, validation in self.splits for block in validation]
        common = self.starts[0].batch_of(_union(held_out))
        scores = [run.validation_on(common, run.best_lobe()) for run in self.starts]
        best = _best_of(scores, range(len(scores)))
        others = [i for i in range(len(scores)) if i != best]
        self.good = [best, *(i for i in others if _is_as_good(scores[i], scores[best]))]
        if len(self.good) == 1:
            self.good.append(_best_of(scores, others))
        self.agreement = median_agreement(
            list(map(self._labels, self._good_starts)), self._n_states
        )
        self.start_scores = [validation.score for validation in scores]
        self.chosen = best

    def _compare_with_starts(self) -> None:
        """Whether the states that training ends with are those of the starts."""
        found = self._labels(self.best)
        kappas = [
            cohen_kappa(found, self._labels(start), self._n_states) for start in self._good_starts
        ]
        self.agreement = min(self.agreement, float(np.median(kappas)))

    @property
    def _good_starts(self) -> list[Trainer]:
        return [self.starts[i] for i in self.good]

    @property
    def _n_states(self) -> int:
        return self.starts[0].lobe.head.n_states

    def _labels(self, run: Trainer) -> np.ndarray:
        """States of all frames, or as many as time bears, by the best network of a run."""
        batch = run.batch_of(self._all())
        features = evaluate(self.data, batch, run.best_lobe()).numpy()
        states = identify_states(features[batch.start_rows], features[batch.end_rows])
        return states(features).argmax(axis=-1)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the steps to come depend on beside the data, as `Trainer.state_dict`."""
        return {
            "rng": generator_state(self.rng),
            "runs": [run.state_dict() for run in self.runs],
            "chosen": self.chosen,
            "start_scores": list(self.start_scores),
            "good": list(self.good),
            "agreement": self.agreement,
        }

    def _new_start(self, state: dict[str, Any] | None = None) -> Trainer:
        for _ in range(MOST_DRAWS - 1):
            # a narrow network may be drawn with all its units dead: its embedding says nothing
            with suppress(ConstantEmbeddingError):
                return self._trainer_of_new_lobe(state)
        return self._trainer_of_new_lobe(state)

    def _trainer_of_new_lobe(self, state: dict[str, Any] | None) -> Trainer:
        split = self.splits[len(self.starts)]
        lobe = self.new_lobe(self.rng)
        return Trainer(lobe, self.data, split, (SubspaceStage(),), self.settings, self.rng, state)

    def _trainer_on_all(self, start: Trainer, state: dict[str, Any] | None = None) -> Trainer:
        """One cycle of every stage on all frames."""
        return Trainer(
            start.best_lobe(),
            self.data,
            (self._all(), None),
            stages_of(self.settings.objectives),
            self.settings,
            self.rng,
            state,
            ceiling=self._ceiling(),
            keep_head=True,
        )

    def _ceiling(self) -> float:
        """Score at which the training on all frames ends; none where starts are not overfitted.

        Training on all data until the objective is what it was when training on a part of them was
        stopped by the rest: Goodfellow, Bengio and Courville, Deep Learning (2016), algorithm 7.3.
        """
        results = [run.result for run in self.starts if run.result.validated]
        if not results:
            return math.inf
        # one whose linear beginning remained the best has no score of an epoch, but 1
        seen = float(np.mean([max(result.train_score, result.score) for result in results]))
        unseen = float(np.mean([result.score for result in results]))
        is_overfitted = seen - unseen > OVERFITTED_SHARE * (seen - 1.0)
        return seen if is_overfitted else math.inf

    def _all(self) -> list[Block]:
        lengths = [len(samples) for samples in self.data.samples]
        return [(i, 0, n) for i, n in enumerate(lengths) if n > self.settings.lagtime]


def _union(blocks: Sequence[Block]) -> list[Block]:
    """Stretches of the frames in any of some blocks."""
    merged: list[Block] = []
    for i, start, stop in sorted(blocks):
        if merged and merged[-1][0] == i and start <= merged[-1][2]:
            merged[-1] = (i, merged[-1][1], max(stop, merged[-1][2]))
        else:
            merged.append((i, start, stop))
    return merged


def _best_of(results: Sequence[Validation | TrainingResult], among: Sequence[int]) -> int:
    """Which of some results on held-out frames is best."""
    best = among[0]
    for i in among[1:]:
        now, known = results[i], results[best]
        if is_better(now.score, now.error, known.score, known.error):
            best = i
    return best


def _is_as_good(run: Validation, best: Validation) -> bool:
    """Whether a start is no worse than the best one, on the same frames."""
    lead, error = paired_rise(best.score, best.without, run.score, run.without)
    return lead <= max(GOOD_ERRORS * error, GOOD_SHARE * (best.score - 1.0))


def generator_state(rng: np.random.RandomState) -> dict[str, Any]:
    """State of a generator as numbers, strings and lists."""
    name, keys, position, has_gauss, cached_gaussian = rng.get_state(legacy=True)
    return {
        "name": name,
        "keys": np.asarray(keys).tolist(),
        "position": int(position),
        "has_gauss": int(has_gauss),
        "cached_gaussian": float(cached_gaussian),
    }


def set_generator_state(rng: np.random.RandomState, state: dict[str, Any]) -> None:
    """Undo `generator_state`."""
    names = ("name", "keys", "position", "has_gauss", "cached_gaussian")
    rng.set_state(tuple(state[name] for name in names))
