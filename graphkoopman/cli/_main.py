"""The ``graphkoopman`` command; every bad input ends in one line and exit code 2."""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from graphkoopman.cli._arguments import build_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    options = build_parser().parse_args(arguments)

    said: set[Any] = set()

    def one_line(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        # our own classes each stand for one condition, whatever the lag or part they speak of
        kind = category if category.__module__.startswith("graphkoopman.") else str(message)
        if kind not in said:
            said.add(kind)
            print(f"graphkoopman {options.command}: warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = one_line
        try:
            # torch, deeptime and matplotlib come with the command, not with its help
            return import_module(f"graphkoopman.cli._{options.command}").run(options)
        except (ValueError, OSError, ImportError) as error:
            print(f"graphkoopman {options.command}: {error}", file=sys.stderr)
            return 2
