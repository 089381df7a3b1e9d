"""What `inspect` understands of a trajectory, and what it finds implausible."""

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from graphkoopman import read_trajectory
from graphkoopman.trajectories import Trajectory, as_trajectory, inspect
from graphkoopman.trajectories._distances import shortest_distances

CELL = np.array([[12.0, 0, 0], [2.0, 11.0, 0], [1.0, -2.0, 10.0]])
SITES = 3.0 * np.indices((4, 3, 3)).reshape(3, 36).T + 0.5


def shaking(n_frames=50, cell=CELL, species=None, seed=0, step=0.1, **kwargs):
    rng = np.random.default_rng(seed)
    positions = SITES + rng.normal(0, step, (n_frames, len(SITES), 3))
    species = [3] * 18 + [16] * 18 if species is None else species
    return Trajectory(positions, cell, species, timestep=0.5, **kwargs)


def problems(run, **kwargs):
    return " | ".join(str(finding) for finding in inspect(run, **kwargs).findings)


def test_a_plausible_run():
    run = shaking()
    report = inspect(run)
    assert report.plausible
    assert (report.n_frames, report.n_atoms, report.timestep) == (50, 36, 0.5)
    assert report.elements == {"Li": 18, "S": 18}
    # 18 (6.94 + 32.06) Da over 1320 cubic angstroms
    assert report.density == pytest.approx(18 * 39.0 * 1.66054 / 1320, rel=1e-3)
    a, b, c, alpha, beta, gamma = Atoms(cell=CELL).cell.cellpar()
    assert report.line() == (
        f"50 frames of 0.5 ps, 36 atoms (Li18 S18), periodic, {a:.3g} × {b:.3g} × {c:.3g} Å, "
        f"{alpha:.4g}, {beta:.4g}, {gamma:.4g}°, {report.density:.3g} g/cm³"
    )
    steps = np.linalg.norm(np.diff(run.positions, axis=0), axis=2)
    assert report.motion.largest_step == pytest.approx(steps.max())
    frame, atom = np.unravel_index(steps.argmax(), steps.shape)
    assert report.motion.largest_step_at == (frame + 1, atom)
    masses = np.repeat([6.941, 32.065], 18)
    moved = ((run.positions[-1] - run.positions[0]) * masses[:, None]).sum(axis=0) / masses.sum()
    assert report.motion.drift == pytest.approx(np.linalg.norm(moved), rel=1e-3)
    assert report.motion.n_repeated == report.motion.n_still == 0
    assert "reader" in str(report)
    assert str(report) == repr(report)


@pytest.mark.parametrize("cell", [CELL, 7.0 * np.eye(3), None], ids=["skewed", "small", "none"])
def test_shortest_distances_are_ases(cell):
    rng = np.random.default_rng(3)
    positions = rng.uniform(-9, 15, (40, 3))
    species = np.array([3] * 25 + [16] * 14 + [79])
    found = shortest_distances(positions, cell, species)
    atoms = Atoms(species, positions, cell=cell, pbc=cell is not None)
    i, j, distances = neighbor_list("ijd", atoms, 30.0 if cell is None else 14.0)
    for pair, distance in found.items():
        one = (species[i] == pair[0]) & (species[j] == pair[1])
        assert distance == pytest.approx(distances[one].min())
    assert len(found) == (5 if cell is None else 6)  # the gold atom has no other one


def test_cells_that_change_and_flip():
    breathing = (1 + 0.02 * np.sin(np.arange(50) / 5))[:, None, None]
    cells = CELL * breathing
    cells[30:, 1] -= cells[30:, 0]
    positions = np.tile(SITES, (50, 1, 1)) + np.random.default_rng(0).normal(0, 0.1, (50, 36, 3))
    report = inspect(Trajectory(positions, cells, [3] * 36, timestep=1.0))
    assert report.n_flips == 1
    np.testing.assert_allclose(report.cell, CELL * breathing.mean(), rtol=1e-9)
    assert report.cell_change == pytest.approx(0.02, rel=0.02)
    assert "changing by 0.02" in report.line()
    assert "box flips" in str(report)


@pytest.mark.parametrize(("scale", "wrong"), [(0.1, True), (10.0, True), (1.0, False)])
def test_density(scale, wrong):
    run = shaking()
    found = problems(Trajectory(run.positions * scale, CELL * scale, run.species, timestep=1.0))
    assert ("density" in found) == wrong
    if wrong:
        assert "--cell" in found


def test_distances_steps_and_repeated_frames():
    run = shaking()
    close = run.positions.copy()
    close[:, 1] = close[:, 0] + [0.2, 0.1, 0]
    assert "Li and Li come within 0.22 Å, below 0.5 Å" in problems(
        Trajectory(close, CELL, run.species, timestep=1.0)
    )
    jumps = run.positions.copy()
    jumps[10:, 3] += [5.9, 0, 0]
    found = problems(Trajectory(jumps, CELL, run.species, timestep=1.0))
    assert "1 steps come near half the cell" in found
    again = np.repeat(run.positions[:25], 2, axis=0)
    assert "25 of 49 frames are equal to the one before" in problems(
        Trajectory(again, CELL, run.species, timestep=1.0)
    )
    frozen = run.positions.copy()
    frozen[:, 5:8] = frozen[0, 5:8]
    found = problems(Trajectory(frozen, CELL, run.species, timestep=1.0))
    assert "3 of 36 atoms never move" in found
    assert "--exclude" in found


def test_fractions_of_the_cell():
    rng = np.random.default_rng(0)
    run = Trajectory(rng.uniform(0, 1, (10, 36, 3)), CELL, [3] * 36, timestep=1.0)
    found = problems(run)
    assert "look like fractions of the cell" in found
    assert "multiply them by it" in found


def wrap(positions, cell):
    fractions = positions @ np.linalg.inv(cell)
    return (fractions - np.floor(fractions)) @ cell


@pytest.mark.parametrize("kind", ["wrapped", "unwrapped", "whole", "inside", "said", "free"])
def test_what_is_said_of_wrapping(kind):
    run = shaking(200)
    walk = SITES + np.cumsum(np.random.default_rng(0).normal(0, 0.4, (200, 36, 3)), axis=0)
    positions = {
        "wrapped": wrap(walk, CELL),
        "whole": wrap(walk, CELL) - 0.4 * CELL.sum(axis=0),
        "inside": 3 + 0.5 * wrap(SITES, CELL) + run.positions - SITES,
    }.get(kind, walk)
    cell = None if kind == "free" else CELL
    made = Trajectory(positions, cell, [3] * 36, timestep=1.0, unwrapped=kind == "said")
    expected = {
        "wrapped": "wrapped into the cell",
        "unwrapped": "unwrapped: beyond the cell, without jumps",
        "whole": "wrapped, around another origin or with whole molecules",
        "inside": "in the cell, nothing crosses it",
        "said": "unwrapped, as the file says",
        "free": "not periodic",
    }
    assert inspect(made).wrapped == expected[kind]


def test_some_frames_stand_for_all():
    run = shaking(600)
    report = inspect(run, max_frames=100)
    assert report.motion.n_steps == 100
    assert report.plausible
    assert report.motion.largest_step <= inspect(run).motion.largest_step
    with pytest.raises(ValueError, match="max_frames must be an integer >= 2"):
        inspect(run, max_frames=1)


def test_where_numbers_come_from(tmp_path):
    run = shaking()
    run.to_mdtraj().save(str(tmp_path / "run.xtc"))
    run.to_mdtraj()[0].save(str(tmp_path / "top.pdb"))
    report = inspect(read_trajectory(tmp_path / "run.xtc", tmp_path / "top.pdb"))
    assert report.reader == "xtc"
    assert report.timestep_from == "the times of the file"
    assert report.cell_from == "the file"
    report = inspect(read_trajectory(tmp_path / "run.xtc", tmp_path / "top.pdb", cell="none"))
    assert report.cell_from == "nothing"
    assert report.periodicity == "not periodic"


def test_guessed_elements_are_listed(tmp_path):
    with (tmp_path / "run.gro").open("w") as file:
        for k in range(3):
            file.write(f"t= {k:.1f}\n2\n")
            for i, (name, x) in enumerate((("Q1", 0.3), ("CA", 0.6 + 0.001 * k))):
                file.write(f"{1:5d}UNK  {name:>5s}{i + 1:5d}{x:8.3f}{0.3:8.3f}{0.3:8.3f}\n")
            file.write("   1.0   1.0   1.0\n")
    with pytest.warns(UserWarning, match="guessed from names"):
        run = read_trajectory(tmp_path / "run.gro")
    report = inspect(run)
    assert set(report.guesses) == {"Q1", "CA"}
    assert "--elements" in problems(run)


def test_objects_of_other_packages():
    images = [Atoms("Li18S18", x, cell=CELL, pbc=True) for x in shaking().positions]
    report = inspect(as_trajectory(images, timestep=0.5))
    assert report.elements == {"Li": 18, "S": 18}
    assert report.timestep_from == "its maker"
