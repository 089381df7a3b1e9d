"""Graphs searched on a GPU are those of the CPU, to the last bit; in Triton's interpreter here."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from neighbor_systems import SYSTEMS
from test_graphs_shells import lattice

from graphkoopman import GraphFeaturizer, Trajectory
from graphkoopman.graphs import _build
from graphkoopman.neighbors import _gpu_search

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# a trajectory must be right-handed, and thin gases are as dense ones
LEFT_OUT = ("left-handed", "gas 0.002", "gas 0.02")
NAMES = [name for name in SYSTEMS if name not in LEFT_OUT]


def run_of(name, n_frames=2, dtype=np.float32):
    positions, cell = SYSTEMS[name]
    n = len(positions)
    shifts = np.random.default_rng(n).normal(0.0, 0.2, (n_frames, n, 3))
    targets = [0] if n < 4 else [n - 1, 0, 3]
    frames = (positions + shifts).astype(dtype)
    return Trajectory(frames, cell, np.ones(n, int), timestep=1.0, targets=targets)


def on_both(monkeypatch, run, **settings):
    """Graphs found by the CPU, and by the kernels for a GPU, through the transformer."""
    (on_cpu,) = GraphFeaturizer(n_hops=2, **settings).fit_transform(run)
    monkeypatch.setattr(_build, "gpu_of", lambda device: DEVICE if device == "cuda" else None)
    monkeypatch.setattr("graphkoopman.graphs._featurizer.check_device", lambda device: None)
    (on_gpu,) = GraphFeaturizer(n_hops=2, device="cuda", **settings).fit_transform(run)
    return on_cpu, on_gpu


def assert_same(one, other):
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        np.testing.assert_array_equal(a, b, err_msg=field.name)
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None), field.name


@pytest.mark.parametrize("name", NAMES)
def test_nearest_neighbours(monkeypatch, name):
    graphs = on_both(monkeypatch, run_of(name), n_neighbors=5)
    assert len(graphs[0].distances)
    assert_same(*graphs)


@pytest.mark.parametrize("name", ["triclinic", "plane without cell", "needle", "pancake"])
def test_within_a_cutoff(monkeypatch, name):
    graphs = on_both(monkeypatch, run_of(name), n_neighbors=None, cutoff=3.0)
    assert len(graphs[0].distances)
    assert_same(*graphs)


def test_positions_in_double_precision(monkeypatch):
    assert_same(*on_both(monkeypatch, run_of("triclinic", 1, np.float64), n_neighbors=7))


def test_a_cell_per_frame(monkeypatch):
    run = run_of("triclinic", 3)
    cells = run.cell * np.array([1.0, 1.02, 0.97])[:, None, None]
    run = Trajectory(run.positions, cells, run.species, timestep=1.0, targets=run.targets)
    assert_same(*on_both(monkeypatch, run, n_neighbors=6))


@pytest.mark.parametrize("n_neighbors", [12, 14])
def test_shells_are_whole(monkeypatch, n_neighbors):
    """A rigid lattice: ties everywhere, and more of them than there is room for at first."""
    run = lattice(2)
    on_cpu, on_gpu = on_both(monkeypatch, run, n_neighbors=n_neighbors)
    assert on_cpu.with_degrees().degrees.max() == {12: 12, 14: 18}[n_neighbors]
    assert_same(on_cpu, on_gpu)


def test_room_grows_with_what_is_found(monkeypatch):
    """Spheres that hold many times what was expected, of which the first shrink."""
    rng = np.random.default_rng(1)
    clusters = rng.normal(0.0, 1.0, (30, 3)), rng.normal(60.0, 30.0, (3, 3))
    run = Trajectory(
        np.vstack(clusters)[None].astype(np.float32),
        120.0 * np.eye(3),
        np.ones(33, int),
        timestep=1.0,
        targets=[0, 32],
    )
    monkeypatch.setattr(_gpu_search, "CROWDED", 1)
    assert_same(*on_both(monkeypatch, run, n_neighbors=3))
    assert_same(*on_both(monkeypatch, run, n_neighbors=None, cutoff=9.0))


def test_frames_in_chunks(monkeypatch):
    run = run_of("toy", 3)
    monkeypatch.setattr("graphkoopman.graphs._gpu_fields.frames_at_a_time", lambda *how: 2)
    assert_same(*on_both(monkeypatch, run, n_neighbors=6))


def test_neighbours_of_every_species_are_searched_on_the_cpu(monkeypatch):
    assert_same(*on_both(monkeypatch, run_of("triclinic"), n_neighbors=4, n_per_species=1))


def test_falls_back_to_the_cpu_where_triton_does_not_run(monkeypatch):
    """Once, with the reason."""

    def no_compiler(*arguments):
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr("graphkoopman.graphs._gpu_fields.device_fields", no_compiler)
    monkeypatch.setattr(_build, "device_of", lambda device: torch.device("cuda"))
    _build.gpu_of.cache_clear()
    with pytest.warns(RuntimeWarning, match="searched on the CPU; install what is missing"):
        assert _build.gpu_of("cuda") is None
    assert _build.gpu_of("cuda") is None
    _build.gpu_of.cache_clear()


def test_a_device_that_is_not_there():
    run = run_of("toy")
    with pytest.raises(ValueError, match=r"device must be 'auto' or a device of this machine"):
        GraphFeaturizer(device="quantum").fit(run)
    with pytest.raises(TypeError, match="device must be a string"):
        GraphFeaturizer(device=0).fit(run)


def test_auto_and_cpu_run_anywhere():
    run = run_of("toy")
    graphs = [GraphFeaturizer(device=name).fit_transform(run)[0] for name in ("auto", "cpu")]
    assert_same(*graphs)
