"""The directive ``command-help``: what a command of graphkoopman prints with ``--help``."""

import os

from docutils import nodes
from docutils.parsers.rst import Directive

from graphkoopman.cli._arguments import build_parser

WIDTH = "96"  # characters of a line


class CommandHelp(Directive):
    """Help of one command as a literal block."""

    required_arguments = 1

    def run(self):
        """The block."""
        parser = build_parser()
        (commands,) = (action for action in parser._actions if action.dest == "command")
        before, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), WIDTH
        try:
            text = commands.choices[self.arguments[0]].format_help()
        finally:
            if before is None:
                del os.environ["COLUMNS"]
            else:
                os.environ["COLUMNS"] = before
        return [nodes.literal_block(text, text, language="text")]


def setup(app):
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
