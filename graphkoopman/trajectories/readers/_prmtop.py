"""AMBER's topology file: atoms by mdtraj, and the cell that it was made with."""

from pathlib import Path

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories.readers._cell import cell_of_lengths_angles

OCTAHEDRON = 109.4712190  # degrees, all three angles of a truncated octahedron
IFBOX, TRICLINIC = 27, "3"  # place in the section POINTERS, and its value for any three angles
MAGIC = b"%VERSION"


def prmtop_topology(path: Path) -> tuple[md.Topology, bool, NDArray[np.float64] | None]:
    """Topology, whether its elements are stated, and the cell in Å, (3, 3) or None."""
    sections = _sections(path)
    return md.load_prmtop(str(path)), "ATOMIC_NUMBER" in sections, _cell(sections)


def _sections(path: Path) -> dict[str, list[str]]:
    """Words by the flags above them."""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    with path.open(encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("%FLAG"):
                current = sections.setdefault(line.split()[1], [])
            elif not line.startswith("%"):
                current += line.split()
    return sections


def _cell(sections: dict[str, list[str]]) -> NDArray[np.float64] | None:
    """BOX_DIMENSIONS is one angle, beta, and three lengths; two of three angles may be missing."""
    words = sections.get("BOX_DIMENSIONS", [])
    pointers = sections.get("POINTERS", [])
    if len(words) < 4 or pointers[IFBOX : IFBOX + 1] == [TRICLINIC]:
        return None
    beta, *lengths = (float(word) for word in words[:4])
    if not all(lengths):
        return None
    octahedron = abs(beta - OCTAHEDRON) < 0.01
    angles = np.full(3, OCTAHEDRON) if octahedron else np.array([90.0, beta, 90.0])
    return cell_of_lengths_angles(np.array(lengths), angles)
