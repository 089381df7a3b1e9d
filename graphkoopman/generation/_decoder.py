"""Local environments drawn for given state probabilities: `EnvironmentDecoder`."""

import time
import warnings
from collections.abc import Iterator
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from graphkoopman.generation._environments import as_atoms, cut_environments
from graphkoopman.generation._flow import (
    FlowBatch,
    VelocityNetwork,
    follow_flow,
    train_flow,
)
from graphkoopman.generation._prior import Contacts, Prior, RadialCorrection
from graphkoopman.generation._warnings import ClosureWarning
from graphkoopman.probabilities import as_probabilities
from graphkoopman.progress import Progress
from graphkoopman.randomness import RandomState, as_generator
from graphkoopman.trajectories import Trajectory, check_integer

Array = NDArray[np.float64]
Index = NDArray[np.int64]

CALIBRATION = 3000  # environments of each class that the correction of radii is learned from
MOST_DRAWS = 10
CHUNK = 64  # environments at a time, few enough for the caches of a processor


class EnvironmentDecoder(BaseEstimator):
    r"""Draw local environments of targets for given state probabilities.

    An environment of the data whose probabilities are as asked for is put under white noise, and
    carried to a new one by a flow that is equivariant to rotations, reflections and permutations
    [1]_ [2]_. The flow takes all environments under noise to the distribution of all environments,
    so that what is drawn is distributed as the data are, but is none of them [3]_. Distances to the
    target are then corrected element by element such that they are distributed as in the data,
    atoms that are closer than nearly all such pairs of the data are pushed apart, and environments
    that still hold a close pair are drawn again.

    Parameters
    ----------
    n_neighbors : int
        Neighbours M of the first atom of a target; further atoms of a molecule come on top.
    noise : float
        Standard deviation of the noise along every axis, Å. More makes environments that are less
        like any of the data, and takes a longer training.
    n_hidden, n_layers : int
        Width and depth of the network.
    n_steps : int
        Training steps.
    batch_size : int
        Environments per step.
    learning_rate : float
        Largest rate of a cycle.
    max_environments : int
        Environments of the data to learn from, about.
    n_integration : int
        Steps of the flow.
    random_state : int, RandomState, Generator or None
        Seed of training, and of `sample` where that is given none.
    verbose : bool
        Whether to show progress.

    Attributes
    ----------
    n_states_ : int
    environments_ : Environments
        What it has learned from.
    losses_ : list of float
        Mean squared error of the velocity at every step, Å².
    fit_seconds_ : float
    acceptance_ : float
        Share of environments without a clash at first draw.

    Notes
    -----
    An environment is drawn by itself: it has no memory of the one before, and its neighbours are
    no sequence. As the flow is equivariant to reflections, a handed environment is drawn as often
    as its mirror image.

    Elements are never new, and which atoms surround a target, on the scale of the noise, is that
    of some environment of the data.

    References
    ----------
    .. [1] Y. Lipman et al., Flow Matching for Generative Modeling, ICLR 2023.
    .. [2] L. Klein, A. Krämer and F. Noé, Equivariant Flow Matching, NeurIPS 36 (2023).
    .. [3] S. Saremi and A. Hyvärinen, Neural Empirical Bayes, JMLR 20, 181 (2019): sampling by
       adding noise to data and taking it away.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.datasets import make_hopping
    >>> from graphkoopman.generation import EnvironmentDecoder
    >>> system = make_hopping([[-0.02, 0.02], [0.02, -0.02]], 200, random_state=0)
    >>> probs = np.eye(2)[system.labels]
    >>> decoder = EnvironmentDecoder(8, n_hidden=8, n_layers=1, n_steps=5, random_state=0)
    >>> decoder.fit(system.trajectory, probs).environments_.positions.shape
    (1600, 8, 3)

    ``decoder.sample([1.0, 0.0], 10)`` are then ten environments of state 0, as `ase.Atoms`; a
    decoder that draws them well takes the default of four thousand steps.
    """

    def __init__(
        self,
        n_neighbors: int = 12,
        *,
        noise: float = 0.5,
        n_hidden: int = 48,
        n_layers: int = 4,
        n_steps: int = 4000,
        batch_size: int = 64,
        learning_rate: float = 5e-3,
        max_environments: int = 50_000,
        n_integration: int = 16,
        random_state: RandomState = None,
        verbose: bool = False,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.noise = noise
        self.n_hidden = n_hidden
        self.n_layers = n_layers
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.max_environments = max_environments
        self.n_integration = n_integration
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, trajs: Any, probs: ArrayLike | list[ArrayLike], targets: Any = None) -> Self:
        """Learn from the environments of targets and their state probabilities.

        Parameters
        ----------
        trajs : Trajectory, mdtraj.Trajectory, or list of these
        probs : array or list of arrays of shape (n_frames, n_targets, n_states)
            State probabilities; rows sum to one.
        targets : str, array-like, list of array-like, callable or None
            See `graphkoopman.trajectories.resolve_targets`; all of the same kind.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a setting is not a positive number, targets are of different kinds, or arrays do
            not match the trajectories.
        """
        for name in ("n_neighbors", "n_hidden", "n_layers", "n_steps", "batch_size"):
            check_integer(getattr(self, name), name, 1)
        check_integer(self.max_environments, "max_environments", 2)
        check_integer(self.n_integration, "n_integration", 1)
        if isinstance(self.noise, bool) or not 0 < self.noise < np.inf:
            raise ValueError(f"noise must be a positive number of Å, got {self.noise!r}")
        begin = time.perf_counter()
        rng = as_generator(self.random_state)
        self._rng = rng
        self.environments_ = cut_environments(
            trajs, probs, targets, self.n_neighbors, self.max_environments, rng
        )
        self.n_states_ = self.environments_.probs.shape[1]
        self._prior = Prior(self.environments_)
        self._contacts = Contacts.of(self.environments_)
        seed = int(rng.integers(2**62))
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):  # initial weights; torch's generator stays as it is
            torch.manual_seed(seed)
            self.network_ = VelocityNetwork(
                self._prior.n_kinds,
                self.n_states_,
                self.n_hidden,
                self.n_layers,
                float(self._prior.radii.max()),
            )
        with Progress("decoder", self.n_steps, "steps", active=self.verbose) as progress:

            def after_step(step: int, loss: float) -> None:
                progress.step(f"loss {loss:.3g}" if step % 20 == 0 else "")

            self.losses_ = train_flow(
                self.network_,
                self._batches(rng),
                self.n_steps,
                self.learning_rate,
                generator,
                after_step,
            )
        self._calibrate(rng)
        self.fit_seconds_ = time.perf_counter() - begin
        return self

    def sample(
        self,
        probs: ArrayLike,
        n: int | None = None,
        *,
        output: Literal["atoms", "trajectory"] = "atoms",
        timestep: float = 1.0,
        random_state: RandomState = None,
    ) -> Any:
        """Draw environments.

        Parameters
        ----------
        probs : array-like of shape (n_states,) or (n_requests, n_states)
            State probabilities asked for; rows sum to one. ``np.eye(n_states)[states]`` for the
            states of one target from `sample_states`.
        n : int or None
            Environments for each row; one by default.
        output : {"atoms", "trajectory"}
            A list of `ase.Atoms`, or one `Trajectory` where all have the same elements.
        timestep : float
            ps from one environment to the next, for a trajectory.
        random_state : int, RandomState, Generator or None
            None goes on with the generator of the fit.

        Returns
        -------
        environments : list of ase.Atoms, or Trajectory
            The first atom is the target's, at the origin; then its other atoms, then neighbours.
            Atoms hold the request in ``info["probs"]``.

        Raises
        ------
        ValueError
            If probabilities are not as described, or a trajectory of changing elements is asked
            for.
        """
        check_is_fitted(self, "network_")
        if output not in ("atoms", "trajectory"):
            raise ValueError(f'output must be "atoms" or "trajectory", got {output!r}')
        asked = self._check_probs(probs)
        count = 1 if n is None else check_integer(n, "n", 1)
        asked = np.repeat(asked, count, axis=0)
        rng = self._rng if random_state is None else as_generator(random_state)
        positions, species = self._draw_without_clash(asked, rng)
        if output == "trajectory":
            return self._as_trajectory(positions, species, timestep)
        return as_atoms(zip(*self._whole(positions, species), strict=True), asked)

    def _batches(self, rng: np.random.Generator) -> Iterator[FlowBatch]:
        """Environments at random, and the same under noise."""
        data, prior = self.environments_, self._prior
        while True:
            chosen = prior.balanced(self.batch_size, rng)
            begin = prior.points(chosen, self.noise, rng)
            yield FlowBatch(begin, data.positions[chosen], prior.kinds[chosen], data.probs[chosen])

    def _flow(self, templates: Index, rng: np.random.Generator) -> Array:
        """Positions by the flow alone, (n, n_atoms, 3) in Å."""
        parts = []
        for start in range(0, len(templates), CHUNK):
            part = templates[start : start + CHUNK]
            kinds, probs = self._prior.kinds[part], self.environments_.probs[part]
            begin = self._prior.points(part, self.noise, rng)
            parts.append(follow_flow(self.network_, begin, kinds, probs, self.n_integration))
        return np.concatenate(parts)

    def _calibrate(self, rng: np.random.Generator) -> None:
        """Learn the correction of radii from environments that the flow draws."""
        classes = self._prior.classes
        # no more of a class than there are in the data, whose own sampling error is as large then
        templates = np.concatenate(
            [
                rng.permutation(np.flatnonzero(classes == which))[:CALIBRATION]
                for which in np.unique(classes)
            ]
        )
        drawn = self._flow(templates, rng)
        self._radii = RadialCorrection.of(self._prior, templates, drawn)
        species = self.environments_.species[templates]
        corrected = self._corrected(drawn, templates)
        self.acceptance_ = float(self._contacts.is_free(corrected, species).mean())

    def _corrected(self, drawn: Array, templates: Index) -> Array:
        """With distances to the target as in the data, and no atoms that this has made clash."""
        corrected = self._radii.apply(drawn, self._prior, templates)
        return self._contacts.apart(corrected, self.environments_.species[templates])

    def _draw_without_clash(self, asked: Array, rng: np.random.Generator) -> tuple[Array, Index]:
        templates = self._prior.templates(asked, rng)
        species = self.environments_.species[templates]
        positions = np.empty((*species.shape, 3))
        clashing = np.arange(len(asked))
        for _ in range(MOST_DRAWS):
            drawn = self._flow(templates[clashing], rng)
            positions[clashing] = self._corrected(drawn, templates[clashing])
            is_free = self._contacts.is_free(positions[clashing], species[clashing])
            clashing = clashing[~is_free]
            if len(clashing) == 0:
                return positions, species
        warnings.warn(
            f"{len(clashing)} of {len(asked)} environments hold atoms that are closer than in the "
            f"data after {MOST_DRAWS} draws; train for more steps",
            ClosureWarning,
            stacklevel=3,
        )
        return positions, species

    def _check_probs(self, probs: ArrayLike) -> Array:
        asked = np.asarray(probs, dtype=np.float64)
        asked = asked[None] if asked.ndim == 1 else asked
        if asked.ndim != 2 or asked.shape[1] != self.n_states_ or len(asked) == 0:
            raise ValueError(
                f"probs must have shape ({self.n_states_},) or (n_requests, {self.n_states_}), got "
                f"{np.shape(probs)}; of drawn states take "
                "those of one target, np.eye(n_states)[states[:, 0]]"
            )
        if (asked < 0).any():
            raise ValueError("probs must not be negative")
        return as_probabilities(asked)

    def _whole(self, positions: Array, species: Index) -> tuple[Array, Index]:
        """With the first atom of the target, at the origin."""
        origin = np.zeros((len(positions), 1, 3))
        first = np.full((len(species), 1), self.environments_.own[0])
        return np.concatenate([origin, positions], axis=1), np.concatenate([first, species], axis=1)

    def _as_trajectory(self, positions: Array, species: Index, timestep: float) -> Trajectory:
        points, numbers = self._whole(positions, species)
        n_fixed = len(self.environments_.own)
        # neighbours by element, so that atoms keep their elements from frame to frame
        order = np.argsort(numbers[:, n_fixed:], axis=1, kind="stable") + n_fixed
        order = np.concatenate([np.tile(np.arange(n_fixed), (len(order), 1)), order], axis=1)
        numbers = np.take_along_axis(numbers, order, axis=1)
        if (numbers != numbers[0]).any():
            raise ValueError(
                "a trajectory must hold the same elements in every frame, and these environments "
                'differ in their neighbours; take output="atoms"'
            )
        points = np.take_along_axis(points, order[..., None], axis=1)
        return Trajectory(points, None, numbers[0], timestep=timestep, targets=[range(n_fixed)])
