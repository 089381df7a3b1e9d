"""Figures of Koopman models and of training show the numbers of their results."""

import numpy as np
import pytest
from deeptime.util.validation import ImpliedTimescales, implied_timescales
from figure_checks import assert_bars
from matplotlib import pyplot as plt

from graphkoopman import plotting
from graphkoopman.koopman import (
    BootstrapKoopmanModel,
    KoopmanModel,
    SiteGraph,
    estimate_koopman,
    fcc_site_graph,
    global_koopman,
)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.figure().add_subplot()


@pytest.fixture(scope="module")
def models():
    rng = np.random.default_rng(3)
    matrix = np.array([[0.96, 0.03, 0.01], [0.05, 0.93, 0.02], [0.05, 0.05, 0.9]])
    states = np.zeros((4000, 12), dtype=int)
    for t in range(1, len(states)):
        steps = rng.random((12, 1)) > np.cumsum(matrix, axis=1)[states[t - 1]]
        states[t] = np.minimum(steps.sum(axis=1), 2)
    probs = np.eye(3)[states]
    lags = [1, 2, 3]
    return [
        estimate_koopman(probs, lag, timestep=0.5, n_bootstrap=20, random_state=0) for lag in lags
    ]


def test_timescales_that_no_sample_has_are_a_gap(ax):
    rng = np.random.default_rng(0)
    samples = [rng.uniform(4.0, 6.0, (20, 2)) for _ in range(3)]
    samples[1][:, 1] = np.nan  # of the second process at the second lag
    times = np.array([[5.0, 4.5], [5.0, np.nan], [5.0, 4.5]])
    plotting.plot_timescales(ImpliedTimescales([1, 2, 3], times, samples), ax, timestep=1.0)
    means = [line.get_ydata() for line in ax.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(means[0], [sample[:, 0].mean() for sample in samples])
    assert np.isnan(means[1]).tolist() == [False, True, False]


def test_eigenvectors_are_bars_without_the_constant(ax):
    model = KoopmanModel([[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.0, 0.2, 0.8]], lagtime=1)
    assert plotting.plot_eigenvectors(model, ax) is ax
    heights = [bar.get_height() for bar in ax.patches]
    np.testing.assert_array_equal(heights, model.eigenvectors[:, 1:].T.ravel())
    labels = [container.get_label() for container in ax.containers]
    values = model.eigenvalues
    assert labels == [f"process {i}, λ = {values[i]:.3f}" for i in (1, 2)]


def test_eigenvectors_of_samples_carry_intervals(models, ax):
    (model, *_) = models
    plotting.plot_eigenvectors(model, ax)
    samples = np.array([sample.eigenvectors for sample in model.samples])
    # the two processes are apart, so no sample swaps or turns them
    interval = model.t_interval(model.prior.eigenvectors, samples)[:, 1:].swapaxes(0, 1)
    assert_bars(ax, model.prior.eigenvectors[:, 1:].T.ravel(), interval.reshape(-1, 2))
    assert (interval[..., 1] - interval[..., 0]).max() < 0.7


def test_samples_of_the_other_sign_are_turned(ax):
    # the largest component, which is positive, changes with which state is the smaller one
    samples = [
        KoopmanModel([[0.9 - d, 0.1 + d], [0.1 - d, 0.9 + d]], lagtime=1)
        for d in np.linspace(-0.002, 0.002, 20)
    ]
    assert len({sample.eigenvectors[0, 1] > 0 for sample in samples}) == 2
    model = BootstrapKoopmanModel(
        KoopmanModel([[0.9, 0.1], [0.1, 0.9]], lagtime=1),
        samples,
        n_units=20,
        n_effective=20.0,
        concentration=1.0,
        unit="targets",
    )
    plotting.plot_eigenvectors(model, ax)
    (bars,) = (part for part in ax.containers if getattr(part, "errorbar", None) is not None)
    lengths = [np.ptp(arm[:, 1]) for arm in bars.errorbar.lines[2][0].get_segments()]
    assert max(lengths) < 0.2


def test_complex_pairs_are_named():
    model = KoopmanModel([[0.1, 0.9, 0.0], [0.0, 0.1, 0.9], [0.9, 0.0, 0.1]], lagtime=1)
    ax = plotting.plot_eigenvectors(model)
    assert all("real part" in container.get_label() for container in ax.containers)


def test_populations(models, ax):
    (model, *_) = models
    assert plotting.plot_populations(model, ax) is ax
    assert_bars(ax, model.prior.empirical_populations, model.populations_interval())
    plain = plotting.plot_populations(model.prior)
    heights = [bar.get_height() for bar in plain.patches]
    np.testing.assert_array_equal(heights, model.prior.empirical_populations)


def test_timescales_are_labelled_in_ps(models, ax):
    timescales = implied_timescales(models)
    assert plotting.plot_timescales(timescales, ax, timestep=0.5) is ax
    assert ax.get_xlabel() == "lag time / ps"
    assert ax.xaxis.get_major_formatter()(2, None) == "1"
    ax.figure.canvas.draw()
    labels = [*ax.yaxis.get_ticklabels(), *ax.yaxis.get_minorticklabels()]
    ticks = [*ax.yaxis.get_majorticklocs(), *ax.yaxis.get_minorticklocs()]
    shown = [(label.get_text(), tick) for label, tick in zip(labels, ticks, strict=True)]
    assert any(text for text, _ in shown)
    assert all(float(text) == pytest.approx(0.5 * tick) for text, tick in shown if text)
    drawn = [line.get_ydata() for line in ax.lines]
    expected = timescales.timescales_for_process(0)
    assert any(len(y) == 3 and np.allclose(y, expected) for y in drawn)


def test_ck_test_has_a_panel_per_pair_of_states(models):
    figure = plotting.plot_ck_test(models[0].ck_test(models), timestep=0.5)
    panels = [panel for panel in figure.axes if panel.lines]
    assert len(panels) == 9
    assert panels[0].xaxis.get_major_formatter()(2, None) == "1"
    names = [panel.texts[0].get_text() for panel in panels]
    assert names == [f"{i}→{j}" for i in range(3) for j in range(3)]


def test_ck_test_names_its_curves(models):
    test = models[0].ck_test(models)
    figure = plotting.plot_ck_test(test, timestep=0.5)
    (legend,) = figure.legends
    for curve, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
        drawn = [
            line for line in figure.axes[0].lines if line.get_linestyle() == curve.get_linestyle()
        ]
        expected = {"estimated": test.estimates, "predicted": test.predictions}[text.get_text()]
        np.testing.assert_array_equal(drawn[0].get_ydata(), expected[:, 0, 0])


def test_history(ax):
    history = [{"train_score": 1.0 + i, "validation_score": 1.1 + i} for i in range(3)]
    assert plotting.plot_history(history, ax) is ax
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), [1, 2, 3])


def local_model():
    samples = [KoopmanModel([[1 - x, x], [0.14, 0.86]], lagtime=1, timestep=0.5)
               for x in np.linspace(0.008, 0.012, 20)]  # fmt: skip
    options = {"n_units": 20, "n_effective": 20.0, "concentration": 1.0, "unit": "targets"}
    return BootstrapKoopmanModel(
        KoopmanModel([[0.99, 0.01], [0.14, 0.86]], lagtime=1, timestep=0.5), samples, **options
    )


def test_global_timescales_name_their_multiplets(ax):
    result = global_koopman(local_model(), fcc_site_graph())
    assert plotting.plot_global_timescales(result, ax) is ax
    (bars,) = ax.containers
    np.testing.assert_array_equal(bars.lines[0].get_ydata(), result.timescales_ps)
    arms = [arm[:, 1] for arm in bars.lines[2][0].get_segments()]
    np.testing.assert_allclose(arms, result.timescales_ps_interval, rtol=1e-12)
    names = [tick.get_text() for tick in ax.get_xticklabels()]
    assert names == ["1\n3 modes", "2\n7 modes", "3\n1 mode"]
    assert ax.get_ylabel() == "relaxation time / ps"


def test_global_modes_that_never_relax_are_named(ax):
    bonds = np.kron(np.eye(2, dtype=int), np.array([[0, 1], [1, 0]]))
    plotting.plot_global_timescales(
        global_koopman(local_model().prior, SiteGraph([0, 1, 0, 1], bonds)), ax
    )
    names = [tick.get_text() for tick in ax.get_xticklabels()]
    assert names == ["1\n1 mode, endless", "2\n2 modes"]
    (bars,) = ax.containers
    assert len(bars.lines[0].get_ydata()) == 1
    ax.figure.canvas.draw()
