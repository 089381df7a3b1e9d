"""What commands say: lines for people or JSON for programs, and warnings once, at the end.

Public: :class:`Console`, :func:`in_words_of_the_command`.
"""

import json
import os
import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WIDTH = 100
# arguments of Python functions that are options of the command
OPTIONS = {
    "n_states": "--states",
    "lagtime": "--lag",
    "n_neighbors": "--neighbors",
    "n_per_species": "--per-species",
    "max_epochs": "--epochs",
    "n_init": "--restarts",
    "n_conv": "--convolutions",
    "r_max": "--reach",
    "random_state": "--seed",
    "checkpoint_dir": "--checkpoint",
    "cache_dir": "--cache",
    "memory_budget": "--memory",
    "n_jobs": "--jobs",
    "n_refits": "--refits",
    "n_splits": "--folds",
    "lagtimes": "--lags",
    "max_lagtime": "--max-lag",
    "ignore_times": "--ignore-times",
}
# remedies that a user of commands has no use for
PYTHON_ONLY = {
    r"\. Percentiles of the samples.*, or give more data": "; give more data",
    r"Use timescales_interval, another lagtime": "Use another lagtime",
}
# what is said for both kinds of users: "cell='none' (--cell none)"
IN_BOTH = re.compile(r"(?:\w+=('[^']*'|\{[^}]*\}|\w*)(?: and )?)+ \((--[^)]+)\)")
BOLD, YELLOW, PLAIN = "\033[1m", "\033[33m", "\033[0m"


class Console:
    """Where a command talks to.

    Parameters
    ----------
    command : str
        Its name.
    quiet : bool
        Say nothing but warnings and errors.
    as_json : bool
        Print one JSON object at the end, and nothing else, on standard output.

    Attributes
    ----------
    warnings : list of str
        What was warned of, each once, in the order of coming.
    summary : dict or None
        Key numbers for programs, once they are known.
    kept : list of str
        What an interruption leaves, for its line.
    """

    def __init__(self, command: str, *, quiet: bool = False, as_json: bool = False) -> None:
        self.command = command
        self.quiet = quiet
        self.as_json = as_json
        self.warnings: list[str] = []
        self._said: set[Any] = set()
        self.summary: dict[str, Any] | None = None
        self.kept: list[str] = []
        self.muted = False

    def mute(self) -> None:
        """Say nothing any more but errors of its own: another process speaks for this one."""
        self.muted, self.quiet, self.as_json = True, True, False

    @property
    def shows_progress(self) -> bool:
        """Whether bars are wanted."""
        return not (self.quiet or self.as_json)

    def say(self, text: str = "") -> None:
        """A line or more for people."""
        if self.shows_progress:
            print(text, flush=True)

    def heading(self, text: str) -> None:
        """A line that stands out on a terminal."""
        self.say(f"\n{_styled(text, BOLD, sys.stdout)}")

    def warn(self, message: Warning | str, *_: Any, **__: Any) -> None:
        """Note a warning; the signature is that of `warnings.showwarning`."""
        if self.muted:
            return
        text = in_words_of_the_command(str(message))
        category = type(message)
        # our own classes each stand for one condition, whatever the lag or part they speak of
        kind = category if category.__module__.startswith("graphkoopman.") else text
        if kind not in self._said:
            self._said.add(kind)
            self.warnings.append(text)

    def finish(self) -> None:
        """Say all warnings once, and print the summary where JSON is wanted."""
        if self.as_json and self.summary is not None:
            content = plain({**self.summary, "warnings": self.warnings})
            print(json.dumps(content, ensure_ascii=False))
        for text in self.warnings:
            mark = _styled("warning:", YELLOW, sys.stderr)
            print(f"graphkoopman {self.command}: {mark} {text}", file=sys.stderr)

    def fail(self, error: BaseException | str) -> None:
        """Say what went wrong, in one line; what all ranks say is said by the first."""
        if self.muted and getattr(error, "of_all_ranks", False):
            return
        text = " ".join(in_words_of_the_command(str(error)).split())
        print(f"graphkoopman {self.command}: {text}", file=sys.stderr)


def in_words_of_the_command(message: str) -> str:
    """A message about Python arguments, about options."""
    for pattern, words in PYTHON_ONLY.items():
        message = re.sub(pattern, words, message)
    message = IN_BOTH.sub(_of_command, message)
    names = "|".join(OPTIONS)
    # what is said for both kinds of users: "--restarts 3 (n_init=3)"
    message = re.sub(rf" \((?:{names})(?:=[^ )]*)?\)", "", message)
    return re.sub(rf"(?<![\w.-])({names})(?![\w(])=?", lambda m: _option(m), message)


def _of_command(match: re.Match[str]) -> str:
    value, options = match.groups()
    if value.startswith("'") and " " not in options:
        return f"{options} {value}"
    return options.replace(", ", " and ")


def _option(match: re.Match[str]) -> str:
    return OPTIONS[match[1]] + (" " if match[0].endswith("=") else "")


def indented(text: str) -> str:
    """Wrapped to the width of a terminal, all lines but the first indented."""
    return textwrap.fill(text, WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def plain(value: Any) -> Any:
    """Numbers, texts, lists and dicts in place of arrays, paths and the like; NaN becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, Path | os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None if value != value else ("inf" if value > 0 else "-inf")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return repr(value)


def _styled(text: str, style: str, stream: Any) -> str:
    colour = stream.isatty() and "NO_COLOR" not in os.environ
    return f"{style}{text}{PLAIN}" if colour else text
