"""LAMMPS' data files: one frame, with masses, molecules and bonds; the topology of a dump.

ASE reads them, but takes a mass for the nearest element whatever it is.
"""

import re
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories.readers._contents import Atoms, Contents, FrameBlock, Structure
from graphkoopman.trajectories.readers._elements import atoms_from_masses, atoms_from_symbols
from graphkoopman.trajectories.readers._lammps import UNITS
from graphkoopman.trajectories.readers._registry import reader
from graphkoopman.trajectories.readers._text import Lines, lines_of

# columns of the section Atoms before the positions
STYLES = {
    "atomic": ("id", "type"),
    "charge": ("id", "type", "q"),
    "molecular": ("id", "mol", "type"),
    "bond": ("id", "mol", "type"),
    "angle": ("id", "mol", "type"),
    "full": ("id", "mol", "type", "q"),
}
_OTHER_STYLES = """amoeba apip body bpm/sphere dielectric dipole dpd edpd electron ellipsoid hybrid
line mdpd oxdna peri rheo rheo/thermal smd sph sphere spin tdpd template tri wavepacket"""
OTHER_STYLES = frozenset(_OTHER_STYLES.split())
HEADER = re.compile(
    r"\s*([-+\d.eE\s]+?)\s+"
    r"(atoms|atom types|xlo xhi|ylo yhi|zlo zhi|xy xz yz|avec|bvec|cvec|abc origin)\s*(#.*)?"
)
SECTION = re.compile(r"\s*([A-Z][A-Za-z]*(?: [A-Z][A-Za-z]*)*)\s*(?:#\s*(.*?))?\s*")


def _is_data(head: bytes) -> bool:
    return re.search(rb"^\s*\d+\s+atoms\b", head, re.M) is not None and b"xlo xhi" in head


@reader(
    "lammps-data",
    r"data\..*|.*\.(data|lmp|lammps-data|lammpsdata)",
    sniff=_is_data,
    compressed=True,
    holds_times=False,
)
def read_lammps_data(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """The one frame that it holds."""
    with lines_of(path, "LAMMPS data") as lines:
        title = lines.need("a title")
        units = re.search(r"units\s*=\s*(\w+)", title)
        if units is not None and units[1] not in UNITS:
            raise lines.error(f"lengths in units {units[1]!r}", 1, "write it in other units")
        length = 1.0 if units is None else UNITS[units[1]][0]
        header, sections = _contents(lines)
        cell = _cell(lines, header)
        rows, style = _atom_rows(lines, sections)
        n_atoms = int(header.get("atoms", [0])[0])
        if len(rows) != n_atoms or n_atoms == 0:
            raise lines.error(f"{n_atoms} atoms are announced, and {len(rows)} there")
        order = np.argsort([int(row[0]) for row in rows])
        columns = {name: [rows[i][k] for i in order] for k, name in enumerate(STYLES[style])}
        first = len(STYLES[style])
        try:
            positions = np.array([rows[i][first : first + 3] for i in order], dtype=np.float64)
        except ValueError:
            raise lines.error(f"a position of every atom expected (style {style})") from None
        atoms = _atoms(columns, sections)
    block = FrameBlock(positions[None] * length, cell[None] * length)
    return Contents("lammps-data", n_atoms, iter([block]), atoms, periodic=True)


def _contents(lines: Lines) -> tuple[dict[str, list[float]], dict[str, tuple[str, list[str]]]]:
    """Numbers of the header by their name; style and lines of every section."""
    header: dict[str, list[float]] = {}
    sections: dict[str, tuple[str, list[str]]] = {}
    current: list[str] | None = None
    while (line := lines.next()) is not None:
        if not line.strip():
            continue
        if (found := SECTION.fullmatch(line)) is not None:
            current = []
            sections[found[1]] = (found[2] or "", current)
        elif current is not None:
            current.append(line.strip())
        elif (entry := HEADER.fullmatch(line.rstrip("\n"))) is not None:
            header[entry[2]] = [float(word) for word in entry[1].split()]
    return header, sections


def _cell(lines: Lines, header: dict[str, list[float]]) -> NDArray[np.float64]:
    if "avec" in header:
        return np.array([header[name][:3] for name in ("avec", "bvec", "cvec")])
    try:
        bounds = np.array([header[f"{axis}lo {axis}hi"] for axis in "xyz"])
    except (KeyError, ValueError):
        raise lines.error("no box, 'xlo xhi' and so on") from None
    cell = np.diag(bounds[:, 1] - bounds[:, 0])
    cell[1, 0], cell[2, 0], cell[2, 1] = header.get("xy xz yz", (0.0, 0.0, 0.0))
    return cell


def _atom_rows(lines: Lines, sections: dict[str, Any]) -> tuple[list[list[str]], str]:
    hint, body = sections.get("Atoms", ("", []))
    rows = [line.split("#")[0].split() for line in body]
    if not rows:
        raise lines.error("no section Atoms")
    # a comment that is no style of LAMMPS is a remark
    named = hint.split()[0] if hint and hint.split()[0] in (*STYLES, *OTHER_STYLES) else ""
    style = named or _style_of(rows)
    if style not in STYLES:
        raise lines.error(
            f"the section Atoms is of style {style!r}, of which {', '.join(STYLES)} are read",
            remedy="say which with a comment, 'Atoms # full'",
        )
    width = len(STYLES[style]) + 3
    if any(len(row) not in (width, width + 3) for row in rows):
        raise lines.error(f"rows of Atoms of style {style} have {width} or {width + 3} columns")
    return rows, style


def _style_of(rows: list[list[str]]) -> str:
    """Style of rows without a word on it: by their number of columns, if one only has it."""
    n = len(rows[0])
    images = n > 7 and all(word.lstrip("-").isdigit() for word in rows[0][-3:])
    fits = {
        "atomic" if style == "atomic" else style
        for style, columns in STYLES.items()
        if len(columns) + 3 == n - 3 * images and style not in ("bond", "angle")
    }
    if fits == {"charge", "molecular"}:  # a charge has a decimal point, a type has none
        fits = {"charge"} if "." in rows[0][2] else {"molecular"}
    return fits.pop() if len(fits) == 1 else "unknown"


def _atoms(columns: dict[str, list[str]], sections: dict[str, Any]) -> Atoms:
    """Elements by the masses of their types, or by labels of types that are symbols."""
    types = tuple(columns["type"])
    ids = np.array([int(word) for word in columns["id"]])
    masses: dict[str, tuple[float, str]] = {}
    for line in sections.get("Masses", ("", []))[1]:
        numbers, _, comment = line.partition("#")
        kind, mass = numbers.split()[:2]
        masses[kind] = (float(mass), comment.strip().split()[0] if comment.strip() else kind)
    if set(types) <= set(masses):
        names = [masses[kind][1] for kind in types]
        found = atoms_from_masses([masses[kind][0] for kind in types], names)
    else:
        found = atoms_from_symbols(types)
    topology = _topology(found, columns.get("mol"), ids, sections)
    return Atoms(found.names, found.species, found.origins, topology, types, ids)


def _topology(
    atoms: Atoms, molecules: list[str] | None, ids: NDArray[np.int64], sections: dict[str, Any]
) -> md.Topology:
    topology = md.Topology()
    chain = topology.add_chain()
    residues: dict[str, Any] = {}
    added = []
    for i, (name, number) in enumerate(zip(atoms.names, atoms.species.tolist(), strict=True)):
        # molecule 0 is what belongs to none
        key = f"atom {i}" if molecules is None or molecules[i] == "0" else molecules[i]
        if key not in residues:
            residues[key] = topology.add_residue("MOL" if key[:4] != "atom" else name, chain)
        is_element = 0 < number < 117
        element = md.element.Element.getByAtomicNumber(number) if is_element else md.element.virtual
        added.append(topology.add_atom(name, element, residues[key]))
    place = {identity: i for i, identity in enumerate(ids.tolist())}
    for line in sections.get("Bonds", ("", []))[1]:
        one, other = (place[int(word)] for word in line.split()[2:4])
        topology.add_bond(added[one], added[other])
    return topology
