"""Displacements and diffusion of transitions, eqs. (13) and (14), against known walks."""

import numpy as np
import pytest
from transport_walkers import (
    BOX,
    TIMESTEP,
    TRICLINIC,
    counted_model,
    lattice_hopper,
    lithium,
    ones,
    random_walks,
    wrap,
)

from graphkoopman.trajectories import Trajectory
from graphkoopman.transport import (
    ShortTrajectoryWarning,
    UnobservedTransitionWarning,
    transition_diffusion,
    transition_displacements,
)

OXYGEN = 8


def random_probs(rng, n_frames, n_targets, n_states):
    return rng.dirichlet(np.ones(n_states), size=(n_frames, n_targets))


def brute_force(paths, probs, lag, stride=1):
    """Eq. (13) as it is written."""
    n_states = probs.shape[2]
    top, bottom = np.zeros((2, n_states, n_states))
    for t in range(0, len(paths) - lag, stride):
        for k in range(paths.shape[1]):
            squared = ((paths[t + lag, k] - paths[t, k]) ** 2).sum()
            pair = np.outer(probs[t, k], probs[t + lag, k])
            top, bottom = top + squared * pair, bottom + pair
    return top / bottom


def test_equation_13_term_by_term():
    rng = np.random.default_rng(0)
    paths, probs = random_walks([0.5] * 3, 30, rng), random_probs(rng, 30, 3, 2)
    result = transition_displacements(lithium(paths), probs, "element Li", [5, 1])
    np.testing.assert_array_equal(result.lags, [1, 5])
    np.testing.assert_allclose(result.times, [TIMESTEP, 5 * TIMESTEP])
    for msd, lag in zip(result.msd, (1, 5), strict=True):
        np.testing.assert_allclose(msd, brute_force(paths, probs, lag), rtol=1e-10)


def test_stride_thins_the_origins():
    # two blocks of ten origins each, so the strided origins are 0, 5, 10, 15
    rng = np.random.default_rng(1)
    paths, probs = random_walks([0.5] * 3, 30, rng), random_probs(rng, 30, 3, 2)
    result = transition_displacements(lithium(paths), probs, "element Li", 10, stride=5)
    np.testing.assert_allclose(result.msd[0], brute_force(paths, probs, 10, 5), rtol=1e-10)
    np.testing.assert_allclose(result.weight.sum(), 3 * 4)


@pytest.mark.parametrize("method", ["slope", "secant"])
def test_walkers_have_their_diffusion_coefficient(method):
    paths = random_walks([0.3] * 60, 1500, np.random.default_rng(2))
    result = transition_diffusion(lithium(paths), ones(paths), "element Li", 8, method=method)
    low, high = result.diffusion_interval[0, 0]
    assert low < 0.3 < high
    assert high - low < 0.05
    np.testing.assert_allclose(result.diffusion[0, 0], result.total, rtol=1e-12)
    np.testing.assert_allclose(result.total_cm2_per_s, result.total * 1e-4)
    assert result.window == ((4, 12) if method == "slope" else (8, 8))


def test_intervals_cover():
    rng = np.random.default_rng(3)
    hits = {name: [] for name in ("many targets", "few targets", "one target")}
    for _ in range(150):
        for name, (n_targets, n_frames) in zip(hits, [(30, 60), (5, 300), (1, 400)], strict=True):
            paths = random_walks([0.3] * n_targets, n_frames, rng)
            trajectory = Trajectory(paths, None, [3] * n_targets, timestep=TIMESTEP)
            result = transition_diffusion(trajectory, ones(paths), "element Li", 5)
            low, high = result.total_interval
            hits[name].append(low < 0.3 < high)
    for name, covered in hits.items():
        # binomial standard error 0.018
        assert 0.89 < np.mean(covered) <= 1.0, name


def test_targets_that_move_together_widen_the_interval():
    rng = np.random.default_rng(4)
    shared = random_walks([0.3], 2000, rng)
    paths = np.repeat(shared, 40, axis=1) + random_walks([0.01] * 40, 2000, rng)
    trajectory = Trajectory(paths, None, [3] * 40, timestep=TIMESTEP)
    auto = transition_displacements(trajectory, ones(paths), "element Li", 10)
    alone = transition_displacements(trajectory, ones(paths), "element Li", 10, unit="targets")
    assert auto.unit == "blocks"
    assert np.ptp(auto.total_interval[0]) > 5 * np.ptp(alone.total_interval[0])
    assert auto.total_interval[0, 0] < 6 * 0.31 * 10 * TIMESTEP < auto.total_interval[0, 1]


def test_several_runs_pool_like_one():
    rng = np.random.default_rng(5)
    paths = [random_walks([0.3] * 4, n, rng) for n in (40, 25, 60)]
    probs = [random_probs(rng, len(path), 4, 2) for path in paths]
    pooled = transition_displacements([lithium(p) for p in paths], probs, "element Li", [3])
    single = [
        transition_displacements(lithium(p), c, "element Li", [3])
        for p, c in zip(paths, probs, strict=True)
    ]
    weight = np.array([one.weight for one in single])
    expected = (np.array([one.msd for one in single]) * weight).sum(axis=0) / weight.sum(axis=0)
    np.testing.assert_allclose(pooled.msd, expected, rtol=1e-10)
    np.testing.assert_allclose(pooled.weight.sum(), 4 * (37 + 22 + 57))


def test_short_runs_are_left_out_at_every_lag():
    rng = np.random.default_rng(6)
    long, short = random_walks([0.3] * 2, 50, rng), random_walks([0.3] * 2, 8, rng)
    with pytest.warns(ShortTrajectoryWarning, match="1 of 2 trajectories"):
        both = transition_displacements(
            [lithium(long), lithium(short)], [ones(long), ones(short)], "element Li", [1, 8]
        )
    alone = transition_displacements(lithium(long), ones(long), "element Li", [1, 8])
    np.testing.assert_allclose(both.msd, alone.msd)


@pytest.mark.parametrize("cell", [BOX, TRICLINIC], ids=["cubic", "triclinic"])
def test_wrapped_equals_unwrapped(cell):
    rng = np.random.default_rng(7)
    paths, probs = random_walks([0.2] * 6, 80, rng), random_probs(rng, 80, 6, 2)
    species = [3] * 6
    results = [
        transition_displacements(Trajectory(p, c, species, timestep=1.0), probs, "element Li", 4)
        for p, c in [(paths, None), (paths, cell), (wrap(paths, cell), cell)]
    ]
    for other in results[1:]:
        np.testing.assert_allclose(other.msd, results[0].msd, rtol=1e-9)
        np.testing.assert_allclose(other.msd_interval, results[0].msd_interval, rtol=1e-6)


def test_cells_that_change_per_frame():
    # steps are minimum images in the cell of each frame; wrapping must not show
    rng = np.random.default_rng(8)
    paths, probs = random_walks([0.1] * 6, 60, rng), random_probs(rng, 60, 6, 2)
    cells = TRICLINIC * (1 + 0.01 * np.sin(np.arange(60) / 5))[:, None, None]
    wrapped = np.array([wrap(p, c) for p, c in zip(paths, cells, strict=True)])
    msd = [
        transition_displacements(
            Trajectory(p, cells, [3] * 6, timestep=1.0), probs, "element Li", 1
        ).msd
        for p in (paths, wrapped)
    ]
    # an image of a moving cell moves with it: 1e-3 of 10 Å per frame, whatever the convention
    np.testing.assert_allclose(msd[1], msd[0], rtol=0.02)


def test_molecules_move_with_their_centre_of_mass():
    rng = np.random.default_rng(9)
    centres = random_walks([0.3] * 8, 400, rng)
    arms = rng.normal(size=(400, 8, 3))
    # O and H about a common centre: 15.999 and 1.008
    oxygen, hydrogen = centres + 1.008 * arms * 0.05, centres - 15.999 * arms * 0.05
    positions = np.stack([oxygen, hydrogen], axis=2).reshape(400, 16, 3)
    trajectory = Trajectory(wrap(positions, BOX), BOX, [8, 1] * 8, timestep=TIMESTEP)
    groups = np.arange(16).reshape(8, 2)
    result = transition_displacements(trajectory, np.ones((400, 8, 1)), groups, [1, 5])
    expected = transition_displacements(lithium(centres), ones(centres), "element Li", [1, 5])
    np.testing.assert_allclose(result.msd, expected.msd, rtol=1e-6)


def with_framework(rng, velocity):
    paths = random_walks([0.3] * 10, 200, rng)
    frame = rng.uniform(0, 12, size=(20, 3)) + 0.05 * rng.normal(size=(200, 20, 3))
    drift = np.arange(200)[:, None, None] * np.asarray(velocity)
    positions = np.concatenate([paths, frame], axis=1) + drift
    species = [3] * 10 + [OXYGEN] * 20
    return Trajectory(wrap(positions, TRICLINIC), TRICLINIC, species, timestep=TIMESTEP)


@pytest.mark.parametrize("drift", ["framework", "system", np.arange(10, 15)])
def test_constant_drift_changes_nothing(drift):
    at_rest = with_framework(np.random.default_rng(10), [0.0, 0.0, 0.0])
    moving = with_framework(np.random.default_rng(10), [0.3, -0.2, 0.1])
    probs = np.ones((200, 10, 1))
    results = [
        transition_displacements(t, probs, "element Li", [1, 20], drift=drift)
        for t in (at_rest, moving)
    ]
    np.testing.assert_allclose(results[1].msd, results[0].msd, rtol=1e-9)
    np.testing.assert_allclose(results[1].msd_interval, results[0].msd_interval, rtol=1e-6)
    raw = transition_displacements(moving, probs, "element Li", 20).total[0]
    # (20 v)² on top of the walk
    assert raw > results[1].total[1] + 0.5 * 400 * 0.14


def test_system_drift_is_weighted_with_mass():
    # Pb 207.2 recoils from Li 6.94 so that the centre of mass rests
    lead = random_walks([0.001], 300, np.random.default_rng(11))
    positions = np.concatenate([-lead * 207.2 / 6.94, lead], axis=1)
    trajectory = Trajectory(positions, None, [3, 82], timestep=1.0)
    probs = np.ones((300, 1, 1))
    free = transition_displacements(trajectory, probs, "element Li", [1, 10], unit="blocks")
    held = transition_displacements(
        trajectory, probs, "element Li", [1, 10], drift="system", unit="blocks"
    )
    # mdtraj's masses have four digits
    np.testing.assert_allclose(held.msd, free.msd, rtol=1e-3)


def test_slope_of_a_hop_is_flat_and_its_secant_is_not():
    rng = np.random.default_rng(12)
    paths, labels, _ = lattice_hopper(2000, 30, rng, leave=(0.01, 0.01))
    trajectory = Trajectory(paths, None, [3] * 30, timestep=TIMESTEP)
    options = {"trajs": trajectory, "probs": np.eye(2)[labels], "targets": "element Li"}
    slope = transition_diffusion(**options, lagtime=4, window=(2, 6))
    secant = transition_diffusion(**options, lagtime=4, method="secant")
    # within 4 frames hardly ever more than one hop of 2 Å: E[d²|0→1] = 4 Å²
    np.testing.assert_allclose(secant.diffusion[0, 1], 4 / (6 * 4 * TIMESTEP), rtol=0.02)
    assert abs(slope.diffusion[0, 1]) < 0.02 * secant.diffusion[0, 1]
    np.testing.assert_allclose(slope.intercept[0, 1], 4.0, rtol=0.03)
    assert not secant.intercept.any()


def test_secants_weighted_with_frequencies_add_up():
    paths, labels, _ = lattice_hopper(500, 20, np.random.default_rng(13))
    trajectory = Trajectory(paths, None, [3] * 20, timestep=TIMESTEP)
    result = transition_diffusion(trajectory, np.eye(2)[labels], "element Li", 3, method="secant")
    model = counted_model(labels, 3)
    flux = model.stationary_distribution[:, None] * model.koopman_matrix
    np.testing.assert_allclose((flux * result.diffusion).sum(), result.total, rtol=1e-12)


def test_targets_at_rest_have_no_doubt():
    result = transition_displacements(
        Trajectory(np.zeros((50, 12, 3)), None, [3] * 12, timestep=1.0),
        np.ones((50, 12, 1)),
        "element Li",
        [1],
    )
    assert result.msd[0, 0, 0] == 0.0
    np.testing.assert_array_equal(result.msd_interval[0, 0, 0], [0.0, 0.0])


def test_missing_transitions_are_named():
    paths = random_walks([0.3] * 4, 40, np.random.default_rng(14))
    probs = np.eye(2)[np.tile([0, 0, 1, 1], (40, 1))]
    with pytest.warns(UnobservedTransitionWarning, match="0→1, 1→0 do not occur"):
        result = transition_displacements(lithium(paths), probs, "element Li", 2)
    np.testing.assert_array_equal(np.isnan(result.msd[0]), [[False, True], [True, False]])
    np.testing.assert_array_equal(result.msd_interval[0, 0, 1], [0.0, np.inf])


def test_a_transition_of_one_target_has_no_limits():
    # only target 0 changes state
    paths = random_walks([0.3] * 12, 60, np.random.default_rng(15))
    labels = np.zeros((60, 12), dtype=int)
    labels[30:, 0] = 1
    with pytest.warns(UnobservedTransitionWarning, match="1→0"):
        result = transition_displacements(
            lithium(paths), np.eye(2)[labels], "element Li", 2, unit="targets"
        )
    assert np.isfinite(result.msd[0, 0, 1])
    np.testing.assert_array_equal(result.msd_interval[0, 0, 1], [0.0, np.inf])
    assert np.isfinite(result.msd_interval[0, 0, 0]).all()


def test_memory_blocks_do_not_show(monkeypatch):
    rng = np.random.default_rng(16)
    paths, probs = random_walks([0.3] * 7, 50, rng), random_probs(rng, 50, 7, 2)
    whole = transition_displacements(lithium(paths), probs, "element Li", [1, 5])
    monkeypatch.setattr("graphkoopman.transport._runs.PART_ELEMENTS", 50 * 12 * 2)
    monkeypatch.setattr("graphkoopman.transport._drift.PART_ELEMENTS", 1)
    pieces = transition_displacements(lithium(paths), probs, "element Li", [1, 5])
    np.testing.assert_allclose(pieces.msd, whole.msd, rtol=1e-12)
    np.testing.assert_allclose(pieces.msd_interval, whole.msd_interval, rtol=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lags": 0}, "lags must be positive whole numbers"),
        ({"lags": [1.5]}, "lags must be positive whole numbers"),
        ({"lags": []}, "lags must be positive whole numbers"),
        ({"lags": 20}, r"lags must be < the longest trajectory \(20 frames\)"),
        ({"probs": np.ones((19, 2, 1))}, r"probs\[0\] must have shape .*\(20, 2, n_states\)"),
        ({"probs": [np.ones((20, 2, 1))] * 2}, r"one array per trajectory \(1\), got 2"),
        ({"probs": np.ones((20, 2, 2))}, "sum to one .* got a sum of 2"),
        ({"probs": np.full((20, 2, 1), np.nan)}, "sum to one"),
        ({"drift": "framework"}, 'drift="framework" needs atoms of species other .* Li'),
        ({"drift": "lattice"}, 'drift must be None, "framework"'),
        ({"drift": [5]}, "drift as an array must hold atom indices from 0 to 1"),
        ({"drift": [0.5]}, "drift as an array must hold atom indices"),
        ({"unit": "frames"}, "unit must be one of"),
        ({"stride": 0}, "stride must be an integer >= 1"),
    ],
)
def test_displacement_errors(changes, message):
    paths = random_walks([0.3] * 2, 20, np.random.default_rng(0))
    options = {"probs": ones(paths), "targets": "element Li", "lags": [1]} | changes
    with pytest.raises(ValueError, match=message):
        transition_displacements(lithium(paths), **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "tangent"}, "method must be one of"),
        ({"method": "secant", "window": (1, 3)}, 'window belongs to method="slope"'),
        ({"window": (3, 5)}, r"window must be two lags around lagtime \(2 frames\)"),
        ({"window": 3}, "window must be .first, last. lag"),
        ({"window": (1, 30)}, "window must be < the longest trajectory"),
        ({"lagtime": 25}, "lagtime must be < the longest trajectory"),
        ({"lagtime": 0}, "lagtime must be positive"),
    ],
)
def test_diffusion_errors(changes, message):
    paths = random_walks([0.3] * 2, 20, np.random.default_rng(0))
    options = {"probs": ones(paths), "targets": "element Li", "lagtime": 2} | changes
    with pytest.raises(ValueError, match=message):
        transition_diffusion(lithium(paths), **options)


def test_timesteps_and_states_must_agree():
    paths = random_walks([0.3] * 2, 20, np.random.default_rng(0))
    both = [ones(paths), ones(paths)]
    with pytest.raises(ValueError, match=r"one timestep, got \[0.5, 1.0\] ps"):
        transition_displacements(
            [lithium(paths), lithium(paths, timestep=1.0)], both, "element Li", 1
        )
    with pytest.raises(ValueError, match="same number of states in every trajectory"):
        transition_displacements(
            [lithium(paths)] * 2, [ones(paths), ones(paths, 2)], "element Li", 1
        )
