"""Several runs from different random networks, the best of which is kept."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphkoopman.lobes import GDyNetLobe
from graphkoopman.training._batches import Block
from graphkoopman.training._data import SampleData
from graphkoopman.training._loop import Trainer
from graphkoopman.training._state import TrainingSettings


class Restarts:
    """A whole training, step by step: the best of ``n_init`` starts, trained to the end.

    Every run trains its subspace, which is cheap and tells which processes the network has found;
    the one with the best validation score then goes on alone.

    Parameters
    ----------
    new_lobe : callable
        From a random generator to a network with random weights.
    data : SampleData
    blocks : tuple of sequences of Block
        Training and validation stretches.
    settings : TrainingSettings
    n_init : int
        Number of runs.
    rng : RandomState
        Draws the networks and their batches.
    state : dict or None
        What `state_dict` returned: continue there.

    Attributes
    ----------
    runs : list of Trainer
        Those begun.
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
        if state is None:
            self.runs = [self._new_run()]
            return
        self.runs = [self._new_run(run) for run in state["runs"]]
        set_generator_state(rng, state["rng"])

    @property
    def finished(self) -> bool:
        """Whether the best run is done."""
        return len(self.runs) == self.n_init and self.current.finished

    @property
    def best(self) -> Trainer:
        """The run chosen to go on; before that, the one with the best validation score so far."""
        chosen = [run for run in self.runs if run.trains_states]
        return max(
            chosen or self.runs, key=lambda run: np.nan_to_num(run.result.score, nan=-np.inf)
        )

    @property
    def current(self) -> Trainer:
        """The run under way."""
        if self.runs[-1].in_subspace or len(self.runs) < self.n_init:
            return self.runs[-1]
        return self.best

    def advance(self) -> Trainer:
        """One step of the run under way, or of the next one; returns that run."""
        if len(self.runs) < self.n_init and not self.runs[-1].in_subspace:
            self.runs.append(self._new_run())
        run = self.current
        run.advance()
        return run

    def state_dict(self) -> dict[str, Any]:
        """Everything that the steps to come depend on beside the data, as `Trainer.state_dict`."""
        return {"rng": generator_state(self.rng), "runs": [run.state_dict() for run in self.runs]}

    def _new_run(self, state: dict[str, Any] | None = None) -> Trainer:
        lobe = self.new_lobe(self.rng)
        return Trainer(lobe, self.data, self.blocks, self.settings, self.rng, state)


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
