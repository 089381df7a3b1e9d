"""What a release is made of: one version, extras, the files that maintainers expect."""

import re
import tomllib
from pathlib import Path

import pytest

import graphkoopman
from graphkoopman._optional import OPTIONAL, missing

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def text(name):
    return (ROOT / name).read_text("utf-8")


def test_version_has_one_source():
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]
    version = graphkoopman.__version__
    assert re.search(rf"^## {re.escape(version)}\b", text("CHANGELOG.md"), flags=re.MULTILINE)
    assert f"\nversion: {version}\n" in text("CITATION.cff")


@pytest.mark.parametrize("extra", OPTIONAL)
def test_errors_name_what_the_extra_installs(extra):
    _, requirement, module = OPTIONAL[extra]
    assert requirement in PROJECT["optional-dependencies"][extra]
    error = missing(extra, "this")
    assert error.name == module
    assert f'pip install "{requirement}"' in str(error)


def test_no_error_names_a_package_that_the_index_lacks():
    sources = (path.read_text("utf-8") for path in (ROOT / "graphkoopman").rglob("*.py"))
    assert not any("graphkoopman[" in source for source in sources)


def test_extras_install_from_wheels_and_all_is_all():
    extras = PROJECT["optional-dependencies"]
    named = re.search(r"graphkoopman\[(.+)\]", extras["all"][0])[1].split(",")
    assert set(named) == set(extras) - {"all", "browser"}
    assert not any("scatter" in line for lines in extras.values() for line in lines)


@pytest.mark.parametrize(
    "name",
    [
        "CONTRIBUTING.md",
        "CODE_OF_CONDUCT.md",
        "SECURITY.md",
        ".editorconfig",
        ".pre-commit-config.yaml",
        ".readthedocs.yaml",
        ".github/dependabot.yml",
        ".github/workflows/ci.yml",
        ".github/workflows/release.yml",
    ],
)
def test_a_project_has(name):
    assert (ROOT / name).is_file()


def test_workflow_tests_the_declared_versions_of_python():
    declared = {
        line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)
    }
    assert declared == set(
        re.findall(r'"(3\.\d+)"', re.search(r"python: \[.*\]", text(".github/workflows/ci.yml"))[0])
    )


def test_readme_keeps_two_commands_of_one_line():
    demo, tests, torch = re.findall(r"^python3 -m venv .*$", text("README.md"), flags=re.MULTILINE)
    assert demo.endswith("graphkoopman demo")
    assert tests.endswith("pytest")
    assert "whl/cpu" in torch  # in place of the first half of either
