"""Readers of the formats that ASE parses, on files written by hand and by ASE."""

import gzip
import sys

import ase
import ase.io
import mdtraj as md
import numpy as np
import pytest

from graphkoopman.trajectories import Trajectory, read_trajectory, resolve_targets

CELL = np.array([[9.0, 0, 0], [2.0, 8.0, 0], [-1.0, 3.0, 7.0]])
SPECIES = np.array([3, 16, 8, 1, 1, 3, 17, 15, 14, 79, 11, 3])


@pytest.fixture
def run():
    positions = np.random.default_rng(0).uniform(0, 7, size=(10, 12, 3))
    return Trajectory(positions, CELL, SPECIES, timestep=0.5)


@pytest.fixture
def top(run, tmp_path):
    path = tmp_path / "top.pdb"
    run.to_mdtraj()[0].save(str(path))
    return path


def frames_of(run, pbc=True):
    cell = None if run.cell is None else CELL
    return [ase.Atoms(SPECIES, positions=p, cell=cell, pbc=pbc) for p in run.positions]


@pytest.mark.parametrize("name", ["run.extxyz", "run.xyz", "run.extxyz.gz"])
def test_extended_xyz(run, tmp_path, name):
    ase.io.write(tmp_path / name, frames_of(run), format="extxyz")
    read = read_trajectory(tmp_path / name, timestep=0.5, chunk=3, stride=2)
    np.testing.assert_allclose(read.positions, run.positions[::2], atol=2e-6)
    np.testing.assert_allclose(read.cell, CELL, atol=1e-8)
    np.testing.assert_array_equal(read.species, SPECIES)
    assert read.timestep == 1.0


def test_ase_without_periodicity_or_with_a_part_of_it(run, tmp_path):
    path = tmp_path / "run.xyz"
    ase.io.write(path, frames_of(run, pbc=False), format="extxyz")
    assert read_trajectory(path, timestep=1.0).cell is None
    ase.io.write(path, frames_of(run, pbc=[True, True, False]), format="extxyz")
    with pytest.raises(ValueError, match=r"all directions or none, got pbc=\[True, True, False\]"):
        read_trajectory(path, timestep=1.0)
    ase.io.write(path, frames_of(run)[:4] + frames_of(run, pbc=False)[4:], format="extxyz")
    for chunk in (4, 1000):
        with pytest.raises(ValueError, match="periodic throughout or not at all"):
            read_trajectory(path, timestep=1.0, chunk=chunk)


@pytest.mark.parametrize("suffix", ["extxyz", "xyz.gz"])
def test_xyz_with_more_atoms_than_lines(tmp_path, suffix):
    """ASE would read a billion lines beyond the end of the file."""
    path = tmp_path / f"run.{suffix}"
    text = "2\n\nH 0 0 0\nH 0 0 1\n" + "1000000000\n\nH 0 0 0\n"
    with (gzip.open if suffix.endswith("gz") else open)(path, "wt") as file:
        file.write(text)
    with pytest.raises(ValueError, match="damaged or truncated after frame 1"):
        read_trajectory(path, timestep=1.0)


def test_ase_frames_of_other_atoms(run, tmp_path):
    path = tmp_path / "run.extxyz"
    frames = frames_of(run)
    ase.io.write(path, [*frames[:3], frames[3][:7]], format="extxyz")
    with pytest.raises(ValueError, match="got 7 atoms in frame 3"):
        read_trajectory(path, timestep=1.0)
    frames[5].numbers = frames[5].numbers[::-1]
    ase.io.write(path, frames, format="extxyz")
    with pytest.raises(ValueError, match="other elements in frame 5"):
        read_trajectory(path, timestep=1.0, chunk=4)


def test_ase_top(run, top, tmp_path):
    path = tmp_path / "run.extxyz"
    ase.io.write(path, frames_of(run), format="extxyz")
    read = read_trajectory(path, top, 1.0)
    assert isinstance(read.topology, md.Topology)
    with pytest.raises(ValueError, match=r"top must describe the atoms of .*got 5 atoms"):
        read_trajectory(path, read.topology.subset(range(5)), 1.0)


def test_ase_formats_ask_for_the_timestep_before_reading(tmp_path):
    path = tmp_path / "XDATCAR"
    path.write_text("not read yet")
    with pytest.raises(ValueError, match=r"XDATCAR: it carries no time; pass timestep="):
        read_trajectory(path)


def test_ase_missing(run, tmp_path, monkeypatch):
    path = tmp_path / "run.extxyz"
    ase.io.write(path, frames_of(run), format="extxyz")
    monkeypatch.setitem(sys.modules, "ase.io", None)
    with pytest.raises(ImportError, match=r'pip install "ase>='):
        read_trajectory(path, timestep=1.0)


XDATCAR = """Li S
2.0
4.5 0.0 0.0
1.0 4.0 0.0
0.0 0.0 5.0
Li S
1 2
Direct configuration=     1
0.0 0.0 0.0
0.5 0.5 0.25
0.1 0.2 0.3
Direct configuration=     2
0.5 0.0 0.0
0.5 0.5 0.25
-0.1 0.2 1.3
"""


@pytest.mark.parametrize("name", ["XDATCAR", "run_XDATCAR.gz", "run.xdatcar"])
def test_xdatcar_by_hand(tmp_path, name):
    opener = gzip.open if name.endswith("gz") else open
    with opener(tmp_path / name, "wt") as file:
        file.write(XDATCAR)
    read = read_trajectory(tmp_path / name, timestep=0.1)
    np.testing.assert_array_equal(read.species, [3, 16, 16])
    np.testing.assert_allclose(read.cell, [[9, 0, 0], [2, 8, 0], [0, 0, 10]])
    np.testing.assert_allclose(
        read.positions,
        [[[0, 0, 0], [5.5, 4, 2.5], [1.3, 1.6, 3]], [[4.5, 0, 0], [5.5, 4, 2.5], [-0.5, 1.6, 13]]],
        atol=1e-6,
    )


def test_xdatcar_truncated(tmp_path):
    path = tmp_path / "XDATCAR"
    path.write_text(XDATCAR[:-20])
    with pytest.raises(ValueError, match="damaged or truncated"):
        read_trajectory(path, timestep=0.1)
    zipped = tmp_path / "XDATCAR.gz"
    zipped.write_bytes(gzip.compress((XDATCAR * 200).encode())[:-30])
    with pytest.raises(ValueError, match="damaged or truncated"):
        read_trajectory(zipped, timestep=0.1)


def dump(columns, rows, boundary="pp pp pp"):
    # tilted box with its origin at (1, 2, 3): lengths 9, 8, 7; tilts 2, -1, 3
    return f"""ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
3
ITEM: BOX BOUNDS xy xz yz {boundary}
0.0 12.0 2.0
2.0 13.0 -1.0
3.0 10.0 3.0
ITEM: ATOMS {columns}
{rows}
"""


POSITIONS = np.array([[1.5, 2.5, 3.5], [4.0, 6.0, 5.0], [7.0, 4.0, 9.0]])
UNSCALED = "2 2 S 4.0 6.0 5.0\n1 1 Li 1.5 2.5 3.5\n3 1 Li 7.0 4.0 9.0"


def scaled_rows():
    scaled = (POSITIONS - [1, 2, 3]) @ np.linalg.inv(CELL)
    order = [(2, "2 S"), (1, "1 Li"), (3, "1 Li")]
    return "\n".join(f"{i} {kind} {' '.join(map(str, scaled[i - 1]))}" for i, kind in order)


def small_topology():
    return Trajectory(POSITIONS[None], CELL, [3, 16, 3], timestep=1).to_mdtraj().topology


@pytest.mark.parametrize("name", ["run.dump", "dump.lammpstrj", "run.dump.gz"])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("with_top", [False, True])
def test_lammps_dump_by_hand(tmp_path, name, scaled, with_top):
    columns = "id type element " + ("xs ys zs" if scaled else "x y z")
    opener = gzip.open if name.endswith("gz") else open
    with opener(tmp_path / name, "wt") as file:
        file.write(dump(columns, scaled_rows() if scaled else UNSCALED) * 2)
    read = read_trajectory(tmp_path / name, small_topology() if with_top else None, 0.1)
    np.testing.assert_array_equal(read.species, [3, 16, 3])
    np.testing.assert_allclose(read.cell, CELL, atol=1e-5)
    # the origin of the box is arbitrary under periodic boundaries
    np.testing.assert_allclose(
        read.positions - read.positions[:, :1], [POSITIONS - POSITIONS[0]] * 2, atol=1e-5
    )


def test_lammps_dump_without_elements(tmp_path):
    path = tmp_path / "run.dump"
    path.write_text(dump("id type x y z", "1 1 1.5 2.5 3.5\n2 2 4 6 5\n3 1 7 4 9"))
    with pytest.raises(ValueError, match=r"top must be given .*atom types but no elements"):
        read_trajectory(path, timestep=1.0)
    read = read_trajectory(path, small_topology(), 1.0)
    np.testing.assert_array_equal(read.species, [3, 16, 3])


@pytest.mark.parametrize("suffix", ["dump", "lammpstrj"])
def test_lammps_walls(tmp_path, suffix):
    path = tmp_path / f"run.{suffix}"
    path.write_text(dump("id type element x y z", UNSCALED, boundary="pp pp ff"))
    with pytest.raises(ValueError, match=r"pbc=\[True, True, False\]"):
        read_trajectory(path, small_topology(), 1.0)
    path.write_text(dump("id type element x y z", UNSCALED, boundary="ff ss ff"))
    assert read_trajectory(path, small_topology(), 1.0).cell is None


def test_lammps_dump_truncated(tmp_path):
    path = tmp_path / "run.dump"
    frame = dump("id type element x y z", UNSCALED)
    path.write_text(frame + frame[:-22])
    with pytest.raises(ValueError, match="truncated"):
        read_trajectory(path, timestep=1.0)


def test_argyrodite(shared_data):
    path = shared_data / "argyrodite" / "Li6PS5Cl_0p_run1.XDATCAR.gz"
    read = read_trajectory(path, timestep=0.1, targets="element Li")
    assert read.positions.shape == (140, 416, 3)
    np.testing.assert_allclose(read.cell, np.eye(3) * 20.3123, atol=3e-4)
    assert dict(zip(*np.unique(read.species, return_counts=True), strict=True)) == {
        3: 192, 15: 32, 16: 160, 17: 32,
    }  # fmt: skip
    first = np.array([0.10084535, 0.22061097, 0.35040701]) @ read.cell
    np.testing.assert_allclose(read.positions[0, 0], first, atol=1e-5)
    assert resolve_targets(None, read).n_targets == 192
