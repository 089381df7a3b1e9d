"""Graphs and positions that do not fit in memory: pieces, kills, budgets, mapped training."""

import mmap
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from small_fits import make_estimator

from graphkoopman import GraphFeaturizer, GraphTrajectory, Trajectory
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.graphs import _stream, build_graphs
from graphkoopman.training import _initialise
from graphkoopman.trajectories import read_trajectory, resolve_targets

CELL = np.array([[14.0, 0.0, 0.0], [3.0, 13.0, 0.0], [-2.0, 4.0, 12.0]])
N_ATOMS, N_FRAMES = 400, 24
TARGETS = np.arange(8)
KINDS = {
    "nearest": {"n_neighbors": 10, "cutoff": None, "n_hops": 2},
    "cutoff": {"n_neighbors": None, "cutoff": 2.2, "n_hops": 2},
    "one hop": {"n_neighbors": 6, "cutoff": None, "n_hops": 1},
}
LABELS = {"numbers": np.arange(N_ATOMS) % 5, "strings": np.array(["ether", "Li"] * (N_ATOMS // 2))}


def gas(per_frame_cell=False):
    """Targets close to each other in the first half of the frames, all over the box afterwards.

    The fields of the first half are small enough for narrower indices.
    """
    rng = np.random.default_rng(0)
    fractions = rng.uniform(0, 1, (N_FRAMES, N_ATOMS, 3))
    fractions[: N_FRAMES // 2, TARGETS] = 0.02 * fractions[: N_FRAMES // 2, TARGETS] + 0.3
    cells = CELL * (1 + 0.002 * np.arange(N_FRAMES))[:, None, None] if per_frame_cell else CELL
    return Trajectory(
        fractions @ cells, cells, np.full(N_ATOMS, 3), timestep=0.5, targets=TARGETS,
        parent="run", start=7,
    )  # fmt: skip


def is_mapped(array):
    """Whether an array, or what it is a view of, is a mapped file."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


@pytest.fixture
def pieces(monkeypatch):
    """Lengths of the graphs built, the probes included."""
    lengths = []

    def counted(trajectory, *args, **settings):
        lengths.append(len(trajectory))
        return _build(trajectory, *args, **settings)

    _build = _stream.graphs_of
    monkeypatch.setattr(_stream, "graphs_of", counted)
    return lengths


def save_whole(path, run, settings):
    graphs = build_graphs(run, resolve_targets(None, run), n_jobs=None, **settings)
    graphs.save(path)
    return graphs


def write(path, run, budget, settings):
    _stream.write_graph_file(path, run, resolve_targets(None, run), budget, n_jobs=None, **settings)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("kind", KINDS)
def test_file_written_in_pieces_is_the_file_written_at_once(tmp_path, pieces, kind, labels):
    run, settings = gas(per_frame_cell=kind == "cutoff"), KINDS[kind] | {"species": LABELS[labels]}
    graphs = save_whole(tmp_path / "whole.graphs", run, settings)
    write(tmp_path / "pieces.graphs", run, graphs.nbytes // 3, settings)
    assert pieces[:3] == [1, 1, 1]
    assert len(pieces) > 3 + 4
    assert sum(pieces[3:]) == N_FRAMES
    assert (tmp_path / "pieces.graphs").read_bytes() == (tmp_path / "whole.graphs").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pieces.graphs", "whole.graphs"]
    if kind == "nearest":
        narrow = graphs[: N_FRAMES // 2].hop_counts.max()
        assert narrow <= 256 < graphs.hop_counts.max()
        assert graphs.neighbors.dtype == np.uint16


def test_budget_that_holds_all_is_one_piece(tmp_path, pieces):
    settings = KINDS["one hop"] | {"species": LABELS["numbers"]}
    write(tmp_path / "run.graphs", gas(), 2**30, settings)
    assert pieces == [1, 1, 1, N_FRAMES]


def test_least_budget_is_a_frame_at_a_time(tmp_path, pieces):
    settings = KINDS["one hop"] | {"species": LABELS["numbers"]}
    save_whole(tmp_path / "whole.graphs", gas(), settings)
    write(tmp_path / "run.graphs", gas(), 1, settings)
    assert pieces == [1] * (3 + N_FRAMES)
    assert (tmp_path / "run.graphs").read_bytes() == (tmp_path / "whole.graphs").read_bytes()


def test_killed_build_goes_on_with_its_pieces(tmp_path, monkeypatch, pieces):
    run, settings = gas(), KINDS["nearest"] | {"species": LABELS["strings"]}
    graphs = save_whole(tmp_path / "whole.graphs", run, settings)
    path, budget = tmp_path / "run.graphs", graphs.nbytes // 3

    def killed(trajectory, *args, **kwargs):
        if len(pieces) == 3 + 3:
            raise KeyboardInterrupt
        return counted(trajectory, *args, **kwargs)

    counted = _stream.graphs_of
    monkeypatch.setattr(_stream, "graphs_of", killed)
    with pytest.raises(KeyboardInterrupt):
        write(path, run, budget, settings)
    assert not path.exists()
    assert len(list((tmp_path / "run.pieces").iterdir())) == 3
    done = sum(pieces[3:])
    pieces.clear()
    monkeypatch.setattr(_stream, "graphs_of", counted)
    write(path, run, budget, settings)
    assert sum(pieces[3:]) == N_FRAMES - done
    assert path.read_bytes() == (tmp_path / "whole.graphs").read_bytes()
    assert not (tmp_path / "run.pieces").exists()


def test_damaged_piece_is_named(tmp_path, monkeypatch, pieces):
    settings = KINDS["one hop"] | {"species": LABELS["numbers"]}
    monkeypatch.setattr(_stream, "join_graph_files", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(tmp_path / "run.graphs", gas(), 1, settings)
    monkeypatch.undo()
    piece = tmp_path / "run.pieces" / "5-6.graphs"
    changed = bytearray(piece.read_bytes())
    changed[-1] ^= 1
    piece.write_bytes(changed)
    with pytest.raises(ValueError, match=f"{re.escape(str(piece))} is a damaged graph file"):
        write(tmp_path / "run.graphs", gas(), 1, settings)


BUDGET_MIB = 24
UNDER_A_LIMIT = """
import resource, sys
from pathlib import Path
import numpy as np
from graphkoopman import GraphFeaturizer, Trajectory

def run(n_frames):
    positions = np.load("positions.npy", mmap_mode="r")[:n_frames]
    return Trajectory(positions, 24.0 * np.eye(3), np.full(600, 3), timestep=1.0, targets=range(60))

def graphs(n_frames, **settings):
    return GraphFeaturizer(n_neighbors=20, n_hops=2, **settings).transform(run(n_frames))[0]

budget = int(sys.argv[1]) * 2**20
streamed = {"cache_dir": "cache", "memory_budget": budget}
graphs(3)  # compiles
graphs(3, **streamed)
status = Path("/proc/self/status").read_text()
held = 1024 * int(status.split("VmData:")[1].split()[0])
resource.setrlimit(resource.RLIMIT_DATA, (held + budget, held + budget))
print(graphs(700, **(streamed if sys.argv[2] == "streamed" else {})).nbytes)
"""


def under_a_limit(folder, how):
    # the limit counts what a process may allocate, whether used or not; mapped files do not count
    return subprocess.run(
        [sys.executable, "-c", UNDER_A_LIMIT, str(BUDGET_MIB), how],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_graphs_are_built_within_the_budget(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "positions.npy", rng.uniform(0, 24, (700, 600, 3)).astype(np.float32))
    streamed = under_a_limit(tmp_path, "streamed")
    assert streamed.returncode == 0, streamed.stderr
    assert int(streamed.stdout) > 1.5 * BUDGET_MIB * 2**20
    in_memory = under_a_limit(tmp_path, "in memory")
    assert in_memory.returncode == 1
    assert "MemoryError" in in_memory.stderr


@pytest.mark.parametrize("batch_size", [20, None])
# two epochs, on purpose
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_mapped_graphs_train_to_the_same_parameters(tmp_path, batch_size):
    run = make_hopping(chain_rates(2, slowest=20.0), 200, random_state=0).trajectory
    (graphs,) = GraphFeaturizer(n_neighbors=6, n_hops=1).transform(run)
    streamed = GraphFeaturizer(
        n_neighbors=6, n_hops=1, cache_dir=tmp_path, memory_budget=graphs.nbytes // 3
    )
    (mapped,) = streamed.transform(run)
    assert isinstance(mapped.distances, np.memmap)
    fits = [
        make_estimator(batch_size=batch_size, chunk_size=11).fit(item) for item in (graphs, mapped)
    ]
    weights = [fit.lobe_.state_dict() for fit in fits]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name
    np.testing.assert_array_equal(*(fit.model_.koopman_matrix for fit in fits))


def test_mapped_positions_stay_mapped(tmp_path):
    run = gas()
    np.save(tmp_path / "run.npy", run.positions)
    positions = np.load(tmp_path / "run.npy", mmap_mode="r")
    mapped = Trajectory(positions, CELL, run.species, timestep=0.5)
    assert np.shares_memory(mapped.positions, positions)
    assert is_mapped(mapped[3:9].positions)


@pytest.mark.parametrize("stride", [1, 3])
def test_reading_into_a_positions_file(tmp_path, stride):
    run = gas().to_mdtraj()
    run[0].save(str(tmp_path / "top.pdb"))
    run.save(str(tmp_path / "run.xtc"))
    settings = {"top": tmp_path / "top.pdb", "stride": stride, "chunk": 5, "targets": "index 3 5"}
    plain = read_trajectory(tmp_path / "run.xtc", **settings)
    file = tmp_path / "positions.npy"
    mapped = read_trajectory(tmp_path / "run.xtc", positions_file=file, **settings)
    np.testing.assert_array_equal(mapped.positions, plain.positions)
    np.testing.assert_array_equal(mapped.cell, plain.cell)
    assert mapped.timestep == plain.timestep
    assert is_mapped(mapped.positions)
    assert not is_mapped(plain.positions)
    np.testing.assert_array_equal(np.load(file), plain.positions)
    graphs = [
        GraphFeaturizer(n_neighbors=5, n_hops=1).transform(item)[0] for item in (plain, mapped)
    ]
    assert graphs[0].digest() == graphs[1].digest()


def test_no_positions_file_of_a_damaged_trajectory(tmp_path):
    run = gas().to_mdtraj()
    run[0].save(str(tmp_path / "top.pdb"))
    run.save(str(tmp_path / "run.xtc"))
    whole = (tmp_path / "run.xtc").read_bytes()
    (tmp_path / "run.xtc").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ValueError, match="path must be"):
        read_trajectory(
            tmp_path / "run.xtc", tmp_path / "top.pdb", positions_file=tmp_path / "a.npy"
        )
    assert {path.name for path in tmp_path.iterdir()} == {"top.pdb", "run.xtc"}


@pytest.mark.parametrize(
    ("path", "positions_file", "error", "message"),
    [
        ("run.xtc", "positions.dat", ValueError, "positions_file must be named .npy"),
        ("run.xtc", 3, TypeError, "positions_file must be a path or None, got int"),
        ("run.npz", "positions.npy", ValueError, "positions_file does not go with run.npz"),
    ],
)
def test_bad_positions_files(tmp_path, path, positions_file, error, message):
    (tmp_path / path).write_bytes(b"content")
    with pytest.raises(error, match=message):
        read_trajectory(tmp_path / path, positions_file=positions_file)


def test_hash_of_strided_arrays_is_that_of_their_copy(tmp_path):
    """Both are read in blocks of rows, whatever their layout."""
    run = gas()
    thinned, copied = (
        run[::2],
        Trajectory(run.positions[::2].copy(), CELL, run.species, timestep=1.0, targets=TARGETS),
    )
    for item in (thinned, copied):
        GraphFeaturizer(n_neighbors=5, n_hops=1, cache_dir=tmp_path).transform(item)
    assert len(list(tmp_path.iterdir())) == 1
    (path,) = tmp_path.iterdir()
    assert len(GraphTrajectory.load(path)) == N_FRAMES // 2


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # two short epochs
@pytest.mark.parametrize("most", [10**6, 60])
def test_whole_trajectories_start_from_what_memory_bears(monkeypatch, most):
    """Estimates take every frame; the linear functions to start from need not."""
    seen = []

    def initialise(lobe, pooled, batch):
        seen.append(len(pooled))
        _initialise.initialise_hidden(lobe, pooled, batch)

    monkeypatch.setattr("graphkoopman.training._loop.initialise_hidden", initialise)
    monkeypatch.setattr("graphkoopman.training._loop.MOST_LINEAR_SAMPLES", most)
    data = make_hopping(chain_rates(2, slowest=20.0), 400, random_state=0)
    graphs = GraphFeaturizer(n_neighbors=4, n_hops=1).transform(data.trajectory)
    make_estimator(batch_size=None).fit(graphs)
    n_targets = graphs[0].n_targets
    frames = seen[0] / n_targets
    # training frames without the held-out blocks; a batch is up to twice what was asked for
    assert 250 < frames <= 400 if most == 10**6 else 60 / n_targets <= frames <= 2 * 60 / n_targets
