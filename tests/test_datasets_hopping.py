"""Hopping targets: geometry, noise and wrapping of the frames that a learner sees."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

from graphkoopman.datasets import chain_rates, label_timescales, make_hopping

TRICLINIC = np.array([[17.0, 0.0, 0.0], [4.0, 16.5, 0.0], [-3.0, 5.0, 18.0]])


def minimum_image(vectors, cell):
    """Shortest image for vectors much shorter than half the cell's heights."""
    fractional = vectors @ np.linalg.inv(cell)
    return (fractional - np.round(fractional)) @ cell


def bodies(data):
    """Vectors from the first atom of each cage or molecule, (n_frames, n_targets, n - 1, 3)."""
    positions = np.asarray(data.trajectory.positions, dtype=np.float64)
    n_targets = data.labels.shape[1]
    solvent = np.count_nonzero(np.asarray(data.trajectory.species) == 18)
    units = positions[:, : positions.shape[1] - solvent]
    units = units.reshape(len(positions), n_targets, -1, 3)
    return minimum_image(units[:, :, 1:] - units[:, :, :1], data.trajectory.cell)


def single_frame_features(data):
    """Sorted distances in the cage, or the three sides of the molecule."""
    vectors = bodies(data)
    distances = np.sort(np.linalg.norm(vectors, axis=-1), axis=-1)
    if vectors.shape[2] == 2:
        side = np.linalg.norm(vectors[:, :, 0] - vectors[:, :, 1], axis=-1, keepdims=True)
        distances = np.concatenate([distances, side], axis=-1)
    return distances.reshape(-1, distances.shape[-1])


@pytest.mark.parametrize("molecules", [False, True])
@pytest.mark.parametrize("n_states", [2, 3, 4, 5])
def test_one_frame_tells_the_state(n_states, molecules):
    rates = chain_rates(n_states, slowest=50.0)
    data = make_hopping(rates, 4000, molecules=molecules, random_state=n_states)
    features, states = single_frame_features(data), data.labels.ravel()
    half = len(states) // 2
    classifier = QuadraticDiscriminantAnalysis(reg_param=1e-3)
    error = 1 - classifier.fit(features[:half], states[:half]).score(features[half:], states[half:])
    # about 1e-3 or less expected; 16 000 frames resolve it to 2e-4
    assert error < 0.002


@pytest.mark.parametrize("n_states", [2, 3, 4, 5])
def test_labels_have_the_exact_kinetics(n_states):
    data = make_hopping(chain_rates(n_states, slowest=100.0), 20_000, random_state=1)
    known = label_timescales(data.labels, 3, 1.0)
    expected = 100.0 / 3.0 ** np.arange(n_states - 1)
    np.testing.assert_allclose(data.timescales, expected, rtol=1e-9)
    # 3.5 standard errors, so that 5 of them for each of 4 cases fail once in a few hundred seeds
    assert (np.abs(known.timescales - expected) < 3.5 * known.timescales_error).all()
    deviation = np.abs(known.populations - data.stationary_distribution)
    assert (deviation < 3.5 * known.populations_error).all()


def test_chains_start_stationary():
    rates = chain_rates(3, slowest=1e6, separation=2.0)
    data = make_hopping(rates, 1, n_targets=4000, random_state=0)
    frequency = np.bincount(data.labels[0], minlength=3) / 4000
    np.testing.assert_allclose(frequency, data.stationary_distribution, atol=3.5 * 0.008)


@pytest.mark.parametrize("molecules", [False, True])
def test_no_direction_is_preferred(molecules):
    data = make_hopping(
        chain_rates(2, slowest=50.0), 10_000, molecules=molecules, vibration=0.0, random_state=3
    )
    direction = bodies(data)[:, :, 0].reshape(-1, 3)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    tensor = direction.T @ direction / len(direction)
    # 80 000 independent directions: standard error 1/√(3·80000) = 2e-3, 1e-3 for the tensor
    np.testing.assert_allclose(direction.mean(axis=0), 0, atol=7e-3)
    np.testing.assert_allclose(tensor, np.eye(3) / 3, atol=4e-3)
    previous, following = direction[:-8], direction[8:]
    assert abs((previous * following).sum(axis=1).mean()) < 7e-3


@pytest.mark.parametrize("molecules", [False, True])
@pytest.mark.parametrize("cell", [None, TRICLINIC])
def test_coordinates_are_wrapped_atom_by_atom(cell, molecules):
    data = make_hopping(
        chain_rates(2, slowest=50.0), 200, cell=cell, molecules=molecules, random_state=0
    )
    trajectory = data.trajectory
    fractional = trajectory.positions.astype(np.float64) @ np.linalg.inv(trajectory.cell)
    # float32 rounding of 20 Å is 1e-6 Å
    assert fractional.min() > -1e-6
    assert fractional.max() < 1 + 1e-6
    assert trajectory.positions.dtype == np.float32
    # whole again by minimum image: 3.0 Å + vibration in a cage, 1.7 Å + vibration in a molecule
    assert np.linalg.norm(bodies(data), axis=-1).max() < (2.1 if molecules else 3.8)


def test_the_boundary_cuts_molecules():
    data = make_hopping(chain_rates(2, slowest=50.0), 200, molecules=True, random_state=0)
    trajectory = data.trajectory
    targets = np.asarray(trajectory.targets)
    assert targets.shape == (8, 3)
    assert np.asarray(trajectory.species)[targets].tolist() == 8 * [[8, 6, 6]]
    positions = trajectory.positions[:, targets]  # (n_frames, n_targets, 3, 3)
    extent = np.ptp(positions, axis=2).max(axis=-1)
    cut = extent > trajectory.cell[0, 0] / 2
    assert cut.mean() > 0.3
    assert not cut.all(axis=0).all()


@pytest.mark.parametrize("n_targets", [1, 5, 8, 12])
@pytest.mark.parametrize("cell", [None, 1.6 * TRICLINIC])
def test_cages_stay_apart(cell, n_targets):
    data = make_hopping(
        chain_rates(2, slowest=50.0), 20, n_targets=n_targets, cell=cell, random_state=0
    )
    trajectory = data.trajectory
    assert np.asarray(trajectory.targets).tolist() == list(range(0, 9 * n_targets, 9))
    centers = trajectory.positions[:, trajectory.targets].astype(np.float64)
    sulfur = trajectory.positions[:, np.asarray(trajectory.species) == 16].astype(np.float64)
    distance = np.linalg.norm(
        minimum_image(sulfur[:, None] - centers[:, :, None], trajectory.cell), axis=-1
    )
    # the eight nearest S are the cage's own, everything else lies beyond the gap
    distance.sort(axis=-1)
    assert distance[..., 7].max() < 3.8
    if n_targets > 1:
        assert distance[..., 8].min() > 4.0


def test_hidden_states_look_alike():
    rates = np.array([[-0.2, 0.2, 0.0], [0.05, -0.06, 0.01], [0.0, 0.01, -0.01]])
    data = make_hopping(rates, 5000, visible=[0, 1, 1], random_state=0)
    np.testing.assert_array_equal(data.visible_labels, np.array([0, 1, 1])[data.labels])
    pi = data.stationary_distribution
    np.testing.assert_allclose(data.visible_populations, [pi[0], pi[1] + pi[2]])
    distances = single_frame_features(data).sum(axis=1)
    labels = data.labels.ravel()
    means = [distances[labels == state].mean() for state in range(3)]
    assert means[1] - means[0] > 5
    # the same distribution in both hidden states; standard error of the mean below 0.01 Å
    assert abs(means[1] - means[2]) < 0.03
    np.testing.assert_allclose(data.visible_transition_matrix(4).sum(axis=1), 1)


def test_same_seed_same_trajectory():
    rates = chain_rates(2, slowest=20.0)
    first, second, other = (make_hopping(rates, 50, random_state=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.trajectory.positions, second.trajectory.positions)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert not np.array_equal(first.trajectory.positions, other.trajectory.positions)


def test_numbers_of_ligands():
    data = make_hopping(chain_rates(2, slowest=20.0), 10, n_ligands=6, random_state=0)
    assert data.trajectory.positions.shape == (10, 8 * 7, 3)
    with pytest.raises(ValueError, match="at most n_ligands \\+ 1 = 3 different states, got 4"):
        make_hopping(chain_rates(4, slowest=20.0), 10, n_ligands=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_frames": 0}, "n_frames must be >= 1, got 0"),
        ({"n_targets": 0}, "n_targets must be >= 1, got 0"),
        ({"timestep": 0.0}, "timestep must be a positive number of ps per frame, got 0"),
        ({"vibration": -0.1}, "vibration must be >= 0 Å, got -0.1"),
        ({"n_ligands": 1}, "n_ligands must be >= 2, got 1"),
        ({"cell": np.eye(2)}, "cell must hold three cell vectors as rows"),
        ({"cell": np.zeros((3, 3))}, "cell must span a volume"),
        ({"cell": 10 * np.eye(3)}, "cell must leave 7.0 Å between 8 targets"),
        ({"visible": [0]}, "one integer for each of the 2 Markov states"),
        ({"visible": [0.0, 1.0]}, "one integer for each of the 2 Markov states"),
        ({"visible": [0, 2]}, "every number from 0 to its largest"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_hopping(chain_rates(2, slowest=20.0), **{"n_frames": 10, **arguments})
