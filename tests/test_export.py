"""States for other programs, read back by ASE, mdtraj and our own readers."""

import gzip
import json

import ase.io
import mdtraj as md
import numpy as np
import pytest
from mdtraj.formats.pdb.pdbstructure import PdbStructure
from structure_systems import CELLS, TRICLINIC, gas, random_probs

from graphkoopman import read_trajectory
from graphkoopman.export import write_states
from graphkoopman.trajectories import Trajectory

LI, S = 3, 16
MOLECULES = [[0, 1], [4, 5]]


@pytest.fixture(params=["orthorhombic", "triclinic"])
def system(request):
    trajectory = gas(CELLS[request.param], 4, [LI] * 6 + [S] * 9, seed=1)
    return trajectory, random_probs(4, 2, 3, seed=2)


def expected_columns(probs, frame):
    """Target, state and probabilities of all 15 atoms."""
    target = np.full(15, -1)
    target[MOLECULES[0]], target[MOLECULES[1]] = 0, 1
    table = np.vstack([probs[frame], np.zeros((1, 3))])[target]
    return target, np.where(target >= 0, table.argmax(axis=1), -1), table


def test_extended_xyz_is_exact_in_ase(tmp_path, system):
    trajectory, probs = system
    write_states(tmp_path / "states.xyz", trajectory, probs, MOLECULES)
    frames = ase.io.read(tmp_path / "states.xyz", index=":")
    assert len(frames) == 4
    for number, atoms in enumerate(frames):
        target, state, table = expected_columns(probs, number)
        np.testing.assert_array_equal(atoms.positions, trajectory.positions[number])
        np.testing.assert_array_equal(atoms.cell.array, trajectory.cells[number])
        np.testing.assert_array_equal(atoms.numbers, trajectory.species)
        np.testing.assert_array_equal(atoms.arrays["target"], target)
        np.testing.assert_array_equal(atoms.arrays["state"], state)
        np.testing.assert_allclose(atoms.arrays["probability"], table, rtol=1e-8)
        assert atoms.info["time"] == number
        assert atoms.pbc.all()


def test_dumps_are_exact_in_ase_where_lammps_has_the_same_axes(tmp_path):
    cell = np.array([[11.0, 0, 0], [2.0, 12.0, 0], [-1.5, 3.0, 13.0]])
    trajectory = gas(cell, 3, [LI] * 6 + [S] * 9, seed=1)
    probs = random_probs(3, 2, 3, seed=2)
    write_states(tmp_path / "states.lammpstrj", trajectory, probs, MOLECULES)
    frames = ase.io.read(tmp_path / "states.lammpstrj", index=":", format="lammps-dump-text")
    for number, atoms in enumerate(frames):
        target, state, table = expected_columns(probs, number)
        np.testing.assert_array_equal(atoms.positions, trajectory.positions[number])
        # bounds of a tilted box are sums of its edges
        np.testing.assert_allclose(atoms.cell.array, cell, rtol=1e-14)
        np.testing.assert_array_equal(atoms.numbers, trajectory.species)
        np.testing.assert_array_equal(atoms.arrays["i_target"].ravel(), target)
        np.testing.assert_array_equal(atoms.arrays["i_state"].ravel(), state)
        for k in range(3):
            found = atoms.arrays[f"d_probability_{k}"].ravel()
            np.testing.assert_allclose(found, table[:, k], rtol=1e-8)
    ours = read_trajectory(tmp_path / "states.lammpstrj", timestep=1.0)
    # our reader holds single precision
    np.testing.assert_array_equal(ours.positions, trajectory.positions.astype(np.float32))


def test_dumps_of_turned_cells_keep_all_distances(tmp_path):
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    straight = gas(TRICLINIC, 2, [LI] * 6 + [S] * 9, seed=1)
    turned = Trajectory(
        straight.positions @ rotation, TRICLINIC @ rotation, straight.species, timestep=1.0
    )
    write_states(tmp_path / "states.dump", turned, random_probs(2, 2, 2), MOLECULES)
    atoms = ase.io.read(tmp_path / "states.dump", index="0", format="lammps-dump-text")
    oracle = ase.Atoms(
        numbers=straight.species, positions=straight.positions[0], cell=TRICLINIC, pbc=True
    )
    np.testing.assert_allclose(
        atoms.get_all_distances(mic=True), oracle.get_all_distances(mic=True), rtol=1e-9, atol=1e-9
    )


def test_pdb_has_states_as_b_factors_and_probabilities_as_occupancies(tmp_path, system):
    trajectory, probs = system
    path = tmp_path / "states.pdb"
    write_states(path, trajectory, probs, MOLECULES)
    standard = trajectory.to_mdtraj()
    loaded = md.load(str(path))
    # three digits in the file, nm in single precision in mdtraj
    np.testing.assert_allclose(loaded.xyz, standard.xyz, atol=6e-5)
    np.testing.assert_allclose(loaded.unitcell_lengths[0], standard.unitcell_lengths[0], atol=6e-5)
    assert [a.element.number for a in loaded.topology.atoms] == trajectory.species.tolist()
    with path.open() as file:
        structure = PdbStructure(file)
    for number, model in enumerate(structure.iter_models()):
        _, state, table = expected_columns(probs, number)
        atoms = list(model.iter_atoms())
        assert [a.temperature_factor for a in atoms] == state.tolist()
        np.testing.assert_allclose([a.occupancy for a in atoms], table.max(axis=1), atol=0.0051)


def test_pdb_keeps_the_topology(tmp_path):
    trajectory = gas(TRICLINIC, 1, [LI, 17, 17], seed=0)
    topology = trajectory.to_mdtraj().topology
    for atom, name in zip(topology.atoms, ("LI1", "CL1", "CL23"), strict=True):
        atom.name, atom.residue.name = name, "SAL"
    named = Trajectory(
        trajectory.positions, TRICLINIC, trajectory.species, timestep=1.0, topology=topology
    )
    write_states(tmp_path / "a.pdb", named, np.ones((1, 1, 1)), [0])
    loaded = md.load(str(tmp_path / "a.pdb"))
    assert [a.name for a in loaded.topology.atoms] == ["LI1", "CL1", "CL23"]
    assert {a.residue.name for a in loaded.topology.atoms} == {"SAL"}


def test_chemiscope_dataset(tmp_path, system):
    trajectory, probs = system
    write_states(tmp_path / "states.json.gz", trajectory, probs, MOLECULES)
    with gzip.open(tmp_path / "states.json.gz", "rt") as file:
        data = json.load(file)
    assert len(data["structures"]) == 4
    np.testing.assert_allclose(data["structures"][1]["x"], trajectory.positions[1, :, 0], atol=1e-4)
    assert [e["center"] for e in data["environments"]] == [0, 4] * 4
    assert [e["structure"] for e in data["environments"]] == np.repeat(range(4), 2).tolist()
    values = {name: entry["values"] for name, entry in data["properties"].items()}
    assert values["state"] == probs.argmax(axis=2).ravel().tolist()
    assert values["time"] == np.repeat(np.arange(4.0), 2).tolist()
    for k in range(3):
        np.testing.assert_allclose(values[f"probability {k}"], probs[..., k].ravel(), rtol=1e-12)


def test_chemiscope_itself_writes_the_same(tmp_path, system):
    import chemiscope

    trajectory, probs = system
    write_states(tmp_path / "states.json", trajectory, probs, MOLECULES)
    write_states(tmp_path / "states.xyz", trajectory, probs, MOLECULES)
    ours = json.loads((tmp_path / "states.json").read_text())
    values = {name: entry["values"] for name, entry in ours["properties"].items()}
    theirs = chemiscope.create_input(
        ase.io.read(tmp_path / "states.xyz", index=":"),
        metadata={"name": "states"},
        properties={
            name: {"target": "atom", "values": np.array(column)} for name, column in values.items()
        },
        environments=[(e["structure"], e["center"], 4.0) for e in ours["environments"]],
    )
    assert ours["environments"] == theirs["environments"]
    for mine, other in zip(ours["structures"], theirs["structures"], strict=True):
        assert mine["names"] == other["names"]
        for key in ("x", "y", "z", "cell"):
            np.testing.assert_allclose(mine[key], other[key], atol=1e-4)
    for name, entry in ours["properties"].items():
        assert entry["target"] == theirs["properties"][name]["target"]
        np.testing.assert_allclose(entry["values"], theirs["properties"][name]["values"])
    write_states(tmp_path / "states.html", trajectory, probs, MOLECULES)
    page = (tmp_path / "states.html").read_text()
    assert "DefaultVisualizer.load" in page
    assert len(page) > 2_000_000  # chemiscope's script is inside


def test_several_runs_follow_one_another(tmp_path):
    runs = [gas(TRICLINIC, n, [LI] * 2 + [S] * n, seed=n) for n in (3, 5)]
    probs = [random_probs(n, 2, 2, seed=n) for n in (3, 5)]
    write_states(tmp_path / "all.extxyz", runs, probs, "element Li")
    frames = ase.io.read(tmp_path / "all.extxyz", index=":")
    assert [len(atoms) for atoms in frames] == [5] * 3 + [7] * 5
    assert [atoms.info["trajectory"] for atoms in frames] == [0] * 3 + [1] * 5
    with pytest.raises(ValueError, match="must hold the same atoms"):
        write_states(tmp_path / "all.pdb", runs, probs, "element Li")


def test_single_precision_survives(tmp_path):
    positions = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32) * 30
    trajectory = Trajectory(positions, None, [LI] * 3, timestep=0.5)
    write_states(tmp_path / "a.xyz", trajectory, np.ones((2, 3, 1)), [0, 1, 2])
    frames = ase.io.read(tmp_path / "a.xyz", index=":")
    np.testing.assert_array_equal([a.positions.astype(np.float32) for a in frames], positions)
    assert not frames[0].pbc.any()
    assert [a.info["time"] for a in frames] == [0.0, 0.5]


def test_memory_does_not_grow_with_the_length(tmp_path):
    import tracemalloc

    peaks = []
    for n_frames in (20, 200):
        trajectory = gas(TRICLINIC, n_frames, [LI] * 300, seed=1)
        probs = random_probs(n_frames, 300, 2)
        tracemalloc.start()
        write_states(tmp_path / "a.lammpstrj", trajectory, probs, "element Li")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # ten times the frames
    assert peaks[1] < 1.2 * peaks[0]


def test_wrong_input_leaves_an_earlier_file_alone(tmp_path, system):
    trajectory, probs = system
    path = tmp_path / "states.xyz"
    path.write_text("earlier")
    for arguments, words in (
        ((trajectory, probs[:2], MOLECULES), "must have shape"),
        ((trajectory, 2.0 * probs, MOLECULES), "sum to one"),
    ):
        with pytest.raises(ValueError, match=words):
            write_states(path, *arguments)
    with pytest.raises(ValueError, match="path must end with"):
        write_states(tmp_path / "states.foo", trajectory, probs, MOLECULES)
    with pytest.raises(ValueError, match="format must be one of"):
        write_states(path, trajectory, probs, MOLECULES, format="xtc")
    assert path.read_text() == "earlier"
    far = Trajectory(np.full((1, 1, 3), 2e4), None, [LI], timestep=1.0)
    with pytest.raises(ValueError, match="positions must be within"):
        write_states(tmp_path / "far.pdb", far, np.ones((1, 1, 1)), [0])
    assert not (tmp_path / "far.pdb").exists()
