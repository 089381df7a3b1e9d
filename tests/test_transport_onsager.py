"""Onsager coefficients of transitions: exact sums, known correlations, signs of transference."""

from types import SimpleNamespace

import numpy as np
import pytest
from transport_walkers import BOX, TIMESTEP, TRICLINIC, one_state, ones, random_walks, wrap

from benchmarks._walkers import lithium as hoppers_in_a_box, pair_hoppers
from graphkoopman.trajectories import Trajectory, unwrap
from graphkoopman.transport import conduction_contributions, onsager_contributions
from graphkoopman.transport._conduction import NERNST_EINSTEIN

TEMPERATURE = 500.0


def three_states(lagtime):
    return SimpleNamespace(
        koopman_matrix=np.full((3, 3), 1 / 3),
        stationary_distribution=np.ones(3) / 3,
        lagtime=lagtime,
    )


def agrees(value, interval):
    """Within twice the 95 % interval, four standard errors: dozens of checks, none by chance."""
    middle, width = np.mean(interval, axis=-1), np.ptp(interval, axis=-1)
    return np.all(np.abs(np.asarray(value) - middle) <= width)


def salt(n_frames=300, n_targets=6, n_others=9, seed=0):
    """Cations with noisy states among anions, in a cell that changes."""
    rng = np.random.default_rng(seed)
    paths = random_walks(rng.uniform(0.01, 0.1, n_targets + n_others), n_frames, rng)
    cells = TRICLINIC * rng.uniform(0.99, 1.01, size=(n_frames, 1, 1))
    species = [3] * n_targets + [17] * n_others
    trajectory = Trajectory(paths, cells, species, timestep=TIMESTEP)
    return trajectory, rng.dirichlet(np.ones(3), size=(n_frames, n_targets)), paths


def direct(paths, charges, lag, volume):
    """Einstein conductivity by the textbook, from unwrapped paths."""
    moment = np.einsum("fnx,n->fx", paths, charges)
    moved = moment[lag:] - moment[:-lag]
    mean = (moved**2).sum(axis=1).mean()
    return NERNST_EINSTEIN * mean / (6 * lag * TIMESTEP * volume * TEMPERATURE)


def test_parts_sum_to_the_einstein_total():
    trajectory, probs, _ = salt()
    options = {"state_charges": [1.0, 0.3, -2.0], "temperature": TEMPERATURE}
    result = onsager_contributions(trajectory, probs, "element Li", three_states(7), **options)
    total = conduction_contributions(
        trajectory, probs, "element Li", three_states(7), method="secant", **options
    )
    parts = result.self_.sum() + result.distinct.sum()
    np.testing.assert_allclose(parts, total.einstein, rtol=1e-10)
    np.testing.assert_allclose(result.einstein, total.einstein, rtol=1e-10)
    np.testing.assert_allclose(result.total, total.einstein, rtol=1e-10)
    np.testing.assert_allclose(result.self_.sum(), total.nernst_einstein, rtol=1e-10)
    np.testing.assert_allclose(result.einstein_interval, total.einstein_interval, rtol=1e-10)
    np.testing.assert_allclose(result.distinct_pairs.sum(axis=(2, 3)), result.distinct, rtol=1e-9)
    # how transition a follows b is how b follows a
    pairs = result.distinct_pairs
    np.testing.assert_allclose(pairs, pairs.transpose(2, 3, 0, 1), rtol=1e-9)


@pytest.mark.parametrize("form", ["mapping", "pairs", "one pair", "charges of atoms"])
def test_other_carriers_are_in_the_total_and_in_the_distinct_part(form):
    trajectory, probs, _ = salt()
    # in a cell that changes, displacements are those of unwrap, not of the raw paths
    paths = unwrap(trajectory)
    others = {
        "mapping": {"element Cl": -0.5},
        "pairs": [("element Cl", [-0.5] * 9)],
        "one pair": (np.arange(6, 15), -0.5),
        "charges of atoms": np.array([3.0] * 6 + [-0.5] * 9),
    }[form]
    result = onsager_contributions(
        trajectory,
        probs,
        "element Li",
        three_states(5),
        state_charges=0.75,
        temperature=TEMPERATURE,
        others=others,
    )
    volume = np.linalg.det(trajectory.cell).mean()
    charges = np.array([0.75] * 6 + [-0.5] * 9)
    expected = direct(paths, charges, 5, volume)
    np.testing.assert_allclose(result.total, expected, rtol=1e-10)
    np.testing.assert_allclose(result.onsager.sum(), expected, rtol=1e-10)
    np.testing.assert_allclose(result.onsager[0].sum(), result.einstein, rtol=1e-10)
    np.testing.assert_allclose(result.self_.sum() + result.distinct.sum(), result.einstein)
    alone = direct(paths[:, 6:], charges[6:], 5, volume)
    np.testing.assert_allclose(result.onsager[1, 1], alone, rtol=1e-10)
    np.testing.assert_allclose(result.transference.sum(), 1.0)
    np.testing.assert_allclose(result.transference_of.sum(), result.transference[0])
    cross = result.distinct_others.sum(axis=(1, 2))
    np.testing.assert_allclose(cross, result.onsager[0, 1:], rtol=1e-10)


def test_a_plain_sum_over_pairs_of_ions_agrees():
    # written as in a textbook: every pair of ions, every time origin
    trajectory, probs, _ = salt(n_frames=60, n_targets=4)
    paths, lag, n_states = unwrap(trajectory), 3, 3
    steps = paths[lag:] - paths[:-lag]
    self_, distinct = np.zeros((2, n_states, n_states))
    for n in range(4):
        for m in range(steps.shape[1]):
            products = (steps[:, n] * steps[:, m]).sum(axis=1) * (1.0 if m < 4 else -1.0)
            target = self_ if m == n else distinct
            target += np.einsum("f,fi,fj->ij", products, probs[:-lag, n], probs[lag:, n])
    scale = NERNST_EINSTEIN / (6 * lag * TIMESTEP * TEMPERATURE * len(steps))
    scale /= np.linalg.det(trajectory.cell).mean()
    result = onsager_contributions(
        trajectory,
        probs,
        "element Li",
        three_states(lag),
        state_charges=1.0,
        temperature=TEMPERATURE,
        others={"element Cl": -1.0},
    )
    np.testing.assert_allclose(result.self_, scale * self_, rtol=1e-10)
    np.testing.assert_allclose(result.distinct, scale * distinct, rtol=1e-8)


@pytest.mark.parametrize("lag", [1, 3])
def test_pairs_that_hop_together(lag):
    """Over a lag, the label tells the parity of hops, of which the others than one are free."""
    alone, together, n_pairs = 0.1, 0.1, 10
    pairs = pair_hoppers(8000, n_pairs, np.random.default_rng(1), alone, together, None)
    result = onsager_contributions(
        hoppers_in_a_box(pairs.paths),
        np.eye(2)[pairs.labels],
        "element Li",
        SimpleNamespace(
            koopman_matrix=np.full((2, 2), 0.5), stationary_distribution=[0.5, 0.5], lagtime=lag
        ),
        state_charges=1.0,
        temperature=TEMPERATURE,
    )
    hop = together + (1 - together) * alone
    even = 0.5 * (1 + (1 - 2 * hop) ** (lag - 1))
    share = np.array([[1 - even, even], [even, 1 - even]])
    scale = 2 * n_pairs * 0.5 * 4.0 * NERNST_EINSTEIN / (6 * 12.0**3 * TEMPERATURE)
    assert agrees(scale * hop * share, result.self_interval)
    assert agrees(scale * together * share, result.distinct_interval)
    assert agrees(hop / (hop + together), result.total_haven_interval)
    hops = share > 0
    assert agrees(hop / (hop + together), result.haven_interval[hops])
    # a pair's labels change together: 0 → 1 with 0 → 1 and with 1 → 0 alike
    np.testing.assert_allclose(pairs.distinct[0, 1], 2 * n_pairs * 0.5 * together * 4.0)


def test_hops_that_are_concerted_from_one_state_only():
    pairs = pair_hoppers(8000, 10, np.random.default_rng(2))
    result = onsager_contributions(
        hoppers_in_a_box(pairs.paths),
        np.eye(2)[pairs.labels],
        "element Li",
        SimpleNamespace(
            koopman_matrix=np.full((2, 2), 0.5), stationary_distribution=[0.5, 0.5], lagtime=1
        ),
        state_charges=1.0,
        temperature=TEMPERATURE,
    )
    scale = NERNST_EINSTEIN / (6 * 12.0**3 * TEMPERATURE)
    assert agrees(scale * pairs.distinct, result.distinct_interval)
    assert agrees(scale * pairs.distinct[0, 1], result.distinct_pairs_interval[0, 1, 0, 1])
    assert result.haven_interval[0, 1, 1] < result.haven_interval[1, 0, 0]
    assert np.isnan(result.haven[0, 0])  # nothing moves there
    np.testing.assert_array_equal(result.haven_interval[0, 0], [-np.inf, np.inf])


def clusters(n_bound, n_free, n_frames, rng, cluster_diffusion=0.05, free_diffusion=0.05):
    """One cation with two anions each, and free cations; exact transference in the fixed frame."""
    bound = random_walks([cluster_diffusion] * n_bound, n_frames, rng)
    free = random_walks([free_diffusion] * n_free, n_frames, rng)
    cations = np.concatenate([bound, free], axis=1)
    anions = np.repeat(bound, 2, axis=1)
    own = free_diffusion * n_free - cluster_diffusion * n_bound
    total = free_diffusion * n_free + cluster_diffusion * n_bound
    kind = np.array([1] * n_bound + [0] * n_free)
    return cations, anions, np.tile(np.eye(2)[kind], (n_frames, 1, 1)), own / total


@pytest.mark.parametrize(("n_free", "sign"), [(2, -1.0), (20, 1.0)])
def test_sign_of_the_transference_number(n_free, sign):
    rng = np.random.default_rng(3)
    cations, anions, probs, exact = clusters(8, n_free, 4000, rng)
    positions = np.concatenate([cations, anions], axis=1)
    species = [3] * cations.shape[1] + [17] * anions.shape[1]
    result = onsager_contributions(
        Trajectory(wrap(positions, BOX), BOX, species, timestep=TIMESTEP),
        probs,
        "element Li",
        SimpleNamespace(koopman_matrix=np.eye(2), stationary_distribution=[0.5, 0.5], lagtime=4),
        state_charges=1.0,
        temperature=TEMPERATURE,
        others={"element Cl": -1.0},
    )
    assert np.sign(exact) == np.sign(result.transference[0]) == sign
    assert agrees(exact, result.transference_interval[0])
    # cations with two anions are carried backwards, free ones are not
    assert result.transference_of_interval[1, 1, 1] < 0 < result.transference_of_interval[0, 0, 0]
    assert result.distinct_interval[1, 1, 1] < 0
    # one number per cluster: -1 for the cation of each, so H = 1 / (1 - 2)
    np.testing.assert_allclose(result.haven[1, 1], -1.0, rtol=0.3)


def test_the_frame_that_drifts_and_wrapping_change_nothing():
    rng = np.random.default_rng(4)
    paths = random_walks([0.1] * 8, 300, rng)
    frame = np.broadcast_to(rng.uniform(0, 10, size=(15, 3)), (300, 15, 3))
    velocity = np.arange(300)[:, None, None] * np.array([0.2, 0.1, -0.3])
    still = np.concatenate([paths, frame], axis=1)
    results = []
    for positions in (still, still + velocity, wrap(still + velocity, TRICLINIC)):
        trajectory = Trajectory(
            positions, TRICLINIC, [3] * 5 + [17] * 3 + [16] * 15, timestep=TIMESTEP
        )
        results.append(
            onsager_contributions(
                trajectory,
                ones(paths[:, :5], 2),
                "element Li",
                SimpleNamespace(
                    koopman_matrix=np.full((2, 2), 0.5),
                    stationary_distribution=[0.5, 0.5],
                    lagtime=4,
                ),
                state_charges=1.0,
                temperature=TEMPERATURE,
                drift=np.arange(8, 23),
                others={"element Cl": -1.0},
            )
        )
    for name in ("self_", "distinct", "onsager", "transference", "distinct_interval"):
        first, *rest = (getattr(result, name) for result in results)
        for other in rest:
            # rounding of paths that are 100 Å long
            np.testing.assert_allclose(other, first, rtol=1e-7, atol=1e-12)


def test_several_runs_are_pooled_and_unequal_charges_kept():
    trajectory, probs, _ = salt()
    options = {
        "targets": "element Li",
        "model": three_states(4),
        "state_charges": 1.0,
        "target_charges": np.linspace(-1.0, 1.0, 6),
        "temperature": TEMPERATURE,
    }
    whole = onsager_contributions([trajectory, trajectory], [probs, probs], **options)
    one = onsager_contributions(trajectory, probs, **options)
    np.testing.assert_allclose(whole.distinct, one.distinct, rtol=1e-10)
    np.testing.assert_allclose(whole.self_, one.self_, rtol=1e-10)
    expected = direct(
        unwrap(trajectory)[:, :6],
        np.linspace(-1.0, 1.0, 6),
        4,
        np.linalg.det(trajectory.cell).mean(),
    )
    np.testing.assert_allclose(one.einstein, expected, rtol=1e-10)


# the two atoms of a molecule are anywhere in the cell here
@pytest.mark.filterwarnings("ignore::graphkoopman.trajectories.LongStepWarning")
def test_trajectories_as_units():
    parts = [salt(seed=seed) for seed in range(6)]
    options = {
        "trajs": [part[0] for part in parts],
        "probs": [part[1] for part in parts],
        "targets": "element Li",
        "model": three_states(4),
        "state_charges": 1.0,
        "temperature": TEMPERATURE,
    }
    runs, blocks = (
        onsager_contributions(**options, unit=unit) for unit in ("trajectories", "auto")
    )
    assert (runs.unit, runs.n_units) == ("trajectories", 6)
    assert blocks.unit == "blocks"
    np.testing.assert_allclose(runs.distinct, blocks.distinct)
    # a leave-one-out of whole runs, by hand
    without = [
        onsager_contributions(
            **options
            | {"trajs": options["trajs"][:k] + options["trajs"][k + 1 :]}
            | {"probs": options["probs"][:k] + options["probs"][k + 1 :]}
        ).distinct[0, 1]
        for k in range(6)
    ]
    half = np.ptp(runs.distinct_interval[0, 1]) / 2
    error = np.sqrt(5 * np.var(without))
    # Student's t of nearly five degrees of freedom
    assert 2.5 < half / error < 2.8
    with pytest.raises(ValueError, match="unit must be one of"):
        onsager_contributions(**options, unit="targets")


def test_molecules_move_with_their_centre():
    rng = np.random.default_rng(6)
    paths = random_walks([0.05] * 10, 300, rng)
    cations, centres = paths[:, :6], paths[:, 6:]
    bonds = rng.normal(size=centres.shape)
    bonds *= 0.75 / np.linalg.norm(bonds, axis=-1, keepdims=True)
    ends = np.stack([centres - bonds, centres + bonds], axis=2).reshape(300, 8, 3)
    trajectory = Trajectory(
        wrap(np.concatenate([cations, ends], axis=1), BOX),
        BOX,
        [3] * 6 + [17] * 8,
        timestep=TIMESTEP,
    )
    options = {
        "probs": rng.dirichlet(np.ones(3), size=(300, 6)),
        "targets": "element Li",
        "model": three_states(4),
        "state_charges": 1.0,
        "temperature": TEMPERATURE,
    }
    molecules = onsager_contributions(
        trajectory, **options, others=[(np.arange(6, 14).reshape(4, 2), -2.0)]
    )
    atoms = onsager_contributions(trajectory, **options, others={"element Cl": -1.0})
    assert molecules.carriers == ("targets", "others[0]")
    assert atoms.carriers == ("targets", "element Cl")
    # two equal masses of charge -1 are one centre of charge -2
    np.testing.assert_allclose(molecules.onsager, atoms.onsager, rtol=1e-9)
    alone = direct(centres, np.full(4, -2.0), 4, 12.0**3)
    np.testing.assert_allclose(molecules.onsager[1, 1], alone, rtol=1e-9)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"others": {"element Li": 1.0}}, ValueError, "no other carrier has, got atom 0"),
        ({"others": {"element Cl": np.nan}}, ValueError, "one finite number of e"),
        ({"others": {"element Cl": [1.0, 2.0]}}, ValueError, "one for each of its 9"),
        ({"others": {}}, ValueError, "at least one carrier"),
        ({"others": np.zeros(15)}, ValueError, "charge to an atom that is no target's"),
        ({"others": np.ones(4)}, ValueError, "each of the 15 atoms"),
        ({"others": object()}, TypeError, "others must map selections to charges"),
        ({"temperature": -1.0}, ValueError, "temperature must be a positive"),
        ({"state_charges": np.inf}, ValueError, "state_charges must be"),
        ({"model": one_state(4)}, ValueError, "model must have the 3 states"),
        ({"model": three_states(400)}, ValueError, "lagtime of model must be < the longest"),
    ],
)
def test_bad_arguments(changes, error, message):
    trajectory, probs, _ = salt()
    arguments = {
        "model": three_states(4),
        "state_charges": 1.0,
        "temperature": TEMPERATURE,
    }
    with pytest.raises(error, match=message):
        onsager_contributions(trajectory, probs, "element Li", **(arguments | changes))


def test_a_system_without_a_cell_has_no_conductivity():
    paths = random_walks([0.1] * 3, 50, np.random.default_rng(5))
    trajectory = Trajectory(paths, None, [3] * 3, timestep=TIMESTEP)
    with pytest.raises(ValueError, match="must have cells"):
        onsager_contributions(
            trajectory,
            ones(paths),
            "element Li",
            one_state(4),
            state_charges=1.0,
            temperature=TEMPERATURE,
        )


def test_repr_names_carriers_and_the_haven_ratio():
    trajectory, probs, _ = salt()
    result = onsager_contributions(
        trajectory,
        probs,
        "element Li",
        three_states(4),
        state_charges=1.0,
        temperature=TEMPERATURE,
        others={"element Cl": -1.0},
    )
    assert "carriers=('targets', 'element Cl')" in repr(result)
    assert "total_haven=" in repr(result)
