"""Form of the tutorials, and how they ask for their data. That they run is `tox -e tutorials`."""

import ast
import importlib
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "tutorials"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if not path.name.startswith(("_", "run_")))


@pytest.fixture
def load(monkeypatch):
    """Import a module of the folder as its scripts do."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


def underlined(lines):
    """Whether the first line is a title, underlined as reST asks."""
    return len(lines[1]) >= len(lines[0]) and set(lines[1]) in ({"="}, {"-"})


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_prose_and_code_alternate_as_a_gallery_wants_it(path):
    source = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source))
    assert underlined(docstring.splitlines())
    assert "GRAPHKOOPMAN_TUTORIAL_SIZE=small" in docstring.replace("\n", " ")
    blocks = re.split(r"^# %%\n", source, flags=re.MULTILINE)[1:]
    assert len(blocks) >= 3
    titles = [block for block in blocks if "\n# ---" in block]  # others go on with the last one
    assert len(titles) >= 3
    assert all(underlined([line[2:] for line in block.splitlines()]) for block in titles)


def test_scripts_that_read_trajectories_are_known(load):
    readers = {path.name for path in SCRIPTS if re.search(r"= folders\(", path.read_text("utf-8"))}
    assert readers == load("run_all").NEED_DATA


def test_missing_data_is_an_error_that_says_where_to_look(load, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["water.py", "--data", str(tmp_path), "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as raised:
        load("_real_data").folders("md", "\nTitle\n=====\n")
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert "no folder md" in error
    assert "GRAPHKOOPMAN_DATA" in error


def test_folder_of_figures_is_made_also_without_a_docstring(load, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["water.py", "--out", str(tmp_path / "figures")])
    assert load("_real_data").figure_folder("").is_dir()
