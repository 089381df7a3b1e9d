"""VAMP scores of one data set at several lags: `LagsMet`, `MixedLagWarning`."""

import warnings
from collections.abc import Sequence
from typing import Any

__all__ = ["LagsMet", "MixedLagWarning"]

MOST_REMEMBERED = 10_000


class MixedLagWarning(UserWarning):
    """VAMP scores of one data set were computed at lags that differ."""


class LagsMet:
    """Lag at which each data set was scored first."""

    def __init__(self) -> None:
        self._lags: dict[tuple[Any, ...], int] = {}

    def check(self, samples: Sequence[Any], lagtime: int, remedy: str, *, stacklevel: int) -> None:
        """Warn if these data were scored at another lag before.

        Parameters
        ----------
        samples : sequence of Samples
        lagtime : int
            Frames.
        remedy : str
            With ``{lag}`` for the longer of the two lags.
        stacklevel : int
        """
        data = tuple((item.parent, item.start, len(item), item.nbytes) for item in samples)
        if len(self._lags) >= MOST_REMEMBERED:
            self._lags.pop(next(iter(self._lags)))
        other = self._lags.setdefault(data, lagtime)
        if other != lagtime:
            warnings.warn(
                f"VAMP scores at lags of {other} and {lagtime} frames on the same data are not "
                "comparable, they fall with the lag whatever the model; "
                f"{remedy.format(lag=max(other, lagtime))}, or choose lag and number of states "
                "with select_markovian",
                MixedLagWarning,
                stacklevel=stacklevel + 1,
            )
