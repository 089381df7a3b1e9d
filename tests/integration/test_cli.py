"""The command line, run as a user would."""

import csv

import numpy as np
import pytest
from documented_files import assert_documented

from graphkoopman import GDyNetEstimator
from graphkoopman.cli import main
from graphkoopman.cli._fit import lag_in_frames
from graphkoopman.datasets import chain_rates, label_timescales, make_hopping

# a fit of a few epochs is not asked to converge here
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def hopping():
    return make_hopping(chain_rates(2, slowest=25.0), 1500, random_state=0)


@pytest.fixture(scope="module")
def files(hopping, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    trajectory = hopping.trajectory.to_mdtraj()
    trajectory.time = np.arange(len(trajectory)) * 0.5
    trajectory[0].save_pdb(folder / "box.pdb")
    trajectory[:800].save_xtc(folder / "first.xtc")
    trajectory[800:].save_xtc(folder / "second.xtc")
    return folder


def test_fit_prints_and_writes_states_and_times(hopping, files, capsys):
    symbol = hopping.trajectory.to_mdtraj().topology.atom(int(hopping.trajectory.targets[0]))
    out = files / "out"
    arguments = ["fit", str(files / "first.xtc"), str(files / "second.xtc")]
    arguments += ["--top", str(files / "box.pdb"), "--targets", f"element {symbol.element.symbol}"]
    arguments += ["--neighbors", "8", "--convolutions", "1", "--lag", "2.5ps", "--out", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "States at a lag of 2.5 ps" in printed
    truth = label_timescales(hopping.labels, 5, 0.5)
    with (out / "timescales.csv").open() as file:
        ((_, time, low, high, *bounds, residual),) = list(csv.reader(file))[1:]
    # the two pieces are joined into one run, of which the labels see every frame: 2 %
    assert "joined 2 files into one run" in printed
    assert float(time) == pytest.approx(truth.timescales[0], rel=0.02)
    assert float(low) < float(time) < float(high)
    # a two-state chain is reversible: its time lies within the bound, which sampling adds to
    assert float(bounds[0]) < truth.timescales[0] < float(bounds[1])
    assert 0 <= float(residual) < 0.2
    with (out / "populations.csv").open() as file:
        populations = [float(row[1]) for row in list(csv.reader(file))[1:]]
    np.testing.assert_allclose(populations, np.sort(truth.populations)[::-1], atol=0.01)
    for name in ("overview.png", "ck_test.png"):
        assert (out / name).stat().st_size > 5000
    assert GDyNetEstimator.load(out / "model.safetensors").n_states == 2
    with np.load(out / "probabilities.npz") as arrays:
        assert arrays["trajectory_0"].shape[0] == 1500


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.xtc", "--top", "missing.pdb"], "missing.xtc"),
        (["{run}/first.xtc"], "top"),
        (["{run}/first.xtc", "--top", "{run}/box.pdb", "--targets", "element Xe"], "Xe"),
        (["{run}/first.xtc", "--top", "{run}/box.pdb", "--lag", "0.7"], "--lag must be whole"),
        (["{run}/first.xtc", "--top", "{run}/box.pdb", "--lag", "soon"], "--lag must be whole"),
        (
            ["{run}/first.xtc", "--top", "{run}/box.pdb", "--cutoff", "3", "--neighbors", "8"],
            "exclude each other",
        ),
        (["{run}/first.xtc", "--top", "{run}/box.pdb", "--neighbors", "0"], "--neighbors must be"),
        (
            ["{run}/first.xtc", "--top", "{run}/box.pdb", "--per-species", "-1"],
            "--per-species must be",
        ),
    ],
)
def test_bad_input_ends_in_one_line_and_exit_code_2(files, capsys, arguments, message):
    filled = [argument.format(run=files) for argument in arguments]
    assert main(["fit", *filled, "--out", str(files / "bad")]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "frames"), [("10", 10), ("5ps", 10), ("0.5 ns", 1000), ("1e2", 100)]
)
def test_lags_in_frames_or_time(text, frames):
    assert lag_in_frames(text, 0.5) == frames


def test_every_command_has_help_with_an_example(capsys):
    for command in ("demo", "inspect", "fit", "select", "analyze", "reproduce", "bench"):
        with pytest.raises(SystemExit) as end:
            main([command, "--help"])
        assert end.value.code == 0
        assert f"graphkoopman {command}" in capsys.readouterr().out


# five of the longest lags are as long as the few visits that 5 ns hold
@pytest.mark.filterwarnings("ignore::graphkoopman.koopman.InvalidTimescaleWarning")
def test_demo_compares_with_the_sites(tmp_path, capsys):
    assert main(["demo", "--duration", "5", "--out", str(tmp_path / "demo")]) == 0
    printed = capsys.readouterr().out
    assert_documented(tmp_path / "demo", "demo", complete=["demo"])
    row = next(line for line in printed.splitlines() if "same lag" in line)
    deviation = float(row.split()[-1].rstrip("%"))
    # 5 ns hold about ten hops, and the other half of the data trains: the demo itself runs 20 ns
    assert abs(deviation) < 30.0
    assert (tmp_path / "demo" / "ck_test.png").stat().st_size > 5000
    assert (tmp_path / "demo" / "demo.png").stat().st_size > 5000


def test_demo_refuses_too_short_runs(capsys):
    assert main(["demo", "--duration", "0.01"]) == 2
    assert "at least 100 lags" in capsys.readouterr().err
