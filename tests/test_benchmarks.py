"""Short versions of ``python -m benchmarks``: the tables are made, and their checks hold."""

import json

import numpy as np
import pytest
import torch

from benchmarks import (
    coverage,
    device,
    memory,
    representations,
    seeds,
    symmetry,
    training_step,
    transfer,
)
from benchmarks.__main__ import main, parts
from benchmarks._rows import Row, peak_memory, rows_table


@pytest.fixture
def no_processes(monkeypatch):
    """Memory is not measured, the call is made here: a process takes seconds to start."""

    def one_byte(prepare, *arguments):
        prepare(*arguments)()
        return 1.0

    for module in (memory, training_step):
        monkeypatch.setattr(module, "peak_memory", one_byte)


def allocate(n_bytes):
    return lambda: np.ones(n_bytes, np.uint8).sum()


def test_peak_memory_of_a_call():
    # beside the array nothing is allocated: 10 % are for the interpreter
    assert peak_memory(allocate, 2**26) == pytest.approx(2**26, rel=0.1)


@pytest.mark.usefixtures("no_processes")
def test_steps_of_the_toy_system(tmp_path, capsys):
    main(["--quick", "--systems", "toy", "--parts", "step", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "speed.json").read_text())
    assert [row["name"] for row in rows] == ["step", "step memory"]
    for row in rows:
        assert row["same"] is True
        assert 0 < row["ratio"]["min"] <= row["ratio"]["median"] <= row["ratio"]["max"]
    table = (tmp_path / "speed.md").read_text()
    assert table.count("\n") == 4
    assert table in capsys.readouterr().out


@pytest.mark.usefixtures("no_processes")
def test_memory_of_whole_steps():
    rows = memory.case_rows("toy", 1, 1, 10, (20, 40))
    assert [row.details["frames"] for row in rows] == [20, 40]
    assert rows[0].ratios == [1.0]
    assert all(row.details["stored graphs"] > 0 for row in rows)


def test_device():
    """On the CPU, where both sides have other kernels than on a GPU and the same results."""
    rows = device.rows(torch.device("cpu"), 1, 8, copied=2**16)
    names = 4 * ["graphs"] + 2 * ["convolution"] + 2 * ["step"]
    assert [row.name for row in rows] == names
    assert all(row.same is True and row.ratios[0] > 0 for row in rows)


def test_all_parts_have_a_quick_version():
    assert list(parts(True, 1, ())) == list(parts(False, 1, ()))


def test_unknown_parts_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--parts", "everything"])
    assert "invalid choice: 'everything'" in capsys.readouterr().err


def test_table_of_rows():
    rows = [
        Row("step", "toy", "plain", [2.0, 1.0, 4.0], True, {"MiB": 3.14159}),
        Row("exponent", "atoms", "edges", [1.0], None),
        Row("step", "gas", "plain", [1.0], False),
    ]
    lines = rows_table(rows).splitlines()
    assert lines[2] == "| step | toy | plain | 1 – 2 – 4 | yes | MiB 3.14 |"
    assert lines[3] == "| exponent | atoms | edges | 1 – 1 – 1 |  |  |"
    assert "| NO |" in lines[4]


@pytest.mark.parametrize("part", ["groups", "learned", "structure", "transport"])
def test_coverage_in_short_runs(part, tmp_path):
    rows = coverage.run_short(part, 1, 1, tmp_path / "rows.jsonl", cases=[("two", 50, 5)])
    assert len(rows) == 1
    held = [value for value in rows[0].values() if isinstance(value, list)]
    assert {type(flag) for flags in held[1:] for flag in flags} == {bool}  # the first is the case
    assert "| two | 50 | 5 | 6 | 1 |" in coverage.short_table(rows)


def test_coverage_of_a_rare_visit(tmp_path):
    """Of forty runs with few visits, blocks alone miss the time in more than a fifth."""
    cases = [case for case in coverage.cases_of("visits") if case[:2] == ("5 % of frames", 3)]
    rows = coverage.run_short("visits", 40, 1, tmp_path / "rows.jsonl", cases=cases)
    held = {name: np.mean([row[name] for row in rows]) for name in rows[0] if "times" in name}
    assert held["timescales by blocks alone"] < 0.8
    assert held["timescales"] > 0.85


def test_disjoint_pairs_of_intervals():
    assert seeds.disjoint_pairs([[0, 2], [1, 3], [2.5, 4]]) == "1 of 3"


def test_mirror_images(monkeypatch):
    """Without directions there is nothing to find."""
    for name, value in {"N_FRAMES": 150, "N_TEST_FRAMES": 300, "N_TARGETS": 4}.items():
        monkeypatch.setattr(symmetry, name, value)
    row = {"key": ["ammonia", "plain", 0], **symmetry.one_fit("ammonia", "plain", 0)}
    assert symmetry.table([row]).endswith("| nothing | 1 of 1 |")
    missed = {"key": ["polar cages", "axis z", 0], "score": 1.0, "time": None, "cpu": 0.0}
    late = missed | {"time": 1.06 * symmetry.RELAXATION}
    found = missed | {"time": 0.96 * symmetry.RELAXATION}
    assert [symmetry.passes(case) for case in (missed, late, found)] == [False, False, True]


def test_scores_and_shares_of_real_sets():
    rng = np.random.default_rng(0)
    one = (np.arange(400) // 20 % 2).astype(float)
    functions = np.repeat(np.stack([one, 1 - one], axis=1)[:, None], 2, axis=1)
    # ten frames later half of the frames have switched: no correlation is left
    assert representations.held_out_score([functions], 10) == pytest.approx(1.0, abs=1e-3)
    assert representations.held_out_score([functions, rng.random((3, 2, 2))], 20) > 1.9
    parts = transfer.first_frames([np.arange(30), np.arange(50)], 2)
    assert [len(part) for part in parts] == [30, 10]
    row = {"key": ["", "b", "scratch", 4, 0], "score": 1.25, "frames": 9}
    assert transfer.table([row]).endswith("| b |  | scratch | 1.250 (1.250) |")
