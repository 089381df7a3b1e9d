"""Fits go on where they stopped, bit for bit, and checkpoints of other fits are refused."""

import signal
import threading
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from benchmarks import kill
from benchmarks._training_settings import trained_with
from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.datasets import chain_rates, make_chain_molecule, make_hopping
from graphkoopman.descriptors import FunctionFeaturizer
from graphkoopman.lobes import (
    AttentionPooling,
    FeatureEncoder,
    GatedEncoder,
    HierarchicalPooling,
    MeanPooling,
    PaiNNEncoder,
    SchNetEncoder,
)
from graphkoopman.training import Restarts
from graphkoopman.training._state import STEPS_PER_EPOCH, Position, TrainingResult, check_numbers

# fits are short on purpose
pytestmark = [
    pytest.mark.filterwarnings("ignore:training was still improving"),
    pytest.mark.filterwarnings("ignore:.*memberships lay outside the simplex"),
]

# three epochs of four steps: two starts, then subspace (twice the steps) and two scores on all
N_STEPS = 2 * 12 + 24 + 2 * 12


@pytest.fixture(autouse=True)
def control_c():
    """Interrupts act as in a terminal; a shell starts background jobs with them ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="module")
def short_epochs_saved_at_every_step():
    with trained_with(steps_per_epoch=4, checkpoint_interval=0.0):
        yield


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def graphs():
    data = make_hopping(chain_rates(2, slowest=20.0), 400, random_state=0)
    return GraphFeaturizer(n_neighbors=8, n_hops=1).fit_transform(data.trajectory)


def estimator_with(**changes):
    settings = {
        "n_states": 2,
        "lagtime": 5,
        "encoder": GatedEncoder(n_conv=1, normalization="batch"),
        "n_init": 2,
        "objective": ("VAMP2", "VAMP1"),
        "max_epochs": 3,
        "patience": 5,
        "batch_size": 100,
        "random_state": 0,
    }
    return GDyNetEstimator(**settings | changes)


@pytest.fixture(scope="module")
def uninterrupted(graphs):
    with pytest.warns(ConvergenceWarning):
        return estimator_with().fit(graphs)


def assert_same_fit(a, b):
    """Bit for bit, wall time apart."""
    for name, value in a.lobe_.state_dict().items():
        assert torch.equal(value, b.lobe_.state_dict()[name]), name
    np.testing.assert_array_equal(a.model_.koopman_matrix, b.model_.koopman_matrix)
    assert len(a.history_) == len(b.history_)
    for row, other in zip(a.history_, b.history_, strict=True):
        np.testing.assert_equal({**row, "seconds": 0}, {**other, "seconds": 0})


def dying_after(n_steps, monkeypatch, act):
    """Do something in the given step of the training, counted over all runs."""
    advance, count = Restarts.advance, iter(range(1, 10**6))

    def advance_or_die(training):
        if next(count) == n_steps:
            act()
        return advance(training)

    monkeypatch.setattr(Restarts, "advance", advance_or_die)


def raise_killed():
    raise Killed


# within an epoch, at its end, at the end of a run, in the second run, in the stages, the last
@pytest.mark.parametrize("step", [1, 2, 5, 13, 24, 25, 30, N_STEPS])
def test_killed_fits_resume_bit_for_bit(graphs, uninterrupted, tmp_path, monkeypatch, step):
    with monkeypatch.context() as patch:
        dying_after(step, patch, raise_killed)
        with pytest.raises(Killed):
            estimator_with(checkpoint_dir=tmp_path).fit(graphs)
    resumed = estimator_with(checkpoint_dir=tmp_path).fit(graphs)
    assert_same_fit(resumed, uninterrupted)


PARTS = {
    "attention": {"pooling": AttentionPooling(3, n_heads=2)},
    "residues": {"pooling": HierarchicalPooling(n_hidden=3)},
    "variance": {"pooling": MeanPooling(variance=True)},
    "SchNet": {"encoder": SchNetEncoder(1, 3, n_basis=4)},
    "PaiNN": {"encoder": PaiNNEncoder(1, 3, n_basis=4)},
    "mirrored": {"encoder": GatedEncoder(1, 3, handedness=True, axis=(0, 0, 1))},
    "features": {"encoder": FeatureEncoder(1, 3)},
}


@pytest.fixture(scope="module")
def samples_of_a_molecule():
    """Graphs with residues and directions, and features."""
    run = make_chain_molecule(100, 150, random_state=0).trajectory
    settings = {"n_neighbors": 4, "n_hops": 1, "levels": ("residue",), "directions": True}
    radii = FunctionFeaturizer(lambda run, targets: run.positions[:, ::10].std(axis=2)[:, None])
    return GraphFeaturizer(**settings).transform(run), radii.transform(run)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("part", PARTS)
def test_killed_fits_of_every_part_resume(samples_of_a_molecule, tmp_path, monkeypatch, part):
    graphs, features = samples_of_a_molecule
    samples = features if part == "features" else graphs
    small = {"encoder": GatedEncoder(1, 3), "n_hidden": 4, "n_init": 1, "max_epochs": 1}
    whole = estimator_with(**small | PARTS[part]).fit(samples)
    kept = estimator_with(**small | PARTS[part], checkpoint_dir=tmp_path)
    with monkeypatch.context() as patch:
        dying_after(7, patch, raise_killed)  # four steps of the start, then those on all frames
        with pytest.raises(Killed):
            kept.fit(samples)
    assert_same_fit(clone(kept).fit(samples), whole)


def test_steps_between_saves_are_done_again(graphs, uninterrupted, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        dying_after(15, patch, raise_killed)
        with pytest.raises(Killed), trained_with(checkpoint_interval=1000.0):
            estimator_with(checkpoint_dir=tmp_path).fit(graphs)
    assert_same_fit(estimator_with(checkpoint_dir=tmp_path).fit(graphs), uninterrupted)


def test_a_finished_fit_gives_its_result_at_once(graphs, uninterrupted, tmp_path, monkeypatch):
    first = estimator_with(checkpoint_dir=tmp_path / "new" / "folder").fit(graphs)
    dying_after(1, monkeypatch, raise_killed)
    again = estimator_with(checkpoint_dir=str(tmp_path / "new" / "folder")).fit(graphs)
    assert_same_fit(first, uninterrupted)
    assert_same_fit(again, uninterrupted)


def test_the_fitted_model_lies_beside_the_checkpoint(graphs, tmp_path):
    fitted = estimator_with(checkpoint_dir=tmp_path).fit(graphs)
    loaded = GDyNetEstimator.load(tmp_path / "model.safetensors")
    assert_same_fit(loaded, fitted)
    # a file that others may open names no folder to write to
    assert loaded.checkpoint_dir is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_states": 3}, "n_states was 2, is 3"),
        ({"lagtime": 6}, "lagtime was 5, is 6"),
        ({"random_state": 1}, "random_state was 0, is 1"),
        ({"random_state": None}, "random_state was 0, is None"),
        ({"objective": "VAMP2"}, "objective was .'VAMP2', 'VAMP1'., is 'VAMP2'"),
        ({"n_init": 1, "patience": 4}, "n_init was 2, is 1; patience was 5, is 4"),
    ],
)
def test_checkpoints_of_other_settings_are_refused(graphs, tmp_path, changes, message):
    estimator_with(checkpoint_dir=tmp_path, max_epochs=1).fit(graphs)
    message = rf"checkpoint of another fit: {message}; choose another checkpoint_dir or delete"
    with pytest.raises(ValueError, match=message):
        estimator_with(checkpoint_dir=tmp_path, max_epochs=1, **changes).fit(graphs)


@pytest.mark.parametrize("change", [{"steps_per_epoch": 3}, {"epsilon": 1e-7}])
def test_checkpoints_of_a_version_with_other_constants_are_refused(graphs, tmp_path, change):
    estimator_with(checkpoint_dir=tmp_path, max_epochs=1).fit(graphs)
    ((name, value),) = change.items()
    with trained_with(**change), pytest.raises(ValueError, match=rf"{name} was .*, is {value}"):
        estimator_with(checkpoint_dir=tmp_path, max_epochs=1).fit(graphs)


def test_checkpoints_of_other_data_are_refused(graphs, tmp_path):
    estimator_with(checkpoint_dir=tmp_path, max_epochs=1).fit([graphs[0], graphs[0]])
    moved = replace(graphs[0], distances=graphs[0].distances + np.float32(1e-6))
    with pytest.raises(ValueError, match="another fit: run 1 of X differs; choose"):
        estimator_with(checkpoint_dir=tmp_path, max_epochs=1).fit([graphs[0], moved])
    with pytest.raises(ValueError, match="another fit: X had 2 runs, has 1"):
        estimator_with(checkpoint_dir=tmp_path, max_epochs=1).fit(graphs)


def test_settings_that_do_not_matter_may_change(graphs, tmp_path):
    first = estimator_with(checkpoint_dir=tmp_path, max_epochs=1).fit(graphs)
    with trained_with(checkpoint_interval=7.0):
        again = estimator_with(
            checkpoint_dir=tmp_path, max_epochs=1, reversible=True, device="cpu"
        ).fit(graphs)
    for name, value in first.lobe_.state_dict().items():
        assert torch.equal(value, again.lobe_.state_dict()[name])


def test_fits_without_a_seed_resume_with_their_own(graphs, tmp_path, monkeypatch):
    settings = {"random_state": None, "checkpoint_dir": tmp_path, "max_epochs": 1}
    with monkeypatch.context() as patch:
        dying_after(6, patch, raise_killed)
        with pytest.raises(Killed):
            estimator_with(**settings).fit(graphs)
    resumed = estimator_with(**settings).fit(graphs)
    again = estimator_with(**settings).fit(graphs)
    assert_same_fit(resumed, again)


def test_a_generator_ends_where_it_would_have(graphs, tmp_path, monkeypatch):
    whole, cut, later = (np.random.RandomState(3) for _ in range(3))
    plain = estimator_with(random_state=whole, max_epochs=1).fit(graphs)
    settings = {"checkpoint_dir": tmp_path, "max_epochs": 1}
    with monkeypatch.context() as patch:
        dying_after(6, patch, raise_killed)
        with pytest.raises(Killed):
            estimator_with(random_state=cut, **settings).fit(graphs)
    assert_same_fit(estimator_with(random_state=later, **settings).fit(graphs), plain)
    assert whole.randint(10**6) == later.randint(10**6)
    with pytest.raises(ValueError, match="another fit: random_state was"):
        estimator_with(random_state=np.random.RandomState(4), **settings).fit(graphs)


def test_control_c_leaves_the_best_model_so_far(graphs, uninterrupted, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        dying_after(34, patch, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.warns(ConvergenceWarning, match="a signal stopped the training"):
            stopped = estimator_with(checkpoint_dir=tmp_path).fit(graphs)
    assert signal.getsignal(signal.SIGINT) is before
    assert not stopped.converged_
    assert stopped.transform(graphs)[0].shape[2] == 2
    # the step under way was finished and saved: the fit goes on with the next
    assert stopped.n_iter_ == 3 + (34 - 24) // 8  # 24 steps are those of both starts
    assert_same_fit(estimator_with(checkpoint_dir=tmp_path).fit(graphs), uninterrupted)


def test_termination_is_raised_again_after_saving(graphs, uninterrupted, tmp_path, monkeypatch):
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        with monkeypatch.context() as patch:
            dying_after(7, patch, lambda: signal.raise_signal(signal.SIGTERM))
            with pytest.warns(ConvergenceWarning, match="a signal stopped the training"):
                estimator_with(checkpoint_dir=tmp_path).fit(graphs)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]
    assert GDyNetEstimator.load(tmp_path / "model.safetensors").n_iter_ == 1
    assert_same_fit(estimator_with(checkpoint_dir=tmp_path).fit(graphs), uninterrupted)


def test_a_second_control_c_acts_as_ever(graphs, tmp_path, monkeypatch):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    dying_after(5, monkeypatch, twice)
    with pytest.raises(KeyboardInterrupt):
        estimator_with(checkpoint_dir=tmp_path).fit(graphs)


def test_without_checkpoints_control_c_acts_as_ever(graphs, monkeypatch):
    dying_after(5, monkeypatch, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        estimator_with().fit(graphs)


def test_fits_in_other_threads_leave_signals_alone(graphs, tmp_path):
    results = []
    before = signal.getsignal(signal.SIGINT)
    worker = threading.Thread(
        target=lambda: results.append(
            estimator_with(checkpoint_dir=tmp_path, max_epochs=1).fit(graphs)
        )
    )
    worker.start()
    worker.join()
    assert len(results) == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_killed_processes(tmp_path, capfd):
    """Short version of `python -m benchmarks.kill`: one fit killed twice, then left alone."""
    size = 400, 6
    # the killed processes are not of this one, and know nothing of its short epochs
    with trained_with(steps_per_epoch=STEPS_PER_EPOCH):
        kill.fit(tmp_path / "left alone", *size)
    reference = capfd.readouterr().out.split()[-1]
    folder = tmp_path / "killed"
    for number, n_steps in ((signal.SIGKILL, 15), (signal.SIGTERM, 55)):
        row = kill.interrupt(folder, number, size, partial(wait_for_steps, folder, n_steps))
        assert row["ended by"] == number.name
        assert n_steps <= row["steps saved"] < 2 * 6 * 10
        assert row["model left"] == (number == signal.SIGTERM)
    with trained_with(steps_per_epoch=STEPS_PER_EPOCH):
        kill.fit(folder, *size)
    assert capfd.readouterr().out.split()[-1] == reference


def wait_for_steps(folder, n_steps):
    checkpoint = folder / "checkpoint.safetensors"
    while not checkpoint.exists() or kill.steps_done(checkpoint) < n_steps:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("position", "result", "error"),
    [
        (Position(1e-3, stage="0"), TrainingResult({}, 1.5, 0.1), TypeError),
        (Position(1e-3, scores=[1.0, None]), TrainingResult({}, 1.5, 0.1), TypeError),
        (Position(1e-3), TrainingResult({}, {}, 0.1), TypeError),
        (Position(1e-3), TrainingResult({}, 1.5, 0.1, history={}), TypeError),
        (Position(1e-3, scores={}), TrainingResult({}, 1.5, 0.1), TypeError),
        (Position(1e-3, shown={}), TrainingResult({}, 1.5, 0.1), TypeError),
        (Position(1e-3, shown=["0.5"]), TrainingResult({}, 1.5, 0.1), TypeError),
        (Position(1e-3), TrainingResult({}, 1.5, 0.1, history=[{}]), KeyError),
    ],
)
def test_numbers_that_were_read_are_numbers(position, result, error):
    """Structures that a file may hold with right checksums; `Checkpoint.resume` names the file."""
    with pytest.raises(error):
        check_numbers(position, result)


def test_numbers_of_a_fit_are_numbers(graphs):
    restarts = []
    start = Restarts.__init__

    def remember(self, *arguments, **options):
        start(self, *arguments, **options)
        restarts.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Restarts, "__init__", remember)
        estimator_with().fit(graphs)
    best = restarts[0].best
    assert best.result.history
    check_numbers(best.position, best.result)
