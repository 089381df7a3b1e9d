"""Where the trajectories of the tutorials come from: a folder, the cache, an archive, a sample."""

import shutil

import numpy as np
import pooch
import pytest

from graphkoopman.datasets import _examples, load_example
from graphkoopman.trajectories import find_seams, join_runs


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no folder in the environment."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(pooch, "os_cache", lambda project: folder)
    monkeypatch.delenv("GRAPHKOOPMAN_DATA", raising=False)
    return folder


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", refuse)


@pytest.mark.parametrize("name", ["peo_litfsi", "si_sw", "water", "Li6PS5Cl_50p"])
def test_samples_hold_what_tutorials_need(name):
    example = load_example(name, sample=True)
    assert example.is_sample
    assert len(example) == sum(map(len, example.trajectories)) >= 120
    run = example.trajectories[0]
    assert np.isfinite(run.positions).all()
    if name == "peo_litfsi":
        assert {residue.name for residue in run.topology.residues} == {"PEO", "TFS", "LI"}
    if name == "si_sw":
        assert example.labels["is_solid"].shape == (len(run), len(example.labels["si_index"]))
    if name.startswith("Li6"):
        assert all(seam.follows for seam in find_seams(example.trajectories))
        assert len(join_runs(example.trajectories)) == 1


def test_samples_are_pieces_of_the_whole(shared_data):
    whole = load_example("peo_litfsi", folder=shared_data)
    sample = load_example("peo_litfsi", sample=True)
    assert not whole.is_sample
    for run, piece in zip(whole.trajectories, sample.trajectories, strict=True):
        assert run.timestep == piece.timestep
        np.testing.assert_array_equal(run.species, piece.species)
        # the grid of the sample is 0.04 Å
        np.testing.assert_allclose(run.positions[: len(piece)], piece.positions, atol=0.021)


def test_a_folder_goes_first_and_is_named(shared_data, monkeypatch, cache):
    monkeypatch.setenv("GRAPHKOOPMAN_DATA", str(shared_data))
    assert str(load_example("Li6PS5I_0p")).endswith(
        "416 atoms, from the folder in GRAPHKOOPMAN_DATA"
    )
    assert load_example("Li6PS5I_0p", folder=shared_data).origin == "the given folder"


def test_the_cache_comes_next(shared_data, cache):
    shutil.copytree(shared_data / "argyrodite", cache / "argyrodite")
    assert load_example("Li6PS5Cl_0p").origin == "the cache"


def test_downloads_are_whole_or_refused(shared_data, cache, monkeypatch):
    def serve(self, url, output_file, *args):
        crystal, disorder, run = url.rsplit("/", 4)[1:4]
        name = f"{crystal}_{disorder}_{run}.XDATCAR.gz"
        shutil.copy(shared_data / "argyrodite" / name, output_file)

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", serve)
    assert load_example("Li6PS5Cl_0p").origin == "the archive"
    assert load_example("Li6PS5Cl_0p").origin == "the cache"

    monkeypatch.setattr(
        pooch.HTTPDownloader, "__call__", lambda self, url, out, *args: open(out, "wb").close()
    )
    example = load_example("Li6PS5Cl_100p")
    assert example.is_sample
    assert "no download: ValueError" in example.origin


def test_without_all_of_them_a_sample_says_why(cache, no_network):
    example = load_example("Li6PS5Cl_50p")
    assert example.is_sample
    assert "no download: ConnectionError" in str(example)
    assert "not published" in str(load_example("water"))


def test_what_cannot_be_had_is_an_error(tmp_path, cache, no_network):
    with pytest.raises(ValueError, match="name must be one of Li6PS5Cl_0p"):
        load_example("salt")
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_example("water", folder=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="siau is neither in a folder nor"):
        load_example("siau")
    assert _examples.VARIABLE == "GRAPHKOOPMAN_DATA"
