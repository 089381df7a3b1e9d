"""Topologies: who the atoms are, with their bonds and residues, and the cell that comes along."""

import os
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._mdtraj import make_topology
from graphkoopman.trajectories._species import N_ELEMENTS, species_label
from graphkoopman.trajectories.readers._cell import NM_TO_ANGSTROM, cryst1_cell, gro_box
from graphkoopman.trajectories.readers._contents import Atoms, Structure
from graphkoopman.trajectories.readers._elements import (
    Guess,
    atoms_from_guesses,
    atoms_from_masses,
    elements_of_residue,
    parse_symbol,
)
from graphkoopman.trajectories.readers._mdanalysis_formats import mdanalysis_topology
from graphkoopman.trajectories.readers._prmtop import MAGIC, prmtop_topology
from graphkoopman.trajectories.readers._registry import find_reader, first_bytes
from graphkoopman.trajectories.readers._residues import ION_ELEMENTS
from graphkoopman.trajectories.readers._text import decompressed, open_binary

PDB_SERIAL, PDB_ELEMENT = slice(6, 11), slice(76, 78)
MDTRAJ_TOPOLOGIES = [
    ".pdb", ".gro", ".psf", ".prmtop", ".parm7", ".prm7", ".mol2", ".h5", ".lh5", ".hdf5",
    ".hoomdxml", ".arc", ".pdbx", ".cif", ".mmcif",
]  # fmt: skip
PRMTOP = (".prmtop", ".parm7", ".prm7")


def load_structure(top: Any, name: str = "top") -> Structure:
    """Atoms and cell of what a user may pass as a topology.

    Parameters
    ----------
    top : path-like, mdtraj.Topology or mdtraj.Trajectory
    name : str
        Of the argument, for messages.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        For a missing file, anything else than the above, and a file that cannot be read.
    """
    if isinstance(top, md.Topology):
        return Structure(atoms_of_topology(top), None)
    if isinstance(top, md.Trajectory):
        return Structure(atoms_of_topology(top.topology), _first_cell(top.unitcell_vectors))
    if not isinstance(top, str | os.PathLike):
        raise TypeError(
            f"{name} must be a file, an mdtraj.Topology or an mdtraj.Trajectory, "
            f"got {type(top).__name__}"
        )
    with decompressed(check_file(Path(top), name)) as plain:
        return _structure_of_file(plain, name)


def _structure_of_file(path: Path, name: str) -> Structure:
    suffix = path.suffix.lower()
    if suffix == ".top" and first_bytes(path).startswith(MAGIC):
        suffix = PRMTOP[0]  # AMBER's, not GROMACS'
    if suffix not in MDTRAJ_TOPOLOGIES or _is_crystal(path, suffix):
        return _structure_of_reader(path, name)
    try:
        return _mdtraj_structure(path, suffix)
    except ImportError:
        raise
    except Exception as error:  # each parser of mdtraj fails in its own way
        raise ValueError(f"{name} must be a readable topology file, got {path}: {error}") from error


def _is_crystal(path: Path, suffix: str) -> bool:
    """Whether a cif is of a crystal, not of a macromolecule."""
    return suffix == ".cif" and b"_cell_length_a" in first_bytes(path)


def check_file(path: Path, name: str = "path") -> Path:
    """An existing file with content."""
    if not path.is_file():
        raise FileNotFoundError(f"{name} must be an existing file, got {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"{name} must be a file with content, got the empty file {path}")
    return path


def atoms_of_topology(topology: md.Topology) -> Atoms:
    """Atoms of a topology whose elements were set by whoever made it.

    mdtraj takes the ion NA for nitrogen: where the residue settles the element, and it is
    another one, the residue is right and the element a guess that gets said.
    """
    guesses: list[Guess] = []
    for residue in topology.residues:
        atoms = list(residue.atoms)
        from_names = elements_of_residue(residue.name, [atom.name for atom in atoms])
        for atom, (number, origin) in zip(atoms, from_names, strict=True):
            stated = 0 if atom.element is None else atom.element.number
            ion = number and species_label(number) in ION_ELEMENTS
            single_ion = ion and len(atoms) == 1 and origin == "known"
            if stated and not (single_ion and number != stated):
                guesses.append((stated, "stated"))
            else:
                guesses.append((number, "guessed") if single_ion else (stated, "unknown"))
    return _with_guesses(topology, guesses)


def atoms_of_names(topology: md.Topology, stated: list[int] | None = None) -> Atoms:
    """Atoms of a topology whose elements mdtraj guessed: guessed again, with the residues.

    Parameters
    ----------
    topology : mdtraj.Topology
    stated : list of int or None
        Atomic numbers that the file states; 0 where it does not.
    """
    guesses: list[Guess] = []
    for residue in topology.residues:
        guesses += elements_of_residue(residue.name, [atom.name for atom in residue.atoms])
    if stated is not None:
        guesses = [(n, "stated") if n else g for n, g in zip(stated, guesses, strict=True)]
    return _with_guesses(topology, guesses)


def topology_of(structure: Structure | None) -> md.Topology:
    """A topology for parsers that ask for one, bare where there are only elements."""
    if structure is None:
        raise ValueError("top must be given: the format does not name its atoms")
    if structure.atoms.topology is not None:
        return structure.atoms.topology
    return make_topology(structure.atoms.species)


def with_species(topology: md.Topology, species: NDArray[np.int64]) -> md.Topology:
    """The topology, or a copy of other elements; what is no element is a virtual site to mdtraj."""
    own = [0 if atom.element is None else atom.element.number for atom in topology.atoms]
    if own == [number if number <= N_ELEMENTS else 0 for number in species.tolist()]:
        return topology
    topology = topology.copy()
    for atom, number in zip(topology.atoms, species.tolist(), strict=True):
        is_element = 0 < number <= N_ELEMENTS
        current = None if atom.element is None else atom.element.number
        if current != number:
            atom.element = (
                md.element.Element.getByAtomicNumber(number) if is_element else md.element.virtual
            )
    return topology


def _with_guesses(topology: md.Topology, guesses: list[Guess]) -> Atoms:
    return atoms_from_guesses([a.name for a in topology.atoms], guesses, topology=topology)


def _first_cell(vectors: Any) -> NDArray[np.float64] | None:
    if vectors is None or not np.any(vectors[0]):
        return None
    return np.asarray(vectors[0], dtype=np.float64) * NM_TO_ANGSTROM


def _mdtraj_structure(path: Path, suffix: str) -> Structure:
    if suffix in PRMTOP:
        topology, stated, cell = prmtop_topology(path)
        return Structure(atoms_of_topology(topology) if stated else atoms_of_names(topology), cell)
    topology = md.load_topology(str(path))
    if suffix == ".gro":
        return Structure(atoms_of_names(topology), _gro_cell(path))
    if suffix == ".pdb":
        return Structure(atoms_of_names(topology, pdb_elements(path, topology)), _pdb_cell(path))
    if suffix == ".psf":
        names = [atom.name for atom in topology.atoms]
        return Structure(atoms_from_masses(_psf_masses(path), names, topology=topology), None)
    if suffix == ".arc":  # names, some of united atoms
        return Structure(atoms_of_names(topology), None)
    return Structure(atoms_of_topology(topology), None)


def pdb_elements(path: Path, topology: md.Topology) -> list[int]:
    """Atomic numbers in the element columns of a pdb file's first model; 0 where they are blank."""
    numbers, serials = [], []
    with open_binary(path) as file:
        for line in file:
            if line.startswith((b"ATOM  ", b"HETATM")):
                symbol = line[PDB_ELEMENT].decode("ascii", "replace").strip()
                numbers.append(parse_symbol(symbol.capitalize()))
                serials.append(line[PDB_SERIAL].strip())
            elif line.startswith((b"MODEL ", b"ENDMDL", b"END")) and numbers:
                break
    if len(numbers) == topology.n_atoms:
        return numbers
    # mdtraj leaves out alternate locations: by the numbers of the atoms then
    known = dict(zip(serials, numbers, strict=True))
    return [known.get(str(atom.serial).encode(), 0) for atom in topology.atoms]


def _pdb_cell(path: Path) -> NDArray[np.float64] | None:
    with open_binary(path) as file:
        for line in file:
            if line.startswith(b"CRYST1"):
                return cryst1_cell(line.decode("ascii", "replace"))
            if line.startswith((b"ATOM  ", b"HETATM")):
                break
    return None


def _gro_cell(path: Path) -> NDArray[np.float64] | None:
    with open_binary(path) as file:
        lines = [next(file, b""), next(file, b"0")]
        n_atoms = int(lines[1])
        for _ in range(n_atoms):
            next(file, b"")
        return gro_box(next(file, b"").decode("ascii", "replace"))


def _psf_masses(path: Path) -> list[float]:
    with open_binary(path) as file:
        for line in file:
            if b"!NATOM" in line:
                return [float(next(file).split()[7]) for _ in range(int(line.split()[0]))]
    raise ValueError("no section !NATOM")


def _structure_of_reader(path: Path, name: str) -> Structure:
    """The first frame of a file that names its atoms."""
    try:
        found = find_reader(path, "cif" if _is_crystal(path, path.suffix.lower()) else None)
    except ValueError:
        if (other := mdanalysis_topology(path, name)) is not None:
            return other
        raise
    if not found.names_atoms:
        raise ValueError(
            f"{name} must be a readable topology file, got {path}: {found.format} does not name "
            "its atoms; pass a pdb, gro, cif or other topology file"
        )
    try:
        contents = found.read(path, None, 1)
        block = next(contents.blocks, None)
    except (ValueError, ImportError, OSError):
        raise
    except Exception as error:  # what a parser trips over in a damaged file
        raise ValueError(f"{name} must be a readable topology file, got {path}: {error}") from error
    if contents.atoms is None:
        raise ValueError(f"{name} must be a readable topology file, got {path} without elements")
    cells = None if block is None else block.cells
    cell = None if cells is None or not np.any(cells[0]) else np.array(cells[0], np.float64)
    return Structure(contents.atoms, cell)
