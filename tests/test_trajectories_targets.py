"""Every spelling of targets, with and without a topology."""

import mdtraj as md
import numpy as np
import pytest

from graphkoopman.trajectories import Targets, Trajectory, resolve_targets

SPECIES = [3, 16, 8, 1, 1, 3]  # Li S O H H Li


def make(topology=False, **kwargs):
    positions = np.zeros((2, 6, 3))
    trajectory = Trajectory(positions, None, SPECIES, timestep=1.0, **kwargs)
    if not topology:
        return trajectory
    topology = trajectory.to_mdtraj().topology
    return Trajectory(positions, None, SPECIES, timestep=1.0, topology=topology, **kwargs)


@pytest.mark.parametrize("topology", [False, True])
@pytest.mark.parametrize(
    ("selection", "atoms"),
    [
        ("element Li", [0, 5]),
        ("element li", [0, 5]),
        ("element H O", [2, 3, 4]),
        ("index 4 0", [4, 0]),
        ("index 2 to 4", [2, 3, 4]),
        (" index 3 ", [3]),
    ],
)
def test_simple_selections(topology, selection, atoms):
    targets = resolve_targets(selection, make(topology))
    np.testing.assert_array_equal(targets.atoms, atoms)
    np.testing.assert_array_equal(targets.offsets, np.arange(len(atoms) + 1))


def test_mdtraj_selections_need_a_topology():
    selection = "name Li or resname O"
    np.testing.assert_array_equal(resolve_targets(selection, make(True)).atoms, [0, 2, 5])
    with pytest.raises(ValueError, match=r"without a topology must be 'element X.*\(top=\)"):
        resolve_targets(selection, make())


@pytest.mark.parametrize(
    ("targets", "groups"),
    [
        ([0, 5], [[0], [5]]),
        (np.array([5, 0], dtype=np.uint8), [[5], [0]]),
        (np.array([[2, 3], [4, 0]]), [[2, 3], [4, 0]]),
        ([[2, 3], [4, 0]], [[2, 3], [4, 0]]),
        ([[2, 3, 4], [0]], [[2, 3, 4], [0]]),
        ((np.array([1]), [5, 0]), [[1], [5, 0]]),
        (np.array(SPECIES) == 1, [[3], [4]]),
        ((np.array(SPECIES) == 1).tolist(), [[3], [4]]),
        (lambda trajectory: np.flatnonzero(trajectory.species == 3), [[0], [5]]),
        (lambda trajectory: "element S", [[1]]),
    ],
)
def test_indices(targets, groups):
    resolved = resolve_targets(targets, make())
    assert resolved.atoms.dtype == resolved.offsets.dtype == np.int64
    assert resolved.n_targets == len(groups)
    assert [group.tolist() for group in resolved.groups()] == groups
    again = resolve_targets(resolved, make())
    assert isinstance(again, Targets)
    np.testing.assert_array_equal(again.offsets, resolved.offsets)


def test_own_targets():
    assert resolve_targets(None, make(targets=[[0, 1], [2, 3]])).n_targets == 2
    with pytest.raises(ValueError, match="has none of its own"):
        resolve_targets(None, make())


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        ("element Au", ValueError, "none for 'element Au'; the elements present are H, Li, O, S"),
        ("element Xx", ValueError, "by their symbols, got 'Xx'"),
        ("index 6", ValueError, "from 0 to 5, got 6"),
        ([0, 6], ValueError, "from 0 to 5, got 6"),
        ([-1], ValueError, "from 0 to 5, got -1"),
        ([0.0, 1.0], TypeError, "integer atom indices, got dtype float64"),
        ([0, 1, 0], ValueError, "not overlap, got atom 0 in targets 0 and 2"),
        ([[0, 1], [2, 1]], ValueError, "not overlap, got atom 1 in targets 0 and 1"),
        ([[0, 1, 1]], ValueError, "not overlap, got atom 1 in targets 0 and 0"),
        ([], ValueError, "at least one atom"),
        ([[0], []], ValueError, "at least one atom"),
        (np.zeros(6, dtype=bool), ValueError, "at least one atom"),
        (np.ones(5, dtype=bool), ValueError, r"mask must have shape \(6,\), got \(5,\)"),
        (np.zeros((1, 1, 1), dtype=int), ValueError, "shape"),
        ([[[0], [1]], [[2], [3]]], ValueError, "one 1-D index array per target"),
        (3, ValueError, "shape"),
        ([0, [1, 2]], ValueError, "one 1-D index array per target"),
        (lambda trajectory: None, ValueError, "got None"),
    ],
)
def test_bad_targets(targets, error, message):
    with pytest.raises(error, match=message):
        resolve_targets(targets, make())


def test_invalid_selection_names_itself():
    with pytest.raises(ValueError, match="valid mdtraj selection, got 'name and or'"):
        resolve_targets("name and or", make(True))


def test_words_that_are_no_symbols_reach_mdtraj():
    trajectory = make(True)
    np.testing.assert_array_equal(
        resolve_targets("element Li or name S", trajectory).atoms, [0, 1, 5]
    )
    assert isinstance(trajectory.topology, md.Topology)
