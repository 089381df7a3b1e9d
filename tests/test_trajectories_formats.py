"""File formats of ASE and MDAnalysis by ``format=``, HISTORY, LAMMPS data, and topologies."""

import warnings

import ase.io
import MDAnalysis
import mdtraj as md
import numpy as np
import pytest
from ase import Atoms

from graphkoopman.trajectories import Trajectory, molecules, read_trajectory

CELL = np.array([[9.0, 0, 0], [1.0, 10.0, 0], [0.5, 1.0, 11.0]])
SYMBOLS = ["Li", "S", "O", "H", "H", "Li"]
NUMBERS = [3, 16, 8, 1, 1, 3]
MASSES = {"Li": 6.94, "S": 32.06, "O": 15.999, "H": 1.008}


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 9, (1, 6, 3))
    path = start + np.cumsum(rng.normal(0, 0.1, (5, 6, 3)), axis=0)
    return [Atoms(SYMBOLS, positions=x, cell=CELL, pbc=True) for x in path]


def write_history(path, images, level=0, shuffle=True, step=100, with_time=True):
    rng = np.random.default_rng(1)
    with path.open("w") as file:
        file.write(f"lithium\n{level:10d}{3:10d}{6:10d}\n")
        for k, atoms in enumerate(images):
            time = f"{k * step * 0.001:12.6f}" if with_time else ""
            file.write(f"timestep {k * step:9d}{6:10d}{level:10d}{3:10d}{0.001:12.6f}{time}\n")
            for row in atoms.cell.array:
                file.write("".join(f"{value:20.10f}" for value in row) + "\n")
            for i in rng.permutation(6) if shuffle else range(6):
                symbol = SYMBOLS[i]
                file.write(f"{symbol + '_x':8s}{i + 1:10d}{MASSES[symbol]:12.6f}{0:12.6f}\n")
                for row in [atoms.positions[i]] + [[0.1, 0.2, 0.3]] * level:
                    file.write("".join(f"{value:20.10f}" for value in row) + "\n")
    return path


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("with_time", [True, False])
def test_history(tmp_path, images, level, with_time):
    path = write_history(tmp_path / "HISTORY", images, level, with_time=with_time)
    run = read_trajectory(path, chunk=2)
    np.testing.assert_allclose(run.positions, [a.positions for a in images], atol=1e-6)
    np.testing.assert_allclose(run.cell, CELL)
    np.testing.assert_array_equal(run.species, NUMBERS)
    assert run.timestep == pytest.approx(0.1)
    with pytest.raises(ValueError, match="timestep must agree with the times"):
        read_trajectory(path, timestep=1.0)


def test_damaged_history(tmp_path, images):
    path = write_history(tmp_path / "HISTORY", images)
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match=r"after frame 2: .*the lines of the atoms"):
        read_trajectory(path)
    late = text.replace("    0.300000\n", "    0.350000\n")
    assert late != text
    path.write_text(late)
    with pytest.raises(ValueError, match="evenly"):
        read_trajectory(path, timestep=0.1)
    path.write_text(text.replace("         3         6", "         6         6", 1))
    with pytest.raises(ValueError, match="got a slab"):
        read_trajectory(path)
    path.write_text("x\n")
    with pytest.raises(ValueError, match="level, boundaries and number of atoms"):
        read_trajectory(path)


DATA = """LAMMPS data file via write_data, units = real

6 atoms
4 atom types
2 bonds
1 bond types

0.0 9.0 xlo xhi
0.0 10.0 ylo yhi
0.0 11.0 zlo zhi
1.0 0.5 1.0 xy xz yz

Masses

1 6.94
2 32.06 # S
3 15.9994
4 1.008

Atoms # full

6 0 1 1.0 {5} 0 0 0
1 0 1 1.0 {0} 0 0 0
2 0 2 -2.0 {1} 0 0 0
4 7 4 0.4 {3} 0 0 0
3 7 3 -0.8 {2} 0 0 0
5 7 4 0.4 {4} 0 0 0

Bonds

1 1 3 4
2 1 3 5
"""


def lammps_data(path, images, text=DATA):
    rows = [" ".join(f"{value:.6f}" for value in x) for x in images[0].positions]
    path.write_text(text.format(*rows))
    return path


def test_lammps_data_as_a_topology(tmp_path, images):
    data = lammps_data(tmp_path / "data.start", images)
    one = read_trajectory(data, timestep=1.0)
    np.testing.assert_allclose(one.positions[0], images[0].positions, atol=1e-5)
    np.testing.assert_allclose(one.cell, CELL)
    path = tmp_path / "run.dump"
    with path.open("w") as file:
        for k, atoms in enumerate(images):
            file.write(f"ITEM: TIMESTEP\n{k}\nITEM: NUMBER OF ATOMS\n6\n")
            file.write("ITEM: BOX BOUNDS xy xz yz pp pp pp\n0 10.5 1\n0 11 0.5\n0 11 1\n")
            file.write("ITEM: ATOMS id type x y z\n")
            for i, x in enumerate(atoms.positions):
                kind = {"Li": 1, "S": 2, "O": 3, "H": 4}[SYMBOLS[i]]
                file.write(f"{i + 1} {kind} {x[0]:.6f} {x[1]:.6f} {x[2]:.6f}\n")
    run = read_trajectory(path, data, 0.5)
    np.testing.assert_array_equal(run.species, NUMBERS)
    np.testing.assert_allclose(run.positions[3], images[3].positions, atol=1e-5)
    assert [sorted(m) for m in molecules(run.topology, "element O H")] == [[2, 3, 4]]


def test_lammps_data_of_other_styles_and_units(tmp_path, images):
    plain = "\n".join(
        [*DATA.split("Atoms")[0].replace("real", "nano").splitlines(), "Atoms", ""]
        + [f"{i + 1} {t} {{{i}}}" for i, t in enumerate((1, 2, 3, 4, 4, 1))]
    )
    run = read_trajectory(lammps_data(tmp_path / "a.data", images, plain), timestep=1.0)
    np.testing.assert_allclose(run.positions[0], 10 * images[0].positions, atol=1e-4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("real", "lj", "units 'lj'"),
        ("# full", "# hybrid", "style 'hybrid'"),
        ("6 atoms", "7 atoms", "7 atoms are announced, and 6 there"),
        ("0.0 9.0 xlo xhi", "", "no box"),
    ],
)
def test_lammps_data_that_is_not_read(tmp_path, images, old, new, message):
    path = lammps_data(tmp_path / "b.data", images, DATA.replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_trajectory(path, timestep=1.0)


def test_damaged_lammps_data_as_a_topology(tmp_path, images):
    ase.io.write(tmp_path / "run.xyz", images)
    data = lammps_data(tmp_path / "a.data", images, DATA.replace("2 1 3 5", "2 1 3 9"))
    with pytest.raises(ValueError, match="top must be a readable topology file"):
        read_trajectory(tmp_path / "run.xyz", data, 0.5)


def test_masses_that_are_no_elements_are_not_taken_for_the_nearest(tmp_path, images):
    text = DATA.replace("1 6.94\n", "1 9.5\n")
    with pytest.raises(ValueError, match=r"elements=\{"):
        read_trajectory(lammps_data(tmp_path / "a.data", images, text), timestep=1.0)
    run = read_trajectory(
        tmp_path / "a.data", timestep=1.0, elements={"1": "Li", "S": "S", "3": "O", "4": "H"}
    )
    np.testing.assert_array_equal(run.species, NUMBERS)


@pytest.mark.parametrize("name", ["POSCAR", "CONTCAR_1", "start.vasp", "box.cif", "box.data"])
def test_topologies_of_a_dump_without_elements(tmp_path, images, name):
    options = {"format": "lammps-data", "masses": True} if name == "box.data" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # ASE leaves the file open
        form = "vasp" if name != "box.cif" else "cif"
        ase.io.write(tmp_path / name, images[0], **({"format": form} | options))
    ase.io.write(tmp_path / "run.xyz", images)
    run = read_trajectory(tmp_path / "run.xyz", tmp_path / name, 0.5)
    np.testing.assert_array_equal(run.species, NUMBERS)


@pytest.mark.parametrize("name", ["gen", "xsf", "cfg"])
def test_formats_in_ases_spelling(tmp_path, images, name):
    many = name == "xsf"
    ase.io.write(tmp_path / "run.abc", images if many else images[0], format=name)
    run = read_trajectory(tmp_path / "run.abc", timestep=0.5, format=name)
    assert len(run) == (5 if many else 1)
    difference = (run.positions[0] - images[0].positions) @ np.linalg.inv(CELL)
    np.testing.assert_allclose(difference - np.rint(difference), 0, atol=1e-5)
    assert sorted(run.species) == sorted(NUMBERS)
    assert run.source.format == name


@pytest.mark.filterwarnings("ignore:::MDAnalysis", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["TRZ", "NCDF"])
def test_formats_of_mdanalysis(tmp_path, images, name):
    run = Trajectory([a.positions for a in images], np.diag([9.0, 10, 11]), NUMBERS, timestep=0.5)
    run.to_mdtraj()[0].save(str(tmp_path / "top.pdb"))
    path = tmp_path / ("run.trz" if name == "TRZ" else "run.abc")
    if name == "NCDF":
        run.to_mdtraj().save(str(tmp_path / "run.nc"))
        (tmp_path / "run.nc").rename(path)
    else:
        made = MDAnalysis.Universe(tmp_path / "top.pdb")
        made.load_new(run.positions.astype(np.float32), dt=0.5)
        with MDAnalysis.Writer(str(path), n_atoms=6) as writer:
            for _ in made.trajectory:
                made.dimensions = [9, 10, 11, 90, 90, 90]
                writer.write(made.atoms)
    read = read_trajectory(path, tmp_path / "top.pdb", format=name, chunk=2)
    np.testing.assert_allclose(read.positions, run.positions, atol=1e-3)
    np.testing.assert_allclose(read.cell, run.cell, atol=1e-3)
    assert read.timestep == pytest.approx(0.5)


def test_unknown_and_wrong_formats(tmp_path, images):
    ase.io.write(tmp_path / "run.xyz", images)
    with pytest.raises(ValueError, match="a format of ASE or MDAnalysis in their spelling"):
        read_trajectory(tmp_path / "run.xyz", timestep=1.0, format="nonsense")
    with pytest.raises(ValueError, match=r"readable vasp file.*--format"):
        read_trajectory(tmp_path / "run.xyz", timestep=1.0, format="vasp")
    (tmp_path / "OUTCAR").write_text("x\n")
    with pytest.raises(ValueError, match="readable vasp-out file"):
        read_trajectory(tmp_path / "OUTCAR", timestep=1.0)


def test_names_that_only_contain_the_name_of_a_format(tmp_path, images):
    run = Trajectory([a.positions for a in images], CELL, NUMBERS, timestep=0.5)
    for name in ("md_history.xtc", "data.xtc", "my_poscar.xtc"):
        run.to_mdtraj().save(str(tmp_path / name))
        assert read_trajectory(tmp_path / name, run.to_mdtraj()).source.format == "xtc"
    assert isinstance(run.to_mdtraj(), md.Trajectory)
