"""Several processes train as one: parameters, whole fits, errors, and what they send."""

import numpy as np
import pytest
import torch
from rank_cases import DTYPES, ENCODERS, LAG, N_STATES, OBJECTIVES, results_of_group

from graphkoopman import ranks

STEPS = [f"steps|gated|{objective}|float64" for objective in OBJECTIVES]
STEPS += [f"steps|{name}|VAMP2|float64" for name in list(ENCODERS)[1:]]
STEPS += ["steps|features|VAMP2|float32"]
EMPTY = ["steps|gated|VAMP2|float64|empty", "steps|features|VAMP2|float32|empty"]
# two convolutions of a run that is cut are rounded in other ways, in other batches, and states that
# are made of an untrained network divide by how little it varies: 2e-6, so whole runs of these
EMPTY += ["steps|gated|VAMP2|float32|whole"]
# rounding of the features and of sums in another order; relative to the length of the vector
TOLERANCES = {"float32": 1e-6, "float64": 1e-12}
FITS = ["fit|gated", "fit|features"]
WHOLE = "fit|gated|whole"


@pytest.fixture(scope="module")
def one():
    return results_of_group(1, [*STEPS, *EMPTY, *FITS, WHOLE])[0]


@pytest.fixture(scope="module")
def group():
    return results_of_group(2, [*STEPS, *EMPTY, *FITS, WHOLE, "errors", "leaving"])


def assert_same_steps(found, expected, dtype):
    """Parameters of every stage, relative to the length of their vector."""
    for one, other in zip(found["parameters"], expected["parameters"], strict=True):
        assert np.linalg.norm(one - other) <= TOLERANCES[dtype] * np.linalg.norm(other)
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)
    start, *after = expected["parameters"]
    # what is compared has moved, by far more than it may differ
    moved = [np.linalg.norm(p - start) / np.linalg.norm(start) for p in after]
    assert min(moved) > (1e-6 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("name", [*STEPS, *EMPTY])
def test_twenty_steps_of_every_stage_are_those_of_one_process(one, group, name):
    for rank in group:
        assert_same_steps(rank[name], one[name], name.split("|")[3])


@pytest.fixture(scope="module")
def four():
    return results_of_group(4, [STEPS[1], WHOLE])


def test_four_ranks_one_of_them_empty(one, four):
    for rank in four:
        assert_same_steps(rank[STEPS[1]], one[STEPS[1]], "float64")


@pytest.mark.parametrize("size", ["group", "four"])
def test_a_fit_on_whole_runs_is_that_of_one_process(one, size, request):
    """Sums have the same bits whoever has a run: training has nothing to amplify."""
    expected = one[WHOLE]
    for rank in request.getfixturevalue(size):
        # the model is a sum of float64 numbers in another order
        np.testing.assert_allclose(rank[WHOLE]["timescales"], expected["timescales"], rtol=1e-9)
        np.testing.assert_array_equal(rank[WHOLE]["parameters"], expected["parameters"])


@pytest.mark.parametrize("name", FITS)
def test_a_whole_fit_is_that_of_one_process(one, group, name):
    expected = one[name]
    # a hundred steps of Adam make of rounding in a graph network what other chunks do, a percent
    tolerance = 1e-3 if name == "fit|features" else 5e-2
    for found in (rank[name] for rank in group):
        np.testing.assert_allclose(found["timescales"], expected["timescales"], rtol=tolerance)
        np.testing.assert_allclose(found["matrix"], expected["matrix"], atol=tolerance)
        assert found["n_pairs"] == expected["n_pairs"]
        np.testing.assert_allclose(found["double"], expected["double"], atol=tolerance)
        np.testing.assert_allclose(found["starts"], expected["starts"], atol=tolerance)
        assert found["frames"] == expected["frames"]
        # bit by bit on all ranks
        for key in ("parameters", "matrix", "populations", "score", "agreement"):
            np.testing.assert_array_equal(found[key], group[0][name][key])


def test_bytes_of_a_step_are_those_of_the_formula(group, one):
    """Moments of k functions, 3k² + 2k numbers in two of 8 bytes, and a gradient; pairs across
    ranks. In float64 means come first, in two, and the rounding of the derivative."""
    for name in STEPS:
        dtype = name.split("|")[3]
        n_parameters = len(one[name]["parameters"][0])
        size = DTYPES[dtype].itemsize
        for k, sent in zip((16, N_STATES), group[0][name]["sent"], strict=True):
            first = 2 * 2 * k + 2 * k if dtype == "float64" else 0
            moments_and_gradient = 8 * (2 * (3 * k**2 + 2 * k) + first + n_parameters)
            exchanged = sent - moments_and_gradient
            # both ends of every pair across a cut, of 8 targets, whatever the phase
            assert 0 < exchanged <= 2 * 2 * LAG * 8 * k * size


def test_errors_are_the_same_on_all_ranks(group):
    size = len(group)
    for number, rank in enumerate(group):
        said = rank["errors"]
        assert said["lagtime"].startswith("ValueError: lagtime must be < the shortest trajectory")
        assert said["kind"].startswith("TypeError: X must hold samples")
        assert said["empty"].endswith("got an empty list on all ranks")
        assert said["settings"].startswith("ValueError: n_states must be the same on all ranks")
        assert said["normalization"].startswith('ValueError: normalization must not be "batch"')
        assert said["together"] == [number, list(range(size)), 0]


def test_an_error_on_one_rank_ends_the_others_at_once(group):
    *others, failed = (rank["leaving"] for rank in group)
    assert failed[0].startswith("MemoryError")
    for text, seconds in others:
        assert text.startswith("RankError: rank ")
        assert "has ended, has failed or no longer answers" in text
        assert seconds < 30.0


def test_a_checkpoint_goes_on_with_another_number_of_ranks(one, tmp_path):
    """A signal to one of two ranks stops both; one process goes on as if it had begun alone."""
    folder = tmp_path / "fit"
    stopped = results_of_group(2, [f"interrupted|{folder}"])
    assert [rank[f"interrupted|{folder}"] for rank in stopped] == [7, 7]
    (found,) = results_of_group(1, [f"checkpoint|{folder}"])
    expected = one["fit|features"]
    for key in ("timescales", "matrix", "starts"):
        np.testing.assert_allclose(found[f"checkpoint|{folder}"][key], expected[key], rtol=1e-3)


def test_sums_in_two_do_not_depend_on_the_order():
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.normal(size=(300, 50)))
    orders = [rng.permutation(300) for _ in range(5)]
    # one after the other, as chunks and processes add
    found = [sum(ranks.in_two(values[i]) for i in order).sum(dim=0) for order in orders]
    plain = [sum(values[i] for i in order) for order in orders]
    torch.testing.assert_close(found[0], plain[0], rtol=0, atol=1e-12)
    assert all(torch.equal(sums, found[0]) for sums in found)
    assert not all(torch.equal(sums, plain[0]) for sums in plain)


def test_a_process_by_itself_needs_no_group():
    with ranks.joined() as reducer:
        assert (reducer.rank, reducer.size, reducer.gather("a")) == (0, 1, ["a"])
    assert not ranks.group_is_initialised()
