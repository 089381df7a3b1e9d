"""The optimisation of one network: epochs of statistics batches, validation, early stopping.

A softmax that has settled on too few states stays there: the outputs of a state that it does not
tell apart are saturated or alike, and no gradient leads out. Training therefore begins in front of
the softmax, with the best linear functions of the head's hidden layer, among which nothing
saturates, and makes states of them afterwards.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkoopman.lobes import GDyNetLobe
from graphkoopman.objectives import subspace_score
from graphkoopman.samples import Batch
from graphkoopman.training._batches import Block, StatisticsBatch, sample_batch
from graphkoopman.training._data import SampleData
from graphkoopman.training._features import backward_score, evaluate
from graphkoopman.training._initialise import fit_output, initialise_hidden
from graphkoopman.training._state import (
    SUBSPACE,
    Position,
    TrainingResult,
    TrainingSettings,
    check_numbers,
)
from graphkoopman.training._validation import Validation, says_something, validation_of

MAX_GRADIENT_NORM = 1.0
SUBSPACE_RATE = 10.0  # of the learning rate; linear functions bear longer steps than a softmax
SUBSPACE_PATIENCE = 3
SAMPLES_PER_FUNCTION = 40  # of a subspace batch: keeps noise small against a process worth finding
MOST_LINEAR_SAMPLES = 200_000  # whose 32 hidden units in float64, at both ends, are 100 MB
MIN_IMPROVEMENT = 0.1  # statistical errors of the validation score
LEARNING_RATE_FACTOR = 0.3
# A batch that keeps less than this share of the best score's excess over the constant has lost a
# process: units died or outputs saturated.
COLLAPSED_SHARE = 0.3


class Trainer:
    """One run, step by step: the network, its optimiser, its position, the best weights so far.

    Parameters
    ----------
    lobe : GDyNetLobe
        Trained in place.
    data : SampleData
    blocks : tuple of sequences of Block
        Training and validation stretches.
    settings : TrainingSettings
    rng : RandomState
        Draws the frames of every batch.
    state : dict or None
        What `state_dict` returned: continue there. None starts from the network as it is, with
        the head set from the untrained embedding.
    """

    def __init__(
        self,
        lobe: GDyNetLobe,
        data: SampleData,
        blocks: tuple[Sequence[Block], Sequence[Block]],
        settings: TrainingSettings,
        rng: np.random.RandomState,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.lobe = lobe
        self.data = data
        self.training_blocks, validation_blocks = blocks
        self.settings = settings
        self.rng = rng
        self.held_out = sample_batch(
            validation_blocks, data.samples, settings.lagtime, settings.batch_size, None
        )
        self.position = Position(settings.learning_rate * SUBSPACE_RATE)
        if state is not None:
            self._load_state_dict(state)
            return
        # states of an earlier training are kept unless those of a linear start are better
        earlier = self._present_result() if lobe.has_states else None
        initialise_hidden(lobe, evaluate(data, self._linear_batch(), lobe.embed))
        self._fit_output()
        self.result = self._present_result()
        if earlier is not None and earlier.score > self.result.score:
            self.result = earlier
        self._restart()

    def _present_result(self) -> TrainingResult:
        validation = self.validate()
        return TrainingResult(_snapshot(self.lobe), validation.score, validation.error)

    @property
    def finished(self) -> bool:
        """Whether all stages are done."""
        return self.position.stage == len(self.settings.stages)

    def advance(self) -> None:
        """One update of the network and, where it completes an epoch, a validation."""
        begin = time.perf_counter()
        now = self.position
        score = self._step()
        if score is None:
            now.learning_rate *= LEARNING_RATE_FACTOR
            now.n_rollbacks += 1
            self._restart()
        else:
            now.scores.append(score)
        now.step += 1
        if now.step < self.settings.steps_per_epoch:
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
        self.position = now = Position(**state["position"])
        places = (
            (now.stage, len(settings.stages)),
            (now.epoch, settings.max_epochs),
            (now.step, settings.steps_per_epoch),
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
        """Validate, keep the best weights, go on to the next epoch or stage."""
        now = self.position
        if self.in_subspace:
            self._fit_output()
        validation = self.validate()
        train_score = float(np.mean(now.scores)) if now.scores else math.nan
        row = {
            "stage": now.stage,
            "epoch": now.epoch,
            "objective": self.settings.stages[now.stage],
            "train_score": train_score,
            "validation_score": validation.score,
            "validation_error": validation.error,
            "effective_sample_size": self._effective_sample_size(validation.slowest),
            "learning_rate": now.learning_rate,
            "n_rollbacks": now.n_rollbacks,
        }
        now.stale = 0 if self._has_risen(validation) else now.stale + 1
        now.highest = max(now.highest, train_score)
        self._keep_if_better(validation, train_score)
        row["seconds"] = now.seconds + time.perf_counter() - begin
        self.result.history.append(row)
        self._next_epoch()

    def _has_risen(self, validation: Validation) -> bool:
        """Whether the epoch gained more than noise.

        The held-out frames decide. Where they hold no event of any process, the training frames
        have to.
        """
        if self.result.validated or says_something(validation.score, validation.error):
            return validation.score > self.result.score + MIN_IMPROVEMENT * validation.error
        scores = self.position.scores
        error = np.std(scores) / math.sqrt(len(scores)) if scores else math.nan
        return bool(np.mean(scores) > self.position.highest + 2.0 * error) if scores else False

    def _keep_if_better(self, validation: Validation, train_score: float) -> None:
        best = self.result
        if best.validated or says_something(validation.score, validation.error):
            better = validation.score > best.score
        else:
            better = train_score > best.train_score
        if better:
            best.score, best.error = validation.score, validation.error
            best.train_score, best.weights = train_score, _snapshot(self.lobe)

    def _next_epoch(self) -> None:
        """The next epoch, at a lower rate where the score is stale, or the next stage."""
        now, settings = self.position, self.settings
        patience = SUBSPACE_PATIENCE if self.in_subspace else settings.patience
        stopped = now.stale >= patience
        if stopped or now.epoch + 1 == settings.max_epochs:
            if not self.in_subspace:
                self.result.converged = self.result.converged and stopped
            self.position = Position(settings.learning_rate, stage=now.stage + 1)
            self.result.train_score = 1.0  # scores of two stages are not comparable
            self._restart()
            return
        self.position = Position(
            now.learning_rate, now.stage, now.epoch + 1, stale=now.stale, highest=now.highest
        )
        if not self.in_subspace and now.stale and now.stale % max(1, patience // 2) == 0:
            self.position.learning_rate *= LEARNING_RATE_FACTOR
            self._restart()

    @property
    def in_subspace(self) -> bool:
        """Whether linear functions of the hidden layer are trained, not yet states."""
        return not self.finished and self.settings.stages[self.position.stage] == SUBSPACE

    @property
    def trains_states(self) -> bool:
        """Whether the first step behind the subspace has been made."""
        now = self.position
        return (now.stage, now.epoch, now.step) > (1, 0, 0)

    def _step(self) -> float | None:
        """One update; None where the network has collapsed or diverged and nothing was done."""
        self.lobe.train()
        self.optimizer.zero_grad()
        function: Callable[[Batch], Tensor] = self.lobe
        score_of: str | Callable[..., Tensor]
        n_frames, epsilon = self.settings.batch_size, self.settings.epsilon
        if self.in_subspace:
            function, n_frames = self.lobe.respond, self._subspace_frames()
            score_of = partial(subspace_score, n_functions=self.lobe.head.n_states - 1)
        else:
            score_of = self.settings.stages[self.position.stage]
        batch = self._sample(self.rng, n_frames)
        try:
            score = backward_score(function, self.data, batch, score=score_of, epsilon=epsilon)
        except torch.linalg.LinAlgError:  # outputs that are not finite
            return None
        norm = torch.nn.utils.clip_grad_norm_(self.lobe.parameters(), MAX_GRADIENT_NORM)
        enough = 1.0 + COLLAPSED_SHARE * (self.result.score - 1.0)
        if not math.isfinite(score) or not torch.isfinite(norm) or score < enough:
            return None
        self.optimizer.step()
        return score

    def _fit_output(self) -> None:
        """Make states of the best linear functions of the hidden layer."""
        batch = self._linear_batch()
        self.lobe.eval()
        responses = evaluate(self.data, batch, self.lobe.respond)
        fit_output(self.lobe, responses, batch.start_rows, batch.end_rows)

    def _restart(self) -> None:
        """Back to the best weights, with a fresh optimiser."""
        self.lobe.load_state_dict(self.result.weights)
        self.optimizer = self._new_optimizer()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        """Adam at the present rate.

        What the head sees is the embedding in units of its spread over the frames, often a few
        hundredths. Steps of the layers before it are scaled by that spread, or each would move the
        embedding by many times what tells frames apart.
        """
        rate = self.position.learning_rate
        trained = [p for p in self.lobe.parameters() if p.requires_grad]
        head = {id(p) for p in self.lobe.head.parameters()}
        spread = min(1.0, self.lobe.head.spread)
        groups = [
            {
                "params": [p for p in trained if (id(p) in head) == in_head],
                "lr": rate * (1.0 if in_head else spread),
            }
            for in_head in (True, False)
        ]
        return torch.optim.Adam(groups)

    def validate(self) -> Validation:
        """Score of the network on the held-out frames; NaN where it has diverged."""
        self.lobe.eval()
        features = evaluate(self.data, self.held_out, self.lobe)
        if not torch.isfinite(features).all():
            return Validation(math.nan, math.nan, math.nan)
        return validation_of(features, self.held_out, self.settings.epsilon)

    def batch(self, rng: np.random.RandomState | None) -> StatisticsBatch:
        """Training frames of one estimate; without a generator always the same ones."""
        return self._sample(rng, self.settings.batch_size)

    def _sample(self, rng: np.random.RandomState | None, n_frames: int | None) -> StatisticsBatch:
        graphs, lagtime = self.data.samples, self.settings.lagtime
        return sample_batch(self.training_blocks, graphs, lagtime, n_frames, rng)

    def _linear_batch(self) -> StatisticsBatch:
        """Always the same training frames: those of an estimate, or about as many as memory bears.

        The best linear functions of some frames need the vectors of all of them at a time.
        """
        n_frames = sum(end - begin for _, begin, end in self.training_blocks)
        most = max(1, MOST_LINEAR_SAMPLES // self._most_targets)
        if self.settings.batch_size is None and n_frames > most:
            return self._sample(None, most)
        return self.batch(None)

    @property
    def _most_targets(self) -> int:
        """Targets of the trajectory that has most of them."""
        return max(graphs.n_targets for graphs in self.data.samples)

    def _subspace_frames(self) -> int | None:
        """Frames of a batch of the subspace, whose functions are as many as hidden units."""
        if self.settings.batch_size is None:
            return None
        n_samples = SAMPLES_PER_FUNCTION * self.lobe.head.n_hidden
        return min(self.settings.batch_size, -(-n_samples // self._most_targets))

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
            for run in self.batch(None).runs
        )


def _snapshot(lobe: GDyNetLobe) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in lobe.state_dict().items()}
