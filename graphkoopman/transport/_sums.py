r"""Sums over pairs of frames that eqs. (13)-(16) are ratios of: `TransitionSums`, `pair_sums`.

They are kept apart in cells, one per run, block of time and group of targets, so that any set of
cells can be left out of an estimate.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from graphkoopman.transport._runs import Run, target_blocks
from graphkoopman.uncertainty import block_counts

Array = NDArray[np.float64]

N_BLOCKS = 20
N_GROUPS = 200


@dataclass(frozen=True, eq=False)
class _Sums:
    """Arrays with the same leading axes, summed and left out together."""

    def map(self, function: Callable[[Array], Array]) -> Self:
        """Apply a function to every array."""
        return type(self)(*(function(getattr(self, field.name)) for field in fields(self)))

    def total(self) -> Self:
        """Sum over the first axis."""
        return self.map(lambda array: array.sum(axis=0))

    def leave_one_out(self) -> Self:
        """Sums without one entry of the first axis, for each of them."""
        return self.map(lambda array: array.sum(axis=0) - array)

    def grouped(self, labels: NDArray[np.int64]) -> Self:
        """Sums over entries with equal labels 0, 1, ..."""
        n_labels = int(labels.max()) + 1

        def add(array: Array) -> Array:
            result = np.zeros((n_labels, *array.shape[1:]))
            np.add.at(result, labels, array)
            return result

        return self.map(add)


S = TypeVar("S", bound=_Sums)


@dataclass(frozen=True, eq=False)
class TransitionSums(_Sums):
    r"""Sums over pairs (t, t + lag) of single targets; leading axes are units, or none.

    Attributes
    ----------
    weight : ndarray of shape (..., n_lags, n_states, n_states)
        :math:`\sum p_i(t)\,p_j(t+lag)`.
    displacement : ndarray of shape (..., n_lags, n_states, n_states)
        :math:`\sum d^2 p_i(t)\,p_j(t+lag)`, Å².
    charge : ndarray of shape (..., n_lags)
        :math:`\sum z^2 d^2`, e² Å².
    n_pairs : ndarray of shape (..., n_lags)
        Number of pairs.
    """

    weight: Array
    displacement: Array
    charge: Array
    n_pairs: Array

    def msd(self) -> Array:
        """Eq. (13), (..., n_lags, n_states, n_states) in Å²; NaN where a transition is missing."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.weight > 0, self.displacement / self.weight, np.nan)

    def total_msd(self) -> Array:
        """Mean squared displacement of all targets, (..., n_lags) in Å²."""
        return self.displacement.sum(axis=(-2, -1)) / self.n_pairs


@dataclass(frozen=True, eq=False)
class CollectiveSums(_Sums):
    """Sums over frames of displacements of all targets together, (n_blocks, n_lags).

    Attributes
    ----------
    charge : ndarray
        Sum of the squared charge displacement, e² Å².
    volume : ndarray
        Sum of the volume, Å³.
    """

    charge: Array
    volume: Array


@dataclass(frozen=True, eq=False)
class PairSums:
    """Everything that one pass over the data yields.

    Attributes
    ----------
    cells : TransitionSums
        Leading axis (n_cells,).
    collective : CollectiveSums or None
        Leading axis (n_blocks,); where charges were given.
    lags : ndarray of shape (n_lags,)
        Frames.
    run_of, block_of, target_of : ndarray of shape (n_cells,)
        Run, block of time (counted over all runs) and group of targets (likewise) of a cell.
    block_length : float
        Mean number of time origins in a block, at the longest lag.
    cuts_per_block : float
        Ends of blocks that are not ends of runs, per block.
    """

    cells: TransitionSums
    collective: CollectiveSums | None
    lags: NDArray[np.int64]
    run_of: NDArray[np.int64]
    block_of: NDArray[np.int64]
    target_of: NDArray[np.int64]
    block_length: float
    cuts_per_block: float


@dataclass(frozen=True, eq=False)
class Charges:
    """Charges in e: of every state, or of the targets whatever their state.

    Attributes
    ----------
    states : ndarray of shape (n_states,)
    targets : ndarray of shape (n_targets,) or (1,), or None
        None: a target carries the mean charge of its states at both ends of the lag.
    """

    states: Array
    targets: Array | None

    def carried(self, block: slice, chi_0: Array, chi_t: Array) -> Array:
        """Charge of each target in each step, (n_block, n_pairs) or (n_block, 1)."""
        if self.targets is None:
            return 0.5 * np.einsum("s,nsf->nf", self.states, chi_0 + chi_t)
        return (self.targets if len(self.targets) == 1 else self.targets[block])[:, None]


def pair_sums(
    runs: list[Run], lags: NDArray[np.int64], stride: int, charges: Charges | None = None
) -> PairSums:
    """Sum over all time origins, block by block of time and of targets.

    Parameters
    ----------
    runs : list of Run
        All longer than the longest lag.
    lags : ndarray of shape (n_lags,)
        Frames.
    stride : int
        Frames between time origins.
    charges : Charges or None
        Needed for conductivities only.
    """
    n_origins = [run.n_frames - int(lags[-1]) for run in runs]
    n_blocks = count_blocks(n_origins, int(lags[-1]))
    n_groups = [min(run.n_targets, max(1, N_GROUPS // len(runs))) for run in runs]
    parts = [
        _run_sums(run, lags, stride, charges, blocks, groups)
        for run, blocks, groups in zip(runs, n_blocks, n_groups, strict=True)
    ]
    cells = [(b, g) for b, g in zip(n_blocks, n_groups, strict=True)]
    first_block = np.cumsum([0, *n_blocks])
    first_group = np.cumsum([0, *n_groups])
    return PairSums(
        cells=_concatenate([part[0] for part in parts]),
        collective=None if charges is None else _concatenate([part[1] for part in parts]),
        lags=lags,
        run_of=np.repeat(np.arange(len(runs)), [b * g for b, g in cells]),
        block_of=np.concatenate(
            [first_block[i] + np.repeat(np.arange(b), g) for i, (b, g) in enumerate(cells)]
        ),
        target_of=np.concatenate(
            [first_group[i] + np.tile(np.arange(g), b) for i, (b, g) in enumerate(cells)]
        ),
        block_length=sum(n_origins) / sum(n_blocks),
        cuts_per_block=1.0 - len(runs) / sum(n_blocks),
    )


def count_blocks(n_origins: list[int], lag: int) -> list[int]:
    """Blocks of time per run: about 20 in all, of two lags or more.

    Four blocks are worth shortening them to one lag.
    """
    length = max(2.0 * lag, sum(n_origins) / N_BLOCKS)
    return block_counts(n_origins, length, shortest=max(lag, 1.0))


def _run_sums(
    run: Run,
    lags: NDArray[np.int64],
    stride: int,
    charges: Charges | None,
    n_blocks: int,
    n_groups: int,
) -> tuple[TransitionSums, CollectiveSums]:
    n_lags, n_states = len(lags), run.n_states
    shape = (n_blocks, n_groups, n_lags)
    sums = TransitionSums(
        np.zeros((*shape, n_states, n_states)),
        np.zeros((*shape, n_states, n_states)),
        np.zeros(shape),
        np.zeros(shape),
    )
    dipoles = [np.zeros((run.n_frames - lag, 3)) for lag in lags] if charges is not None else []
    group_of = np.arange(run.n_targets) * n_groups // run.n_targets
    for block, paths, chi in target_blocks(run):
        for k, lag in enumerate(lags):
            for b, origins in enumerate(_origins(run.n_frames - lag, n_blocks, stride)):
                ends = slice(origins.start + lag, origins.stop + lag, stride)
                step = paths[:, ends] - paths[:, origins]
                chi_0, chi_t = chi[:, :, origins], chi[:, :, ends].transpose(0, 2, 1)
                squared = (step**2).sum(axis=-1)  # (n_block, n_pairs)
                group = group_of[block]
                np.add.at(sums.weight[b, :, k], group, chi_0 @ chi_t)
                np.add.at(sums.displacement[b, :, k], group, (chi_0 * squared[:, None]) @ chi_t)
                np.add.at(sums.n_pairs[b, :, k], group, squared.shape[1])
                if charges is not None:
                    carried = charges.carried(block, chi_0, chi[:, :, ends])
                    np.add.at(sums.charge[b, :, k], group, (carried**2 * squared).sum(axis=1))
                    dipoles[k][origins] += (carried[..., None] * step).sum(axis=0)
    cells = sums.map(lambda array: array.reshape(n_blocks * n_groups, *array.shape[2:]))
    return cells, _collective_sums(run, lags, dipoles, n_blocks, stride)


def _collective_sums(
    run: Run, lags: NDArray[np.int64], dipoles: list[Array], n_blocks: int, stride: int
) -> CollectiveSums:
    sums = CollectiveSums(np.zeros((n_blocks, len(lags))), np.zeros((n_blocks, len(lags))))
    volume = mean_volume(run)
    for k, dipole in enumerate(dipoles):
        for b, origins in enumerate(_origins(len(dipole), n_blocks, stride)):
            sums.charge[b, k] = (dipole[origins] ** 2).sum()
            sums.volume[b, k] = len(dipole[origins]) * volume
    return sums


def mean_volume(run: Run) -> float:
    """Mean volume of the cell in Å³, NaN for a non-periodic system."""
    cell = run.trajectory.cell
    return float("nan") if cell is None else float(np.abs(np.linalg.det(cell)).mean())


def _origins(n_origins: int, n_blocks: int, stride: int) -> list[slice]:
    edges = np.linspace(0, n_origins, n_blocks + 1).astype(int).tolist()
    return [slice(edges[b], edges[b + 1], stride) for b in range(n_blocks)]


def _concatenate(parts: list[S]) -> S:
    names = [field.name for field in fields(parts[0])]
    return type(parts[0])(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in names)
    )
