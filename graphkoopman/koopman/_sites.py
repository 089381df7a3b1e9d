"""Global dynamics over sites from local dynamics between site types.

Public objects: `SiteGraph`, `fcc_site_graph`, `global_koopman`, `GlobalKoopman`. A site graph may
be any periodic one whose sites are the local states: a bond is counted once for every periodic
image, so that a cell small against its bonds needs no supercell.
"""

import warnings
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import expm, logm

from graphkoopman.koopman._bootstrap import BootstrapKoopmanModel
from graphkoopman.koopman._model import KoopmanModel, timescales_in_ps
from graphkoopman.koopman._warnings import UnsupportedRateWarning
from graphkoopman.neighbors import within
from graphkoopman.tables import Tabular, interval_columns

__all__ = ["GlobalKoopman", "SiteGraph", "fcc_site_graph", "global_koopman"]

Array = NDArray[np.float64]

# Eigenvalues that symmetry makes equal agree to rounding; these are relative.
_DEGENERATE = 1e-6
_ROUNDING = 1e-10


@dataclass(frozen=True, eq=False)
class SiteGraph:
    """Sites of a periodic cell and the bonds that join them.

    Attributes
    ----------
    types : ndarray of shape (n_sites,), int
        Local state that each site is.
    bonds : ndarray of shape (n_sites, n_sites), int
        Number of bonds from each site to each other, one for every periodic image; symmetric.
    """

    types: NDArray[np.int_]
    bonds: NDArray[np.int_]

    def __post_init__(self) -> None:
        types, bonds = np.array(self.types), np.array(self.bonds)
        n_sites = len(types)
        if types.ndim != 1 or not np.issubdtype(types.dtype, np.integer) or types.min() < 0:
            raise ValueError(f"types must be a vector of state numbers, got {types!r}")
        if bonds.shape != (n_sites, n_sites) or not np.array_equal(bonds, bonds.T):
            raise ValueError(
                f"bonds must be a symmetric ({n_sites}, {n_sites}) matrix of counts, got shape "
                f"{bonds.shape}"
            )
        object.__setattr__(self, "types", types)
        object.__setattr__(self, "bonds", bonds)

    @classmethod
    def from_positions(
        cls, positions: ArrayLike, cell: ArrayLike, types: ArrayLike, cutoff: float
    ) -> "SiteGraph":
        """Join all sites nearer than a cutoff, through periodic boundaries.

        Parameters
        ----------
        positions : ndarray of shape (n_sites, 3)
            Positions in Å.
        cell : ndarray of shape (3, 3)
            Cell vectors as rows, in Å.
        types : ndarray of shape (n_sites,), int
            Local state that each site is.
        cutoff : float
            Longest bond in Å.

        Returns
        -------
        SiteGraph
        """
        positions = np.asarray(positions, dtype=float)
        center, neighbor, _ = within(positions, cell, cutoff)
        bonds = np.zeros((len(positions), len(positions)), dtype=int)
        np.add.at(bonds, (center, neighbor), 1)
        return cls(np.asarray(types), bonds)


def fcc_site_graph(n_cells: int = 1) -> SiteGraph:
    """Octahedral (type 0) and tetrahedral (type 1) sites of the FCC lattice.

    Parameters
    ----------
    n_cells : int
        Number of cubic cells along each axis; one holds 4 octahedral and 8 tetrahedral sites.

    Returns
    -------
    SiteGraph
        Every octahedral site is joined to 8 tetrahedral, every tetrahedral to 4 octahedral ones.
    """
    lattice = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    octahedral = lattice + 0.5
    tetrahedral = np.concatenate([lattice + 0.25, lattice + 0.75])
    corners = np.array(list(product(range(n_cells), repeat=3)))
    sites = np.concatenate([octahedral, tetrahedral])
    positions = (corners[:, None, :] + sites).reshape(-1, 3)
    types = np.tile(np.repeat([0, 1], [4, 8]), len(corners))
    nearest = np.sqrt(3.0) / 4.0  # octahedral to tetrahedral, in lattice parameters
    return SiteGraph.from_positions(positions, n_cells * np.eye(3), types, 1.01 * nearest)


@dataclass(frozen=True, eq=False, repr=False)
class GlobalKoopman(Tabular):
    """Dynamics over the sites of a cell, reconstructed from local dynamics.

    Attributes
    ----------
    model : KoopmanModel
        Transition matrix over the sites at the local model's lag time.
    timescales : ndarray of shape (n_multiplets,)
        Relaxation timescales in frames, slowest first, each degenerate group once. Infinite where
        parts of the cell are not connected.
    degeneracies : ndarray of shape (n_multiplets,), int
        Number of modes in each group.
    timescales_interval : ndarray of shape (n_multiplets, 2) or None
        95 % intervals in frames, if the local model has samples.
    """

    model: KoopmanModel
    timescales: Array
    degeneracies: NDArray[np.int_]
    timescales_interval: Array | None

    figure = "plot_global_timescales"

    def table(self) -> dict[str, Any]:
        """One row per group of modes of one time."""
        if self.timescales_interval is None:
            limits = np.full((len(self.timescales), 2), np.nan)
        else:
            limits = self.timescales_interval
        return {
            "group": np.arange(1, 1 + len(self.timescales)),
            "modes": self.degeneracies,
            **interval_columns("timescale / frames", self.timescales, limits),
        }

    @property
    def timescales_ps(self) -> Array:
        """Timescales in ps; needs the local model's `timestep`."""
        return timescales_in_ps(self.timescales, self.model.timestep)

    @property
    def timescales_ps_interval(self) -> Array | None:
        """Intervals in ps; needs the local model's `timestep`."""
        if self.timescales_interval is None:
            return None
        return timescales_in_ps(self.timescales_interval, self.model.timestep)


def global_koopman(
    local_model: KoopmanModel | BootstrapKoopmanModel, graph: SiteGraph
) -> GlobalKoopman:
    r"""Global transition matrix of a particle hopping between sites of known types.

    The local model tells how fast a particle leaves a site of type a for one of type b; by symmetry
    it takes every bond to a site of type b equally often.

    .. math::
        Q = \ln K / \tau,\qquad
        G_{ij} = Q_{ab}\,\frac{n_{ij}}{\sum_{j'\in b} n_{ij'}},\qquad
        K_\mathrm{global} = e^{G\tau}

    with :math:`n_{ij}` the number of bonds, a the type of site i and b that of site j.

    Parameters
    ----------
    local_model : KoopmanModel or BootstrapKoopmanModel
        Dynamics between site types; with samples, timescales get intervals.
    graph : SiteGraph
        Sites and bonds.

    Returns
    -------
    GlobalKoopman

    Raises
    ------
    ValueError
        If the graph has types unknown to the local model, or K has an eigenvalue that is not
        positive, so that no rates produce it.

    Warns
    -----
    UnsupportedRateWarning
        If more than 5 % of a type's exit rate is negative, or leads to a type that it is not
        joined to; these rates are set to zero.

    Notes
    -----
    Sharing out the entries of K itself among the bonds would be wrong at any finite lag time: K_aa
    also holds the particles that left and came back to *another* site of type a, and K_ab those
    that hopped three times. Rates have no such multiple hops, so they are shared out, and the
    exponential puts the hops together again. Both agree as the lag time goes to zero.

    Hops between joined sites of the same type do not show in local dynamics and are taken to be
    absent. Rates depend on the present site only: a particle that hops on before it has
    relaxed makes the true global dynamics faster than this.

    References
    ----------
    .. [1] T. Xie et al., Nat. Commun. 10, 2667 (2019), "Local and global dynamics in the toy
       system".

    Examples
    --------
    >>> from graphkoopman.koopman import KoopmanModel, fcc_site_graph, global_koopman
    >>> local = KoopmanModel([[0.99, 0.01], [0.14, 0.86]], lagtime=1)
    >>> result = global_koopman(local, fcc_site_graph())
    >>> result.timescales.round(1), result.degeneracies
    (array([92.3,  6.6,  6.2]), array([3, 7, 1]))
    """
    prior = local_model.prior if isinstance(local_model, BootstrapKoopmanModel) else local_model
    _check_types(prior, graph)
    generator = _spread_rates(_local_rates(prior, graph, warn=True), graph)
    timescales, degeneracies = _multiplets(generator)
    interval = None
    if isinstance(local_model, BootstrapKoopmanModel):
        interval = _interval(local_model, graph, timescales, degeneracies)
    model = KoopmanModel(
        expm(generator * prior.lagtime), lagtime=prior.lagtime, timestep=prior.timestep
    )
    return GlobalKoopman(model, timescales, degeneracies, interval)


def _check_types(local_model: KoopmanModel, graph: SiteGraph) -> None:
    types = set(graph.types.tolist())
    if types != set(range(local_model.n_states)):
        raise ValueError(
            f"graph must have sites of every type 0...{local_model.n_states - 1}, one per local "
            f"state, got types {sorted(types)}; permute or merge states to match the sites"
        )


def _local_rates(local_model: KoopmanModel, graph: SiteGraph, *, warn: bool) -> Array:
    """Rates between types per frame, those that no bond supports removed."""
    matrix = local_model.koopman_matrix
    eigenvalues = np.linalg.eigvals(matrix)
    # A matrix has a principal logarithm unless an eigenvalue lies on the closed negative axis.
    bad = (np.abs(eigenvalues.imag) < _ROUNDING) & (eigenvalues.real <= _ROUNDING)
    if bad.any():
        raise ValueError(
            "local_model must have positive eigenvalues to come from rates, got "
            f"{eigenvalues[bad].real.round(6).tolist()}; use a shorter lagtime or fewer states"
        )
    rates = np.real(logm(matrix)) / local_model.lagtime
    n_states = len(rates)
    per_type = graph.bonds @ np.eye(n_states, dtype=int)[graph.types]  # (n_sites, n_states)
    joined = np.array([(per_type[graph.types == a] > 0).all(axis=0) for a in range(n_states)])
    np.fill_diagonal(rates, 0.0)
    kept = np.where(joined, np.clip(rates, 0.0, None), 0.0)
    dropped = np.abs(rates - kept).sum(axis=1) / np.maximum(np.abs(rates).sum(axis=1), 1e-300)
    if warn and dropped.max() > 0.05:
        warnings.warn(
            f"{100 * dropped.max():.0f} % of the rates from local state {dropped.argmax()} are "
            "negative or lead to a type without a bond and were set to zero; check the site graph, "
            "or estimate the local model from more data",
            UnsupportedRateWarning,
            stacklevel=3,
        )
    return kept - np.diag(kept.sum(axis=1))


def _spread_rates(rates: Array, graph: SiteGraph) -> Array:
    """Generator over sites: each rate shared equally among the bonds to sites of its type."""
    indicator = np.eye(len(rates))[graph.types]  # (n_sites, n_types)
    per_type = graph.bonds @ indicator
    # (n_sites, n_sites): bonds from site i to all sites of the type of site j
    n_same_type = per_type @ indicator.T
    share = np.divide(
        graph.bonds, n_same_type, out=np.zeros_like(n_same_type), where=n_same_type > 0
    )
    generator = rates[np.ix_(graph.types, graph.types)] * share
    np.fill_diagonal(generator, 0.0)
    return generator - np.diag(generator.sum(axis=1))


def _relaxation_times(generator: Array) -> Array:
    """Relaxation times in frames, slowest first; infinite for modes that do not decay."""
    decay = np.sort(-np.linalg.eigvals(generator).real)[1:]
    floor = _ROUNDING * decay[-1]
    return np.where(decay > floor, 1.0 / np.maximum(decay, floor), np.inf)


def _multiplets(generator: Array) -> tuple[Array, NDArray[np.int_]]:
    """Timescales of the generator with equal ones grouped, and the size of each group."""
    times = _relaxation_times(generator)
    with np.errstate(invalid="ignore"):  # inf - inf between modes that do not decay
        is_new = np.r_[True, ~np.isclose(times[1:], times[:-1], rtol=_DEGENERATE, atol=0.0)]
    starts = np.flatnonzero(is_new)
    sizes = np.diff(np.r_[starts, len(times)])
    return np.array([times[a : a + n].mean() for a, n in zip(starts, sizes, strict=True)]), sizes


def _interval(
    local_model: BootstrapKoopmanModel,
    graph: SiteGraph,
    timescales: Array,
    degeneracies: NDArray[np.int_],
) -> Array:
    """t intervals of the multiplets on the logarithmic scale, (n_multiplets, 2)."""
    first = np.r_[0, np.cumsum(degeneracies)[:-1]]

    def log_times(model: KoopmanModel) -> Array:
        if model is local_model.prior:
            return np.log(timescales)
        generator = _spread_rates(_local_rates(model, graph, warn=False), graph)
        return np.log(_relaxation_times(generator)[first])

    return np.exp(local_model.interval_of(log_times, of_events=True))
