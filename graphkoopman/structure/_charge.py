"""Charge around targets in each state, Fig. 4c: `ChargeIntegral`, `charge_integral`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.probabilities import ProbabilitiesLike
from graphkoopman.structure._blocks import Division, divide, ratio_interval
from graphkoopman.structure._inputs import StructureRun, check_range, check_runs, warn_empty_states
from graphkoopman.structure._shells import block_populations, block_shell_sums
from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.trajectories import TargetsLike, TrajectoriesLike
from graphkoopman.uncertainty import with_refits

__all__ = ["ChargeIntegral", "charge_integral"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class ChargeIntegral(Tabular):
    """Charge that targets in each state carry with their surroundings.

    Intervals are 95 %, low and high on the last axis.

    Attributes
    ----------
    r : ndarray of shape (n_bins,)
        Radii of the spheres, Å: the outer borders of the bins.
    charge : ndarray of shape (n_states, n_bins)
        Mean charge nearer than ``r``, that of the target included, e.
    charge_interval : ndarray of shape (n_states, n_bins, 2)
    own_charge : ndarray of shape (n_states,)
        Mean charge of the target itself, e; the value at a radius of zero.
    populations : ndarray of shape (n_states,)
        Mean probability of each state.
    n_blocks : int
        Time blocks that the intervals come from.
    """

    figure = "plot_charge_integral"

    r: Array
    charge: Array
    charge_interval: Array
    own_charge: Array
    populations: Array
    n_blocks: int

    def table(self) -> dict[str, Any]:
        """One row per state and radius."""
        return {
            "state": np.arange(len(self.charge))[:, None],
            "r / angstrom": self.r,
            **interval_columns("charge / e", self.charge, self.charge_interval),
        }

    def within(self, radius: float) -> Array:
        """Charge of each state within a radius, such as that of the first shell, Fig. 4c.

        Parameters
        ----------
        radius : float
            Å; the nearest of ``r`` counts.

        Returns
        -------
        charges : ndarray of shape (n_states,)
            e; ``state_charges`` of `graphkoopman.transport.conduction_contributions`.

        Raises
        ------
        ValueError
            If the radius is beyond those of the integral.
        """
        half_bin = 0.5 * float(self.r[0])
        if not half_bin <= radius <= self.r[-1] + half_bin:
            raise ValueError(
                f"radius must be within the integral ({self.r[0]:g} to {self.r[-1]:g} Å), got "
                f"{radius:g}; raise r_max of charge_integral"
            )
        return self.charge[:, np.argmin(np.abs(self.r - radius))].copy()


@with_refits
def charge_integral(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    charges: ArrayLike | Sequence[ArrayLike],
    *,
    r_max: float,
    n_bins: int,
    n_blocks: int | None = None,
    unit: str = "auto",
) -> ChargeIntegral:
    r"""Charge within a radius of targets in each state.

    .. math::

        Q_i(r) = \frac{\langle p_i \left[q_\text{target} + \sum_{j:\, r_j < r} q_j\right]\rangle}
                      {\langle p_i\rangle}

    where j runs over all atoms that are not the target's own.

    Parameters
    ----------
    trajs, probs, targets
        As for `state_rdf`; the trajectories need no cell.
    charges : array-like of shape (n_atoms,), or list of these
        Charge of every atom, e; one array per trajectory if their atoms differ.
    r_max : float
        Å; at most half the smallest height of the cell over all frames, if there is one.
    n_bins : int
        Radii between 0 and ``r_max``.
    n_blocks : int or None
        Time blocks for the intervals, over all trajectories; None has the correlation time of the
        states choose.
    unit : {"auto", "trajectories", "blocks"}
        What counts as independent: blocks of time, or whole trajectories; all targets together.

    Returns
    -------
    ChargeIntegral

    Raises
    ------
    ValueError
        For inputs that do not match, or a radius beyond the limit of the cell.

    Warns
    -----
    EmptyStateWarning
        If a state has no weight; its averages are NaN.

    Notes
    -----
    All atoms of the target count with their charge from a radius of zero on. In a neutral system
    the integral tends to zero, but a periodic one ends at half its smallest height, before that
    limit. Atoms count one by one, so a sphere that cuts molecules shows their internal dipoles.
    For the intervals see `state_rdf`.

    References
    ----------
    .. [1] Xie et al., Nat. Commun. 10, 2667 (2019), Fig. 4c.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman import Trajectory
    >>> from graphkoopman.structure import charge_integral
    >>> pair = np.zeros((40, 2, 3))
    >>> pair[:, 1, 0] = 2.0
    >>> salt = Trajectory(pair, None, [3, 17], timestep=1.0)
    >>> result = charge_integral(salt, np.ones((40, 1, 1)), [0], [1.0, -1.0], r_max=3.0, n_bins=3)
    >>> result.r, result.charge
    (array([1., 2., 3.]), array([[1., 1., 0.]]))
    """
    runs = check_runs(trajs, probs, targets)
    per_atom = atom_charges(runs, charges)
    r_max, n_bins = check_range(runs, r_max, n_bins)
    blocks = divide(runs, unit, n_blocks)
    columns = [np.zeros(run.trajectory.n_atoms, dtype=np.int64) for run in runs]
    shells = block_shell_sums(runs, blocks, columns, per_atom, (1, n_bins), r_max)[:, :, 0]
    own = _own_charges(runs, blocks, per_atom)
    weights, rows = block_populations(runs, blocks)
    warn_empty_states(weights.sum(axis=0))
    # (n_blocks, n_states, n_bins): the target's own charge and all that its sphere has gathered
    charge, charge_interval = ratio_interval(
        own[..., None] + np.cumsum(shells, axis=-1), weights[..., None], blocks, lowest=-np.inf
    )
    own_charge, _ = ratio_interval(own, weights, blocks, lowest=-np.inf)
    return ChargeIntegral(
        r=np.linspace(0.0, r_max, n_bins + 1)[1:],
        charge=charge,
        charge_interval=charge_interval,
        own_charge=own_charge,
        populations=weights.sum(axis=0) / rows.sum(),
        n_blocks=blocks.n_blocks,
    )


def atom_charges(
    runs: Sequence[StructureRun], charges: ArrayLike | Sequence[ArrayLike]
) -> list[Array]:
    """Charges of every run, (n_atoms,)."""
    per_run = isinstance(charges, list | tuple) and any(np.ndim(part) for part in charges)
    arrays: list[Any] = list(charges) if per_run else [charges] * len(runs)  # type: ignore[arg-type]
    if len(arrays) != len(runs):
        raise ValueError(
            f"charges must be one array or one per trajectory ({len(runs)}), got {len(arrays)}"
        )
    checked = []
    for run, part in zip(runs, arrays, strict=True):
        values = np.asarray(part, dtype=np.float64)
        if values.shape != (run.trajectory.n_atoms,) or not np.isfinite(values).all():
            raise ValueError(
                f"charges must be finite, one for each of the {run.trajectory.n_atoms} atoms, "
                f"got shape {values.shape}; charges of states belong to the conduction analysis"
            )
        checked.append(values)
    return checked


def _own_charges(runs: Sequence[StructureRun], blocks: Division, charges: Sequence[Array]) -> Array:
    """Sums of probabilities times the charge of the target, (n_blocks, n_states)."""
    sums = np.empty((len(blocks), runs[0].n_states))
    for k, block in enumerate(blocks):
        run = runs[block.trajectory]
        # (n_targets,): a molecule carries the sum of its atoms
        own = np.add.reduceat(
            charges[block.trajectory][run.targets.atoms], run.targets.offsets[:-1]
        )
        weights = run.probs[block.start : block.stop].sum(axis=0, dtype=np.float64)
        sums[k] = own @ weights
    return sums
