"""Representative neighbourhoods of a state, Fig. 4b."""

import mdtraj as md
import numpy as np
import pytest
from structure_systems import TRICLINIC, distances_of, gas

from graphkoopman.structure import representative_frames, select_representatives
from graphkoopman.trajectories import Trajectory

WATER = np.array([[0.0, 0.0, 0.0], [0.9, 0.3, 0.0], [-0.3, 0.9, 0.0]])


def probs_of(states, sharpness=0.9):
    return np.where(np.eye(2)[states] > 0, sharpness, 1 - sharpness)


def test_picks_are_clear_and_spread_over_targets_and_time():
    trajectory = gas(TRICLINIC, 100, [3] * 4 + [9] * 10)
    states = np.zeros((100, 4), dtype=int)
    states[:, :3] = np.random.default_rng(0).integers(0, 2, (100, 3))
    probs = probs_of(states)
    probs[50, 2] = [0.01, 0.99]
    picks = select_representatives(trajectory, probs, "element Li", 1, n=6)
    assert (picks[0].frame, picks[0].target, picks[0].probability) == (50, 2, 0.99)
    # target 3 is never in state 1
    assert sorted(pick.target for pick in picks) == [0, 0, 1, 1, 2, 2]
    assert all(states[pick.frame, pick.target] == 1 for pick in picks)
    # each in a stretch of time of its own
    stretches = np.concatenate([np.full(n, i) for i, n in enumerate([17, 17, 17, 17, 16, 16])])
    assert len({stretches[pick.frame] for pick in picks}) == 6


def test_picks_come_from_all_trajectories():
    runs = [gas(TRICLINIC, n, [3] * 2 + [9] * 10, seed=n) for n in (20, 30)]
    probs = [np.tile([0.2, 0.8], (n, 2, 1)) for n in (20, 30)]
    picks = select_representatives(runs, probs, "element Li", 1, n=4)
    assert {(pick.trajectory, pick.target) for pick in picks} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_all_frames_of_a_rare_state_can_be_had():
    trajectory = gas(TRICLINIC, 50, [3] + [9] * 5)
    states = np.zeros((50, 1), dtype=int)
    states[[7, 8, 9]] = 1
    picks = select_representatives(trajectory, probs_of(states), [0], 1, n=3)
    assert sorted(pick.frame for pick in picks) == [7, 8, 9]
    with pytest.raises(ValueError, match=r"target \(3, highest probability 0.9\), got 4"):
        select_representatives(trajectory, probs_of(states), [0], 1, n=4)


def water_box(n_frames=6):
    """Water molecules whose atoms are wrapped one by one into a triclinic cell."""
    rng = np.random.default_rng(3)
    centers = rng.random((n_frames, 12, 1, 3)) @ TRICLINIC
    positions = (centers + WATER).reshape(n_frames, 36, 3)
    fractions = positions @ np.linalg.inv(TRICLINIC)
    positions = (fractions - np.floor(fractions)) @ TRICLINIC
    topology = md.Topology()
    chain = topology.add_chain()
    for i in range(12):
        residue = topology.add_residue("HOH", chain, resSeq=i)
        for name, element in (("O", "oxygen"), ("H1", "hydrogen"), ("H2", "hydrogen")):
            topology.add_atom(name, getattr(md.element, element), residue)
    species = np.tile([8, 1, 1], 12)
    return Trajectory(positions, TRICLINIC, species, timestep=0.5, topology=topology)


def test_neighbourhoods_are_whole_and_centred():
    trajectory = water_box()
    molecules = np.arange(36).reshape(12, 3)
    probs = probs_of(np.ones((6, 12), dtype=int))
    picks = select_representatives(trajectory, probs, molecules, 1, n=5)
    cuts = representative_frames(trajectory, probs, molecules, 1, n=5, radius=4.0)
    masses = np.array([15.99943, 1.007947, 1.007947])
    for pick, cut in zip(picks, cuts, strict=True):
        assert cut.n_frames == 1
        assert cut.unitcell_vectors is None
        assert cut.time[0] == 0.5 * pick.frame
        own = [a.index for a in cut.topology.atoms if a.residue.resSeq == pick.target]
        assert len(own) == 3
        # nm and single precision
        np.testing.assert_allclose(masses @ cut.xyz[0, own] / masses.sum(), 0, atol=1e-6)
        np.testing.assert_allclose(cut.xyz[0, own] - cut.xyz[0, own[0]], WATER / 10, atol=1e-6)
        assert np.linalg.norm(cut.xyz[0], axis=1).max() < 0.4


@pytest.mark.parametrize("cell", [None, TRICLINIC])
def test_every_neighbour_is_there(cell):
    trajectory = gas(TRICLINIC, 4, [3] * 2 + [9] * 60, seed=5)
    trajectory = Trajectory(trajectory.positions, cell, trajectory.species, timestep=1.0)
    probs = probs_of(np.ones((4, 2), dtype=int))
    (pick,) = select_representatives(trajectory, probs, "element Li", 1)
    (cut,) = representative_frames(trajectory, probs, "element Li", 1, radius=4.5)
    center = trajectory.positions[pick.frame, pick.target]
    near = np.flatnonzero(distances_of(trajectory, pick.frame, center, slice(None)) < 4.5)
    numbers = [atom.element.number for atom in cut.topology.atoms]
    np.testing.assert_array_equal(numbers, trajectory.species[near])
    expected = distances_of(trajectory, pick.frame, center, near)
    np.testing.assert_allclose(np.linalg.norm(cut.xyz[0], axis=1) * 10, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": 2}, r"state must be < n_states \(2\), got 2"),
        ({"state": -1}, "state must be an integer >= 0"),
        ({"state": 0}, r"state 0 is the most probable.*\(0, highest probability 0.1\)"),
        ({"n": 0}, "n must be an integer >= 1"),
        ({"radius": 6.0}, "radius must be <= half the smallest height"),
        ({"radius": -1.0}, "radius must be > 0"),
    ],
)
def test_errors(changes, message):
    trajectory = gas(TRICLINIC, 4, [3, 9])
    probs = probs_of(np.ones((4, 1), dtype=int))
    with pytest.raises(ValueError, match=message):
        representative_frames(trajectory, probs, [0], **({"state": 1} | changes))
