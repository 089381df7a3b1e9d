"""Receptive fields of the targets on a GPU, some frames at a time: `DeviceFields`.

What is found is what `_build` finds on the CPU, in the same order, bit by bit. It becomes columns
of graphs that are kept, or a batch at once.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphkoopman.graphs._search import SHELL_WIDTH
from graphkoopman.neighbors import Neighbors, device_grid, nearest_on, within_on

TYPICAL_NEIGHBORS = 32  # of a radius graph, for which bins are cut
# Bytes per atom of a frame and neighbour asked for: candidates twice, with their distances and
# their order, and edges as indices and as places.
BYTES_PER_EDGE = 250
MOST_BYTES = 4 * 2**30  # of a chunk; more would not be faster


def frames_at_a_time(n_atoms: int, k: int | None, device: torch.device) -> int:
    """As many frames as half of the free memory of a device bears."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 2**30
    room = min(free // 2, MOST_BYTES)
    return max(1, room // (BYTES_PER_EDGE * n_atoms * (k or TYPICAL_NEIGHBORS)))


@dataclass(frozen=True, eq=False)
class DeviceFields:
    """Receptive fields of some frames, hop after hop: of all frames the targets, then hop 1, ….

    Attributes
    ----------
    hop_counts : Tensor of shape (n_frames, n_hops + 1), int64
        Atoms of every frame within 0, 1, … hops.
    frames, atoms : Tensor of shape (n_places,), int64
        Which atom of which frame has a place.
    degrees : Tensor of shape (n_rows,), int64
        Edges of the places up to the last hop but one.
    neighbors : Tensor of shape (n_edges,), int64
        Places at the far ends of edges, those of one row after the other, nearest first.
    distances : Tensor of shape (n_edges,), float64
        Å.
    """

    hop_counts: Tensor
    frames: Tensor
    atoms: Tensor
    degrees: Tensor
    neighbors: Tensor
    distances: Tensor

    def columns(self, n_atoms: int) -> tuple[np.ndarray, ...]:
        """Columns of `GraphTrajectory`: hop_counts, atoms, neighbors, distances and degrees."""
        # places in the order of the frames, and the place of each within its frame
        order = torch.argsort(self.frames, stable=True)
        sizes = self.hop_counts[:, -1]
        begins = (torch.cumsum(sizes, dim=0) - sizes).repeat_interleave(sizes)
        local = torch.empty_like(order)
        local[order] = torch.arange(len(order), device=order.device) - begins
        # edges of a row stay together: where they are, and where they go
        rows = torch.argsort(self.frames[: len(self.degrees)], stable=True)
        degrees = self.degrees[rows]
        from_ = (torch.cumsum(self.degrees, dim=0) - self.degrees)[rows]
        to = torch.cumsum(degrees, dim=0) - degrees
        edges = (from_ - to).repeat_interleave(degrees)
        edges += torch.arange(len(edges), device=edges.device)
        small = np.min_scalar_type(n_atoms - 1)
        return (
            _to_numpy(self.hop_counts, np.dtype(np.int32)),
            _to_numpy(self.atoms[order], small),
            _to_numpy(local[self.neighbors[edges]], small),
            _to_numpy(self.distances[edges], np.dtype(np.float32)),
            _to_numpy(degrees, np.dtype(np.int32)),
        )


def device_fields(
    positions: np.ndarray,
    cells: np.ndarray,
    periodic: bool,
    targets: np.ndarray,
    k: int | None,
    cutoff: float | None,
    n_hops: int,
    device: torch.device,
) -> DeviceFields:
    """Search the receptive fields of some frames.

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
    """
    grid, radii = device_grid(positions, cells, periodic, k or TYPICAL_NEIGHBORS, device)
    n_frames, n_atoms, _ = positions.shape

    def search(frames: Tensor, atoms: Tensor) -> Neighbors:
        if cutoff is None:
            return nearest_on(grid, frames, atoms, int(k or 0), radii, SHELL_WIDTH)
        return within_on(grid, frames, atoms, cutoff)

    first = torch.as_tensor(targets, dtype=torch.int64, device=device)
    # atoms of all frames in one row; the place of each, -1 for those that have none yet
    reached = torch.arange(n_frames, device=device).repeat_interleave(len(first)) * n_atoms
    reached = reached + first.repeat(n_frames)
    place = torch.full((n_frames * n_atoms,), -1, device=device)
    place[reached] = torch.arange(len(reached), device=device)
    hops, layers, n_places = [reached], [], len(reached)
    for _ in range(n_hops):
        frames = reached // n_atoms
        found = search(frames, reached % n_atoms)
        far = frames.repeat_interleave(found.degrees) * n_atoms + found.atoms
        reached = _in_order_of_appearance(far, place)
        place[reached] = n_places + torch.arange(len(reached), device=device)
        n_places += len(reached)
        layers.append((found.degrees, place[far], found.distances))
        hops.append(reached)
    degrees, neighbors, distances = (torch.cat(parts) for parts in zip(*layers, strict=True))
    added = torch.stack([torch.bincount(hop // n_atoms, minlength=n_frames) for hop in hops], dim=1)
    every = torch.cat(hops)
    return DeviceFields(
        hop_counts=torch.cumsum(added, dim=1),
        frames=every // n_atoms,
        atoms=every % n_atoms,
        degrees=degrees,
        neighbors=neighbors,
        distances=distances,
    )


def _in_order_of_appearance(far: Tensor, place: Tensor) -> Tensor:
    """Atoms at the ends of edges that have no place yet, (n_new,), as a queue would list them."""
    edges = torch.nonzero(place[far] < 0).squeeze(1)
    # the first edge that ends at an atom: the least does not depend on who comes first
    first = torch.full_like(place, len(far))
    first.scatter_reduce_(0, far[edges], edges, "amin")
    new = torch.nonzero(first < len(far)).squeeze(1)
    return new[torch.argsort(first[new])]


def _to_numpy(values: Tensor, dtype: np.dtype) -> np.ndarray:
    """As many bytes as the type has are copied; torch has few unsigned integers."""
    if dtype.kind in "iu":
        signed = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
        values = values.to(signed[dtype.itemsize])
    else:
        values = values.float()
    if values.is_cuda:  # by way of memory that the GPU writes by itself, many times faster
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        return host.copy_(values).numpy().view(dtype)
    return values.numpy().view(dtype)
