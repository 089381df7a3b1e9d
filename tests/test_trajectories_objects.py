"""Objects of MDAnalysis, ASE and pymatgen as trajectories, and other packages' file formats."""

import sys

import ase.io
import MDAnalysis
import numpy as np
import pytest
from ase import Atoms
from pymatgen.core import Lattice, Molecule, Structure
from pymatgen.core.trajectory import Trajectory as PymatgenTrajectory

from graphkoopman import GraphFeaturizer
from graphkoopman.trajectories import (
    LongStepWarning,
    Trajectory,
    UnknownTimestepWarning,
    as_trajectories,
    as_trajectory,
    converter,
    read_trajectory,
    resolve_targets,
)
from graphkoopman.trajectories.objects._registry import CONVERTERS
from graphkoopman.transport import transition_displacements

CELL = np.array([[9.0, 0, 0], [1.0, 10.0, 0], [0.5, 1.0, 11.0]])
SYMBOLS = ["Li", "S", "O", "H", "H", "Li"]
NUMBERS = [3, 16, 8, 1, 1, 3]
unknown_time = pytest.mark.filterwarnings(
    "ignore::graphkoopman.trajectories.UnknownTimestepWarning"
)
# MDAnalysis says what it does not know of files that are written without it
quiet_mdanalysis = pytest.mark.filterwarnings("ignore:::MDAnalysis", "ignore::DeprecationWarning")


@pytest.fixture
def positions():
    return np.random.default_rng(0).uniform(0, 9, (7, 6, 3))


@pytest.fixture
def images(positions):
    return [Atoms(SYMBOLS, positions=x, cell=CELL, pbc=True) for x in positions]


@pytest.fixture
def universe(positions):
    made = MDAnalysis.Universe.empty(
        6,
        n_residues=4,
        atom_resindex=[0, 1, 2, 2, 2, 3],
        residue_segindex=[0, 0, 0, 1],
        n_segments=2,
        trajectory=True,
    )
    made.add_TopologyAttr("names", ["LI", "S", "OW", "HW1", "HW2", "LI"])
    made.add_TopologyAttr("elements", SYMBOLS)
    made.add_TopologyAttr("resnames", ["LI", "S", "SOL", "LI"])
    made.add_TopologyAttr("resids", [1, 2, 3, 4])
    made.add_TopologyAttr("segids", ["A", "B"])
    made.add_TopologyAttr("bonds", [(2, 3), (2, 4)])
    lengths = Atoms(cell=CELL).cell.cellpar()
    made.load_new(positions.astype(np.float32), dt=0.25, dimensions=np.tile(lengths, (7, 1)))
    return made


def test_list_of_atoms(images, positions):
    with pytest.warns(UnknownTimestepWarning, match=r"as_trajectory\(…, timestep=ps per frame\)"):
        (run,) = as_trajectories(images)
    np.testing.assert_array_equal(run.positions, positions)
    np.testing.assert_array_equal(run.cell, CELL)
    np.testing.assert_array_equal(run.species, NUMBERS)
    timed = as_trajectory(images, timestep=0.5, targets="element Li")
    assert (timed.timestep, timed.targets) == (0.5, "element Li")
    assert len(as_trajectory(images[0], timestep=1.0)) == 1


@unknown_time
def test_lists_of_lists_and_mixtures(images, universe):
    lengths = [len(run) for run in as_trajectories([images, images[:3], universe])]
    assert lengths == [7, 3, 7]
    assert [len(graphs) for graphs in GraphFeaturizer("element Li", n_neighbors=3).transform(
        (images[:2], images[:4])
    )] == [2, 4]  # fmt: skip


def test_atoms_that_change(images):
    with pytest.raises(ValueError, match="other elements in frame 1"):
        as_trajectory([images[0], images[1][::-1]], timestep=1.0)
    with pytest.raises(ValueError, match="other elements in frame 2"):
        as_trajectory([*images[:2], images[1][:4]], timestep=1.0)
    images[3].pbc = [True, True, False]
    with pytest.raises(ValueError, match=r"pbc=\[True, True, False\] in frame 3"):
        as_trajectory(images, timestep=1.0)
    free = [Atoms(SYMBOLS, positions=atoms.positions) for atoms in images]
    assert as_trajectory(free, timestep=1.0).cell is None


def test_cells_that_change(images):
    for k, atoms in enumerate(images):
        atoms.set_cell(CELL * (1 + 0.01 * k))
    run = as_trajectory(images, timestep=1.0)
    np.testing.assert_allclose(run.cell, [CELL * (1 + 0.01 * k) for k in range(7)])


@unknown_time
def test_ase_trajectory_file(images, tmp_path):
    ase.io.write(tmp_path / "run.traj", images)
    with ase.io.Trajectory(tmp_path / "run.traj") as file:
        (run,) = as_trajectories(file)
    read = read_trajectory(tmp_path / "run.traj", timestep=0.5, stride=2)
    np.testing.assert_allclose(read.positions, run.positions[::2], atol=1e-6)
    np.testing.assert_array_equal(read.cell, CELL)
    assert read.source.format == "ase"


def test_universe(universe, positions):
    universe.trajectory[3]
    (run,) = as_trajectories(universe)
    assert universe.trajectory.frame == 3
    np.testing.assert_allclose(run.positions, positions, atol=1e-6)
    np.testing.assert_array_equal(run.species, NUMBERS)
    # MDAnalysis keeps lengths and angles, in single precision
    np.testing.assert_allclose(run.cell, CELL, atol=1e-4)
    assert run.timestep == 0.25
    np.testing.assert_array_equal(run.topology.select("resname SOL and name OW"), [2])
    assert [(a.index, b.index) for a, b in run.topology.bonds] == [(2, 3), (2, 4)]
    assert run.topology.n_chains == 2
    assert as_trajectory(universe, timestep=2.0).timestep == 2.0


def test_atom_group_is_the_targets(universe):
    group = universe.select_atoms("name LI")
    (run,) = as_trajectories(group)
    np.testing.assert_array_equal(resolve_targets(None, run).atoms, [0, 5])
    assert run.n_atoms == 6
    graphs = GraphFeaturizer(n_neighbors=3).fit_transform(group)
    assert graphs[0].n_targets == 2
    # drawn at random, atoms are anywhere in the next frame
    with pytest.warns(LongStepWarning):
        result = transition_displacements(group, np.ones((7, 2, 1)), None, [1])
    with pytest.warns(LongStepWarning):
        moved = transition_displacements(universe, np.ones((7, 2, 1)), "element Li", [1])
    np.testing.assert_array_equal(result.total, moved.total)
    assert as_trajectory(group, targets="element S").targets == "element S"


@quiet_mdanalysis
def test_times_that_mdanalysis_makes_up_are_not_believed(tmp_path, images):
    ase.io.write(tmp_path / "run.xyz", images, format="xyz")
    made = MDAnalysis.Universe(tmp_path / "run.xyz")
    with pytest.warns(UnknownTimestepWarning, match="a Universe without times"):
        (run,) = as_trajectories(made)
    assert run.timestep == 1.0
    timed = MDAnalysis.Universe(tmp_path / "run.xyz", dt=0.1)
    assert as_trajectories(timed)[0].timestep == pytest.approx(0.1)


def test_universe_of_real_water(shared_data):
    folder = shared_data / "md"
    made = MDAnalysis.Universe(folder / "water.pdb", folder / "water.xtc")
    run = as_trajectory(made)
    read = read_trajectory(folder / "water.xtc", folder / "water.pdb")
    np.testing.assert_array_equal(run.positions, read.positions)
    np.testing.assert_array_equal(run.species, read.species)
    np.testing.assert_allclose(run.cell, read.cell, atol=1e-5)
    assert run.timestep == read.timestep


@pytest.fixture
def structures(positions):
    charged = ["Li+", "S2-", "O2-", "H+", "H+", "Li+"]
    return [Structure(Lattice(CELL), charged, x, coords_are_cartesian=True) for x in positions]


def test_list_of_structures(structures, positions):
    with pytest.warns(UnknownTimestepWarning):
        (run,) = as_trajectories(structures)
    np.testing.assert_allclose(run.positions, positions, atol=1e-12)
    np.testing.assert_array_equal(run.species, NUMBERS)
    np.testing.assert_allclose(run.cell, CELL)
    assert len(as_trajectory(structures[0], timestep=1.0)) == 1


@pytest.mark.parametrize("displacements", [False, True])
def test_pymatgen_trajectory(structures, positions, displacements):
    made = PymatgenTrajectory.from_structures(structures, time_step=2.0)
    if displacements:
        made.to_displacements()
    (run,) = as_trajectories(made)
    assert run.timestep == 0.002  # of fs
    difference = (run.positions - positions) @ np.linalg.inv(CELL)
    np.testing.assert_allclose(difference - np.rint(difference), 0, atol=1e-9)
    np.testing.assert_array_equal(run.species, NUMBERS)


@unknown_time
def test_pymatgen_molecules_and_changing_lattices(structures, positions):
    made = [Molecule(SYMBOLS, x) for x in positions]
    assert as_trajectories(made)[0].cell is None
    for k, structure in enumerate(structures):
        structure.scale_lattice(structure.volume * (1 + 0.01 * k))
    together = PymatgenTrajectory.from_structures(structures, constant_lattice=False)
    (run,) = as_trajectories(together)
    assert run.cell.shape == (7, 3, 3)
    np.testing.assert_allclose(run.positions[5], structures[5].cart_coords, atol=1e-12)


def test_sites_that_are_no_element(positions):
    mixed = Structure(Lattice(CELL), [{"Li": 0.5, "Na": 0.5}, "S"], positions[0, :2] / 10)
    with pytest.raises(ValueError, match=r"one element per site, got .* at site 0"):
        as_trajectory([mixed], timestep=1.0)


def test_a_class_of_ones_own():
    class Walk:
        path = np.cumsum(np.ones((5, 2, 3)), axis=0)

    class LongWalk(Walk):
        pass

    before = list(CONVERTERS)
    try:

        @converter("a Walk", Walk)
        def from_walk(X, *, timestep, targets):
            return Trajectory(X.path, None, [3, 3], timestep=timestep or 0.5, targets=targets)

        assert [run.timestep for run in as_trajectories([Walk(), LongWalk()])] == [0.5, 0.5]
        assert as_trajectory(Walk(), timestep=2.0).timestep == 2.0
    finally:
        CONVERTERS[:] = before


def test_what_is_no_trajectory():
    class Universe:
        pass

    for other in (Universe(), "run.xtc", [3]):
        with pytest.raises(TypeError, match=r"MDAnalysis Universe, .* Trajectory\(positions in"):
            as_trajectories(other)
    with pytest.raises(TypeError, match="got dict"):
        as_trajectory({})


def test_converting_imports_nothing_that_is_not_there(monkeypatch):
    for name in ("MDAnalysis", "pymatgen"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(TypeError, match="got int"):
        as_trajectories([1])
