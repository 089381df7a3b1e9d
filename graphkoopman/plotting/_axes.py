"""What all figures share: axes, colours, bands and error bars of 95 % intervals."""

from operator import index
from typing import Any, SupportsIndex

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray

__all__ = ["BAND_OPACITY", "COLORS", "axes_or_new", "color_of", "curve_with_band", "error_arms"]

Array = NDArray[np.float64]

BAND_OPACITY = 0.25
# Okabe and Ito's palette, which colour-blind readers can tell apart, without black and yellow
COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]


def color_of(number: SupportsIndex) -> str:
    """Colour of a state, process or transition by its number; the same in all figures."""
    return COLORS[index(number) % len(COLORS)]


def axes_or_new(ax: Axes | None) -> Axes:
    """The axes given, or those of a new figure."""
    return plt.figure().add_subplot() if ax is None else ax


def curve_with_band(
    ax: Axes, x: Array, y: Array, interval: Array, *, step: bool = False, **style: Any
) -> None:
    """A line and, where they are finite, the limits around it.

    Parameters
    ----------
    ax : Axes
    x, y : ndarray of shape (n,)
    interval : ndarray of shape (n, 2)
        Low and high.
    step : bool
        Constant from each x to the next.
    **style
        Of the line; the band takes its colour.
    """
    (line,) = ax.plot(x, y, drawstyle="steps-post" if step else "default", **style)
    ax.fill_between(
        x,
        interval[:, 0],
        interval[:, 1],
        step="post" if step else None,
        color=line.get_color(),
        alpha=BAND_OPACITY,
        linewidth=0.0,
    )


def error_arms(estimate: Array, interval: Array) -> Array:
    """Lengths below and above an estimate, (2, n), as error bars take them.

    An arm without an end is NaN: it is not drawn.
    """
    arms = np.stack([estimate - interval[:, 0], interval[:, 1] - estimate])
    return np.where(np.isfinite(arms), np.maximum(arms, 0.0), np.nan)
