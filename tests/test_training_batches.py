"""Statistics batches pair frames a lag apart, and chunked gradients are those of one pass."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from graphkoopman.graphs import build_graphs
from graphkoopman.lobes import GatedEncoder, build_lobe
from graphkoopman.objectives import SCORES
from graphkoopman.training import SampleData, backward_score, evaluate, sample_batch
from graphkoopman.training._batches import WINDOW_LAGS, spacing_for
from graphkoopman.training._data import AUTO_CHUNK_EDGES
from graphkoopman.trajectories import Trajectory, resolve_targets

CPU = torch.device("cpu")


def targets_only(*n_targets):
    """What `sample_batch` reads of graphs."""
    return [SimpleNamespace(n_targets=n) for n in n_targets]


@st.composite
def sampling_problems(draw):
    """Blocks of up to three trajectories with gaps between, all longer than the lag."""
    lagtime = draw(st.integers(1, 30))
    blocks = []
    for trajectory in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, 10))
        for _ in range(draw(st.integers(1, 3))):
            length = lagtime + draw(st.integers(1, 20) | st.integers(1, 2000))
            blocks.append((trajectory, start, start + length))
            start += length + draw(st.integers(1, 5))
    n_targets = draw(st.lists(st.integers(1, 3), min_size=3, max_size=3))
    batch_size = draw(st.none() | st.integers(1, 300))
    rng = draw(st.none() | st.integers(0, 99).map(np.random.RandomState))
    return blocks, targets_only(*n_targets), lagtime, batch_size, rng


def rows_of(batch, graphs):
    """Run, trajectory, frame and target of every row of the stacked features."""
    rows = []
    for i, run in enumerate(batch.runs):
        n_targets = graphs[run.trajectory].n_targets
        rows += [(i, run.trajectory, f, t) for f in run.frames for t in range(n_targets)]
    return np.array(rows)


@settings(deadline=None, max_examples=150)
@given(sampling_problems())
def test_pairs_are_one_lag_apart_in_one_block(problem):
    blocks, graphs, lagtime, batch_size, rng = problem
    batch = sample_batch(blocks, graphs, lagtime, batch_size, rng)
    rows = rows_of(batch, graphs)
    starts, ends = rows[batch.start_rows], rows[batch.end_rows]
    assert len(starts) > 0
    np.testing.assert_array_equal(starts[:, [0, 1, 3]], ends[:, [0, 1, 3]])
    np.testing.assert_array_equal(ends[:, 2] - starts[:, 2], lagtime)
    for run in batch.runs:
        first, last = run.frames[0], run.frames[-1]
        assert any(r == run.trajectory and a <= first and last < b for r, a, b in blocks)
        # every run serves: there is no frame that is in no pair at its ends
        assert last - first >= lagtime


@settings(deadline=None, max_examples=150)
@given(sampling_problems())
def test_number_of_frames(problem):
    blocks, graphs, lagtime, batch_size, rng = problem
    batch = sample_batch(blocks, graphs, lagtime, batch_size, rng)
    n_frames = sum(stop - start for _, start, stop in blocks)
    if batch_size is None:
        assert batch.n_frames == n_frames
        return
    # Up to twice the size over whole blocks, each rounded up to a frame more; or one window more.
    window = WINDOW_LAGS * lagtime + 1
    assert batch.n_frames <= 2 * batch_size + max(window, len(blocks))


@given(st.integers(1, 10**6), st.integers(1, 400), st.integers(1, 10**4))
def test_spacing_divides_the_lag(n_frames, lagtime, batch_size):
    spacing = spacing_for(n_frames, lagtime, batch_size)
    assert lagtime % spacing == 0
    assert spacing == 1 or n_frames / spacing >= batch_size
    larger = [d for d in range(spacing + 1, lagtime + 1) if lagtime % d == 0]
    assert not larger or n_frames / larger[0] < batch_size


@pytest.mark.parametrize(
    ("n_frames", "lagtime", "batch_size", "expected"),
    [(1000, 40, None, 1), (1000, 40, 2000, 1), (1000, 40, 100, 10), (1000, 40, 10, 40),
     (1000, 7, 200, 1)],
)  # fmt: skip
def test_known_spacings(n_frames, lagtime, batch_size, expected):
    assert spacing_for(n_frames, lagtime, batch_size) == expected


def test_without_batch_size_every_frame_and_every_pair():
    blocks, graphs = [(0, 0, 30), (0, 40, 52), (1, 5, 25)], targets_only(2, 3)
    batch = sample_batch(blocks, graphs, 10, None, np.random.RandomState(0))
    assert [run.frames.tolist() for run in batch.runs] == [list(range(a, b)) for _, a, b in blocks]
    assert len(batch.start_rows) == 2 * (20 + 2) + 3 * 10


def test_without_rng_deterministic():
    blocks, graphs = [(0, 0, 5000), (1, 100, 3000)], targets_only(1, 1)
    for batch_size in (50, 300, 2000):
        batches = [sample_batch(blocks, graphs, 20, batch_size, None) for _ in range(2)]
        for a, b in zip(batches[0].runs, batches[1].runs, strict=True):
            np.testing.assert_array_equal(a.frames, b.frames)
    (first, _) = sample_batch(blocks, graphs, 20, 500, None).runs
    assert (first.frames[0], first.frames[-1]) == (0, 4990)


def test_phases_cover_all_frames():
    blocks, rng = [(0, 3, 203), (0, 210, 240)], np.random.RandomState(1)
    seen = set()
    for _ in range(200):
        batch = sample_batch(blocks, targets_only(1), 12, 18, rng)
        assert all(np.all(np.diff(run.frames) == 12) for run in batch.runs)
        seen.update(np.concatenate([run.frames for run in batch.runs]).tolist())
    assert seen == set(range(3, 203)) | set(range(210, 240))


def test_phase_leaves_a_pair_in_short_blocks():
    """11 frames and a lag of 10: only phase zero holds a pair, though the spacing is 10."""
    rng = np.random.RandomState(2)
    for _ in range(30):
        batch = sample_batch([(0, 0, 11), (0, 20, 200)], targets_only(1), 10, 15, rng)
        assert batch.runs[0].frames.tolist() == [0, 10]


@pytest.mark.parametrize("lagtime", [10, 7])
def test_large_data_is_sampled_in_windows(lagtime):
    blocks, graphs = [(0, 0, 40_000), (1, 0, 20_000)], targets_only(1, 2)
    rng = np.random.RandomState(3)
    draws = [sample_batch(blocks, graphs, lagtime, 600, rng) for _ in range(40)]
    for batch in draws:
        assert batch.n_frames == 606  # six frames, a lag apart, per window
        assert {run.frames[-1] - run.frames[0] for run in batch.runs} == {WINDOW_LAGS * lagtime}
    starts = np.array([run.frames[0] for batch in draws for run in batch.runs])
    owner = np.array([run.trajectory for batch in draws for run in batch.runs])
    # 4000 windows, two thirds of them in the first trajectory: its mean is 2667 ± 30.
    assert len(owner) == 40 * 101
    assert np.mean(owner == 0) == pytest.approx(2 / 3, abs=0.03)
    assert np.mean(starts[owner == 0]) == pytest.approx(20_000, rel=0.05)
    fixed = sample_batch(blocks, graphs, lagtime, 600, None)
    assert {run.trajectory for run in fixed.runs} == {0, 1}


def test_prime_lags_are_sampled_at_several_phases():
    """Of 5000 frames every 7th are 714, too few for 2000: two phases, and never a frame twice."""
    rng = np.random.RandomState(4)
    seen = set()
    for _ in range(100):
        batch = sample_batch([(0, 0, 5000)], targets_only(1), 7, 2000, rng)
        assert all(np.all(np.diff(run.frames) == 7) for run in batch.runs)
        frames = np.concatenate([run.frames for run in batch.runs])
        assert len(batch.runs) == 2
        assert len(np.unique(frames)) == len(frames) == pytest.approx(2 * 5000 / 7, abs=2)
        seen.update(frames.tolist())
    assert seen == set(range(5000))
    fixed = sample_batch([(0, 0, 5000)], targets_only(1), 7, 2000, None)
    assert [run.frames[0] for run in fixed.runs] == [0, 3]


def gas(seed, n_frames, targets):
    rng = np.random.default_rng(seed)
    # a slow walk, so that frames a lag apart are correlated
    steps = rng.normal(0.0, 0.15, (n_frames, 15, 3))
    steps[0] = rng.uniform(0, 8, (15, 3))
    positions = np.cumsum(steps, axis=0)
    run = Trajectory(positions, 8.0 * np.eye(3), 1 + np.arange(15) % 2, timestep=1.0,
                     targets=targets)  # fmt: skip
    return build_graphs(run, resolve_targets(None, run), n_neighbors=5, n_hops=2)


GRAPHS = [gas(0, 24, [0, 3]), gas(1, 17, [1, 2, 4]), gas(2, 19, [[5, 6], [7], [8, 9, 10]])]
BLOCKS = {
    "one trajectory": [(0, 0, 24)],
    "blocks": [(0, 0, 11), (0, 12, 24)],
    "molecules": [(2, 0, 19)],
    "all": [(0, 0, 11), (0, 13, 24), (1, 0, 17), (2, 2, 19)],
}


def data_of(chunk_size):
    species = [np.asarray(graphs.species) - 1 for graphs in GRAPHS]
    return SampleData(GRAPHS, species, n_hops=2, chunk_size=chunk_size, device=CPU)


def make_lobe():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return build_lobe([1, 2], 3, encoder=GatedEncoder(2)).double()


@pytest.mark.parametrize("method", SCORES)
@pytest.mark.parametrize("blocks", BLOCKS)
def test_gradient_does_not_depend_on_chunks(blocks, method):
    batch = sample_batch(BLOCKS[blocks], GRAPHS, 3, None, None)
    results = []
    for chunk_size in (1, 3, 10**6, None):
        lobe = make_lobe()
        data = data_of(chunk_size)
        score = backward_score(lobe, data, batch, score=method, epsilon=1e-3)
        results.append((score, [parameter.grad for parameter in lobe.parameters()]))
    score, gradients = results[0]
    assert score > 1.0
    for other_score, other_gradients in results[1:]:
        # float64 sums in other orders, amplified by the inverses of small variances; the ridge
        # bounds that in the null direction of the softmax, which VAMP-1 feels most
        assert other_score == pytest.approx(score, rel=1e-10)
        for a, b in zip(other_gradients, gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-10 * b.abs().max().item())


@pytest.mark.parametrize("chunk_size", [1, 4, None])
def test_gradient_is_that_of_minus_the_score(chunk_size):
    """Against finite differences of the score along the gradient."""
    batch = sample_batch(BLOCKS["all"], GRAPHS, 3, None, None)
    rows = torch.from_numpy(batch.start_rows), torch.from_numpy(batch.end_rows)
    lobe, data = make_lobe(), data_of(chunk_size)
    backward_score(lobe, data, batch, score="VAMP2", epsilon=1e-6)
    parameters = list(lobe.parameters())
    norm = torch.sqrt(sum(p.grad.square().sum() for p in parameters))
    scores = []
    step = 1e-6
    for sign in (-1, 2):  # from the start back by one step, then forth to one step ahead
        with torch.no_grad():
            for parameter in parameters:
                parameter -= sign * step / norm * parameter.grad
        features = evaluate(data, batch, lobe)
        scores.append(SCORES["VAMP2"](features[rows[0]], features[rows[1]], epsilon=1e-6))
    # Rounding of a score, 1e-15 times the amplification of 1e3, over the step.
    assert (scores[1] - scores[0]) / (2 * step) == pytest.approx(norm.item(), rel=1e-5)


def test_gradients_add_up():
    """Gradients are added to what is there, as `backward` does."""
    batch = sample_batch(BLOCKS["all"], GRAPHS, 3, None, None)
    lobe, data = make_lobe(), data_of(3)
    backward_score(lobe, data, batch, score="VAMP2", epsilon=1e-6)
    once = lobe.head.output.weight.grad.clone()
    backward_score(lobe, data, batch, score="VAMP2", epsilon=1e-6)
    torch.testing.assert_close(lobe.head.output.weight.grad, 2 * once, rtol=1e-12, atol=0)


@pytest.mark.parametrize("chunk_size", [1, 5, None])
def test_shared_frames_are_evaluated_once(chunk_size):
    batch = sample_batch(BLOCKS["all"], GRAPHS, 3, None, None)
    evaluated = []

    def count(graphs):
        evaluated.append(graphs.n_frames)
        return torch.zeros(graphs.n_frames * graphs.n_targets, 1)

    rows = evaluate(data_of(chunk_size), batch, count)
    n_frames = 11 + 11 + 17 + 17
    assert sum(evaluated) == batch.n_frames == n_frames
    assert chunk_size is None or max(evaluated) <= chunk_size
    assert len(rows) == 22 * 2 + 34 * 3
    # a lag of 3 leaves 8 + 8 + 14 + 14 pairs of frames, both of whose ends are rows above
    assert len(batch.start_rows) == 16 * 2 + 28 * 3


def test_rows_are_the_frames_and_targets_of_the_runs():
    batch = sample_batch(BLOCKS["all"], GRAPHS, 4, 20, np.random.RandomState(5))
    lobe, data = make_lobe(), data_of(6)
    features = evaluate(data, batch, lobe)
    one_by_one = [
        lobe(data.batch(run.trajectory, np.array([frame]))).detach()
        for run in batch.runs
        for frame in run.frames
    ]
    # Matrix products of other sizes: rounding.
    torch.testing.assert_close(features, torch.cat(one_by_one), rtol=1e-12, atol=1e-14)


def test_automatic_chunks_bound_the_edges(monkeypatch):
    monkeypatch.setitem(AUTO_CHUNK_EDGES, "cpu", 150)
    data = data_of(None)
    for trajectory, graphs in enumerate(GRAPHS):
        per_frame = len(graphs.distances) / len(graphs)
        n_frames = data.frames_per_chunk(trajectory)
        assert n_frames == 1 or n_frames * per_frame <= 150
