"""Arguments of the ``graphkoopman`` command; every bad input ends in one line and exit code 2."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from graphkoopman.cli import _analyze, _bench, _demo, _fit, _reproduce, _select


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="graphkoopman",
        description="States, exchange times and Koopman models of atoms and molecules in "
        "molecular dynamics trajectories, by graph dynamical networks.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (_demo, _fit, _select, _analyze, _reproduce, _bench):
        module.add_command(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    options = build_parser().parse_args(arguments)

    def one_line(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"graphkoopman {options.command}: warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = one_line
        try:
            return options.run(options)
        except (ValueError, OSError, ImportError) as error:
            print(f"graphkoopman {options.command}: {error}", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
