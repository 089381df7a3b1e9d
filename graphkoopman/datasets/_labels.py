"""Timescales and populations estimated from true state labels.

Public: :func:`label_timescales`, :class:`LabelTimescales`, :class:`TooFewTransitionsError`. A
learned model of some frames is judged against the labels of the same frames at the same lag, so
that sampling error, common to both, is not mistaken for model error.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components

FloatArray = NDArray[np.float64]

N_BLOCKS = 20


class TooFewTransitionsError(ValueError):
    """The data hold fewer transitions than an estimate needs.

    Attributes
    ----------
    n_transitions, required : int
        What was found and what is needed.
    """

    def __init__(self, message: str, *, n_transitions: int, required: int) -> None:
        super().__init__(message)
        self.n_transitions = n_transitions
        self.required = required


@dataclass(frozen=True)
class LabelTimescales:
    """Markov model of known labels at one lag.

    Attributes
    ----------
    timescales, timescales_error : ndarray of shape (n_states - 1,)
        -lag / ln λ in ps, slowest first, and its standard error.
    populations, populations_error : ndarray of shape (n_states,)
        Fraction of the frames in each state and its standard error.
    transition_matrix : ndarray of shape (n_states, n_states)
        Row-stochastic matrix at the lag.
    lagtime : int
        Lag in frames.
    timestep : float
        Picoseconds per frame.
    n_transitions : int
        Changes of label between consecutive frames, over all chains.
    n_blocks : int
        Number of blocks of the jackknife behind the errors.
    """

    timescales: FloatArray
    timescales_error: FloatArray
    populations: FloatArray
    populations_error: FloatArray
    transition_matrix: FloatArray
    lagtime: int
    timestep: float
    n_transitions: int
    n_blocks: int


def label_timescales(
    labels: ArrayLike,
    lagtime: int,
    timestep: float,
    *,
    n_states: int | None = None,
    reversible: bool = False,
) -> LabelTimescales:
    """Estimate a Markov model from true labels, pooled over targets.

    Transitions (t, t + lagtime) of all targets are counted in one matrix, which is divided by its
    row sums; with ``reversible`` it is symmetrised before.

    Parameters
    ----------
    labels : array-like of int of shape (n_frames,) or (n_frames, n_targets)
        State of every target in every frame, numbered from 0.
    lagtime
        Lag in frames.
    timestep
        Picoseconds per frame.
    n_states
        Number of states, at least 2; by default one more than the largest label.
    reversible
        Impose detailed balance, which stationary trajectories of a system in equilibrium obey.

    Returns
    -------
    LabelTimescales
        Timescales (ps) and populations with standard errors from a delete-one jackknife over
        (target, time block) pairs, about 20 or more of them. An error is infinite where a single
        block holds all the transitions that connect the states.

    Raises
    ------
    TooFewTransitionsError
        If some states are never entered and left again.
    ValueError
        If an argument does not fit the data.

    Warns
    -----
    UserWarning
        If an eigenvalue is complex or not positive; its timescale is NaN then.

    Notes
    -----
    Blocks shorter than the slowest timescale are correlated, which makes the errors too small;
    with fewer than about 20 events they are indicative only.

    Examples
    --------
    >>> from graphkoopman.datasets import chain_rates, label_timescales, make_hopping
    >>> data = make_hopping(chain_rates(2, slowest=20.0), 5000, random_state=0)
    >>> estimate = label_timescales(data.labels, 5, 1.0)
    >>> bool(abs(estimate.timescales[0] - 20.0) < 3.0 * estimate.timescales_error[0])
    True
    """
    states, n_states = _check_labels(labels, lagtime, timestep, n_states)
    counts, occupancy, n_transitions = block_statistics(states, lagtime, n_states)
    total = counts.sum(axis=0)
    if reversible:
        total = total + total.T
    n_components, _ = connected_components(total > 0, connection="strong")
    if n_components > 1:
        raise TooFewTransitionsError(
            f"the {n_states} states must be connected by transitions both ways, got "
            f"{n_components} separate sets from {n_transitions} transitions at lagtime={lagtime}; "
            "use more frames or fewer states",
            n_transitions=n_transitions,
            required=n_states,
        )

    def timescales_of(pair_counts: FloatArray) -> FloatArray:
        estimate = reversible_timescales if reversible else _timescales
        return estimate(pair_counts, lagtime * timestep)

    timescales = timescales_of(total)
    _warn_invalid(timescales, lagtime)
    return LabelTimescales(
        timescales=timescales,
        timescales_error=jackknife_error(timescales_of, counts),
        populations=_normalised(occupancy.sum(axis=0)),
        populations_error=jackknife_error(_normalised, occupancy),
        transition_matrix=total / total.sum(axis=1, keepdims=True),
        lagtime=lagtime,
        timestep=timestep,
        n_transitions=n_transitions,
        n_blocks=len(counts),
    )


def jackknife_error(estimate: Callable[..., FloatArray], *blocks: FloatArray) -> FloatArray:
    """Delete-one standard error of ``estimate(*sums over blocks)``; blocks are on the first axis.

    A replicate that is not finite makes the error infinite.
    """
    n_blocks = len(blocks[0])
    totals = [block.sum(axis=0) for block in blocks]
    # the estimate from all blocks but one
    replicates = np.array(
        [
            estimate(*(total - block[b] for total, block in zip(totals, blocks, strict=True)))
            for b in range(n_blocks)
        ]
    )
    finite = np.isfinite(replicates).all(axis=0)
    spread = np.where(finite, replicates, 0.0).std(axis=0)
    return np.where(finite, np.sqrt(n_blocks - 1) * spread, np.inf)


def block_statistics(
    states: NDArray[np.int64], lagtime: int, n_states: int
) -> tuple[FloatArray, FloatArray, int]:
    """Pair counts (n_blocks, n_states, n_states) and occupancy (n_blocks, n_states)."""
    n_frames, n_targets = states.shape
    # each target is a sample of its own; few targets are cut in time as well
    n_time = min(-(-N_BLOCKS // n_targets), n_frames - lagtime)
    n_blocks = n_time * n_targets
    time_block = np.arange(n_frames) * n_time // n_frames
    block = time_block[:, None] * n_targets + np.arange(n_targets)
    # one number for block, state before and state after: a single bincount counts all three
    pair = (block[:-lagtime] * n_states + states[:-lagtime]) * n_states + states[lagtime:]
    counts = np.bincount(pair.ravel(), minlength=n_blocks * n_states**2)
    occupancy = np.bincount((block * n_states + states).ravel(), minlength=n_blocks * n_states)
    return (
        counts.reshape(n_blocks, n_states, n_states).astype(np.float64),
        occupancy.reshape(n_blocks, n_states).astype(np.float64),
        int((states[1:] != states[:-1]).sum()),
    )


def reversible_timescales(counts: FloatArray, lag: float) -> FloatArray:
    """Timescales of the symmetrised counts, slowest first; NaN for states without a count."""
    flux = counts + counts.T
    visited = flux.sum(axis=1) > 0
    flux = flux[np.ix_(visited, visited)]
    # D^(-1/2) F D^(-1/2) is symmetric and has the eigenvalues of the transition matrix D^(-1) F
    scale = np.sqrt(flux.sum(axis=1))
    eigenvalues = np.linalg.eigvalsh(flux / np.outer(scale, scale))[::-1]
    timescales = np.full(len(counts) - 1, np.nan)
    timescales[: len(eigenvalues) - 1] = _implied(eigenvalues[1:], lag)
    return timescales


def _check_labels(
    labels: ArrayLike, lagtime: int, timestep: float, n_states: int | None
) -> tuple[NDArray[np.int64], int]:
    states = np.asarray(labels)
    if states.ndim == 1:
        states = states[:, None]
    if states.ndim != 2 or states.size == 0 or not np.issubdtype(states.dtype, np.integer):
        raise ValueError(
            "labels must be integers of shape (n_frames,) or (n_frames, n_targets), "
            f"got shape {np.shape(labels)} and dtype {states.dtype}"
        )
    if not 1 <= lagtime < len(states):
        raise ValueError(
            f"lagtime must be between 1 and n_frames - 1 = {len(states) - 1} frames, got {lagtime}"
        )
    if not timestep > 0:
        raise ValueError(f"timestep must be a positive number of ps per frame, got {timestep}")
    n_states = max(int(states.max()) + 1, 2) if n_states is None else n_states
    if n_states < 2:
        raise ValueError(f"n_states must be >= 2, got {n_states}")
    if states.min() < 0 or states.max() >= n_states:
        raise ValueError(
            f"labels must lie between 0 and n_states - 1 = {n_states - 1}, "
            f"got {states.min()} to {states.max()}"
        )
    return states.astype(np.int64), n_states


def _timescales(counts: FloatArray, lag: float) -> FloatArray:
    n_components, _ = connected_components(counts > 0, connection="strong")
    if n_components > 1:
        return np.full(len(counts) - 1, np.nan)
    eigenvalues = np.linalg.eigvals(counts / counts.sum(axis=1, keepdims=True))
    return _implied(eigenvalues[np.argsort(-np.abs(eigenvalues))][1:], lag)


def _implied(eigenvalues: NDArray[np.inexact], lag: float) -> FloatArray:
    """-lag / ln λ; NaN where λ is complex, not positive, or one (states that never mix)."""
    real = eigenvalues.real
    valid = (np.abs(eigenvalues.imag) < 1e-12) & (real > 0) & (real < 1 - 1e-12)
    return np.where(valid, -lag / np.log(np.where(valid, real, 0.5)), np.nan)


def _warn_invalid(timescales: FloatArray, lagtime: int) -> None:
    invalid = np.flatnonzero(~np.isfinite(timescales))
    if len(invalid):
        warnings.warn(
            f"timescales {invalid.tolist()} at lagtime={lagtime} are NaN: their eigenvalues are "
            "complex or not positive; use a shorter lagtime or more frames (reversible=True keeps "
            "them real)",
            UserWarning,
            stacklevel=3,
        )


def _normalised(occupancy: FloatArray) -> FloatArray:
    return occupancy / occupancy.sum()
