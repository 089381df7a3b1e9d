"""Conductivities, eqs. (15) and (16), of systems that have them in closed form."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import constants
from transport_walkers import (
    BOX,
    TIMESTEP,
    TRICLINIC,
    counted_model,
    lattice_hopper,
    lithium,
    one_state,
    ones,
    random_walks,
    wrap,
)

from graphkoopman.koopman import estimate_koopman
from graphkoopman.trajectories import Trajectory
from graphkoopman.transport import (
    NegativeConductivityWarning,
    UnobservedTransitionWarning,
    conduction_contributions,
)

TEMPERATURE = 500.0


def nernst_einstein(density, diffusion, charge=1.0, temperature=TEMPERATURE):
    """S/cm from Å⁻³, Å²/ps, e and K, in SI on the way."""
    per_m3, m2_per_s = density * 1e30, diffusion * 1e-20 / 1e-12
    siemens_per_m = per_m3 * (charge * constants.e) ** 2 * m2_per_s
    return siemens_per_m / (constants.k * temperature) / 100.0


def inside(value, interval):
    return interval[0] <= value <= interval[1]


def agrees(value, interval):
    """Within twice the 95 % interval, four standard errors: dozens of checks, none by chance."""
    return abs(value - np.mean(interval)) <= np.ptp(interval)


def test_units_by_hand():
    # 1 ion in 1000 Å³ that moves 1 Å per frame of 1 ps along x and back: d² = 1 at a lag of one,
    # D = 1/6 Å²/ps = 1.6667e-9 m²/s; e² n D / kT = (1.60218e-19)² 1e27 1.6667e-9 / 4.14195e-21
    # = 10.329 S/m at 300 K
    positions = np.zeros((40, 1, 3))
    positions[1::2, 0, 0] = 1.0
    trajectory = Trajectory(positions, 10 * np.eye(3), [3], timestep=1.0)
    result = conduction_contributions(
        trajectory,
        np.ones((40, 1, 1)),
        "element Li",
        one_state(1),
        state_charges=1.0,
        temperature=300.0,
        method="secant",
    )
    for value in (result.total, result.nernst_einstein, result.einstein, result.sigma[0, 0]):
        np.testing.assert_allclose(value, 0.10329, rtol=1e-4)
    np.testing.assert_allclose(result.total, nernst_einstein(1e-3, 1 / 6, 1.0, 300.0), rtol=1e-12)


@pytest.mark.parametrize("method", ["slope", "secant"])
@pytest.mark.parametrize("cell", [BOX, TRICLINIC], ids=["cubic", "triclinic"])
def test_independent_walkers_obey_nernst_einstein(cell, method):
    paths = random_walks([0.3] * 40, 4000, np.random.default_rng(0))
    result = conduction_contributions(
        lithium(paths, cell),
        ones(paths),
        "element Li",
        one_state(6),
        state_charges=2.0,
        temperature=TEMPERATURE,
        method=method,
    )
    density = 40 / np.linalg.det(cell)
    expected = nernst_einstein(density, 0.3, charge=2.0)
    np.testing.assert_allclose(result.number_density, density)
    assert agrees(expected, result.total_interval)
    assert agrees(expected, result.nernst_einstein_interval)
    assert agrees(expected, result.einstein_interval)
    assert agrees(0.3, result.tracer_diffusion_interval)
    # the standard error of a collective quantity does not know the 40 targets
    assert np.ptp(result.einstein_interval) > 2 * np.ptp(result.nernst_einstein_interval)
    np.testing.assert_allclose(result.closure, 1.0, rtol=1e-10)
    np.testing.assert_allclose(result.percent, [[100.0]])


@pytest.mark.parametrize("method", ["slope", "secant"])
def test_two_kinds_of_walkers(method):
    diffusion, charge = np.array([0.1, 0.5]), np.array([1.0, -0.5])
    kind = np.array([0] * 30 + [1] * 10)
    paths = random_walks(diffusion[kind], 2000, np.random.default_rng(8))
    model = SimpleNamespace(
        koopman_matrix=np.eye(2), stationary_distribution=np.array([0.75, 0.25]), lagtime=5
    )
    with pytest.warns(UnobservedTransitionWarning, match="0→1"):
        result = conduction_contributions(
            lithium(paths),
            np.eye(2)[np.tile(kind, (2000, 1))],
            "element Li",
            model,
            state_charges=charge,
            temperature=TEMPERATURE,
            method=method,
        )
    expected = nernst_einstein(np.array([30, 10]) / 12**3, diffusion, charge)
    for i in range(2):
        assert agrees(expected[i], result.sigma_interval[i, i])
        assert agrees(diffusion[i], result.diffusion_interval[i, i])
        assert agrees(100 * expected[i] / expected.sum(), result.percent_interval[i, i])
    assert result.sigma[0, 1] == result.sigma[1, 0] == 0.0
    assert agrees(expected.sum(), result.total_interval)
    assert agrees(expected.sum(), result.nernst_einstein_interval)
    assert agrees(expected.sum(), result.einstein_interval)
    np.testing.assert_allclose(result.percent.sum(), 100.0)
    # frequencies and charges per state and per target are the same here
    np.testing.assert_allclose(result.closure, 1.0, rtol=1e-10)


@pytest.fixture(scope="module")
def hopper():
    paths, labels, diffusion = lattice_hopper(3000, 40, np.random.default_rng(2))
    return lithium(paths), np.eye(2)[labels], labels, diffusion


def test_hopper_closes_with_the_secant(hopper):
    trajectory, probs, labels, diffusion = hopper
    result = conduction_contributions(
        trajectory,
        probs,
        "element Li",
        counted_model(labels, 2),
        state_charges=1.0,
        temperature=TEMPERATURE,
        method="secant",
    )
    np.testing.assert_allclose(result.closure, 1.0, rtol=1e-12)
    np.testing.assert_allclose(result.closure_interval, 1.0, rtol=1e-9)
    np.testing.assert_allclose(result.percent.sum(), 100.0)
    assert agrees(nernst_einstein(40 / 12**3, diffusion), result.total_interval)
    assert agrees(diffusion, result.tracer_diffusion_interval)
    # the hops carry the current: 0→1 and 1→0 dominate at a short lag
    assert result.percent[0, 1] + result.percent[1, 0] > 80.0


def test_hopper_reports_its_deficit_with_the_slope(hopper):
    trajectory, probs, labels, diffusion = hopper
    result = conduction_contributions(
        trajectory,
        probs,
        "element Li",
        counted_model(labels, 2),
        state_charges=1.0,
        temperature=TEMPERATURE,
        method="slope",
    )
    # Nernst-Einstein stays right, the transitions miss most of it
    assert agrees(nernst_einstein(40 / 12**3, diffusion), result.nernst_einstein_interval)
    assert result.closure < 0.5
    assert result.closure_interval[1] < 0.6
    np.testing.assert_allclose(result.closure, result.total / result.nernst_einstein)
    np.testing.assert_allclose(result.percent.sum(), 100.0)


def test_estimated_models_close_within_their_noise(hopper):
    trajectory, probs, _, _ = hopper
    model = estimate_koopman(probs, 4, n_bootstrap=5, random_state=0)
    result = conduction_contributions(
        trajectory,
        probs,
        "element Li",
        model,
        state_charges=[1.0, 1.0],
        temperature=TEMPERATURE,
        method="secant",
    )
    # stationary and empirical populations differ by the ends of the runs
    np.testing.assert_allclose(result.closure, 1.0, rtol=1e-3)


def test_neutral_states_carry_nothing_and_mixed_charges_are_averaged(hopper):
    trajectory, probs, labels, _ = hopper
    options = {
        "trajs": trajectory,
        "probs": probs,
        "targets": "element Li",
        "model": counted_model(labels, 3),
        "temperature": TEMPERATURE,
        "method": "secant",
    }
    neutral = conduction_contributions(**options, state_charges=[1.0, 0.0])
    charged = conduction_contributions(**options, state_charges=1.0)
    ratio = neutral.sigma / charged.sigma
    np.testing.assert_allclose(ratio, [[1.0, 0.25], [0.25, 0.0]], atol=1e-12)
    np.testing.assert_allclose(neutral.closure, 1.0, rtol=1e-12)
    bare = conduction_contributions(**options, state_charges=[1.0, 0.0], target_charges=1.0)
    np.testing.assert_allclose(bare.nernst_einstein, charged.nernst_einstein, rtol=1e-12)
    np.testing.assert_allclose(bare.einstein, charged.einstein, rtol=1e-12)
    np.testing.assert_allclose(bare.closure, neutral.total / charged.total, rtol=1e-12)


def test_correlated_ions_differ_in_the_einstein_conductivity_only():
    # cations and anions that move in pairs conduct nothing
    rng = np.random.default_rng(3)
    pairs = random_walks([0.3] * 10, 1000, rng)
    paths = np.concatenate([pairs, pairs + 0.05 * rng.normal(size=pairs.shape)], axis=1)
    result = conduction_contributions(
        lithium(paths),
        ones(paths),
        "element Li",
        one_state(5),
        state_charges=1.0,
        target_charges=[1.0] * 10 + [-1.0] * 10,
        temperature=TEMPERATURE,
    )
    assert agrees(nernst_einstein(20 / 12**3, 0.3), result.nernst_einstein_interval)
    assert abs(result.einstein) < 0.02 * result.nernst_einstein
    # ions that all move together conduct n times as much
    together = np.repeat(random_walks([0.3], 4000, rng), 8, axis=1)
    result = conduction_contributions(
        lithium(together),
        ones(together),
        "element Li",
        one_state(5),
        state_charges=1.0,
        temperature=TEMPERATURE,
    )
    np.testing.assert_allclose(result.einstein, 8 * result.nernst_einstein, rtol=1e-9)
    assert result.unit == "blocks"


@pytest.mark.parametrize("method", ["slope", "secant"])
def test_constant_drift_and_wrapping_change_nothing(method):
    rng = np.random.default_rng(4)
    paths = random_walks([0.3] * 10, 300, rng)
    frame = np.broadcast_to(rng.uniform(0, 10, size=(15, 3)), (300, 15, 3))
    velocity = np.arange(300)[:, None, None] * np.array([0.2, 0.1, -0.3])
    unwrapped = np.concatenate([paths, frame], axis=1)
    results = []
    for positions in (
        unwrapped,
        unwrapped + velocity,
        wrap(unwrapped, TRICLINIC),
        wrap(unwrapped + velocity, TRICLINIC),
    ):
        trajectory = Trajectory(positions, TRICLINIC, [3] * 10 + [16] * 15, timestep=TIMESTEP)
        results.append(
            conduction_contributions(
                trajectory,
                ones(paths),
                "element Li",
                one_state(4),
                state_charges=1.0,
                temperature=TEMPERATURE,
                method=method,
                drift="framework",
            )
        )
    for name in ("sigma", "total", "einstein", "nernst_einstein", "sigma_interval"):
        first, *others = (getattr(result, name) for result in results)
        for other in others:
            # rounding of paths that are 100 Å long
            np.testing.assert_allclose(other, first, rtol=1e-8)


def test_density_of_changing_cells_and_of_several_runs():
    rng = np.random.default_rng(5)
    paths = random_walks([0.01] * 4, 100, rng)
    scale = np.linspace(0.99, 1.01, 100)
    cells = BOX * scale[:, None, None]
    trajectory = Trajectory(paths, cells, [3] * 4, timestep=TIMESTEP)
    larger = Trajectory(paths[:50], 2 * BOX, [3] * 4, timestep=TIMESTEP)
    options = {
        "targets": "element Li",
        "model": one_state(10),
        "state_charges": 1.0,
        "temperature": TEMPERATURE,
        "method": "secant",
    }
    volume = (12 * scale) ** 3
    single = conduction_contributions(trajectory, ones(paths), **options)
    np.testing.assert_allclose(single.number_density, 4 / volume.mean())
    both = conduction_contributions(
        [trajectory, larger], [ones(paths), ones(paths[:50])], **options
    )
    expected = (90 + 40) * 4 / (90 * volume.mean() + 40 * 24**3)
    np.testing.assert_allclose(both.number_density, expected)


def test_sampling_of_transitions_is_in_the_interval():
    rng = np.random.default_rng(6)
    truth, hits = None, []
    for _ in range(60):
        paths, labels, diffusion = lattice_hopper(150, 25, rng)
        result = conduction_contributions(
            lithium(paths),
            np.eye(2)[labels],
            "element Li",
            counted_model(labels, 1),
            state_charges=1.0,
            temperature=TEMPERATURE,
            method="secant",
        )
        truth = nernst_einstein(25 / 12**3, diffusion) / 2  # 0→1 and 1→0 share the current
        hits.append(inside(truth, result.sigma_interval[0, 1]))
    # binomial standard error 0.03
    assert np.mean(hits) > 0.86


def test_confined_ions_have_no_percentages():
    # after half a period of 160 frames the ions are on their way back
    phase = (
        2
        * np.pi
        * (np.arange(400)[:, None, None] / 160 + np.random.default_rng(7).random(6)[:, None])
    )
    positions = np.cos(phase) * np.ones(3)
    trajectory = Trajectory(positions, BOX, [3] * 6, timestep=TIMESTEP)
    with pytest.warns(NegativeConductivityWarning, match="must be positive"):
        conduction_contributions(
            trajectory,
            np.ones((400, 6, 1)),
            "element Li",
            one_state(120),
            window=(100, 140),
            state_charges=1.0,
            temperature=TEMPERATURE,
        )


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"temperature": 0.0}, ValueError, "temperature must be a positive number of K"),
        ({"state_charges": [1.0, 2.0]}, ValueError, "one charge in e or 1 of them"),
        ({"state_charges": 0.0}, ValueError, "not all zero"),
        ({"state_charges": np.nan}, ValueError, "state_charges must be .* finite"),
        ({"target_charges": [1.0] * 3}, ValueError, "target_charges must be .* here .2."),
        ({"model": object()}, TypeError, "without koopman_matrix, stationary"),
        ({"probs": np.full((20, 2, 2), 0.5)}, ValueError, "model must have the 2 states of probs"),
        ({"model": one_state(20)}, ValueError, "the lagtime of model must be < the longest"),
        (
            {
                "model": SimpleNamespace(
                    koopman_matrix=np.eye(2), stationary_distribution=[1], lagtime=1
                )
            },
            ValueError,
            "koopman_matrix of shape",
        ),
    ],
)
def test_conduction_errors(changes, error, message):
    paths = random_walks([0.3] * 2, 20, np.random.default_rng(0))
    options = {
        "probs": ones(paths),
        "targets": "element Li",
        "model": one_state(2),
        "state_charges": 1.0,
        "temperature": TEMPERATURE,
    } | changes
    with pytest.raises(error, match=message):
        conduction_contributions(lithium(paths), **options)


def test_conduction_needs_a_cell():
    paths = random_walks([0.3] * 2, 20, np.random.default_rng(0))
    trajectory = Trajectory(paths, None, [3, 3], timestep=1.0)
    with pytest.raises(ValueError, match="trajs must have cells"):
        conduction_contributions(
            trajectory,
            ones(paths),
            "element Li",
            one_state(2),
            state_charges=1.0,
            temperature=TEMPERATURE,
        )
