"""Readers on small files of every kind, and on damaged ones."""

import numpy as np
import pytest

from graphkoopman.trajectories import (
    MissingCellWarning,
    Trajectory,
    load_gdynet_npz,
    read_trajectory,
    resolve_targets,
)

CELL = np.array([[9.0, 0, 0], [2.0, 8.0, 0], [-1.0, 3.0, 7.0]])
SPECIES = np.array([3, 16, 8, 1, 1, 3, 17, 15, 14, 79, 11, 3])
N_FRAMES = 10
# some parsers of mdtraj leave a file open when they fail
leaves_files_open = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def run():
    positions = np.random.default_rng(0).uniform(0, 7, size=(N_FRAMES, 12, 3))
    return Trajectory(positions, CELL, SPECIES, timestep=0.5)


@pytest.fixture
def top(run, tmp_path):
    path = tmp_path / "top.pdb"
    run.to_mdtraj()[0].save(str(path))
    return path


def save(run, path):
    run.to_mdtraj().save(str(path))
    return path


# positions are stored to 0.01 Å in xtc, pdb and gro, in single precision elsewhere
TIMED = {"xtc": 6e-3, "trr": 2e-6}
UNTIMED = {"dcd": 2e-6, "lammpstrj": 6e-4, "pdb": 6e-4}


@pytest.mark.parametrize("suffix", TIMED | UNTIMED)
@pytest.mark.parametrize("chunk", [3, 1000])
def test_mdtraj_formats(run, top, tmp_path, suffix, chunk):
    path = save(run, tmp_path / f"run.{suffix}")
    timestep = 0.5 if suffix in UNTIMED else None
    read = read_trajectory(path, top, timestep, chunk=chunk, targets="element Li")
    np.testing.assert_allclose(read.positions, run.positions, atol=(TIMED | UNTIMED)[suffix])
    assert read.positions.dtype == np.float32
    np.testing.assert_allclose(read.cell, CELL, atol=1e-2 if suffix == "pdb" else 1e-4)
    np.testing.assert_array_equal(read.species, SPECIES)
    assert (read.timestep, read.targets) == (0.5, "element Li")
    assert resolve_targets(None, read).n_targets == 3


def test_gro(run, tmp_path):
    read = read_trajectory(save(run, tmp_path / "run.gro"))
    np.testing.assert_allclose(read.positions, run.positions, atol=6e-3)
    assert read.timestep == 0.5


# mdtraj reads netCDF by scipy unless the netCDF4 package is there, and says so
@pytest.mark.filterwarnings("ignore:.*netCDF4.*:UserWarning")
def test_netcdf(run, top, tmp_path):
    read = read_trajectory(save(run, tmp_path / "run.nc"), top)
    np.testing.assert_allclose(read.positions, run.positions, atol=2e-6)
    assert read.timestep == 0.5


@pytest.mark.parametrize("stride", [2, 3, 7])
@pytest.mark.parametrize("suffix", ["xtc", "dcd"])
def test_stride_crosses_chunks(run, top, tmp_path, suffix, stride):
    path = save(run, tmp_path / f"run.{suffix}")
    read = read_trajectory(path, top, 0.5, stride=stride, chunk=4)
    np.testing.assert_allclose(read.positions, run.positions[::stride], atol=6e-3)
    assert read.timestep == 0.5 * stride


def test_stride_multiplies_the_time_of_the_file(run, top, tmp_path):
    path = save(run, tmp_path / "run.xtc")
    assert read_trajectory(path, top, stride=4).timestep == 2.0
    assert read_trajectory(path, top, timestep=0.5, stride=3).timestep == 1.5


def test_timestep_that_contradicts_the_file(run, top, tmp_path):
    path = save(run, tmp_path / "run.xtc")
    with pytest.raises(ValueError, match=r"got 0.1 ps for frames that are 0.5 ps apart"):
        read_trajectory(path, top, timestep=0.1)
    assert read_trajectory(path, top, timestep=0.1, ignore_times=True).timestep == 0.1
    with pytest.raises(ValueError, match="timestep must be given with ignore_times=True"):
        read_trajectory(path, top, ignore_times=True)


@pytest.mark.parametrize("suffix", UNTIMED)
def test_formats_without_time_ask_for_it(run, top, tmp_path, suffix):
    path = save(run, tmp_path / f"run.{suffix}")
    with pytest.raises(ValueError, match=rf"{suffix}: it carries no time; pass timestep="):
        read_trajectory(path, top)


def test_single_frame(run, top, tmp_path):
    path = save(run[:1], tmp_path / "one.xtc")
    with pytest.raises(ValueError, match="holds a single frame; pass timestep="):
        read_trajectory(path, top)
    assert len(read_trajectory(path, top, 1.0)) == 1


def test_cells_that_change(run, top, tmp_path):
    cells = CELL * np.linspace(1, 1.1, N_FRAMES)[:, None, None]
    breathing = Trajectory(run.positions, cells, SPECIES, timestep=0.5)
    read = read_trajectory(save(breathing, tmp_path / "run.trr"), top, chunk=4)
    np.testing.assert_allclose(read.cell, cells, atol=1e-5)


@pytest.mark.parametrize("suffix", ["xtc", "trr", "dcd"])
def test_cell_where_the_file_has_none(run, top, tmp_path, suffix):
    free = Trajectory(run.positions, None, SPECIES, timestep=0.5)
    path = save(free, tmp_path / f"run.{suffix}")
    from_top = read_trajectory(path, top, 0.5)
    np.testing.assert_allclose(from_top.cell, read_trajectory(top, timestep=0.5).cell)
    assert from_top.source.cell == "topology"
    with pytest.warns(MissingCellWarning, match=r"not periodic; give the cell with cell= \(--cell"):
        bare = read_trajectory(path, run.to_mdtraj().topology, 0.5)
    assert bare.cell is None
    assert bare.source.cell == "none"
    free = read_trajectory(path, top, 0.5, cell="none")
    assert free.cell is None
    given = read_trajectory(path, run.to_mdtraj().topology, 0.5, cell=[11, 12, 13])
    np.testing.assert_array_equal(given.cell, np.diag([11.0, 12.0, 13.0]))
    assert given.source.cell == "cell="


def test_missing_files_and_topologies(run, top, tmp_path):
    path = save(run, tmp_path / "run.xtc")
    with pytest.raises(FileNotFoundError, match=r"path must be an existing file, got .*gone.xtc"):
        read_trajectory(tmp_path / "gone.xtc", top)
    with pytest.raises(FileNotFoundError, match=r"top must be an existing file, got .*gone.pdb"):
        read_trajectory(path, tmp_path / "gone.pdb")
    with pytest.raises(ValueError, match=r"top must be given for .*run.xtc"):
        read_trajectory(path)
    with pytest.raises(ValueError, match="top must be a readable topology file"):
        read_trajectory(path, path)
    with pytest.raises(TypeError, match="top must be a file"):
        read_trajectory(path, 3)
    with pytest.raises(ValueError, match=r"known by its name, got run.abc"):
        read_trajectory(path.rename(tmp_path / "run.abc"), top)


def test_top_may_be_an_mdtraj_object(run, tmp_path):
    path = save(run, tmp_path / "run.xtc")
    for top in (run.to_mdtraj(), run.to_mdtraj().topology):
        np.testing.assert_array_equal(read_trajectory(path, top).species, SPECIES)


@pytest.mark.parametrize("suffix", ["xtc", "dcd", "pdb"])
def test_top_of_another_system(run, tmp_path, suffix):
    path = save(run, tmp_path / f"run.{suffix}")
    smaller = run.to_mdtraj().topology.subset(range(5))
    with pytest.raises(ValueError, match=r"top must describe the atoms of .*got 5 atoms"):
        read_trajectory(path, smaller, 1.0)


@leaves_files_open
@pytest.mark.parametrize("suffix", ["xtc", "trr", "dcd", "lammpstrj", "pdb", "gro"])
@pytest.mark.parametrize("cut", [0.515, 0.52, 0.55, 0.97])
def test_truncated_files(run, top, tmp_path, suffix, cut):
    path = save(run, tmp_path / f"run.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)])
    with pytest.raises(ValueError, match="path must be"):
        read_trajectory(path, top, 0.5)


@pytest.mark.parametrize("suffix", ["xtc", "trr", "dcd"])
def test_last_byte_missing(run, top, tmp_path, suffix):
    path = save(run, tmp_path / f"run.{suffix}")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="truncated"):
        read_trajectory(path, top, 0.5)


@leaves_files_open
@pytest.mark.parametrize(
    "suffix", ["xtc", "trr", "dcd", "lammpstrj", "pdb", "gro", "extxyz", "npz"]
)
@pytest.mark.parametrize("content", [b"", b"\x00", bytes(range(256)) * 9, b"not a trajectory\n"])
def test_foreign_files(top, tmp_path, suffix, content):
    path = tmp_path / f"run.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="path must"):
        read_trajectory(path, top, 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride must be an integer >= 1"),
        ({"chunk": 0}, "chunk must be an integer >= 1"),
        ({"timestep": -1.0}, "timestep must be > 0"),
    ],
)
def test_bad_options(run, top, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        read_trajectory(save(run, tmp_path / "run.xtc"), top, **options)


def gdynet_arrays(run, **changes):
    arrays = {
        "traj_coords": run.positions,
        "lattices": run.cells,
        "atom_types": SPECIES,
        "target_index": np.array([0, 5]),
    } | changes
    return {name: array for name, array in arrays.items() if array is not None}


def test_gdynet_npz(run, tmp_path):
    path = tmp_path / "run.npz"
    np.savez(path, **gdynet_arrays(run, time_ps=np.arange(N_FRAMES) * 2))
    read = load_gdynet_npz(path)
    np.testing.assert_array_equal(read.positions, run.positions)
    np.testing.assert_array_equal(read.cell, CELL)
    assert read.timestep == 2.0
    assert resolve_targets(None, read).n_targets == 2
    thinned = read_trajectory(path, timestep=2.0, stride=3, targets=[[0, 1], [2, 3]])
    assert (thinned.timestep, len(thinned)) == (6.0, 4)
    assert thinned.positions.dtype == np.float64
    with pytest.raises(ValueError, match="frames that are 2 ps apart"):
        load_gdynet_npz(path, 0.5)
    assert resolve_targets(None, thinned).n_targets == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "carries no time; pass timestep="),
        ({"lattices": None, "target_index": None}, "without lattices, target_index"),
        ({"atom_types": np.array([object()])}, "plain arrays"),
        ({"time_ps": np.arange(3) * 1.0}, "time_ps must hold one time per frame"),
        ({"lattices": np.array([CELL] * 3), "time_ps": np.arange(10.0)}, "one matrix per frame"),
    ],
)
def test_bad_gdynet_npz(run, tmp_path, changes, message):
    path = tmp_path / "run.npz"
    np.savez(path, **gdynet_arrays(run, **changes))
    with pytest.raises(ValueError, match=message):
        load_gdynet_npz(path)


def test_damaged_npz(run, tmp_path):
    path = tmp_path / "run.npz"
    np.savez_compressed(path, **gdynet_arrays(run))
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:-100])
    with pytest.raises(ValueError, match="damaged or foreign"):
        load_gdynet_npz(path, 1.0)
    content[200:300] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged or foreign"):
        load_gdynet_npz(path, 1.0)
    with pytest.raises(FileNotFoundError, match="existing file"):
        load_gdynet_npz(tmp_path / "gone.npz")


def test_electrolyte_in_both_layouts(shared_data):
    folder = shared_data / "md"
    plain = load_gdynet_npz(folder / "peo_litfsi.npz")
    packed = read_trajectory(folder / "peo_litfsi.xtc", folder / "peo_litfsi.pdb")
    assert plain.timestep == packed.timestep == 1.0
    np.testing.assert_array_equal(plain.species, packed.species)
    # xtc rounds to 0.01 Å, npz to 0.001 Å
    assert np.abs(plain.positions - packed.positions).max() < 0.0056
    np.testing.assert_allclose(plain.cell, packed.cell, atol=1e-4)
    np.testing.assert_array_equal(
        resolve_targets(None, plain).atoms, resolve_targets("element Li", packed).atoms
    )


def test_water(shared_data):
    folder = shared_data / "md"
    # the file counts frames in ps; they are 0.04 ps apart
    water = read_trajectory(
        folder / "water.xtc", folder / "water.pdb", 0.04, stride=100, targets="water",
        ignore_times=True,
    )  # fmt: skip
    assert water.positions.shape == (30, 648, 3)
    assert water.timestep == 4.0
    assert resolve_targets(None, water).n_targets == 648
