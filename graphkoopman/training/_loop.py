"""The optimisation of one network: stages of cycles of epochs, validation, the end of a stage."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkoopman.lobes import GDyNetLobe
from graphkoopman.objectives import moments_of_rows, singular_values
from graphkoopman.training._batches import Block, StatisticsBatch, sample_batch
from graphkoopman.training._data import SampleData
from graphkoopman.training._features import backward_score, evaluate
from graphkoopman.training._initialise import ConstantEmbeddingError, initialise_hidden
from graphkoopman.training._schedule import rate_in_cycle
from graphkoopman.training._stages import Stage, SubspaceStage
from graphkoopman.training._state import (
    Position,
    Reference,
    TrainingResult,
    TrainingSettings,
    check_numbers,
)
from graphkoopman.training._validation import (
    Validation,
    is_better,
    is_beyond_chance,
    says_something,
    validation_of,
)

MAX_GRADIENT_NORM = 1.0
# Of frames whose vectors are needed at a time: those that make states, and the held-out ones. All
# frames of scarce data, whose batches would leave out much of what is known.
MOST_LINEAR_SAMPLES = 40_000
LINEAR_EDGES = 12_000_000
SIGNIFICANT_RISE = 1.0  # errors of the difference that a cycle has to gain
LEAST_RISE = 5e-3  # less is not worth a cycle, however well it is known
DAMPING = 0.3  # of the rate after a collapse
# A batch that keeps less than this share of the best score's excess over the constant has lost a
# process: units died or outputs saturated.
COLLAPSED_SHARE = 0.3
# Training frames that keep less than this share of the excess once reached: the network serves its
# batches with outliers, of which the frames together know nothing.
RUNAWAY_SHARE = 0.5
# The hidden layer sees the embedding whitened, fast and faint directions of it enlarged. Long steps
# of the layers before it move the embedding under those large weights, and a faint process is lost
# to sight, from where no gradient leads back: its variance is below the ridge. A process of which
# less than this share is left makes the layer be whitened anew.
LOST_SHARE = 0.5
LEAST_SHOWN = 0.02  # of a singular value; of less than that there is nothing to lose


class Trainer:
    """One run, step by step: the network, its optimiser, its position, the best weights so far.

    Parameters
    ----------
    lobe : GDyNetLobe
        Trained in place.
    data : SampleData
    blocks : tuple of sequences of Block
        Training and validation stretches. With None in place of the latter the run is judged by
        the frames it trains on, and every stage is one cycle: a score on frames that were trained
        on may rise for ever.
    stages : tuple of Stage
        One after the other.
    settings : TrainingSettings
    rng : RandomState
        Draws the frames of every batch.
    state : dict or None
        What `state_dict` returned: continue there. None starts from the network as it is.
    ceiling : float
        VAMP-2 of the states on the frames that the run is judged by, at which it ends.
    keep_head : bool
        Whether the head is as an earlier run has left it; otherwise it is set from the untrained
        embedding.

    Attributes
    ----------
    held_out : StatisticsBatch
        Frames of the validation, the same throughout.
    position : Position
    result : TrainingResult
    """

    def __init__(
        self,
        lobe: GDyNetLobe,
        data: SampleData,
        blocks: tuple[Sequence[Block], Sequence[Block] | None],
        stages: tuple[Stage, ...],
        settings: TrainingSettings,
        rng: np.random.RandomState,
        state: dict[str, Any] | None = None,
        *,
        ceiling: float = math.inf,
        keep_head: bool = False,
    ) -> None:
        self.lobe = lobe
        self.ceiling = ceiling
        self.data = data
        self.training_blocks, validation_blocks = blocks
        self.stages = stages
        self.settings = settings
        self.rng = rng
        self.holds_out = validation_blocks is not None
        self.held_out = self.batch_of(validation_blocks or self.training_blocks)
        self.result = TrainingResult({}, 1.0, math.inf)
        if state is not None:
            self._load_state_dict(state)
            return
        # states of an earlier training are kept unless those of a linear start are better
        earlier = self._present_result() if lobe.has_states else None
        if not keep_head:
            seen = self.linear_batch()
            initialise_hidden(lobe, evaluate(data, seen, lobe.embed), seen)
        responses = cache(self._responses)
        SubspaceStage().make_states(lobe, responses, self._linear_rows())
        self._agree()
        self.result = self._present_result()
        if earlier is not None and earlier.score > self.result.score:
            self.result = earlier
        shown = self._processes(stages[0], responses)
        self.position = Position(reference=self._reference(), shown=shown)
        self._restart()

    def _present_result(self) -> TrainingResult:
        validation = self.validate()
        return TrainingResult(
            _snapshot(self.lobe), validation.score, validation.error, validation.without
        )

    @property
    def finished(self) -> bool:
        """Whether all stages are done."""
        return self.position.stage == len(self.stages)

    @property
    def explored(self) -> bool:
        """Whether the first cycle is done, after which starts are compared."""
        return (self.position.stage, self.position.cycle) > (0, 0)

    def advance(self) -> None:
        """One update of the network and, where it completes an epoch, a validation."""
        begin = time.perf_counter()
        now = self.position
        score = self._step()
        if score is None:
            self._roll_back()
        else:
            now.scores.append(score)
        now.step += 1
        if now.step < self._steps(self.stages[now.stage]):
            now.seconds += time.perf_counter() - begin
        else:
            self._end_epoch(begin)

    def best_lobe(self) -> GDyNetLobe:
        """A copy of the network with the best weights so far, ready for evaluation."""
        lobe = copy.deepcopy(self.lobe)
        lobe.load_state_dict(self.result.weights)
        lobe.has_states = True
        return lobe.eval()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the steps to come depend on, beside the data and the generator.

        Returns
        -------
        dict
            Of numbers, strings, lists, dicts with string keys, and tensors.
        """
        optimizer = self.optimizer.state_dict()["state"]
        return {
            "lobe": _snapshot(self.lobe),
            "optimizer": {str(i): dict(values) for i, values in optimizer.items()},
            "position": asdict(self.position),
            "result": vars(self.result).copy(),
        }

    def _load_state_dict(self, state: dict[str, Any]) -> None:
        settings = self.settings
        position = dict(state["position"])
        position["reference"] = Reference(**position["reference"])
        self.position = now = Position(**position)
        places = (
            (now.stage, len(self.stages)),
            (now.cycle, settings.max_epochs),
            (now.epoch, settings.max_epochs),
            (now.cycle_start, settings.max_epochs),
            (now.step, max(self._steps(stage) for stage in self.stages)),
        )
        if not all(n in range(most + 1) for n, most in places):
            raise ValueError(f"stage {now.stage}, epoch {now.epoch} and step {now.step}")
        self.result = TrainingResult(**state["result"])
        check_numbers(now, self.result)
        self.lobe.load_state_dict(self.result.weights)
        self.lobe.load_state_dict(state["lobe"])
        self.optimizer = self._new_optimizer()
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {int(i): values for i, values in state["optimizer"].items()}
        self.optimizer.load_state_dict(optimizer)

    def _end_epoch(self, begin: float) -> None:
        """Make states, validate, keep the best weights, go on to the next epoch, cycle or stage."""
        now, stage = self.position, self.stages[self.position.stage]
        responses = cache(self._finite_responses)
        if self._has_lost_a_process(stage, responses):
            self._whiten_anew()
            responses = cache(self._responses)
            now.shown = self._processes(stage, responses)
        train_score = stage.make_states(self.lobe, responses, self._linear_rows())
        self._agree()
        if train_score is None:
            train_score = float(np.mean(now.scores)) if now.scores else math.nan
        validation = self.validate()
        row: dict[str, Any] = {
            "stage": now.stage,
            "epoch": now.epoch,
            "objective": stage.name,
            "train_score": train_score,
            "validation_score": validation.score if self.holds_out else math.nan,
            "validation_error": validation.error if self.holds_out else math.nan,
            "effective_sample_size": self._effective_sample_size(validation.slowest),
            "learning_rate": self._rate(),
            "n_rollbacks": now.n_rollbacks,
        }
        self._keep_if_better(validation, train_score)
        if train_score - 1.0 < RUNAWAY_SHARE * (now.highest - 1.0):
            now.damping *= DAMPING
            row["n_rollbacks"] += 1
            self._restart()
        now.highest = max(now.highest, train_score)
        row["seconds"] = now.seconds + time.perf_counter() - begin
        self.result.history.append(row)
        self._next_epoch()

    def _processes(self, stage: Stage, responses: Callable[[], Tensor]) -> list[float]:
        """Singular values of the processes between states that the hidden layer shows.

        On the frames that make states, as the score sees them; empty in stages behind that layer.
        """
        ridge = stage.ridge(self.lobe, self._n_independent)
        if ridge is None:
            return []
        pairs = (torch.from_numpy(rows) for rows in self._linear_rows())
        values = singular_values(moments_of_rows(responses(), *pairs), epsilon=ridge)
        return values[: self.lobe.head.n_states - 1].tolist()

    def _has_lost_a_process(self, stage: Stage, responses: Callable[[], Tensor]) -> bool:
        """Whether little is left of one that the hidden layer had shown; remembers the most."""
        now = self._processes(stage, responses)
        most = self.position.shown or now
        self.position.shown = [max(pair) for pair in zip(now, most, strict=True)]
        pairs = zip(now, most, strict=True)
        return any(was >= LEAST_SHOWN and left < LOST_SHARE * was for left, was in pairs)

    def _whiten_anew(self) -> None:
        """Let the hidden layer see what the embedding has become, all directions alike."""
        seen = self.linear_batch()
        self.lobe.eval()
        try:
            initialise_hidden(self.lobe, evaluate(self.data, seen, self.lobe.embed), seen, self.rng)
        except ConstantEmbeddingError:
            self._roll_back()
        else:
            self.optimizer = self._new_optimizer()

    def _keep_if_better(self, validation: Validation, train_score: float) -> None:
        best = self.result
        if best.validated or says_something(validation.score, validation.error):
            better = is_better(validation.score, validation.error, best.score, best.error)
            better = better and self._is_beyond_chance(validation)
        else:
            better = train_score > best.train_score
        if better:
            best.score, best.error = validation.score, validation.error
            best.without, best.train_score = validation.without, train_score
            best.weights = _snapshot(self.lobe)

    def _is_beyond_chance(self, validation: Validation) -> bool:
        """Whether trained states are better than those that their stage began with.

        Frames that were trained on do not tell an event from an outlier that the network has
        learned. The error of the rise does: an outlier is in one stretch of them.
        """
        now = self.position
        if self.holds_out or now.stage == 0:
            return True
        first = now.reference
        return is_beyond_chance(validation.score, validation.without, first.score, first.without)

    def _next_epoch(self) -> None:
        """The next epoch, the next cycle from the best weights at full rate, or the next stage.

        A stage ends with a cycle that has not raised the score beyond the error of the rise, or,
        without held-out frames, with its first. All of them end at the ceiling.
        """
        now, settings = self.position, self.settings
        now.epoch, now.step, now.scores, now.n_rollbacks, now.seconds = now.epoch + 1, 0, [], 0, 0.0
        out_of_epochs = now.epoch == settings.max_epochs
        whole = now.epoch - now.cycle_start == settings.patience
        at_ceiling = self.result.score >= self.ceiling
        if not whole and not out_of_epochs and not at_ceiling:
            return
        done = at_ceiling or (whole and not (self.holds_out and self._has_risen()))
        if done or out_of_epochs:
            self.result.converged = self.result.converged and done
            following = len(self.stages) if at_ceiling else now.stage + 1
            if following < len(self.stages):
                self.result.train_score = 1.0  # scores of two stages are not comparable
            self.position = Position(reference=self._reference(), stage=following)
        else:
            now.reference = self._reference()
            now.cycle, now.cycle_start = now.cycle + 1, now.epoch
            now.damping = max(now.damping, DAMPING)
        self._restart()

    def _has_risen(self) -> bool:
        """Whether the cycle gained more than noise.

        The held-out frames decide. Where they hold no event of any process, the training frames
        have to.
        """
        if self.result.validated:
            rise, error = self.result.rise_over(self.position.reference)
        else:
            rise, error = self.result.train_score - self.position.reference.train_score, 0.0
        return rise > max(LEAST_RISE, SIGNIFICANT_RISE * error)

    def _reference(self) -> Reference:
        best = self.result
        return Reference(best.score, list(best.without), best.train_score)

    def _step(self) -> float | None:
        """One update; None where the network has collapsed or diverged and nothing was done."""
        self.lobe.train()
        self.optimizer.zero_grad()
        stage, epsilon = self.stages[self.position.stage], self.settings.epsilon
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        n_frames = stage.batch_frames(self.lobe, self.settings.batch_size, self._most_targets)
        batch = self._sample(self.rng, n_frames)
        score_of = stage.score(self.lobe, epsilon, self._n_independent)
        try:
            score = backward_score(
                stage.features(self.lobe), self.data, batch, score=score_of, epsilon=epsilon
            )
        except torch.linalg.LinAlgError:  # outputs that are not finite
            return None
        norm = torch.nn.utils.clip_grad_norm_(self.lobe.parameters(), MAX_GRADIENT_NORM)
        enough = 1.0 + COLLAPSED_SHARE * (self.result.score - 1.0)
        if not math.isfinite(score) or not torch.isfinite(norm) or score < enough:
            return None
        self.optimizer.step()
        return score

    def _rate(self) -> float:
        """The learning rate of the next update."""
        now, settings = self.position, self.settings
        n_epochs = min(settings.patience, settings.max_epochs - now.cycle_start)
        stage = self.stages[now.stage]
        done = (now.epoch - now.cycle_start + now.step / self._steps(stage)) / n_epochs
        return settings.learning_rate * stage.rate * now.damping * rate_in_cycle(done)

    def _steps(self, stage: Stage) -> int:
        """Updates of an epoch."""
        return stage.pace * self.settings.steps_per_epoch

    def _agree(self) -> None:
        """Weights of rank 0 on all processes, whose processors may round in other ways."""
        if self.data.reducer.size > 1:
            self.lobe.load_state_dict(self.data.reducer.same(_snapshot(self.lobe)))

    def _responses(self) -> Tensor:
        """Responses of the head's hidden layer on the frames that make states."""
        self.lobe.eval()
        return evaluate(self.data, self.linear_batch(), self.lobe.respond)

    def _finite_responses(self) -> Tensor:
        """The same, of the best network if the last step of an epoch has diverged."""
        responses = self._responses()
        if torch.isfinite(responses).all():
            return responses
        self._roll_back()
        return self._responses()

    def _linear_rows(self) -> tuple[np.ndarray, np.ndarray]:
        batch = self.linear_batch()
        return batch.start_rows, batch.end_rows

    def _roll_back(self) -> None:
        """Back to the best weights, and on in shorter steps."""
        self.position.damping *= DAMPING
        self.position.n_rollbacks += 1
        self._restart()

    def _restart(self) -> None:
        """Back to the best weights, with a fresh optimiser."""
        self.lobe.load_state_dict(self.result.weights)
        self.optimizer = self._new_optimizer()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        """Adam at one rate for all layers, which `_step` sets."""
        trained = [p for p in self.lobe.parameters() if p.requires_grad]
        return torch.optim.Adam(trained, lr=self.settings.learning_rate)

    def validate(self) -> Validation:
        """Score of the network on the held-out frames; NaN where it has diverged."""
        self.lobe.eval()
        return self.validation_on(self.held_out, self.lobe)

    def validation_on(self, batch: StatisticsBatch, lobe: GDyNetLobe) -> Validation:
        """Score of a network on some frames; NaN where it has diverged."""
        features = evaluate(self.data, batch, lobe)
        if not torch.isfinite(features).all():
            return Validation(math.nan, math.nan, math.nan)
        return validation_of(features, batch, self.settings.epsilon)

    def batch_of(self, blocks: Sequence[Block]) -> StatisticsBatch:
        """Frames of some stretches: all of them, or as many as memory and time bear."""
        samples, lagtime = self.data.samples, self.settings.lagtime
        return sample_batch(blocks, samples, lagtime, self._linear_frames(), None)

    def linear_batch(self) -> StatisticsBatch:
        """Always the same training frames, for the best linear functions of their vectors."""
        return self.batch_of(self.training_blocks)

    def _sample(self, rng: np.random.RandomState | None, n_frames: int | None) -> StatisticsBatch:
        samples, lagtime = self.data.samples, self.settings.lagtime
        return sample_batch(self.training_blocks, samples, lagtime, n_frames, rng)

    def _linear_frames(self) -> int:
        cost = max(1.0, *(samples.cost for samples in self.data.samples))
        most = min(MOST_LINEAR_SAMPLES / self._most_targets, LINEAR_EDGES / cost)
        return max(1, int(most))

    @property
    def _n_independent(self) -> float:
        """Samples two lag times apart, which is how long the fastest process of use lasts."""
        pairs = sum(len(samples) * samples.n_targets for samples in self.data.samples)
        return pairs / (2.0 * self.settings.lagtime)

    @property
    def _most_targets(self) -> int:
        """Targets of the trajectory that has most of them."""
        return max(samples.n_targets for samples in self.data.samples)

    def _effective_sample_size(self, singular_value: float) -> float:
        """Independent samples of the slowest process in one batch.

        A series of length T of a process that relaxes with time t is worth ``T / 2t`` samples, and
        at least one per stretch and target.
        """
        if not 0.0 < singular_value < 1.0:
            return math.nan
        relaxation = -self.settings.lagtime / math.log(singular_value)
        return sum(
            self.data.samples[run.trajectory].n_targets
            * max(1.0, (run.frames[-1] - run.frames[0] + 1) / (2.0 * relaxation))
            for run in self._sample(None, self.settings.batch_size).runs
        )


def _snapshot(lobe: GDyNetLobe) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in lobe.state_dict().items()}
