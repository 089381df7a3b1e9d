"""``graphkoopman select``, run as a user would."""

import csv

import numpy as np
import pytest

from graphkoopman import GDyNetEstimator
from graphkoopman.cli import main
from graphkoopman.datasets import chain_rates, make_hopping

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


def test_select_explains_writes_and_fits_the_choice(files, capsys):
    out = files / "out"
    assert (
        main(arguments(files, "--states", "2", "3", "--lags", "1ps", "4", "--out", str(out))) == 0
    )
    printed = capsys.readouterr()
    assert "4/4" in printed.err
    assert "Number of states: 2" in printed.out
    assert "Lag time: 2 frames (1 ps), markovian" in printed.out
    assert "The paper's rule by itself" in printed.out
    assert (out / "report.txt").read_text() in printed.out
    assert [row[0] for row in rows(out / "states.csv")] == ["2", "3"]
    assert [row[0] for row in rows(out / "lags.csv")] == ["1", "2"]
    for name in ("timescales.png", "selection.png"):
        assert (out / name).stat().st_size > 5000
    model = GDyNetEstimator.load(out / "model.safetensors")
    assert (model.n_states, model.lagtime) == (2, 2)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--lags", "0.7"], "whole frames"),
        (["--lags", "200"], "every test fold must be longer"),
        (["--lags", "2", "--max-lag", "1"], "max_lagtime must be at least the shortest"),
    ],
)
def test_bad_input_ends_in_one_line_and_exit_code_2(files, capsys, more, message):
    assert main(arguments(files, *more, "--out", str(files / "bad"))) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
