"""Charge around targets in each state, Fig. 4c."""

import numpy as np
import pytest
from structure_systems import TRICLINIC, distances_of, gas, random_probs
from transport_walkers import one_state

from graphkoopman.structure import EmptyStateWarning, charge_integral
from graphkoopman.trajectories import Trajectory
from graphkoopman.transport import conduction_contributions


def test_a_sphere_around_everything_holds_the_total_charge():
    rng = np.random.default_rng(0)
    charges = rng.normal(size=40)
    charges -= charges.mean()
    probs = random_probs(5, 4, 2)
    for total in (0.0, 2.0):
        for cell in (None, 40 * np.eye(3)):
            positions = rng.uniform(0, 8, (5, 40, 3))
            cluster = Trajectory(positions, cell, [3] * 40, timestep=1.0)
            result = charge_integral(
                cluster, probs, [0, 5, 6, 7], charges + total / 40, r_max=15, n_bins=30
            )
            np.testing.assert_allclose(result.charge[:, -1], total, atol=1e-12)
            np.testing.assert_allclose(result.charge_interval[:, -1], total, atol=1e-12)


def test_integral_follows_the_definition():
    trajectory = gas(TRICLINIC, 6, [3] * 4 + [9] * 20, seed=2)
    targets = [[0, 1], [2], [3]]
    charges = np.random.default_rng(1).normal(size=24)
    probs = random_probs(6, 3, 2)
    result = charge_integral(trajectory, probs, targets, charges, r_max=4.5, n_bins=9)
    np.testing.assert_allclose(result.r, np.arange(1, 10) * 0.5)
    sums = np.zeros((2, 9))
    for frame in range(6):
        for target, own in enumerate(targets):
            # the molecule's atoms have one mass, and the second may be in another image
            first = trajectory.positions[frame, own[0]]
            arms = trajectory.positions[frame, own] - first
            images = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), -1).reshape(-1, 3) @ TRICLINIC
            arms[-1] = min(arms[-1] + images, key=np.linalg.norm)
            others = np.setdiff1d(np.arange(24), own)
            distances = distances_of(trajectory, frame, first + arms.mean(0), others)
            inside = distances[:, None] < result.r
            q = charges[own].sum() + (charges[others][:, None] * inside).sum(0)
            sums += probs[frame, target][:, None] * q
    np.testing.assert_allclose(result.charge, sums / probs.sum((0, 1))[:, None], rtol=1e-12)
    own = probs.sum(0).T @ [charges[:2].sum(), charges[2], charges[3]]
    np.testing.assert_allclose(result.own_charge, own / probs.sum((0, 1)), rtol=1e-12)


def test_ion_pairs_and_free_ions():
    # an ion at 2 Å from its counter ion, and one far from all others
    positions = np.array([[0, 0, 0], [10, 10, 10], [0, 0, 2.05], [10, 10, 17.0]])
    trajectory = Trajectory(
        np.broadcast_to(positions, (8, 4, 3)), 24 * np.eye(3), [3, 3, 9, 9], timestep=1.0
    )
    crisp = np.broadcast_to(np.eye(2), (8, 2, 2))
    result = charge_integral(trajectory, crisp, "element Li", [1, 1, -1, -1], r_max=5, n_bins=50)
    np.testing.assert_allclose(result.charge[0], np.where(result.r < 2.08, 1, 0), atol=1e-12)
    np.testing.assert_allclose(result.charge[1], 1, atol=1e-12)
    # radii are multiples of 0.1 Å, and the pair is 2.05 Å apart
    for radius, paired in ((2.04, 1), (2.06, 0), (4.97, 0)):
        np.testing.assert_allclose(result.within(radius), [paired, 1], atol=1e-12)
    with pytest.raises(ValueError, match=r"radius must be within .*0\.1 to 5 Å\), got 5\.2"):
        result.within(5.2)


def test_charges_of_a_shell_are_state_charges_of_a_conductivity():
    rng = np.random.default_rng(1)
    walks = np.array([[0.0, 0, 0], [12, 12, 12]]) + np.cumsum(
        0.1 * rng.normal(size=(60, 2, 3)), axis=0
    )
    # each with a counter ion at 1 Å, far from the other pair
    positions = np.concatenate([walks, walks + np.array([0, 0, 1.0])], axis=1)
    trajectory = Trajectory(positions, 30 * np.eye(3), [3, 3, 9, 9], timestep=1.0)
    probs = np.ones((60, 2, 1))
    integral = charge_integral(trajectory, probs, "element Li", [1, 1, -0.4, -0.4], r_max=2,
                               n_bins=10)  # fmt: skip
    options = {"model": one_state(2), "temperature": 300.0, "method": "secant"}
    screened, bare = (
        conduction_contributions(trajectory, probs, "element Li", state_charges=charges, **options)
        for charges in (integral.within(1.5), 1.0)
    )
    np.testing.assert_allclose(screened.state_charges, 0.6, rtol=1e-12)
    np.testing.assert_allclose(screened.total / bare.total, 0.36, rtol=1e-12)


def test_charges_may_differ_between_trajectories():
    runs = [gas(TRICLINIC, 4, [3] + [9] * n, seed=n) for n in (5, 8)]
    probs = [np.ones((4, 1, 1))] * 2
    charges = [np.r_[1.0, np.zeros(5)], np.r_[3.0, np.zeros(8)]]
    result = charge_integral(runs, probs, [0], charges, r_max=3, n_bins=4)
    np.testing.assert_allclose(result.charge, 2.0)
    with pytest.raises(ValueError, match=r"one for each of the 9 atoms, got shape \(6,\)"):
        charge_integral(runs, probs, [0], charges[0], r_max=3, n_bins=4)
    with pytest.raises(ValueError, match=r"one per trajectory \(2\), got 1"):
        charge_integral(runs, probs, [0], charges[:1], r_max=3, n_bins=4)


@pytest.mark.parametrize("charges", [1.0, None, [1, 2], [1, 2, np.nan]])
def test_bad_charges(charges):
    trajectory = gas(TRICLINIC, 3, [3, 9, 9])
    with pytest.raises(ValueError, match="charges must be finite, one for each of the 3 atoms"):
        charge_integral(trajectory, np.ones((3, 1, 1)), [0], charges, r_max=3, n_bins=4)


def test_limits_and_empty_states():
    trajectory = gas(TRICLINIC, 3, [3, 9, 9])
    probs = np.broadcast_to([1.0, 0.0], (3, 1, 2))
    with pytest.raises(ValueError, match="half the smallest height"):
        charge_integral(trajectory, probs, [0], [1, 0, 0], r_max=6, n_bins=4)
    with pytest.warns(EmptyStateWarning, match=r"states \[1\]"):
        result = charge_integral(trajectory, probs, [0], [1, 0, 0], r_max=3, n_bins=4)
    assert np.isnan(result.charge[1]).all()
