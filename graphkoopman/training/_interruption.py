"""Signals that ask a fit to stop: noted, and acted upon between two steps."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Note SIGINT and SIGTERM instead of dying of them, while the context lasts.

    The first signal is noted and the handlers of before are put back, so that a second one acts as
    ever. On the way out a noted SIGTERM is raised again, for the process to end as its sender
    wants; a noted SIGINT is done with.

    Parameters
    ----------
    active : bool
        False changes no handler. Nor is any changed outside the main thread, which alone can, or
        where a signal is ignored.

    Attributes
    ----------
    signal : signal.Signals or None
        The one that came.
    """

    def __init__(self, active: bool = True) -> None:
        self.active = active and threading.current_thread() is threading.main_thread()
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        if self.active:
            for number in SIGNALS:
                handler = signal.getsignal(number)
                # None: set by other than Python code, and could not be put back
                if handler not in (None, signal.SIG_IGN):
                    self._before[number] = handler
                    signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._put_back()
        if self.signal == signal.SIGTERM:
            signal.raise_signal(signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self._put_back()

    def _put_back(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
