"""Receptive fields of the targets on a GPU, some frames at a time: `device_fields`.

What it finds is what `_build` finds on the CPU, in the same order, bit by bit.
"""

import numpy as np
import torch
from torch import Tensor

from graphkoopman.graphs._search import SHELL_WIDTH
from graphkoopman.neighbors._gpu_search import (
    Neighbors,
    device_grid,
    nearest_on,
    within_on,
)

TYPICAL_NEIGHBORS = 32  # of a radius graph, for which bins are cut
# Bytes per atom of a frame and neighbour asked for: candidates twice, with their distances and
# their order, and edges as indices and as places.
BYTES_PER_EDGE = 250


def frames_at_a_time(n_atoms: int, k: int | None, device: torch.device) -> int:
    """As many frames as half of the free memory of a device bears."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 2**30
    return max(1, free // 2 // (BYTES_PER_EDGE * n_atoms * (k or TYPICAL_NEIGHBORS)))


def device_fields(
    positions: np.ndarray,
    cells: np.ndarray,
    periodic: bool,
    targets: np.ndarray,
    k: int | None,
    cutoff: float | None,
    n_hops: int,
    device: torch.device,
) -> tuple[np.ndarray, ...]:
    """Hop-ordered atoms and edges of some frames.

    Parameters
    ----------
    positions : ndarray of shape (n_frames, n_atoms, 3)
        Å.
    cells : ndarray of shape (n_frames or 1, 3, 3), float64
        Å.
    periodic : bool
    targets : ndarray of shape (n_targets,), int
        Atoms, each once.
    k : int or None
        Neighbours of every atom, or None for all within the cutoff.
    cutoff : float or None
        Å.
    n_hops : int
    device : torch.device

    Returns
    -------
    hop_counts, atoms, neighbors, distances, degrees : ndarray
        Columns of `GraphTrajectory`.
    """
    grid, radii = device_grid(positions, cells, periodic, k or TYPICAL_NEIGHBORS, device)
    n_frames, n_atoms, _ = positions.shape

    def search(frames: Tensor, atoms: Tensor) -> Neighbors:
        if cutoff is None:
            return nearest_on(grid, frames, atoms, int(k or 0), radii, SHELL_WIDTH)
        return within_on(grid, frames, atoms, cutoff)

    first = torch.as_tensor(targets, dtype=torch.int64, device=device)
    atoms = first.repeat(n_frames)
    frames = torch.arange(n_frames, device=device).repeat_interleave(len(first))
    # place of every atom of every frame in the frame's queue, -1 for those not in it
    local = torch.full((n_frames * n_atoms,), -1, device=device)
    local[frames * n_atoms + atoms] = torch.arange(len(first), device=device).repeat(n_frames)
    counts = [torch.full((n_frames,), len(first), device=device)]
    queue, layers = [(frames, atoms)], []
    for _ in range(n_hops):
        found = search(frames, atoms)
        # atoms of all frames in one row: (n_edges,)
        far = frames.repeat_interleave(found.degrees) * n_atoms + found.atoms
        new = _in_order_of_appearance(far, local)
        frames, atoms = new // n_atoms, new % n_atoms
        added = torch.bincount(frames, minlength=n_frames)
        start = torch.cumsum(added, dim=0) - added
        local[new] = (counts[-1] - start)[frames] + torch.arange(len(new), device=device)
        counts.append(counts[-1] + added)
        layers.append((queue[-1][0], found.degrees, local[far], found.distances))
        queue.append((frames, atoms))
    return _frame_by_frame(counts, queue, layers, np.min_scalar_type(n_atoms - 1))


def _in_order_of_appearance(far: Tensor, local: Tensor) -> Tensor:
    """Atoms at the ends of edges that are in no queue yet, (n_new,), as a queue would list them."""
    edges = torch.nonzero(local[far] < 0).squeeze(1)
    # the first edge that ends at an atom: the least does not depend on who comes first
    first = torch.full_like(local, len(far))
    first.scatter_reduce_(0, far[edges], edges, "amin")
    new = torch.nonzero(first < len(far)).squeeze(1)
    return new[torch.argsort(first[new])]


def _frame_by_frame(
    counts: list[Tensor],
    queue: list[tuple[Tensor, Tensor]],
    layers: list[tuple[Tensor, Tensor, Tensor, Tensor]],
    small: np.dtype,
) -> tuple[np.ndarray, ...]:
    """Columns from what was found hop by hop, brought into the order of the frames."""
    frames, atoms = (torch.cat(parts) for parts in zip(*queue, strict=True))
    atoms = atoms[torch.argsort(frames, stable=True)]
    rows, degrees, neighbors, distances = (torch.cat(parts) for parts in zip(*layers, strict=True))
    order = torch.argsort(rows, stable=True)
    begins = (torch.cumsum(degrees, dim=0) - degrees)[order]
    degrees = degrees[order]
    # edges of a row stay together: the place of the first of them, and those after it
    starts = torch.cumsum(degrees, dim=0) - degrees
    edges = (begins - starts).repeat_interleave(degrees)
    edges += torch.arange(len(neighbors), device=edges.device)
    return (
        _to_numpy(torch.stack(counts, dim=1), np.dtype(np.int32)),
        _to_numpy(atoms, small),
        _to_numpy(neighbors[edges], small),
        distances[edges].float().cpu().numpy(),
        _to_numpy(degrees, np.dtype(np.int32)),
    )


def _to_numpy(integers: Tensor, dtype: np.dtype) -> np.ndarray:
    """As many bytes as the type has are copied; torch has few unsigned ones."""
    signed = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
    return integers.to(signed).cpu().numpy().view(dtype)
