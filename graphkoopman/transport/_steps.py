r"""Correlation between steps of a lag time: `StepSums`, `step_sums`,
`collective_step_sums`, for predictions.

A path is a sequence of steps :math:`\vec d_n` of one lag time. Their correlation over m steps, by
the state at the start of the first, is all that a squared displacement over many lag times needs.
Internal to this package; users call `graphkoopman.generation.predict_displacements`.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from graphkoopman.transport._carriers import Carrier, charge_path
from graphkoopman.transport._intervals import Units, transition_units
from graphkoopman.transport._runs import TransportRun, target_parts
from graphkoopman.transport._sums import (
    N_GROUPS,
    Charges,
    PairSums,
    TimeBlocks,
    _origins,
    _Sums,
    mean_volume,
)

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class StepSums(_Sums):
    r"""Sums over first frames of pairs of steps; leading axes are units, or none.

    The axis of gaps is the number of steps m = 0, 1, ..., memory from one step to the other.

    Attributes
    ----------
    products : ndarray of shape (..., n_gaps, n_states)
        :math:`\sum_t p_i(t)\,\vec d(t)\cdot\vec d(t+m\tau)`, Å².
    overlap : ndarray of shape (..., n_gaps, n_states, n_states)
        :math:`\sum_t p_i(t)\,p_j(t)` over the same frames.
    lagged : ndarray of shape (..., n_gaps, n_states, n_states)
        :math:`\sum_t p_i(t)\,p_j(t+(m+1)\tau)` over the same frames.
    n_pairs : ndarray of shape (..., n_gaps)
        Number of first frames, targets counted one by one.
    """

    products: Array
    overlap: Array
    lagged: Array
    n_pairs: Array

    def correlation(self) -> Array:
        r"""Mean :math:`\vec d_0\cdot\vec d_m` of targets that start in state i.

        The coefficients c with :math:`\sum_i p_i(t) c_i\approx\vec d_0\cdot\vec d_m` in least
        squares; conditional means where states are crisp.

        Returns
        -------
        ndarray of shape (..., n_gaps, n_states), Å²
        """
        inverse = np.linalg.pinv(self.overlap, rcond=1e-10, hermitian=True)
        return np.einsum("...ij,...j->...i", inverse, self.products)

    def koopman_matrices(self) -> Array:
        """Koopman matrices at 1, 2, ... steps, (..., n_gaps, n_states, n_states)."""
        return np.linalg.pinv(self.overlap, rcond=1e-10, hermitian=True) @ self.lagged

    def total_msd(self) -> Array:
        """Mean squared displacement over 1, 2, ... steps, (..., n_gaps) in Å²."""
        mean = self.products.sum(axis=-1) / self.n_pairs
        steps = np.arange(1, mean.shape[-1] + 1)
        pairs = np.clip(steps[:, None] - np.arange(len(steps)), 0, None) * 2.0
        # d(n)² = n steps with themselves and, twice, n - m pairs of steps m apart
        pairs[:, 0] = steps
        return mean @ pairs.T


def step_sums(
    runs: list[TransportRun],
    lag: int,
    memory: int,
    stride: int,
    unit: str,
    charges: Charges | None = None,
) -> tuple[StepSums, Units]:
    """Sum over all first frames, and choose what is independent.

    Parameters
    ----------
    runs : list of TransportRun
        All longer than ``(memory + 1) * lag`` frames.
    lag : int
        Frames of a step.
    memory : int
        Largest number of steps from one to the other.
    stride : int
        Frames between first frames.
    unit : see `transition_displacements`
    charges : Charges or None
        Steps are multiplied with the charge that the target carries, in e.

    Returns
    -------
    sums : StepSums
        Leading axis (n_units,).
    units : Units
        Of the same sums; name and scatter of the choice.
    """
    blocks = TimeBlocks.of(runs, (memory + 1) * lag)
    n_groups = [min(run.n_targets, max(1, N_GROUPS // len(runs))) for run in runs]
    parts = [
        _run_sums(run, lag, memory, stride, charges, count, groups)
        for run, count, groups in zip(runs, blocks.counts, n_groups, strict=True)
    ]
    columns = zip(*parts, strict=True)
    cells = StepSums(*(np.concatenate(column) for column in columns))
    pairs = PairSums(
        cells=cast(Any, cells),
        collective=None,
        lags=np.array([(memory + 1) * lag]),
        blocks=blocks,
        n_groups=n_groups,
    )
    units = transition_units(pairs, unit)
    return cast(Any, units.sums), units


def collective_step_sums(
    runs: list[TransportRun],
    lag: int,
    memory: int,
    stride: int,
    charges: Charges,
    carriers: list[list[Carrier]],
) -> tuple[StepSums, Units]:
    """Sums of the charge displacement of all ions together, as of one target in one state.

    Parameters
    ----------
    runs, lag, memory, stride, charges
        See `step_sums`.
    carriers : list of n_runs lists of Carrier
        Other ions than the targets.

    Returns
    -------
    sums : StepSums
        Frames count with their volume, so that means are per volume, in e²/Å.
    units : Units
        Blocks of time.
    """
    blocks = TimeBlocks.of(runs, (memory + 1) * lag)
    parts = []
    for run, others, n_blocks in zip(runs, carriers, blocks.counts, strict=True):
        current = _current(run, lag, charges, others)
        products = np.zeros((n_blocks, memory + 1, 1))
        volume = np.zeros((n_blocks, memory + 1))
        for m in range(memory + 1):
            for b, first in enumerate(_origins(len(current) - m * lag, n_blocks, stride)):
                second = slice(first.start + m * lag, first.stop + m * lag, stride)
                products[b, m, 0] = np.sum(current[first] * current[second])
                volume[b, m] = len(current[first]) * mean_volume(run)
        overlap = volume[:, :, None, None]
        parts.append((products, overlap, overlap, volume))
    sums = StepSums(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return sums, Units(cast(Any, sums), "blocks", blocks.scatter())


def _current(run: TransportRun, lag: int, charges: Charges, others: list[Carrier]) -> Array:
    """Charge displacement of all ions over every step, (n_frames - lag, 3) in e Å."""
    current = np.zeros((run.n_frames - lag, 3))
    for part, paths, chi in target_parts(run):
        carried = charges.carried(part, chi[:, :, :-lag], chi[:, :, lag:])
        # Σ z d of the targets, (n_frames - lag, 3)
        current += np.sum(carried[..., None] * (paths[:, lag:] - paths[:, :-lag]), axis=0)
    for carrier in others:
        path = charge_path(run, carrier)
        current += path[lag:] - path[:-lag]
    return current


def _run_sums(
    run: TransportRun,
    lag: int,
    memory: int,
    stride: int,
    charges: Charges | None,
    n_blocks: int,
    n_groups: int,
) -> tuple[Array, ...]:
    """Products, overlap, lagged and n_pairs of every block and group of one run."""
    n_states, n_gaps = run.n_states, memory + 1
    products = np.zeros((n_blocks, n_groups, n_gaps, n_states))
    overlap = np.zeros((n_blocks, n_groups, n_gaps, n_states, n_states))
    lagged = np.zeros((n_blocks, n_groups, n_gaps, n_states, n_states))
    n_pairs = np.zeros((n_blocks, n_groups, n_gaps))
    group_of = np.arange(run.n_targets) * n_groups // run.n_targets
    for part, paths, chi in target_parts(run):
        group = group_of[part]
        step = paths[:, lag:] - paths[:, :-lag]
        if charges is not None:
            step = charges.carried(part, chi[:, :, :-lag], chi[:, :, lag:])[..., None] * step
        for m in range(n_gaps):
            for b, first in enumerate(_origins(step.shape[1] - m * lag, n_blocks, stride)):
                second = slice(first.start + m * lag, first.stop + m * lag, stride)
                # (n_part, n_pairs): scalar product of a step and the one m lags later
                together = np.einsum("nfx,nfx->nf", step[:, first], step[:, second])
                p = chi[:, :, first]
                np.add.at(products[b, :, m], group, np.einsum("nif,nf->ni", p, together))
                np.add.at(overlap[b, :, m], group, p @ p.transpose(0, 2, 1))
                np.add.at(n_pairs[b, :, m], group, together.shape[1])
                end = slice(second.start + lag, second.stop + lag, stride)
                np.add.at(lagged[b, :, m], group, p @ chi[:, :, end].transpose(0, 2, 1))
    return tuple(
        array.reshape(-1, *array.shape[2:]) for array in (products, overlap, lagged, n_pairs)
    )
