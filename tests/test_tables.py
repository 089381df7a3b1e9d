"""Results introduce themselves: short texts, tables with units, data frames."""

import sys

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from matplotlib import pyplot as plt
from structure_systems import TRICLINIC, gas, random_probs

from graphkoopman import GraphFeaturizer, Trajectory, estimate_koopman, plotting
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.descriptors import FeatureTrajectory
from graphkoopman.generation import predict_conduction, predict_displacements, rewire
from graphkoopman.koopman import ck_error
from graphkoopman.structure import charge_integral, spatial_map, state_profile, state_rdf
from graphkoopman.tables import Tabular, html_table, rows_of
from graphkoopman.transport import (
    arrhenius,
    einstein_conductivity,
    onsager_contributions,
    residence_times,
    transition_diffusion,
    transition_displacements,
)


@pytest.fixture(scope="module")
def results():
    steps = np.random.default_rng(0).normal(scale=0.1, size=(40, 20, 3))
    start = gas(TRICLINIC, 1, [3] * 8 + [16] * 12, seed=1)
    walk = start.positions + np.cumsum(steps, axis=0)
    trajectory = Trajectory(walk, TRICLINIC, start.species, timestep=1.0)
    probs = random_probs(40, 8, 2)
    data = (trajectory, probs, "element Li")
    return {
        "rdf": state_rdf(*data, r_max=4.0, n_bins=8),
        "charge": charge_integral(*data, np.ones(20), r_max=4.0, n_bins=8),
        "profile": state_profile(*data, axis="c", n_bins=5),
        "map": spatial_map(*data, n_bins=3),
        "msd": transition_displacements(*data, [1, 2, 3]),
        "diffusion": transition_diffusion(*data, 4),
        "residence": residence_times(probs, timestep=1.0),
    }


ROWS = {"rdf": 2 * 2 * 8, "charge": 2 * 8, "profile": 2 * 5, "msd": 3 * 4, "diffusion": 4,
        "residence": 2}  # fmt: skip


@pytest.mark.parametrize(
    "name", ["rdf", "charge", "profile", "map", "msd", "diffusion", "residence"]
)
def test_results_have_short_texts_and_tidy_tables(results, name):
    result = results[name]
    assert repr(result).startswith(type(result).__name__ + "(")
    assert len(repr(result)) < 500
    frame = result.to_dataframe()
    if name in ROWS:
        assert len(frame) == ROWS[name]
    assert {column for column in frame if column.endswith("95 % low")}
    page = result._repr_html_()
    assert page.count("<tr>") <= 21
    assert "<table>" in page


def test_values_of_a_table_are_the_results(results):
    rdf = results["rdf"]
    frame = rdf.to_dataframe()
    np.testing.assert_array_equal(frame["g"], rdf.g.ravel())
    np.testing.assert_array_equal(frame["coordination"], rdf.coordination.ravel())
    np.testing.assert_array_equal(frame["species"][:9], ["Li"] * 8 + ["S"])


def test_models_and_trajectories_in_a_notebook():
    model = estimate_koopman(np.eye(2)[np.arange(400) // 20 % 2][:, None], 2, timestep=0.5)
    assert "(1 ps)" in model._repr_html_()
    assert "relaxation times" in model._repr_html_()
    text = gas(TRICLINIC, 3, [3] * 2 + [16] * 4)._repr_html_()
    assert "Li 2, S 4" in text
    assert "2 ps in all" in text


def test_graphs_features_and_models_are_tables_too():
    trajectory = gas(TRICLINIC, 3, [3] * 2 + [16] * 4)
    (graphs,) = GraphFeaturizer("element Li", n_neighbors=3, n_hops=1).fit_transform([trajectory])
    text = graphs._repr_html_()
    assert "Li 2, S 4" in text
    assert "3 nearest, 1 hops, 6 edges per frame" in text
    features = FeatureTrajectory(np.zeros((4, 2, 7)), timestep=0.5)
    assert "<td>7</td>" in features._repr_html_()
    probs = np.eye(2)[np.arange(400) // 20 % 2][:, None]
    plain = estimate_koopman(probs, 2, timestep=0.5)
    frame = plain.to_dataframe()
    np.testing.assert_array_equal(frame["K"], plain.koopman_matrix.ravel())
    many = estimate_koopman(
        [probs[:200], probs[200:]], 2, timestep=0.5, n_bootstrap=10, random_state=0
    )
    assert list(many.to_dataframe()) == ["from", "to", "K", "K, 95 % low", "K, 95 % high"]
    assert "95 % low" in many._repr_html_()


def test_transport_and_predictions_are_tables(walkers):
    trajectory, probs, model = walkers
    data = (trajectory, probs, None, model)
    onsager = onsager_contributions(*data, state_charges=1.0, temperature=300.0)
    frame = onsager.to_dataframe()
    np.testing.assert_array_equal(frame["self / S/cm"], onsager.self_.ravel())
    assert frame["self / S/cm"].sum() + frame["distinct / S/cm"].sum() == pytest.approx(
        onsager.einstein, rel=1e-10
    )
    assert len(rows_of(onsager.carriers_table())) == len(onsager.carriers) ** 2
    msd = predict_displacements(*data, [10.0, 100.0])
    frame = msd.to_dataframe()
    assert len(frame) == 2 * 3
    everywhere = frame[frame["from"] == -1]
    np.testing.assert_array_equal(everywhere["squared displacement / angstrom^2"], msd.msd)
    conduction = predict_conduction(*data, [10.0], state_charges=1.0, temperature=300.0)
    assert conduction.to_dataframe()["Einstein / S/cm"][0] == conduction.einstein[0]
    sequence = rewire(trajectory, probs, model, 5, random_state=0).to_dataframe()
    np.testing.assert_allclose(sequence[["state 0", "state 1"]].sum(axis=1), 1.0, atol=1e-6)
    fit = arrhenius([300.0, 400.0, 500.0], [1.0, 2.0, 3.5])
    assert fit.to_dataframe()["activation energy / eV"][0] == fit.activation_energy
    einstein = einstein_conductivity(trajectory, np.ones(trajectory.n_atoms), 2, temperature=300.0)
    assert len(einstein.to_dataframe()) == len(einstein.lags)


@pytest.fixture(scope="module")
def walkers():
    data = make_hopping(chain_rates(2, slowest=20.0), 300, n_targets=4, random_state=0)
    probs = np.eye(2)[data.labels]
    model = estimate_koopman(probs, 2, timestep=1.0, constraint="stochastic")
    return data.trajectory, probs, model


def test_text_is_escaped_and_pandas_is_named_where_it_is_missing(results, monkeypatch):
    assert "&lt;b&gt;" in html_table(["<b>"], [["<i>"]])
    assert rows_of({"a": np.array([1.5]), "b": np.array(["x", "y"])}) == [
        ["1.5", "x"],
        ["1.5", "y"],
    ]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r'pip install "pandas>='):
        results["rdf"].to_dataframe()


def test_results_with_one_figure_draw_themselves():
    residence = residence_times([np.eye(2)[np.arange(300) // 5 % 2][:, None]], timestep=2.0)
    figure, ax = plt.subplots()
    assert residence.plot(ax) is ax
    assert ax.get_ylabel()
    plt.close(figure)


def test_every_figure_that_a_result_names_is_there():
    named = {cls.__name__: cls.figure for cls in Tabular.__subclasses__() if cls.figure}
    assert {"StateRDF", "Conduction", "OnsagerContributions", "GlobalKoopman"} <= set(named)
    assert set(named.values()) <= set(plotting.__all__)


def test_a_result_without_a_figure_says_so():
    error = ck_error([np.eye(2)[np.arange(300) // 5 % 2][:, None]], 1, 4)
    assert "Markovian" in error._repr_html_()
    with pytest.raises(TypeError, match="ChapmanKolmogorovError has no single figure"):
        error.plot()
