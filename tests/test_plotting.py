"""Figures show the numbers of their results, and nothing else."""

from dataclasses import replace

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from deeptime.util.validation import implied_timescales
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
from graphkoopman.structure import ChargeIntegral, SpatialMap, StateProfile, StateRDF
from graphkoopman.transport import Conduction, TransitionDiffusion, TransitionMSD, residence_times

N_STATES, N_BINS = 2, 6


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.figure().add_subplot()


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


@pytest.fixture
def rdf():
    rng = np.random.default_rng(0)
    g, coordination = rng.random((2, N_STATES, 2, N_BINS))
    edges = np.linspace(0.0, 3.0, N_BINS + 1)
    return StateRDF(
        r=0.5 * (edges[1:] + edges[:-1]),
        edges=edges,
        g=g,
        g_interval=around(g),
        coordination=coordination,
        coordination_interval=around(coordination),
        species=("Li", "S"),
        populations=np.array([0.7, 0.3]),
        populations_interval=around(np.array([0.7, 0.3])),
        density=np.ones((N_STATES, 2)),
        n_blocks=20,
    )


@pytest.fixture
def profile():
    density, probability = np.random.default_rng(1).random((2, N_STATES, N_BINS))
    return StateProfile(
        position=np.arange(N_BINS) + 0.5,
        fraction=(np.arange(N_BINS) + 0.5) / N_BINS,
        density=density,
        density_interval=around(density),
        probability=probability,
        probability_interval=around(probability),
        counts=np.ones(N_BINS, dtype=np.int64),
        axis=2,
        n_blocks=20,
    )


@pytest.fixture
def msd():
    values = np.random.default_rng(2).random((4, N_STATES, N_STATES))
    values[:, 1, 0] = np.nan
    total = values[:, 0, 0] + 1.0
    return TransitionMSD(
        lags=np.array([1, 2, 4, 8]),
        msd=values,
        msd_interval=around(values),
        weight=np.ones_like(values),
        total=total,
        total_interval=around(total),
        timestep=0.5,
        unit="targets",
        n_units=12,
    )


@pytest.fixture
def conduction():
    percent = np.array([[60.0, 15.0], [20.0, 5.0]])
    interval = around(percent, 3.0)
    names = ("sigma", "diffusion", "total", "nernst_einstein", "einstein", "tracer_diffusion")
    fields = dict.fromkeys(Conduction.__dataclass_fields__, 1.0)
    fields |= {f"{name}_interval": np.ones(2) for name in names}
    return Conduction(**fields | {"percent": percent, "percent_interval": interval,
                                  "total": 0.012, "closure": 0.25})  # fmt: skip


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


def test_state_rdf_shows_every_state_and_species(rdf):
    ax = plotting.plot_state_rdf(rdf)
    order = [(state, species) for species in range(2) for state in range(N_STATES)]
    assert_curves(ax, rdf.r, [rdf.g[i] for i in order], [rdf.g_interval[i] for i in order])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("r / Å", "g(r)")
    assert [line.get_label() for line in ax.lines][:2] == ["state 0, Li", "state 1, Li"]
    styles = {(line.get_color(), line.get_linestyle()) for line in ax.lines}
    assert len(styles) == 4


def test_species_can_be_chosen(rdf):
    ax = plotting.plot_state_rdf(rdf, species="S")
    assert_curves(ax, rdf.r, rdf.g[:, 1], rdf.g_interval[:, 1])
    with pytest.raises(ValueError, match=r"among \['Li', 'S'\], got \['O'\]"):
        plotting.plot_coordination(rdf, species=["Li", "O"])


def test_coordination_is_at_the_outer_borders(rdf):
    ax = plotting.plot_coordination(rdf, species="Li")
    assert_curves(ax, rdf.edges[1:], rdf.coordination[:, 0], rdf.coordination_interval[:, 0])
    assert ax.get_xlabel() == "r / Å"


def test_charge_integral(ax):
    charge = np.random.default_rng(4).normal(size=(N_STATES, N_BINS))
    result = ChargeIntegral(
        np.arange(1.0, N_BINS + 1), charge, around(charge), np.ones(2), np.ones(2), 20
    )
    assert plotting.plot_charge_integral(result, ax) is ax
    assert_curves(ax, result.r, charge, result.charge_interval)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("r / Å", "charge within r / e")


@pytest.mark.parametrize(
    ("quantity", "label"), [("density", "density / Å⁻³"), ("probability", "probability")]
)
def test_state_profile(profile, quantity, label):
    ax = plotting.plot_state_profile(profile, quantity=quantity)
    curves, intervals = getattr(profile, quantity), getattr(profile, f"{quantity}_interval")
    assert_curves(ax, profile.position, curves, intervals)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("position along c / Å", label)


def test_state_profile_refuses_other_quantities(profile):
    with pytest.raises(ValueError, match="got 'counts'"):
        plotting.plot_state_profile(profile, quantity="counts")


def test_an_interval_without_an_end_is_not_drawn(profile):
    profile.density_interval[0, 0, 1] = np.inf
    ax = plotting.plot_state_profile(profile)
    assert np.isfinite(bands(ax)[0]).all()
    assert bands(ax)[0][:, 0].min() == profile.position[1]


@pytest.fixture
def spatial():
    probability = np.random.default_rng(5).random((N_STATES, 2, 3, 4))
    probability[:, 0, 0, 0] = np.nan
    cell = np.array([[4.0, 0.0, 0.0], [3.0, 6.0, 0.0], [1.0, 1.0, 8.0]])
    counts = np.ones((2, 3, 4), dtype=np.int64)
    return SpatialMap(probability, around(probability), counts, cell, 20)


def test_spatial_map_shows_one_layer_at_the_angle_of_the_cell(spatial, ax):
    assert plotting.plot_spatial_map(spatial, ax, state=1) is ax
    (mesh,) = ax.collections
    np.testing.assert_array_equal(
        np.ma.filled(mesh.get_array(), np.nan), spatial.probability[1, :, :, 0]
    )
    corners = mesh.get_coordinates()
    np.testing.assert_allclose(corners[-1, 0], [4.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(corners[-1, -1], [7.0, 6.0], atol=1e-12)
    assert mesh.get_clim() == (0.0, 1.0)
    assert ax.figure.axes[1].get_ylabel() == "probability of state 1"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("along a / Å", "across a / Å")
    assert ax.get_title() == "layer 0 of 4 along c"


def test_spatial_map_along_another_vector(spatial):
    ax = plotting.plot_spatial_map(spatial, axis="a", layer=1)
    np.testing.assert_array_equal(ax.collections[0].get_array(), spatial.probability[0, 1])


@pytest.mark.parametrize("wrong", [{"axis": "d"}, {"state": 2}, {"layer": 4}, {"layer": -1}])
def test_spatial_map_refuses_what_is_not_there(spatial, wrong):
    with pytest.raises(ValueError, match="must be"):
        plotting.plot_spatial_map(spatial, **wrong)


def test_transition_msd_is_over_time_without_unseen_transitions(msd, ax):
    assert plotting.plot_transition_msd(msd, ax) is ax
    seen = [(0, 0), (0, 1), (1, 1)]
    curves = [*(msd.msd[:, i, j] for i, j in seen), msd.total]
    limits = [*(msd.msd_interval[:, i, j] for i, j in seen), msd.total_interval]
    assert_curves(ax, 0.5 * msd.lags, curves, limits)
    assert [line.get_label() for line in ax.lines] == ["0→0", "0→1", "1→1", "all targets"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("lag time / ps", "squared displacement / Å²")


def test_conduction_bars_are_the_percentages(conduction, ax):
    assert plotting.plot_conduction(conduction, ax) is ax
    assert_bars(ax, conduction.percent.ravel(), conduction.percent_interval.reshape(-1, 2))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0→0", "0→1", "1→0", "1→1"]
    assert ax.get_ylabel() == "share of the conductivity / %"
    assert ax.get_title() == "sum 0.012 S/cm, 0.25 of Nernst–Einstein"


def test_an_error_bar_without_an_end_is_left_out(conduction):
    conduction.percent_interval[0, 0] = [-np.inf, np.inf]
    ax = plotting.plot_conduction(conduction)
    ax.figure.canvas.draw()
    assert np.isfinite(ax.get_ylim()).all()


def test_residence_times_show_survival_as_steps(ax):
    rng = np.random.default_rng(6)
    labels = np.cumsum(rng.random((400, 3)) < 0.2, axis=0) % 2
    result = residence_times(labels, timestep=2.0)
    assert plotting.plot_residence_times(result, ax) is ax
    for state, (line, corners) in enumerate(zip(ax.lines, bands(ax), strict=True)):
        seen = result.survival[state] > 0
        np.testing.assert_array_equal(line.get_xdata(), result.times[seen])
        np.testing.assert_array_equal(line.get_ydata(), result.survival[state][seen])
        assert line.get_drawstyle() == "steps-post"
        assert f"{result.mean[state]:.3g} ps" in line.get_label()
        assert corners[:, 1].min() == result.survival_interval[state][seen].min()
    assert ax.get_xlabel() == "age / ps"
    assert ax.get_yscale() == "log"


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
    assert (interval[..., 1] - interval[..., 0]).max() < 0.5


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


def diffusion_result(msd, method):
    at_tau = 2 if method == "slope" else slice(2, 3)
    if method == "secant":
        msd = replace(
            msd, lags=msd.lags[at_tau], msd=msd.msd[at_tau], msd_interval=msd.msd_interval[at_tau],
            weight=msd.weight[at_tau], total=msd.total[at_tau],
            total_interval=msd.total_interval[at_tau],
        )  # fmt: skip
    diffusion = np.array([[0.02, 0.03], [np.nan, 0.05]])
    return TransitionDiffusion(
        diffusion=diffusion,
        diffusion_interval=around(diffusion, 0.01),
        intercept=np.full((2, 2), 0.0 if method == "secant" else 0.3),
        total=0.03,
        total_interval=np.array([0.02, 0.04]),
        window=(1, 8),
        msd=msd,
        lagtime=4,
        timestep=0.5,
        method=method,
        unit="targets",
        n_units=12,
    )


@pytest.mark.parametrize(("method", "start"), [("slope", 0.5), ("secant", 0.0)])
def test_transition_diffusion_shows_its_fit(msd, ax, method, start):
    result = diffusion_result(msd, method)
    assert plotting.plot_transition_diffusion(result, ax) is ax
    fits = [line for line in ax.lines if line.get_label().startswith(("0→", "1→"))]
    for line, (i, j) in zip(fits, [(0, 0), (0, 1), (1, 1)], strict=True):
        x, y = line.get_xdata(), line.get_ydata()
        np.testing.assert_allclose(x, [start, result.msd.times[-1]])
        np.testing.assert_allclose(np.diff(y) / np.diff(x) / 6, result.diffusion[i, j])
        assert line.get_label().startswith(f"{i}→{j}: {result.diffusion[i, j]:.3g} (")
    points = [line.get_ydata() for line in ax.lines if line.get_marker() == "."]
    np.testing.assert_array_equal(points[1], result.msd.msd[:, 0, 1])
    assert len(ax.collections) == 3
    assert ax.get_legend().get_title().get_text() == "diffusion / Å²/ps"


def test_every_figure_is_exported():
    figures = [name for name in plotting.__all__ if name != "COLORS"]
    assert all(callable(getattr(plotting, name)) for name in figures)
