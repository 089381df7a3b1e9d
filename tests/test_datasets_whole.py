"""Whole systems with known answers: seven discs, and a chain with one residue that flips."""

import numpy as np
import pytest
from scipy.optimize import minimize

from graphkoopman.datasets import _lj7 as lj7, label_timescales, make_chain_molecule, simulate_lj7

MINIMA = [-12.53, -11.50, -11.48, -11.40]  # ε, Dellago, Bolhuis and Chandler (1998)


@pytest.fixture(scope="module")
def run():
    return simulate_lj7(5000.0, random_state=0)


def energy_by_pairs(discs):
    """U = Σ 4 (r⁻¹² - r⁻⁶), pair by pair."""
    i, j = np.triu_indices(7, 1)
    r = np.linalg.norm(discs[i] - discs[j], axis=1)
    return (4 * (r**-12 - r**-6)).sum()


def energy_and_gradient(flat):
    forces = np.empty((7, 2))
    return lj7._energy_forces(flat.reshape(7, 2), forces), -forces.ravel()


def test_energy_and_forces():
    discs = lj7._hexagon() + 0.05 * np.random.default_rng(0).normal(size=(7, 2))
    energy, gradient = energy_and_gradient(discs.ravel())
    assert energy == pytest.approx(energy_by_pairs(discs), rel=1e-12)
    step = 1e-6
    for k in range(14):
        moved = [discs.ravel() + sign * step * np.eye(14)[k] for sign in (1, -1)]
        slope = np.subtract(*(energy_by_pairs(m.reshape(7, 2)) for m in moved)) / (2 * step)
        # the third derivative, about 1e4, and rounding of 1e-16 · 12 / 1e-6
        assert gradient[k] == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_the_four_minima():
    """Of many quenches of random discs by another minimiser, four bound minima and no more."""
    rng = np.random.default_rng(0)
    found = set()
    for _ in range(150):
        end = minimize(energy_and_gradient, rng.uniform(-1.5, 1.5, 14), jac=True, method="L-BFGS-B",
                       options={"ftol": 1e-15, "gtol": 1e-8, "maxiter": 5000})  # fmt: skip
        if end.fun < -11.0:  # the others have lost a disc
            found.add(round(end.fun, 4))
    np.testing.assert_allclose(sorted(found), lj7.MINIMA, atol=1e-4)
    np.testing.assert_allclose(lj7.MINIMA, MINIMA, atol=5e-3)


def test_every_frame_has_its_minimum(run):
    assert run.labels.shape == (5000, 1)
    assert set(np.unique(run.labels)) == {0, 1, 2, 3}
    np.testing.assert_allclose(run.energies, np.take(MINIMA, run.labels[:, 0]), atol=5e-3)


def test_labels_do_not_see_permutations_turns_and_mirrors(run):
    rng = np.random.default_rng(1)
    frames = rng.choice(5000, 300, replace=False)
    discs = run.trajectory.positions[frames, :, :2].astype(np.float64) / lj7.SIGMA
    angle = 1.0
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for changed in (discs[:, rng.permutation(7)], discs @ turn, discs * [1, -1]):
        labels, _ = lj7.quench(changed)
        # a frame on a ridge between two minima may fall to either side by rounding
        assert (labels == run.labels[frames, 0]).mean() > 0.99


def test_kinetic_temperature():
    """Langevin dynamics at the temperature asked for, by the velocities."""
    rng = np.random.default_rng(2)
    temperature = 0.2
    state = np.stack([lj7._hexagon(), np.sqrt(temperature) * rng.normal(size=(7, 2))])
    velocities = np.empty((4000, 7, 2))
    for velocity in velocities:
        lj7._propagate(np.empty((1, 7, 2)), state, 200, temperature, 2.0, rng)
        velocity[:] = state[1]
    # 56 000 values, of which neighbours in time are independent (e⁻² apart): 3 sd = 1.8 %, and the
    # integrator's own error
    assert (velocities**2).mean() == pytest.approx(temperature, rel=0.025)


def test_it_lies_in_a_plane_about_its_centre(run):
    positions = run.trajectory.positions
    assert not positions[..., 2].any()
    np.testing.assert_allclose(positions.mean(axis=1), 0.0, atol=1e-5)
    assert run.trajectory.timestep == pytest.approx(1.0, rel=0.01)
    again = simulate_lj7(50.0, random_state=0)
    np.testing.assert_array_equal(again.labels, run.labels[:50])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 100.0}, "temperature must be"),
        ({"friction": 0.0}, "friction must be"),
        ({"duration": 0.5}, "duration must be at least one frame_interval"),
    ],
)
def test_bad_arguments_of_lj7(settings, message):
    with pytest.raises(ValueError, match=message):
        simulate_lj7(**{"duration": 10.0} | settings)


def test_discs_that_have_parted_are_refused():
    apart = 10.0 * np.random.default_rng(0).normal(size=(1, 7, 2))
    with pytest.raises(ValueError, match="do not relax to one of the four minima"):
        lj7.quench(apart)


def test_one_residue_flips():
    data = make_chain_molecule(200, 400, vibration=0.0, random_state=3)
    n = 200 // len(np.unique(data.residues))
    residues = data.trajectory.positions.reshape(400, -1, n, 3)
    radius = np.linalg.norm(residues - residues.mean(axis=2, keepdims=True), axis=-1).mean(axis=2)
    wide = radius > radius.min() * 1.01
    assert wide.any()
    np.testing.assert_array_equal(wide[:, data.flipping], data.labels[:, 0] == 1)
    assert not np.delete(wide, data.flipping, axis=1).any()
    topology = [atom.residue.index for atom in data.trajectory.topology.atoms]
    np.testing.assert_array_equal(data.residues, topology)


def test_the_chain_has_the_exact_time():
    rates = np.array([[-0.02, 0.02], [0.06, -0.06]])
    data = make_chain_molecule(100, 20_000, rate_matrix=rates, random_state=0)
    assert data.timescales[0] == pytest.approx(12.5)
    np.testing.assert_allclose(data.stationary_distribution, [0.75, 0.25])
    found = label_timescales(data.labels, 1, 1.0)
    assert found.timescales[0] == pytest.approx(12.5, rel=0.15)  # 600 exchanges: 3 sd = 12 %


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_atoms": 101}, "n_atoms must be a multiple of"),
        ({"n_atoms": 0}, "n_atoms must be"),
        ({"vibration": -1.0}, "vibration must be"),
        ({"rate_matrix": np.zeros((3, 3))}, "rate"),
    ],
)
def test_bad_arguments_of_chains(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_chain_molecule(**{"n_frames": 10} | arguments)
