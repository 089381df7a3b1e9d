"""Distribution of the states along a cell vector, Fig. 3c: `StateProfile`, `state_profile`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.checks import check_integer
from graphkoopman.probabilities import ProbabilitiesLike
from graphkoopman.structure._bins import binned_sums, reference_cells
from graphkoopman.structure._blocks import divide, ratio_interval
from graphkoopman.structure._inputs import StructureRun, check_runs
from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.trajectories import TargetsLike, TrajectoriesLike
from graphkoopman.uncertainty import with_refits

__all__ = ["StateProfile", "state_profile"]

Array = NDArray[np.float64]

AXES = {"a": 0, "b": 1, "c": 2}


@dataclass(frozen=True, eq=False, repr=False)
class StateProfile(Tabular):
    """Targets in each state in slabs along a cell vector.

    Intervals are 95 %, low and high on the last axis.

    Attributes
    ----------
    position : ndarray of shape (n_bins,)
        Centres of the slabs along their normal, Å, in the mean cell.
    fraction : ndarray of shape (n_bins,)
        Centres of the slabs as fractions of the cell vector.
    density : ndarray of shape (n_states, n_bins)
        Targets in the state per volume of the slab, Å⁻³.
    density_interval : ndarray of shape (n_states, n_bins, 2)
    probability : ndarray of shape (n_states, n_bins)
        Mean probability of the state of the targets in the slab; NaN where ``counts`` is zero.
    probability_interval : ndarray of shape (n_states, n_bins, 2)
    counts : ndarray of shape (n_bins,)
        Frames times targets in each slab.
    axis : int
        Cell vector that the slabs divide.
    n_blocks : int
        Time blocks that the intervals come from.
    """

    figure = "plot_state_profile"

    position: Array
    fraction: Array
    density: Array
    density_interval: Array
    probability: Array
    probability_interval: Array
    counts: NDArray[np.int64]
    axis: int
    n_blocks: int

    def table(self) -> dict[str, Any]:
        """One row per state and slab."""
        return {
            "state": np.arange(len(self.density))[:, None],
            "position / angstrom": self.position,
            **interval_columns("density / angstrom^-3", self.density, self.density_interval),
            **interval_columns("probability", self.probability, self.probability_interval),
            "visits": self.counts,
        }


@with_refits
def state_profile(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    *,
    axis: int | str,
    n_bins: int,
    n_blocks: int | None = None,
    unit: str = "auto",
) -> StateProfile:
    r"""Density and probability of each state along a cell vector.

    .. math:: \rho_i(s) = \frac{\langle \sum_a p_i(a)\,[a \in s] \rangle}{\langle V_s \rangle}

    for slabs s of equal thickness that the other two cell vectors span.

    Parameters
    ----------
    trajs, probs, targets
        As for `state_rdf`.
    axis : int or str
        Cell vector: 0, 1, 2 or "a", "b", "c". In an orthogonal box these are x, y, z.
    n_bins : int
        Slabs along it.
    n_blocks : int or None
        Time blocks for the intervals, over all trajectories; None has the correlation time of the
        states choose.
    unit : {"auto", "trajectories", "blocks"}
        What counts as independent: blocks of time, or whole trajectories; all targets together.

    Returns
    -------
    StateProfile

    Raises
    ------
    ValueError
        For inputs that do not match, a trajectory without a cell, or cells too different to be
        divided alike.

    Notes
    -----
    Cells that change are divided in the basis of the first frame, also where a simulation
    exchanges its lattice vectors for others (a box that flips). Slabs are fixed to the origin
    of the cell: remove a drift of the interface before. For the intervals see `state_rdf`.

    References
    ----------
    .. [1] Xie et al., Nat. Commun. 10, 2667 (2019), Fig. 3c.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman import Trajectory
    >>> from graphkoopman.structure import state_profile
    >>> positions = np.random.default_rng(0).uniform(0, 10, (500, 20, 3))
    >>> gas = Trajectory(positions, 10 * np.eye(3), [3] * 20, timestep=1.0)
    >>> profile = state_profile(gas, np.ones((500, 20, 1)), "element Li", axis="c", n_bins=2)
    >>> profile.position, profile.density.round(3)  # 20 atoms in 1000 cubic angstroms
    (array([2.5, 7.5]), array([[0.02, 0.02]]))
    """
    runs = check_runs(trajs, probs, targets, periodic_for="a profile along a cell vector")
    vector = _check_axis(axis)
    n_bins = check_integer(n_bins, "n_bins", 1)
    blocks = divide(runs, unit, n_blocks)
    shape = np.ones(3, dtype=int)
    shape[vector] = n_bins
    sums, counts = binned_sums(runs, blocks, shape, np.ones(3))
    sums, counts = sums.reshape(len(blocks), -1, n_bins), counts.reshape(len(blocks), n_bins)
    # (n_blocks,): summed volume of the frames, whose slabs are n_bins equal parts
    volumes = np.array(
        [np.linalg.det(runs[b.trajectory].cells(b.start, b.stop)).sum() for b in blocks]
    )
    density, density_interval = ratio_interval(sums, volumes[:, None, None] / n_bins, blocks)
    probability, probability_interval = ratio_interval(sums, counts[:, None], blocks)
    fraction = (np.arange(n_bins) + 0.5) / n_bins
    return StateProfile(
        position=fraction * _mean_height(runs, vector),
        fraction=fraction,
        density=density,
        density_interval=density_interval,
        probability=probability,
        probability_interval=np.minimum(probability_interval, 1.0),
        counts=counts.sum(axis=0).astype(np.int64),
        axis=vector,
        n_blocks=blocks.n_blocks,
    )


def _check_axis(axis: int | str) -> int:
    vector = AXES.get(axis) if isinstance(axis, str) else axis
    if isinstance(vector, bool) or vector not in (0, 1, 2):
        raise ValueError(
            f'axis must be 0, 1, 2 or "a", "b", "c", got {axis!r}; profiles run along cell vectors'
        )
    return int(vector)


def _mean_height(runs: list[StructureRun], vector: int) -> float:
    """Distance between the faces that a cell vector joins, averaged over frames, Å."""
    # column i of the inverse is the normal of face i over the height above it
    cells = np.concatenate(reference_cells(runs))
    return float(np.mean(1.0 / np.linalg.norm(np.linalg.inv(cells)[..., vector], axis=1)))
