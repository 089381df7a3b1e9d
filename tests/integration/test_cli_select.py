"""``graphkoopman select``, run as a user would."""

import csv
import json

import numpy as np
import pytest
from documented_files import assert_documented

from graphkoopman import GDyNetEstimator
from graphkoopman.cli import main
from graphkoopman.cli._feed import feed_of
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.model_selection._search import CandidateFile

# fits of a few epochs are not asked to converge here
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    hopping = make_hopping(chain_rates(2, slowest=20.0), 1000, n_targets=6, random_state=0)
    trajectory = hopping.trajectory.to_mdtraj()
    trajectory.time = np.arange(len(trajectory)) * 0.5
    trajectory[0].save_pdb(folder / "box.pdb")
    trajectory.save_xtc(folder / "run.xtc")
    return folder


def arguments(files, *more):
    common = ["select", str(files / "run.xtc"), "--top", str(files / "box.pdb")]
    common += ["--targets", "element Li", "--neighbors", "8", "--convolutions", "1"]
    return [*common, "--epochs", "3", *more]


def rows(path):
    with path.open() as file:
        return list(csv.reader(file))[1:]


def test_select_goes_on_after_an_interruption_and_explains_its_choice(files, capsys, monkeypatch):
    out, kept = files / "out", files / "out.unfinished"
    words = arguments(files, "--states", "2", "3", "--lags", "1ps", "4", "--out", str(out))
    add = CandidateFile.add

    def add_and_stop(self, results):
        add(self, results)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CandidateFile, "add", add_and_stop)
        assert main(words) == 130
    captured = capsys.readouterr()
    (line,) = captured.err.strip().splitlines()
    assert "interrupted; candidates that are done are in" in line
    assert not out.exists()
    assert len(rows(kept / "candidates.csv")) == 1
    assert json.loads((kept / "run.json").read_text())["finished"] is False
    # of other settings, which neither this search nor its result may be mixed with
    assert main([*words, "--folds", "3"]) == 2
    assert "holds candidates of another search (other folds" in capsys.readouterr().err

    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "1 of 4 candidates are known already" in printed
    assert "3 states, lag 2 ps: VAMP-2" in printed
    assert "2 states, lag 1 ps: VAMP-2" not in printed
    assert "Number of states: 2" in printed
    assert "Lag time: 2 frames (1 ps), markovian" in printed
    assert "The paper's rule by itself" in printed
    assert_documented(out, "select", complete=["select"])
    assert (out / "report.txt").read_text() in printed
    assert [row[0] for row in rows(out / "states.csv")] == ["2", "3"]
    assert [row[0] for row in rows(out / "lags.csv")] == ["1", "2"]
    header = (out / "candidates.csv").read_text().split(",")[:2]
    assert header == ["n_states", "lagtime"]
    assert [row[:2] for row in rows(out / "candidates.csv")] == [
        ["2", "2"], ["3", "2"], ["2", "4"], ["3", "4"],
    ]  # fmt: skip
    for name in ("timescales.png", "selection.png"):
        assert (out / name).stat().st_size > 5000
    model = GDyNetEstimator.load(out / "model.safetensors")
    assert (model.n_states, model.lagtime) == (2, 2)
    assert feed_of(out / "model.safetensors")["targets"] == "element Li"
    record = json.loads((out / "run.json").read_text())
    assert record["finished"] is True
    assert record["results"]["n_states"] == 2
    assert not kept.exists()
    assert main(words) == 2
    assert "holds files already" in capsys.readouterr().err


def test_select_prints_one_object_and_nothing_else(files, capsys):
    out = files / "json"
    words = ["--states", "2", "--lags", "1ps", "--folds", "2", "--out", str(out), "--json"]
    assert main(arguments(files, *words)) == 0
    (line,) = capsys.readouterr().out.splitlines()
    summary = json.loads(line)
    assert summary["n_states"] == 2
    assert summary["lags"][0]["lag_ps"] == 1.0
    assert main(arguments(files, *words[:-1], "--overwrite", "--quiet")) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--lags", "0.7"], "whole frames"),
        (["--lags", "200"], "every test fold must be longer"),
        (["--lags", "2", "--max-lag", "1"], "--max-lag must be at least the shortest"),
    ],
)
def test_bad_input_ends_in_one_line_and_exit_code_2(files, capsys, more, message):
    assert main(arguments(files, *more, "--out", str(files / "bad"))) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
