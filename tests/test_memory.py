"""Chunks are as large as memory bears, and results do not depend on them."""

import numpy as np
import pytest
import torch
from small_fits import make_estimator
from test_training_batches import CPU, GRAPHS, data_of, make_lobe

from graphkoopman.training import backward_score, evaluate, sample_batch
from graphkoopman.training._data import AUTO_CHUNK_EDGES
from graphkoopman.training._features import chunks_of
from graphkoopman.training._memory import Room, bytes_kept, memory_budget

BATCH = sample_batch([(0, 0, len(GRAPHS[0]))], GRAPHS, 2, None, None)


def gradients(function, data, lobe):
    lobe.zero_grad()
    score = backward_score(function, data, BATCH, score="VAMP2", epsilon=1e-6)
    return score, [parameter.grad.clone() for parameter in lobe.parameters()]


def assert_same(found, expected):
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    for one, other in zip(found[1], expected[1], strict=True):
        size = other.abs().max().item()
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * size)  # sums of float32


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2 GiB", 2**31), ("1.5kB", 1500), (" 300 MiB ", 300 * 2**20), ("1e3 B", 1000)],
)
def test_budgets(text, expected):
    assert memory_budget(text) == expected


@pytest.mark.parametrize("text", ["", "lots", "12", "-1 GiB", "0 B", "2 GiBs", "nan GB"])
def test_budgets_that_are_none(text):
    with pytest.raises(ValueError, match='an amount of memory such as "2 GiB", got'):
        memory_budget(text)
    with pytest.raises(ValueError, match="chunk_size must be a number of frames or an amount"):
        make_estimator(chunk_size=text).fit(GRAPHS)


def test_what_a_pass_keeps_grows_with_its_frames():
    lobe, data = make_lobe(), data_of(None)
    lobe.train()
    kept = [bytes_kept(lobe, data.batch(0, np.arange(n))) for n in (2, 4, 8)]
    assert kept[2] - kept[1] == pytest.approx(2 * (kept[1] - kept[0]), rel=0.2)
    assert lobe.training


def test_a_budget_holds():
    lobe = make_lobe()
    expected = gradients(lobe, data_of(None), lobe)
    frame = bytes_kept(lobe, data_of(None).batch(0, np.arange(1)))
    budget = 6 * frame
    data = data_of(f"{budget} B")
    assert_same(gradients(lobe, data, lobe), expected)
    chunks = [data.batch(*chunk) for chunk in chunks_of(data, BATCH.runs)]
    assert len(chunks) > 1
    assert max(bytes_kept(lobe, chunk) for chunk in chunks) <= budget
    assert not data.keeps(BATCH.runs)
    with pytest.raises(ValueError, match="is too little memory for a single frame"):
        gradients(lobe, data_of("10 B"), lobe)


def test_half_of_what_is_free_holds(monkeypatch):
    lobe = make_lobe()
    expected = gradients(lobe, data_of(None), lobe)
    frame = bytes_kept(lobe, data_of(None).batch(0, np.arange(1)))
    monkeypatch.setattr("graphkoopman.training._memory.free_memory", lambda device: 12 * frame)
    data = data_of(None)
    assert_same(gradients(lobe, data, lobe), expected)
    assert 1 <= data.frames_per_chunk(0) <= 6


class Forgetful:
    """A network that has no memory for more than some frames, from a pass on."""

    def __init__(self, lobe, most, error, after=0):
        self.lobe, self.most, self.error, self.after = lobe, most, error, after
        self.__self__ = lobe  # as of a method

    def __call__(self, batch):
        self.after -= 1
        if self.after < 0 and batch.n_frames > self.most:
            raise self.error
        return self.lobe(batch)


@pytest.mark.parametrize(
    "error",
    [MemoryError("none left"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 12")],
)
# in the first pass, and in the second one after the first chunks
@pytest.mark.parametrize("after", [1, 4])
def test_where_memory_runs_out_chunks_are_halved(error, after, monkeypatch):
    monkeypatch.setitem(AUTO_CHUNK_EDGES, "cpu", 8 * GRAPHS[0].cost)
    monkeypatch.setattr("graphkoopman.training._data.KEPT_EDGES", 1)
    lobe = make_lobe()
    expected = gradients(lobe, data_of(None), lobe)
    data = data_of(None)
    with pytest.warns(RuntimeWarning, match="memory ran out"):
        found = gradients(Forgetful(lobe, 3, error, after), data, lobe)
    assert_same(found, expected)
    assert data.frames_per_chunk(0) <= 3
    with pytest.warns(RuntimeWarning, match="memory ran out"):
        evaluate(data_of(None), BATCH, Forgetful(lobe, 3, error))


def test_where_one_frame_does_not_fit_the_error_is_that_of_the_allocation():
    lobe = make_lobe()
    with (
        pytest.warns(RuntimeWarning, match="memory ran out"),
        pytest.raises(MemoryError, match="none left"),
    ):
        gradients(Forgetful(lobe, 0, MemoryError("none left")), data_of(None), lobe)
    with pytest.raises(MemoryError, match="none left"):
        gradients(Forgetful(lobe, 0, MemoryError("none left")), data_of(3), lobe)
    with pytest.raises(RuntimeError, match="something else"):
        gradients(Forgetful(lobe, 0, RuntimeError("something else")), data_of(None), lobe)


def test_room_is_without_end_before_anything_is_known():
    assert Room(CPU).largest_cost == np.inf


def test_free_memory_is_asked_for_again_when_it_has_run_out(monkeypatch):
    """Steps of milliseconds do not read files of the system each; a stale answer is forgotten."""
    answers = iter([4000, 1000])
    monkeypatch.setattr("graphkoopman.training._memory.free_memory", lambda device: next(answers))
    monkeypatch.setattr("graphkoopman.training._memory.time.monotonic", lambda: 0.0)
    room = Room(torch.device("cpu"))
    room.bytes_per_cost = 10.0
    assert [room.largest_cost for _ in range(3)] == [200.0] * 3
    room.shrink()
    assert room.largest_cost == 25.0
