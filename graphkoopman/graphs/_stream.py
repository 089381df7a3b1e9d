"""Graphs that do not fit in memory: built in pieces of frames, joined in one file."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from joblib import effective_n_jobs

from graphkoopman.graphs._build import CHUNK_BYTES, check_searchable, graphs_of
from graphkoopman.graphs._trajectory import GraphTrajectory
from graphkoopman.samples import FRAME, OFFSETS, SYSTEM, Column, join_columns, write_columns
from graphkoopman.storage import StreamedArray
from graphkoopman.trajectories import Targets, Trajectory

SHORT = (FRAME, OFFSETS)  # axes of columns that are kept in memory


def write_graph_file(
    path: Path, trajectory: Trajectory, targets: Targets, memory_budget: int, **settings: Any
) -> None:
    """Write the file that ``build_graphs(trajectory, targets, **settings).save(path)`` would write.

    Pieces of consecutive frames are written to a folder beside the file and joined in the end, so
    that a killed call goes on where it was. Several processes may write the same file.

    Parameters
    ----------
    path : Path
        Its name must stand for trajectory, targets and settings: pieces found are trusted.
    trajectory : Trajectory
    targets : Targets
    memory_budget : int
        Bytes of graphs in memory, those under construction included.
    **settings
        Of `build_graphs`, all of them.

    Raises
    ------
    ValueError
        As `build_graphs`.
    OSError
        If a file could not be written.
    """
    check_searchable(trajectory, settings["n_neighbors"])
    n_threads = effective_n_jobs(settings["n_jobs"])
    settings["chunk_bytes"] = min(CHUNK_BYTES, memory_budget // 4 // n_threads)
    size = _frames_per_piece(trajectory, targets, memory_budget, settings)
    if size >= len(trajectory):
        graphs_of(trajectory, targets, **settings).save(path)
        return
    folder = path.with_suffix(".pieces")
    try:
        folder.mkdir(exist_ok=True)
        pieces = []
        for start in range(0, len(trajectory), size):
            frames = trajectory[start : start + size]
            pieces.append(folder / f"{start}-{start + len(frames)}.graphs")
            if not pieces[-1].exists():
                graphs_of(frames, targets, **settings).save(pieces[-1])
        join_graph_files(pieces, path)
    except FileNotFoundError:
        # another process may have finished and cleared the folder
        if not path.exists():
            raise
    shutil.rmtree(folder, ignore_errors=True)


def _frames_per_piece(
    trajectory: Trajectory, targets: Targets, memory_budget: int, settings: dict[str, Any]
) -> int:
    """Frames of which the graphs take a quarter of the budget, judged by three of them.

    A piece exists twice while its chunks are put together; another quarter is for the search.
    """
    probes = {0, len(trajectory) // 2, len(trajectory) - 1}
    largest = max(
        graphs_of(trajectory[frame : frame + 1], targets, **settings).nbytes for frame in probes
    )
    return max(1, memory_budget // 4 // largest)


def join_graph_files(pieces: Sequence[Path], path: Path) -> None:
    """One file of the graphs of consecutive files, of which one at a time is read.

    Parameters
    ----------
    pieces : sequence of Path
        Files of consecutive frames of one trajectory.
    path : Path

    Raises
    ------
    ValueError
        If a piece is damaged.
    """
    first = _with_degrees_of_all(GraphTrajectory.load(pieces[0], mmap=True), pieces)
    columns = [c for c in GraphTrajectory.columns if getattr(first, c.name) is not None]
    short: dict[str, list[np.ndarray]] = {c.name: [] for c in columns if c.axis in SHORT}
    shapes: dict[str, list[tuple[int, np.dtype]]] = {
        c.name: [] for c in columns if c.axis not in (*SHORT, SYSTEM)
    }
    for piece in pieces:
        graphs = _like(first, GraphTrajectory.load(piece))
        for name, found in short.items():
            found.append(getattr(graphs, name))
        for name, known in shapes.items():
            array = getattr(graphs, name)
            known.append((len(array), array.dtype))

    def streamed(column: Column) -> StreamedArray:
        def parts() -> Iterator[np.ndarray]:
            return (
                getattr(_like(first, GraphTrajectory.load(piece, mmap=True)), column.name)
                for piece in pieces
            )

        lengths, dtypes = zip(*shapes[column.name], strict=True)
        row = getattr(first, column.name).shape[1:]
        return StreamedArray((sum(lengths), *row), np.result_type(*dtypes), parts)

    arrays: dict[str, np.ndarray | StreamedArray] = {}
    for column in columns:
        if column.axis == SYSTEM:
            arrays[column.name] = getattr(first, column.name)
        elif column.axis in SHORT:
            arrays[column.name] = join_columns(column, short[column.name])
        else:
            arrays[column.name] = streamed(column)
    write_columns(path, GraphTrajectory.file, arrays, first.settings())


def _with_degrees_of_all(first: GraphTrajectory, pieces: Sequence[Path]) -> GraphTrajectory:
    """The first piece, with degrees where any piece has them."""
    later = (GraphTrajectory.load(piece, mmap=True) for piece in pieces[1:])
    return first.with_degrees() if any(g.degrees is not None for g in later) else first


def _like(first: GraphTrajectory, graphs: GraphTrajectory) -> GraphTrajectory:
    """A piece with the columns of the first one."""
    return graphs if first.degrees is None else graphs.with_degrees()
