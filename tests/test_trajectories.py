"""The container: conversion, slices, validation."""

import pickle

import mdtraj as md
import numpy as np
import pytest

from graphkoopman.trajectories import Trajectory, as_trajectories, height_limit

CELL = np.array([[9.0, 0, 0], [2.0, 8.0, 0], [-1.0, 3.0, 7.0]])


def make(n_frames=6, n_atoms=4, cell=CELL, timestep=0.5, **kwargs):
    rng = np.random.default_rng(0)
    species = np.resize([3, 16, 8, 1], n_atoms)
    return Trajectory(
        rng.normal(size=(n_frames, n_atoms, 3)), cell, species, timestep=timestep, **kwargs
    )


def test_attributes_and_keywords():
    positions = np.zeros((5, 2, 3), dtype=np.float32)
    trajectory = Trajectory(positions=positions, cell=CELL, species=[3, 16], timestep=1)
    assert (len(trajectory), trajectory.n_frames, trajectory.n_atoms) == (5, 5, 2)
    assert trajectory.positions.dtype == np.float32
    assert np.shares_memory(trajectory.positions, positions)
    assert trajectory.cell.shape == (3, 3)
    assert trajectory.cells.shape == (5, 3, 3)
    assert isinstance(trajectory.timestep, float)
    assert "n_frames=5" in repr(trajectory)
    assert Trajectory(positions.astype(int), None, [3, 16], timestep=1).positions.dtype == float


def test_immutable():
    original = np.zeros((5, 2, 3))
    trajectory = Trajectory(original, CELL, [3, 16], timestep=1.0)
    with pytest.raises(AttributeError):
        trajectory.timestep = 2.0
    for array in (trajectory.positions, trajectory.cell, trajectory.cells, trajectory.species):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    original[0] = 1.0  # the caller's own array stays writable
    restored = pickle.loads(pickle.dumps(trajectory))
    assert not restored.positions.flags.writeable
    np.testing.assert_array_equal(restored.positions, trajectory.positions)


def test_contiguous_slice_is_a_view_with_a_memory():
    trajectory = make(parent="run", start=10, cell=np.repeat(CELL[None], 6, axis=0))
    piece = trajectory[2:5]
    assert (piece.parent, piece.start, len(piece), len(piece.cell)) == ("run", 12, 3, 3)
    assert np.shares_memory(piece.positions, trajectory.positions)
    assert piece[1:].start == 13
    assert trajectory[-2:].start == 14


def test_strided_slice_forgets_its_parent():
    thinned = make(parent="run", start=10)[1::2]
    assert (thinned.parent, thinned.start, thinned.timestep) == (None, 0, 1.0)
    assert len(thinned) == 3


@pytest.mark.parametrize("index", [slice(3, 3), slice(None, None, -1), slice(10, 20)])
def test_slices_that_are_no_run_are_refused(index):
    with pytest.raises(ValueError, match="must run forward and hold at least one frame"):
        make()[index]


def test_integer_index_and_iteration_are_refused():
    with pytest.raises(TypeError, match=r"use trajectory\[i:i \+ 1\]"):
        make()[0]
    with pytest.raises(TypeError, match="indexed with slices"):
        list(make())


def replaced(array, index, value):
    array = np.array(array, dtype=float)
    array[index] = value
    return array


GOOD = {"positions": np.ones((4, 2, 3)), "cell": CELL, "species": [3, 16], "timestep": 1.0}
LEFT_HANDED = CELL[[1, 0, 2]]
FLAT = replaced(CELL, 2, CELL[0] + CELL[1])


@pytest.mark.parametrize(
    ("argument", "value", "error", "message"),
    [
        (
            "positions",
            replaced(GOOD["positions"], (2, 1, 0), np.nan),
            ValueError,
            "frame 2, atom 1",
        ),
        (
            "positions",
            replaced(GOOD["positions"], (3, 0, 2), np.inf),
            ValueError,
            "frame 3, atom 0",
        ),
        ("positions", np.ones((4, 3)), ValueError, r"shape \(n_frames, n_atoms, 3\), got \(4, 3\)"),
        ("positions", np.ones((0, 2, 3)), ValueError, "at least one frame"),
        ("positions", np.ones((4, 0, 3)), ValueError, "at least one frame and one atom"),
        ("positions", np.ones((4, 2, 3), dtype=complex), TypeError, "complex128"),
        ("positions", "run.xtc", TypeError, "positions must be real"),
        ("cell", np.ones(3), ValueError, r"np.diag\(lengths\)"),
        ("cell", np.array([CELL] * 3), ValueError, r"one matrix per frame \(4 frames\), got 3"),
        ("cell", FLAT, ValueError, "singular cell"),
        ("cell", np.zeros((3, 3)), ValueError, "cell=None"),
        ("cell", np.array([CELL, CELL, FLAT, CELL]), ValueError, "singular cell of frame 2"),
        ("cell", np.array([CELL, LEFT_HANDED, CELL, CELL]), ValueError, "right-handed.*frame 1"),
        ("cell", -CELL, ValueError, "right-handed"),
        ("cell", replaced(CELL, (0, 0), np.nan), ValueError, "cell must be finite"),
        ("cell", "cubic", TypeError, "cell must be real numbers"),
        ("species", [3, 0], ValueError, "got 0 for atom 1"),
        ("species", [3, 117], ValueError, "got 117 for atom 1"),
        ("species", [3], ValueError, r"one atomic number per atom, shape \(2,\), got \(1,\)"),
        ("species", ["Li", "S"], TypeError, "integer atomic numbers"),
        ("timestep", 0.0, ValueError, "timestep must be > 0"),
        ("timestep", -1, ValueError, "timestep must be > 0"),
        ("timestep", np.nan, ValueError, "timestep must be > 0"),
        ("timestep", "1 ps", TypeError, "timestep must be a number"),
        ("timestep", None, TypeError, "got NoneType"),
        ("start", -1, ValueError, "start must be an integer >= 0"),
        ("parent", 3, TypeError, "parent must be a str"),
        ("topology", md.Topology(), ValueError, "the 2 atoms of positions, got 0"),
        ("topology", "box.pdb", TypeError, "mdtraj.load_topology"),
    ],
)
def test_bad_input(argument, value, error, message):
    with pytest.raises(error, match=message):
        Trajectory(**(GOOD | {argument: value}))


def test_mdtraj_round_trip_keeps_distances_and_orientation():
    trajectory = make(topology=None, cell=np.array([CELL * (1 + 0.01 * i) for i in range(6)]))
    back = Trajectory.from_mdtraj(trajectory.to_mdtraj())
    # single precision of a 10 Å box
    np.testing.assert_allclose(back.positions, trajectory.positions, atol=1e-5)
    np.testing.assert_allclose(back.cell, trajectory.cell, atol=1e-5)
    np.testing.assert_array_equal(back.species, trajectory.species)
    assert back.timestep == 0.5


def test_to_mdtraj_rotates_cells_that_mdtraj_cannot_hold():
    angle = 0.7
    rotation = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )[[2, 0, 1]]
    trajectory = make()
    turned = Trajectory(
        trajectory.positions @ rotation, CELL @ rotation, trajectory.species, timestep=0.5
    )
    converted = turned.to_mdtraj()
    np.testing.assert_allclose(converted.unitcell_vectors[0] * 10, CELL, atol=1e-5)
    np.testing.assert_allclose(converted.xyz * 10, trajectory.positions, atol=1e-5)


def test_mdtraj_placeholder_times_need_a_timestep():
    topology = make().to_mdtraj().topology
    numbered = md.Trajectory(np.zeros((3, 4, 3)), topology)
    with pytest.raises(ValueError, match=r"carries no time; pass timestep="):
        as_trajectories([numbered])
    trajectory = Trajectory.from_mdtraj(numbered, timestep=2.0, targets="element Li")
    assert (trajectory.timestep, trajectory.targets, trajectory.cell) == (2.0, "element Li", None)


def test_mdtraj_times_must_be_even():
    converted = make().to_mdtraj()
    with pytest.raises(ValueError, match="single frame"):
        as_trajectories(converted[0])
    converted.time[4:] += 1.0
    with pytest.raises(ValueError, match=r"frames 3 and 4 are at 1\.5 and 3 ps"):
        as_trajectories(converted)
    converted.time[:] = 0.0
    with pytest.raises(ValueError, match="not evenly spaced"):
        as_trajectories(converted)


def test_single_precision_times_of_a_long_run():
    converted = make(n_frames=2000).to_mdtraj()
    converted.time = (1e5 + 0.1 * np.arange(2000)).astype(np.float32)
    # single precision resolves 0.008 ps here
    assert as_trajectories(converted)[0].timestep == pytest.approx(0.1, rel=1e-4)


def test_virtual_sites_are_refused():
    topology = make().to_mdtraj().topology
    topology.add_atom("M", md.element.virtual_site, topology.residue(0))
    with pytest.raises(ValueError, match="got none for atom"):
        Trajectory.from_mdtraj(md.Trajectory(np.zeros((2, 5, 3)), topology), timestep=1.0)


def test_as_trajectories():
    trajectory = make()
    assert as_trajectories(trajectory) == [trajectory]
    many = as_trajectories((trajectory, trajectory.to_mdtraj()))
    assert [type(item) for item in many] == [Trajectory, Trajectory]
    with pytest.raises(TypeError, match=r"got str; load files with read_trajectory"):
        as_trajectories("run.xtc")
    with pytest.raises(TypeError, match="got ndarray"):
        as_trajectories([np.zeros((2, 2, 3))])
    with pytest.raises(ValueError, match="empty list"):
        as_trajectories([])


def test_height_limit_is_half_the_smallest_height():
    # volume over the area of each face
    areas = [np.linalg.norm(np.cross(CELL[i - 1], CELL[i - 2])) for i in range(3)]
    half = 0.5 * np.linalg.det(CELL) / max(areas)
    assert height_limit(make()) == pytest.approx(half)
    assert height_limit(make(cell=None)) == np.inf
    cells = CELL * np.array([1.0, 0.5, 2.0])[:, None, None]
    breathing = make(n_frames=3, cell=cells)
    assert height_limit(breathing) == pytest.approx(0.5 * half)
    assert height_limit(breathing, slice(2, 3)) == pytest.approx(2 * half)
