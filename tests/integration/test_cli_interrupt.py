"""Control-C in a terminal, which reaches a command and every process that it has started."""

import os
import signal
import subprocess
import sys
import time

import pytest

from graphkoopman.datasets import chain_rates, make_hopping

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups are of POSIX")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    hopping = make_hopping(chain_rates(2, slowest=20.0), 800, n_targets=4, random_state=0)
    trajectory = hopping.trajectory.to_mdtraj()
    trajectory[0].save_pdb(folder / "box.pdb")
    trajectory.save_xtc(folder / "run.xtc")
    return folder


def test_a_search_in_two_processes_that_is_interrupted_keeps_its_candidates(files):
    out = files / "out"
    found = files / "out.unfinished" / "candidates.csv"
    words = ["select", "run.xtc", "--top", "box.pdb", "--targets", "element Li", "--neighbors", "8"]
    words += ["--convolutions", "1", "--states", "2", "3", "4", "--lags", "2", "4", "6", "8"]
    words += ["--epochs", "3", "--jobs", "2", "--out", str(out)]
    # a parent that ignores the signal, such as a background job, would pass that on
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from graphkoopman.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=files, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 240.0
        while not (found.is_file() and len(found.read_text().splitlines()) > 1):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "the same command goes on from there" in errors
    assert not out.exists()
    assert len(found.read_text().splitlines()) > 1
