"""State-weighted radial distribution functions, eq. (12): `StateRDF`, `state_rdf`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.probabilities import ProbabilitiesLike
from graphkoopman.structure._blocks import Division, divide, ratio_interval
from graphkoopman.structure._inputs import (
    StructureRun,
    check_range,
    check_runs,
    warn_empty_states,
)
from graphkoopman.structure._shells import block_populations, block_shell_sums
from graphkoopman.structure._species import other_atoms, resolve_species
from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.trajectories import TargetsLike, TrajectoriesLike
from graphkoopman.uncertainty import with_refits

__all__ = ["StateRDF", "state_rdf"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class StateRDF(Tabular):
    """Radial distribution of each species around targets in each state.

    Intervals are 95 %, low and high on the last axis.

    Attributes
    ----------
    r : ndarray of shape (n_bins,)
        Centres of the bins, Å.
    edges : ndarray of shape (n_bins + 1,)
        Borders of the bins, Å.
    g : ndarray of shape (n_states, n_species, n_bins)
        Neighbour density over the expected one.
    g_interval : ndarray of shape (n_states, n_species, n_bins, 2)
    coordination : ndarray of shape (n_states, n_species, n_bins)
        Mean number of neighbours nearer than the *outer* border of each bin, ``edges[1:]``.
    coordination_interval : ndarray of shape (n_states, n_species, n_bins, 2)
    species : tuple of n_species str
        Element symbols, or the names of the groups asked for.
    populations : ndarray of shape (n_states,)
        Mean probability of each state.
    populations_interval : ndarray of shape (n_states, 2)
    density : ndarray of shape (n_states, n_species)
        Expected neighbour density seen from each state, Å⁻³.
    n_blocks : int
        Time blocks that the intervals come from.
    """

    figure = "plot_state_rdf"

    r: Array
    edges: Array
    g: Array
    g_interval: Array
    coordination: Array
    coordination_interval: Array
    species: tuple[str, ...]
    populations: Array
    populations_interval: Array
    density: Array
    n_blocks: int

    def table(self) -> dict[str, Any]:
        """One row per state, species and bin; numbers of neighbours at its outer border."""
        return {
            "state": np.arange(len(self.g))[:, None, None],
            "species": np.array(self.species, dtype=object)[:, None],
            "r / angstrom": self.r,
            **interval_columns("g", self.g, self.g_interval),
            "outer border / angstrom": self.edges[1:],
            **interval_columns("coordination", self.coordination, self.coordination_interval),
        }


@with_refits
def state_rdf(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    *,
    r_max: float,
    n_bins: int,
    species: str | int | Sequence[str | int] | Mapping[str, Any] | None = None,
    n_blocks: int | None = None,
    unit: str = "auto",
) -> StateRDF:
    r"""Radial distribution functions and running coordination numbers of each state.

    .. math::

        g_{iA}(r) = \frac{1}{\rho_{iA}\, 4\pi r^2}
                    \frac{\mathrm d \langle n_A(r)\, p_i\rangle}{\mathrm d r}
                    \frac{1}{\langle p_i\rangle}, \qquad
        \rho_{iA} = \frac{\langle p_i\, N_A / V \rangle}{\langle p_i\rangle}

    Averages run over frames, targets and trajectories, with the volume V of the frame and the
    number N_A of atoms of species A that are not the target's own, so N - 1 for an atom of that
    species. Shells have their exact volume.

    Parameters
    ----------
    trajs : Trajectory, mdtraj.Trajectory, or list of these
        Periodic; any cell, constant or changing.
    probs : array or list of arrays of shape (n_frames, n_targets, n_states)
        State probabilities; ones of shape (n_frames, n_targets, 1) give the plain RDF.
    targets : str, array-like, list of array-like, callable or None
        See `resolve_targets`. Distances from a molecule start at its mass-weighted centre, and its
        own atoms do not count.
    r_max : float
        Å; at most half the smallest height of the cell over all frames.
    n_bins : int
        Bins of equal width between 0 and ``r_max``.
    species : None, str, int, sequence of these, or mapping
        Elements by symbol or atomic number, all by default; or groups as a mapping of a name to
        any selection that `resolve_targets` takes, such as ``{"ether O": "resname PEO and name
        O"}``.
    n_blocks : int or None
        Time blocks for the intervals, over all trajectories; None has the correlation time of the
        states choose.
    unit : {"auto", "trajectories", "blocks"}
        What counts as independent: blocks of time, or whole trajectories; all targets together.

    Returns
    -------
    StateRDF

    Raises
    ------
    ValueError
        For inputs that do not match, a radius beyond the limit of the cell, a trajectory without
        a cell, or a species without atoms besides the targets' own.

    Warns
    -----
    EmptyStateWarning
        If a state has no weight; its averages are NaN.

    Notes
    -----
    :math:`\sum_i \pi_i \rho_{iA} g_{iA} = \rho_A g_A` is the plain RDF of all targets: with
    populations as weights alone where the density does not change (constant volume, targets of
    one kind). Coordination numbers add up with the populations always. In an inhomogeneous system
    such as a slab, g need not tend to one: the density it is relative to is that of the whole
    cell.

    The intervals are Student's t from time blocks and pieces of them: what is seen to last from
    piece to piece counts as the slowest process of the states, what is forgotten within a piece
    as that, see `graphkoopman.uncertainty.error_of_mean`. Coverage stays right down to about five
    correlation times, with the few degrees of freedom that so few blocks have. What is slower than
    the states themselves is not allowed for. A bin that no neighbour ever entered has an interval
    of width zero. A single frame, or a state seen in one block only, has an interval without an
    upper end.

    References
    ----------
    .. [1] Xie, France-Lanord, Wang, Shao-Horn and Grossman, Nat. Commun. 10, 2667 (2019), eq. (12).

    Examples
    --------
    Simple cubic lattice: six neighbours at 3 Å.

    >>> import numpy as np
    >>> from graphkoopman.structure import state_rdf
    >>> from graphkoopman.trajectories import Trajectory
    >>> sites = 3.0 * np.array(list(np.ndindex(3, 3, 3)))
    >>> crystal = Trajectory(sites[None], 9.0 * np.eye(3), np.full(27, 3), timestep=1.0)
    >>> rdf = state_rdf(crystal, np.ones((1, 27, 1)), "element Li", r_max=4.0, n_bins=40)
    >>> rdf.species, rdf.coordination[0, 0, rdf.edges[1:].searchsorted(3.5)].round(9).item()
    (('Li',), 6.0)
    """
    runs = check_runs(trajs, probs, targets, periodic_for="a radial distribution function")
    r_max, n_bins = check_range(runs, r_max, n_bins)
    names, columns = resolve_species(runs, species)
    blocks = divide(runs, unit, n_blocks)
    ones = [np.ones(run.trajectory.n_atoms) for run in runs]
    counts = block_shell_sums(runs, blocks, columns, ones, (len(names), n_bins), r_max)
    expected = _expected_densities(runs, blocks, columns, len(names))
    weights, rows = block_populations(runs, blocks)

    # exact volumes of the shells; counts over them and over the expected density are g, eq. (12)
    edges = np.linspace(0.0, r_max, n_bins + 1)
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    g, g_interval = ratio_interval(counts / shells, expected[..., None], blocks)
    coordination, coordination_interval = ratio_interval(
        np.cumsum(counts, axis=-1), weights[..., None, None], blocks
    )
    populations, populations_interval = ratio_interval(weights, rows[:, None], blocks, is_slow=True)
    density, _ = ratio_interval(expected, weights[..., None], blocks)
    warn_empty_states(expected.sum(axis=0).min(axis=1))
    return StateRDF(
        r=0.5 * (edges[1:] + edges[:-1]),
        edges=edges,
        g=g,
        g_interval=g_interval,
        coordination=coordination,
        coordination_interval=coordination_interval,
        species=names,
        populations=populations,
        populations_interval=np.minimum(populations_interval, 1.0),
        density=density,
        n_blocks=blocks.n_blocks,
    )


def _expected_densities(
    runs: Sequence[StructureRun],
    blocks: Division,
    columns: Sequence[NDArray[np.int64]],
    n_species: int,
) -> Array:
    """Sums of probabilities times densities, (n_blocks, n_states, n_species)."""
    others = [
        other_atoms(run, column, n_species) for run, column in zip(runs, columns, strict=True)
    ]
    sums = np.empty((len(blocks), runs[0].n_states, n_species))
    for k, block in enumerate(blocks):
        run = runs[block.trajectory]
        # (n_frames,): Σ_t p_i(t) N_A / V(t), the denominator of g where the volume changes
        inverse_volumes = 1.0 / np.linalg.det(run.cells(block.start, block.stop))
        # (n_targets, n_states)
        weights = np.tensordot(inverse_volumes, run.probs[block.start : block.stop], axes=(0, 0))
        sums[k] = weights.T @ others[block.trajectory]
    return sums
