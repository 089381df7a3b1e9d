"""The cell of a run: every spelling, the topology's in place of a missing one, and what is said."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.cell import Cell
from ase.io import write

from graphkoopman.trajectories import (
    MissingCellWarning,
    OtherCellWarning,
    Trajectory,
    read_trajectory,
    unwrap,
)
from graphkoopman.trajectories._cells import as_cell

TRICLINIC = [9.0, 10.0, 11.0, 80.0, 95.0, 105.0]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ([23.3, 23.3, 23.3], np.diag([23.3] * 3)),
        ("23.3 23.3 23.3", np.diag([23.3] * 3)),
        ("8,9,10", np.diag([8.0, 9.0, 10.0])),
        (TRICLINIC, Cell.fromcellpar(TRICLINIC).array),
        ("9 10 11 80 95 105", Cell.fromcellpar(TRICLINIC).array),
        ([8, 9, 10, 90, 90, 90], np.diag([8.0, 9.0, 10.0])),
        ([[0, 9, 0], [0, 0, 9], [9, 0, 0]], np.array([[0, 9, 0], [0, 0, 9], [9, 0, 0]])),
        ("9 0 0 1 9 0 2 3 9", np.array([[9, 0, 0], [1, 9, 0], [2, 3, 9]])),
        ("none", None),
    ],
)
def test_spellings_of_a_cell(cell, expected):
    found = as_cell(cell)
    if expected is None:
        assert found is None
        return
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    "cell",
    [10.0, [10, 10], "ten", "10 10", [10, 10, -10], [10] * 6 + [90], [9, 9, 9, 100, 10, 10], {}],
)
def test_what_is_no_cell(cell):
    with pytest.raises(ValueError, match="cell must be three lengths in Å"):
        as_cell(cell)


def test_cells_that_span_nothing():
    with pytest.raises(ValueError, match="cell must be right-handed"):
        as_cell([[0, 9, 0], [9, 0, 0], [0, 0, 9]])
    with pytest.raises(ValueError, match="cell must be three lengths"):
        as_cell([9, 9, 9, 120, 120, 120])  # in one plane


def frames(n_frames=5, cell=None, seed=0):
    rng = np.random.default_rng(seed)
    positions = rng.uniform(0, 9, (1, 6, 3)) + np.cumsum(rng.normal(0, 0.2, (n_frames, 6, 3)), 0)
    return [Atoms("Li3S3", positions=x, cell=cell, pbc=cell is not None) for x in positions]


def plain_xyz(path, images):
    """As CP2K, GROMACS and VMD write it, without a word on the cell."""
    with path.open("w") as file:
        for atoms in images:
            file.write(f"{len(atoms)}\nframe\n")
            for symbol, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True):
                file.write(f"{symbol} {x:.6f} {y:.6f} {z:.6f}\n")
    return path


@pytest.mark.parametrize("name", ["POSCAR", "box.cif", "box.xyz", "box.pdb", "box.gro"])
def test_cell_of_any_topology(tmp_path, name):
    cell = Cell.fromcellpar([12, 13, 14, 90, 90, 100])
    one = frames(1, cell)[0]
    if name == "box.gro":
        one = Atoms(one.symbols, one.positions, cell=cell, pbc=True)
        write(tmp_path / name, one, format="gromacs")
    else:
        write(tmp_path / name, one)
    path = plain_xyz(tmp_path / "run.xyz", frames())
    with warnings.catch_warnings():
        # names of elements in gro files are guesses
        warnings.filterwarnings("ignore", "elements of")
        run = read_trajectory(path, tmp_path / name, timestep=0.5)
    # angles of cif and pdb files have few digits
    np.testing.assert_allclose(run.cell, cell.array, atol=2e-3)
    assert run.source.cell == "topology"


def test_the_files_own_cell_comes_first(tmp_path):
    write(tmp_path / "run.xyz", frames(cell=[10, 10, 10]))
    write(tmp_path / "POSCAR", frames(1, [12, 12, 12])[0])
    run = read_trajectory(tmp_path / "run.xyz", tmp_path / "POSCAR", 0.5)
    np.testing.assert_array_equal(run.cell, 10 * np.eye(3))
    assert run.source.cell == "file"
    with pytest.warns(OtherCellWarning, match=r"\[12\.0, 12\.0, 12\.0\] in place of \[10"):
        run = read_trajectory(tmp_path / "run.xyz", timestep=0.5, cell=[12, 12, 12])
    np.testing.assert_array_equal(run.cell, 12 * np.eye(3))
    # 1 % is within the digits of files
    read_trajectory(tmp_path / "run.xyz", timestep=0.5, cell=[10.01, 10, 10])
    assert read_trajectory(tmp_path / "run.xyz", timestep=0.5, cell="none").cell is None


def test_no_cell_anywhere(tmp_path):
    path = plain_xyz(tmp_path / "run.xyz", frames())
    with pytest.warns(MissingCellWarning, match=r"read as not periodic; give the cell with cell="):
        assert read_trajectory(path, timestep=0.5).cell is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_trajectory(path, timestep=0.5, cell="none")
        write(tmp_path / "free.xyz", frames())  # pbc="F F F" says it
        assert read_trajectory(tmp_path / "free.xyz", timestep=0.5).cell is None


def test_frames_with_and_without_a_cell(tmp_path):
    write(tmp_path / "run.xyz", frames(3, [10, 10, 10]) + frames(2))
    with pytest.raises(ValueError, match="frames must be periodic throughout or not at all"):
        read_trajectory(tmp_path / "run.xyz", timestep=0.5, chunk=2)


@pytest.mark.parametrize("stride", [3, 40])
@pytest.mark.parametrize("chunk", [7, 1000])
@pytest.mark.parametrize("skip", [0, 1, 50])
def test_atoms_are_followed_through_frames_that_are_not_kept(tmp_path, stride, chunk, skip):
    rng = np.random.default_rng(0)
    path = np.cumsum(rng.normal(0, 0.6, (400, 10, 3)), axis=0)
    run = Trajectory(path % 10.0, 10 * np.eye(3), [3] * 10, timestep=0.1).to_mdtraj()
    run.save(str(tmp_path / "run.dcd"))
    run[0].save(str(tmp_path / "top.pdb"))
    read = read_trajectory(
        tmp_path / "run.dcd",
        tmp_path / "top.pdb",
        0.1,
        stride=stride,
        chunk=chunk,
        skip=skip,
    )
    expected = path[skip::stride]
    assert len(read) == len(expected)
    moved = unwrap(read)
    # single precision of coordinates and cell, over some hundred steps
    np.testing.assert_allclose(moved - moved[0], expected - expected[0], atol=1e-4)
    kept = np.abs(read.positions - (path % 10.0)[skip::stride])
    np.testing.assert_allclose(np.minimum(kept, 10 - kept), 0, atol=1e-5)
    assert read.source.n_after == (400 - skip - 1) % stride


def test_skip_must_leave_a_frame(tmp_path):
    path = plain_xyz(tmp_path / "run.xyz", frames())
    assert len(read_trajectory(path, timestep=0.5, cell="none", skip=4)) == 1
    with pytest.raises(ValueError, match="skip must be < the 5 frames"):
        read_trajectory(path, timestep=0.5, cell="none", skip=5)
    with pytest.raises(ValueError, match="skip must be an integer >= 0, got -1"):
        read_trajectory(path, timestep=0.5, cell="none", skip=-1)


def test_unwrapped_columns_of_a_dump(tmp_path):
    path = tmp_path / "run.dump"
    x = 5 + np.cumsum(np.random.default_rng(0).normal(0, 4, (50, 3, 3)), axis=0)
    with path.open("w") as file:
        for k, frame in enumerate(x):
            file.write(
                f"ITEM: TIMESTEP\n{k}\nITEM: NUMBER OF ATOMS\n3\nITEM: BOX BOUNDS pp pp pp\n"
            )
            file.write("0 10\n" * 3 + "ITEM: ATOMS id element xu yu zu\n")
            file.writelines(
                f"{i + 1} Li {a:.6f} {b:.6f} {c:.6f}\n" for i, (a, b, c) in enumerate(frame)
            )
    run = read_trajectory(path, timestep=1.0)
    assert run.unwrapped
    np.testing.assert_allclose(unwrap(run), x, atol=1e-5)
    np.testing.assert_allclose(
        unwrap(read_trajectory(path, timestep=1.0, stride=7)), x[::7], atol=1e-5
    )


def test_positions_that_the_user_says_are_unwrapped(tmp_path):
    rng = np.random.default_rng(0)
    path = np.cumsum(rng.normal(0, 3.0, (60, 10, 3)), axis=0)
    run = Trajectory(path, 10 * np.eye(3), [3] * 10, timestep=0.1).to_mdtraj()
    run.save(str(tmp_path / "run.dcd"))
    for stride in (1, 5):
        read = read_trajectory(tmp_path / "run.dcd", run, 0.1, stride=stride, unwrapped=True)
        np.testing.assert_allclose(unwrap(read), path[::stride], atol=1e-4)
