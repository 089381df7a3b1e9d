"""``graphkoopman fit`` on two processes, as a launcher starts it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graphkoopman import GDyNetEstimator
from graphkoopman.cli import main
from graphkoopman.cli._console import Console
from graphkoopman.cli._ranks import shares_of
from graphkoopman.datasets import chain_rates, make_hopping

ROOT = Path(__file__).parents[2]
LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
# a fit of a few epochs is not asked to converge here
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    trajectory = make_hopping(chain_rates(2, slowest=25.0), 600, random_state=0).trajectory
    saved = trajectory.to_mdtraj()
    saved.time = np.arange(len(saved)) * 0.5
    saved[0].save_pdb(folder / "box.pdb")
    saved[:350].save_xtc(folder / "first.xtc")
    saved[350:].save_xtc(folder / "second.xtc")
    symbol = saved.topology.atom(int(trajectory.targets[0])).element.symbol
    return folder, f"element {symbol}"


def arguments(files, out, *names):
    folder, selection = files
    words = ["fit", *(str(folder / name) for name in names), "--top", str(folder / "box.pdb")]
    words += [
        "--targets",
        selection,
        "--neighbors",
        "8",
        "--convolutions",
        "1",
        "--lag",
        "2.5ps",
        "--epochs",
        "12",
    ]
    return [*words, "--restarts", "1", "--refits", "0", "--out", str(out)]


def launched(words):
    """Exit code and lines of two processes that a launcher starts."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *LAUNCH, "-m", "graphkoopman", *words],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    return done.returncode, done.stdout, done.stderr


def test_two_ranks_share_files_and_fit_the_model_of_one(files):
    names = ["first.xtc", "second.xtc"]
    code, said, error = launched(arguments(files, files[0] / "two", *names))
    assert code == 0, error[-3000:]
    assert said.count("rank 0: 350 frames") == 1
    assert said.count("rank 1: 250 frames") == 1
    assert said.count("States at a lag of 2.5 ps") == 1  # rank 0 speaks for all
    two = GDyNetEstimator.load(files[0] / "two" / "model.safetensors")
    assert main(arguments(files, files[0] / "one", *names)) == 0
    one = GDyNetEstimator.load(files[0] / "one" / "model.safetensors")
    # all pairs of the run that the files make together
    assert two.model_._moments.n_pairs == one.model_._moments.n_pairs
    # two states a long way apart: what networks of other rounding make of them
    np.testing.assert_allclose(two.model_.timescales(), one.model_.timescales(), rtol=0.05)


def test_what_all_ranks_say_is_said_by_the_first(capsys):
    console, of_all, own = Console("fit"), ValueError("of all"), ValueError("of this one")
    of_all.__dict__["of_all_ranks"] = True
    console.mute()
    console.say("something")
    console.warn(UserWarning("something"))
    console.fail(of_all)
    console.finish()
    assert capsys.readouterr() == ("", "")
    console.fail(own)
    assert "of this one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sizes", "n_ranks", "expected"),
    [
        ([300], 2, [[(0, 0.0, 0.5)], [(0, 0.5, 1.0)]]),
        ([190, 210], 2, [[(0, 0.0, 1.0)], [(1, 0.0, 1.0)]]),
        ([100, 300], 2, [[(0, 0.0, 1.0), (1, 0.0, 1 / 3)], [(1, 1 / 3, 1.0)]]),
        ([100] * 4, 2, [[(0, 0.0, 1.0), (1, 0.0, 1.0)], [(2, 0.0, 1.0), (3, 0.0, 1.0)]]),
        ([0], 1, [[(0, 0.0, 1.0)]]),
    ],
)
def test_files_are_shared_by_bytes(sizes, n_ranks, expected):
    for found, wanted in zip(shares_of(sizes, n_ranks), expected, strict=True):
        assert [part[0] for part in found] == [part[0] for part in wanted]
        np.testing.assert_allclose([p[1:] for p in found], [p[1:] for p in wanted])
