"""Real trajectories through the whole pipeline, read and fitted with no hand-holding."""

import mdtraj as md
import numpy as np
import pytest

from graphkoopman import GDyNetEstimator, GraphFeaturizer, read_trajectory
from graphkoopman.lobes import GatedEncoder
from graphkoopman.structure import describe_states

# one or two epochs on purpose: these tests are about input, not about convergence
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fit_briefly(trajectories, targets, lagtime):
    graphs = GraphFeaturizer(targets=targets, n_neighbors=12, n_hops=1).transform(trajectories)
    estimator = GDyNetEstimator(
        2,
        lagtime,
        encoder=GatedEncoder(n_conv=1),
        max_epochs=2,
        patience=1,
        batch_size=100,
        random_state=0,
    )
    estimator.fit(graphs)
    return estimator, graphs


def check_result(estimator, graphs):
    probabilities = estimator.transform(graphs)
    for item, p in zip(graphs, probabilities, strict=True):
        assert p.shape == (len(item), item.n_targets, 2)
        # one division per entry
        np.testing.assert_allclose(p.sum(axis=-1), 1.0, atol=1e-12)
    matrix = estimator.fetch_model().koopman_matrix
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-10)
    assert estimator.validation_score_ > 1.0


def test_argyrodite_runs(shared_data):
    paths = sorted((shared_data / "argyrodite").glob("Li6PS5Cl_50p_run*.XDATCAR.gz"))[:3]
    trajectories = [read_trajectory(path, timestep=0.1) for path in paths]
    estimator, graphs = fit_briefly(trajectories, "element Li", 5)
    assert [item.n_targets for item in graphs] == [192] * 3
    check_result(estimator, graphs)


# 150 frames are shorter than what they relax in
@pytest.mark.filterwarnings("ignore::graphkoopman.koopman.BeyondDataWarning")
@pytest.mark.parametrize("name", ["si_sw.npz", "siau.npz", "peo_litfsi.npz"])
def test_gdynet_files(shared_data, name):
    trajectory = read_trajectory(shared_data / "md" / name)[:150]
    estimator, graphs = fit_briefly([trajectory], None, 5)
    check_result(estimator, graphs)


def test_water_molecules_as_targets(shared_data):
    folder = shared_data / "md"
    trajectory = read_trajectory(
        folder / "water.xtc", top=folder / "water.pdb", timestep=0.04, ignore_times=True
    )
    molecules = np.arange(3 * 216).reshape(216, 3)
    estimator, graphs = fit_briefly([trajectory[:150]], molecules, 5)
    assert graphs[0].n_targets == 216
    check_result(estimator, graphs)


def test_xtc_and_npz_of_one_run_give_the_same_neighbours(shared_data):
    folder = shared_data / "md"
    from_xtc = read_trajectory(folder / "peo_litfsi.xtc", top=folder / "peo_litfsi.pdb")[:5]
    from_npz = read_trajectory(folder / "peo_litfsi.npz")[:5]
    a, b = (
        GraphFeaturizer(targets="element Li", n_neighbors=6, n_hops=1).transform(t)[0]
        for t in (from_xtc, from_npz)
    )
    # xtc keeps 0.01 Å per coordinate: at most 0.02 Å on a distance
    np.testing.assert_allclose(a.distances, b.distances, atol=0.02)


def test_states_of_the_electrolyte_are_told_by_their_oxygens(shared_data):
    folder = shared_data / "md"
    run = md.load(folder / "peo_litfsi.xtc", top=folder / "peo_litfsi.pdb", stride=5)
    lithium = run.topology.select("element Li")
    oxygens = run.topology.select("resname TFS and element O")
    pairs = np.array([(i, j) for i in lithium for j in oxygens])
    distances = md.compute_distances(run, pairs).reshape(len(run), len(lithium), -1)
    # ions that touch an anion, and those that ether oxygens have for themselves; nm
    touching = (distances < 0.29).any(axis=-1).astype(int)
    assert touching.sum() > 50
    description = describe_states(run, np.eye(2)[touching], "element Li")
    free, paired = description.sentences
    # the border is 2.9 Å by construction
    assert "nearest O of TFS above 2.9" in free or "nearest O of TFS above 2.8" in free
    assert "O of TFS" in paired
    assert description.kappa > 0.8
    # an anion takes the place of ether oxygens
    names = [parameter.name for parameter in description.parameters]
    ether = next(i for i, name in enumerate(names) if name.startswith("O of PEO within"))
    assert description.mean[0, ether] > description.mean[1, ether]
