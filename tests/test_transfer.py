"""Weights of another fit, frozen encoders, attention, and features in place of graphs."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from benchmarks._training_settings import trained_with
from graphkoopman import GDyNetEstimator, GraphFeaturizer, segments
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.descriptors import FeatureTrajectory, FunctionFeaturizer
from graphkoopman.lobes import AttentionPooling, FeatureEncoder, GatedEncoder
from graphkoopman.model_selection import KoopmanScorer, SegmentKFold, cross_val_transform

LAG = 5
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::graphkoopman.koopman.BeyondDataWarning",
    "ignore::graphkoopman.koopman.FixedStateWarning",
)


@pytest.fixture(scope="module")
def run():
    return make_hopping(chain_rates(2, slowest=20.0), 1000, random_state=0).trajectory


@pytest.fixture(scope="module")
def graphs(run):
    return GraphFeaturizer(n_neighbors=8, n_hops=1).transform(run)


@pytest.fixture(scope="module")
def fitted(graphs):
    return estimator_with(max_epochs=20).fit(graphs)


def estimator_with(**changes):
    settings = {"n_states": 2, "lagtime": LAG, "encoder": GatedEncoder(1), "n_init": 1,
                "max_epochs": 2, "random_state": 0}  # fmt: skip
    return GDyNetEstimator(**settings | changes)


def weights(estimator, part="encoder"):
    state = estimator.lobe_.state_dict()
    return {name: value.numpy() for name, value in state.items() if name.startswith(part)}


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_nothing_is_lost_by_starting_from_a_fit(fitted, graphs):
    """The states that are there count as the first candidate."""
    again = estimator_with(init_from=fitted, encoder=None, max_epochs=1).fit(graphs)
    assert again.encoder_ == fitted.encoder_
    # the same held-out frames and at least the same network
    assert again.validation_score_ >= fitted.validation_score_ - 1e-9


def test_a_file_will_do(fitted, graphs, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    fits = [
        estimator_with(init_from=source, freeze="encoder").fit(graphs)
        for source in (fitted, tmp_path / "model.safetensors", make_pipeline(fitted))
    ]
    assert same(weights(fits[0]), weights(fitted))
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.transform(graphs)[0], fits[0].transform(graphs)[0])


def test_elements_keep_their_vectors_in_another_data_set(fitted, run):
    """Rows follow atomic numbers, not the place in a data set's list of elements."""
    species = np.array(fitted.species_)
    labels = np.where(run.species == species[0], species[0] + 1, run.species)
    (other,) = GraphFeaturizer(n_neighbors=8, n_hops=1, species_labels=labels).transform(run)
    moved = estimator_with(init_from=fitted, freeze="encoder").fit(other)
    name = "encoder.embedding.weight"
    theirs = dict(zip(fitted.species_.tolist(), weights(fitted)[name], strict=True))
    ours = dict(zip(moved.species_.tolist(), weights(moved)[name], strict=True))
    known = set(theirs) & set(ours)
    assert known
    assert set(ours) - known
    for element in known:
        np.testing.assert_array_equal(ours[element], theirs[element])
    for layer, value in weights(moved).items():
        if layer != name:
            np.testing.assert_array_equal(value, weights(fitted)[layer])


def test_another_number_of_states(fitted, graphs):
    moved = estimator_with(n_states=3, init_from=fitted, freeze="encoder").fit(graphs)
    assert same(weights(moved), weights(fitted))
    assert moved.transform(graphs)[0].shape[2] == 3


def test_a_frozen_random_encoder_is_a_baseline(graphs):
    frozen, free = (estimator_with(freeze=freeze).fit(graphs) for freeze in ("encoder", None))
    with trained_with(steps_per_epoch=1):
        start = estimator_with(freeze="encoder", max_epochs=1).fit(graphs)
    assert same(weights(frozen), weights(start))
    assert not same(weights(free), weights(start))
    assert not same(weights(frozen, "head"), weights(start, "head"))


def test_clones_start_from_the_same_fit(fitted, graphs):
    estimator = estimator_with(init_from=fitted)
    copied = clone(estimator)
    assert copied.init_from is fitted
    assert not hasattr(copied, "lobe_")
    np.testing.assert_array_equal(
        copied.fit(graphs).transform(graphs)[0], estimator.fit(graphs).transform(graphs)[0]
    )


@pytest.mark.parametrize(
    ("init_from", "kind", "message"),
    [
        (GDyNetEstimator(), ValueError, "init_from must be fitted"),
        (3, TypeError, "init_from must be a fitted GDyNetEstimator"),
        ("no such file", FileNotFoundError, "no model file at no such file"),
    ],
)
def test_bad_sources(graphs, init_from, kind, message):
    with pytest.raises(kind, match=message):
        estimator_with(init_from=init_from).fit(graphs)


def test_sources_of_another_network(fitted, graphs):
    with pytest.raises(ValueError, match="take the encoder of init_from, encoder=None does"):
        estimator_with(init_from=fitted, encoder=GatedEncoder(1, 8)).fit(graphs)


def test_checkpoints_know_what_they_started_from(fitted, graphs, tmp_path):
    settings = {"init_from": fitted, "freeze": "encoder"}
    once = estimator_with(**settings, checkpoint_dir=tmp_path).fit(graphs)
    again = estimator_with(**settings, checkpoint_dir=tmp_path).fit(graphs)
    assert same(weights(once, ""), weights(again, ""))
    with pytest.raises(ValueError, match=r"another fit: init_from was '\w{32}', is None"):
        estimator_with(freeze="encoder", checkpoint_dir=tmp_path).fit(graphs)
    assert GDyNetEstimator.load(tmp_path / "model.safetensors").init_from is None


def test_attention_is_read_afterwards(run, graphs):
    pairs = graphs[0].target_atoms.reshape(4, 2)
    (graphs,) = GraphFeaturizer(pairs, n_neighbors=8, n_hops=1).transform(run)
    estimator = estimator_with(pooling=AttentionPooling(4), max_epochs=6).fit(graphs)
    (shares,) = estimator.pooling_weights(graphs)
    assert shares.shape == (1000, 8)
    # a softmax in float32
    np.testing.assert_allclose(shares.reshape(1000, 4, 2).sum(axis=2), 1.0, atol=1e-5)
    assert abs(shares - 0.5).max() > 1e-4
    means = estimator_with(max_epochs=1).fit(graphs).pooling_weights(graphs)[0]
    np.testing.assert_array_equal(means, 0.5)


def test_settings_of_parts_that_are_not_there_yet(graphs):
    estimator = GDyNetEstimator().set_params(encoder__n_conv=1, pooling__n_hidden=3)
    assert estimator.encoder == GatedEncoder(1)
    assert estimator.pooling == AttentionPooling(3)
    assert GDyNetEstimator().set_params(encoder__n_layers=2).encoder == FeatureEncoder(2)
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        GDyNetEstimator().set_params(encoder__depth=2)
    search = GridSearchCV(
        GDyNetEstimator(2, LAG, max_epochs=1, n_init=1, random_state=0),
        {"encoder__n_conv": [1]},
        cv=SegmentKFold(2, gap=0),
        scoring=KoopmanScorer("vamp2"),
        error_score="raise",
    )
    search.fit([graphs[0][:300], graphs[0][320:640], graphs[0][660:]])
    assert search.best_estimator_.encoder_ == GatedEncoder(1)


def positions_of(trajectory, targets):
    """Where a target is along the cell, as points on circles: whole turns look the same."""
    atoms = np.array([group[0] for group in targets])
    fractions = trajectory.positions[:, atoms] @ np.linalg.inv(trajectory.cells[0])
    angles = 2 * np.pi * fractions
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=2)


def telegraph(seed=0, n_frames=4000, n_targets=3, scale=1.0):
    """Two states of known relaxation time behind noise, a still feature and units of no meaning."""
    rng = np.random.default_rng(seed)
    # it turns in 2.44 % of the steps: (1 - 2 p)^20 = 1/e
    state = np.cumsum(rng.random((n_frames, n_targets)) < 0.0244, axis=0) % 2
    noise = rng.normal(size=(n_frames, n_targets, 2))
    features = np.stack([state + 0.2 * noise[..., 0], 1e4 * noise[..., 1], 7.0 + 0 * state], -1)
    return FeatureTrajectory(scale * features, timestep=0.5, parent=f"run {seed}"), state


@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_features_give_the_known_answer(scale):
    features, state = telegraph(scale=scale)
    estimator = GDyNetEstimator(2, LAG, max_epochs=15, n_init=1, random_state=0).fit(features)
    assert isinstance(estimator.encoder_, FeatureEncoder)
    # some 290 exchanges
    assert estimator.fetch_model().timescales_ps()[0] == pytest.approx(10.0, rel=0.2)
    found = estimator.predict(features)[0]
    agreement = (found == state).mean()
    # 0.2 of noise on a distance of one: 0.6 % lie beyond the middle
    assert max(agreement, 1 - agreement) > 0.97


def test_features_in_every_tool(run, tmp_path):
    pipe = make_pipeline(
        FunctionFeaturizer(positions_of),
        GDyNetEstimator(2, LAG, max_epochs=2, n_init=1, random_state=0),
    )
    pieces = segments(run, 8)
    search = GridSearchCV(
        pipe, {"gdynetestimator__encoder__n_layers": [0, 1]}, cv=SegmentKFold(2, gap=1),
        error_score="raise",
    ).fit(pieces)  # fmt: skip
    probs = cross_val_transform(pipe, pieces, cv=SegmentKFold(2, gap=1))
    assert [len(chi) for chi in probs] == [len(piece) for piece in pieces]
    best = search.best_estimator_
    samples = best[:-1].transform([run])
    best[-1].save(tmp_path / "model.safetensors")
    expected = best.transform([run])[0]
    for copied in (
        GDyNetEstimator.load(tmp_path / "model.safetensors"),
        pickle.loads(pickle.dumps(best[-1])),
        copy.deepcopy(best[-1]),
    ):
        np.testing.assert_array_equal(copied.transform(samples)[0], expected)
    with pytest.raises(ValueError, match="FeatureEncoder needs the features"):
        best[-1].transform(GraphFeaturizer(n_neighbors=8, n_hops=1).transform(run))
    with pytest.raises(AttributeError, match="known after a fit to graphs"):
        _ = best[-1].n_neighbors_


def test_checkpoints_of_features(tmp_path):
    features, _ = telegraph(n_frames=600)
    settings = {"max_epochs": 3, "n_init": 1, "random_state": 0}
    once = GDyNetEstimator(2, LAG, **settings).fit(features)
    for _ in range(2):
        kept = GDyNetEstimator(2, LAG, **settings, checkpoint_dir=tmp_path).fit(features)
        assert same(weights(kept, ""), weights(once, ""))


def test_features_move_by_name():
    features, _ = telegraph(n_frames=600)
    names = ["state", "noise", "constant"]
    named = FeatureTrajectory(features.features, timestep=0.5, names=names)
    turned = FeatureTrajectory(features.features[..., ::-1], timestep=0.5, names=names[::-1])
    estimator = GDyNetEstimator(2, LAG, max_epochs=2, n_init=1, random_state=0).fit(named)
    np.testing.assert_array_equal(estimator.transform(named)[0], estimator.transform(turned)[0])
    other = FeatureTrajectory(features.features, timestep=0.5, names=["state", "noise", "new"])
    with pytest.raises(ValueError, match=r"\['new'\] were not seen in training"):
        estimator.transform(other)
