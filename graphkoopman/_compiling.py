"""numba's ``njit``, and a line when it has to compile: the first time on a machine takes seconds.

Compiled loops are kept on disk and found by later processes, as long as nothing in the key of that
cache changes from process to process: functions that are compiled are functions of a module, never
closures over other compiled functions.
"""

import logging
from typing import Any

from numba import njit
from numba.core import event

__all__ = ["njit"]

logger = logging.getLogger("graphkoopman")


class _Announcement(event.Listener):
    """Logs the first compilation of a process; what is found on disk is no compilation."""

    made = False

    def on_start(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func
        if not self.made and function.__module__.startswith("graphkoopman."):
            self.made = True
            # a warning to the eye, as silence for ten seconds would be one; nothing is wrong
            logger.warning(
                "graphkoopman: compiling loops for this machine, once; about ten seconds"
            )

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announcement())
