"""Expected squared displacement of every transition, eq. (13): `transition_displacements`."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.checks import check_integer
from graphkoopman.probabilities import ProbabilitiesLike
from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.trajectories import TargetsLike, TrajectoriesLike
from graphkoopman.transport._drift import Drift
from graphkoopman.transport._intervals import Units, jackknife, transition_units
from graphkoopman.transport._runs import TransportRun, check_lags, prepare_runs
from graphkoopman.transport._sums import PairSums, pair_sums
from graphkoopman.transport._warnings import UnobservedTransitionWarning
from graphkoopman.uncertainty import with_refits

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class TransitionMSD(Tabular):
    r"""Expected squared displacement of every transition over a set of lags.

    Attributes
    ----------
    lags : ndarray of shape (n_lags,)
        Lag times in frames, ascending.
    msd : ndarray of shape (n_lags, n_states, n_states)
        :math:`E[d^2(t)|i\to j]` in Å²; NaN where a transition never occurs.
    msd_interval : ndarray of shape (n_lags, n_states, n_states, 2)
        95 % interval, Å².
    weight : ndarray of shape (n_lags, n_states, n_states)
        :math:`\sum p_i p_j`, the number of pairs of frames behind each value. Pairs overlap in
        time: they are not independent.
    total : ndarray of shape (n_lags,)
        Mean squared displacement of all targets in Å².
    total_interval : ndarray of shape (n_lags, 2)
        95 % interval, Å².
    timestep : float
        ps per frame.
    unit : str
        What was left out in turn by the jackknife.
    n_units : int
        Number of such units.
    """

    figure = "plot_transition_msd"

    lags: NDArray[np.int64]
    msd: Array
    msd_interval: Array
    weight: Array
    total: Array
    total_interval: Array
    timestep: float
    unit: str
    n_units: int

    def table(self) -> dict[str, Any]:
        """One row per lag and transition."""
        begin, end = np.indices(self.msd.shape[1:])
        return {
            "from": begin,
            "to": end,
            "lag / ps": self.times[:, None, None],
            **interval_columns("squared displacement / angstrom^2", self.msd, self.msd_interval),
        }

    @property
    def times(self) -> Array:
        """Lag times in ps, (n_lags,)."""
        return self.lags.astype(np.float64) * self.timestep


@with_refits
def transition_displacements(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    lags: ArrayLike,
    *,
    drift: Drift = None,
    stride: int = 1,
    unit: str = "auto",
) -> TransitionMSD:
    r"""Squared displacement expected of a target that goes from state i to state j.

    .. math::
        E[d^2(t)|i\to j] = \frac{\sum_{t'} d^2(t',t'+t)\,p_i(t')\,p_j(t'+t)}
                                {\sum_{t'} p_i(t')\,p_j(t'+t)}

    The sums run over all targets, trajectories and time origins.

    Parameters
    ----------
    trajs : Trajectory, mdtraj.Trajectory, or list of these
        Wrapped or unwrapped, any cell, constant or changing, or none; frame counts may differ.
    probs : array or list of arrays of shape (n_frames, n_targets, n_states)
        State probabilities; rows sum to one.
    targets : str, array-like, list of array-like, callable or None
        See `graphkoopman.trajectories.resolve_targets`. Molecules move with their centre of mass.
    lags : int or array-like of int
        Lag times in frames.
    drift : {"framework", "system"}, array-like of atom indices, or None
        Atoms whose centre of mass is held at rest: all atoms of species that no target has, all
        atoms, those listed, or nothing.
    stride : int
        Frames between time origins.
    unit : str
        What counts as an independent unit for the intervals: "trajectories", "blocks" of time,
        all targets together in both; "targets" (over all times and trajectories);
        "trajectories+targets" or "blocks+targets" (each target of each of them). "auto" is
        "blocks": nothing is taken for granted about targets.

    Returns
    -------
    TransitionMSD

    Raises
    ------
    ValueError
        If an argument is not as described, the arrays do not match the trajectories, there is no
        framework, or no trajectory is longer than the longest lag.

    Warns
    -----
    ShortTrajectoryWarning
        If trajectories are no longer than the longest lag; they are left out at every lag.
    UnobservedTransitionWarning
        If a transition never occurs at a lag.

    Notes
    -----
    Drift matters when a simulation lets the centre of mass wander, or when a light framework
    recoils. With "framework" and "system" the targets of small cells lose part of their own motion.

    Blocks of time are at least two lags and several correlation times of the states long where
    the data allow it. What lasts from piece to piece of a block counts as slow as the states:
    where these are not short against the run, few degrees of freedom are left and such intervals
    are wide, as they should be. See `graphkoopman.uncertainty.error_of_mean`.

    References
    ----------
    .. [1] T. Xie et al., Nat. Commun. 10, 2667 (2019), eq. (13).

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.trajectories import Trajectory
    >>> from graphkoopman.transport import transition_displacements
    >>> steps = np.random.default_rng(0).normal(size=(200, 30, 3))
    >>> walk = Trajectory(np.cumsum(steps, axis=0), None, [3] * 30, timestep=1.0)
    >>> result = transition_displacements(walk, np.ones((200, 30, 1)), "element Li", [1, 10])
    >>> result.msd[:, 0, 0].round(0)  # three per step
    array([ 3., 30.])
    """
    frames = check_lags(lags)
    runs = prepare_runs(trajs, probs, targets, int(frames[-1]), drift)
    pairs = pair_sums(runs, frames, check_integer(stride, "stride", 1))
    units = transition_units(pairs, unit)
    result = summarise_msd(runs, pairs, units)
    warn_unobserved(result.weight, frames)
    return result


def summarise_msd(runs: list[TransportRun], pairs: PairSums, units: Units) -> TransitionMSD:
    """Estimates and intervals from the sums of one pass."""
    pooled, without = units.sums.total(), units.sums.leave_one_out()
    msd, total = pooled.msd(), pooled.total_msd()
    return TransitionMSD(
        lags=pairs.lags,
        msd=msd,
        msd_interval=jackknife(msd, without.msd(), units.sums.weight, units.scatter, positive=True),
        weight=pooled.weight,
        total=total,
        total_interval=jackknife(
            total, without.total_msd(), units.sums.n_pairs, units.scatter, positive=True
        ),
        timestep=runs[0].trajectory.timestep,
        unit=units.name,
        n_units=units.n_units,
    )


def warn_unobserved(weight: Array, lags: NDArray[np.int64]) -> None:
    """Name transitions (i, j) that have no pairs at some lag."""
    missing = np.argwhere((weight <= 0).any(axis=0))
    if len(missing):
        names = ", ".join(f"{i}→{j}" for i, j in missing[:8]) + (", …" if len(missing) > 8 else "")
        lag = lags[np.argmax((weight <= 0).any(axis=(1, 2)))]
        warnings.warn(
            f"transitions {names} do not occur at a lag of {lag} frames: their displacement and "
            "diffusion are NaN; use fewer states, other lags or more data",
            UnobservedTransitionWarning,
            stacklevel=3,
        )
