"""One line per stage of long work, with the time left: `Progress`, `counted`."""

import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from tqdm.auto import tqdm

BAR = (
    "{desc} {percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} {unit} {elapsed}<{remaining}{postfix}"
)
WITHOUT_TOTAL = "{desc} {elapsed}"
NEWS = 1.0  # s; a shorter stage leaves no line in a file


class Progress:
    """A stage of work: a bar on a terminal or in a notebook, one line once it is done elsewhere.

    Use it as a context.

    Parameters
    ----------
    title : str
    total : int or None
        Number of steps; None where it is not known.
    unit : str
        What a step is, in the plural.
    done : int
        Steps done before.
    active : bool
        False shows nothing.

    Examples
    --------
    >>> from graphkoopman.progress import Progress
    >>> with Progress("folds", 2, "folds", active=False) as stage:
    ...     for _ in range(2):
    ...         stage.step()
    """

    def __init__(
        self,
        title: str,
        total: int | None = None,
        unit: str = "steps",
        *,
        done: int = 0,
        active: bool = True,
    ) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.n_done = done
        self.active = active
        self.note = ""
        self._bar: Any = None
        self._begin = time.perf_counter()

    def __enter__(self) -> "Progress":
        self._begin = time.perf_counter()
        if self.active and _is_watched():
            self._bar = tqdm(
                total=self.total,
                initial=self.n_done,
                desc=self.title,
                unit=self.unit,
                bar_format=WITHOUT_TOTAL if self.total is None else BAR,
                dynamic_ncols=True,
            )
        return self

    def step(self, note: str = "", *, total: int | None = None) -> None:
        """One more step is done.

        Parameters
        ----------
        note : str
            Shown behind the bar.
        total : int or None
            Number of steps, where it has changed.
        """
        self.n_done += 1
        self.note = note
        self.total = self.total if total is None else total
        if self._bar is not None:
            self._bar.total = self.total
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update()

    def say(self, text: str) -> None:
        """A line above the bar, on standard output."""
        if self.active:
            tqdm.write(text)
            sys.stdout.flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            if kind is None and self.total is not None:
                # a stage that ended early is done, too
                self._bar.total = self.n_done
                self._bar.refresh()
            self._bar.close()
        elif self.active and kind is None:
            seconds = time.perf_counter() - self._begin
            if seconds >= NEWS:
                count = "" if self.total is None else f"{self.n_done} {self.unit} in "
                note = f", {self.note}" if self.note else ""
                print(f"{self.title}: {count}{seconds:.0f} s{note}", file=sys.stderr, flush=True)


def counted(n: int, title: str, *, active: bool = True) -> Iterator[int]:
    """``range(n)`` as a stage, whose title is what is counted."""
    with Progress(title, n, "done", active=active and n > 0) as progress:
        for number in range(n):
            yield number
            progress.step()


def _is_watched() -> bool:
    """Whether somebody sees a bar move."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules
