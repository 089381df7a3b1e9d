r"""Sums over pairs of frames that eqs. (13)-(16) are ratios of: `TransitionSums`, `pair_sums`.

They are kept apart in cells, one per run, block of time and group of targets, so that any set of
cells can be left out of an estimate.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.transport._runs import TransportRun, target_parts
from graphkoopman.uncertainty import (
    Block,
    Scatter,
    block_scatter,
    correlation_time,
    cut_blocks,
    cut_pieces,
    piece_scatter,
)

Array = NDArray[np.float64]

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
class TimeBlocks(Sequence[Block]):
    """Blocks of time origins, or pieces of them, and how far they are correlated.

    Attributes
    ----------
    blocks : list of Block
        Blocks or pieces, whose sums are kept apart.
    block_of : tuple of ints
        Block of each piece, by number; of a block its own number.
    time : float
        Correlation time of the states, frames.
    lag : int
        Longest lag of the pairs, frames.
    """

    blocks: list[Block]
    block_of: tuple[int, ...]
    time: float
    lag: int

    @classmethod
    def of(cls, runs: list[TransportRun], lag: int, *, in_pieces: bool = False) -> "TimeBlocks":
        """Cut runs that are longer than the lag; those without targets have no states to forget."""
        time = correlation_time([run.probs for run in runs]) if runs[0].n_targets else 0.0
        blocks = cut_blocks([run.n_frames - lag for run in runs], time, lagtime=lag)
        if not in_pieces:
            return cls(blocks, tuple(range(len(blocks))), time, lag)
        # displacements that begin in a piece end in the next one, not beyond
        return cls(*cut_pieces(blocks, shortest=lag), time, lag)

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: Any) -> Any:
        return self.blocks[index]

    @property
    def counts(self) -> list[int]:
        """Number of blocks, or pieces, of each run."""
        return np.bincount([block.trajectory for block in self.blocks]).tolist()

    def scatter(
        self,
        weights: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        n_copies: int = 1,
    ) -> Scatter:
        """What the scatter of blocks, in pieces, or of units that all are labelled with, shows.

        Squared displacements over a lag correlate as far as the lag reaches, on average over half
        of it, and over the correlation time where states differ in their mobility.
        """
        time = max(self.time, 0.5 * self.lag)
        if labels is None and len(set(self.block_of)) < len(self.block_of):
            return piece_scatter(self.blocks, self.block_of, time, weights=weights)
        labels = self.block_of if labels is None else labels
        return block_scatter(self.blocks, time, weights=weights, labels=labels, n_copies=n_copies)


@dataclass(frozen=True, eq=False)
class PairSums:
    """Everything that one pass over the data yields.

    Attributes
    ----------
    cells : TransitionSums
        Leading axis (n_cells,).
    collective : CollectiveSums or None
        Leading axis (n_pieces,); where charges were given.
    lags : ndarray of shape (n_lags,)
        Frames.
    blocks : TimeBlocks
        Pieces of blocks of time origins at the longest lag; cells are ordered by piece and then by
        group.
    n_groups : list of n_runs ints
        Groups of targets of each run.
    """

    cells: TransitionSums
    collective: CollectiveSums | None
    lags: NDArray[np.int64]
    blocks: TimeBlocks
    n_groups: list[int]


@dataclass(frozen=True, eq=False)
class Charges:
    """Charges in e: of every state, or of every target in any state.

    Attributes
    ----------
    states : ndarray of shape (n_states,)
    targets : ndarray of shape (n_targets,) or (1,), or None
        None: a target carries the mean charge of its states at both ends of the lag.
    """

    states: Array
    targets: Array | None

    def carried(self, part: slice, chi_0: Array, chi_t: Array) -> Array:
        """Charge of each target in each step, (n_part, n_pairs) or (n_part, 1)."""
        if self.targets is None:
            return 0.5 * np.einsum("s,nsf->nf", self.states, chi_0 + chi_t)
        return (self.targets if len(self.targets) == 1 else self.targets[part])[:, None]


def pair_sums(
    runs: list[TransportRun], lags: NDArray[np.int64], stride: int, charges: Charges | None = None
) -> PairSums:
    """Sum over all time origins, block by block of time and of targets.

    Parameters
    ----------
    runs : list of TransportRun
        All longer than the longest lag.
    lags : ndarray of shape (n_lags,)
        Frames.
    stride : int
        Frames between time origins.
    charges : Charges or None
        Needed for conductivities only.
    """
    blocks = TimeBlocks.of(runs, int(lags[-1]), in_pieces=True)
    n_groups = [min(run.n_targets, max(1, N_GROUPS // len(runs))) for run in runs]
    parts = [
        _run_sums(run, lags, stride, charges, count, groups)
        for run, count, groups in zip(runs, blocks.counts, n_groups, strict=True)
    ]
    return PairSums(
        cells=_concatenate([part[0] for part in parts]),
        collective=None if charges is None else _concatenate([part[1] for part in parts]),
        lags=lags,
        blocks=blocks,
        n_groups=n_groups,
    )


def _run_sums(
    run: TransportRun,
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
    # targets in groups of neighbours in number: as many samples as memory allows
    group_of = np.arange(run.n_targets) * n_groups // run.n_targets
    for part, paths, chi in target_parts(run):
        for k, lag in enumerate(lags):
            for b, origins in enumerate(_origins(run.n_frames - lag, n_blocks, stride)):
                ends = slice(origins.start + lag, origins.stop + lag, stride)
                # (n_part, n_pairs, 3) displacement over the lag from every time origin
                step = paths[:, ends] - paths[:, origins]
                chi_0, chi_t = chi[:, :, origins], chi[:, :, ends].transpose(0, 2, 1)
                # E[d² | i → j] = Σ p_i(t) d² p_j(t + τ) / Σ p_i(t) p_j(t + τ), eq. (13): both sums
                squared = (step**2).sum(axis=-1)  # (n_part, n_pairs)
                group = group_of[part]
                np.add.at(sums.weight[b, :, k], group, chi_0 @ chi_t)
                np.add.at(sums.displacement[b, :, k], group, (chi_0 * squared[:, None]) @ chi_t)
                np.add.at(sums.n_pairs[b, :, k], group, squared.shape[1])
                if charges is not None:
                    # Σ z² d² of single targets, and Σ z d of all together for the collective dipole
                    carried = charges.carried(part, chi_0, chi[:, :, ends])
                    np.add.at(sums.charge[b, :, k], group, (carried**2 * squared).sum(axis=1))
                    dipoles[k][origins] += (carried[..., None] * step).sum(axis=0)
    cells = sums.map(lambda array: array.reshape(n_blocks * n_groups, *array.shape[2:]))
    return cells, _collective_sums(run, lags, dipoles, n_blocks, stride)


def _collective_sums(
    run: TransportRun, lags: NDArray[np.int64], dipoles: list[Array], n_blocks: int, stride: int
) -> CollectiveSums:
    sums = CollectiveSums(np.zeros((n_blocks, len(lags))), np.zeros((n_blocks, len(lags))))
    volume = mean_volume(run)
    for k, dipole in enumerate(dipoles):
        for b, origins in enumerate(_origins(len(dipole), n_blocks, stride)):
            sums.charge[b, k] = (dipole[origins] ** 2).sum()
            sums.volume[b, k] = len(dipole[origins]) * volume
    return sums


def mean_volume(run: TransportRun) -> float:
    """Mean volume of the cell in Å³, NaN for a non-periodic system."""
    cell = run.trajectory.cell
    return float("nan") if cell is None else float(np.abs(np.linalg.det(cell)).mean())


def _origins(n_origins: int, n_blocks: int, stride: int) -> list[slice]:
    edges = [n_origins * k // n_blocks for k in range(n_blocks + 1)]
    return [slice(edges[b], edges[b + 1], stride) for b in range(n_blocks)]


def _concatenate(parts: list[S]) -> S:
    names = [field.name for field in fields(parts[0])]
    return type(parts[0])(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in names)
    )
