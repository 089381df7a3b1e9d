"""What is imported when: nothing that takes long before it is needed."""

import os
import subprocess
import sys

import pytest

import graphkoopman

# each takes from a tenth of a second to two
SLOW = {"deeptime", "matplotlib", "mdtraj", "numba", "numpy", "scipy", "sklearn", "torch"}
COMMANDS = ("demo", "fit", "select", "analyze", "generate", "reproduce", "bench")
HELP = """
import sys
from graphkoopman.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sys.modules)
"""


def output_of(*arguments, **variables):
    """What Python prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **variables},
    )
    return done.stdout


def slow_imports_of(*arguments, **variables):
    *_, modules = output_of("-c", *arguments, **variables).splitlines()
    return SLOW & set(modules.split())


def test_packages_are_attributes_and_cost_nothing():
    code = "import sys, graphkoopman as gk; gk.structure, gk.plotting; print(*sys.modules)"
    assert slow_imports_of(code) == set()


def test_names_bring_what_they_need_and_no_more():
    code = "import sys; from graphkoopman import read_trajectory; print(*sys.modules)"
    assert slow_imports_of(code).isdisjoint({"deeptime", "matplotlib", "torch"})


@pytest.mark.parametrize("arguments", [[], *([command] for command in COMMANDS)])
def test_help_imports_nothing_slow(arguments):
    assert "usage: graphkoopman" in output_of("-m", "graphkoopman", *arguments, "--help")
    assert slow_imports_of(HELP, *arguments, "--help") == set()


def test_python_m_graphkoopman_says_its_version():
    assert (
        output_of("-m", "graphkoopman", "--version") == f"graphkoopman {graphkoopman.__version__}\n"
    )


def test_everything_at_once_where_asked():
    code = "import sys, graphkoopman; print(*sys.modules)"
    assert slow_imports_of(code, EAGER_IMPORT="1") == SLOW


def test_unknown_name():
    with pytest.raises(AttributeError, match=r"'graphkoopman\.structure' has no attribute 'rdf'"):
        graphkoopman.structure.rdf  # noqa: B018


def test_names_are_listed_before_they_are_imported():
    assert {"GDyNetEstimator", "structure", "__version__"} <= set(dir(graphkoopman))
