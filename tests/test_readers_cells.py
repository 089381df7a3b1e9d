"""Cells as they are stored, in the orientation of the positions, of every frame."""

from dataclasses import replace

import ase
import mdtraj as md
import numpy as np
import pytest
from ase.geometry import get_distances
from mdtraj.formats import XTCTrajectoryFile

from benchmarks._reader_files import dcd, dump_text, gro, mdcrd, pdb, trr, xtc
from benchmarks.readers import FCC, SYMBOLS, TRICLINIC, topology_of, true_run
from graphkoopman import read_trajectory
from graphkoopman.neighbors import k_nearest

TOP = topology_of(SYMBOLS)
OCTAHEDRON = ase.Atoms(cell=[21.0, 21.0, 21.0, *[109.4712206] * 3]).cell.array
# bcc, right-handed, not lower triangular
BCC = 6.0 * np.array([[-1.0, 1, 1], [1, -1, 1], [1, 1, -1]])


def in_cell(cell, scale=None):
    run = true_run("orthogonal", True, "even")
    fractions = run.positions @ np.linalg.inv(run.cells[0])
    scale = np.ones(len(run.times)) if scale is None else scale
    cells = cell * scale[:, None, None]
    return replace(run, positions=fractions @ cells, cells=cells)


@pytest.mark.parametrize("write", [xtc, trr, gro])
@pytest.mark.parametrize("cell", [BCC, FCC, TRICLINIC[[1, 2, 0]], TRICLINIC])
def test_nine_numbers_as_stored(tmp_path, write, cell):
    path = tmp_path / f"run.{write.__name__}"
    run = in_cell(cell, np.linspace(1, 1.1, 6))
    write(path, run)
    read = read_trajectory(path, None if write is gro else TOP)
    np.testing.assert_allclose(read.cells, run.cells, atol=2e-6)
    for k in (0, 5):
        # xtc keeps 0.01 Å
        true = k_nearest(run.positions[k], run.cells[k], 5)[1]
        np.testing.assert_allclose(
            k_nearest(read.positions[k], read.cells[k], 5)[1], true, atol=0.02
        )


NEARLY_ORTHOGONAL = np.array([[20.0, 0.5, -0.3], [0.5, 21, 0.1], [-0.3, 0.1, 22]])


@pytest.mark.parametrize(
    "cell", [OCTAHEDRON, FCC, BCC, np.diag([20.0, 21, 22]), TRICLINIC, NEARLY_ORTHOGONAL]
)
def test_shape_matrix_of_charmm(tmp_path, cell):
    run = in_cell(cell, np.linspace(1, 1.02, 6)).symmetric()
    dcd(tmp_path / "run.dcd", run, shape_matrix=True)
    read = read_trajectory(tmp_path / "run.dcd", TOP)
    np.testing.assert_allclose(read.cells, run.cells, atol=1e-9)
    np.testing.assert_allclose(read.cells, np.swapaxes(read.cells, 1, 2))


@pytest.mark.parametrize("cell", [OCTAHEDRON, TRICLINIC, np.diag([20.0, 21, 22])])
@pytest.mark.parametrize("degrees", [True, False])
def test_angles_in_dcd(tmp_path, cell, degrees):
    run = in_cell(cell).standard()
    dcd(tmp_path / "run.dcd", run)
    if degrees:
        lengths_angles = ase.Atoms(cell=cell).cell.cellpar()
        old = np.array([*lengths_angles[:3], *np.cos(np.deg2rad(lengths_angles[3:]))])
        content = (tmp_path / "run.dcd").read_bytes()
        a, b, c, alpha, beta, gamma = lengths_angles
        now = np.array([a, gamma, b, beta, alpha, c])
        old = [old[0], old[5], old[1], old[4], old[3], old[2]]
        old = np.where(np.abs(old) < 1e-15, 0.0, old)
        assert old.tobytes() in content
        (tmp_path / "run.dcd").write_bytes(content.replace(old.tobytes(), now.tobytes()))
    read = read_trajectory(tmp_path / "run.dcd", TOP)
    np.testing.assert_allclose(read.cell, run.cells[0], atol=1e-9)


def test_dcd_cell_of_no_convention(tmp_path):
    run = in_cell(np.diag([20.0, 21, 22]))
    dcd(tmp_path / "run.dcd", run)
    content = (tmp_path / "run.dcd").read_bytes()
    old = np.array([20.0, 0, 21, 0, 0, 22])
    assert old.tobytes() in content
    wrong = np.array([20.0, 300, 21, 300, -300, 22])
    (tmp_path / "run.dcd").write_bytes(content.replace(old.tobytes(), wrong.tobytes()))
    with pytest.raises(ValueError, match=r"cells of a known convention, got \[20.0, 300.0"):
        read_trajectory(tmp_path / "run.dcd", TOP)


def test_truncated_octahedron_of_mdcrd(tmp_path):
    """The file has three lengths; the angles are the topology's."""
    run = in_cell(OCTAHEDRON, np.linspace(1, 1.05, 6))
    mdcrd(tmp_path / "run.mdcrd", run)
    top = md.Trajectory(run.positions[:1] / 10, TOP)
    top.unitcell_lengths, top.unitcell_angles = [[2.1] * 3], [[109.4712206] * 3]
    top.save(str(tmp_path / "top.pdb"))
    for given in (top, tmp_path / "top.pdb"):
        read = read_trajectory(tmp_path / "run.mdcrd", given, timestep=0.5)
        volumes = np.linalg.det(read.cells)
        # the volume of a truncated octahedron is 4 √3 / 9 of the cube; CRYST1 has 0.01 degrees
        np.testing.assert_allclose(
            volumes, 4 * 3**0.5 / 9 * (21 * np.linspace(1, 1.05, 6)) ** 3, rtol=1e-3
        )


def test_cryst1_of_every_model(tmp_path):
    run = in_cell(TRICLINIC, np.array([1, 1.01, 1.02, 0.99, 1.0, 1.1])).standard()
    pdb(tmp_path / "run.pdb", run)
    read = read_trajectory(tmp_path / "run.pdb", chunk=4)
    np.testing.assert_allclose(read.cells, run.cells, atol=3e-3)
    # a model without a record of its own has that of the model before
    lines = (tmp_path / "run.pdb").read_text().splitlines(keepends=True)
    where = [i for i, line in enumerate(lines) if line.startswith("CRYST1")]
    text = "".join(line for i, line in enumerate(lines) if i not in where[1:])
    (tmp_path / "one.pdb").write_text(text)
    np.testing.assert_allclose(read_trajectory(tmp_path / "one.pdb").cell, run.cells[0], atol=3e-3)


def tilted(cell, origin):
    """Bounds of a tilted box after LAMMPS' documentation."""
    xy, xz, yz = cell[1, 0], cell[2, 0], cell[2, 1]
    high = origin + np.diag(cell)
    x = (origin[0] + min(0, xy, xz, xy + xz), high[0] + max(0, xy, xz, xy + xz), xy)
    y = (origin[1] + min(0, yz), high[1] + max(0, yz), xz)
    rows = (x, y, (origin[2], high[2], yz))
    return "ITEM: BOX BOUNDS xy xz yz pp pp pp\n" + "".join(
        f"{a:.10f} {b:.10f} {c:.10f}\n" for a, b, c in rows
    )


@pytest.mark.parametrize(
    "columns",
    ["xu yu zu", "xsu ysu zsu", "x y z ix iy iz", "xs ys zs ix iy iz", "xs ys zs xu yu zu"],
)
@pytest.mark.parametrize("general", [False, True])
def test_unwrapped_columns_of_lammps(tmp_path, columns, general):
    """Every way to say where an unwrapped atom is, in tilted and in general boxes."""
    cell, origin = (BCC, np.zeros(3)) if general else (TRICLINIC, np.array([3.0, -7.0, 11.0]))
    true = in_cell(cell).positions + origin + np.array([1, -2, 3]) @ cell
    scaled = (true - origin) @ np.linalg.inv(cell)
    images = np.floor(scaled).astype(int)
    wrapped = {"x y z": true - images @ cell, "xs ys zs": scaled - images}
    text = dump_text(in_cell(cell))
    lines = []
    for frame, part in enumerate(text.split("ITEM: TIMESTEP\n")[1:]):
        head, atoms = part.split("ITEM: ATOMS id type element x y z\n")
        if not general:
            head = head[: head.index("ITEM: BOX")] + tilted(cell, origin)
        lines.append(f"ITEM: TIMESTEP\n{head}ITEM: ATOMS id type element {columns}\n")
        for line in atoms.splitlines():
            words = line.split()[:3]
            i = int(words[0]) - 1
            for group in (columns[k : k + n] for k, n in _groups(columns)):
                if group == "ix iy iz":
                    words += [str(v) for v in images[frame, i]]
                else:
                    values = {"xu yu zu": true, "xsu ysu zsu": scaled} | wrapped
                    words += [f"{v:.9f}" for v in values[group][frame, i]]
            lines.append(" ".join(words) + "\n")
    (tmp_path / "run.dump").write_text("".join(lines))
    read = read_trajectory(tmp_path / "run.dump", timestep=0.5)
    np.testing.assert_allclose(read.positions, true, atol=1e-5)
    np.testing.assert_allclose(read.cell, cell, atol=1e-8)
    assert read.unwrapped


def _groups(columns):
    words = columns.split(" ")
    for start in range(0, len(words), 3):
        group = " ".join(words[start : start + 3])
        yield columns.index(group), len(group)


@pytest.mark.parametrize(
    ("units", "angstrom"),
    [
        ("nano", 10.0),
        ("electron", 0.529177210903),
        ("si", 1e10),
        ("cgs", 1e8),
        ("micro", 1e4),
        ("real", 1.0),
    ],
)
def test_units_of_lammps(tmp_path, units, angstrom):
    run = in_cell(TRICLINIC)
    inner = replace(run, positions=run.positions / angstrom, cells=run.cells / angstrom)
    (tmp_path / "run.dump").write_text(dump_text(inner, units=units))
    read = read_trajectory(tmp_path / "run.dump", timestep=0.5)
    np.testing.assert_allclose(read.cell, TRICLINIC, atol=1e-8)
    np.testing.assert_allclose(read.positions, run.positions, atol=1e-5)


def test_lj_units_are_refused(tmp_path):
    (tmp_path / "run.dump").write_text(dump_text(in_cell(TRICLINIC), units="lj"))
    with pytest.raises(ValueError, match="units lj, which have no scale"):
        read_trajectory(tmp_path / "run.dump", timestep=0.5)


def test_far_from_the_origin(tmp_path):
    """2 km along x: single precision would lose 1e-3 Å."""
    run = in_cell(TRICLINIC)
    far = replace(run, positions=run.positions + np.array([2e4, 0, 0]), unwrapped=True)
    (tmp_path / "run.dump").write_text(dump_text(far, "xu yu zu"))
    read = read_trajectory(tmp_path / "run.dump", timestep=0.5)
    assert read.positions.dtype == np.float64
    np.testing.assert_allclose(
        np.diff(read.positions, axis=0), np.diff(run.positions, axis=0), atol=3e-7
    )


def test_distances_by_ase(tmp_path):
    run = in_cell(BCC)
    with XTCTrajectoryFile(str(tmp_path / "run.xtc"), "w") as file:
        file.write(
            (run.positions / 10).astype("f4"),
            time=run.times.astype("f4"),
            step=np.arange(6),
            box=(run.cells / 10).astype("f4"),
        )
    read = read_trajectory(tmp_path / "run.xtc", TOP)
    for k in range(6):
        true = get_distances(run.positions[k], cell=BCC, pbc=True)[1]
        found = get_distances(read.positions[k].astype(float), cell=read.cells[k], pbc=True)[1]
        np.testing.assert_allclose(found, true, atol=0.02)
