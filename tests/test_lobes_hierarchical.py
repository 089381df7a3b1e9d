"""Poolings by way of residues and windows, the variance beside the mean, several heads."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from lobe_cases import KINDS, MOLECULES, batch_of, gas
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.datasets import make_chain_molecule
from graphkoopman.lobes import (
    AttentionPooling,
    GatedEncoder,
    HierarchicalPooling,
    MeanPooling,
    build_lobe,
    describe_part,
    part_of,
    slow_layer,
)
from graphkoopman.model_selection import SegmentKFold
from graphkoopman.training._batches import Run, StatisticsBatch
from graphkoopman.training._initialise import fit_output, initialise_hidden

WHOLE = [np.arange(24)]  # of the 28 atoms of a gas
RESIDUES = np.array(
    [0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 5, 5, 5, 6, 6, 6, 7, 7, 7] + 4 * [8]
)
CHAINS = RESIDUES // 3


def graphs_of(levels=(RESIDUES,), n_frames=4, **changes):
    run = gas(n_frames=n_frames)
    return GraphFeaturizer(WHOLE, n_neighbors=8, levels=levels, **changes).transform(run)[0]


def whole_batch(levels=(RESIDUES,)):
    graphs = graphs_of(levels)
    return graphs.batch(np.arange(4), np.asarray(graphs.species) - 1, 3)


def network(pooling, seed=0, batch=None):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        lobe = build_lobe([1, 2, 3], 2, encoder=GatedEncoder(), pooling=pooling).double()
        if batch is not None:
            lobe.pooling.adapt([(lobe.encoder(batch), batch)])
            for shares in getattr(lobe.pooling, "shares", []):
                if shares.learned:
                    torch.nn.init.normal_(shares.logit.weight)
    return lobe


def numpy_level(level, groups):
    """A level's hidden layer by its equation."""
    h = (groups - level.mean.numpy()) / level.scale.numpy()
    weight, bias = (p.detach().numpy() for p in level.hidden.parameters())
    return np.concatenate([h, np.maximum(h @ weight.T + bias, 0.0)], axis=-1)


def numpy_pool(shares, members):
    """One group: its members' weighted mean."""
    if not shares.learned:
        return members.mean(axis=0)
    hidden = members @ shares.hidden.weight.detach().numpy().T + shares.hidden.bias.detach().numpy()
    logits = np.tanh(hidden) @ shares.logit.weight.detach().numpy()[0]
    a = np.exp(logits) / np.exp(logits).sum()
    return a @ members


@pytest.mark.parametrize("method", ["mean", "attention", ("attention", "mean", "attention")])
def test_two_levels_by_numpy(method):
    batch = whole_batch((RESIDUES, CHAINS))
    lobe = network(HierarchicalPooling(2, method), batch=batch)
    pooling = lobe.pooling
    with torch.no_grad():
        atoms = lobe.encoder(batch)
        found = pooling(atoms, batch).numpy()
        # atoms of a batch: frame after frame, in the order of the target
        for frame, v in enumerate(atoms.numpy().reshape(4, 24, -1)):
            own = RESIDUES[:24]
            residues = np.stack(
                [numpy_pool(pooling.shares[0], v[own == r]) for r in np.unique(own)]
            )
            residues = numpy_level(pooling.levels[0], residues)
            chain = np.unique(own) // 3
            chains = np.stack(
                [numpy_pool(pooling.shares[1], residues[chain == c]) for c in np.unique(chain)]
            )
            chains = numpy_level(pooling.levels[1], chains)
            expected = numpy_pool(pooling.shares[2], chains)
            np.testing.assert_allclose(found[frame], expected, rtol=1e-10, atol=1e-12)


def test_slow_directions_come_first():
    """Of one group of ten that flips, under equal noise, every unit sees the flip most."""
    rng = np.random.default_rng(0)
    state = rng.choice([0.0, 5.0], 600)
    pairs = rng.normal(size=(600, 2, 10, 8))
    pairs += 3.0 * rng.normal(size=(10, 8))  # groups that differ for good
    pairs[:, :, 4, 0] += state[:, None]
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    mean, scale, weight, bias = slow_layer([pairs @ turn], rng.normal(size=(12, 8)))
    responses = ((pairs @ turn - mean) / scale) @ weight.T + bias
    assert responses.std(axis=(0, 1, 2)) == pytest.approx(np.ones(12), rel=0.05)
    flipping = responses[:, :, 4]
    jump = flipping[state > 0].mean(axis=(0, 1)) - flipping[state == 0].mean(axis=(0, 1))
    noise = flipping[state == 0].std(axis=(0, 1))
    # the jump is 5 along its own direction; one at random of eight has 5 / √8 = 1.8 in the mean
    assert np.median(np.abs(jump) / noise) > 3.0


def test_windows_are_levels_of_consecutive_atoms():
    by_window = HierarchicalPooling(2, window=4)
    four = np.concatenate([np.arange(24) // 4, 6 * np.ones(4, int)])
    batch = whole_batch((four, four // 4))
    plain = dataclasses.replace(batch, levels=None)
    lobe = network(by_window)
    other = network(HierarchicalPooling(2))
    other.load_state_dict(lobe.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(lobe.embed(plain), other.embed(batch), rtol=0, atol=0)


def test_order_of_atoms_and_of_groups_is_of_no_matter():
    """Residues may be numbered and interleaved as they like."""
    rng = np.random.default_rng(0)
    order = rng.permutation(24)
    renamed = rng.permutation(9)[RESIDUES]
    graphs = [
        GraphFeaturizer([atoms], n_neighbors=8, levels=(levels,)).transform(gas(n_frames=4))[0]
        for atoms, levels in ((np.arange(24), RESIDUES), (order, renamed))
    ]
    lobe = network(HierarchicalPooling(1, "attention"), batch=whole_batch())
    with torch.no_grad():
        found = [
            lobe.embed(g.batch(np.arange(4), np.asarray(g.species) - 1, 3)).numpy() for g in graphs
        ]
    np.testing.assert_allclose(*found, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "pooling",
    [
        MeanPooling(),
        AttentionPooling(4, n_heads=3),
        HierarchicalPooling(1, "attention"),
        HierarchicalPooling(window=5),
    ],
)
def test_shares_of_a_target_sum_to_one(pooling):
    batch = whole_batch()
    adapted = batch if isinstance(pooling, HierarchicalPooling) else None
    lobe = network(pooling, batch=adapted)
    with torch.no_grad():
        atoms = lobe.encoder(batch)
        shares = lobe.pooling.weights(atoms, batch).reshape(4, 24)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(4, dtype=torch.float64))
    if pooling == MeanPooling():
        torch.testing.assert_close(shares, torch.full_like(shares, 1 / 24))


@pytest.mark.parametrize("kind", KINDS)
def test_variance_beside_the_mean(kind):
    batch = batch_of(gas(targets=MOLECULES), **KINDS[kind])
    lobe = network(MeanPooling(variance=True))
    with torch.no_grad():
        atoms, pooled = lobe.encoder(batch), lobe.embed(batch).numpy()
    for target in range(9):
        own = atoms[batch.target_of_atom == target].numpy()
        expected = np.concatenate([own.mean(axis=0), own.var(axis=0)])
        np.testing.assert_allclose(pooled[target], expected, rtol=1e-10, atol=1e-14)


def test_heads_are_means_of_their_own():
    batch = whole_batch()
    lobe = network(AttentionPooling(4, n_heads=3))
    with torch.no_grad():
        atoms = lobe.encoder(batch)
        shares = lobe.pooling.of(atoms, batch.target_of_atom, 4).reshape(4, 24, 3)
        expected = torch.einsum("fah,fai->fhi", shares, atoms.reshape(4, 24, -1)).flatten(1)
        torch.testing.assert_close(lobe.pooling(atoms, batch), expected)
    assert (shares.amax(dim=1) > 1.01 / 24).all()  # heads differ from the mean, and can learn


def test_gradients_reach_every_level():
    batch = whole_batch((RESIDUES, CHAINS))
    lobe = network(HierarchicalPooling(2, "attention"), batch=batch)
    lobe(batch)[:, 0].square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in lobe.pooling.parameters())


@pytest.mark.parametrize(
    ("pooling", "levels", "message"),
    [
        (HierarchicalPooling(), (), "needs samples with as many levels, got 0"),
        (HierarchicalPooling(2), (RESIDUES,), "n_levels=2 needs samples with as many levels"),
        (HierarchicalPooling(2), (CHAINS, RESIDUES), "levels must be nested from fine to coarse"),
    ],
)
def test_levels_that_do_not_fit(pooling, levels, message):
    graphs = graphs_of(levels, n_frames=40, n_hops=1)
    with pytest.raises(ValueError, match=message):
        GDyNetEstimator(2, 1, encoder=GatedEncoder(1), pooling=pooling).fit(graphs)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (HierarchicalPooling(0), "n_levels must be an integer >= 1"),
        (HierarchicalPooling(n_hidden=0), "n_hidden of HierarchicalPooling must be"),
        (HierarchicalPooling(window=1), "window must be an integer >= 2"),
        (HierarchicalPooling(method="max"), "method must be one of .* got 'max'"),
        (HierarchicalPooling(2, ("mean", "mean")), "method must be one of"),
        (AttentionPooling(n_heads=0), "n_heads of AttentionPooling must be"),
        (MeanPooling(variance=1), "variance must be True or False, got 1"),
    ],
)
def test_settings_that_cannot_work(part, message):
    with pytest.raises(ValueError, match=message):
        part.build(16)


def separation(vectors, labels):
    """Distance of two states along the best linear function, in standard deviations."""
    first, second = (vectors[labels == state] for state in (0, 1))
    within = 0.5 * (np.cov(first.T) + np.cov(second.T))
    variances, axes = np.linalg.eigh(within)
    kept = variances > 1e-8 * variances[-1]
    along = (axes.T @ (second.mean(axis=0) - first.mean(axis=0)))[kept]
    return np.sqrt((along**2 / variances[kept]).sum())


def test_one_residue_of_many_is_seen_from_the_start():
    """By way of residues, random vectors tell the flip; their mean over all atoms hardly does."""
    data = make_chain_molecule(500, 600, random_state=0)
    settings = {"n_neighbors": 6, "n_hops": 1, "levels": ("residue",)}
    graphs = GraphFeaturizer(**settings).transform(data.trajectory)[0]
    species = np.zeros(500, int)
    first = np.arange(0, 590, 6)
    batch = graphs.batch(np.stack([first, first + 10], axis=1).ravel(), species, 1)
    every = graphs.batch(np.arange(600), species, 1)
    found = []
    for pooling in (HierarchicalPooling(), MeanPooling()):
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            lobe = build_lobe([6], 2, encoder=GatedEncoder(1), pooling=pooling)
            if isinstance(pooling, HierarchicalPooling):
                lobe.pooling.adapt([(lobe.encoder(batch), batch)])
            pooled = lobe.embed(every).double().numpy()
        found.append(separation(pooled, data.labels[:, 0]))
    # √10 residues' noise leaves 7 / √10 = 2.2 of a mean; the flip itself is 7
    assert found[1] < 3.0
    assert found[0] > 1.5 * found[1]


@pytest.mark.parametrize("n_targets", [1, 3])
def test_the_head_starts_from_what_is_slow(n_targets):
    """One slow direction of a target's vector beside 31 of noise."""
    rng = np.random.default_rng(0)
    lag, n_frames = 10, 2000
    # two states that relax in 50 frames keep exp(-10 / 50) of their function over the lag
    flips = rng.random((n_frames, n_targets)) < 0.01
    state = np.cumsum(flips, axis=0) % 2
    vectors = rng.normal(size=(n_frames, n_targets, 32))
    vectors[:, :, 0] = 6.0 * state + rng.normal(size=state.shape)
    vectors = vectors @ np.linalg.qr(rng.normal(size=(32, 32)))[0]
    z = torch.from_numpy(vectors.reshape(-1, 32)).float()
    batch = StatisticsBatch([Run(0, np.arange(n_frames), lag)], [n_targets])
    pairs = state.astype(float)[:-lag].ravel(), state.astype(float)[lag:].ravel()
    best = 1.0 + np.corrcoef(*pairs)[0, 1] ** 2
    scores = {}
    for name, frames in (("slow", batch), ("whitened", None)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            lobe = build_lobe([6], 2, encoder=GatedEncoder(1), pooling=HierarchicalPooling())
        initialise_hidden(lobe, z, frames)
        with torch.no_grad():
            scores[name] = fit_output(lobe, lobe.head.respond(z), batch.start_rows, batch.end_rows)
    assert scores["slow"] - 1.0 > 0.85 * (best - 1.0)
    assert scores["slow"] > scores["whitened"] + 0.1


# ------------------------------------------------------------------ in the estimator
PARTS = [
    MeanPooling(variance=True),
    AttentionPooling(4, n_heads=2),
    HierarchicalPooling(method=("mean", "attention"), n_hidden=4),
    HierarchicalPooling(window=5, n_hidden=4),
]


@pytest.fixture(scope="module")
def chain():
    return make_chain_molecule(100, 300, random_state=0).trajectory


@pytest.fixture(scope="module")
def graphs(chain):
    return GraphFeaturizer(n_neighbors=6, n_hops=1, levels=("residue",)).transform(chain)


def small(**changes):
    settings = {"encoder": GatedEncoder(1, 4), "n_init": 1, "max_epochs": 1, "random_state": 0}
    return GDyNetEstimator(2, 5, **settings | changes)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("part", PARTS, ids=repr)
def test_every_tool_takes_it(part, graphs, tmp_path):
    fitted = small(pooling=part, checkpoint_dir=tmp_path / "run").fit(graphs)
    probs = fitted.transform(graphs)[0]
    fitted.save(tmp_path / "model")
    again = [
        GDyNetEstimator.load(tmp_path / "model"),
        GDyNetEstimator.load(tmp_path / "run" / "model.safetensors"),
        pickle.loads(pickle.dumps(fitted)),
        small(pooling=part, checkpoint_dir=tmp_path / "run").fit(graphs),  # from its checkpoint
        clone(fitted).set_params(checkpoint_dir=None).fit(graphs),
        small(pooling=None, init_from=fitted, max_epochs=1, freeze="encoder").fit(graphs),
    ]
    for other in again[:-1]:
        assert other.pooling_ == part
        np.testing.assert_array_equal(other.transform(graphs)[0], probs)
    assert again[-1].pooling_ == part
    for name, value in fitted.lobe_.pooling.state_dict().items():
        assert torch.equal(again[-1].lobe_.pooling.state_dict()[name], value)
    assert part_of("pooling", describe_part("pooling", part)) == part == copy.deepcopy(part)
    np.testing.assert_allclose(fitted.pooling_weights(graphs)[0].sum(axis=1), 1.0, rtol=1e-5)


# the flip relaxes in 50 ps, as long as the runs of 50 frames are
@pytest.mark.filterwarnings("ignore::graphkoopman.koopman.BeyondDataWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_search_over_poolings(graphs):
    search = GridSearchCV(
        small(),
        {"pooling": [MeanPooling(), *PARTS[2:]]},
        cv=SegmentKFold(2, gap=1),
        error_score="raise",
    ).fit([graphs[0][begin : begin + 50] for begin in range(0, 300, 50)])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.pooling_ == search.best_params_["pooling"]
