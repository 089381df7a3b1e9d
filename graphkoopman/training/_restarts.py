"""Several runs from different random networks, the best of which goes on."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from graphkoopman.koopman import identify_states
from graphkoopman.lobes import GDyNetLobe
from graphkoopman.training._agreement import median_agreement
from graphkoopman.training._batches import Block
from graphkoopman.training._data import SampleData
from graphkoopman.training._features import evaluate
from graphkoopman.training._initialise import ConstantEmbeddingError
from graphkoopman.training._loop import Trainer
from graphkoopman.training._state import TrainingSettings
from graphkoopman.training._validation import is_better

GOOD_ERRORS = 2.0  # of the difference to the best start that a good one may be below it
GOOD_SHARE = 0.05  # or of the best score's excess over the constant
MOST_DRAWS = 5  # of a network whose embedding does not tell targets apart


class Restarts:
    """A whole training, step by step: ``n_init`` starts, the best of which is trained to the end.

    Every start trains its subspace for one cycle, which tells which processes the network has
    found. They are compared on the same held-out frames, and the best goes on alone.

    Parameters
    ----------
    new_lobe : callable
        From a random generator to a network with random weights.
    data : SampleData
    blocks : tuple of sequences of Block
        Training and validation stretches.
    settings : TrainingSettings
    n_init : int
        Number of starts.
    rng : RandomState
        Draws the networks and their batches.
    state : dict or None
        What `state_dict` returned: continue there.

    Attributes
    ----------
    runs : list of Trainer
        Starts that have begun.
    start_scores : list of float
        Validation score of every start after its cycle; empty until all have been compared.
    agreement : float
        Median of Cohen's κ between the states of the good starts, those that are within the error
        of the difference or 5 % of the best one; with one good start, between it and the next
        best. NaN with one start, or before they have been compared.
    """

    def __init__(
        self,
        new_lobe: Callable[[np.random.RandomState], GDyNetLobe],
        data: SampleData,
        blocks: tuple[Sequence[Block], Sequence[Block]],
        settings: TrainingSettings,
        n_init: int,
        rng: np.random.RandomState,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.new_lobe = new_lobe
        self.data = data
        self.blocks = blocks
        self.settings = settings
        self.n_init = n_init
        self.rng = rng
        self.chosen: int | None = None
        self.start_scores: list[float] = []
        self.agreement = math.nan
        if state is None:
            self.runs = [self._new_run()]
            return
        self.runs = [self._new_run(run) for run in state["runs"]]
        if state["chosen"] is not None:
            self.chosen = range(len(self.runs))[state["chosen"]]
            self.start_scores = [float(score) for score in state["start_scores"]]
            self.agreement = float(state["agreement"])
        set_generator_state(rng, state["rng"])

    @property
    def finished(self) -> bool:
        """Whether the best run is done."""
        return self.chosen is not None and self.best.finished

    @property
    def best(self) -> Trainer:
        """The run chosen to go on; before that, the one with the best validation score so far."""
        if self.chosen is not None:
            return self.runs[self.chosen]
        return _best(self.runs)

    def advance(self) -> Trainer:
        """One step of the run under way, or of the next one; returns that run."""
        if self.chosen is None and self.runs[-1].explored:
            self.runs.append(self._new_run())
        run = self.runs[-1] if self.chosen is None else self.best
        run.advance()
        if self.chosen is None and run.explored and len(self.runs) == self.n_init:
            self._choose()
        return run

    def _choose(self) -> None:
        """Compare the starts, and go on with the best."""
        best = _best(self.runs)
        self.start_scores = [run.result.score for run in self.runs]
        others = [run for run in self.runs if run is not best]
        good = [best, *(run for run in others if _is_as_good(run, best))]
        if len(good) == 1 and others:
            good.append(_best(others))
        if len(good) > 1:
            labels = [self._labels(run) for run in good]
            self.agreement = median_agreement(labels, best.lobe.head.n_states)
        self.chosen = self.runs.index(best)

    def _labels(self, run: Trainer) -> np.ndarray:
        """States of the training frames of one start."""
        batch = run.linear_batch()
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
            "agreement": self.agreement,
        }

    def _new_run(self, state: dict[str, Any] | None = None) -> Trainer:
        for _ in range(MOST_DRAWS - 1):
            # a narrow network may be drawn with all its units dead: its embedding says nothing
            with suppress(ConstantEmbeddingError):
                return self._trainer_of_new_lobe(state)
        return self._trainer_of_new_lobe(state)

    def _trainer_of_new_lobe(self, state: dict[str, Any] | None) -> Trainer:
        lobe = self.new_lobe(self.rng)
        return Trainer(lobe, self.data, self.blocks, self.settings, self.rng, state)


def _best(runs: Sequence[Trainer]) -> Trainer:
    best = runs[0]
    for run in runs[1:]:
        now, known = run.result, best.result
        if is_better(now.score, now.error, known.score, known.error):
            best = run
    return best


def _is_as_good(run: Trainer, best: Trainer) -> bool:
    """Whether a start is no worse than the best one, on the same held-out frames."""
    lead, error = best.result.rise_over(run.result)
    return lead <= max(GOOD_ERRORS * error, GOOD_SHARE * (best.result.score - 1.0))


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
