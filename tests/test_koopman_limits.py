"""Claims beyond the data, each a warning of its own on data made for it; the Markov verdict."""

import warnings

import numpy as np
import pytest
from koopman_chains import THREE_STATE, TWO_STATE, simulate

from graphkoopman import GDyNetEstimator, GraphFeaturizer, Trajectory
from graphkoopman.cli import main
from graphkoopman.koopman import (
    BeyondDataWarning,
    FewUnitsWarning,
    FixedStateWarning,
    ck_error,
    count_exchanges,
    data_limits,
    estimate_koopman,
    markov_verdict,
)
from graphkoopman.model_selection import MixedLagWarning

SLOW = np.array([[0.999, 0.001], [0.001, 0.999]])


def kinds_of(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    return result, [w.category for w in caught]


def test_exchanges_are_between_certain_states():
    rng = np.random.default_rng(0)
    states = simulate(THREE_STATE, 300, 5, seed=0)
    moves = np.zeros((3, 3), dtype=int)
    np.add.at(moves, (states[:-1].ravel(), states[1:].ravel()), 1)
    np.fill_diagonal(moves, 0)
    np.testing.assert_array_equal(count_exchanges(np.eye(3)[states]), moves)
    # flickering to a half and back is no exchange, however often
    flicker = np.where(rng.random((300, 5)) < 0.3, 0.45, 0.95)
    np.testing.assert_array_equal(count_exchanges(np.stack([flicker, 1 - flicker], -1)), 0)


def test_times_longer_than_the_longest_run_are_named_with_their_exchanges():
    """Two hundred targets for a fifth of the relaxation time of 500 frames."""
    probs = np.eye(2)[simulate(SLOW, 100, 200, seed=0)]
    seen = count_exchanges(probs)
    words = (
        r"processes 1 \(\d+\.?\d* ps\) are longer than the longest run \(50 ps\)"
        rf".*0→1: {seen[0, 1]}, 1→0: {seen[1, 0]}"
    )
    with pytest.warns(BeyondDataWarning, match=words):
        estimate_koopman(probs, 1, timestep=0.5)
    # the same in pieces, and not in a run that is long
    _, kinds = kinds_of(lambda: estimate_koopman(list(probs.reshape(4, 25, 200, 2)), 1))
    assert kinds == [BeyondDataWarning]
    _, kinds = kinds_of(lambda: estimate_koopman(np.eye(2)[simulate(SLOW, 5000, 4, seed=0)], 1))
    assert kinds == []


def test_a_process_beyond_the_data_has_an_honest_interval():
    """As 1.2 ns of an interface that nothing crosses: no upper end, however many atoms."""
    probs = np.eye(2)[simulate(SLOW, 100, 200, seed=0)]
    with pytest.warns(FewUnitsWarning), pytest.warns(BeyondDataWarning):
        model = estimate_koopman(probs, 1, n_bootstrap=50, random_state=0)
    assert model.timescales_interval()[0].tolist() == [0.0, np.inf]


def test_states_that_no_target_leaves_are_fixed():
    moving = simulate(TWO_STATE, 2000, 6, seed=0)
    states = np.concatenate([moving, np.full((2000, 3), 2)], axis=1)
    with pytest.warns(FixedStateWarning, match=r"states \[0, 1\]: 6 targets; states \[2\]: 3 targ"):
        model = estimate_koopman(np.eye(3)[states], 1)
    limits = data_limits(np.eye(3)[states], model)
    assert limits.groups == ((0, 1), (2,))
    assert limits.members[1] == ((0, 6), (0, 7), (0, 8))
    # the process between the groups is explained: no second warning
    _, kinds = kinds_of(lambda: estimate_koopman(np.eye(3)[states], 1))
    assert kinds == [FixedStateWarning]
    # one target that comes over once makes them exchange, too slowly to be known
    states[1000:, 8] = 0
    _, kinds = kinds_of(lambda: estimate_koopman(np.eye(3)[states], 1))
    assert kinds == [BeyondDataWarning]


def gas_of_two_elements(n_frames=150):
    rng = np.random.default_rng(0)
    positions = np.cumsum(rng.normal(scale=0.2, size=(n_frames, 24, 3)), axis=0)
    positions += rng.uniform(0, 10, (24, 3))
    return Trajectory(positions, 10 * np.eye(3), [8] * 8 + [1] * 16, timestep=0.1)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::graphkoopman.koopman.RankDeficientWarning")
def test_a_fit_that_finds_the_element_says_so_once():
    run = gas_of_two_elements()
    graphs = GraphFeaturizer(targets=np.arange(24), n_neighbors=4, n_hops=1).transform([run])
    estimator = GDyNetEstimator(2, 5, max_epochs=2, random_state=0)
    estimator.set_params(encoder__n_conv=1)
    fitted, kinds = kinds_of(lambda: estimator.fit(graphs))
    assert kinds.count(FixedStateWarning) == 1
    with pytest.warns(FixedStateWarning, match=r"what the targets are made of"):
        fitted.koopman_model(graphs)
    _, kinds = kinds_of(lambda: fitted.koopman_models(graphs, [5, 10, 20], n_bootstrap=10))
    assert kinds.count(FixedStateWarning) == 1
    assert kinds.count(FewUnitsWarning) == 1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::graphkoopman.koopman.RankDeficientWarning")
@pytest.mark.filterwarnings("ignore::graphkoopman.koopman.FixedStateWarning")
@pytest.mark.filterwarnings("ignore::graphkoopman.koopman.BeyondDataWarning")
def test_scores_of_one_data_set_at_two_lags_warn():
    run = gas_of_two_elements(120)
    graphs = GraphFeaturizer(targets=np.arange(24), n_neighbors=4, n_hops=1).transform([run])
    settings = {"max_epochs": 1, "encoder__n_conv": 1, "random_state": 0}
    first, second = (GDyNetEstimator(2, lag).set_params(**settings).fit(graphs) for lag in (4, 8))
    assert first.score(graphs) == first.score(graphs)
    with pytest.warns(
        MixedLagWarning, match=r"lags of 4 and 8 frames.*lagtime=8.*select_markovian"
    ):
        second.score(graphs)


@pytest.mark.parametrize(
    ("error", "half_width", "expected"),
    [
        (0.01, 0.02, "markovian"),
        (-0.01, 0.02, "markovian"),
        (0.05, 0.02, "not markovian"),
        (0.05, 0.2, "inconclusive"),
        (0.3, 0.2, "not markovian"),
        (0.0, np.inf, "inconclusive"),
    ],
)
def test_verdicts(error, half_width, expected):
    assert markov_verdict(error, half_width) == expected


def test_verdict_of_data_in_words():
    chain = np.eye(2)[simulate(TWO_STATE, 20_000, 4, seed=0)]
    assert str(ck_error(chain, 2, 10)).startswith("Markovian at this lag (2 frames): yes (")
    # four states of a slow and a fast exchange, seen as two: memory
    fast_slow = np.array(
        [[0.7, 0.3, 0, 0], [0.29, 0.7, 0.01, 0], [0, 0.01, 0.7, 0.29], [0, 0, 0.3, 0.7]]
    )
    hidden = simulate(fast_slow, 20_000, 4, seed=0) % 3 == 0
    assert str(ck_error(np.eye(2)[hidden.astype(int)], 1, 5)).startswith(
        "Markovian at this lag (1 frames): no ("
    )
    short = chain[:120, :1]
    assert ck_error(short, 2, 30).verdict == "inconclusive"
    assert "can't tell" in str(ck_error(short, 2, 30))


@pytest.mark.filterwarnings("always")
def test_the_fit_command_prints_each_warning_once_and_the_verdict(tmp_path, capsys):
    run = gas_of_two_elements()
    run.to_mdtraj().save_pdb(tmp_path / "run.pdb")
    options = ["--targets", "all", "--timestep", "0.1", "--lag", "5", "--neighbors", "4"]
    options += ["--convolutions", "1", "--epochs", "2", "--refits", "2"]
    code = main(["fit", str(tmp_path / "run.pdb"), *options, "--out", str(tmp_path / "out")])
    captured = capsys.readouterr()
    assert code == 0
    assert captured.err.count("no target ever passes between groups of states") == 1
    assert "made of" in captured.err
    lines = [line for line in captured.err.splitlines() if "warning:" in line]
    assert len(lines) == len(set(lines))
    assert " ".join(captured.out.split()).count("holds at this lag") == 1
    assert "bound low" in captured.out
