"""`SampleData`: what a forward pass takes its input from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from graphkoopman.samples import Batch, Samples
from graphkoopman.training._batches import StatisticsBatch

AUTO_CHUNK_EDGES = {"cpu": 400_000, "cuda": 4_000_000}  # fewer would not fill a GPU
KEPT_EDGES = 4_000_000  # about 200 MB of what the backward pass needs
GPU_BYTES_PER_EDGE = 3_000  # of three convolutions in torch's own operations, were they needed


@dataclass(frozen=True, eq=False)
class SampleData:
    """Samples with the species of a network, and how many frames fit in one pass.

    Attributes
    ----------
    samples : sequence of Samples
    species_rows : list of ndarray of shape (n_atoms,)
        Row of the encoder's species for every atom of every run.
    n_hops : int
        How far the encoder looks.
    chunk_size : int or None
        Frames per forward pass; None keeps a pass near a fixed number of edges.
    device : torch.device
    """

    samples: Sequence[Samples]
    species_rows: list[np.ndarray]
    n_hops: int
    chunk_size: int | None
    device: torch.device

    def keeps(self, batch: StatisticsBatch) -> bool:
        """Whether all chunks of a batch may be in memory at a time."""
        n_edges = sum(len(run.frames) * self.samples[run.trajectory].cost for run in batch.runs)
        most = float(KEPT_EDGES)
        if self.device.type == "cuda":
            memory = torch.cuda.get_device_properties(self.device).total_memory
            most = max(most, memory / GPU_BYTES_PER_EDGE)
        return self.chunk_size is None and n_edges <= most

    def frames_per_chunk(self, trajectory: int) -> int:
        """Frames of a trajectory in one forward pass."""
        if self.chunk_size is not None:
            return self.chunk_size
        n_edges = AUTO_CHUNK_EDGES.get(self.device.type, AUTO_CHUNK_EDGES["cpu"])
        return max(1, int(n_edges / max(1.0, self.samples[trajectory].cost)))

    def batch(self, trajectory: int, frames: np.ndarray) -> Batch:
        """Frames of a trajectory as one batch on the CPU, in pinned memory for a GPU."""
        return self.samples[trajectory].batch(
            frames,
            self.species_rows[trajectory],
            self.n_hops,
            pin_memory=self.device.type == "cuda",
        )
