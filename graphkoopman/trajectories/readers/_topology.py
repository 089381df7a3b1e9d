"""Topologies: who the atoms are, with their bonds and residues, and the cell that comes along."""

import os
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._mdtraj import make_topology
from graphkoopman.trajectories._species import N_ELEMENTS, species_label
from graphkoopman.trajectories.readers._contents import Atoms, Structure
from graphkoopman.trajectories.readers._elements import (
    Guess,
    atoms_from_guesses,
    atoms_from_masses,
    elements_of_residue,
    parse_symbol,
)
from graphkoopman.trajectories.readers._registry import COMPRESSION, find_reader, first_bytes
from graphkoopman.trajectories.readers._residues import ION_ELEMENTS
from graphkoopman.trajectories.readers._text import open_binary

NM_TO_ANGSTROM = 10.0
PDB_SERIAL, PDB_ELEMENT = slice(6, 11), slice(76, 78)
MDTRAJ_TOPOLOGIES = [
    ".pdb", ".gro", ".psf", ".prmtop", ".parm7", ".prm7", ".mol2", ".h5", ".lh5", ".hdf5",
    ".hoomdxml", ".gsd", ".arc", ".pdbx", ".cif", ".mmcif",
]  # fmt: skip


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
    path = check_file(Path(top), name)
    suffix = Path(COMPRESSION.sub("", path.name.lower())).suffix
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
    topology = md.load_topology(str(path))
    if suffix == ".gro":
        return Structure(atoms_of_names(topology), _gro_cell(path))
    if suffix == ".pdb":
        return Structure(atoms_of_names(topology, pdb_elements(path, topology)), _pdb_cell(path))
    if suffix == ".psf":
        names = [atom.name for atom in topology.atoms]
        return Structure(atoms_from_masses(_psf_masses(path), names, topology=topology), None)
    if suffix in (".prmtop", ".parm7", ".prm7") and b"ATOMIC_NUMBER" not in path.read_bytes():
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


def cryst1_cell(line: str) -> NDArray[np.float64] | None:
    """Cell of a CRYST1 record; None for the unit cube of files that have no cell."""
    columns = ((6, 15), (15, 24), (24, 33), (33, 40), (40, 47), (47, 54))
    values = [float(line[first:last]) for first, last in columns]
    if values[:3] == [1.0, 1.0, 1.0] or not any(values[:3]):
        return None
    return cell_of_lengths_angles(np.array(values[:3]), np.array(values[3:]))


def cell_of_lengths_angles(lengths: Any, angles: Any) -> NDArray[np.float64]:
    """Lattice vectors as rows, a along x and b in the xy plane, of lengths and angles in degrees.

    Arrays of shape (…, 3) give cells of shape (…, 3, 3); right angles are exact.
    """
    lengths, angles = np.asarray(lengths, np.float64), np.asarray(angles, np.float64)
    cosines = np.where(angles == 90.0, 0.0, np.cos(np.deg2rad(angles)))
    cos_alpha, cos_beta, cos_gamma = np.moveaxis(cosines, -1, 0)
    a, b, c = np.moveaxis(lengths, -1, 0)
    cell = np.zeros((*lengths.shape, 3))
    sin_gamma = np.sqrt(1 - cos_gamma**2)
    cell[..., 0, 0] = a
    cell[..., 1, 0], cell[..., 1, 1] = b * cos_gamma, b * sin_gamma
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = cos_beta, (cos_alpha - cos_beta * cos_gamma) / sin_gamma
        z = np.sqrt(1 - x**2 - y**2)
    cell[..., 2, 0], cell[..., 2, 1], cell[..., 2, 2] = c * x, c * y, c * z
    return cell


def _gro_cell(path: Path) -> NDArray[np.float64] | None:
    with open_binary(path) as file:
        lines = [next(file, b""), next(file, b"0")]
        n_atoms = int(lines[1])
        for _ in range(n_atoms):
            next(file, b"")
        return gro_box(next(file, b"").decode("ascii", "replace"))


def gro_box(line: str) -> NDArray[np.float64] | None:
    """Cell in Å of the last line of a gro frame: three lengths or nine numbers, in nm."""
    words = [float(word) for word in line.split()]
    if len(words) not in (3, 9):
        raise ValueError(f"a box of three or nine numbers expected, got {line.strip()!r}")
    if not any(words):
        return None
    xx, yy, zz, xy, xz, yx, yz, zx, zy = [*words, *[0.0] * 6][:9]
    cell = np.array([[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]])
    # decimal digits stay what they are: 2.33 nm is 23.3 Å
    return np.round(cell * NM_TO_ANGSTROM, 9)


def _psf_masses(path: Path) -> list[float]:
    with open_binary(path) as file:
        for line in file:
            if b"!NATOM" in line:
                return [float(next(file).split()[7]) for _ in range(int(line.split()[0]))]
    raise ValueError("no section !NATOM")


def _structure_of_reader(path: Path, name: str) -> Structure:
    """The first frame of a file that names its atoms."""
    found = find_reader(path, "cif" if _is_crystal(path, path.suffix.lower()) else None)
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
