"""Results introduce themselves: short texts, tables with units, data frames."""

import sys

import numpy as np
import pytest
from structure_systems import TRICLINIC, gas, random_probs

from graphkoopman import Trajectory, estimate_koopman
from graphkoopman.structure import charge_integral, spatial_map, state_profile, state_rdf
from graphkoopman.tables import html_table, rows_of
from graphkoopman.transport import (
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


def test_text_is_escaped_and_pandas_is_named_where_it_is_missing(results, monkeypatch):
    assert "&lt;b&gt;" in html_table(["<b>"], [["<i>"]])
    assert rows_of({"a": np.array([1.5]), "b": np.array(["x", "y"])}) == [
        ["1.5", "x"],
        ["1.5", "y"],
    ]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"graphkoopman\[pandas\]"):
        results["rdf"].to_dataframe()
