"""Neighbours of atoms of many frames at a time on a GPU: `DeviceGrid`, `nearest_on`, `within_on`.

The results are those of `nearest_of` and `within_of`, bit by bit; only bins are cut otherwise, to
suit the device.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import triton
from torch import Tensor

from graphkoopman.neighbors._gpu_kernels import LANES, collect, rank
from graphkoopman.neighbors._grid import MAX_BINS_PER_ATOM, lattices
from graphkoopman.neighbors._search import SURPLUS

# Bins are as wide as the first sphere, so that it touches few rows of them, and this many times
# shorter along the rows, where a sphere is cut at the bins that it touches.
BINS_ALONG = 4.0
# More candidates than this many times the room for them: a smaller sphere is tried first.
CROWDED = 4


@dataclass(frozen=True, eq=False)
class DeviceGrid:
    """Atoms of some frames in bins, on a device; a *slot* is as of `Grid`, through all frames.

    Attributes
    ----------
    n_atoms : int
        Of a frame.
    periodic : bool
    positions : Tensor of shape (3, n_slots), float64
        Å, wrapped into the reduced cell.
    coordinates : Tensor of shape (3, n_slots), float64
        In bins.
    atoms : Tensor of shape (n_slots,), int32
        Atom of its frame.
    slots : Tensor of shape (n_frames * n_atoms,), int64
        Slot of every atom of every frame.
    starts : Tensor of shape (n_bins of all frames + 1,), int64
    first_bins : Tensor of shape (n_frames,), int64
    shapes : Tensor of shape (n_frames, 3), int32
    widths : Tensor of shape (n_frames, 3), float64
        Å.
    boxes, packings, slacks : Tensor, float64
        Of every frame, as of `lattices`.
    """

    n_atoms: int
    periodic: bool
    positions: Tensor
    coordinates: Tensor
    atoms: Tensor
    slots: Tensor
    starts: Tensor
    first_bins: Tensor
    shapes: Tensor
    widths: Tensor
    boxes: Tensor
    packings: Tensor
    slacks: Tensor


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Neighbours of some atoms, one atom after the other, nearest first.

    Attributes
    ----------
    degrees : Tensor of shape (n_rows,), int64
    atoms : Tensor of shape (n_edges,), int64
        Of the frame of the atom whose neighbours they are.
    distances : Tensor of shape (n_edges,), float64
        Å.
    """

    degrees: Tensor
    atoms: Tensor
    distances: Tensor


def device_grid(
    positions: np.ndarray, cells: np.ndarray, periodic: bool, k: int, device: torch.device
) -> tuple[DeviceGrid, Tensor]:
    """Sort the atoms of some frames into bins, on a device.

    Parameters
    ----------
    positions : ndarray of shape (n_frames, n_atoms, 3)
        In Å, wrapped or not, all finite.
    cells : ndarray of shape (n_frames or 1, 3, 3), float64
        Lattice vectors in rows, Å.
    periodic : bool
    k : int
        Neighbours that will be asked for, about; it changes the speed only.
    device : torch.device

    Returns
    -------
    grid : DeviceGrid
    radii : Tensor of shape (n_frames,), float64
        Å, of spheres in which `SURPLUS` times k neighbours are expected.
    """
    n_frames, n_atoms, _ = positions.shape
    # only a box around the atoms is made from positions
    doubles = positions[:0].astype(np.float64) if periodic else positions.astype(np.float64)
    boxes, origins, normals, heights, volumes, packings, slacks = lattices(doubles, cells, periodic)
    radii = _first_radii(SURPLUS * k / n_atoms, heights, volumes, periodic)
    shapes = _bins_per_axis(heights, radii, n_atoms)

    def on_device(array: np.ndarray) -> Tensor:
        """Of every frame, where one row may stand for all."""
        rows = np.broadcast_to(array, (n_frames, *array.shape[1:]))
        return torch.from_numpy(rows.copy()).to(device)

    shape, box = on_device(shapes), on_device(boxes)
    height = on_device(heights)
    given = torch.from_numpy(positions.copy()).to(device).double() - on_device(origins)[:, None]
    wrapped, fractions = _wrap(given, box, on_device(normals), height, periodic)
    coordinates = fractions * shape.T.unsqueeze(-1)
    # the upper border of a bounding box belongs to the last bin
    place = torch.minimum(coordinates.long(), shape.T.unsqueeze(-1) - 1)
    n_bins = shape.long().prod(dim=1)
    ends = torch.cumsum(n_bins, dim=0)
    first_bins = ends - n_bins
    across, along = shape[:, 1, None], shape[:, 2, None]
    bins = first_bins[:, None] + (place[0] * across + place[1]) * along + place[2]
    order = torch.argsort(bins.flatten(), stable=True)
    slots = torch.empty_like(order)
    slots[order] = torch.arange(len(order), device=device)
    counted = torch.bincount(bins.flatten(), minlength=int(ends[-1]))
    grid = DeviceGrid(
        n_atoms=n_atoms,
        periodic=periodic,
        positions=wrapped.reshape(3, -1)[:, order].contiguous(),
        coordinates=coordinates.reshape(3, -1)[:, order].contiguous(),
        atoms=(order % n_atoms).int(),
        slots=slots,
        starts=torch.nn.functional.pad(torch.cumsum(counted, dim=0), (1, 0)),
        first_bins=first_bins,
        shapes=shape.int(),
        widths=height / shape,
        boxes=box,
        packings=on_device(packings),
        slacks=on_device(slacks),
    )
    return grid, on_device(radii)


def nearest_on(
    grid: DeviceGrid, frames: Tensor, atoms: Tensor, k: int, radii: Tensor, shell: float
) -> Neighbors:
    """The k nearest neighbours of atoms, and all others at the distance of the last of them.

    Parameters
    ----------
    grid : DeviceGrid
    frames, atoms : Tensor of shape (n_rows,), int64
    k : int
        At most as many as there are others, without a cell.
    radii : Tensor of shape (n_frames,), float64
        Å, of the spheres to begin with, as `device_grid` gives them.
    shell : float
        Å: neighbours that are farther than the last one by less are as far.
    """
    radii = radii[frames]
    centers = grid.slots[frames * grid.n_atoms + atoms]
    todo = torch.arange(len(frames), device=frames.device)
    shrunk = torch.zeros(len(frames), dtype=torch.bool, device=frames.device)
    expected = SURPLUS * k
    # five standard deviations of what a sphere holds by chance
    capacity = triton.next_power_of_2(math.ceil(expected + 5.0 * math.sqrt(expected)))
    parts = []
    while len(todo):
        radius = radii[todo]
        counts, found, distances = _candidates(grid, centers[todo], frames[todo], radius, capacity)
        last = distances[:, k - 1]
        inside = torch.arange(capacity, device=frames.device) < counts[:, None]
        degrees = ((distances <= (last + shell)[:, None]) & inside).sum(dim=1)
        # what is beyond the sphere is farther than the shell of the last, or there is nothing
        beyond = (last + 2.0 * shell <= radius) | (counts == grid.n_atoms - 1) & (not grid.periodic)
        crowded = counts > capacity
        done = ~crowded & (counts >= k) & beyond
        parts.append((todo[done], degrees[done], found[done], distances[done]))
        # widen from scratch, as on the CPU; a sphere far too crowded shrinks, once
        growth = (expected / (counts + 1.0)).pow(1.0 / 3.0)
        shrinks = (counts > CROWDED * capacity) & ~shrunk[todo]
        factor = torch.where(crowded, torch.ones_like(growth), growth.clamp(1.2, 2.0))
        radii[todo] = radius * torch.where(shrinks, growth, factor)
        shrunk[todo] |= shrinks
        most = int(torch.where(shrinks, 0, counts).max())
        capacity = max(capacity, triton.next_power_of_2(most))
        todo = todo[~done]
    return _joined(torch.empty_like(frames), parts)


def within_on(grid: DeviceGrid, frames: Tensor, atoms: Tensor, cutoff: float) -> Neighbors:
    """All neighbours of atoms that are nearer than a cutoff, in Å."""
    centers = grid.slots[frames * grid.n_atoms + atoms]
    todo = torch.arange(len(frames), device=frames.device)
    radii = torch.full((len(frames),), cutoff, dtype=torch.float64, device=frames.device)
    capacity = 2 * LANES
    parts = []
    while len(todo):
        counts, found, distances = _candidates(
            grid, centers[todo], frames[todo], radii[todo], capacity
        )
        inside = torch.arange(capacity, device=frames.device) < counts[:, None]
        # a square below cutoff² may have a root that rounds up to the cutoff
        degrees = ((distances < cutoff) & inside).sum(dim=1)
        done = counts <= capacity
        parts.append((todo[done], degrees[done], found[done], distances[done]))
        todo = todo[~done]
        capacity = max(capacity, triton.next_power_of_2(int(counts.max())))
    return _joined(torch.empty_like(frames), parts)


def _candidates(
    grid: DeviceGrid, centers: Tensor, frames: Tensor, radii: Tensor, capacity: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Number, atoms and distances of what is in spheres: (n,), and (n, capacity) twice, sorted.

    More than the capacity are counted, and which of them are given is left to chance.
    """
    n = len(centers)
    counts = torch.empty(n, dtype=torch.int32, device=centers.device)
    atoms, ranked = torch.zeros((2, n, capacity), dtype=torch.int32, device=centers.device)
    squares, sorted_squares = torch.zeros(
        (2, n, capacity), dtype=torch.float64, device=centers.device
    )
    tables = [grid.atoms, grid.starts, grid.first_bins, grid.shapes, grid.widths, grid.boxes]
    with torch.cuda.device_of(counts):
        # float64 with fused operations would round otherwise than the CPU
        collect[(n,)](
            centers, frames, radii, *grid.positions, grid.coordinates, *tables, grid.packings,
            grid.slacks, counts, atoms, squares, len(grid.atoms), int(grid.periodic), capacity,
            LANES, num_warps=1, enable_fp_fusion=False,
        )  # fmt: skip
        rank[(n,)](counts, atoms, squares, ranked, sorted_squares, capacity, num_warps=2)
    return counts, ranked, sorted_squares.sqrt()


def _joined(degrees: Tensor, parts: list[tuple[Tensor, Tensor, Tensor, Tensor]]) -> Neighbors:
    """Neighbours in the order of the rows, of parts (rows, degrees, atoms, distances)."""
    device = degrees.device
    for rows, degree, *_ in parts:
        degrees[rows] = degree
    ends = torch.cumsum(degrees, dim=0)
    n_edges = int(degrees.sum())
    atoms = torch.empty(n_edges, dtype=torch.int64, device=device)
    distances = torch.empty(n_edges, dtype=torch.float64, device=device)
    for rows, degree, found, lengths in parts:
        places = torch.arange(found.shape[1], device=device)
        kept = places < degree[:, None]
        edges = ((ends - degrees)[rows][:, None] + places)[kept]
        atoms[edges] = found[kept].long()
        distances[edges] = lengths[kept]
    return Neighbors(degrees, atoms, distances)


def _wrap(
    positions: Tensor, boxes: Tensor, normals: Tensor, heights: Tensor, periodic: bool
) -> tuple[Tensor, Tensor]:
    """Positions in Å, wrapped if periodic, and as fractions, both (3, n_frames, n_atoms).

    The CPU's operations in its order, none fused, so the same bits.
    """
    wrapped = positions.permute(2, 0, 1).contiguous()
    fractions = torch.stack([
        _dot(wrapped, normals[:, axis].T.unsqueeze(-1)) / heights[:, axis, None]
        for axis in range(3)
    ])  # fmt: skip
    if not periodic:
        return wrapped, fractions
    images = torch.floor(fractions)
    fractions = fractions - images
    # a coordinate just below zero rounds up to one: the atom is left on the border
    images += fractions >= 1.0
    fractions[fractions >= 1.0] = 0.0
    for axis in range(3):
        wrapped -= images[axis] * boxes[:, axis].T.unsqueeze(-1)
    return wrapped, fractions


def _first_radii(
    share: float, heights: np.ndarray, volumes: np.ndarray, periodic: bool
) -> np.ndarray:
    """Å, (n,): of spheres in which a share of the atoms of a cell is expected."""
    # a sphere in a volume V holds the share at 4πr³/3 = share V
    radii = np.cbrt(0.75 / math.pi * share * volumes)
    if periodic:
        return radii
    # atoms in a plane or on a line: a disc in the two longest sides, or a piece of the longest
    _, middle, longest = np.sort(heights, axis=1).T
    discs = np.sqrt(share * middle * longest / math.pi)
    return np.maximum(np.maximum(radii, discs), 0.5 * share * longest)


def _bins_per_axis(heights: np.ndarray, radii: np.ndarray, n_atoms: int) -> np.ndarray:
    """Bins along each axis, (n, 3) int64: as wide as the radius, and narrower along the rows."""
    shapes = np.maximum(1, np.floor(heights / radii[:, None] * [1.0, 1.0, BINS_ALONG] + 1e-9))
    while np.any(many := shapes.prod(axis=1) > MAX_BINS_PER_ATOM * n_atoms):
        shapes[many] = np.maximum(1, np.floor(shapes[many] / 2.0))
    return shapes.astype(np.int64)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Of vectors along the first axis, in the CPU's order of operations."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
