"""The ``graphkoopman`` command."""

from graphkoopman.cli._main import main

__all__: list[str] = []
