"""Files as other programs write them: conventions of AMBER, i-PI, LAMMPS, Tinker, HOOMD, VASP."""

import bz2
import gzip
import lzma
from dataclasses import replace

import h5py
import mdtraj as md
import numpy as np
import pytest
from mdtraj.formats import MDCRDTrajectoryFile

from benchmarks._reader_files import gro, h5md, mdcrd, pdb, xtc
from benchmarks.readers import SYMBOLS, topology_of, true_run
from graphkoopman import read_trajectory
from graphkoopman.trajectories import MissingCellWarning
from graphkoopman.trajectories._species import species_label
from graphkoopman.trajectories.readers._topology import load_structure

BOHR = 0.529177210903
PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def pack(path, suffix):
    """A compressed copy, in the place of the file."""
    packed = path.with_name(path.name + suffix)
    packed.write_bytes(PACKERS[suffix](path.read_bytes()))
    path.unlink()
    return packed


def labels(species):
    return [species_label(number) if number else "" for number in species]


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("write", [gro, pdb, xtc, mdcrd])
def test_compressed_files(tmp_path, write, suffix):
    run = true_run("orthogonal", wrapped=True, times="even").standard()
    path, top = tmp_path / f"run.{write.__name__}", tmp_path / "top.pdb"
    write(path, run)
    first = md.Trajectory(run.positions[:1] / 10, topology_of(SYMBOLS))
    first.unitcell_lengths, first.unitcell_angles = [[1.1, 1.2, 1.3]], [[90.0] * 3]
    first.save(str(top))
    options = {} if write in (gro, pdb) else {"top": pack(top, suffix)}
    read = read_trajectory(pack(path, suffix), timestep=0.5 if write is mdcrd else None, **options)
    assert len(read) == len(run.times)
    np.testing.assert_allclose(read.cells[-1], run.cells[-1], atol=1e-5)
    # three decimals of nm in xtc, of Å in pdb and mdcrd
    np.testing.assert_allclose(read.positions, run.positions, atol=0.0051)


@pytest.mark.parametrize("name", ["run.gro.gz", "run.xtc.bz2", "run.pdb.xz"])
def test_compressed_files_that_break_off(tmp_path, name):
    run = true_run("orthogonal", wrapped=True, times="even")
    kind, suffix = name.split(".")[1:]
    path = tmp_path / f"run.{kind}"
    {"gro": gro, "xtc": xtc, "pdb": pdb}[kind](path, run)
    packed = pack(path, f".{suffix}")
    packed.write_bytes(packed.read_bytes()[:-40])
    with pytest.raises(ValueError, match=rf"{name}.*compressed file breaks off"):
        read_trajectory(packed, top=topology_of(SYMBOLS))


def prmtop(path, n_atoms, box, ifbox):
    """By hand after AMBER's format, with what mdtraj asks for."""
    pointers = [0] * 31
    pointers[0], pointers[11], pointers[27] = n_atoms, 1, ifbox
    sections = {
        "POINTERS": ("10I8", pointers),
        "ATOM_NAME": ("20a4", [f"{f'O{i}':4s}" for i in range(n_atoms)]),
        "ATOMIC_NUMBER": ("10I8", [8] * n_atoms),
        "CHARGE": ("5E16.8", [0.0] * n_atoms),
        "MASS": ("5E16.8", [16.0] * n_atoms),
        "RESIDUE_LABEL": ("20a4", ["MOL "]),
        "RESIDUE_POINTER": ("10I8", [1]),
        "BONDS_INC_HYDROGEN": ("10I8", []),
        "BONDS_WITHOUT_HYDROGEN": ("10I8", []),
        "BOX_DIMENSIONS": ("5E16.8", box),
    }
    text = ["%VERSION  VERSION_STAMP = V0001.000  DATE = 01/01/26  00:00:00\n"]
    for flag, (form, values) in sections.items():
        text.append(f"%FLAG {flag:74s}\n%FORMAT({form})\n")
        per_line = int(form[: form.index(form.strip("0123456789")[0])])
        cells = [
            v if isinstance(v, str) else f"{v:8d}" if "I" in form else f"{v:16.8E}" for v in values
        ]
        rows = [cells[i : i + per_line] for i in range(0, len(cells), per_line)] or [[]]
        text += ["".join(row) + "\n" for row in rows]
    path.write_text("".join(text))


@pytest.mark.parametrize("name", ["top.prmtop", "top.parm7", "top.top"])
def test_angles_of_mdcrd_are_those_of_the_prmtop(tmp_path, name):
    """A truncated octahedron is one angle there: three planes of equal distance, a√(2/3)."""
    prmtop(tmp_path / name, 3, [109.4712190, 30.0, 30.0, 30.0], 2)
    positions = np.random.default_rng(0).uniform(0, 20, (4, 3, 3)).astype("f4")
    with MDCRDTrajectoryFile(str(tmp_path / "run.mdcrd"), mode="w") as file:
        file.write(positions, cell_lengths=np.full((4, 3), 30.0, "f4"))
    read = read_trajectory(tmp_path / "run.mdcrd", top=tmp_path / name, timestep=1.0)
    cell = read.cells[0]
    cosines = [cell[i] @ cell[j] / 900 for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(cosines, -1 / 3, atol=1e-6)
    assert np.linalg.det(cell) == pytest.approx(4 / 9 * np.sqrt(3) * 30**3, rel=1e-6)


def test_mdcrd_without_angles_is_said(tmp_path):
    mdcrd(tmp_path / "run.mdcrd", true_run("orthogonal", wrapped=True, times="even"))
    top = topology_of(SYMBOLS)
    with pytest.warns(MissingCellWarning, match=r"no angles.*right angles are assumed.*--cell"):
        read = read_trajectory(tmp_path / "run.mdcrd", top=top, timestep=0.5)
    assert read.cells[0].diagonal() == pytest.approx([11, 12, 13], abs=1e-4)
    # a cell that is given leaves nothing to say
    read_trajectory(tmp_path / "run.mdcrd", top=top, timestep=0.5, cell=[11, 12, 13])


def test_restart_of_amber(tmp_path):
    run = true_run("orthogonal", wrapped=True, times="even")
    first = md.Trajectory(run.positions[:1] / 10, topology_of(SYMBOLS))
    first.unitcell_lengths, first.unitcell_angles = [[1.1, 1.2, 1.3]], [[90.0] * 3]
    first.save(str(tmp_path / "run.rst7"))
    read = read_trajectory(tmp_path / "run.rst7", top=topology_of(SYMBOLS), timestep=1.0)
    np.testing.assert_allclose(read.positions, run.positions[:1], atol=1e-5)
    np.testing.assert_allclose(read.cells[0].diagonal(), [11, 12, 13], atol=1e-5)


def ipi(path, kind, unit):
    """By hand after i-PI's documentation: cell and units in every comment."""
    cell = np.array([[20.0, 0, 0], [3.0, 21.0, 0], [1.0, 2.0, 22.0]])
    lengths = np.linalg.norm(cell, axis=1)
    angles = [
        np.degrees(np.arccos(cell[i] @ cell[j] / lengths[i] / lengths[j]))
        for i, j in ((1, 2), (0, 2), (0, 1))
    ]
    numbers = [*lengths, *angles] if kind == "abcABC" else cell.T.ravel()
    values = " ".join(f"{v:11.6f}" for v in numbers)
    units = "" if unit is None else f" positions{{{unit}}} cell{{{unit}}}"
    positions = np.random.default_rng(1).uniform(0, 20, (3, 2, 3))
    text = []
    for step, x in enumerate(positions):
        text.append(f"2\n# CELL({kind}): {values} Traj: x Step: {10 * step:8d} Bead: 0{units}\n")
        text += [f"{s:8s} {a:.6e} {b:.6e} {c:.6e}\n" for s, (a, b, c) in zip("HO", x, strict=True)]
    path.write_text("".join(text))
    return cell, positions


@pytest.mark.parametrize("kind", ["abcABC", "H"])
@pytest.mark.parametrize("unit", ["angstrom", "atomic_unit", None])
def test_cell_and_units_of_ipi(tmp_path, kind, unit):
    cell, positions = ipi(tmp_path / "run.xyz", kind, unit)
    scale = 1.0 if unit == "angstrom" else BOHR
    read = read_trajectory(tmp_path / "run.xyz", timestep=0.01)
    # abcABC has six decimals of an angle in degrees
    np.testing.assert_allclose(read.cells[0], scale * cell, atol=1e-5)
    np.testing.assert_allclose(read.positions, scale * positions, atol=1e-5)
    text = (tmp_path / "run.xyz").read_text().replace("{angstrom}", "{furlong}")
    if unit == "angstrom":
        (tmp_path / "run.xyz").write_text(text)
        with pytest.raises(ValueError, match=r"line 2: units of i-PI .*furlong"):
            read_trajectory(tmp_path / "run.xyz", timestep=0.01)


@pytest.mark.parametrize(
    "comment", ["Atoms. Timestep: {}", "MD iter: {}", "step {}", "Step = {} of a run; E: 3"]
)
@pytest.mark.filterwarnings("ignore::graphkoopman.trajectories.MissingCellWarning")
def test_steps_in_comments_of_plain_xyz(tmp_path, comment):
    """LAMMPS' dump xyz, DFTB+ and others count steps in words."""
    for steps, message in (([0, 10, 20, 30], None), ([0, 10, 20, 40], "not evenly spaced")):
        text = "".join(f"2\n{comment.format(k)}\nLi 0 0 {k / 10}\nS 1 2 3\n" for k in steps)
        (tmp_path / "run.xyz").write_text(text)
        if message is None:
            assert len(read_trajectory(tmp_path / "run.xyz", timestep=1.0)) == 4
        else:
            with pytest.raises(ValueError, match=message):
                read_trajectory(tmp_path / "run.xyz", timestep=1.0)


def test_united_atoms_of_tinker(tmp_path):
    box = "   30.000000   31.000000   32.000000   90.000000   90.000000   90.000000\n"
    atoms = "     1  CH3    1.0 2.0 {k}.0    83     2\n     2  CH2    2.0 3.0 {k}.5    86     1\n"
    text = "".join("     2  by hand\n" + box + atoms.format(k=k) for k in range(3))
    (tmp_path / "run.arc").write_text(text)
    with pytest.warns(UserWarning, match="CH2 → CH2, CH3 → CH3"):
        read = read_trajectory(tmp_path / "run.arc", timestep=1.0)
    assert labels(read.species) == ["CH3", "CH2"]
    np.testing.assert_allclose(read.positions[:, 1, 2], [0.5, 1.5, 2.5], atol=1e-5)
    np.testing.assert_allclose(read.cells[0].diagonal(), [30, 31, 32], atol=1e-5)


def test_first_cell_below_the_first_model(tmp_path):
    run = true_run("orthogonal", wrapped=True, times="even")
    pdb(tmp_path / "run.pdb", run)
    lines = (tmp_path / "run.pdb").read_text().splitlines(keepends=True)
    cryst = next(i for i, line in enumerate(lines) if line.startswith("CRYST1"))
    del lines[cryst]
    (tmp_path / "run.ent").write_text("".join(lines))
    with pytest.raises(ValueError, match=r"no CRYST1 above model 0 .* and one for others"):
        read_trajectory(tmp_path / "run.ent")


def test_gsd_has_no_unit(tmp_path):
    (tmp_path / "run.gsd").write_bytes(b"\0" * 64)
    with pytest.raises(ValueError, match=r"HOOMD's gsd names no units.*format='GSD'"):
        read_trajectory(tmp_path / "run.gsd")


def test_a_remark_that_is_no_style(tmp_path):
    text = (
        "LAMMPS data, units = real\n\n2 atoms\n1 atom types\n0 9 xlo xhi\n0 9 ylo yhi\n"
        "0 9 zlo zhi\n\nMasses\n\n1 15.999\n\nAtoms # written by hand\n\n"
        "1 1 1 0.0 1.0 2.0 3.0\n2 1 1 0.0 4.0 5.0 6.0\n"
    )
    (tmp_path / "data.run").write_text(text)
    read = read_trajectory(tmp_path / "data.run", timestep=1.0)
    assert read.positions[0].tolist() == [[1, 2, 3], [4, 5, 6]]
    (tmp_path / "data.run").write_text(text.replace("written by hand", "sphere"))
    with pytest.raises(ValueError, match="of style 'sphere'"):
        read_trajectory(tmp_path / "data.run", timestep=1.0)


def test_cartesian_positions_are_scaled_as_the_cell(tmp_path):
    text = "title\n2.0\n4 0 0\n0 4 0\n0 0 4\nLi S\n1 1\n"
    text += "Cartesian configuration= 1\n1 1 1\n2 2 2\nDirect configuration= 2\n.5 .5 .5\n0 0 0\n"
    (tmp_path / "XDATCAR").write_text(text)
    read = read_trajectory(tmp_path / "XDATCAR", timestep=1.0)
    assert read.positions[:, 0].tolist() == [[2, 2, 2], [4, 4, 4]]
    assert read.cells[0].diagonal().tolist() == [8, 8, 8]


def test_frames_that_history_announces(tmp_path):
    frame = "timestep {} 1 0 1 0.001 {}\n9 0 0\n0 9 0\n0 0 9\nLi 1 6.94 1.0\n1 1 1\n"
    text = "by hand\n0 1 1 3 99\n" + "".join(frame.format(k, k / 1000) for k in (1, 2))
    (tmp_path / "HISTORY").write_text(text)
    with pytest.raises(ValueError, match="frame 3 of the 3 that it announces"):
        read_trajectory(tmp_path / "HISTORY")
    (tmp_path / "HISTORY").write_text(text.replace("0 1 1 3 99", "0 1 1 2 99"))
    assert read_trajectory(tmp_path / "HISTORY").timestep == pytest.approx(0.001)


def outcar(path, n_steps, learned=()):
    """By hand after VASP's OUTCAR; machine-learned steps have no cycle of the electrons."""
    # VASP names every potential twice
    names = 2 * [" POTCAR:    PAW_PBE Li_sv 10Sep2004\n", " POTCAR:    PAW_PBE S 06Sep2000\n"]
    text = [*names, "   ions per type =               1   1\n"]
    text.append("   ISPIN  =      1    spin polarized calculation?\n")
    lattice = (
        "   9.0 0.0 0.0    0.1 0.0 0.0\n   0.0 9.0 0.0    0.0 0.1 0.0\n   0.0 0.0 9.0   0 0 0.1\n"
    )
    for step in range(n_steps):
        text.append(f"----- Iteration {step + 1:6d}(   1)  -----\n")
        text.append("      direct lattice vectors                 reciprocal lattice vectors\n")
        text.append(lattice)
        ml = " (ML)" if step in learned else ""
        text.append(f" POSITION                                       TOTAL-FORCE (eV/Angst){ml}\n")
        text.append(f" ----\n  {step / 10} 1 1  0 0 0\n  2 2 2  0 0 0\n ----\n")
        if step not in learned:
            text.append("  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n  -----\n")
            text.append("  free  energy   TOTEN  =       -10.0 eV\n\n")
            text.append("  energy  without entropy=  -10.0  energy(sigma->0) =  -10.0\n")
    path.write_text("".join(text))


@pytest.mark.filterwarnings("ignore:.*:UserWarning:ase")
def test_steps_of_outcar_are_counted(tmp_path):
    outcar(tmp_path / "OUTCAR", 4)
    read = read_trajectory(tmp_path / "OUTCAR", timestep=1.0)
    np.testing.assert_allclose(read.positions[:, 0, 0], [0, 0.1, 0.2, 0.3], atol=1e-6)
    outcar(tmp_path / "OUTCAR", 4, learned=(1, 2))
    with pytest.raises(ValueError, match=r"got 2 of the 4 steps in .*OUTCAR"):
        read_trajectory(tmp_path / "OUTCAR", timestep=1.0)


PQR = "ATOM      1  O   HOH     1       1.000   2.000   3.000 -0.8340 1.7683\n"
ITP = """[ moleculetype ]
WAT 3

[ atoms ]
1 OW 1 WAT OW 1 -0.8 15.9994
2 HW 1 WAT HW1 1 0.4 1.008
3 HW 1 WAT HW2 1 0.4 1.008
"""


@pytest.mark.parametrize(("name", "text", "expected"), [
    ("top.pqr", PQR, ["O"]), ("top.itp", ITP, ["O", "H", "H"]),
    ("top.top", ITP + "\n[ system ]\nwater\n\n[ molecules ]\nWAT 1\n", ["O", "H", "H"]),
])  # fmt: skip
def test_topologies_that_mdanalysis_reads(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    assert labels(load_structure(tmp_path / name).atoms.species) == expected


def test_alternate_locations_are_said(tmp_path):
    run = replace(true_run("none", wrapped=False, times="even"), names=SYMBOLS)
    pdb(tmp_path / "run.pdb", run)
    lines = (tmp_path / "run.pdb").read_text().splitlines(keepends=True)
    atom = next(i for i, line in enumerate(lines) if line.startswith("HETATM"))
    line = lines[atom]
    lines[atom : atom + 1] = [line[:16] + "A" + line[17:], line[:16] + "B" + line[17:]]
    (tmp_path / "run.pdb").write_text("".join(lines[: atom + 9]) + "ENDMDL\n")
    with pytest.warns(UserWarning, match="1 of 9 atoms in run.pdb are alternate locations"):
        read = read_trajectory(tmp_path / "run.pdb", timestep=1.0, cell="none")
    assert read.positions.shape == (1, 8, 3)


@pytest.mark.parametrize("cell", ["orthogonal", "triclinic", "rotated", "NPT"])
def test_lattice_vectors_of_h5md_as_stored(tmp_path, cell):
    """MDAnalysis makes lengths and angles of them, and turns the cell away from the positions."""
    run = true_run(cell, wrapped=True, times="even")
    h5md(tmp_path / "run.h5md", run)
    read = read_trajectory(tmp_path / "run.h5md", top=topology_of(SYMBOLS))
    np.testing.assert_allclose(read.cells, run.cells, atol=1e-5)
    np.testing.assert_allclose(read.positions, run.positions, atol=1e-5)
    assert read.timestep == pytest.approx(0.5)


def test_units_of_an_h5md_cell(tmp_path):
    run = true_run("rotated", wrapped=True, times="even")
    h5md(tmp_path / "run.h5md", run)
    with h5py.File(tmp_path / "run.h5md", "a") as file:
        edges = file["particles/trajectory/box/edges/value"]
        edges[:] = edges[:] / 10
        edges.attrs["unit"] = "nm"
    read = read_trajectory(tmp_path / "run.h5md", top=topology_of(SYMBOLS))
    np.testing.assert_allclose(read.cells, run.cells, atol=1e-5)
