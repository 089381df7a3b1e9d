"""Compiled loops are kept on disk, and found there by later processes."""

import logging
from types import SimpleNamespace

from benchmarks.startup import first_steps
from graphkoopman import _compiling


def test_a_second_process_compiles_nothing(tmp_path):
    first, second = first_steps(2, tmp_path)
    assert first["files"] == second["files"] > 0
    assert (first["lines"], second["lines"]) == (1, 0)


def test_compiling_is_announced_once(caplog):
    announcement = _compiling._Announcement()
    own, foreign = (
        SimpleNamespace(
            data={"dispatcher": SimpleNamespace(py_func=SimpleNamespace(__module__=name))}
        )
        for name in ("graphkoopman.graphs._build", "elsewhere")
    )
    with caplog.at_level(logging.INFO, "graphkoopman"):
        for event in (foreign, own, own):
            announcement.on_start(event)
    assert [record.message for record in caplog.records] == [
        "graphkoopman: compiling loops for this machine, once; about ten seconds"
    ]
