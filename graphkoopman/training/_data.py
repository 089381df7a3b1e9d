"""`SampleData`: what a forward pass takes its input from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from graphkoopman.ranks import ALONE, Reducer
from graphkoopman.samples import Batch
from graphkoopman.training._batches import Run, StatisticsBatch
from graphkoopman.training._memory import Room, memory_budget
from graphkoopman.training._shares import Share, share_of, whole

AUTO_CHUNK_EDGES = {"cpu": 400_000, "cuda": 4_000_000}  # fewer would not fill a GPU
KEPT_EDGES = 4_000_000  # about 200 MB of what the backward pass needs


@dataclass(frozen=True, eq=False)
class SampleData:
    """Samples with the species of a network, and how many frames fit in one pass.

    Attributes
    ----------
    samples : sequence of Samples, or of SharedRun where there are several processes
    species_rows : list of ndarray of shape (n_atoms,)
        Row of the encoder's species for every atom of every run; of a SharedRun, a list of them.
    n_hops : int
        How far the encoder looks.
    chunk_size : int, str or None
        Frames per forward pass. None keeps a pass near a fixed number of edges, fewer where they do
        not fit into half of the free memory, a str, such as "2 GiB", into that.
    device : torch.device
    reducer : Reducer
        Of the processes that share the samples.
    """

    samples: Sequence[Any]
    species_rows: list[Any]
    n_hops: int
    chunk_size: int | str | None
    device: torch.device
    reducer: Reducer = ALONE

    def share(self, batch: StatisticsBatch) -> Share:
        """What this process evaluates of a batch."""
        if self.reducer.size == 1:
            return whole(batch)
        return share_of(batch, self.samples, self.reducer.rank)

    def keeps(self, runs: Sequence[Run]) -> bool:
        """Whether all chunks of these frames may be in memory at a time."""
        if isinstance(self.chunk_size, int):
            return False
        n_edges = sum(len(run.frames) * self.samples[run.trajectory].cost for run in runs)
        if self.device.type == "cuda":
            return n_edges <= self.room.largest_cost
        return n_edges <= min(KEPT_EDGES * self.room.share, self.room.largest_cost)

    def frames_per_chunk(self, trajectory: int) -> int:
        """Frames of a trajectory in one forward pass.

        Raises
        ------
        ValueError
            If one frame takes more than a budget that was given.
        """
        if isinstance(self.chunk_size, int):
            return self.chunk_size
        room, cost = self.room, max(1.0, self.samples[trajectory].cost)
        if room.budget is not None and cost > room.largest_cost / room.share:
            raise ValueError(
                f"chunk_size={self.chunk_size!r} is too little memory for a single frame of "
                f"{cost:.0f} edges, which takes {cost * room.bytes_per_cost / 2**20:.3g} MiB; "
                "give more, take fewer targets or neighbours, or an encoder that looks less far"
            )
        n_edges = AUTO_CHUNK_EDGES.get(self.device.type, AUTO_CHUNK_EDGES["cpu"]) * room.share
        return max(1, int(min(n_edges, room.largest_cost) / cost))

    @cached_property
    def room(self) -> Room:
        """The memory that chunks may take, as far as it is known."""
        given = self.chunk_size
        return Room(self.device, memory_budget(given) if isinstance(given, str) else None)

    def measure(
        self, function: Callable[[Batch], torch.Tensor], trajectory: int, frames: np.ndarray
    ) -> None:
        """Find out what a pass takes, of one frame, unless it is known or does not matter."""
        if isinstance(self.chunk_size, int) or self.room.bytes_per_cost > 0.0:
            return
        batch = self.batch(trajectory, frames[:1]).to(self.device)
        self.room.measure(function, batch, self.samples[trajectory].cost)

    def takes_less(self) -> bool:
        """Halve the chunks to come; False where they are of one frame, or of a number given."""
        if isinstance(self.chunk_size, int):
            return False
        own = range(len(self.samples))
        return any(self.frames_per_chunk(i) > 1 for i in own) and self.room.shrink()

    def __post_init__(self) -> None:
        if self.reducer.size > 1:
            _ = self.example  # which all processes have to ask for together

    @cached_property
    def example(self) -> Batch:
        """One frame, to try modules on; a process without frames has it of another one."""
        if self.reducer.size == 1:
            return self.batch(0, np.arange(1))
        holders = {piece.rank for run in self.samples for piece in run.pieces}
        source = min(holders)
        own: Any = next((self.batch(*chunk) for chunk in self._first_frames()), None)
        for rank in set(range(self.reducer.size)) - holders:
            received = self.reducer.send(own, source, rank)
            own = own if received is None else received
        return own

    def _first_frames(self) -> Iterator[tuple[int, np.ndarray]]:
        for i, run in enumerate(self.samples):
            yield from ((i, np.array([piece.begin])) for piece in run.own)

    def pieces(self, trajectory: int, frames: np.ndarray) -> list[np.ndarray]:
        """Frames of a trajectory, cut where they lie in several pieces of this process."""
        if self.reducer.size == 1:
            return [frames]
        owners = self.samples[trajectory].owners(frames)
        return np.split(frames, np.flatnonzero(np.diff(owners)) + 1)

    def batch(self, trajectory: int, frames: np.ndarray) -> Batch:
        """Frames of a trajectory as one batch on the CPU, in pinned memory for a GPU."""
        return self.samples[trajectory].batch(
            frames,
            self.species_rows[trajectory],
            self.n_hops,
            pin_memory=self.device.type == "cuda",
        )
