"""The ``graphkoopman`` command; every bad input ends in one line and exit code 2."""

import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from graphkoopman.cli._arguments import build_parser
from graphkoopman.cli._console import Console

BAD_INPUT, INTERRUPTED, PIPE_CLOSED = 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 2 bad input, 130 interrupted, 141 when
    what it writes to has been closed."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = build_parser().parse_args(arguments)
    console = Console(
        options.command,
        quiet=getattr(options, "quiet", False),
        as_json=getattr(options, "json", False),
    )
    options.console, options.arguments = console, arguments
    with warnings.catch_warnings():
        # every one is collected, and said once at the end
        warnings.filterwarnings("always", category=UserWarning)
        warnings.showwarning = console.warn
        try:
            # torch, deeptime and matplotlib come with the command, not with its help
            code = import_module(f"graphkoopman.cli._{options.command}").run(options)
        except BrokenPipeError:
            # whoever read our lines has seen enough, as `head` does; nothing more can be said
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return PIPE_CLOSED
        except (ValueError, OSError, ImportError) as error:
            console.finish()
            console.fail(error)
            return BAD_INPUT
        except KeyboardInterrupt:
            console.finish()
            console.fail("; ".join(["interrupted", *console.kept]))
            return INTERRUPTED
    console.finish()
    return code
