"""Einstein conductivity of any carriers, without states: `einstein_conductivity`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.checks import check_integer
from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.trajectories import Targets, TrajectoriesLike, Trajectory, as_trajectories
from graphkoopman.transport._carriers import charge_path, check_carriers
from graphkoopman.transport._conduction import NERNST_EINSTEIN
from graphkoopman.transport._diffusion import Method, rate_coefficients, window_lags
from graphkoopman.transport._drift import Drift, drift_path
from graphkoopman.transport._inputs import check_temperature
from graphkoopman.transport._intervals import jackknife
from graphkoopman.transport._runs import TransportRun, check_lags, longer_than
from graphkoopman.transport._sums import CollectiveSums, TimeBlocks, _collective_sums

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EinsteinConductivity(Tabular):
    r"""Conductivity from the collective displacement of charge.

    Attributes
    ----------
    conductivity : float
        S/cm.
    interval : ndarray of shape (2,)
        95 %, S/cm; of the slope, from blocks of time.
    moment : ndarray of shape (n_lags,)
        Mean squared displacement of the charge per volume,
        :math:`\langle|\sum_k z_k\vec d_k|^2\rangle/V`, in e²/Å.
    moment_interval : ndarray of shape (n_lags, 2)
        95 %, e²/Å.
    lags : ndarray of shape (n_lags,)
        Frames.
    timestep : float
        ps per frame.
    temperature : float
        K.
    method : str
        "slope" or "secant".
    n_blocks : int
        Number of blocks behind the intervals.
    """

    conductivity: float
    interval: Array
    moment: Array
    moment_interval: Array
    lags: NDArray[np.int64]
    timestep: float
    temperature: float
    method: str
    n_blocks: int

    @property
    def times(self) -> Array:
        """Lags in ps, (n_lags,)."""
        return self.lags.astype(np.float64) * self.timestep

    def __repr__(self) -> str:
        low, high = self.interval
        return f"EinsteinConductivity({self.conductivity:.4g} [{low:.4g}, {high:.4g}] S/cm)"

    def table(self) -> dict[str, Any]:
        """One row per lag: the displacement of charge whose slope is the conductivity."""
        return {
            "lag / ps": self.times,
            **interval_columns(
                "displacement of charge / e^2/angstrom", self.moment, self.moment_interval
            ),
        }


def einstein_conductivity(
    trajs: TrajectoriesLike,
    charges: Any,
    lagtime: int,
    *,
    temperature: float,
    method: Method = "slope",
    window: tuple[int, int] | None = None,
    drift: Drift = None,
    stride: int = 1,
) -> EinsteinConductivity:
    r"""Conductivity from the slope of the collective displacement of charge.

    .. math::
        \sigma = \frac{e^2}{6Vk_BT}\frac{d}{dt}\Big\langle\Big|\sum_kz_k\vec d_k\Big|^2\Big\rangle

    Parameters
    ----------
    trajs : Trajectory, mdtraj.Trajectory, or list of these
        Trajectories with cells.
    charges : mapping, sequence of pairs, or array-like of shape (n_atoms,)
        All carriers: a mapping from selections to charges in e, (selection, charge) pairs, or the
        charge of every atom. See ``others`` of `onsager_contributions`.
    lagtime : int
        Frames.
    temperature : float
        K.
    method, window
        See `transition_diffusion`.
    drift : {"framework", "system"}, array-like of atom indices, or None
        See `transition_displacements`; the framework is of species that no carrier has. Where the
        charges sum to zero it changes nothing.
    stride : int
        Frames between time origins.

    Returns
    -------
    EinsteinConductivity

    Raises
    ------
    ValueError
        If an argument is not as described, there is no cell, or no trajectory is long enough.

    Notes
    -----
    One number per frame for the whole cell: the error falls with the length of the runs, not with
    the number of ions. It is the scatter of the slopes of blocks of time, about twenty, of two
    lags or more, with Student's t.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.trajectories import Trajectory
    >>> from graphkoopman.transport import einstein_conductivity
    >>> walk = np.cumsum(np.random.default_rng(0).normal(size=(2000, 8, 3)), axis=0)
    >>> run = Trajectory(walk, 20 * np.eye(3), [3] * 8, timestep=1.0)
    >>> result = einstein_conductivity(run, {"element Li": 1.0}, 5, temperature=300.0)
    >>> exact = 0.5 * 8 / 20**3 * 619.7  # D N/V e²/kT, S/cm
    >>> bool(result.interval[0] < exact < result.interval[1])
    True
    """
    trajectories = as_trajectories(trajs)
    tau = int(check_lags([lagtime], "lagtime")[0])
    lags = window_lags(tau, method, window, max(map(len, trajectories)))
    scale = NERNST_EINSTEIN / check_temperature(temperature)
    runs = longer_than([_run(item) for item in trajectories], int(lags[-1]), "lagtime")
    timestep = _check_runs(runs)
    step = check_integer(stride, "stride", 1)
    parts, blocks = [], TimeBlocks.of(runs, int(lags[-1]))
    for run, carriers, n_blocks in zip(
        runs, check_carriers(charges, runs), blocks.counts, strict=True
    ):
        atoms = np.concatenate([carrier.groups.atoms for carrier in carriers])
        moving = Targets(atoms=atoms, offsets=np.arange(len(atoms) + 1))
        moved = TransportRun(
            run.trajectory, run.targets, run.probs, drift_path(run.trajectory, moving, drift)
        )
        path = np.sum([charge_path(moved, carrier) for carrier in carriers], axis=0)
        # (n_frames - lag, 3): Σ_k z_k d_k of all carriers over each lag, e Å
        dipoles = [path[lag:] - path[:-lag] for lag in lags]
        parts.append(_collective_sums(run, lags, dipoles, n_blocks, step))
    sums = CollectiveSums(
        np.concatenate([part.charge for part in parts]),
        np.concatenate([part.volume for part in parts]),
    )
    scatter = blocks.scatter()
    moment, without = _per_volume(sums.total()), _per_volume(sums.leave_one_out())
    # e² / (6 V kT) times the slope of |Σ z d|²
    rate = scale * rate_coefficients(lags.astype(np.float64) * timestep)
    is_secant = method == "secant"
    weights = sums.volume[:, int(np.searchsorted(lags, tau))]
    return EinsteinConductivity(
        conductivity=float(moment @ rate),
        interval=jackknife(moment @ rate, without @ rate, weights, scatter, positive=is_secant),
        moment=moment,
        moment_interval=jackknife(moment, without, sums.volume, scatter, positive=True),
        lags=lags,
        timestep=timestep,
        temperature=float(temperature),
        method=method,
        n_blocks=len(blocks),
    )


def _per_volume(sums: CollectiveSums) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums.charge / sums.volume


def _run(trajectory: Trajectory) -> TransportRun:
    """A run without targets or states."""
    nobody = Targets(atoms=np.empty(0, np.int64), offsets=np.zeros(1, np.int64))
    return TransportRun(trajectory, nobody, np.ones((len(trajectory), 0, 1)), None)


def _check_runs(runs: list[TransportRun]) -> float:
    """The timestep that all runs share, in ps; all must have cells."""
    if any(run.trajectory.cell is None for run in runs):
        raise ValueError("trajs must have cells: the conductivity needs a volume, got cell=None")
    timesteps = {round(run.trajectory.timestep, 9) for run in runs}
    if len(timesteps) > 1:
        raise ValueError(
            f"trajs must share one timestep, got {sorted(timesteps)} ps; analyse them apart, or "
            "resample with trajectory[::n]"
        )
    return runs[0].trajectory.timestep
