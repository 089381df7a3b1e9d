"""``graphkoopman reproduce``, run as a user would."""

import csv
import json

import numpy as np
import pytest
from documented_files import assert_documented

from graphkoopman import GDyNetEstimator
from graphkoopman.cli import main
from graphkoopman.datasets import chain_rates, make_hopping

# fits of a few epochs on little data are not asked to converge, nor to resolve fast processes
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::graphkoopman.koopman.InvalidTimescaleWarning"),
    pytest.mark.filterwarnings("ignore::graphkoopman.koopman.FewUnitsWarning"),
]


def write_npz(path, seed, with_time=True, n_frames=600):
    run = make_hopping(
        chain_rates(4, slowest=100.0), n_frames, n_targets=4, random_state=seed
    ).trajectory
    arrays = {"time_ps": np.arange(n_frames) * 2.0} if with_time else {}
    np.savez(
        path,
        traj_coords=run.positions,
        lattices=np.broadcast_to(run.cell, (n_frames, 3, 3)),
        atom_types=run.species,
        target_index=run.targets,
        **arrays,
    )
    return str(path)


def table(folder):
    with (folder / "comparison.csv").open() as file:
        return {row[0]: row[1:] for row in list(csv.reader(file))[1:]}


def test_simulated_lithium_beside_the_paper(tmp_path, capsys):
    arguments = ["reproduce", "li-fcc", "--duration", "20", "--epochs", "3", "--out"]
    assert main([*arguments, str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "learned from 10 ns (1 run), tested on 10 ns (1 run)" in printed
    assert "Sites visited in the same frames" in printed
    assert_documented(tmp_path, "reproduce", complete=["reproduce"])
    rows = table(tmp_path)
    assert rows["relaxation time 1 / ps"][0] == "42.3"
    paper, *ours = rows["slowest over 12 sites / ps"]
    assert paper == "531"
    value, low, high = map(float, ours)
    assert low < value < high
    estimator = GDyNetEstimator.load(tmp_path / "model.safetensors")
    assert (estimator.n_states, estimator.lagtime, estimator.n_neighbors_) == (2, 100, 12)


@pytest.mark.parametrize(
    ("system", "n_files", "tested", "row", "paper"),
    [
        ("si-au", 1, "0.6 ns (1 run)", "relaxation time 2 / ps", "73200"),
        ("peo-litfsi", 3, "2.4 ns (2 runs)", "population of state 3", "0.070 ± 0.009"),
    ],
)
def test_own_trajectories(tmp_path, capsys, system, n_files, tested, row, paper):
    files = [write_npz(tmp_path / f"{i}.npz", i) for i in range(n_files)]
    arguments = ["reproduce", system, "--data", *files, "--lag", "4ps", "--epochs", "2"]
    out = tmp_path / "out"
    assert main([*arguments, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"tested on {tested}" in printed
    assert "only as far as the given trajectories do" in printed
    assert table(out)[row][0] == paper
    record = json.loads((out / "run.json").read_text())
    assert record["command"] == "reproduce"
    assert len(record["inputs"]) == n_files
    assert main([*arguments, "--out", str(out), "--overwrite", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["system"] == system


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["si-au"], "give --data with trajectories of such a system, or --download"),
        (["si-au", "--data", "nothing.npz"], "nothing.npz"),
        (["li-fcc", "--timestep", "1"], "need --data or --download"),
        (["li-fcc", "--duration", "0.03"], "at least 4 lags (400 frames), got 300 frames"),
        (["si-au", "--data", "{npz}"], "got 600 frames; give a --lag"),
        (["si-au", "--data", "{npz}", "--lag", "3.1"], "whole frames"),
        (["peo-litfsi", "--data", "{timeless}"], "timestep"),
    ],
)
def test_bad_input_ends_in_one_line_and_exit_code_2(tmp_path, capsys, arguments, message):
    paths = {
        "npz": write_npz(tmp_path / "run.npz", 0),
        "timeless": write_npz(tmp_path / "timeless.npz", 0, with_time=False),
    }
    assert main(["reproduce", *(word.format(**paths) for word in arguments)]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
