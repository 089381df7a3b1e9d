"""Figures of structure and transport show the numbers of their results, and nothing else."""

import io
from dataclasses import replace

import numpy as np
import pytest
from figure_checks import around, assert_bars, assert_curves, bands
from matplotlib import pyplot as plt

from graphkoopman import Trajectory, plotting
from graphkoopman.plotting._axes import style_of
from graphkoopman.structure import (
    ChargeIntegral,
    SpatialMap,
    StateProfile,
    StateRDF,
    most_different,
    state_rdf,
)
from graphkoopman.transport import Conduction, TransitionDiffusion, TransitionMSD, residence_times

N_STATES, N_BINS = 2, 6


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.figure().add_subplot()


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
    points = [line.get_ydata() for line in ax.lines if line.get_linestyle() == "None"]
    np.testing.assert_array_equal(points[1], result.msd.msd[:, 0, 1])
    assert len(ax.collections) == 3
    assert ax.get_legend().get_title().get_text() == "diffusion / Å²/ps"


def test_every_figure_is_exported():
    figures = [name for name in plotting.__all__ if name != "COLORS"]
    assert all(callable(getattr(plotting, name)) for name in figures)


def test_no_two_transitions_of_three_states_look_alike():
    looks = {
        tuple(sorted((key, str(value)) for key, value in style_of(i, j).items()))
        for i in range(6)
        for j in range(6)
    }
    assert len(looks) == 36
    assert style_of(2, 0)["color"] != style_of(0, 0)["color"]


def test_intervals_that_leave_the_view_are_named(ax):
    curves = np.full((4, 2, 2), 12.0)
    interval = np.stack([curves - 1.0, curves + 1.0], axis=-1)
    interval[:, 1, 0] = [0.0, 150.0]
    result = TransitionMSD(
        lags=np.arange(1, 5), msd=curves, msd_interval=interval, total=curves[:, 0, 0],
        total_interval=interval[:, 0, 0], weight=np.ones((4, 2, 2)), timestep=1.0,
        unit="targets", n_units=9,
    )  # fmt: skip
    plotting.plot_transition_msd(result, ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [label for label in labels if label.endswith("*")] == ["1→0 *"]
    assert "* interval leaves the view" in ax.get_legend().get_title().get_text()
    assert ax.get_ylim()[1] < 20.0


def test_states_that_nobody_leaves_have_a_figure(ax):
    probs = np.zeros((50, 4, 2))
    probs[:, :2, 0] = probs[:, 2:, 1] = 1.0
    plotting.plot_residence_times(residence_times(probs, timestep=1.0), ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert all("nobody enters; mean above" in label for label in labels)
    ax.figure.savefig(io.BytesIO(), format="png")


def test_a_running_number_shows_its_first_shell(ax):
    corners = np.concatenate([np.eye(3), -np.eye(3)]) * 2.0
    far = np.random.default_rng(0).uniform(4.0, 9.0, (80, 3))
    positions = np.concatenate([np.zeros((1, 3)), corners, far])
    ion = Trajectory(
        np.broadcast_to(positions, (6, 87, 3)), 20 * np.eye(3), [3] + [16] * 86, timestep=1.0
    )
    rdf = state_rdf(ion, np.ones((6, 1, 1)), [0], r_max=9.5, n_bins=95, species="S")
    plotting.plot_coordination(rdf, ax, species="S")
    assert 2.0 < ax.get_xlim()[1] < 7.0
    assert 6.0 <= ax.get_ylim()[1] < 20.0
    assert most_different(rdf) == ("S",)
