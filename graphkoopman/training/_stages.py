"""Stages of a training: what is trained, by which score, at which rate, on how large a batch.

Public: :class:`Stage`, :class:`SubspaceStage`, :class:`StateStage`, :func:`stages_of`.

A softmax that has settled on too few states stays there: the outputs of a state that it does not
tell apart are saturated or alike, and no gradient leads out. Training therefore begins in front of
the softmax, with the best linear functions of the head's hidden layer, among which nothing
saturates, and makes states of them afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from torch import Tensor

from graphkoopman.lobes import GDyNetLobe
from graphkoopman.objectives import Moments, score_of_moments, subspace_score
from graphkoopman.samples import Batch
from graphkoopman.training._initialise import fit_output

SUBSPACE = "subspace"
# Of the learning rate; linear functions bear longer steps than a softmax, and the layers before
# the head learn what they can only at a rate like this one.
SUBSPACE_RATE = 15.0
# Of the epochs on all frames: one long fall of the rate finds more than several short ones.
SUBSPACE_PACE = 2
# Processes beyond those of the states that are trained along: with none, the functions that come
# first in a random network crowd out slower ones that it does not see yet.
SPARE_PROCESSES = 2
# Functions as many as hidden units overfit the samples of a batch, and a network at full rate
# learns to let them: rare, far outliers. Many samples per function and a ridge keep that small.
SAMPLES_PER_FUNCTION = 100
SUBSPACE_EPSILON = 1e-3
# Scarce data need more of a ridge, as covariances of few independent samples do: one over the
# samples per function, but not so much that it decides alone what is found.
LARGEST_EPSILON = 0.05


class Stage(Protocol):
    """What is trained until it no longer gains.

    Attributes
    ----------
    name : str
        In the history.
    rate : float
        Times the learning rate of the settings.
    pace : int
        Times the updates of an epoch of the settings.
    """

    @property
    def name(self) -> str: ...

    @property
    def rate(self) -> float: ...

    @property
    def pace(self) -> int: ...

    def features(self, lobe: GDyNetLobe) -> Callable[[Batch], Tensor]:
        """The part of the network whose outputs are scored."""
        ...

    def score(
        self, lobe: GDyNetLobe, epsilon: float, n_independent: float
    ) -> Callable[..., Tensor]:
        """What is to be maximised.

        Parameters
        ----------
        lobe : GDyNetLobe
        epsilon : float
            Ridge of the settings.
        n_independent : float
            Independent samples that all frames are worth at most.

        Returns
        -------
        callable
            Of moments of the outputs; takes ``(moments, epsilon=epsilon)``.
        """
        ...

    def batch_frames(self, lobe: GDyNetLobe, batch_size: int | None, n_targets: int) -> int | None:
        """Frames of a batch; None is all."""
        ...

    def ridge(self, lobe: GDyNetLobe, n_independent: float) -> float | None:
        """Of the covariances of the hidden layer, relative to their mean variance.

        None where the stage does not work on the hidden layer. Arguments are as of `score`.
        """
        ...

    def make_states(
        self, lobe: GDyNetLobe, responses: Callable[[], Tensor], rows: Sequence[np.ndarray]
    ) -> float | None:
        """After an epoch: let the output layer make states of what has been learned, in place.

        Parameters
        ----------
        lobe : GDyNetLobe
        responses : callable
            Gives responses of the hidden layer on training frames, (n_samples, n_hidden).
        rows : (ndarray, ndarray), each (n_pairs,)
            Of the responses, at both ends of every pair.

        Returns
        -------
        float or None
            VAMP-2 of the states on these frames; None where the stage trains the output itself.
        """
        ...


@dataclass(frozen=True)
class SubspaceStage:
    """Linear functions of the head's hidden layer, the slowest of which become states."""

    name: str = SUBSPACE
    rate: float = SUBSPACE_RATE
    pace: int = 1

    def features(self, lobe: GDyNetLobe) -> Callable[[Batch], Tensor]:
        """Responses of the hidden layer."""
        return lobe.respond

    def score(
        self, lobe: GDyNetLobe, epsilon: float, n_independent: float
    ) -> Callable[..., Tensor]:
        """VAMP-2 of the best linear functions, a few more than the states have processes."""
        n_functions = min(lobe.head.n_states - 1 + SPARE_PROCESSES, lobe.head.n_hidden)
        ridge = self.ridge(lobe, n_independent)

        def score(moments: Moments, epsilon: float = epsilon) -> Tensor:
            return subspace_score(moments, n_functions, epsilon=max(epsilon, ridge))

        return score

    def batch_frames(self, lobe: GDyNetLobe, batch_size: int | None, n_targets: int) -> int | None:
        """As many samples as so many functions need."""
        if batch_size is None:
            return None
        return min(batch_size, -(-SAMPLES_PER_FUNCTION * lobe.head.n_hidden // n_targets))

    def ridge(self, lobe: GDyNetLobe, n_independent: float) -> float:
        """Functions over the samples, within bounds."""
        return max(SUBSPACE_EPSILON, min(lobe.head.n_hidden / n_independent, LARGEST_EPSILON))

    def make_states(
        self, lobe: GDyNetLobe, responses: Callable[[], Tensor], rows: Sequence[np.ndarray]
    ) -> float | None:
        """Point the output layer at the vertices of the slowest functions."""
        return fit_output(lobe, responses(), *rows)


@dataclass(frozen=True)
class StateStage:
    """Probabilities of the states, the outputs of the softmax."""

    objective: str
    rate: float = 1.0
    pace: int = 1

    @property
    def name(self) -> str:
        """The score."""
        return self.objective

    def features(self, lobe: GDyNetLobe) -> Callable[[Batch], Tensor]:
        """The whole network."""
        return lobe

    def score(
        self, lobe: GDyNetLobe, epsilon: float, n_independent: float
    ) -> Callable[..., Tensor]:
        """The objective."""
        return partial(score_of_moments, method=self.objective)

    def batch_frames(self, lobe: GDyNetLobe, batch_size: int | None, n_targets: int) -> int | None:
        """The batch size."""
        return batch_size

    def ridge(self, lobe: GDyNetLobe, n_independent: float) -> float | None:
        """None: the states are what is trained."""
        return None

    def make_states(
        self, lobe: GDyNetLobe, responses: Callable[[], Tensor], rows: Sequence[np.ndarray]
    ) -> float | None:
        """Nothing: the output layer is trained."""
        return None


def stages_of(objectives: Sequence[str]) -> tuple[Stage, ...]:
    """The stages of a training: the subspace, then one for every score."""
    return (SubspaceStage(pace=SUBSPACE_PACE), *(StateStage(objective) for objective in objectives))
