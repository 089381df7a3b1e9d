"""What all figures share: axes, colours, bands and error bars of 95 % intervals."""

from operator import index
from typing import Any, SupportsIndex

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray

__all__ = [
    "BAND_OPACITY",
    "COLORS",
    "axes_or_new",
    "color_of",
    "curve_with_band",
    "error_arms",
    "style_of",
    "view_of_curves",
]

Array = NDArray[np.float64]

BAND_OPACITY = 0.25
# Okabe and Ito's palette, which colour-blind readers can tell apart, without black and yellow
COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]


def color_of(number: SupportsIndex) -> str:
    """Colour of a state, process or transition by its number; the same in all figures."""
    return COLORS[index(number) % len(COLORS)]


# of the state that a transition ends in; its colour is that of the state it begins in
LINE_STYLES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P")
WIDE = 4.0  # times its estimate, beyond which the limit of an interval leaves the view


def style_of(begin: SupportsIndex, end: SupportsIndex) -> dict[str, Any]:
    """Colour, line style and marker of a transition: no two of 36 are alike."""
    number = index(end)
    return {
        "color": color_of(begin),
        "linestyle": LINE_STYLES[number % len(LINE_STYLES)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 3.5,
    }


def view_of_curves(ax: Axes, curves: Array, upper: Array) -> NDArray[np.bool_]:
    """Set the height of a view by the curves, and tell whose intervals leave it.

    Parameters
    ----------
    ax : Axes
        Axes whose limits start at zero.
    curves : ndarray of shape (n_points, ...)
    upper : ndarray of shape (n_points, ...)
        Upper limits.

    Returns
    -------
    ndarray of shape (...), bool
        Whether a limit is not in view.
    """
    modest = np.where(np.isfinite(upper) & (upper <= WIDE * curves), upper, curves)
    top = 1.08 * np.nanmax(modest)
    if np.isfinite(top) and top > 0.0:
        ax.set_ylim(0.0, top)
    return np.asarray((upper > ax.get_ylim()[1]).any(axis=0))


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
        How the line is drawn; the band takes its colour.
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
