"""Generated environments: symmetries of the flow, cut-outs, corrections, and what is drawn."""

import pickle

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from sklearn.base import clone

from graphkoopman.datasets import make_hopping
from graphkoopman.generation import ClosureWarning, EnvironmentDecoder, rewire
from graphkoopman.generation._environments import Environments, cut_environments
from graphkoopman.generation._flow import VelocityNetwork
from graphkoopman.generation._prior import Contacts, Prior, RadialCorrection
from graphkoopman.koopman import KoopmanModel
from graphkoopman.trajectories import Trajectory

TRICLINIC = np.array([[11.0, 0.0, 0.0], [3.0, 10.0, 0.0], [-2.0, 4.0, 12.0]])


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return VelocityNetwork(n_kinds=2, n_states=2, n_hidden=8, n_layers=2, reach=3.0).double()


@pytest.fixture(scope="module")
def cloud():
    generator = torch.Generator().manual_seed(1)
    positions = torch.randn(3, 6, 3, generator=generator, dtype=torch.float64)
    kinds = torch.tensor([[0, 0, 1, 1, 0, 1]] * 3)
    return (
        positions,
        kinds,
        torch.full((3, 2), 0.5).double(),
        torch.tensor([0.1, 0.5, 0.9]).double(),
    )


@pytest.mark.parametrize("mirror", [1.0, -1.0], ids=["rotated", "reflected"])
def test_velocities_turn_with_the_environment(network, cloud, mirror):
    positions, *rest = cloud
    turn = mirror * torch.as_tensor(Rotation.random(random_state=0).as_matrix())
    velocity = network(positions, *rest)
    assert velocity.abs().max() > 1e-3
    turned = network(positions @ turn, *rest)
    # double precision, sums in another order
    torch.testing.assert_close(turned, velocity @ turn, rtol=0, atol=1e-12)


def test_velocities_follow_a_permutation(network, cloud):
    positions, kinds, probs, time = cloud
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    velocity = network(positions, kinds, probs, time)
    permuted = network(positions[:, order], kinds[:, order], probs, time)
    torch.testing.assert_close(permuted, velocity[:, order], rtol=0, atol=1e-12)


def test_velocities_know_elements_states_and_time(network, cloud):
    positions, kinds, probs, time = cloud
    velocity = network(positions, kinds, probs, time)
    for other in (
        (positions, 1 - kinds, probs, time),
        (positions, kinds, torch.tensor([[1.0, 0.0]] * 3).double(), time),
        (positions, kinds, probs, time + 0.05),
    ):
        assert (network(*other) - velocity).abs().max() > 1e-6


@pytest.mark.parametrize("scale", [1.0, 0.35], ids=["large cell", "smaller than the reach"])
def test_cut_outs_are_the_nearest_images(scale):
    rng = np.random.default_rng(2)
    cell = scale * TRICLINIC
    n_atoms = 60 if scale == 1.0 else 6
    positions = rng.random((4, n_atoms, 3)) @ cell
    species = np.array([3] * 2 + [16, 17] * ((n_atoms - 2) // 2))
    run = Trajectory(positions, cell, species, timestep=1.0)
    found = cut_environments(run, np.ones((4, 2, 1)), "element Li", 10, 100, rng)
    assert len(found) == 8
    shifts = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3), axis=-1).reshape(-1, 3) @ cell
    for row in range(8):
        frame, target = divmod(row, 2)
        images = positions[frame][:, None] - positions[frame, target] + shifts
        lengths = np.linalg.norm(images, axis=-1)
        lengths[lengths < 1e-9] = np.inf
        order = np.argsort(lengths, axis=None)[:10]
        atoms, image = np.unravel_index(order, lengths.shape)
        np.testing.assert_allclose(found.positions[row], images[atoms, image], atol=1e-9)
        np.testing.assert_array_equal(found.species[row], species[atoms])


def test_atoms_of_a_molecule_come_first():
    rng = np.random.default_rng(3)
    centres = 3.0 * np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)
    shape = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    atoms = centres[:, None] + shape
    positions = atoms.reshape(1, -1, 3) + 0.01 * rng.normal(size=(5, 192, 3))
    run = Trajectory(positions, 12 * np.eye(3), [8, 1, 1] * 64, timestep=1.0)
    molecules = np.arange(192).reshape(64, 3)
    found = cut_environments(run, np.ones((5, 64, 1)), molecules, 6, 10**6, rng)
    assert found.n_inner == 2
    assert found.species.shape == (320, 8)
    np.testing.assert_array_equal(found.species[:, :2], 1)
    np.testing.assert_allclose(np.linalg.norm(found.positions[:, :2], axis=-1), 0.96, atol=0.06)
    assert np.linalg.norm(found.positions[:, 2:], axis=-1).min() > 1.5


def shells(n=4000, seed=4):
    """Two states: three S near in one, three Cl in the other, among four far S."""
    rng = np.random.default_rng(seed)
    state = rng.integers(2, size=n)
    radii = np.concatenate([rng.normal(2.4, 0.1, (n, 3)), rng.normal(4.0, 0.2, (n, 4))], axis=1)
    arms = rng.normal(size=(n, 7, 3))
    arms *= (radii / np.linalg.norm(arms, axis=-1))[..., None]
    species = np.where(np.arange(7) < 3, np.where(state == 1, 17, 16)[:, None], 16)
    share = rng.uniform(0.0, 0.08, n)
    probs = np.stack([1 - share, share], axis=1)
    probs[state == 1] = probs[state == 1, ::-1]
    return Environments(arms, species, probs, np.array([3]))


def test_elements_are_those_of_environments_like_the_request():
    data = shells()
    prior = Prior(data)
    rng = np.random.default_rng(5)
    chosen = prior.templates(np.eye(2)[[0, 1, 0]], rng)
    assert (data.probs[chosen].argmax(axis=1) == [0, 1, 0]).all()
    # nothing is near an even request: the nearest fifty
    chosen = prior.templates(np.full((500, 2), 0.5), rng)
    assert len(np.unique(chosen)) <= 50
    assert data.probs[chosen].max(axis=1).max() < np.median(data.probs.max(axis=1))


def test_the_flow_begins_at_environments_under_noise():
    data = shells()
    prior, rng = Prior(data), np.random.default_rng(6)
    off = prior.points(np.arange(4000), 0.3, rng) - data.positions
    # 84 000 numbers
    np.testing.assert_allclose(off.std(), 0.3, rtol=0.01)
    assert abs(off.mean()) < 0.005
    # rare states are learned as often as common ones
    few = Prior(Environments(*(x[:2100] for x in ordered(data)), data.own))
    chosen = few.balanced(2000, rng)
    np.testing.assert_allclose((few.groups[chosen] == 1).mean(), 0.5, atol=0.05)
    assert (few.groups == 1).mean() < 0.1


def ordered(data):
    """Positions, species and probabilities, those of state 0 first."""
    order = np.argsort(data.probs.argmax(axis=1), kind="stable")
    return data.positions[order], data.species[order], data.probs[order]


def test_radii_are_corrected_to_those_of_the_data():
    data = shells()
    prior, templates = Prior(data), np.arange(4000)
    rng = np.random.default_rng(7)
    drawn = data.positions * rng.normal(1.05, 0.04, size=(4000, 7, 1))
    correction = RadialCorrection.of(prior, templates, drawn)
    fresh = data.positions * rng.normal(1.05, 0.04, size=(4000, 7, 1))
    corrected = correction.apply(fresh, prior, templates)
    for kind in range(prior.n_kinds):
        for group in (0, 1):
            here = (prior.kinds == kind) & (prior.groups == group)[:, None]
            if here.any():
                ours = np.quantile(np.linalg.norm(corrected, axis=-1)[here], [0.05, 0.5, 0.95])
                theirs = np.quantile(prior.radii[here], [0.05, 0.5, 0.95])
                # sampling of quantiles of 6 000 radii, a few hundredths of an Å in the tails
                np.testing.assert_allclose(ours, theirs, atol=0.04)
    cosines = np.einsum("nax,nax->na", corrected, fresh)
    cosines /= np.linalg.norm(corrected, axis=-1) * np.linalg.norm(fresh, axis=-1)
    np.testing.assert_allclose(cosines, 1.0)


def test_radii_of_environments_between_states_are_corrected_apart():
    certain = shells()
    is_between = np.arange(4000) % 2 == 1
    probs = np.where(is_between[:, None], 0.2 + 0.6 * certain.probs, certain.probs)
    positions = certain.positions * np.where(is_between, 1.1, 1.0)[:, None, None]
    prior = Prior(Environments(positions, certain.species, probs, certain.own))
    # a flow that takes no notice of the difference
    correction = RadialCorrection.of(prior, np.arange(4000), certain.positions)
    fresh = shells(seed=5)
    same = np.flatnonzero(fresh.probs.argmax(axis=1) == certain.probs.argmax(axis=1))
    radii = np.linalg.norm(correction.apply(fresh.positions[same], prior, same), axis=-1)
    for which in (is_between, ~is_between):
        ours, theirs = np.median(radii[which[same]], axis=0), np.median(prior.radii[which], axis=0)
        # medians of a thousand radii of width 0.1 to 0.2 Å; the difference is 0.24 to 0.4 Å
        np.testing.assert_allclose(ours, theirs, atol=0.03)


def test_clashes_are_found_by_elements():
    data = shells()
    contacts = Contacts.of(data)
    assert contacts.is_free(data.positions, data.species).mean() > 0.9
    clashing = data.positions[:10].copy()
    clashing[:, 0] = clashing[:, 6] + 0.01
    assert not contacts.is_free(clashing, data.species[:10]).any()
    near = data.positions[:10].copy()
    near[:, 0] *= 0.2  # on top of the target
    assert not contacts.is_free(near, data.species[:10]).any()


def test_atoms_too_close_are_pushed_apart():
    data = shells()
    contacts = Contacts.of(data)
    near = data.positions[:200].copy()
    near[:, 3] = near[:, 6] + 0.1
    apart = contacts.apart(near, data.species[:200])
    assert contacts.is_free(near, data.species[:200]).mean() < 0.05
    assert contacts.is_free(apart, data.species[:200]).mean() > 0.95
    np.testing.assert_allclose(*(np.linalg.norm(x, axis=-1) for x in (apart, near)), rtol=1e-9)
    # equivariant, and the identity where nothing is close
    turn = Rotation.random(random_state=1).as_matrix()
    np.testing.assert_allclose(contacts.apart(near @ turn, data.species[:200]), apart @ turn)
    loose = contacts.is_free(data.positions * 1.5, data.species)
    wide = data.positions[loose] * 1.5
    np.testing.assert_allclose(contacts.apart(wide, data.species[loose]), wide, atol=0.06)


@pytest.fixture(scope="module")
def cages():
    system = make_hopping(
        [[-0.02, 0.02], [0.02, -0.02]], 300, n_targets=8, timestep=1.0, random_state=0
    )
    return system.trajectory, np.eye(2)[system.labels]


@pytest.fixture(scope="module")
def decoder(cages):
    return EnvironmentDecoder(8, n_hidden=16, n_layers=2, n_steps=60, random_state=0).fit(*cages)


@pytest.mark.filterwarnings("ignore::graphkoopman.generation.ClosureWarning")
def test_parameters_clones_and_pickles(decoder):
    parameters = decoder.get_params()
    assert parameters["n_neighbors"] == 8
    assert parameters["n_hidden"] == 16
    copy = clone(decoder)
    assert copy.get_params() == parameters
    assert not hasattr(copy, "network_")
    again = pickle.loads(pickle.dumps(decoder))
    drawn = (one.sample(np.eye(2), 3, random_state=0) for one in (decoder, again))
    for mine, theirs in zip(*drawn, strict=True):
        np.testing.assert_array_equal(mine.positions, theirs.positions)


@pytest.mark.filterwarnings("ignore::graphkoopman.generation.ClosureWarning")
def test_what_is_drawn(decoder, cages):
    assert np.mean(decoder.losses_[-10:]) < 0.8 * np.mean(decoder.losses_[:10])
    assert 0.0 <= decoder.acceptance_ <= 1.0
    atoms = decoder.sample(np.eye(2), 50, random_state=0)
    assert len(atoms) == 100
    for i, item in enumerate(atoms):
        assert item.get_chemical_formula() == "LiS8"
        np.testing.assert_array_equal(item.positions[0], 0.0)
        np.testing.assert_array_equal(item.info["probs"], np.eye(2)[i // 50])
    # however short the training, the numbers of near and far neighbours are those of the state
    positions = np.array([item.positions[1:] for item in atoms])
    near = (np.linalg.norm(positions, axis=-1) < 2.6).mean(axis=1).reshape(2, 50).mean(axis=1)
    data = decoder.environments_
    is_near = (np.linalg.norm(data.positions, axis=-1) < 2.6).mean(axis=1)
    expected = [is_near[data.probs[:, state] > 0.5].mean() for state in (0, 1)]
    np.testing.assert_allclose(near, expected, atol=0.05)


@pytest.mark.filterwarnings("ignore::graphkoopman.generation.ClosureWarning")
def test_seeds_and_output(decoder):
    one, same, other = (
        decoder.sample([1.0, 0.0], 3, output="trajectory", timestep=2.0, random_state=seed)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.positions, same.positions)
    assert np.abs(one.positions - other.positions).max() > 0.1
    assert one.n_frames == 3
    assert one.timestep == 2.0
    assert one.species.tolist() == [3] + [16] * 8


def test_training_repeats_and_leaves_torch_alone(cages):
    state = torch.get_rng_state()
    options = {"n_hidden": 8, "n_layers": 1, "n_steps": 5, "max_environments": 200}
    first, second = (EnvironmentDecoder(8, random_state=3, **options).fit(*cages) for _ in range(2))
    assert first.losses_ == second.losses_
    torch.testing.assert_close(torch.get_rng_state(), state)


def test_clashes_that_stay_are_said(decoder, monkeypatch):
    monkeypatch.setattr(Contacts, "is_free", lambda self, x, _: np.zeros(len(x), dtype=bool))
    with pytest.warns(ClosureWarning, match="2 of 2 environments hold atoms that are closer"):
        decoder.sample([1.0, 0.0], 2, random_state=0)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"probs": [0.5, 0.6]}, ValueError, "sum to one"),
        ({"probs": [1.5, -0.5]}, ValueError, "negative"),
        ({"probs": [1.0, 0.0, 0.0]}, ValueError, r"probs must have shape \(2,\)"),
        ({"n": 0}, ValueError, "n must be"),
        ({"output": "xyz"}, ValueError, "output must be"),
    ],
)
def test_bad_requests(decoder, changes, error, message):
    with pytest.raises(error, match=message):
        decoder.sample(**({"probs": [1.0, 0.0]} | changes))


def test_bad_settings(cages):
    mixed = np.array([0, 1, 2, 3, 4, 5, 6, 8])
    with pytest.raises(ValueError, match="noise must be a positive"):
        EnvironmentDecoder(8, noise=0.0).fit(*cages)
    with pytest.raises(ValueError, match="n_steps"):
        EnvironmentDecoder(8, n_steps=0).fit(*cages)
    with pytest.raises(ValueError, match="same atoms in the same order"):
        EnvironmentDecoder(8, n_steps=1).fit(cages[0], cages[1], mixed)


def test_environments_of_rewired_sequences(cages):
    trajectory, probs = cages
    model = KoopmanModel([[0.9, 0.1], [0.1, 0.9]], lagtime=5, timestep=1.0)
    sequence = rewire(trajectory, probs, model, 20, 2, random_state=0)
    atoms = sequence.environments(trajectory, n_neighbors=8, sequence=1)
    near = np.array([(np.linalg.norm(a.positions[1:], axis=1) < 2.6).sum() for a in atoms])
    states = sequence.probs[:, 1].argmax(axis=1)
    counts = [near[states == state] for state in (0, 1)]
    assert len(atoms) == 20
    assert set(counts[0]).isdisjoint(counts[1])
