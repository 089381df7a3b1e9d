"""Figures of predictions show the numbers of their results."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from figure_checks import assert_bars, bands
from matplotlib import pyplot as plt

from benchmarks._walkers import crisp_model, lithium, pair_hoppers, switching_walkers
from graphkoopman import plotting
from graphkoopman.generation import predict_displacements
from graphkoopman.transport import arrhenius, onsager_contributions


@pytest.fixture
def ax():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_onsager_shows_both_parts(ax):
    pairs = pair_hoppers(400, 6, np.random.default_rng(0))
    result = onsager_contributions(
        lithium(pairs.paths),
        np.eye(2)[pairs.labels],
        "element Li",
        crisp_model(np.full((2, 2), 0.5), 1),
        state_charges=1.0,
        temperature=500.0,
    )
    assert plotting.plot_onsager(result, ax) is ax
    heights = np.concatenate([result.self_.ravel(), result.distinct.ravel()])
    limits = np.concatenate(
        [result.self_interval.reshape(-1, 2), result.distinct_interval.reshape(-1, 2)]
    )
    assert_bars(ax, heights, limits)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0→0", "0→1", "1→0", "1→1"]
    assert f"Haven ratio {result.total_haven:.2f}" in ax.get_title()


def test_predicted_displacement_shows_where_the_data_end(ax):
    matrix, width = np.array([[0.9, 0.1], [0.2, 0.8]]), [0.1, 0.4]
    walkers = switching_walkers(51, 8, 10, np.random.default_rng(0), matrix, width)
    result = predict_displacements(*walkers.data(), crisp_model(matrix, 10), [100.0, 20.0, 500.0])
    assert plotting.plot_predicted_msd(result, ax) is ax
    curve, end = ax.lines
    order = [1, 0, 2]
    np.testing.assert_array_equal(curve.get_xdata(), result.times[order])
    np.testing.assert_array_equal(curve.get_ydata(), result.msd[order])
    assert bands(ax)[0][:, 1].max() == result.msd_interval.max()
    np.testing.assert_array_equal(end.get_xdata(), [50.0, 50.0])
    assert f"D = {result.diffusion:.3g}" in curve.get_label()


def test_arrhenius_shows_values_and_line(ax):
    temperatures = np.array([400.0, 500.0, 600.0, 800.0])
    values = np.array([0.1, 0.5, 1.4, 4.0])
    limits = np.stack([0.8 * values, values / 0.8], axis=-1)
    fit = arrhenius(temperatures, values, limits)
    assert plotting.plot_arrhenius(fit, ax) is ax
    points, line = ax.lines
    np.testing.assert_allclose(points.get_xdata(), 1e3 / temperatures)
    np.testing.assert_array_equal(points.get_ydata(), values)
    np.testing.assert_allclose(line.get_ydata()[0], fit.predict(800.0)[0])
    assert f"{fit.activation_energy:.3g} (" in line.get_label()
    assert ax.get_yscale() == "log"
    several = arrhenius(temperatures, np.stack([values, values], axis=1))
    with pytest.raises(ValueError, match="of one quantity"):
        plotting.plot_arrhenius(several, ax)
