"""The notebooks of the tutorials: as their sources are, whole, and running from any folder."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tutorials"
PAGE = (ROOT / "docs" / "tutorials.md").read_text("utf-8")
sys.path.insert(0, str(FOLDER))
build = importlib.import_module("build")
sys.path.remove(str(FOLDER))
SOURCES = build.sources()
MOST_BYTES = 2_000_000


def notebook_of(source):
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_is_as_new_as_its_source(source):
    assert build.is_current(source, source.with_suffix(".ipynb")), (
        f"{source.stem}.ipynb is older than its source: python tutorials/build.py"
    )


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_is_executed_and_small(source):
    path = source.with_suffix(".ipynb")
    notebook = notebook_of(source)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert all(output.output_type != "error" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert path.stat().st_size < MOST_BYTES
    # nothing of the machine that it was made on
    assert not re.search(r"(/home/|/root/|/work/|/tmp/|site-packages)", path.read_text("utf-8"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_question_figure_and_constants_come_first(source):
    head, constants, *rest = build.read_source(source).cells
    assert head.cell_type == "markdown"
    assert head.source.startswith("# ")
    assert re.search(r"^\*\*.*\?\*\*", head.source, flags=re.MULTILINE | re.DOTALL)
    assert "(attachment:answer.png)" in head.source
    assert constants.cell_type == "code"
    assert "GRAPHKOOPMAN_TUTORIAL_SIZE" in constants.source
    assert sum("answer" in cell.metadata.get("tags", ()) for cell in rest) == 1


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_notebook_has_a_card(source):
    assert f":link: tutorials/{source.stem}\n" in PAGE
    assert f":img-top: _static/tutorials/{source.stem}.png\n" in PAGE
    assert (build.THUMBNAILS / f"{source.stem}.png").is_file()


def test_changes_of_the_source_are_noticed(tmp_path):
    source = tmp_path / "known_answer.py"
    shutil.copy(FOLDER / source.name, source)
    shutil.copy(FOLDER / "known_answer.ipynb", tmp_path)
    target = source.with_suffix(".ipynb")
    assert build.is_current(source, target)
    os.utime(source)  # a newer file of the same content is not a change
    assert build.is_current(source, target)
    text = source.read_text("utf-8")
    source.write_text(text.replace("LAG = 5", "LAG = 6"), "utf-8")
    assert not build.is_current(source, target)
    assert not build.keep_results(build.read_source(source), nbformat.read(target, 4))
    source.write_text(text.replace("# ## In ten lines", "# ## In some lines"), "utf-8")
    assert not build.is_current(source, target)
    assert build.keep_results(build.read_source(source), nbformat.read(target, 4))


def test_warnings_of_a_notebook_name_no_folder():
    told = "/opt/x/graphkoopman/a.py:12: FewUnitsWarning: few units\n  warnings.warn(\n"
    assert build._without_paths(told) == "FewUnitsWarning: few units\n"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_runs_at_small_size(source, tmp_path):
    # a process of its own, since the kernel's client leaves an event loop behind
    command = [sys.executable, FOLDER / "build.py", source.stem, "--small", "--out", tmp_path]
    environment = {key: value for key, value in os.environ.items() if key != "GRAPHKOOPMAN_DATA"}
    environment["OMP_NUM_THREADS"] = "1"  # small fits lose time where threads of tests compete
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / f"{source.stem}.ipynb").is_file()
