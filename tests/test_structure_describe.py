"""States in words: order parameters, their effects, and rules that reproduce the states."""

import re
import warnings

import mdtraj
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from structure_systems import TRICLINIC, distances_of, gas, random_probs

from graphkoopman.datasets import chain_rates, load_example, make_hopping, simulate_li_fcc
from graphkoopman.plotting import plot_state_description
from graphkoopman.structure import EmptyStateWarning, bond_order, describe_states
from graphkoopman.structure._first_shell import first_minimum
from graphkoopman.structure._rules import cohens_kappa
from graphkoopman.tables import rows_of
from graphkoopman.trajectories import Trajectory

LI, OXYGEN, S = 3, 8, 16


@pytest.fixture(scope="module")
def hopping():
    return make_hopping(chain_rates(3, slowest=20.0), 400, random_state=0)


@pytest.fixture(scope="module")
def described(hopping):
    return describe_states(hopping.trajectory, np.eye(3)[hopping.labels], None)


def test_hopping_names_the_ligands_that_make_the_state(described):
    # cages of 8 S at 2.2 or 3.0 Å; the number of near ones is the state: 8, 4, 0 by falling weight
    for sentence, words in zip(
        described.sentences, ("≥ 7 S within", "3 to 6 S within", "≤ 2 S within"), strict=True
    ):
        assert words in sentence
        assert "a rule of one number gives 100%" in sentence
    assert 2.3 < described.radii["S"] < 2.9
    assert described.kappa > 0.99
    assert [rule.n_numbers for rule in described.rules] == [1, 1, 1]
    assert "S within" in described.tree_text()
    assert described.parameters[described.largest(0)[0]].name.startswith("S within")


def test_states_without_structural_difference_are_said_to_have_none(hopping):
    # persistent like real states, but of other targets' history: nothing around explains them
    other = make_hopping(chain_rates(2, slowest=20.0), 400, random_state=1)
    description = describe_states(hopping.trajectory, np.eye(2)[other.labels], None)
    for sentence, rule in zip(description.sentences, description.rules, strict=True):
        assert "no plain order parameter tells it from the others" in sentence
        assert abs(rule.kappa) < 0.2
    assert description.kappa_interval[0] < 0.05


def test_toy_sites_are_their_coordination():
    toy = simulate_li_fcc(3000.0, random_state=0)
    probs = np.eye(2)[toy.reference.types].reshape(len(toy.trajectory), 1, 2)
    description = describe_states(toy.trajectory, probs, None)
    # octahedral sites have six sulphurs and tetrahedral ones four; the cell is so small that most
    # of them are periodic images
    counts = [i for i, p in enumerate(description.parameters) if p.kind == "count"]
    np.testing.assert_allclose(description.mean[:, counts[0]], [6.0, 4.0], atol=0.3)
    assert "≥ 5 S" in description.sentences[0]
    assert "≤ 4 S" in description.sentences[1]


@pytest.mark.parametrize("wide", [False, True])
def test_order_parameters_follow_their_definitions(wide):
    # 16 Å and more hold a sphere of 8 Å; the narrow cell is repeated
    cell = 2.0 * TRICLINIC if wide else TRICLINIC
    trajectory = gas(cell, 6, [LI] * 5 + [S] * 60, seed=3)
    probs = random_probs(6, 5, 2)
    result = describe_states(trajectory, probs, [0, 1, 2, 3, 4], species="S", axis=None)
    names = [p.name for p in result.parameters]
    nearest = np.empty((6, 5))
    for frame in range(6):
        for target in range(5):
            center = trajectory.positions[frame, target]
            nearest[frame, target] = distances_of(trajectory, frame, center, slice(5, None)).min()
    column = names.index("distance of the nearest S")
    expected = np.einsum("fts,ft->s", probs, nearest) / probs.sum((0, 1))
    np.testing.assert_allclose(result.mean[:, column], expected, rtol=1e-12)


def test_bond_orders_are_freuds():
    rng = np.random.default_rng(0)
    sites = 3.0 * np.array(list(np.ndindex(6, 6, 6)))
    positions = sites + rng.normal(scale=0.3, size=(4, 216, 3))
    crystal = Trajectory(positions, 18.0 * np.eye(3), np.full(216, LI), timestep=1.0)
    probs = random_probs(4, 216, 2)
    result = describe_states(crystal, probs, "element Li", axis=None)
    names = [p.name for p in result.parameters]
    for order, n in ((3, 4), (6, 12)):
        (oracle,) = bond_order(crystal, "element Li", order, n_neighbors=n)
        expected = np.einsum("fts,ft->s", probs, oracle) / probs.sum((0, 1))
        column = names.index(f"bond order q{order} of the {n} nearest Li")
        # freud works in single precision
        np.testing.assert_allclose(result.mean[:, column], expected, rtol=1e-5)


def test_intervals_of_effects_cover_a_known_difference(hopping):
    rng = np.random.default_rng(0)
    given = {}
    for number in range(40):
        given[f"shifted {number}"] = rng.normal(size=hopping.labels.shape)
        given[f"shifted {number}"][hopping.labels == 0] += 2.0
    result = describe_states(hopping.trajectory, np.eye(3)[hopping.labels], None, observables=given)
    columns = [i for i, p in enumerate(result.parameters) if p.kind == "given"]
    low, high = result.effect_interval[0, columns].T
    # 0.95 within three standard errors of 40 draws
    assert np.mean((low < 2.0) & (high > 2.0)) > 0.84
    assert np.median(high - low) < 0.3
    assert np.median(result.effect[0, columns]) == pytest.approx(2.0, abs=0.05)


def test_intervals_cover_where_blocks_are_shorter_than_what_states_remember():
    # a parameter that drifts as slowly as the states do not: 20 blocks of a tenth of its time each
    rng = np.random.default_rng(0)
    data = make_hopping(chain_rates(2, slowest=150.0), 800, n_targets=4, random_state=3)
    probs = np.eye(2)[data.labels]
    given = {}
    for number in range(60):
        noise = rng.normal(size=data.labels.shape)
        slow = np.empty_like(noise)
        slow[0] = noise[0]
        keep = np.exp(-1.0 / 100.0)
        for frame in range(1, len(noise)):
            slow[frame] = keep * slow[frame - 1] + np.sqrt(1.0 - keep**2) * noise[frame]
        given[f"slow {number}"] = slow
    result = describe_states(data.trajectory, probs, None, observables=given, max_samples=4000)
    columns = [i for i, p in enumerate(result.parameters) if p.kind == "given"]
    low, high = result.effect_interval[0, columns].T
    # no difference: 0.95 within three standard errors of 60 draws
    assert np.mean((low < 0.0) & (high > 0.0)) > 0.86


def test_refits_that_differ_widen_effects_rules_and_sentences(hopping, described):
    probs = np.eye(3)[hopping.labels]
    rng = np.random.default_rng(0)
    # networks that take every tenth sample for another state
    others = []
    for _ in range(3):
        wrong = rng.random(hopping.labels.shape) < 0.1
        others.append([np.eye(3)[np.where(wrong, (hopping.labels + 1) % 3, hopping.labels)]])
    result = describe_states(hopping.trajectory, [[probs], *others], None)
    np.testing.assert_array_equal(result.effect, described.effect)
    narrow = np.diff(described.effect_interval)[..., 0]
    wide = np.diff(result.effect_interval)[..., 0]
    assert np.all(wide >= narrow - 1e-12)
    # by far most where the effect is: of the numbers that make the states
    assert wide[0, described.largest(0)[0]] > 3.0 * narrow[0, described.largest(0)[0]]
    for rule, alone in zip(result.rules, described.rules, strict=True):
        assert rule.text == alone.text
        assert rule.kappa_interval[0] < alone.kappa_interval[0]
        assert rule.kappa_interval[1] <= 1.0
    assert f"{result.rules[0].kappa_interval[0]:.2f}" in result.sentences[0]


def test_kappa_is_scikit_learns():
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    found[:120] = truth[:120]
    confusion = np.zeros((3, 3))
    np.add.at(confusion, (truth, found), 1)
    assert cohens_kappa(confusion) == pytest.approx(cohen_kappa_score(truth, found), rel=1e-12)
    assert cohens_kappa(np.diag([5.0, 0.0])) == 0.0


def test_first_minimum_of_known_distributions():
    r = np.arange(0.025, 8.0, 0.05)
    shells = np.exp(-((r - 2.0) ** 2) / 0.02) + 0.8 * np.exp(-((r - 4.0) ** 2) / 0.02)
    peak, minimum = first_minimum(r, shells)
    assert peak == pytest.approx(2.0, abs=0.05)
    assert 2.5 < minimum < 3.5  # nothing is in between
    liquid = np.where(r < 1.6, 0.0, 1.0 + 2.0 * np.exp(-(r - 2.0) / 1.5) * np.cos(3.0 * (r - 2.0)))
    # cos(3 (r - 2)) is lowest at 2 + π/3, somewhat earlier as it decays
    assert first_minimum(r, liquid)[1] == pytest.approx(2.0 + np.pi / 3.0, abs=0.15)
    assert np.isnan(first_minimum(r, np.zeros_like(r))).all()


def test_a_slab_has_a_position_and_molecules_have_a_size():
    trajectory = gas(np.diag([10.0, 10.0, 30.0]), 40, [LI] * 10 + [S] * 20, seed=1)
    upper = trajectory.positions[:, :10, 2] > 15.0
    result = describe_states(trajectory, np.eye(2)[upper.astype(int)], "element Li")
    assert "position along c above 15" in result.sentences[1]
    assert "position" not in " ".join(
        p.name for p in describe_states(trajectory, np.eye(2)[upper.astype(int)], "element Li",
                                        axis=None).parameters
    )  # fmt: skip
    molecules = make_hopping(chain_rates(2, slowest=20.0), 300, molecules=True, random_state=0)
    result = describe_states(molecules.trajectory, np.eye(2)[molecules.labels], None)
    assert any(
        words in result.sentences[0] for words in ("radius of gyration", "largest distance inside")
    )
    assert result.kappa > 0.99


def test_residues_tell_atoms_of_one_element_apart():
    trajectory = gas(np.diag([20.0, 20.0, 20.0]), 30, [LI] * 6 + [OXYGEN] * 40, seed=2)
    topology = trajectory.to_mdtraj().topology
    for atom in topology.atoms:
        atom.residue.name = "ION" if atom.index < 6 else ("PEO" if atom.index < 26 else "TFS")
    named = Trajectory(
        trajectory.positions, trajectory.cell, trajectory.species, timestep=1.0, topology=topology
    )
    result = describe_states(named, random_probs(30, 6, 2), "element Li")
    assert set(result.radii) == {"Li", "O of PEO", "O of TFS"}


def test_contacts_of_the_polymer_electrolyte_with_anions_are_named():
    """Lithium with an oxygen of an anion within 3 Å, counted by mdtraj, against that without."""
    run = load_example("peo_litfsi", sample=True).trajectories[0]
    frames = run.to_mdtraj()
    lithium, oxygens = (
        frames.topology.select(words) for words in ("element Li", "resname TFS and element O")
    )
    pairs = np.array([(i, j) for i in lithium for j in oxygens])
    distances = 10.0 * mdtraj.compute_distances(frames, pairs)  # Å
    bound = (distances.reshape(len(run), len(lithium), -1) < 3.0).any(axis=2)
    assert 0.02 < bound.mean() < 0.2
    result = describe_states(run, np.eye(2)[bound.astype(int)], "element Li")
    assert {"O of PEO", "O of TFS"} <= set(result.radii)
    assert result.kappa > 0.95
    free, contact = result.sentences
    assert re.search(r"nearest O of TFS above 3\.\d+ Å", free)
    assert re.search(r"nearest O of TFS at most 3\.\d+ Å", contact)


def test_charges_in_the_first_shells():
    corners = np.concatenate([np.eye(3), -np.eye(3)]) * 2.0
    positions = np.concatenate([[[0.0, 0.0, 0.0]], corners, [[0.0, 0.0, 6.0]]]) + 10.0
    ion = Trajectory(
        np.broadcast_to(positions, (8, 8, 3)), 20 * np.eye(3), [LI] + [S] * 7, timestep=1.0
    )
    charges = [1.0] + [-0.5] * 7
    result = describe_states(ion, random_probs(8, 1, 2), [0], charges=charges)
    column = [p.kind for p in result.parameters].index("charge")
    np.testing.assert_allclose(result.mean[:, column], 1.0 - 6 * 0.5, rtol=1e-12)


def test_targets_alone_have_nothing_around_and_say_so():
    rng = np.random.default_rng(0)
    alone = Trajectory(rng.normal(size=(60, 1, 3)), None, [LI], timestep=1.0)
    result = describe_states(alone, random_probs(60, 1, 2), [0])
    assert "no plain order parameter" in result.sentences[0]
    assert "no surroundings" in str(result)


def test_an_empty_state_is_announced(hopping):
    probs = np.zeros((*hopping.labels.shape, 2))
    probs[..., 0] = 1.0
    with pytest.warns(EmptyStateWarning):
        result = describe_states(hopping.trajectory, probs, None)
    assert np.isnan(result.mean[1]).all()
    assert "no plain order parameter" in result.sentences[1]


def test_wrong_input_is_named(hopping):
    probs = np.eye(3)[hopping.labels]
    for arguments, words in (
        ({"axis": "d"}, "axis must be"),
        ({"observables": {"x": np.ones(3)}}, r"observables\['x'\] must have shapes"),
        ({"charges": [1.0]}, "charges must be finite"),
        ({"max_samples": 3}, "max_samples must be"),
        ({"species": "Xe"}, "species must be elements"),
    ):
        with pytest.raises(ValueError, match=words):
            describe_states(hopping.trajectory, probs, None, **arguments)


def test_table_and_figure(described):
    frame = described.to_dataframe()
    assert len(frame) == 3 * len(described.parameters)
    assert {"state", "order parameter", "unit", "effect, 95 % low"} <= set(frame)
    assert frame["effect"].tolist() == described.effect.ravel().tolist()
    assert rows_of(described.rules_table())[0][4].startswith("≥ 7 S within")
    assert "≥ 7 S" in described._repr_html_()
    ax = plot_state_description(described)
    assert len(ax.get_yticklabels()) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax.figure.savefig("/dev/null", format="svg")
