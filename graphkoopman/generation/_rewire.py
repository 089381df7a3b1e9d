"""Sequences of real frames with the kinetics of a model: `rewire`."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.generation._environments import as_atoms, environment_at
from graphkoopman.generation._landing import LandingDensities, learn_landing
from graphkoopman.generation._stochastic import check_size, first_states, stochastic_model
from graphkoopman.generation._warnings import ClosureWarning
from graphkoopman.probabilities import ProbabilitiesLike, as_probabilities
from graphkoopman.randomness import RandomState, as_generator
from graphkoopman.tables import Tabular
from graphkoopman.trajectories import TargetsLike, TrajectoriesLike, as_trajectories, check_integer
from graphkoopman.transport import ModelLike

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# Pairs to learn densities from; they have n_states² parameters.
MOST_PAIRS = 200_000


@dataclass(frozen=True, eq=False)
class Rewired(Tabular):
    """Sequences of local environments of the data, one lag time apart.

    Attributes
    ----------
    trajectory, frame, target : ndarray of shape (n_frames, n_targets), int64
        Where in the data each environment is: index of the trajectory, frame in it, target.
    probs : ndarray of shape (n_frames, n_targets, n_states)
        State probabilities of these environments, as `estimate_koopman` takes them.
    koopman_matrix : ndarray of shape (n_states, n_states)
        Koopman matrix of the sequences at a lag of one, without sampling.
    log_likelihood : float
        Mean over pairs of the data of the log of the learned density of the second frame over
        its density at all times: what a frame tells of the next.
    lagtime : int
        Frames of the data from one environment to the next.
    timestep : float
        ps from one environment to the next.
    """

    trajectory: Index
    frame: Index
    target: Index
    probs: Array
    koopman_matrix: Array
    log_likelihood: float
    lagtime: int
    timestep: float

    def environments(
        self,
        trajs: TrajectoriesLike,
        targets: TargetsLike = None,
        *,
        n_neighbors: int = 12,
        sequence: int = 0,
    ) -> list[Any]:
        """Environments of one sequence, cut out of the trajectories.

        Parameters
        ----------
        trajs, targets
            Trajectories that the sequence was made of.
        n_neighbors : int
            Neighbours of the first atom of the target.
        sequence : int
            Which of the sequences.

        Returns
        -------
        environments : list of ase.Atoms
            The first atom is the target's, at the origin; then its other atoms, then neighbours
            by rising distance. Atoms hold ``info["probs"]``.
        """
        trajectories = as_trajectories(trajs)
        check_integer(n_neighbors, "n_neighbors", 1)
        columns = (self.trajectory, self.frame, self.target)
        places = np.stack([column[:, sequence] for column in columns], axis=1)
        found = [
            environment_at(trajectories[item], targets, frame, target, n_neighbors)
            for item, frame, target in places.tolist()
        ]
        return as_atoms(found, self.probs[:, sequence])

    def __repr__(self) -> str:
        n_frames, n_targets = self.frame.shape
        return f"Rewired(n_frames={n_frames}, n_targets={n_targets}, timestep={self.timestep:g} ps)"

    def table(self) -> dict[str, Any]:
        """One row per environment, with the probability of each state."""
        n_frames, n_targets = self.frame.shape
        return {
            "sequence": np.arange(n_targets),
            "time / ps": np.arange(n_frames)[:, None] * self.timestep,
            "trajectory": self.trajectory,
            "frame": self.frame,
            "target": self.target,
            **{f"state {state}": p for state, p in enumerate(np.moveaxis(self.probs, -1, 0))},
        }


def rewire(
    trajs: TrajectoriesLike,
    probs: ArrayLike | list[ArrayLike],
    model: ModelLike,
    n_frames: int,
    n_targets: int = 1,
    *,
    start: ArrayLike | None = None,
    random_state: RandomState = None,
) -> Rewired:
    r"""Draw sequences of real local environments with the kinetics of a model.

    A deep generative Markov state model [1]_ over the frames at hand. From an environment x, a
    state i is drawn with probability :math:`\chi_i(x)`, then the environment one lag time later
    from the landing density :math:`q_i(y)`. Densities are learned on the pairs of frames of the
    data by greatest likelihood, then changed as little as possible in relative entropy such that

    .. math:: \sum_y q_i(y)\,\chi_j(y) = K_{ij},

    by which :math:`E[\chi(x_{t+1})\,|\,x_t]=K^T\chi(x_t)`: probabilities of the sequence have the
    Koopman matrix K, and its timescales, however fuzzy the states are.

    Parameters
    ----------
    trajs : Trajectory, mdtraj.Trajectory, or list of these
    probs : array or list of arrays of shape (n_frames, n_targets, n_states)
        State probabilities; rows sum to one.
    model : KoopmanModel
        Of these states. Its rows must be probabilities: estimate it with
        ``constraint="stochastic"`` or ``"reversible"``.
    n_frames : int
        Environments in a sequence, one lag time apart.
    n_targets : int
        Independent sequences.
    start : int, array-like of shape (n_targets,) of int, (n_states,) of float, or None
        State whose landing density the first environments come from, see `sample_states`.
    random_state : int, RandomState, Generator or None

    Returns
    -------
    Rewired

    Raises
    ------
    ValueError
        If the model has negative entries or other states than the probabilities, no trajectory is
        longer than its lag time, or arrays do not match the trajectories.

    Warns
    -----
    ClosureWarning
        If no weights of these frames have the kinetics of the model, because no environment is
        as purely in a state as the model asks for; the nearest are taken.

    Notes
    -----
    A sequence consists of environments of single targets: it jumps between places, and neighbours
    of one target are no sequence of another. `EnvironmentDecoder` makes environments that are not
    in the data.

    References
    ----------
    .. [1] H. Wu, A. Mardt, L. Pasquali and F. Noé, Deep Generative Markov State Models, NeurIPS
       31, 3975 (2018): landing densities, eqs. (3)-(6), and rewiring.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.generation import rewire
    >>> from graphkoopman.koopman import KoopmanModel, estimate_koopman
    >>> from graphkoopman.trajectories import Trajectory
    >>> rng = np.random.default_rng(0)
    >>> run = Trajectory(rng.normal(size=(500, 4, 3)), None, [3] * 4, timestep=0.1)
    >>> probs = np.eye(2)[np.repeat(rng.integers(2, size=(50, 4)), 10, axis=0)]
    >>> model = estimate_koopman(probs, 2, timestep=0.1, constraint="stochastic")
    >>> sequence = rewire(run, probs, model, 1000, random_state=0)
    >>> sequence.frame.shape, sequence.timestep
    ((1000, 1), 0.2)
    >>> bool(np.allclose(sequence.koopman_matrix, model.koopman_matrix, atol=1e-4))
    True
    """
    n_frames, n_targets = check_size(n_frames, n_targets)
    chain = stochastic_model(model)
    timesteps, arrays = _check_data(trajs, probs, chain.n_states, chain.lagtime)
    rng = as_generator(random_state)
    first = first_states(start, chain, n_targets, rng)
    landing = learn_landing(
        np.concatenate([array.reshape(-1, chain.n_states) for array in arrays]),
        *_pairs(arrays, chain.lagtime, rng),
        chain.matrix,
    )
    if not landing.is_matched:
        off = np.abs(landing.matrix - chain.matrix).max()
        warnings.warn(
            "no weights of these frames have the transition probabilities of model, the nearest "
            f"miss one by {off:.2g}: no environment is as purely in a state as it asks for; give "
            "probs of the model's own data, or take a longer lag time",
            ClosureWarning,
            stacklevel=2,
        )
    rows = _walk(landing, arrays, first, n_frames, rng)
    trajectory, frame, target = _origins(arrays)
    return Rewired(
        trajectory=trajectory[rows],
        frame=frame[rows],
        target=target[rows],
        probs=np.concatenate([array.reshape(-1, chain.n_states) for array in arrays])[rows],
        koopman_matrix=landing.matrix,
        log_likelihood=landing.log_likelihood,
        lagtime=chain.lagtime,
        timestep=chain.lagtime * timesteps,
    )


def _check_data(
    trajs: TrajectoriesLike, probs: ProbabilitiesLike, n_states: int, lagtime: int
) -> tuple[float, list[Array]]:
    """Timestep in ps and probabilities of every trajectory, checked against each other."""
    trajectories = as_trajectories(trajs)
    given = list(probs) if isinstance(probs, list | tuple) else [probs]
    if len(given) != len(trajectories):
        raise ValueError(
            f"probs must hold one array per trajectory ({len(trajectories)}), got {len(given)}; "
            "pass the list that transform returned for these trajectories"
        )
    arrays = []
    for i, (trajectory, array) in enumerate(zip(trajectories, map(np.asarray, given), strict=True)):
        array = array[:, None] if array.ndim == 2 else array
        if array.ndim != 3 or len(array) != len(trajectory) or array.shape[2] != n_states:
            raise ValueError(
                f"probs[{i}] must have shape (n_frames, n_targets, n_states) = "
                f"({len(trajectory)}, n_targets, {n_states}), got {array.shape}; take them and "
                "the model from the same states"
            )
        arrays.append(as_probabilities(array))
    if max(map(len, arrays)) <= lagtime:
        raise ValueError(
            f"the lagtime of model must be < the longest trajectory ({max(map(len, arrays))} "
            f"frames), got {lagtime}; landing densities are learned on pairs of frames"
        )
    timesteps = {round(trajectory.timestep, 9) for trajectory in trajectories}
    if len(timesteps) > 1:
        raise ValueError(f"trajs must share one timestep, got {sorted(timesteps)} ps")
    return trajectories[0].timestep, arrays


def _pairs(arrays: list[Array], lag: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Probabilities of frames and of those one lag later, (n_pairs, n_states) each."""
    n_states = arrays[0].shape[2]
    before, after = (
        np.concatenate([array[part].reshape(-1, n_states) for array in arrays if len(array) > lag])
        for part in (slice(None, -lag), slice(lag, None))
    )
    if len(before) > MOST_PAIRS:
        chosen = rng.choice(len(before), size=MOST_PAIRS, replace=False)
        before, after = before[chosen], after[chosen]
    return before, after


def _origins(arrays: list[Array]) -> list[Index]:
    """Trajectory, frame and target of every row of the probabilities."""
    grids = [np.indices(array.shape[:2]).reshape(2, -1) for array in arrays]
    numbers = np.repeat(np.arange(len(arrays)), [grid.shape[1] for grid in grids])
    frames, targets = np.concatenate(grids, axis=1)
    return [numbers, frames, targets]


def _walk(
    landing: LandingDensities,
    arrays: list[Array],
    first: Index,
    n_frames: int,
    rng: np.random.Generator,
) -> Index:
    """Rows of the probabilities that sequences land on, (n_frames, n_targets)."""
    chi = np.concatenate([array.reshape(-1, array.shape[2]) for array in arrays])
    state_sums = np.cumsum(chi, axis=1)[:, :-1]  # the last state is what is left
    landing_sums = np.cumsum(landing.weights, axis=1)
    landing_sums /= landing_sums[:, -1:]
    rows = np.empty((n_frames, len(first)), dtype=np.int64)
    states = first
    for t in range(n_frames):
        draws = rng.random(len(first))
        for state in np.unique(states):
            here = states == state
            rows[t, here] = np.searchsorted(landing_sums[state], draws[here], side="right")
        states = (rng.random(len(first))[:, None] >= state_sums[rows[t]]).sum(axis=1)
    return rows
