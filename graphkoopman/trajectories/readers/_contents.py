"""What a file says, before anything is concluded from it: `Contents`, `Atoms`, `FrameBlock`.

Readers fill these in; `read_trajectory` compares them with the topology, checks the times, and
makes a `Trajectory` of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._like import TargetsLike


class FileFormatError(ValueError):
    """A file that cannot be read as what it should be: what is wrong, where, and a remedy."""


class FrameBlock(NamedTuple):
    """Consecutive frames of a file.

    Attributes
    ----------
    positions : ndarray of shape (n_frames, n_atoms, 3)
        Å, in the precision of the file.
    cells : ndarray of shape (n_frames, 3, 3) or None
        Å, lattice vectors as rows, in the orientation of the positions; None where the file
        holds no cell. All zero is how some formats spell "no cell".
    times : ndarray of shape (n_frames,) or None
        ps; None where the file holds no time.
    steps : ndarray of shape (n_frames,) or None
        Numbers that count up evenly in an even run, in no known unit of time: the simulation's
        steps, or times whose unit is not stated.
    """

    positions: NDArray[np.floating]
    cells: NDArray[np.float64] | None = None
    times: NDArray[np.float64] | None = None
    steps: NDArray[np.number] | None = None


Origin = Literal["stated", "known", "guessed", "unknown"]


@dataclass(frozen=True, eq=False)
class Atoms:
    """Who the atoms of a file are, and how that is known.

    Attributes
    ----------
    names : tuple of str
        Name, symbol or type of every atom, as written in the file.
    species : ndarray of shape (n_atoms,)
        Atomic numbers, or numbers of node types of their own (see `species_number`); 0 where
        the file does not say, and for virtual sites.
    origins : ndarray of shape (n_atoms,) of str
        ``"stated"`` by the file as an element; ``"known"`` from the residue or the mass;
        ``"guessed"`` from the name; ``"unknown"``.
    topology : mdtraj.Topology or None
        With bonds and residues where the file has them; its elements are those of ``species``.
    types : tuple of str or None
        Types of the atoms, of which each is one element: LAMMPS' ``type``.
    ids : ndarray of shape (n_atoms,) or None
        Numbers that follow the atoms through the frames.
    """

    names: tuple[str, ...]
    species: NDArray[np.int64]
    origins: NDArray[np.str_]
    topology: Any = None
    types: tuple[str, ...] | None = None
    ids: NDArray[np.int64] | None = None


class Structure(NamedTuple):
    """What a topology says: its atoms, and the cell in Å that comes along, (3, 3) or None."""

    atoms: Atoms
    cell: NDArray[np.float64] | None

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.atoms.names)


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file says.

    Attributes
    ----------
    format : str
        Name of the reader.
    n_atoms : int
    blocks : iterator of FrameBlock
        The frames, in order, all of them; reading goes on while it is consumed.
    atoms : Atoms or None
        None where the file only counts atoms.
    unwrapped : bool
        True where the file says that its positions are not wrapped into the cell.
    periodic : bool or None
        False where the file says that there are no periodic boundaries; None where it says
        nothing.
    angles_assumed : bool
        True where the file holds lengths of a cell, and its angles had to be taken as right.
    targets : object
        Where the file names them, see `resolve_targets`.
    precision : type
        The least in which positions are to be kept.
    notes : list of str
        What is worth telling, once, about this file; grows while the frames are read.
    """

    format: str
    n_atoms: int
    blocks: Iterator[FrameBlock]
    atoms: Atoms | None = None
    unwrapped: bool = False
    periodic: bool | None = None
    angles_assumed: bool = False
    targets: TargetsLike = None
    precision: type[np.floating] = np.float32
    notes: list[str] = field(default_factory=list)
