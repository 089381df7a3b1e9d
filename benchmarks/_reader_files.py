"""Trajectory files by independent writers: ASE, mdtraj, numpy, or by hand after the format.

Nothing of graphkoopman is used here. A `Run` is what is true; a writer puts it into a file as far
as its format can, and says what the format cannot hold.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import ase
import ase.io
import numpy as np
from mdtraj.formats import MDCRDTrajectoryFile, TRRTrajectoryFile, XTCTrajectoryFile
from numpy.typing import NDArray
from scipy.io import netcdf_file
from scipy.linalg import polar

AKMA = 0.04888821  # ps


@dataclass(frozen=True)
class Run:
    """Positions (F, N, 3) and cells (F, 3, 3) or None in Å, times in ps, steps, symbols."""

    positions: NDArray[np.float64]
    cells: NDArray[np.float64] | None
    times: NDArray[np.float64]
    symbols: tuple[str, ...]
    names: tuple[str, ...]
    unwrapped: bool = False

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps of 1 fs."""
        return np.rint(self.times * 1000).astype(np.int64)

    def standard(self) -> "Run":
        """Rotated so that a is along x and b in the xy plane, for formats that need it."""
        if self.cells is None:
            return self
        rotated = [ase.Atoms(cell=cell).cell.standard_form() for cell in self.cells]
        cells = np.array([cell.array for cell, _ in rotated])
        # standard_form gives the rotation Q of cell = lower @ Q
        positions = np.array([x @ q.T for x, (_, q) in zip(self.positions, rotated, strict=True)])
        return replace(self, positions=positions, cells=cells)

    def repeated(self, n: int) -> "Run":
        """The same frames n times, at times that go on."""
        n_frames = len(self.times)
        spacing = self.times[1] - self.times[0]
        return replace(
            self,
            positions=np.concatenate([self.positions] * n),
            cells=None if self.cells is None else np.concatenate([self.cells] * n),
            times=self.times[0] + spacing * np.arange(n * n_frames),
        )

    def first(self) -> "Run":
        """The first frame alone."""
        cells = None if self.cells is None else self.cells[:1]
        return replace(self, positions=self.positions[:1], cells=cells, times=self.times[:1])

    def symmetric(self) -> "Run":
        """Rotated so that the matrix of the cell is symmetric, as CHARMM has it."""
        if self.cells is None:
            return self
        # cell = symmetric @ rotation, the polar decomposition
        polars = [polar(cell, side="left") for cell in self.cells]
        cells = np.array([part for _, part in polars])
        rotated = zip(self.positions, polars, strict=True)
        return replace(self, cells=cells, positions=np.array([x @ u.T for x, (u, _) in rotated]))


class Writer(NamedTuple):
    """One kind of file.

    Attributes
    ----------
    name : str
        Of the file.
    write : callable
        ``write(path, run)``.
    digits : float
        Å to which positions are stored.
    orient : callable
        Takes a run to the orientation in which the format can hold it.
    clock : {"times", "steps", None}
        What frames carry.
    names : {"symbols", "names", "types", None}
        How the file calls its atoms.
    single : bool
        Whether a file holds one frame.
    """

    name: str
    write: Callable[[Path, Run], None]
    digits: float
    orient: Callable[[Run], Run] = lambda run: run
    clock: str | None = "times"
    names: str | None = None
    single: bool = False


def xtc(path: Path, run: Run) -> None:
    """By mdtraj's binding, which takes the nine numbers of the cell as they are."""
    n = len(run.times)
    cells = np.zeros((n, 3, 3)) if run.cells is None else run.cells
    with XTCTrajectoryFile(str(path), "w") as file:
        file.write(
            (run.positions / 10).astype("f4"), time=run.times.astype("f4"),
            step=run.steps.astype("i4"), box=(cells / 10).astype("f4"),
        )  # fmt: skip


def trr(path: Path, run: Run) -> None:
    """By mdtraj's binding, in single precision."""
    n = len(run.times)
    cells = np.zeros((n, 3, 3)) if run.cells is None else run.cells
    with TRRTrajectoryFile(str(path), "w") as file:
        file.write(
            (run.positions / 10).astype("f4"), time=run.times.astype("f4"),
            step=run.steps.astype("i4"), box=(cells / 10).astype("f4"),
            lambd=np.zeros(n, "f4"),
        )  # fmt: skip


def _record(content: bytes) -> bytes:
    return struct.pack("<i", len(content)) + content + struct.pack("<i", len(content))


def dcd(path: Path, run: Run, shape_matrix: bool = False) -> None:
    """By hand: cosines as NAMD writes them, or CHARMM's symmetric shape matrix."""
    n_frames, n_atoms = run.positions.shape[:2]
    spacing = run.times[1] - run.times[0]
    header = struct.pack("<9i", n_frames, 100, 100, 0, 0, 0, 0, 0, 0)
    header += struct.pack("<f", spacing / 100 / AKMA)
    header += struct.pack("<10i", run.cells is not None, *[0] * 8, 40 if shape_matrix else 24)
    parts = [_record(b"CORD" + header), _record(struct.pack("<i", 1) + b"by hand".ljust(80))]
    parts.append(_record(struct.pack("<i", n_atoms)))
    for k in range(n_frames):
        if run.cells is not None:
            parts.append(_record(_dcd_cell(run.cells[k], shape_matrix).astype("<f8").tobytes()))
        parts += [_record(run.positions[k, :, i].astype("<f4").tobytes()) for i in range(3)]
    path.write_bytes(b"".join(parts))


def _dcd_cell(cell: NDArray[np.float64], shape_matrix: bool) -> NDArray[np.float64]:
    if shape_matrix:
        return cell[[0, 1, 1, 2, 2, 2], [0, 0, 1, 0, 1, 2]]
    a, b, c, alpha, beta, gamma = ase.Atoms(cell=cell).cell.cellpar()
    cosines = [0.0 if x == 90 else np.cos(np.deg2rad(x)) for x in (gamma, beta, alpha)]
    return np.array([a, cosines[0], b, cosines[1], cosines[2], c])


def netcdf(path: Path, run: Run, units: str = "picosecond", scale: float | None = None) -> None:
    """By hand after AMBER's convention."""
    n_atoms = run.positions.shape[1]
    file = netcdf_file(str(path), "w", version=2)
    file.Conventions, file.ConventionVersion, file.program = "AMBER", "1.0", "by hand"
    for name, size in (("frame", None), ("spatial", 3), ("atom", n_atoms), ("angle", 3)):
        file.createDimension(name, size)
    time = file.createVariable("time", "f4", ("frame",))
    time.units = units
    factor = {"picosecond": 1.0, "femtosecond": 1e-3}[units]
    if scale is not None:
        time.scale_factor = np.float32(scale)
        factor *= scale
    x = file.createVariable("coordinates", "f4", ("frame", "atom", "spatial"))
    x.units = "angstrom"
    if run.cells is not None:
        lengths = file.createVariable("cell_lengths", "f8", ("frame", "spatial"))
        angles = file.createVariable("cell_angles", "f8", ("frame", "angle"))
        lengths.units, angles.units = "angstrom", "degree"
        parameters = np.array([ase.Atoms(cell=cell).cell.cellpar() for cell in run.cells])
        lengths[:], angles[:] = parameters[:, :3], parameters[:, 3:]
    time[:] = (run.times / factor).astype("f4")
    x[:] = run.positions.astype("f4")
    file.close()


def dump_text(run: Run, columns: str = "x y z", units: str | None = None, seed: int = 0) -> str:
    """By hand after LAMMPS' documentation: general boxes, atoms in another order every frame."""
    rng = np.random.default_rng(seed)
    n_atoms = run.positions.shape[1]
    types = {symbol: i + 1 for i, symbol in enumerate(dict.fromkeys(run.symbols))}
    text = [] if units is None else [f"ITEM: UNITS\n{units}\n"]
    for k, step in enumerate(run.steps):
        text.append(f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{n_atoms}\n")
        if run.cells is None:
            low, high = run.positions[k].min(axis=0) - 1, run.positions[k].max(axis=0) + 1
            text.append("ITEM: BOX BOUNDS ss ss ss\n")
            text += [f"{a:.12g} {b:.12g}\n" for a, b in zip(low, high, strict=True)]
        else:
            text.append("ITEM: BOX BOUNDS abc origin pp pp pp\n")
            text += [" ".join(f"{v:.12g}" for v in row) + " 0\n" for row in run.cells[k]]
        text.append(f"ITEM: ATOMS id type element {columns}\n")
        for i in rng.permutation(n_atoms):
            numbers = " ".join(f"{v:.13g}" for v in run.positions[k, i])
            text.append(f"{i + 1} {types[run.symbols[i]]} {run.symbols[i]} {numbers}\n")
    return "".join(text)


def dump(path: Path, run: Run) -> None:
    """Columns that say whether positions are wrapped."""
    path.write_text(dump_text(run, "xu yu zu" if run.unwrapped else "x y z"))


def xdatcar(path: Path, run: Run) -> None:
    """By hand as VASP writes runs of changing cells: a preamble above every frame."""
    order = sorted(range(len(run.symbols)), key=lambda i: run.symbols[i])
    kinds = list(dict.fromkeys(run.symbols[i] for i in order))
    counts = " ".join(str(run.symbols.count(kind)) for kind in kinds)
    text = []
    for k, step in enumerate(run.steps):
        assert run.cells is not None
        cell = run.cells[k]
        if k == 0 or not np.array_equal(cell, run.cells[k - 1]):
            rows = "\n".join(" ".join(f"{v:.10f}" for v in row) for row in cell)
            text.append(f"by hand\n1.0\n{rows}\n{' '.join(kinds)}\n{counts}\n")
        fractions = np.linalg.solve(cell.T, run.positions[k, order].T).T
        lines = "\n".join(" ".join(f"{v:.10f}" for v in row) for row in fractions)
        text.append(f"Direct configuration= {step:6d}\n{lines}\n")
    path.write_text("".join(text))


def extxyz(path: Path, run: Run) -> None:
    """By ASE."""
    frames = []
    for k in range(len(run.times)):
        cell = None if run.cells is None else run.cells[k]
        atoms = ase.Atoms(run.symbols, run.positions[k], cell=cell, pbc=cell is not None)
        atoms.info["step"] = int(run.steps[k])
        frames.append(atoms)
    ase.io.write(path, frames, format="extxyz")


def vasprun(path: Path, run: Run) -> None:
    """By hand after VASP's: a structure in every calculation."""
    assert run.cells is not None
    rows = "".join(f"<rc><c>{symbol}</c><c>1</c></rc>" for symbol in run.symbols)
    potim = 1000 * (run.times[1] - run.times[0])
    text = [
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n'
        f'<incar><i type="int" name="IBRION">0</i><i name="POTIM">{potim:.6f}</i></incar>\n'
        f'<atominfo><array name="atoms"><set>{rows}</set></array></atominfo>\n'
    ]
    for x, cell in zip(run.positions, run.cells, strict=True):
        fractions = np.linalg.solve(cell.T, x.T).T
        text.append(
            "<calculation><structure><crystal>" + _varray("basis", cell) + "</crystal>"
            + _varray("positions", fractions) + "</structure></calculation>\n"
        )  # fmt: skip
    path.write_text("".join(text) + "</modeling>\n")


def _varray(name: str, rows: NDArray[np.float64]) -> str:
    lines = "".join("<v>" + " ".join(f"{v:.10f}" for v in row) + "</v>" for row in rows)
    return f'<varray name="{name}">{lines}</varray>'


def pdb(path: Path, run: Run, elements: bool = True) -> None:
    """By hand after the format: CRYST1 in every model."""
    text = []
    for k in range(len(run.times)):
        text.append(f"TITLE     by hand t= {run.times[k]:.5f} step= {run.steps[k]}\n")
        if run.cells is not None:
            a, b, c, *angles = ase.Atoms(cell=run.cells[k]).cell.cellpar()
            text.append(f"CRYST1{a:9.3f}{b:9.3f}{c:9.3f}" + "".join(f"{x:7.2f}" for x in angles))
            text.append(" P 1           1\n")
        text.append(f"MODEL     {k + 1:4d}\n")
        for i, (x, y, z) in enumerate(run.positions[k]):
            symbol = f"{run.symbols[i]:>2s}" if elements else ""
            name = run.names[i]
            text.append(
                f"HETATM{i + 1:5d} {name:^4s} {name[:3]:>3s} A{i + 1:4d}    "
                f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {symbol}\n"
            )
        text.append("ENDMDL\n")
    path.write_text("".join(text))


def gro(path: Path, run: Run) -> None:
    """By hand after the format, with five decimals and nine numbers of the box."""
    text = []
    for k in range(len(run.times)):
        text.append(f"by hand t= {run.times[k]:.5f} step= {run.steps[k]}\n{len(run.names)}\n")
        for i, x in enumerate(run.positions[k] / 10):
            name = run.names[i]
            numbers = "".join(f"{v:10.5f}" for v in x)
            text.append(f"{i + 1:5d}{name:<5s}{name:>5s}{i + 1:5d}{numbers}\n")
        box = np.zeros((3, 3)) if run.cells is None else run.cells[k] / 10
        order = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
        text.append(" ".join(f"{box[i]:.7f}" for i in order) + "\n")
    path.write_text("".join(text))


def mdcrd(path: Path, run: Run) -> None:
    """By mdtraj's binding: lengths alone."""
    lengths = None if run.cells is None else np.linalg.norm(run.cells, axis=2).astype("f4")
    with MDCRDTrajectoryFile(str(path), mode="w") as file:
        file.write(run.positions.astype("f4"), cell_lengths=lengths)


def history(path: Path, run: Run) -> None:
    """By hand after DL_POLY 4's manual: atoms in another order in every frame."""
    rng = np.random.default_rng(0)
    n_frames, n_atoms = run.positions.shape[:2]
    masses = ase.Atoms(run.symbols).get_masses()
    key = 0 if run.cells is None else 3
    text = [f"by hand\n{0:10d}{key:10d}{n_atoms:10d}{n_frames:10d}{99:10d}\n"]
    for k, (step, time) in enumerate(zip(run.steps, run.times, strict=True)):
        text.append(f"timestep{step:10d}{n_atoms:10d}{0:10d}{key:10d}{0.001:14.6f}{time:14.6f}\n")
        if run.cells is not None:
            text += ["".join(f"{v:20.10f}" for v in row) + "\n" for row in run.cells[k]]
        for i in rng.permutation(n_atoms):
            text.append(f"{run.symbols[i]:8s}{i + 1:10d}{masses[i]:12.6f}{0:12.6f}{0:12.6f}\n")
            text.append("".join(f"{v:20.10f}" for v in run.positions[k, i]) + "\n")
    path.write_text("".join(text))


def lammps_data(path: Path, run: Run) -> None:
    """By ASE, with masses, in the standard form of the cell."""
    cell = None if run.cells is None else run.cells[0]
    atoms = ase.Atoms(run.symbols, run.positions[0], cell=cell, pbc=cell is not None)
    ase.io.write(path, atoms, format="lammps-data", masses=True)


def h5md(path: Path, run: Run) -> None:
    """By h5py after H5MD 1.1: lattice vectors as they are, with units."""
    import h5py

    with h5py.File(path, "w") as file:
        file.create_group("h5md").attrs["version"] = (1, 1)
        file["h5md"].create_group("creator").attrs["name"] = "by hand"
        group = file.create_group("particles/trajectory")
        periodic = "periodic" if run.cells is not None else "none"
        box = group.create_group("box")
        box.attrs["dimension"], box.attrs["boundary"] = 3, [periodic] * 3
        columns = {"position": run.positions}
        columns |= {} if run.cells is None else {"box/edges": run.cells}
        for name, values in columns.items():
            element = group.create_group(name)
            element["step"], element["time"] = run.steps, run.times
            element["time"].attrs["unit"] = "ps"
            element["value"] = values.astype("f4")
            element["value"].attrs["unit"] = "Angstrom"


def npz(path: Path, run: Run) -> None:
    """By numpy, in the layout of the original code."""
    np.savez(
        path, traj_coords=run.positions, lattices=run.cells, time_ps=run.times,
        atom_types=ase.Atoms(run.symbols).numbers, target_index=np.arange(2),
    )  # fmt: skip


WRITERS = {
    "xtc": Writer("run.xtc", xtc, 0.0051),
    "trr": Writer("run.trr", trr, 2e-5),
    "dcd": Writer("run.dcd", dcd, 2e-5, orient=Run.standard),
    "CHARMM dcd": Writer("run.dcd", partial(dcd, shape_matrix=True), 2e-5, orient=Run.symmetric),
    "LAMMPS netcdf": Writer(
        "run.nc", partial(netcdf, units="femtosecond", scale=2.0), 2e-5, orient=Run.standard
    ),
    "netcdf": Writer("run.nc", netcdf, 2e-5, orient=Run.standard),
    "mdcrd": Writer("run.mdcrd", mdcrd, 5.1e-4, orient=Run.standard, clock=None),
    "dump": Writer("run.dump", dump, 2e-5, clock="steps", names="symbols"),
    "lammpstrj": Writer("run.lammpstrj", dump, 2e-5, clock="steps", names="symbols"),
    "XDATCAR": Writer("XDATCAR", xdatcar, 2e-5, clock="steps", names="symbols"),
    "vasprun": Writer("vasprun.xml", vasprun, 2e-5, names="symbols", clock=None),
    "extxyz": Writer("run.extxyz", extxyz, 2e-5, clock="steps", names="symbols"),
    "pdb": Writer("run.pdb", pdb, 5.1e-4, orient=Run.standard, names="names"),
    "gro": Writer("run.gro", gro, 6e-5, names="names"),
    "HISTORY": Writer("HISTORY", history, 2e-5, names="symbols"),
    "LAMMPS data": Writer(
        "run.data", lammps_data, 2e-5, orient=Run.standard, clock=None, names="symbols", single=True
    ),
    "H5MD": Writer("run.h5md", h5md, 2e-5),
    "npz": Writer("run.npz", npz, 1e-12, names="symbols"),
}
