"""Runs whose frames lie on several processes: `SharedRun`, `share_runs`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphkoopman.ranks import Reducer, agree
from graphkoopman.samples import Batch, Samples, class_name, join_adjacent_samples
from graphkoopman.storage import digest
from graphkoopman.trajectories import adjacent_runs

HASHED_FRAMES = 256


@dataclass(frozen=True)
class Piece:
    """Consecutive frames of a run on one rank.

    Attributes
    ----------
    rank : int
    begin, stop : int
        Frames of the run.
    samples : Samples or None
        None on other ranks.
    """

    rank: int
    begin: int
    stop: int
    samples: Samples | None


@dataclass(frozen=True)
class Header:
    """What every rank knows of the samples of all others."""

    class_name: str
    length: int
    timestep: float
    parent: str | None
    start: int
    species: np.ndarray  # kinds, each once
    n_targets: int
    n_hops: int
    offers: frozenset[str]
    kind: dict[str, Any]
    cost: float
    still: list[int] | None  # targets that do not move; not known of one frame


class SharedRun:
    """A run as all ranks see it, with the frames of this rank: `Samples` for a training.

    Parameters
    ----------
    headers : sequence of Header
        Of its pieces, in time order.
    pieces : sequence of Piece

    Attributes
    ----------
    class_name : str
        Of the samples that it is made of.
    pieces : tuple of Piece
    """

    def __init__(self, headers: Sequence[Header], pieces: Sequence[Piece]) -> None:
        first = headers[0]
        self.class_name = first.class_name
        self.pieces = tuple(pieces)
        self.timestep, self.parent, self.start = first.timestep, first.parent, first.start
        self.species = first.species
        self.n_targets, self.offers, self.kind = first.n_targets, first.offers, first.kind
        self.n_hops = min(header.n_hops for header in headers)
        weighted = sum(header.cost * header.length for header in headers)
        self.cost = weighted / max(1, len(self))
        known = [set(header.still) for header in headers if header.still is not None]
        self._still = sorted(set.intersection(*known)) if known else []

    def __len__(self) -> int:
        return self.pieces[-1].stop

    def still_targets(self) -> list[int]:
        """Targets whose input is the same in every frame of every piece."""
        return self._still

    @property
    def own(self) -> list[Piece]:
        """Pieces of this rank."""
        return [piece for piece in self.pieces if piece.samples is not None]

    def owners(self, frames: np.ndarray) -> np.ndarray:
        """Number of the piece that holds each frame."""
        return np.searchsorted([piece.stop for piece in self.pieces], frames, side="right")

    def batch(
        self, frames: np.ndarray, species_rows: Any, n_hops: int, *, pin_memory: bool = False
    ) -> Batch:
        """Some frames of one piece of this rank as one batch.

        Parameters
        ----------
        frames : ndarray of shape (n_frames,), int
        species_rows : sequence of ndarray of shape (n_atoms,), int
            For each of ``pieces``.
        n_hops : int
        pin_memory : bool
        """
        number = int(self.owners(frames[:1])[0])
        piece = self.pieces[number]
        if piece.samples is None:
            raise LookupError(f"frame {frames[0]} lies on rank {piece.rank}")
        rows = species_rows[number]
        return piece.samples.batch(frames - piece.begin, rows, n_hops, pin_memory=pin_memory)


def share_runs(samples: Sequence[Samples], reducer: Reducer) -> list[Any]:
    """Runs of the samples of all ranks, in the order of ranks, joined across them.

    Parameters
    ----------
    samples : sequence of Samples
        Of this rank; may be empty.
    reducer : Reducer

    Returns
    -------
    list of Samples or of SharedRun
        Those of a process by itself that has the samples of all.

    Raises
    ------
    ValueError
        If all ranks are empty.
    """
    if reducer.size == 1:
        return join_adjacent_samples(samples)
    local = agree(reducer, lambda: join_adjacent_samples(samples))
    by_rank = reducer.gather(agree(reducer, lambda: [_header(item) for item in local]))
    places = [(rank, i) for rank, headers in enumerate(by_rank) for i in range(len(headers))]
    headers = [by_rank[rank][i] for rank, i in places]
    if not headers:
        raise ValueError("X must hold at least one GraphTrajectory, got an empty list on all ranks")
    runs = adjacent_runs(
        [header.parent for header in headers],
        [header.start for header in headers],
        [header.length for header in headers],
    )
    shared = []
    for run in runs:
        _check_pieces([headers[number] for number in run])
        ends = np.cumsum([headers[number].length for number in run]).tolist()
        pieces = [
            Piece(rank, end - header.length, end, local[i] if rank == reducer.rank else None)
            for (rank, i), header, end in zip(
                (places[number] for number in run),
                (headers[number] for number in run),
                ends,
                strict=True,
            )
        ]
        shared.append(SharedRun([headers[number] for number in run], pieces))
    return shared


def _check_pieces(headers: Sequence[Header]) -> None:
    """Raise ValueError unless pieces of one run are of the same targets."""
    first = headers[0]
    for other in headers[1:]:
        for name in ("class_name", "n_targets", "kind", "offers"):
            if getattr(other, name) != getattr(first, name):
                raise ValueError(
                    f"pieces of run {first.parent!r} must have one {name} on all ranks, got "
                    f"{getattr(first, name)} and {getattr(other, name)}; make them with one "
                    "featurizer"
                )


def _header(item: Samples) -> Header:
    return Header(
        class_name(item),
        len(item),
        float(item.timestep),
        item.parent,
        int(item.start),
        np.unique(item.species),
        int(item.n_targets),
        int(item.n_hops),
        frozenset(item.offers),
        dict(item.kind),
        float(item.cost),
        item.still_targets() if len(item) > 1 else None,
    )


def run_digests(samples: Sequence[Any], reducer: Reducer) -> list[str]:
    """Hashes of every run: of some frames, which do not depend on how it lies on processes, and of
    all of it, where it is on a single one.

    Parameters
    ----------
    samples : sequence of Samples, or of SharedRun where there are several processes
    reducer : Reducer

    Returns
    -------
    list of str
        One or two words for every run, the first as `Samples.digest` of the frames.
    """
    own: dict[tuple[int, int], str] = {}
    for i, run in enumerate(samples):
        frames = np.unique(np.linspace(0, len(run) - 1, HASHED_FRAMES).astype(int))
        pieces = run.own if isinstance(run, SharedRun) else [Piece(0, 0, len(run), run)]
        for piece in pieces:
            whole: Any = piece.samples
            for frame in frames[(frames >= piece.begin) & (frames < piece.stop)].tolist():
                at = frame - piece.begin
                own[i, frame] = whole[at : at + 1].digest()
            if piece.stop - piece.begin == len(run):
                own[i, len(run)] = whole.digest()
    found = {key: word for part in reducer.gather(own) for key, word in part.items()}
    words = []
    for i, run in enumerate(samples):
        some = [found[key] for key in sorted(found) if key[0] == i and key[1] < len(run)]
        words.append(" ".join([digest("".join(some), []), found.get((i, len(run)), "")]).strip())
    return words
