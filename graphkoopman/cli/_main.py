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

    def one_line(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"graphkoopman {options.command}: warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = one_line
        try:
            # torch, deeptime and matplotlib come with the command, not with its help
            return import_module(f"graphkoopman.cli._{options.command}").run(options)
        except (ValueError, OSError, ImportError) as error:
            print(f"graphkoopman {options.command}: {error}", file=sys.stderr)
            return 2
