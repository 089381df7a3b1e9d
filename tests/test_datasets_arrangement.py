"""Square complexes: exact kinetics, and states that no distance from the target tells."""

import numpy as np
import pytest

from graphkoopman.datasets import chain_rates, label_timescales, make_arrangement
from graphkoopman.neighbors import within

OXYGEN, FLUORINE, SULFUR = 8, 9, 16


@pytest.fixture(scope="module")
def still():
    return make_arrangement(chain_rates(2, slowest=5.0), 200, vibration=0.0, random_state=0)


def distances_by_kind(run, frame, atoms, radius=8.0):
    """Sorted distances from some atoms to all of each kind."""
    _, neighbors, distances = within(run.positions[frame], run.cell, radius, centers=atoms)
    kinds = run.species[neighbors]
    return {kind: np.sort(distances[kinds == kind]) for kind in (OXYGEN, FLUORINE, SULFUR)}


def test_distances_from_centre_and_ligands_are_the_same_in_both_states(still):
    run, labels = still.trajectory, still.labels
    frames = [int(np.flatnonzero(labels[:, 0] == state)[0]) for state in (0, 1)]
    ligands = np.arange(1, 5)
    for atoms in ([0], ligands):
        cis, trans = (distances_by_kind(run, frame, atoms) for frame in frames)
        for kind in (SULFUR, OXYGEN, FLUORINE):
            np.testing.assert_allclose(cis[kind], trans[kind], atol=1e-4)


def test_oxygens_are_neighbours_or_opposite(still):
    run = still.trajectory
    for target in range(3):
        first = 9 * target + 5
        arms = run.positions[:, first] - run.positions[:, first + 1]
        arms -= run.cell[0, 0] * np.rint(arms / run.cell[0, 0])
        lengths = np.linalg.norm(arms, axis=1)
        expected = np.where(still.labels[:, target] == 0, 3.8 * np.sqrt(2.0), 7.6)
        np.testing.assert_allclose(lengths, expected, atol=1e-4)


def test_labels_have_the_exact_time():
    data = make_arrangement(chain_rates(2, slowest=10.0), 20_000, random_state=1)
    assert data.timescales[0] == pytest.approx(10.0)
    found = label_timescales(data.labels, 1, 1.0).timescales[0]
    assert found == pytest.approx(10.0, rel=0.1)  # 16 000 exchanges: 2 % and less


def test_two_states_only():
    with pytest.raises(ValueError, match="two states cis and trans, got 3"):
        make_arrangement(chain_rates(3, slowest=10.0), 10)
