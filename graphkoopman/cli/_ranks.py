"""A fit on several processes, each of which reads and featurizes its share: `fit_on_ranks`."""

import argparse
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graphkoopman.cli._input import read_inputs
from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.ranks import Reducer, agree, joined
from graphkoopman.storage import digest
from graphkoopman.trajectories import Seam, Trajectory, find_seams

__all__ = ["fit_on_ranks"]

SLACK = 0.25  # of a share, by which it may differ for files to stay whole
TAIL = 64  # frames that tell whether a file goes on in the next one


@dataclass(frozen=True)
class Part:
    """Some frames of a file.

    Attributes
    ----------
    file : int
        Number of the file.
    begin, stop, n_frames : int
        Frames of the file, and how many it has.
    source : Source or None
        What the file says of itself, times among it; slices of trajectories do not keep it.
    """

    file: int
    begin: int
    stop: int
    n_frames: int
    source: Any = None


def fit_on_ranks(
    options: argparse.Namespace,
    featurizer: Any,
    estimator_of: Callable[[argparse.Namespace, float], GDyNetEstimator],
    train: Callable[[argparse.Namespace, GDyNetEstimator, list[Any]], None],
) -> tuple[GDyNetEstimator, bool]:
    """Fit to the files of a command line on all processes of the group.

    Parameters
    ----------
    options : Namespace
    featurizer : GraphFeaturizer
    estimator_of : callable
        From options and ps per frame to an estimator.
    train : callable
        Fits an estimator to graphs.

    Returns
    -------
    estimator : GDyNetEstimator
        Fitted, the same on all ranks.
    first : bool
        Whether this is rank 0, which has to go on alone.
    """
    console = options.console
    with joined() as reducer:
        if reducer.rank > 0:
            console.mute()
        parts, pieces = agree(reducer, lambda: _read_share(options, reducer))
        pieces = _as_pieces_of_runs(options, reducer, parts, pieces)
        timestep = next(t for times in reducer.gather([p.timestep for p in pieces]) for t in times)
        estimator = agree(reducer, lambda: estimator_of(options, timestep))
        graphs = agree(reducer, lambda: featurizer.fit_transform(pieces) if pieces else [])
        shares = reducer.gather((sum(map(len, pieces)), sum(item.nbytes for item in graphs)))
        for rank, (n_frames, n_bytes) in enumerate(shares):
            console.say(f"rank {rank}: {n_frames} frames, graphs of {n_bytes / 2**20:.1f} MiB")
    estimator.set_params(verbose=console.shows_progress)
    train(options, estimator, graphs)
    return estimator, reducer.rank == 0


def shares_of(sizes: Sequence[int], n_ranks: int) -> list[list[tuple[int, float, float]]]:
    """Which files, from which to which share of their length, each rank reads.

    Parameters
    ----------
    sizes : sequence of int
        Bytes of the files.
    n_ranks : int

    Returns
    -------
    list of list of (int, float, float)
        File, begin and end, for every rank, each with about as many bytes; a cut near the end of a
        file is put there.

    Examples
    --------
    >>> from graphkoopman.cli._ranks import shares_of
    >>> shares_of([310, 100, 200], 2)
    [[(0, 0.0, 1.0)], [(1, 0.0, 1.0), (2, 0.0, 1.0)]]
    >>> shares_of([300], 2)
    [[(0, 0.0, 0.5)], [(0, 0.5, 1.0)]]
    """
    ends = list(itertools.accumulate(max(1, size) for size in sizes))
    cuts = [ends[-1] * rank / n_ranks for rank in range(1, n_ranks)]
    slack = SLACK * ends[-1] / n_ranks
    nearest = [min([0, *ends], key=lambda end: abs(end - cut)) for cut in cuts]
    cuts = [end if abs(end - cut) <= slack else cut for cut, end in zip(cuts, nearest, strict=True)]
    shares = []
    for low, high in itertools.pairwise([0.0, *cuts, float(ends[-1])]):
        share = []
        for file, (begin, end) in enumerate(itertools.pairwise([0, *ends])):
            first, last = max(low, begin), min(high, end)
            if first < last:
                length = end - begin
                share.append((file, (first - begin) / length, (last - begin) / length))
        shares.append(share)
    return shares


def _read_share(
    options: argparse.Namespace, reducer: Reducer
) -> tuple[list[Part], list[Trajectory]]:
    """Frames of this rank, file by file."""
    paths = [Path(path) for path in options.trajectories]
    sizes = [path.stat().st_size if path.is_file() else 0 for path in paths]
    parts, pieces = [], []
    for file, low, high in shares_of(sizes, reducer.size)[reducer.rank]:
        one = argparse.Namespace(**{**vars(options), "trajectories": [options.trajectories[file]]})
        if options.cache is not None:
            one.cache = options.cache / f"rank {reducer.rank} file {file}"
        (whole,) = read_inputs(one, inspected=low == 0.0)
        begin, stop = round(low * len(whole)), round(high * len(whole))
        if begin < stop:
            parts.append(Part(file, begin, stop, len(whole), whole.source))
            pieces.append(whole[begin:stop])
    return parts, pieces


def _as_pieces_of_runs(
    options: argparse.Namespace,
    reducer: Reducer,
    parts: Sequence[Part],
    pieces: Sequence[Trajectory],
) -> list[Trajectory]:
    """The pieces of this rank as pieces of runs, whose frames may lie on others.

    Whether a file goes on in the next one is told as in a process by itself, of its last frames.
    """
    everything = sorted(
        (part.file, part.begin, rank, i, part)
        for rank, given in enumerate(reducer.gather(list(parts)))
        for i, part in enumerate(given)
    )
    own = list(pieces)
    seams: dict[int, Seam] = {}
    for before, after in itertools.pairwise(everything):
        (file, _, sender, i, part), (next_file, _, rank, j, following) = before, after
        if file == next_file:
            continue
        tail: Any = own[i][-TAIL:] if sender == reducer.rank else None
        received: Any = reducer.send(tail, sender, rank)
        if rank == reducer.rank:
            ends = replace(received, source=part.source)
            seams[next_file] = _seam(options, ends, replace(own[j][:TAIL], source=following.source))
    seams = {file: seam for found in reducer.gather(seams) for file, seam in found.items()}
    name, start, length = "", 0, 0
    for file, begin, rank, i, part in everything:
        if begin == 0:
            goes_on = file in seams and bool(seams[file].follows)
            start = start + length if goes_on else 0
            if not goes_on:
                name = digest(f"{options.trajectories[file]} {file} {part.n_frames}", [])
            again = int(goes_on and seams[file].repeated)
            start, length = start - again, part.n_frames
        else:
            again = 0
        if rank == reducer.rank:
            # a frame that is written twice is kept once
            own[i] = replace(own[i][again:], parent=name, start=start + begin + again)
    return [piece for piece in own if len(piece)]


def _seam(options: argparse.Namespace, before: Trajectory, after: Trajectory) -> Seam:
    (seam,) = find_seams([before, after])
    if options.join is not None:
        return replace(seam, follows=options.join)
    if seam.follows and options.stride > 1:
        options.console.say(
            "files on several ranks that are thinned out with --stride are taken as runs of their "
            "own; --join joins them"
        )
        return replace(seam, follows=False)
    return seam
