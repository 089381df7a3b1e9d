"""Work on a dask cluster gives what it gives here, also where a worker dies."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_fits import make_featurizer

from graphkoopman.cli import main
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.graphs import GraphTrajectory

PROGRAM = Path(__file__).parent / "dask_cases.py"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dask")
    root = str(PROGRAM.parents[1])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, PROGRAM, folder],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return pickle.loads((folder / "found.pickle").read_bytes())


def test_graphs_are_those_of_one_process_and_sent_by_path(found):
    for here, there in zip(found["serial graphs"], found["dask graphs"], strict=True):
        assert here[:2] == there[:2]
        assert there[2] < 0.2 * there[3]  # a pickle names the file
    assert found["writers"] == [".graphs"]  # whole, nothing partial


@pytest.mark.parametrize("how", ["dask", "killed"])
def test_a_search_is_that_of_one_process(found, how):
    assert list(found[how]) == list(found["serial"])
    for name, scores in found["serial"].items():
        np.testing.assert_allclose(found[how][name], scores, rtol=0, atol=1e-10)


def test_refits_are_those_of_one_process(found):
    for here, there in zip(found["serial refits"], found["dask refits"], strict=True):
        for one, other in zip(here, there, strict=True):
            np.testing.assert_allclose(other, one, rtol=0, atol=1e-10)


def test_mapped_graphs_are_pickled_by_path(tmp_path, monkeypatch):
    monkeypatch.setattr("graphkoopman.storage.LEAST_MAPPED", 64)  # as if they were large
    data = make_hopping(chain_rates(2, slowest=20.0), 300, random_state=0)
    (graphs,) = make_featurizer().fit_transform(data.trajectory)
    graphs.save(tmp_path / "a.graphs")
    mapped = GraphTrajectory.load(tmp_path / "a.graphs", mmap=True)[7:60]
    again = pickle.loads(pickle.dumps(mapped))
    assert again.digest() == graphs[7:60].digest()
    assert (again.parent, again.start) == (mapped.parent, mapped.start)
    pickled = pickle.dumps(mapped)
    graphs.save(tmp_path / "a.graphs")
    with pytest.raises(ValueError, match="has changed since"):
        pickle.loads(pickled)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scheduler", "tcp://127.0.0.1:1"], "--scheduler needs --cache"),
        (
            ["--scheduler", "nonsense", "--cache", "c"],
            "--scheduler must be the address of a running dask scheduler",
        ),
    ],
)
def test_a_wrong_scheduler_is_one_line(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["select", "a.xyz", "--lags", "1", *words]) == 2
    assert said in capsys.readouterr().err
