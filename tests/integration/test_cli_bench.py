"""`graphkoopman bench`, and the options that keep data in files, on tiny systems."""

import json

import numpy as np
import pytest
import torch

from graphkoopman.cli import main
from graphkoopman.cli._arguments import build_parser
from graphkoopman.cli._input import featurizer_of, read_inputs
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.trajectories import read_trajectory


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    trajectory = make_hopping(chain_rates(2, slowest=20.0), 30, random_state=0).trajectory
    trajectory = trajectory.to_mdtraj()
    trajectory[0].save_pdb(folder / "box.pdb")
    trajectory.save_xtc(folder / "run.xtc")
    return folder


def check(item):
    """Figures are there, ordered, and of two implementations that agree."""
    assert item["same"]
    assert item["difference"] < 1e-5
    for name in ("graphs", "pairs", "plain_pairs"):
        low, median, high = item[f"{name}_per_cpu_second"]
        assert 0 < low <= median <= high
    low, median, high = item["ratio"]
    assert 0 < low <= median <= high


def test_own_systems(tmp_path, capsys):
    before = torch.get_num_threads()
    out = tmp_path / "bench.json"
    arguments = ["bench", "--frames", "4", "--repeats", "2", "--convolutions", "1"]
    assert main([*arguments, "--neighbors", "6", "--out", str(out)]) == 0
    assert torch.get_num_threads() == before
    printed = capsys.readouterr().out
    results = json.loads(out.read_text())
    assert list(results) == ["toy", "gas"]
    for name, item in results.items():
        check(item)
        assert name in printed
    assert (results["gas"]["atoms"], results["gas"]["targets"]) == (1000, 50)
    assert results["gas"]["edges_per_frame"] == 50 * 6


@pytest.mark.parametrize("kind", [["--neighbors", "5"], ["--cutoff", "4.0"]])
def test_own_trajectory(files, tmp_path, kind):
    out = tmp_path / "bench.json"
    arguments = ["bench", str(files / "run.xtc"), "--top", str(files / "box.pdb"), *kind]
    arguments += ["--targets", "index 0 1", "--frames", "10", "--repeats", "1", "--out", str(out)]
    arguments += ["--timestep", "1"]
    assert main(arguments) == 0
    (item,) = json.loads(out.read_text()).values()
    check(item)
    assert (item["frames"], item["targets"]) == (10, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "1"], "--frames must be at least 2, got 1"),
        (["--repeats", "0"], "--repeats must be at least 1, got 0"),
        (["--threads", "-1"], "--threads must be at least 1, got -1"),
        (["--targets", "element Li"], "--targets needs trajectories"),
        (["missing.xtc"], "missing.xtc"),
        (["--memory", "1"], "--memory needs --cache"),
        (["--cache", "x", "--memory", "0"], "--memory must be a positive number of GiB"),
        (["--cache", "x", "--memory", "nan"], "--memory must be a positive number of GiB"),
    ],
)
def test_bad_input(capsys, arguments, message):
    assert main(["bench", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1


def test_cache_holds_positions_and_graphs(files, tmp_path):
    arguments = ["fit", str(files / "run.xtc"), str(files / "run.xtc"), "--timestep", "1"]
    arguments += ["--top", str(files / "box.pdb"), "--targets", "index 0 1", "--neighbors", "5"]
    arguments += ["--cache", str(tmp_path / "cache"), "--memory", "0.00001"]
    options = build_parser().parse_args(arguments)
    featurizer, runs = featurizer_of(options, 1), read_inputs(options)
    assert featurizer.memory_budget == 10737  # bytes
    plain = read_trajectory(files / "run.xtc", files / "box.pdb", 1.0)
    for run in runs:
        np.testing.assert_array_equal(run.positions, plain.positions)
    (graphs, _) = featurizer.fit_transform(runs)
    assert isinstance(graphs.distances, np.memmap)
    names = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert names[:2] == ["0-run.xtc.npy", "1-run.xtc.npy"]
    # the two are equal, and so are their graphs
    assert len(names) == 3
