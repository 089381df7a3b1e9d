"""GDyNetEstimator: scikit-learn's contract on lists of graphs, states, files."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline

from graphkoopman import GDyNetEstimator, GraphFeaturizer, segments
from graphkoopman.datasets import chain_rates, label_timescales, make_hopping
from graphkoopman.estimator import _checks
from graphkoopman.lobes import GatedEncoder

LAG = 5

# most tests train for a few epochs on purpose; that a fit warns then has tests of its own
pytestmark = pytest.mark.filterwarnings("ignore:training was still improving")


@pytest.fixture(scope="module")
def hopping():
    return make_hopping(chain_rates(2, slowest=25.0), 1500, random_state=0)


@pytest.fixture(scope="module")
def graphs(hopping):
    return GraphFeaturizer(n_neighbors=8, n_hops=1).fit_transform(hopping.trajectory)


def small_estimator(**changes):
    settings = {"n_states": 2, "lagtime": LAG, "encoder": GatedEncoder(1), "random_state": 0}
    return GDyNetEstimator(**settings | changes)


@pytest.fixture(scope="module")
def fitted(graphs):
    return small_estimator().fit(graphs)


def test_learns_the_hidden_states(fitted, graphs, hopping):
    truth = label_timescales(hopping.labels, LAG, 1.0)
    model = fitted.fetch_model()
    # one frame tells the state, so the only difference left is softness of the memberships
    np.testing.assert_allclose(model.timescales_ps(), truth.timescales, rtol=0.05)
    populations = np.sort(truth.populations)[::-1]
    np.testing.assert_allclose(model.empirical_populations, populations, atol=0.01)
    order = np.argsort(-truth.populations)
    predicted = order[fitted.predict(graphs)[0]]
    assert np.mean(predicted == hopping.labels) > 0.99


def test_transform_gives_probabilities(fitted, graphs):
    (probabilities,) = fitted.transform(graphs)
    assert probabilities.shape == (1500, graphs[0].n_targets, 2)
    assert probabilities.dtype == np.float64
    assert probabilities.min() >= 0.0
    # rows are divided by their sum: rounding of one division per entry
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1.0, atol=1e-14)


def rotated(trajectory, rotation):
    cell = trajectory.cell @ rotation.T
    return replace(trajectory, positions=trajectory.positions @ rotation.T, cell=cell)


def reflected(trajectory):
    # a mirror image of positions and cell; two lattice vectors swap to keep the cell right-handed
    mirror = np.diag([-1.0, 1.0, 1.0])
    cell = (trajectory.cell @ mirror)[[1, 0, 2]]
    return replace(trajectory, positions=trajectory.positions @ mirror, cell=cell)


def shifted_and_wrapped(trajectory):
    moved = trajectory.positions + np.array([3.1, -7.7, 40.0])
    fractional = moved @ np.linalg.inv(trajectory.cell)
    return replace(trajectory, positions=(fractional - np.floor(fractional)) @ trajectory.cell)


def permuted(trajectory):
    order = np.random.default_rng(1).permutation(trajectory.n_atoms)
    targets = np.argsort(order)[trajectory.targets]
    return replace(
        trajectory,
        positions=trajectory.positions[:, order],
        species=trajectory.species[order],
        targets=targets,
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda t: rotated(t, Rotation.random(random_state=2).as_matrix()),
        reflected,
        shifted_and_wrapped,
        permuted,
    ],
    ids=["rotation", "reflection", "translation and wrapping", "permutation"],
)
def test_probabilities_are_invariant(fitted, hopping, change):
    trajectory = hopping.trajectory[:200]
    positions = trajectory.positions.astype(np.float64)  # the changes then round at 1e-15
    trajectory = replace(trajectory, positions=positions)
    featurizer = GraphFeaturizer(n_neighbors=8, n_hops=1)
    before = fitted.transform(featurizer.transform(trajectory))[0]
    after = fitted.transform(featurizer.transform(change(trajectory)))[0]
    # float32 in the network, times the slope of the map to memberships
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_rows_of_the_koopman_matrix_sum_to_one(fitted, graphs):
    for lag in (1, LAG, 40):
        matrix = fitted.koopman_model(graphs, lag).koopman_matrix
        np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-10)


def test_score_is_the_vamp2_of_the_states(fitted, graphs):
    (chi,) = fitted.transform(graphs)
    x, y = chi[:-LAG, :, :1].reshape(-1, 1), chi[LAG:, :, :1].reshape(-1, 1)
    # with two states, one column and the constant span them: the score is one plus a correlation
    correlation = np.corrcoef(x.T, y.T)[0, 1]
    assert fitted.score(graphs) == pytest.approx(1.0 + correlation**2, abs=1e-8)


def test_clone_get_params_and_pickle(fitted, graphs):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "lobe_")
    thawed = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(thawed.transform(graphs)[0], fitted.transform(graphs)[0])


def test_same_seed_same_numbers_and_global_generators_untouched(graphs):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the global generator is what is tested
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    a, b = (small_estimator(max_epochs=2, patience=1).fit(graphs) for _ in range(2))
    for name, value in a.lobe_.state_dict().items():
        assert torch.equal(value, b.lobe_.state_dict()[name]), name
    assert torch.equal(torch.random.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_refit_is_idempotent_and_leaves_the_input_alone(graphs):
    distances = graphs[0].distances.copy()
    estimator = small_estimator(max_epochs=2, patience=1).fit(graphs)
    first = estimator.transform(graphs)[0]
    second = estimator.fit(graphs).transform(graphs)[0]
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(graphs[0].distances, distances)


def test_pieces_of_one_run_train_like_the_run(hopping, graphs):
    featurizer = GraphFeaturizer(n_neighbors=8, n_hops=1)
    pieces = featurizer.transform(segments(hopping.trajectory, 4))
    settings = {"max_epochs": 2, "patience": 1}
    whole = small_estimator(**settings).fit(graphs).fetch_model()
    joined = small_estimator(**settings).fit(pieces).fetch_model()
    np.testing.assert_array_equal(joined.koopman_matrix, whole.koopman_matrix)


def test_pipeline_from_trajectories_to_score(hopping):
    pipe = make_pipeline(
        GraphFeaturizer(n_neighbors=8, n_hops=1), small_estimator(max_epochs=3, patience=1)
    )
    pipe.fit([hopping.trajectory[:800], hopping.trajectory[800:]])
    assert [p.shape[0] for p in pipe.transform([hopping.trajectory[:70]])] == [70]
    assert 1.0 < pipe.score(hopping.trajectory) < 2.0


@pytest.mark.parametrize("objective", ["VAMP1", "VAMPE", ("VAMP2", "VAMP1", "VAMP2")])
def test_other_objectives_and_the_paper_schedule(graphs, objective):
    estimator = small_estimator(objective=objective, max_epochs=3, patience=3).fit(graphs)
    stages = (objective,) if isinstance(objective, str) else objective
    # the subspace comes first, whatever the scores of the stages
    assert {row["objective"] for row in estimator.history_} == {"subspace", *stages}
    assert max(row["stage"] for row in estimator.history_) == len(stages)
    assert estimator.validation_score_ > 1.5


# five epochs leave the states soft, which is said so
@pytest.mark.filterwarnings("ignore:.*memberships lay outside the simplex")
@pytest.mark.parametrize("options", [{"normalization": "batch"}, {"aggregation": "mean"}])
def test_compatibility_options_train(graphs, options):
    estimator = small_estimator(max_epochs=5, encoder=GatedEncoder(1, **options)).fit(graphs)
    assert estimator.validation_score_ > 1.5


def test_history_reports_every_epoch(fitted):
    assert fitted.n_iter_ == len(fitted.history_)
    row = fitted.history_[-1]
    assert row["effective_sample_size"] > 1.0
    assert max(r["validation_score"] for r in fitted.history_) <= fitted.validation_score_


def test_bootstrap_covers_the_estimate(fitted, graphs):
    model = fitted.koopman_model(graphs, n_bootstrap=50)
    ((low, high),) = model.timescales_ps_interval()
    assert low < model.prior.timescales_ps()[0] < high


def test_save_and_load(fitted, graphs, tmp_path):
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    loaded = GDyNetEstimator.load(path)
    assert loaded.get_params() == fitted.get_params()
    np.testing.assert_array_equal(loaded.transform(graphs)[0], fitted.transform(graphs)[0])
    np.testing.assert_array_equal(
        loaded.fetch_model().koopman_matrix, fitted.fetch_model().koopman_matrix
    )
    model, again = fitted.fetch_model(), loaded.fetch_model()
    np.testing.assert_array_equal(again.residuals, model.residuals)
    np.testing.assert_array_equal(again.timescale_bounds_ps(), model.timescale_bounds_ps())
    np.testing.assert_equal(loaded.history_, fitted.history_)  # NaN is equal to NaN here
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_not_fitted(graphs, tmp_path):
    for use in (
        lambda e: e.transform(graphs),
        lambda e: e.predict(graphs),
        lambda e: e.score(graphs),
        lambda e: e.fetch_model(),
        lambda e: e.save(tmp_path / "x"),
    ):
        with pytest.raises(NotFittedError):
            use(small_estimator())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_states": 1}, "n_states must be an integer >= 2, got 1"),
        ({"lagtime": 0}, "lagtime must be an integer >= 1"),
        ({"lagtime": 2.5}, "lagtime must be an integer >= 1, got 2.5"),
        ({"lagtime": 1500}, "lagtime must be < the shortest trajectory .1500 frames., got 1500"),
        ({"encoder": GatedEncoder(2)}, "needs graphs of n_hops >= 2, got 1"),
        ({"learning_rate": -1.0}, "learning_rate must be a positive number"),
        ({"encoder": GatedEncoder(normalization="group")}, "normalization must be one of"),
        ({"encoder": GatedEncoder(aggregation="max")}, "aggregation must be one of"),
        ({"objective": "VAMP3"}, "objective must be one of"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"chunk_size": 0}, "chunk_size must be None or a number of frames"),
    ],
)
def test_bad_settings(graphs, changes, message):
    with pytest.raises(ValueError, match=message):
        small_estimator(**changes).fit(graphs)


def test_bad_input(hopping, fitted):
    with pytest.raises(TypeError, match="put a GraphFeaturizer before the estimator"):
        small_estimator().fit([hopping.trajectory])
    with pytest.raises(ValueError, match="at least one GraphTrajectory"):
        small_estimator().fit([])
    short = hopping.trajectory[:50]
    mixed = [
        *GraphFeaturizer(n_neighbors=8, n_hops=1).transform(short),
        *GraphFeaturizer(n_neighbors=6, n_hops=1).transform(short),
    ]
    with pytest.raises(ValueError, match="all graphs must have one n_neighbors"):
        small_estimator().fit(mixed)
    labels = ["new"] * hopping.trajectory.n_atoms
    unseen = GraphFeaturizer(n_neighbors=8, n_hops=1, species_labels=labels).transform(short)
    with pytest.raises(ValueError, match="were not seen in training"):
        fitted.transform(unseen)


def test_neighbours_beyond_the_basis_are_said_so(graphs):
    with pytest.raises(ValueError, match=r"same neighbourhood in every frame.*r_max"):
        small_estimator(encoder=GatedEncoder(1, r_max=0.2)).fit(graphs)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_diverged_steps_are_taken_back(graphs, monkeypatch):
    """Of a step that leaves the finite numbers nothing stays."""
    monkeypatch.setattr("graphkoopman.training._loop.MAX_GRADIENT_NORM", np.inf)
    monkeypatch.setitem(_checks.AT_MOST, "learning_rate", np.inf)
    estimator = small_estimator(learning_rate=1e18, max_epochs=2, patience=2).fit(graphs)
    assert sum(row["n_rollbacks"] for row in estimator.history_) > 0
    assert np.isfinite(estimator.validation_score_)
    assert np.isfinite(estimator.transform(graphs)[0]).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_one_feature(graphs):
    estimator = small_estimator(
        encoder=GatedEncoder(1, n_features=1), n_hidden=1, max_epochs=1
    ).fit(graphs)
    assert np.isfinite(estimator.transform(graphs)[0]).all()


def test_too_many_states_are_said_so(graphs):
    with pytest.warns(ConvergenceWarning):
        small_estimator(n_states=4, max_epochs=3).fit(graphs)


def test_running_out_of_epochs_warns(graphs):
    with pytest.warns(ConvergenceWarning, match="raise max_epochs"):
        small_estimator(max_epochs=1, patience=5).fit(graphs)
