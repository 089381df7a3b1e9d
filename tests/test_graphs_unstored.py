"""Graphs that are searched for every batch give what stored graphs give."""

import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from lobe_cases import MOLECULES, gas, make_lobe
from small_fits import make_estimator
from test_graphs_gpu import DEVICE

from graphkoopman import GraphFeaturizer
from graphkoopman.graphs import UnstoredGraphs, _build, _unstored
from graphkoopman.lobes import GatedEncoder

KINDS = {
    "nearest": {"n_neighbors": 6},
    "radius": {"n_neighbors": None, "cutoff": 4.5},
    "species": {"n_neighbors": 4, "n_per_species": 1},
    "directions": {"n_neighbors": 6, "directions": True},
    "levels": {"n_neighbors": 6, "levels": {"ring": np.arange(28) // 4}},
    "axes": {"n_neighbors": 6, "axes": np.random.default_rng(0).normal(size=(3, 3))},
}


def both(run, **settings):
    """Stored and unstored graphs of one run."""
    featurizers = [GraphFeaturizer(n_hops=2, store=store, **settings) for store in (True, False)]
    return [featurizer.fit_transform(run)[0] for featurizer in featurizers]


def assert_same_batch(one, other):
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, torch.Tensor):
            assert torch.equal(a.cpu(), b.cpu()), field.name
            assert a.dtype == b.dtype
        else:
            np.testing.assert_array_equal(a, b, err_msg=field.name)


@pytest.mark.parametrize("n_hops", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_batches(kind, n_hops):
    stored, unstored = both(gas(3, n_frames=6, targets=MOLECULES), **KINDS[kind])
    rows = np.asarray(stored.species) - 1
    frames = np.array([4, 0, 5])
    assert_same_batch(*(g.batch(frames, rows, n_hops) for g in (stored, unstored)))
    assert stored.offers == unstored.offers
    assert stored.kind == unstored.kind
    np.testing.assert_array_equal(stored.target_atoms, unstored.target_atoms)


@pytest.mark.parametrize("kind", ["nearest", "radius", "levels", "axes"])
def test_batches_searched_on_a_gpu(monkeypatch, kind):
    for module in (_build, _unstored):
        monkeypatch.setattr(module, "gpu_of", lambda device: DEVICE if device == "gpu" else None)
    stored, unstored = both(gas(3, n_frames=4, targets=MOLECULES), **KINDS[kind])
    rows = np.asarray(stored.species) - 1
    frames = np.array([3, 1])
    batch = unstored._with(device="gpu").batch(frames, rows, 2)
    assert batch.neighbors.device.type == DEVICE.type
    assert_same_batch(stored.batch(frames, rows, 2), batch)


def test_without_a_cell_and_with_labels():
    run = replace(gas(1, n_frames=3), cell=None)
    names = np.array(["in", "out"])[np.arange(28) % 2]
    stored, unstored = both(run, n_neighbors=5, species_labels=names)
    rows = np.arange(28) % 2
    assert_same_batch(*(g.batch(np.arange(3), rows, 2) for g in (stored, unstored)))


def test_slices_joints_pickles_and_files(tmp_path):
    _, unstored = both(gas(4, n_frames=7, targets=MOLECULES), n_neighbors=6)
    rows = np.asarray(unstored.species) - 1
    whole = unstored.batch(np.arange(2, 6), rows, 2)
    piece = unstored[2:6]
    assert piece.start == 2
    assert_same_batch(whole, piece.batch(np.arange(4), rows, 2))
    joined = unstored[:3].joined([unstored[3:]])
    assert joined.digest() == unstored.digest() != piece.digest()
    unstored.save(tmp_path / "run.unstored")
    loaded = UnstoredGraphs.load(tmp_path / "run.unstored", mmap=True)
    for other in (loaded, pickle.loads(pickle.dumps(loaded))):
        assert_same_batch(whole, other.batch(np.arange(2, 6), rows, 2))
    assert loaded.digest() == unstored.digest()
    assert "7 frames of 1 ps, 3 targets, n_neighbors=6, n_hops=2" in repr(loaded)


def test_cost_is_that_of_stored_graphs():
    for kind in KINDS.values():
        stored, unstored = both(gas(5, n_frames=3, targets=MOLECULES), **kind)
        assert unstored.cost == stored.cost


def test_still_targets_are_seen():
    run = gas(6, n_frames=40, targets=[0, 9])
    frozen = np.repeat(run.positions[:1], 40, axis=0)
    _, still = both(type(run)(frozen, run.cell, run.species, timestep=1.0, targets=[0, 9]))
    _, moving = both(run)
    assert still.still_targets() == [0, 1]
    assert moving.still_targets() == []


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # of a gas
def test_a_fit_is_that_of_stored_graphs():
    """The same numbers, with validation, starts and chunks of frames."""
    run = gas(7, n_frames=160, targets=[0, 3, 9])
    stored, unstored = both(run, n_neighbors=6)
    settings = {"chunk_size": 50, "encoder": GatedEncoder(n_conv=2, n_features=4)}
    one, other = (make_estimator(**settings).fit([g]) for g in (stored, unstored))
    for name, weights in one.lobe_.state_dict().items():
        assert torch.equal(weights, other.lobe_.state_dict()[name]), name
    # what was learned from either kind is of use for the other
    np.testing.assert_array_equal(one.transform([unstored])[0], other.transform([stored])[0])


def test_bad_settings():
    with pytest.raises(ValueError, match="store=False keeps no graphs, got cache_dir"):
        GraphFeaturizer(store=False, cache_dir="graphs").fit(gas())
    with pytest.raises(TypeError, match="store must be True or False, got 'no'"):
        GraphFeaturizer(store="no").fit(gas())


def test_a_damaged_file_is_refused(tmp_path):
    _, unstored = both(gas(8), n_neighbors=6)
    path = tmp_path / "run.unstored"
    for change, message in [
        ({"cutoff": 3.0}, "exactly one of n_neighbors and cutoff"),
        ({"atoms": np.array([4, 4, 11])}, "no atoms, or some of them twice"),
        ({"atoms": np.array([4, 0, 28])}, "no atoms, or some of them twice"),
        ({"target_offsets": np.array([0, 1, 1, 3])}, "target_offsets do not fit"),
        ({"species": np.ones(27, int)}, "positions and species"),
    ]:
        unstored._with(**change).save(path)
        with pytest.raises(ValueError, match=message):
            UnstoredGraphs.load(path)


def test_lobes_take_such_batches():
    stored, unstored = both(gas(9, n_frames=2), n_neighbors=6)
    lobe = make_lobe(n_conv=2)
    rows = np.asarray(stored.species) - 1
    with torch.no_grad():
        a, b = (lobe(g.batch(np.arange(2), rows, 2)) for g in (stored, unstored))
    assert torch.equal(a, b)
