"""What MDAnalysis says, in this package's terms: `frames_of`, `atoms_of`.

Used by the reader of its formats and by the converter of its objects; imports nothing of it.
"""

from collections.abc import Iterator
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._species import N_ELEMENTS
from graphkoopman.trajectories.readers._contents import Atoms, FrameBlock
from graphkoopman.trajectories.readers._elements import (
    atoms_from_guesses,
    atoms_from_masses,
    elements_of_residue,
    parse_symbol,
)


def frames_of(trajectory: Any, chunk: int) -> Iterator[FrameBlock]:
    """Frames of an MDAnalysis reader in Å and ps, left at the frame where it was."""
    knows_time = has_times(trajectory)
    at = trajectory.frame
    positions: list[Any] = []
    cells: list[Any] = []
    times: list[float] = []

    def block() -> FrameBlock:
        own = None if not np.any(cells) else np.array(cells, dtype=np.float64)
        return FrameBlock(np.array(positions), own, np.array(times) if knows_time else None)

    for step in trajectory:
        positions.append(step.positions.copy())
        dimensions = step.dimensions
        flat = dimensions is None or not np.any(dimensions)
        cells.append(np.zeros((3, 3)) if flat else step.triclinic_dimensions)
        times.append(step.time if knows_time else 0.0)
        if len(positions) == chunk:
            yield block()
            positions, cells, times = [], [], []
    if positions:
        yield block()
    trajectory[at]


def has_times(trajectory: Any) -> bool:
    """Whether times of an MDAnalysis reader are those of the file, or of whoever opened it.

    MDAnalysis counts frames, or the steps of a LAMMPS dump, as ps where nobody says otherwise.
    """
    kind = getattr(trajectory, "format", None)
    if kind == "MEMORY":
        # the step is 1 ps unless it was said, and a whole number only then
        return not isinstance(trajectory.ts.dt, int)
    if "dt" in getattr(trajectory, "_ts_kwargs", {}):
        return True
    return kind != "LAMMPSDUMP" and ("time" in trajectory.ts.data or hasattr(trajectory, "_get_dt"))


def atoms_of(universe: Any) -> Atoms:
    """Who the atoms of a Universe are: its elements, else masses and names within residues."""
    atoms = universe.atoms
    names = _texts(atoms, "names") or _texts(atoms, "types") or [""] * len(atoms)
    topology = _topology(universe, names)
    symbols = _texts(atoms, "elements")
    stated = [0] * len(atoms) if symbols is None else [parse_symbol(symbol) for symbol in symbols]
    guesses: list[Any] = []
    for residue in topology.residues:
        guesses += elements_of_residue(residue.name, [atom.name for atom in residue.atoms])
    order = [atom.index for atom in topology.atoms]
    by_atom = dict(zip(order, guesses, strict=True))
    if not any(stated) and symbols is None and not any(names):
        masses = _floats(atoms, "masses")
        if masses is not None:
            return atoms_from_masses(masses, names, topology=topology)
    chosen = [(n, "stated") if n else by_atom[i] for i, n in enumerate(stated)]
    return atoms_from_guesses(names, chosen, topology=with_elements(topology, chosen))


def with_elements(topology: md.Topology, guesses: list[Any]) -> md.Topology:
    """Set the elements of a topology's atoms, in place."""
    for atom, (number, _) in zip(topology.atoms, guesses, strict=True):
        if 0 < number <= N_ELEMENTS:
            atom.element = md.element.Element.getByAtomicNumber(number)
    return topology


def _topology(universe: Any, names: list[str]) -> md.Topology:
    """Residues in the order of the atoms, one more where those of a residue are apart."""
    atoms = universe.atoms
    topology = md.Topology()
    resnames = _texts(atoms, "resnames") or [""] * len(atoms)
    segids = _texts(atoms, "segids") or [""] * len(atoms)
    resindices = atoms.resindices.tolist()
    resids = _integers(atoms, "resids")
    chain: Any = None
    residue: Any = None
    added: list[Any] = []
    before: tuple[Any, Any] = (None, None)
    for i, name in enumerate(names):
        here = (segids[i], resindices[i])
        if chain is None or here[0] != before[0]:
            chain = topology.add_chain()
        if residue is None or here != before:
            number = None if resids is None else int(resids[i])
            residue = topology.add_residue(resnames[i], chain, resSeq=number, segment_id=segids[i])
        added.append(topology.add_atom(name, md.element.virtual, residue))
        before = here
    for one, other in _bonds(universe):
        topology.add_bond(added[one], added[other])
    return topology


def _bonds(universe: Any) -> list[tuple[int, int]]:
    try:
        return [(int(a), int(b)) for a, b in universe.bonds.indices]
    except Exception:  # NoDataError, of a package that is not imported here
        return []


def _texts(atoms: Any, name: str) -> list[str] | None:
    values = _attribute(atoms, name)
    if values is None:
        return None
    texts = [str(value).strip() for value in values]
    return texts if any(texts) else None


def _floats(atoms: Any, name: str) -> list[float] | None:
    values = _attribute(atoms, name)
    return None if values is None else [float(value) for value in values]


def _integers(atoms: Any, name: str) -> NDArray[np.int64] | None:
    values = _attribute(atoms, name)
    return None if values is None else np.asarray(values, dtype=np.int64)


def _attribute(atoms: Any, name: str) -> Any:
    try:
        return getattr(atoms, name)
    except Exception:  # NoDataError where a topology lacks it
        return None
