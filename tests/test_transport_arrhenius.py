"""Activation energies, finite size, and the Einstein conductivity of systems in closed form."""

import numpy as np
import pytest
from scipy import constants
from transport_walkers import BOX, TIMESTEP, TRICLINIC, lithium, one_state, ones, random_walks, wrap

from graphkoopman.trajectories import Trajectory
from graphkoopman.transport import (
    arrhenius,
    conduction_contributions,
    einstein_conductivity,
    onsager_contributions,
    transition_diffusion,
    yeh_hummer,
)

K_B = constants.k / constants.e
TEMPERATURES = np.array([350.0, 400.0, 450.0, 500.0, 600.0])


def law(temperatures, energy=0.3, prefactor=20.0):
    return prefactor * np.exp(-energy / (K_B * temperatures))


def interval(values, error):
    """95 % interval that is symmetric in the logarithm."""
    return np.stack([values * np.exp(-1.96 * error), values * np.exp(1.96 * error)], axis=-1)


def test_an_exact_law_is_found():
    fit = arrhenius(TEMPERATURES, law(TEMPERATURES))
    np.testing.assert_allclose(fit.activation_energy, 0.3, rtol=1e-10)
    np.testing.assert_allclose(fit.prefactor, 20.0, rtol=1e-9)
    np.testing.assert_allclose(fit.activation_energy_interval, [0.3, 0.3], rtol=1e-6)
    np.testing.assert_allclose(fit.activation_energy_kj_per_mol, 0.3 * 96.48533, rtol=1e-6)
    np.testing.assert_allclose(fit.predict(300.0)[0], law(300.0), rtol=1e-9)
    assert np.isnan(fit.chi_squared)
    conduction = arrhenius(TEMPERATURES, law(TEMPERATURES) / TEMPERATURES, quantity="conductivity")
    np.testing.assert_allclose(conduction.activation_energy, 0.3, rtol=1e-10)
    np.testing.assert_allclose(conduction.predict(300.0)[0], law(300.0) / 300.0, rtol=1e-9)


def test_weights_agree_with_numpy():
    rng = np.random.default_rng(0)
    error = rng.uniform(0.05, 0.3, 5)
    values = law(TEMPERATURES) * np.exp(error * rng.normal(size=5) * 0.3)
    fit = arrhenius(TEMPERATURES, values, interval(values, error))
    slope, intercept = np.polyfit(1 / (K_B * TEMPERATURES), np.log(values), 1, w=1 / error)
    covariance = np.polyfit(
        1 / (K_B * TEMPERATURES), np.log(values), 1, w=1 / error, cov="unscaled"
    )[1]
    np.testing.assert_allclose(fit.activation_energy, -slope, rtol=1e-8)
    np.testing.assert_allclose(fit.prefactor, np.exp(intercept), rtol=1e-7)
    half = np.ptp(fit.activation_energy_interval) / 2
    np.testing.assert_allclose(half, 1.96 * np.sqrt(covariance[0, 0]), rtol=1e-4)
    low, high = np.log(fit.prefactor_interval)
    np.testing.assert_allclose((high - low) / 2, 1.96 * np.sqrt(covariance[1, 1]), rtol=1e-4)
    assert fit.chi_squared < 3


@pytest.mark.parametrize("known", [True, False])
def test_coverage(known):
    rng = np.random.default_rng(1)
    error, hits = np.array([0.3, 0.2, 0.2, 0.1, 0.1]) if known else np.full(5, 0.2), []
    for _ in range(400):
        values = law(TEMPERATURES) * np.exp(error * rng.normal(size=5))
        fit = arrhenius(TEMPERATURES, values, interval(values, error) if known else None)
        _, limits = fit.predict(300.0)
        energies = fit.activation_energy_interval
        hits.append([energies[0] <= 0.3 <= energies[1], limits[0] <= law(300.0) <= limits[1]])
    # the Birge ratio only ever widens; binomial standard error 0.011
    assert (np.mean(hits, axis=0) > 0.92).all()
    assert (np.mean(hits, axis=0) < (0.995 if known else 0.98)).all()


def test_scatter_beyond_the_errors_widens_the_interval():
    off = law(TEMPERATURES) * np.array([1.0, 2.0, 0.5, 2.0, 1.0])
    fit = arrhenius(TEMPERATURES, off, interval(off, 0.01))
    assert fit.chi_squared > 100
    assert np.ptp(fit.activation_energy_interval) > 0.1


def test_transitions_are_fitted_one_by_one():
    energies = np.array([[0.2, 0.3], [0.4, 0.5]])
    values = np.stack([law(t, energies) for t in TEMPERATURES])
    fit = arrhenius(TEMPERATURES, values, interval(values, 0.1))
    np.testing.assert_allclose(fit.activation_energy, energies, rtol=1e-9)
    assert fit.activation_energy_interval.shape == (2, 2, 2)
    assert fit.predict(300.0)[1].shape == (2, 2, 2)
    assert "(2, 2) energies" in repr(fit)
    single = arrhenius(TEMPERATURES, values[:, 0, 1], interval(values[:, 0, 1], 0.1))
    np.testing.assert_allclose(
        single.activation_energy_interval, fit.activation_energy_interval[0, 1]
    )
    assert "activation_energy=0.300" in repr(single)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([300.0, 400.0], [1.0, 2.0]), "at least 3 different"),
        (([300.0, 300.0], [1.0, 2.0], [[0.9, 1.1], [1.9, 2.1]]), "at least 2 different"),
        (([300.0, -1.0, 5.0], [1.0, 2.0, 3.0]), "positive numbers of K"),
        (([300.0, 400.0, 500.0], [1.0, 0.0, 3.0]), "values must be positive"),
        (([300.0, 400.0, 500.0], [1.0, 2.0]), "values must be positive"),
        (([300.0, 400.0], [1.0, 2.0], [[0.9, 1.1], [-1.0, 2.1]]), "reaches zero"),
        (([300.0, 400.0], [1.0, 2.0], [[0.9, 1.1], [2.1, 1.9]]), "low and high"),
        (([300.0, 400.0], [1.0, 2.0], [[0.9, 1.1]]), r"of shape \(2, 2\)"),
    ],
)
def test_bad_arguments_of_arrhenius(arguments, message):
    with pytest.raises(ValueError, match=message):
        arrhenius(*arguments)


def test_bad_quantity_and_temperature():
    with pytest.raises(ValueError, match="quantity must be one of"):
        arrhenius(TEMPERATURES, law(TEMPERATURES), quantity="energy")
    with pytest.raises(ValueError, match="temperature must be a positive"):
        arrhenius(TEMPERATURES, law(TEMPERATURES)).predict(0.0)


def test_yeh_hummer_in_si():
    # 2.837297 k_B T / (6 π η L) at 300 K, 1 mPa s and 2 nm: 3.1173e-10 m²/s
    expected = 2.837297 * constants.k * 300.0 / (6 * np.pi * 1e-3 * 2e-9)
    np.testing.assert_allclose(expected, 3.1173e-10, rtol=1e-4)
    np.testing.assert_allclose(yeh_hummer(20 * np.eye(3), 300.0, 1.0), expected / 1e-8, rtol=1e-12)
    changing = np.stack([19 * np.eye(3), 21 * np.eye(3)])
    np.testing.assert_allclose(yeh_hummer(changing, 300.0, 1.0), expected / 1e-8, rtol=1e-12)


@pytest.mark.parametrize(
    ("cell", "viscosity", "message"),
    [
        (TRICLINIC, 1.0, "cell must be cubic"),
        (np.diag([10.0, 10.0, 12.0]), 1.0, "cell must be cubic"),
        (10 * np.eye(3), 0.0, "viscosity must be a positive"),
        (np.ones(3), 1.0, "cell must have shape"),
    ],
)
def test_cells_without_a_correction(cell, viscosity, message):
    with pytest.raises(ValueError, match=message):
        yeh_hummer(cell, 300.0, viscosity)


def test_diffusion_takes_the_correction_as_an_option():
    paths = random_walks([0.3] * 10, 300, np.random.default_rng(0))
    plain = transition_diffusion(lithium(paths), ones(paths), "element Li", 4)
    corrected = transition_diffusion(
        lithium(paths), ones(paths), "element Li", 4, viscosity=0.9, temperature=300.0
    )
    expected = yeh_hummer(BOX, 300.0, 0.9)
    assert plain.finite_size == 0.0
    np.testing.assert_allclose(corrected.finite_size, expected)
    np.testing.assert_allclose(corrected.total, plain.total + expected)
    np.testing.assert_allclose(corrected.total_interval, plain.total_interval + expected)
    np.testing.assert_allclose(corrected.diffusion, plain.diffusion)
    with pytest.raises(ValueError, match="needs viscosity, temperature and trajectories with"):
        transition_diffusion(lithium(paths), ones(paths), "element Li", 4, viscosity=0.9)


@pytest.mark.parametrize("method", ["slope", "secant"])
def test_einstein_conductivity_needs_no_states(method):
    paths = random_walks([0.3] * 12, 1500, np.random.default_rng(1))
    trajectory = Trajectory(wrap(paths, BOX), BOX, [3] * 6 + [17] * 6, timestep=TIMESTEP)
    charges = {"element Li": 1.0, "element Cl": -1.0}
    result = einstein_conductivity(trajectory, charges, 4, temperature=500.0, method=method)
    everyone = conduction_contributions(
        trajectory,
        ones(paths),
        np.arange(12),
        one_state(4),
        state_charges=1.0,
        target_charges=[1.0] * 6 + [-1.0] * 6,
        temperature=500.0,
        method=method,
    )
    np.testing.assert_allclose(result.conductivity, everyone.einstein, rtol=1e-9)
    np.testing.assert_allclose(result.interval, everyone.einstein_interval, rtol=1e-9)
    assert result.n_blocks == everyone.n_blocks
    if method == "secant":
        total = onsager_contributions(
            trajectory,
            ones(paths[:, :6]),
            "element Li",
            one_state(4),
            state_charges=1.0,
            temperature=500.0,
            others={"element Cl": -1.0},
        )
        np.testing.assert_allclose(result.conductivity, total.total, rtol=1e-9)
    # N/V in m⁻³, D in m²/s, S/cm
    exact = (12 / 12**3 * 1e30) * (0.3 * 1e-8) * constants.e**2 / (constants.k * 500.0) / 100.0
    assert result.interval[0] < exact < result.interval[1]
    np.testing.assert_array_equal(result.times, result.lags * TIMESTEP)
    assert result.moment.shape == result.lags.shape
    assert "S/cm" in repr(result)


def test_einstein_conductivity_of_neutral_carriers_does_not_see_the_drift():
    rng = np.random.default_rng(2)
    paths = random_walks([0.3] * 8, 400, rng)
    frame = np.broadcast_to(rng.uniform(0, 10, size=(4, 3)), (400, 4, 3))
    velocity = np.arange(400)[:, None, None] * np.array([0.2, 0.1, -0.3])
    positions = np.concatenate([paths, frame], axis=1) + velocity
    species = [3] * 4 + [17] * 4 + [16] * 4
    moving = Trajectory(wrap(positions, BOX), BOX, species, timestep=TIMESTEP)
    charges = [("element Li", 1.0), ("element Cl", -1.0)]
    raw = einstein_conductivity(moving, charges, 4, temperature=500.0)
    held = einstein_conductivity(moving, charges, 4, temperature=500.0, drift="framework")
    np.testing.assert_allclose(raw.conductivity, held.conductivity, rtol=1e-7)
    cations = einstein_conductivity(
        moving, {"element Li": 1.0}, 4, temperature=500.0, drift=np.arange(8, 12)
    )
    still = Trajectory(wrap(positions - velocity, BOX), BOX, species, timestep=TIMESTEP)
    expected = einstein_conductivity(still, {"element Li": 1.0}, 4, temperature=500.0)
    np.testing.assert_allclose(cations.conductivity, expected.conductivity, rtol=1e-7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lagtime": 0}, "lagtime must be positive"),
        ({"lagtime": 100, "method": "secant"}, "lagtime must be < the longest"),
        ({"temperature": 0.0}, "temperature must be a positive"),
        ({"charges": {"element Na": 1.0}}, "targets must select at least one"),
        ({"method": "ratio"}, "method must be one of"),
    ],
)
def test_bad_arguments_of_the_einstein_conductivity(changes, message):
    paths = random_walks([0.3] * 3, 40, np.random.default_rng(3))
    arguments = {"charges": {"element Li": 1.0}, "lagtime": 3, "temperature": 300.0}
    with pytest.raises(ValueError, match=message):
        einstein_conductivity(lithium(paths), **(arguments | changes))


def test_no_cell_no_conductivity():
    paths = random_walks([0.3] * 3, 40, np.random.default_rng(3))
    trajectory = Trajectory(paths, None, [3] * 3, timestep=TIMESTEP)
    with pytest.raises(ValueError, match="must have cells"):
        einstein_conductivity(trajectory, {"element Li": 1.0}, 3, temperature=300.0)
