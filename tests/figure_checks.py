"""What tests of figures share: intervals around values, and what bands and bars must show."""

import numpy as np


def around(values, width=0.1):
    return np.stack([values - width, values + 2.0 * width], axis=-1)


def bands(ax):
    """Lowest and highest value of every band, each at the x of its corners, (n, 2)."""
    return [collection.get_paths()[0].vertices for collection in ax.collections]


def assert_curves(ax, x, curves, intervals):
    """Lines are the curves, and the corners of the bands the limits, in order."""
    assert len(ax.lines) == len(ax.collections) == len(curves)
    for line, corners, curve, interval in zip(ax.lines, bands(ax), curves, intervals, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), x)
        np.testing.assert_array_equal(line.get_ydata(), curve)
        expected = {(a, b) for column in interval.T for a, b in zip(x, column, strict=True)}
        assert expected <= {tuple(corner) for corner in corners}
        assert corners[:, 1].min() == interval.min()
        assert corners[:, 1].max() == interval.max()


def assert_bars(ax, heights, intervals):
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], heights)
    errorbars = [part.errorbar for part in ax.containers if getattr(part, "errorbar", None)]
    arms = [arm[:, 1] for bars in errorbars for arm in bars.lines[2][0].get_segments()]
    # matplotlib adds and subtracts the lengths of the arms again
    np.testing.assert_allclose(arms, intervals, rtol=1e-12, atol=1e-14)
