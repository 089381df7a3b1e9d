"""Text formats of many frames: extended XYZ, LAMMPS dump, PDB, each as lines of one frame."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.export._frames import LabelledFrame, standard_frame, symbols_of
from graphkoopman.probabilities import TargetRun

__all__ = ["extxyz_writer", "lammps_writer", "pdb_writer"]

FrameWriter = Callable[[LabelledFrame], str]
PDB_SERIALS, PDB_RESIDUES = 100_000, 10_000
PDB_WIDEST = 9999.0  # Å that fit into eight columns


def extxyz_writer(runs: Sequence[TargetRun]) -> FrameWriter:
    """Extended XYZ: properties ``target``, ``state`` and ``probability`` (one column per state)."""
    names = [np.array(symbols_of(run), dtype=object) for run in runs]
    n_states = runs[0].n_states

    def write(frame: LabelledFrame) -> str:
        digits = _digits(frame.positions)
        row = f"%s {digits} {digits} {digits} %d %d" + " %.9g" * n_states + "\n"
        where = {"time": f"{frame.time:.10g}", "trajectory": frame.run, "frame": frame.frame}
        header = [f"{key}={value}" for key, value in where.items()]
        if frame.cell is None:
            header.append('pbc="F F F"')
        else:
            lattice = " ".join(f"{value:.17g}" for value in frame.cell.ravel())
            header += [f'Lattice="{lattice}"', 'pbc="T T T"']
        header.append(
            f"Properties=species:S:1:pos:R:3:target:I:1:state:I:1:probability:R:{n_states}"
        )
        columns = (names[frame.run], *frame.positions.T, frame.target, frame.state, *frame.probs.T)
        return f"{len(frame.target)}\n{' '.join(header)}\n" + _rows(row, columns)

    return write


def lammps_writer(runs: Sequence[TargetRun]) -> FrameWriter:
    """LAMMPS dump: columns ``i_target``, ``i_state`` and ``d_probability_0`` and on.

    Cells are turned as LAMMPS needs them; atoms keep their order, types are numbers of elements.
    """
    names = [np.array(symbols_of(run), dtype=object) for run in runs]
    kinds = sorted({int(n) for run in runs for n in np.unique(run.trajectory.species)})
    types = [np.searchsorted(kinds, run.trajectory.species) + 1 for run in runs]
    n_states = runs[0].n_states
    probabilities = " ".join(f"d_probability_{state}" for state in range(n_states))
    count = iter(range(10**18))

    def write(frame: LabelledFrame) -> str:
        positions, cell = standard_frame(frame)
        digits = _digits(positions)
        # xu: positions are written as they are, in whatever image
        row = f"%d %d %s {digits} {digits} {digits} %d %d" + " %.9g" * n_states + "\n"
        header = (
            f"ITEM: TIMESTEP\n{next(count)}\nITEM: NUMBER OF ATOMS\n{len(positions)}\n"
            f"{_lammps_box(positions, cell)}"
            f"ITEM: ATOMS id type element xu yu zu i_target i_state {probabilities}\n"
        )
        ids = np.arange(1, len(positions) + 1)
        columns = (
            ids, types[frame.run], names[frame.run], *positions.T, frame.target, frame.state,
            *frame.probs.T,
        )  # fmt: skip
        return header + _rows(row, columns)

    return write


def pdb_writer(runs: Sequence[TargetRun]) -> FrameWriter:
    """PDB models: the B-factor is the state, -1 for atoms of no target; occupancy its probability.

    A PDB file holds one cell, that of the first frame, and positions to 0.001 Å.
    """
    symbols = symbols_of(runs[0])
    labels = _pdb_labels(runs[0], symbols)
    ends = np.array([f"          {symbol:>2s}  " for symbol in symbols], dtype=object)
    count = iter(range(1, 10**18))

    def write(frame: LabelledFrame) -> str:
        positions, cell = standard_frame(frame)
        if np.abs(positions).max() > PDB_WIDEST:
            raise ValueError(
                f"positions must be within {PDB_WIDEST:g} Å for a PDB file, got "
                f"{np.abs(positions).max():.6g}; wrap them, or write extended XYZ"
            )
        number = next(count)
        header = _cryst1(cell) if number == 1 and cell is not None else ""
        occupancy = frame.probs.max(axis=1)
        columns = (labels, *positions.T, occupancy, frame.state, ends)
        rows = _rows("%s%8.3f%8.3f%8.3f%6.2f%6.2f%s\n", columns)
        return f"{header}MODEL     {number:>4d}\n{rows}ENDMDL\n"

    return write


def _digits(positions: NDArray[np.floating]) -> str:
    """Format that gives the same number back."""
    return "%.9g" if positions.dtype == np.float32 else "%.17g"


def _rows(row: str, columns: Sequence[NDArray[Any]]) -> str:
    n_rows = len(columns[0])
    values = np.empty((n_rows, len(columns)), dtype=object)
    for i, column in enumerate(columns):
        values[:, i] = column.tolist()
    # one call of the formatter for all rows
    return (row * n_rows) % tuple(values.ravel())


def _lammps_box(positions: NDArray[np.floating], cell: NDArray[np.float64] | None) -> str:
    if cell is None:
        low, high = positions.min(axis=0), positions.max(axis=0)
        lines = [f"{a:.17g} {b:.17g}" for a, b in zip(low, high, strict=True)]
        return "ITEM: BOX BOUNDS ff ff ff\n" + "\n".join(lines) + "\n"
    (lx, ly, lz), (xy, xz, yz) = np.diagonal(cell), (cell[1, 0], cell[2, 0], cell[2, 1])
    if not (xy or xz or yz):
        lines = [f"0 {length:.17g}" for length in (lx, ly, lz)]
        return "ITEM: BOX BOUNDS pp pp pp\n" + "\n".join(lines) + "\n"
    # dumps give the bounds of the box that encloses a tilted one
    lines = [
        f"{min(0.0, xy, xz, xy + xz):.17g} {lx + max(0.0, xy, xz, xy + xz):.17g} {xy:.17g}",
        f"{min(0.0, yz):.17g} {ly + max(0.0, yz):.17g} {xz:.17g}",
        f"0 {lz:.17g} {yz:.17g}",
    ]
    return "ITEM: BOX BOUNDS xy xz yz pp pp pp\n" + "\n".join(lines) + "\n"


def _pdb_labels(run: TargetRun, symbols: Sequence[str]) -> NDArray[Any]:
    """Everything of an atom's line that stands before its position."""
    topology = run.trajectory.topology
    labels = np.empty(len(symbols), dtype=object)
    for i, symbol in enumerate(symbols):
        name, residue, number, chain = symbol, symbol.upper(), i + 1, 0
        if topology is not None:
            atom = topology.atom(i)
            name, residue = atom.name, atom.residue.name
            number, chain = atom.residue.resSeq, atom.residue.chain.index
        # names of four letters, and elements of two, begin one column earlier
        name = f"{name[:4]:<4s}" if len(name) > 3 or len(symbol) > 1 else f" {name:<3s}"
        letter = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[chain % 26]
        labels[i] = (
            f"ATOM  {(i + 1) % PDB_SERIALS:5d} {name} {residue[:3]:>3s} {letter}"
            f"{number % PDB_RESIDUES:4d}    "
        )
    return labels


def _cryst1(cell: NDArray[np.float64]) -> str:
    lengths = np.linalg.norm(cell, axis=1)
    pairs = ((1, 2), (0, 2), (0, 1))
    angles = [np.degrees(np.arccos(cell[i] @ cell[j] / lengths[i] / lengths[j])) for i, j in pairs]
    numbers = "".join(f"{x:9.3f}" for x in lengths) + "".join(f"{x:7.2f}" for x in angles)
    return f"CRYST1{numbers} P 1           1\n"
