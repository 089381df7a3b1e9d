"""The optimisation of one network: epochs of statistics batches, validation, early stopping."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from graphkoopman.lobes import GDyNetLobe
from graphkoopman.objectives import EPSILON, moments, singular_values, vamp2_score
from graphkoopman.training._batches import Block, StatisticsBatch, sample_batch
from graphkoopman.training._features import GraphData, backward_score, evaluate
from graphkoopman.training._initialise import initialise_head

MAX_GRADIENT_NORM = 1.0
MIN_IMPROVEMENT = 1e-4  # of a score that is at most n_states
LEARNING_RATE_FACTOR = 0.3
# A batch that keeps less than this share of the best score's excess over the constant has lost a
# process: units died or outputs saturated.
COLLAPSED_SHARE = 0.3


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; the estimator's parameters of the same names.

    ``objectives`` holds the score of every stage, trained one after the other.
    """

    lagtime: int
    objectives: Sequence[str] = ("VAMP2",)
    learning_rate: float = 3e-3
    max_epochs: int = 50
    steps_per_epoch: int = 10
    patience: int = 8
    batch_size: int | None = 4000
    epsilon: float = EPSILON


@dataclass
class TrainingResult:
    """The best network of a run and how it got there.

    Attributes
    ----------
    weights : dict of str to Tensor
        State of the network with the best validation score.
    score : float
        That score, VAMP-2 counted with the constant.
    history : list of dict
        One row per epoch: ``stage``, ``epoch``, ``objective``, ``train_score`` (mean over the
        batches), ``validation_score`` (VAMP-2), ``effective_sample_size`` (of a batch, for the
        slowest process), ``learning_rate``, ``n_rollbacks``, ``seconds``.
    converged : bool
        Whether every stage stopped by itself before ``max_epochs``.
    """

    weights: dict[str, Tensor]
    score: float
    history: list[dict] = field(default_factory=list)
    converged: bool = True


class Trainer:
    """State of one run: the network, its optimiser and the best weights so far.

    Parameters
    ----------
    lobe : GDyNetLobe
        Trained in place.
    data : GraphData
    blocks : tuple of sequences of Block
        Training and validation stretches.
    settings : TrainingSettings
    rng : RandomState
        Draws the frames of every batch.
    """

    def __init__(
        self,
        lobe: GDyNetLobe,
        data: GraphData,
        blocks: tuple[Sequence[Block], Sequence[Block]],
        settings: TrainingSettings,
        rng: np.random.RandomState,
    ) -> None:
        self.lobe = lobe
        self.data = data
        self.training_blocks, validation_blocks = blocks
        self.settings = settings
        self.rng = rng
        first = self._batch(None)
        pooled = evaluate(data, first, lobe.embed)
        initialise_head(lobe, pooled, first.start_rows, first.end_rows)
        self.held_out = sample_batch(
            validation_blocks, data.graphs, settings.lagtime, settings.batch_size, None
        )
        self.result = TrainingResult(_snapshot(lobe), self.validate()[0])

    def run(self, progress: tqdm | None = None) -> TrainingResult:
        """Train all stages and leave the network with the best weights."""
        for stage, method in enumerate(self.settings.objectives):
            for epoch, row in enumerate(self._stage(method)):
                self.result.history.append(
                    {"stage": stage, "epoch": epoch, "objective": method, **row}
                )
                if progress is not None:
                    progress.update()
                    progress.set_postfix_str(
                        f"{method} {row['train_score']:.4f}, validation "
                        f"{row['validation_score']:.4f}, best {self.result.score:.4f}"
                    )
        self.lobe.load_state_dict(self.result.weights)
        self.lobe.eval()
        return self.result

    def _stage(self, method: str) -> Iterator[dict]:
        """Epochs with one score until the validation score is stale or epochs run out."""
        rate, stale = self.settings.learning_rate, 0
        optimizer = self._restart(rate)
        for _ in range(self.settings.max_epochs):
            begin = time.perf_counter()
            scores, n_rollbacks = [], 0
            for _ in range(self.settings.steps_per_epoch):
                score = self._step(optimizer, method)
                if score is None:
                    rate *= LEARNING_RATE_FACTOR
                    optimizer = self._restart(rate)
                    n_rollbacks += 1
                else:
                    scores.append(score)
            validation, slowest = self.validate()
            stale = 0 if validation > self.result.score + MIN_IMPROVEMENT else stale + 1
            if validation > self.result.score:
                self.result.score, self.result.weights = validation, _snapshot(self.lobe)
            yield {
                "train_score": float(np.mean(scores)) if scores else math.nan,
                "validation_score": validation,
                "effective_sample_size": self._effective_sample_size(slowest),
                "learning_rate": rate,
                "n_rollbacks": n_rollbacks,
                "seconds": time.perf_counter() - begin,
            }
            if stale >= self.settings.patience:
                return
            if stale and stale % max(1, self.settings.patience // 2) == 0:
                rate *= LEARNING_RATE_FACTOR
                optimizer = self._restart(rate)
        self.result.converged = False

    def _step(self, optimizer: torch.optim.Optimizer, method: str) -> float | None:
        """One update; None where the network has collapsed or diverged and nothing was done."""
        self.lobe.train()
        optimizer.zero_grad()
        score = backward_score(
            self.lobe,
            self.data,
            self._batch(self.rng),
            method=method,
            epsilon=self.settings.epsilon,
        )
        norm = torch.nn.utils.clip_grad_norm_(self.lobe.parameters(), MAX_GRADIENT_NORM)
        enough = 1.0 + COLLAPSED_SHARE * (self.result.score - 1.0)
        if not math.isfinite(score) or not torch.isfinite(norm) or score < enough:
            return None
        optimizer.step()
        return score

    def _restart(self, learning_rate: float) -> torch.optim.Optimizer:
        """Back to the best weights, with a fresh optimiser.

        What the head sees is the embedding in units of its spread over the frames, often a few
        hundredths. Steps of the layers before it are scaled by that spread, or each would move the
        embedding by many times what tells frames apart.
        """
        self.lobe.load_state_dict(self.result.weights)
        head = {id(p) for layer in (self.lobe.hidden, self.lobe.output) for p in layer.parameters()}
        spread = min(1.0, self.lobe.pooled_scale.mean().item())
        groups = [
            {
                "params": [p for p in self.lobe.parameters() if (id(p) in head) == in_head],
                "lr": learning_rate * (1.0 if in_head else spread),
            }
            for in_head in (True, False)
        ]
        return torch.optim.Adam(groups)

    def validate(self) -> tuple[float, float]:
        """VAMP-2 on the held-out frames and the largest singular value there."""
        self.lobe.eval()
        features = evaluate(self.data, self.held_out, self.lobe)
        ends = features[self.held_out.start_rows], features[self.held_out.end_rows]
        slowest = singular_values(moments(*ends), self.settings.epsilon)[0]
        return vamp2_score(*ends, epsilon=self.settings.epsilon).item(), slowest.item()

    def _batch(self, rng: np.random.RandomState | None) -> StatisticsBatch:
        s = self.settings
        return sample_batch(self.training_blocks, self.data.graphs, s.lagtime, s.batch_size, rng)

    def _effective_sample_size(self, singular_value: float) -> float:
        """Independent samples of the slowest process in one batch.

        A series of length T of a process that relaxes with time t is worth ``T / 2t`` samples, and
        at least one per stretch and target.
        """
        if not 0.0 < singular_value < 1.0:
            return math.nan
        relaxation = -self.settings.lagtime / math.log(singular_value)
        return sum(
            self.data.graphs[run.trajectory].n_targets
            * max(1.0, (run.frames[-1] - run.frames[0] + 1) / (2.0 * relaxation))
            for run in self._batch(None).runs
        )


def _snapshot(lobe: GDyNetLobe) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in lobe.state_dict().items()}
