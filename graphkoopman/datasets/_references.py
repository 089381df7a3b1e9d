"""Reference values of the site dynamics, taken from the very frames that a model sees.

Public: :func:`two_state_reference`, :func:`global_reference`, :func:`li_fcc_reference` and their
results. Times are in ps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.datasets._labels import (
    LabelTimescales,
    TooFewTransitionsError,
    block_statistics,
    jackknife_error,
    label_timescales,
    reversible_timescales,
)
from graphkoopman.datasets._sites import CORE_RADIUS, assign_sites, fcc_sites
from graphkoopman.trajectories import Trajectory

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SULFUR = 16
LITHIUM = 3

# the slowest modes, differences among the four octahedral sites, are a threefold multiplet
MULTIPLICITY = 3
GLOBAL_LAG = 10.0  # ps


@dataclass(frozen=True)
class TwoStateReference:
    """Exchange between two states, counted.

    Attributes
    ----------
    relaxation_time, relaxation_time_error : float
        1 / (k_01 + k_10) in ps and its standard error.
    rates : ndarray of shape (2,)
        k_01 and k_10 in 1/ps: transitions divided by the time in the state they leave.
    populations, populations_error : ndarray of shape (2,)
        Fraction of time in each state and its standard error.
    n_transitions : ndarray of shape (2,)
        Number of 0 → 1 and of 1 → 0 transitions.
    """

    relaxation_time: float
    relaxation_time_error: float
    rates: FloatArray
    populations: FloatArray
    populations_error: FloatArray
    n_transitions: IntArray


@dataclass(frozen=True)
class GlobalReference:
    """Exchange among all the sites that were visited, observed at one lag.

    Attributes
    ----------
    timescales, timescales_error : ndarray of shape (n_visited - 1,)
        Relaxation times of the site process in ps, slowest first (11 of them when all 12 sites
        were visited), and their standard errors.
    multiplet, multiplet_error : float
        Mean of the three slowest timescales, degenerate in the limit of much data, and its
        standard error. Sampling splits the three, so compare their mean, not the slowest.
    transition_matrix : ndarray of shape (n_visited, n_visited)
        Site-to-site transition probabilities at the lag, in detailed balance.
    sites : ndarray of shape (n_visited,)
        The sites that were visited.
    lagtime : int
        Lag in frames.
    """

    timescales: FloatArray
    timescales_error: FloatArray
    multiplet: float
    multiplet_error: float
    transition_matrix: FloatArray
    sites: IntArray
    lagtime: int


@dataclass(frozen=True)
class SiteReference:
    """What the frames of a trajectory say about its own site dynamics.

    Attributes
    ----------
    labels : ndarray of shape (n_frames,)
        Site of every frame, 0 to 11, numbered as in :func:`fcc_sites`.
    types : ndarray of shape (n_frames,)
        0 where that site is octahedral, 1 where it is tetrahedral.
    timestep : float
        Picoseconds per frame.
    two_state : TwoStateReference
        Octahedral ↔ tetrahedral exchange.
    """

    labels: IntArray
    types: IntArray
    timestep: float
    two_state: TwoStateReference

    @property
    def relaxation_time(self) -> float:
        """Two-state relaxation time in ps."""
        return self.two_state.relaxation_time

    @property
    def relaxation_time_error(self) -> float:
        """Standard error of the two-state relaxation time in ps."""
        return self.two_state.relaxation_time_error

    @property
    def populations(self) -> FloatArray:
        """Fractions of time in octahedral and tetrahedral sites, (2,)."""
        return self.two_state.populations

    @property
    def populations_error(self) -> FloatArray:
        """Standard errors of the populations, (2,)."""
        return self.two_state.populations_error

    @cached_property
    def global_reference(self) -> GlobalReference:
        """Exchange among the sites at a lag of 10 ps; see :func:`global_reference`."""
        lagtime = max(round(GLOBAL_LAG / self.timestep), 1)
        return global_reference(self.labels, lagtime, self.timestep)

    @property
    def global_timescales(self) -> FloatArray:
        """Timescales of the 12-site process in ps, slowest first, (n_visited - 1,)."""
        return self.global_reference.timescales

    def at_lag(self, lagtime: int) -> LabelTimescales:
        """Two-state model at a finite lag, for a Koopman model estimated at that lag.

        Parameters
        ----------
        lagtime
            Lag in frames.

        Returns
        -------
        LabelTimescales
            ``timescales[0]`` is the two-state relaxation time in ps at this lag.
        """
        return label_timescales(self.types, lagtime, self.timestep, n_states=2)


def two_state_reference(types: ArrayLike, timestep: float) -> TwoStateReference:
    """Relaxation time of a two-state process from its counted transitions.

    k_ij = N_ij / T_i with N_ij transitions in the time T_i spent in i, and 1 / (k_01 + k_10).

    Parameters
    ----------
    types : array-like of int of shape (n_frames,)
        State (0 or 1) of every frame, free of recrossings as from :func:`assign_sites`.
    timestep
        Picoseconds per frame.

    Returns
    -------
    TwoStateReference
        Standard errors are those of exponential residence times, δk_ij = k_ij / √N_ij.

    Raises
    ------
    TooFewTransitionsError
        If there are fewer than two transitions each way.
    """
    states = np.asarray(types)
    if states.ndim != 1 or not np.isin(states, (0, 1)).all():
        raise ValueError(f"types must be 0 or 1 in an array (n_frames,), got shape {states.shape}")
    left = states[:-1][states[1:] != states[:-1]]
    n_transitions = np.bincount(left.astype(np.int64), minlength=2)
    if n_transitions.min() < 2:
        raise TooFewTransitionsError(
            "a relaxation time needs at least 2 transitions each way, got "
            f"{n_transitions.tolist()} in {len(states) * timestep:g} ps; use a longer trajectory",
            n_transitions=int(n_transitions.min()),
            required=2,
        )
    duration = np.bincount(states.astype(np.int64), minlength=2) * timestep
    rates = n_transitions / duration
    relaxation_time = 1.0 / rates.sum()
    populations = duration / duration.sum()
    # the indicator of a state decorrelates with the relaxation time itself
    variance = 2.0 * populations.prod() * relaxation_time / duration.sum()
    return TwoStateReference(
        relaxation_time=float(relaxation_time),
        relaxation_time_error=float(
            relaxation_time**2 * np.linalg.norm(rates / n_transitions**0.5)
        ),
        rates=rates,
        populations=populations,
        populations_error=np.full(2, np.sqrt(variance)),
        n_transitions=n_transitions,
    )


def global_reference(labels: ArrayLike, lagtime: int, timestep: float) -> GlobalReference:
    """Relaxation times of the process among all sites, observed directly.

    Transition counts at the lag are symmetrised, since a stationary trajectory obeys detailed
    balance, so that all eigenvalues are real. Between sites that are all joined to each other,
    with rates k_ot and k_to out of octahedral and tetrahedral sites and no memory of where an ion
    came from, the limit of much data is 1/k_ot three times (differences among octahedral sites),
    1/k_to seven times and 1/(k_ot + k_to) once.

    Parameters
    ----------
    labels : array-like of int of shape (n_frames,)
        Site of every frame, 0 to 11, from :func:`assign_sites`.
    lagtime
        Lag in frames.
    timestep
        Picoseconds per frame.

    Returns
    -------
    GlobalReference
        Standard errors come from a delete-one jackknife over 20 time blocks; they are infinite
        where one block holds all the visits to a site.

    Raises
    ------
    TooFewTransitionsError
        If fewer than four sites were visited.

    Warns
    -----
    UserWarning
        If an eigenvalue is not positive; its timescale is NaN then.

    Notes
    -----
    With cores of (1.0, 0.6) Å about one visit to a tetrahedral site in ten only grazes it and
    ends where it began, so counted rates overestimate k_ot; at lags of 10 to 100 ps the multiplet
    of 200 ns agrees within 3 % for tetrahedral cores from 0.4 to 0.6 Å.
    """
    sites, visited = np.unique(np.asarray(labels), return_inverse=True)
    if len(sites) <= MULTIPLICITY:
        n_transitions = int(np.count_nonzero(np.diff(visited)))
        raise TooFewTransitionsError(
            f"global timescales need at least {MULTIPLICITY + 1} visited sites, got {len(sites)} "
            f"with {n_transitions} transitions; use a longer trajectory",
            n_transitions=n_transitions,
            required=MULTIPLICITY,
        )
    known = label_timescales(visited, lagtime, timestep, reversible=True)

    def multiplet(counts: FloatArray) -> FloatArray:
        return reversible_timescales(counts, lagtime * timestep)[:MULTIPLICITY].mean(keepdims=True)

    counts, _, _ = block_statistics(visited[:, None], lagtime, len(sites))
    return GlobalReference(
        timescales=known.timescales,
        timescales_error=known.timescales_error,
        multiplet=float(known.timescales[:MULTIPLICITY].mean()),
        multiplet_error=float(jackknife_error(multiplet, counts)[0]),
        transition_matrix=known.transition_matrix,
        sites=sites,
        lagtime=lagtime,
    )


def li_fcc_reference(
    trajectory: Trajectory, core_radius: tuple[float, float] = CORE_RADIUS
) -> SiteReference:
    """Reference values of one Li in an FCC cell of S, from exactly the frames it is given.

    Two trajectories of 20 ns differ from each other by about 30 %; a model is therefore compared
    with the reference of the frames it was evaluated on.

    Parameters
    ----------
    trajectory
        Any contiguous part of a trajectory from :func:`simulate_li_fcc`.
    core_radius
        Radii in Å of octahedral and tetrahedral cores, see :func:`assign_sites`.

    Returns
    -------
    SiteReference
        Sites of the frames, relaxation time, populations and global timescales.

    Raises
    ------
    ValueError
        If the trajectory is not 1 Li and 4 S in a constant cubic cell.
    TooFewTransitionsError
        If the frames hold fewer than two transitions each way.
    """
    species = np.asarray(trajectory.species)
    cell = trajectory.cell
    if np.count_nonzero(species == LITHIUM) != 1 or np.count_nonzero(species == SULFUR) != 4:
        raise ValueError(f"trajectory must hold 1 Li and 4 S atoms, got species {species.tolist()}")
    if cell is None or cell.shape != (3, 3) or not np.allclose(cell, cell[0, 0] * np.eye(3)):
        raise ValueError(
            f"trajectory must have one cubic cell, got {cell}; "
            "this reference is for trajectories made by simulate_li_fcc"
        )
    a = float(cell[0, 0])
    positions = trajectory.positions
    origin = positions[0, np.flatnonzero(species == SULFUR)[0]].astype(np.float64)
    lithium = positions[:, np.flatnonzero(species == LITHIUM)[0]] - origin
    labels = assign_sites(lithium, a, core_radius)
    types = fcc_sites(a).types[labels]
    return SiteReference(
        labels, types, trajectory.timestep, two_state_reference(types, trajectory.timestep)
    )
