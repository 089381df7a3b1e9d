"""``graphkoopman completion``: commands and options completed by the shell."""

import argparse

from graphkoopman._optional import missing
from graphkoopman.cli._arguments import build_parser


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    try:
        import shtab
    except ImportError as error:
        raise missing("completion", "completion") from error
    print(shtab.complete(build_parser(), shell=options.shell))
    return 0
