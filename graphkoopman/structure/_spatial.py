"""Where in the cell targets are in which state, Fig. 2c: `SpatialMap`, `spatial_map`."""

from collections.abc import Sequence
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

__all__ = ["SpatialMap", "spatial_map"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class SpatialMap(Tabular):
    """Mean state probabilities on a grid of the cell.

    Attributes
    ----------
    probability : ndarray of shape (n_states, n_a, n_b, n_c)
        Mean probability of the targets in a voxel; NaN where ``counts`` is zero.
    probability_interval : ndarray of shape (n_states, n_a, n_b, n_c, 2)
        95 %, low and high.
    counts : ndarray of shape (n_a, n_b, n_c)
        Frames times targets in each voxel.
    cell : ndarray of shape (3, 3)
        Mean vectors of what the grid divides, rows, Å: the cell, or its folded unit.
    n_blocks : int
        Time blocks that the intervals come from.
    """

    figure = "plot_spatial_map"

    probability: Array
    probability_interval: Array
    counts: NDArray[np.int64]
    cell: Array
    n_blocks: int

    def table(self) -> dict[str, Any]:
        """One row per state and voxel that a target visited."""
        state, *voxel = np.nonzero(np.broadcast_to(self.counts > 0, self.probability.shape))
        index = (state, *voxel)
        return {
            "state": state,
            **dict(zip("abc", voxel, strict=True)),
            "visits": self.counts[tuple(voxel)],
            **interval_columns(
                "probability", self.probability[index], self.probability_interval[index]
            ),
        }

    @property
    def positions(self) -> Array:
        """Centres of the voxels in the mean cell, (n_a, n_b, n_c, 3) in Å."""
        shape = self.counts.shape
        return (np.moveaxis(np.indices(shape), 0, -1) + 0.5) / shape @ self.cell


@with_refits
def spatial_map(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    *,
    n_bins: int | Sequence[int] = 20,
    fold: int | Sequence[int] = 1,
    n_blocks: int | None = None,
    unit: str = "auto",
) -> SpatialMap:
    """Mean probability of each state as a function of the place in the cell.

    Parameters
    ----------
    trajs, probs, targets
        As for `state_rdf`.
    n_bins : int or sequence of three ints
        Voxels along each cell vector, or along each vector of the folded unit.
    fold : int or sequence of three ints
        Unit cells that a supercell repeats along each vector; all are mapped onto one.
    n_blocks : int or None
        Time blocks for the intervals, over all trajectories; None has the correlation time of the
        states choose.
    unit : {"auto", "trajectories", "blocks"}
        What counts as independent: blocks of time, or whole trajectories; all targets together.

    Returns
    -------
    SpatialMap

    Raises
    ------
    ValueError
        For inputs that do not match, a trajectory without a cell, or cells too different to be
        divided alike.

    Notes
    -----
    Cells that change are divided in the basis of the first frame, also where a simulation
    exchanges its lattice vectors for others (a box that flips). Voxels are fixed to the origin
    of the cell: remove a drift of the framework before. For the intervals see `state_rdf`.

    References
    ----------
    .. [1] Xie et al., Nat. Commun. 10, 2667 (2019), Fig. 2c.
    """
    runs = check_runs(trajs, probs, targets, periodic_for="a map of the cell")
    shape = np.array(_three("n_bins", n_bins))
    repeats = np.array(_three("fold", fold))
    blocks = divide(runs, unit, n_blocks)
    sums, counts = binned_sums(runs, blocks, shape, repeats)
    probability, interval = ratio_interval(sums, counts[:, None], blocks)
    return SpatialMap(
        probability=probability,
        probability_interval=np.minimum(interval, 1.0),
        counts=counts.sum(axis=0).astype(np.int64),
        cell=_mean_cell(runs) / repeats[:, None],
        n_blocks=blocks.n_blocks,
    )


def _three(name: str, value: int | Sequence[int]) -> list[int]:
    values = [value] * 3 if isinstance(value, int | np.integer) else list(value)
    if len(values) != 3:
        raise ValueError(f"{name} must be an integer or three of them, got {value!r}")
    return [check_integer(number, name, 1) for number in values]


def _mean_cell(runs: Sequence[StructureRun]) -> Array:
    return np.concatenate(reference_cells(runs)).mean(axis=0)
