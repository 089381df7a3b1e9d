"""A long chain molecule in which one residue flips while all vibrate.

Public: :func:`make_chain_molecule`, :class:`ChainMolecule`. Lengths in Å, times in ps,
rates in 1/ps.
"""

from __future__ import annotations

from dataclasses import dataclass

import mdtraj as md
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from graphkoopman.checks import check_integer, check_number
from graphkoopman.datasets._chains import (
    chain_rates,
    check_rate_matrix,
    relaxation_timescales,
    sample_chain,
    stationary_distribution,
)
from graphkoopman.datasets._hopping import even_directions
from graphkoopman.randomness import RandomState, as_generator
from graphkoopman.trajectories import Trajectory

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ATOMS_PER_RESIDUE = 50
CARBON = 6
RESIDUE_SPACING = 9.5  # between centres of neighbouring residues
TIGHT, WIDE = 3.5, 3.6  # radius of a residue in its two states
VIBRATION = 0.1
RELAXATION_TIME = 50.0  # ps
_VALUES_PER_CHUNK = 4_000_000


@dataclass(frozen=True)
class ChainMolecule:
    """A trajectory of one chain whose kinetics are known exactly.

    Attributes
    ----------
    trajectory : Trajectory
        Float32 positions in Å, no cell; one target, all atoms; its topology has the residues.
    labels : ndarray of shape (n_frames, 1)
        State of the residue that flips: 0 tight, 1 wide.
    residues : ndarray of shape (n_atoms,)
        Residue of every atom, from zero on.
    flipping : int
        The residue that flips; all others are tight.
    rate_matrix : ndarray of shape (2, 2)
        Rates in 1/ps.
    stationary_distribution : ndarray of shape (2,)
        Exact populations.
    timescales : ndarray of shape (1,)
        Exact relaxation time in ps.
    """

    trajectory: Trajectory
    labels: IntArray
    residues: IntArray
    flipping: int
    rate_matrix: FloatArray
    stationary_distribution: FloatArray
    timescales: FloatArray


def make_chain_molecule(
    n_atoms: int = 1000,
    n_frames: int = 5000,
    *,
    rate_matrix: ArrayLike | None = None,
    timestep: float = 1.0,
    vibration: float = VIBRATION,
    random_state: RandomState = None,
) -> ChainMolecule:
    """Make a chain of residues, one of which flips between two shapes with known rates.

    A residue is fifty C on a sphere, residues are strung 9.5 Å apart. The one that flips, drawn at
    random, has a radius of 3.5 or 3.6 Å, all others 3.5 Å; residues are alike in all else. In every
    frame the chain is turned at random and every atom displaced by Gaussian noise as large as the
    change. One atom hardly tells the states apart, all atoms of the residue do, by seven standard
    deviations; of a mean over n residues √n times less is left.

    Parameters
    ----------
    n_atoms : int
        Length of the chain, a multiple of 50.
    n_frames : int
    rate_matrix : array-like of shape (2, 2), optional
        In 1/ps; rows sum to zero. By default states of equal population that relax in 50 ps.
    timestep : float
        Picoseconds per frame.
    vibration : float
        Standard deviation in Å of each coordinate of each atom.
    random_state : int, RandomState, Generator or None
        Source of the noise; the same int gives the same trajectory.

    Returns
    -------
    ChainMolecule
        Trajectory, true labels and exact kinetics.

    Raises
    ------
    ValueError
        If the chain has no whole number of residues, or an argument cannot be.

    Examples
    --------
    >>> from graphkoopman.datasets import make_chain_molecule
    >>> data = make_chain_molecule(250, 100, random_state=0)
    >>> data.trajectory.topology.n_residues, data.timescales
    (5, array([50.]))
    """
    n_residues = check_integer(n_atoms, "n_atoms", ATOMS_PER_RESIDUE) // ATOMS_PER_RESIDUE
    if n_residues * ATOMS_PER_RESIDUE != n_atoms:
        raise ValueError(
            f"n_atoms must be a multiple of {ATOMS_PER_RESIDUE}, the atoms of a residue, got "
            f"{n_atoms}"
        )
    check_integer(n_frames, "n_frames", 1)
    check_number(timestep, "timestep", above=0.0)
    check_number(vibration, "vibration", minimum=0.0)
    rates = check_rate_matrix(
        chain_rates(2, slowest=RELAXATION_TIME) if rate_matrix is None else rate_matrix
    )
    if len(rates) != 2:
        raise ValueError(f"rate_matrix must be of two states, tight and wide, got {len(rates)}")
    rng = as_generator(random_state)
    flipping = int(rng.integers(n_residues))
    labels = sample_chain(rates, n_frames, 1, timestep, rng)
    trajectory = Trajectory(
        positions=_positions(labels[:, 0], n_residues, flipping, vibration, rng),
        cell=None,
        species=np.full(n_atoms, CARBON),
        timestep=timestep,
        topology=_topology(n_residues),
        targets=np.arange(n_atoms)[None],
    )
    return ChainMolecule(
        trajectory=trajectory,
        labels=labels,
        residues=np.repeat(np.arange(n_residues), ATOMS_PER_RESIDUE),
        flipping=flipping,
        rate_matrix=rates,
        stationary_distribution=stationary_distribution(rates),
        timescales=relaxation_timescales(rates),
    )


def _positions(
    states: IntArray, n_residues: int, flipping: int, vibration: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Positions (n_frames, n_atoms, 3) about the middle of the chain."""
    directions = even_directions(ATOMS_PER_RESIDUE)
    centers = np.zeros((n_residues, 1, 3))
    centers[:, 0, 0] = RESIDUE_SPACING * (np.arange(n_residues) - 0.5 * (n_residues - 1))
    chains = np.stack([centers + TIGHT * directions] * 2)  # (n_states, n_residues, 50, 3)
    chains[1, flipping] = centers[flipping] + WIDE * directions
    chains = chains.reshape(2, -1, 3)
    positions = np.empty((len(states), *chains.shape[1:]), dtype=np.float32)
    size = max(1, _VALUES_PER_CHUNK // chains[0].size)
    for begin in range(0, len(states), size):
        chunk = states[begin : begin + size]
        turned = Rotation.from_quat(rng.standard_normal((len(chunk), 4))).as_matrix()
        noise = vibration * rng.standard_normal((len(chunk), *chains.shape[1:]))
        positions[begin : begin + size] = (chains[chunk] + noise) @ turned
    return positions


def _topology(n_residues: int) -> md.Topology:
    topology = md.Topology()
    chain = topology.add_chain()
    for i in range(n_residues):
        residue = topology.add_residue("MON", chain, resSeq=i + 1)
        for j in range(ATOMS_PER_RESIDUE):
            topology.add_atom(f"C{j + 1}", md.element.carbon, residue)
    return topology
