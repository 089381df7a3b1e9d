"""Every format read back against what was written. ``python -m benchmarks.readers``

Files by independent writers (ASE, mdtraj, scipy, numpy, or by hand after the format), for every
format × cell × wrapped or unwrapped × times × elements. What is read must be right to the digits
of the format, or refused by a named error, or said by a warning; a difference without a word is
counted as silent, and the command exits with 1. Distances are checked by ASE's neighbours.

With ``--against COMMIT`` also how fast and in how much memory large files are read, as ratios to
that commit in the same run.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import ase
import mdtraj as md
import numpy as np
from ase.geometry import get_distances

from benchmarks._commits import ROOT, extract
from benchmarks._reader_files import WRITERS, Run, Writer
from benchmarks._tables import markdown
from graphkoopman import Trajectory, read_trajectory

N_FRAMES, SPACING = 6, 0.5  # ps
ORTHOGONAL = np.diag([11.0, 12.0, 13.0])
TRICLINIC = np.array([[11.0, 0, 0], [2.5, 10.5, 0], [-1.5, 3.0, 9.5]])
FCC = np.array([[0, 8.0, 8.0], [8.0, 0, 8.0], [8.0, 8.0, 0]])
SYMBOLS = ("Li", "Cl", "S", "Na", "O", "H", "H", "Si")
# names that are no symbols, each alone in a residue of its name
NAMES = ("LI", "CLA", "S", "SOD", "O", "H", "H", "SI")
CELLS = ("orthogonal", "triclinic", "rotated", "NPT", "none")
TIMES = ("even", "uneven", "restarted")
ELEMENTS = ("right", "guessed", "contradicting")
OUTCOMES = ("right", "said", "refused", "cannot hold", "silent")


def true_run(cell: str, wrapped: bool, times: str, names: tuple[str, ...] = SYMBOLS) -> Run:
    """A small run of this kind."""
    rng = np.random.default_rng(7)
    base = {"triclinic": TRICLINIC, "rotated": FCC}.get(cell, ORTHOGONAL)
    scale = np.linspace(1, 1.05, N_FRAMES) if cell == "NPT" else np.ones(N_FRAMES)
    cells = base * scale[:, None, None]
    walk = rng.uniform(0, 1, (1, len(SYMBOLS), 3)) + np.cumsum(
        rng.normal(0, 0.02, (N_FRAMES, len(SYMBOLS), 3)), axis=0
    )
    fractions = walk % 1 if wrapped else walk + np.array([1, -1, 2])
    clock = SPACING * np.arange(1.0, N_FRAMES + 1)
    if times == "uneven":
        clock[3:] += 0.7 * SPACING
    if times == "restarted":
        clock[3:] -= 2 * SPACING
    return Run(
        fractions @ cells, None if cell == "none" else cells, clock, SYMBOLS, names,
        unwrapped=not wrapped,
    )  # fmt: skip


def topology_of(symbols: tuple[str, ...]) -> md.Topology:
    """One residue per atom."""
    topology = md.Topology()
    chain = topology.add_chain()
    for symbol in symbols:
        residue = topology.add_residue(symbol.upper(), chain)
        topology.add_atom(symbol, md.element.Element.getBySymbol(symbol), residue)
    return topology


def judge(kind: str, cell: str, wrapped: bool, times: str, elements: str) -> tuple[str, str]:
    """Outcome of one combination, and what was said."""
    writer = WRITERS[kind]
    run = true_run(cell, wrapped, times, NAMES if elements == "guessed" else SYMBOLS)
    if not holds(writer, kind, cell, times, elements):
        return "cannot hold", ""
    written = writer.orient(run)
    written = written.first() if writer.single else written
    top = _top(writer, kind, cell, written, elements)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = Path(folder) / writer.name
        if elements == "guessed" and kind == "pdb":
            writer.write(path, written, elements=False)  # type: ignore[call-arg]
        else:
            writer.write(path, written)
        # dumps, XDATCAR and others carry steps alone
        timestep = SPACING if writer.clock != "times" and kind != "vasprun" else None
        caught.clear()
        try:
            read = read_trajectory(path, top=top, timestep=timestep)
        except (ValueError, TypeError) as error:
            right = any(reason in str(error) for reason in _reasons(times, elements))
            return ("refused" if right else "silent"), str(error)
    told = " | ".join(str(warning.message) for warning in caught)
    difference = _difference(read, written, writer, kind)
    if not difference and times == "even" and elements != "contradicting":
        return "right", told
    if told and difference:
        return "said", told
    return "silent", difference or f"{times} times or {elements} elements were taken"


def _reasons(times: str, elements: str) -> list[str]:
    """Words of the errors that are due."""
    due = ["evenly spaced"] if times != "even" else []
    return due + (["top must describe the atoms"] if elements == "contradicting" else [])


def holds(writer: Writer, kind: str, cell: str, times: str, elements: str) -> bool:
    """Whether a file of this format can be what is asked for."""
    if cell == "none" and kind in ("XDATCAR", "vasprun", "npz", "LAMMPS data"):
        return False
    if times != "even" and (writer.clock is None or "dcd" in kind):
        return False
    if elements == "guessed":
        return writer.names == "names"
    if elements == "contradicting":
        return writer.names is not None
    return True


def _top(writer: Writer, kind: str, cell: str, run: Run, elements: str) -> Any:
    if elements == "contradicting":
        return topology_of((SYMBOLS[1], SYMBOLS[0], *SYMBOLS[2:]))
    if writer.names is not None:
        return None
    topology = topology_of(SYMBOLS)
    if kind == "mdcrd" and run.cells is not None:
        # the angles of its cell are in the topology alone
        parameters = ase.Atoms(cell=run.cells[0]).cell.cellpar()
        first = md.Trajectory(run.positions[:1] / 10, topology)
        first.unitcell_lengths, first.unitcell_angles = [parameters[:3] / 10], [parameters[3:]]
        return first
    return topology


def _difference(read: Trajectory, run: Run, writer: Writer, kind: str) -> str:
    """What is read other than it was written; empty if nothing is."""
    order = list(range(len(SYMBOLS)))
    if kind == "XDATCAR":
        order.sort(key=lambda i: run.symbols[i])
    if len(read) != len(run.times):
        return f"{len(read)} of {len(run.times)} frames"
    if read.species.tolist() != ase.Atoms(run.symbols).numbers[order].tolist():
        return f"species {read.species.tolist()}"
    if abs(read.timestep - SPACING) > 1e-6:
        return f"timestep {read.timestep}"
    if not np.allclose(read.positions, run.positions[:, order], atol=writer.digits):
        return "positions"
    if (read.cells is None) != (run.cells is None):
        return f"cell {read.cell}"
    for k in range(len(read)) if read.cells is not None and run.cells is not None else ():
        distances = get_distances(run.positions[k, order], cell=run.cells[k], pbc=True)[1]
        found = get_distances(
            np.asarray(read.positions[k], dtype=np.float64), cell=read.cells[k], pbc=True
        )[1]
        # CRYST1 has two digits of angles: 1e-4 of a lattice vector
        if not np.allclose(found, distances, atol=4 * writer.digits + 5e-3 * (kind == "pdb")):
            return f"distances of frame {k}"
    return ""


def matrix() -> tuple[dict[str, Counter], list[str]]:
    """Outcomes by format, and every difference that was silent."""
    counts: dict[str, Counter] = {kind: Counter() for kind in WRITERS}
    silent = []
    for kind in WRITERS:
        for cell in CELLS:
            for wrapped in (True, False):
                for times in TIMES:
                    for elements in ELEMENTS:
                        outcome, said = judge(kind, cell, wrapped, times, elements)
                        counts[kind][outcome] += 1
                        if outcome == "silent":
                            how = "wrapped" if wrapped else "unwrapped"
                            silent.append(f"{kind}, {cell}, {how}, {times}, {elements}: {said}")
    return counts, silent


def write_large(folder: Path, n_atoms: int = 2000, n_frames: int = 300) -> None:
    """Files to time, of the formats that are read most."""
    rng = np.random.default_rng(0)
    symbols = tuple(("Li", "S", "O", "H")[i % 4] for i in range(n_atoms))
    steps = np.cumsum(rng.normal(0, 0.1, (n_frames, n_atoms, 3)), axis=0)
    positions = (rng.uniform(0, 30, (1, n_atoms, 3)) + steps) % 30
    cells = np.repeat(30 * np.eye(3)[None], n_frames, 0)
    run = Run(positions, cells, np.arange(1.0, n_frames + 1), symbols, symbols)
    top = md.Trajectory(positions[:1] / 10, topology_of(symbols), unitcell_lengths=[[3.0] * 3],
                        unitcell_angles=[[90.0] * 3])  # fmt: skip
    top.save(str(folder / "top.pdb"))
    trajectory = md.Trajectory(
        positions / 10, top.topology, unitcell_lengths=np.full((n_frames, 3), 3.0),
        unitcell_angles=np.full((n_frames, 3), 90.0),
    )  # fmt: skip
    many = run.repeated(LONGER)
    for kind in ("xtc", "dcd"):
        WRITERS[kind].write(folder / f"run.{kind}", many)
    trajectory.save(str(folder / "run.lammpstrj"))
    WRITERS["XDATCAR"].write(folder / "XDATCAR", run)


LONGER = 8  # binary files are read that much faster
REPEATS = 3
LARGE = ("run.xtc", "run.dcd", "run.lammpstrj", "XDATCAR")
TIMING = """
import json, resource, sys, time, warnings
warnings.simplefilter("ignore")
from graphkoopman import read_trajectory
folder, name = sys.argv[1:]
top = None if name == "XDATCAR" else folder + "/top.pdb"
options = {} if name == "run.xtc" else {"timestep": 1.0}
def read(stride):
    start = time.perf_counter()
    read_trajectory(folder + "/" + name, top=top, chunk=100, stride=stride, **options)
    return time.perf_counter() - start
read(100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read(100)
growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([min(read(1) for _ in range(2)), growth / 1024]))
"""


def _timed(root: Path, folder: Path, name: str) -> tuple[float, float]:
    """Seconds of the best of three readings, and MB that a second reading takes in addition."""
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", TIMING, str(folder), name]
    answer = subprocess.run(
        words, env=environment, cwd=folder, capture_output=True, text=True, check=True
    )
    seconds, growth = json.loads(answer.stdout.splitlines()[-1])
    return seconds, growth


def speed(commit: str) -> list[list[str]]:
    """Rows of format, seconds, speed against the commit, and growth of memory."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder, old = Path(temporary) / "files", Path(temporary) / "old"
        folder.mkdir()
        extract(commit, old, "graphkoopman")
        write_large(folder)
        for name in LARGE:
            # in turn, so that what else the machine does falls on both
            pairs = [
                (_timed(old, folder, name), _timed(ROOT, folder, name)) for _ in range(REPEATS)
            ]
            before, now = (min(pair[i][0] for pair in pairs) for i in (0, 1))
            growth = max(pair[1][1] for pair in pairs)
            rows.append([name, f"{now:.2f}", f"{before / now:.2f}", f"{growth:.0f}"])
    return rows


def main() -> None:
    """Print the tables; exit with 1 where a difference was silent."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="COMMIT", help="also time reading, against a commit")
    options = parser.parse_args()
    counts, silent = matrix()
    rows = [[kind, sum(c.values()), *(c[outcome] for outcome in OUTCOMES)] for kind, c in
            counts.items()]  # fmt: skip
    print(markdown(["format", "combinations", *OUTCOMES], rows))
    print(*silent, sep="\n")
    if options.against:
        print(markdown(["file", "seconds", f"speed / {options.against}", "MB more"],
                       speed(options.against)))  # fmt: skip
    if silent:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
