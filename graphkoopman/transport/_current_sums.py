r"""Sums over time origins that Onsager coefficients are ratios of: `CurrentSums`, `current_sums`.

With :math:`w_{n,ij}(t)=p_i(t)\,p_j(t+\tau)` of target n, the charge displacement of a transition is
:math:`\vec J_{ij}(t)=\sum_n w_{n,ij}\,z_n\vec d_n`. Rows of probabilities sum to one, so the charge
displacement of all targets is its sum over transitions, whatever the states.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphkoopman.transport._carriers import Carrier, charge_path
from graphkoopman.transport._runs import TransportRun, target_parts
from graphkoopman.transport._sums import Charges, TimeBlocks, _origins, _Sums, mean_volume
from graphkoopman.uncertainty import Scatter

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CurrentSums(_Sums):
    r"""Sums over the time origins of pieces of blocks; leading axis (n_pieces,), or none.

    Currents are those of the n_states² transitions, then of the other carriers.

    Attributes
    ----------
    products : ndarray of shape (..., n_currents, n_currents)
        :math:`\sum_t\vec J_a\cdot\vec J_b`, e² Å².
    own : ndarray of shape (..., n_states², n_states²)
        :math:`\sum_{t,n} z_n^2d_n^2\,w_{n,a}w_{n,b}`, e² Å²: what products hold of one target with
        itself.
    weight : ndarray of shape (..., n_states²)
        :math:`\sum_{t,n} w_{n,a}`.
    volume : ndarray of shape (...)
        Sum of the volume, Å³.
    """

    products: Array
    own: Array
    weight: Array
    volume: Array


@dataclass(frozen=True, eq=False)
class CurrentBlocks:
    """Sums of every piece of the blocks of time, and the blocks.

    Attributes
    ----------
    sums : CurrentSums
    blocks : TimeBlocks
    """

    sums: CurrentSums
    blocks: TimeBlocks


def current_units(blocks: CurrentBlocks, name: str) -> tuple[CurrentSums, Scatter]:
    """Sums of "blocks" in their pieces, or "trajectories", and what their scatter shows."""
    if name == "blocks":
        return blocks.sums, blocks.blocks.scatter()
    labels = np.array([block.trajectory for block in blocks.blocks])
    return blocks.sums.grouped(labels), blocks.blocks.scatter(labels=labels)


def current_sums(
    runs: list[TransportRun], lag: int, stride: int, charges: Charges, carriers: list[list[Carrier]]
) -> CurrentBlocks:
    """Sum over all time origins, block by block of time.

    Parameters
    ----------
    runs : list of TransportRun
        All longer than the lag.
    lag : int
        Frames.
    stride : int
        Frames between time origins.
    charges : Charges
        Of the targets.
    carriers : list of n_runs lists of Carrier
    """
    cut = TimeBlocks.of(runs, lag, in_pieces=True)
    parts = [
        part
        for run, blocks, others in zip(runs, cut.counts, carriers, strict=True)
        for part in _run_sums(
            run, lag, _origins(run.n_frames - lag, blocks, stride), charges, others
        )
    ]
    sums = CurrentSums(*(np.stack(column) for column in zip(*parts, strict=True)))
    return CurrentBlocks(sums, cut)


def _run_sums(
    run: TransportRun, lag: int, blocks: list[slice], charges: Charges, others: list[Carrier]
) -> list[tuple[Array, ...]]:
    """Products, own, weight and volume of each block of one run."""
    n_pairs, n_moves = run.n_frames - lag, run.n_states**2
    currents = np.zeros((n_moves + len(others), n_pairs, 3))
    own = np.zeros((len(blocks), n_moves, n_moves))
    weight = np.zeros((len(blocks), n_moves))
    for part, paths, chi in target_parts(run):
        step = paths[:, lag:] - paths[:, :-lag]
        chi_0, chi_t = chi[:, :, :-lag], chi[:, :, lag:]
        carried = charges.carried(part, chi_0, chi_t)[..., None] * step  # (n_part, n_pairs, 3)
        squared = (carried**2).sum(axis=-1)
        # (n_part, n_moves, n_pairs): weight p_i(t) p_j(t + τ) of every move of every target
        moves = (chi_0[:, :, None] * chi_t[:, None]).reshape(len(step), n_moves, n_pairs)
        # (n_moves, n_pairs, 3): charge displacement that each move carries, over all targets
        currents[:n_moves] += np.einsum("nap,npx->apx", moves, carried)
        for b, origins in enumerate(blocks):
            # (n_moves, n_part * n_origins), so that one matrix product sums over both
            flat = moves[:, :, origins].transpose(1, 0, 2).reshape(n_moves, -1)
            own[b] += (flat * squared[:, origins].ravel()) @ flat.T
            weight[b] += flat.sum(axis=1)
    for a, carrier in enumerate(others, start=n_moves):
        path = charge_path(run, carrier)
        currents[a] = path[lag:] - path[:-lag]
    volume = mean_volume(run)
    # scalar products of all moves and carriers are one matrix product over pairs and axes
    rows = [currents[:, origins].reshape(len(currents), -1) for origins in blocks]
    return [
        (row @ row.T, own[b], weight[b], np.array(row.shape[1] // 3 * volume))
        for b, row in enumerate(rows)
    ]
