"""Steinhardt order parameters through freud."""

import sys

import numpy as np
import pytest
from structure_systems import TRICLINIC, gas

from graphkoopman.structure import bond_order
from graphkoopman.trajectories import Trajectory

FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
DIAMOND = np.concatenate([FCC, FCC + 0.25])


def crystal(basis, a, n=3, species=14, cell_shape=None):
    cells = np.array(list(np.ndindex(n, n, n)))
    positions = a * (basis[None] + cells[:, None]).reshape(-1, 3)
    # off the boundary, where rounding would decide about images
    positions += [0.1, 0.2, 0.3]
    cell = a * n * np.eye(3) if cell_shape is None else cell_shape @ (a * n * np.eye(3))
    return Trajectory(positions[None], cell, np.full(len(positions), species), timestep=1.0)


@pytest.mark.parametrize(
    ("basis", "l", "arguments", "value"),
    [
        # sqrt(5) / 3 for a tetrahedron; the others from Steinhardt et al., table I
        (DIAMOND, 3, {}, np.sqrt(5) / 3),
        (DIAMOND, 4, {"n_neighbors": 4}, 0.50918),
        (FCC, 6, {}, 0.57452),
        (FCC, 4, {"cutoff": 0.85}, 0.19094),
        (FCC, 6, {"average": True}, 0.57452),
    ],
)
@pytest.mark.parametrize("sheared", [False, True])
def test_perfect_crystals(basis, l, arguments, value, sheared):  # noqa: E741
    a = 5.43
    if "cutoff" in arguments:
        arguments = {"cutoff": arguments["cutoff"] * a}
    # the same lattice from other vectors
    shape = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1]]) if sheared else None
    (order,) = bond_order(crystal(basis, a, cell_shape=shape), "element Si", l, **arguments)
    # single precision
    np.testing.assert_allclose(order, value, rtol=2e-5)


def test_rotation_order_and_frames():
    trajectory = gas(TRICLINIC, 3, [14] * 50, seed=1)
    (reference,) = bond_order(trajectory, "element Si", 6)
    assert reference.shape == (3, 50)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    turned = Trajectory(
        trajectory.positions @ rotation, TRICLINIC @ rotation, [14] * 50, timestep=1.0
    )
    some = [30, 4]
    order = bond_order([turned, trajectory[1:]], some, 6)
    np.testing.assert_allclose(order[0], reference[:, some], rtol=1e-3)
    np.testing.assert_allclose(order[1], reference[1:, some], rtol=1e-6)


def test_neighbours_may_be_of_one_kind():
    silicon = crystal(DIAMOND, 5.43)
    rng = np.random.default_rng(0)
    gold = rng.random((1, 30, 3)) * 5.43 * 3
    trajectory = Trajectory(
        np.concatenate([gold, silicon.positions], axis=1),
        silicon.cell,
        np.r_[np.full(30, 79), silicon.species],
        timestep=1.0,
    )
    (order,) = bond_order(trajectory, "element Si", 3, among="element Si")
    np.testing.assert_allclose(order, np.sqrt(5) / 3, rtol=2e-5)
    assert np.ptp(bond_order(trajectory, "element Si", 3)[0]) > 0.05
    with pytest.raises(ValueError, match="among must hold all targets"):
        bond_order(trajectory, "element Au", 3, among="element Si")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_neighbors": 4, "cutoff": 3.0}, "must not both be given"),
        ({"n_neighbors": 10}, r"below the number of atoms \(10\), got 10"),
        ({"l": 0}, "l must be an integer >= 1"),
        ({"targets": [[0, 1]]}, "must be single atoms"),
        ({"cutoff": 0.01}, "cutoff must hold a neighbour of every target"),
        ({"cutoff": 9.0}, "cutoff must be <= half the smallest height"),
    ],
)
def test_errors(changes, message):
    trajectory = gas(TRICLINIC, 2, [14] * 10)
    with pytest.raises(ValueError, match=message):
        bond_order(trajectory, **({"targets": "element Si", "l": 3} | changes))


def test_needs_a_cell_and_freud(monkeypatch):
    free = Trajectory(np.zeros((1, 9, 3)), None, [14] * 9, timestep=1.0)
    with pytest.raises(ValueError, match="trajs must be periodic"):
        bond_order(free, [0], 3)
    monkeypatch.setitem(sys.modules, "freud", None)
    with pytest.raises(ImportError, match=r'pip install "freud-analysis>='):
        bond_order(free, [0], 3)
