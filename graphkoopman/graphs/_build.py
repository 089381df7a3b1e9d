"""Receptive fields of the targets, frame by frame, compiled."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed

from graphkoopman._compiling import njit
from graphkoopman.devices import device_of, warn_without_triton
from graphkoopman.graphs._directions import edge_directions
from graphkoopman.graphs._search import nearest_shells, whole_shells, with_species
from graphkoopman.graphs._species import nearest_of_species
from graphkoopman.graphs._trajectory import GraphTrajectory
from graphkoopman.neighbors import (
    build_grid,
    check_not_nanometre,
    k_nearest,
    occupancy_for_cutoff,
    occupancy_for_nearest,
    within_of,
)
from graphkoopman.trajectories import Targets, Trajectory, check_not_fractional

if TYPE_CHECKING:
    import torch

CHUNK_BYTES = 32 * 2**20  # worst-case edges of one chunk of frames
BYTES_PER_EDGE = 12  # four of an index, four of a distance, and four of what is kept beside them
MOST_FRAMES = 5000  # of a chunk
ONE_ATOM = np.zeros(1, np.int64)


def build_graphs(
    trajectory: Trajectory,
    targets: Targets,
    *,
    n_neighbors: int | None = 20,
    cutoff: float | None = None,
    n_per_species: int = 0,
    n_hops: int = 3,
    directions: bool = False,
    species: np.ndarray | None = None,
    levels: Mapping[str, np.ndarray] | None = None,
    n_jobs: int | None = None,
    device: str = "cpu",
) -> GraphTrajectory:
    """Neighbour graphs of everything that ``n_hops`` convolutions over the targets can see.

    Parameters
    ----------
    trajectory : Trajectory
    targets : Targets
    n_neighbors : int or None
        M nearest neighbours per atom, periodic images counted separately, and all others at the
        distance of the last: a shell is taken whole, or which of its atoms are neighbours would
        be chance, and equivalent sites would differ.
    cutoff : float or None
        Å, all neighbours nearer than it; exactly one of the two is given.
    n_per_species : int
        Neighbours that the atoms of targets have of every node type at least, however far.
    n_hops : int
        Number of convolutions to support.
    directions : bool
        Whether to store a unit vector per edge.
    species : ndarray of shape (n_atoms,) or None
        Node types; None takes the atomic numbers.
    levels : mapping of str to ndarray of shape (n_atoms,), int, or None
        Groups of atoms for pooling, residues say, by name.
    n_jobs : int or None
        Threads over chunks of frames, joblib's convention.
    device : str
        Where neighbours are searched; they are the same everywhere.

    Returns
    -------
    GraphTrajectory

    Raises
    ------
    ValueError
        If a non-periodic system has fewer than ``n_neighbors + 1`` atoms, or distances look like
        nanometres.
    """
    check_searchable(trajectory, n_neighbors)
    return graphs_of(
        trajectory,
        targets,
        n_neighbors=n_neighbors,
        cutoff=cutoff,
        n_per_species=n_per_species,
        n_hops=n_hops,
        directions=directions,
        species=species,
        levels=levels,
        n_jobs=n_jobs,
        device=device,
    )


def graphs_of(
    trajectory: Trajectory,
    targets: Targets,
    *,
    n_neighbors: int | None,
    cutoff: float | None,
    n_hops: int,
    species: np.ndarray | None,
    n_jobs: int | None,
    n_per_species: int = 0,
    directions: bool = False,
    levels: Mapping[str, np.ndarray] | None = None,
    device: str = "cpu",
    chunk_bytes: int = CHUNK_BYTES,
) -> GraphTrajectory:
    """`build_graphs` of a trajectory that has been checked, in chunks of a given size."""
    k = None if n_neighbors is None else int(n_neighbors)
    cutoff = None if cutoff is None else float(cutoff)
    labels = trajectory.species if species is None else np.asarray(species)
    kinds = np.unique(labels, return_inverse=True)[1]
    gpu = None if n_per_species else gpu_of(device)
    if gpu is None:
        how = targets.atoms, k, cutoff, kinds, int(n_per_species), n_hops
        chunks = _on_threads(trajectory, how, n_jobs, chunk_bytes)
    else:
        chunks = _on_device(trajectory, (targets.atoms, k, cutoff, n_hops), gpu)
    hop_counts, atoms, neighbors, distances, degrees = (
        np.concatenate(parts) for parts in zip(*chunks, strict=True)
    )
    row_offsets = offsets_of(hop_counts[:, -2])
    # (n_frames,): edges of a frame are those of its rows, atoms that messages are sent to
    edges = np.diff(offsets_of(degrees)[row_offsets])
    most_atoms = int(hop_counts[:, -1].max())
    graphs = GraphTrajectory(
        hop_counts=hop_counts,
        atom_offsets=offsets_of(hop_counts[:, -1]),
        edge_offsets=offsets_of(edges),
        atoms=atoms.astype(np.min_scalar_type(trajectory.n_atoms - 1), copy=False),
        neighbors=neighbors.astype(np.min_scalar_type(most_atoms - 1), copy=False),
        distances=distances,
        degrees=None if k and np.all(degrees == k) else degrees,
        species=labels,
        target_offsets=targets.offsets,
        n_neighbors=k,
        cutoff=cutoff,
        n_per_species=int(n_per_species),
        timestep=trajectory.timestep,
        parent=trajectory.parent,
        start=trajectory.start,
        levels=np.stack(list(levels.values())) if levels else None,
        level_names=np.array(list(levels)) if levels else None,
    )
    if not directions:
        return graphs
    return replace(graphs, directions=edge_directions(trajectory, graphs, n_jobs))


def _on_threads(
    trajectory: Trajectory, how: tuple[Any, ...], n_jobs: int | None, chunk_bytes: int
) -> list[tuple[np.ndarray, ...]]:
    """Columns of chunks of frames, found by the compiled search."""
    first = _chunk_of_graphs(trajectory, slice(0, 1), *how)
    # edges per atom, of a radius graph from its first frame: how many frames fit a chunk
    degree = how[1] or max(2 * len(first[2]) // max(1, len(first[1])), 16)
    size = chunk_bytes // (trajectory.n_atoms * degree * BYTES_PER_EDGE)
    slices = _chunks(trajectory, min(size, MOST_FRAMES))
    chunks: list[tuple[np.ndarray, ...]] = Parallel(n_jobs=n_jobs, require="sharedmem")(
        delayed(_chunk_of_graphs)(trajectory, frames, *how) for frames in slices
    )
    return chunks


def _on_device(
    trajectory: Trajectory,
    how: tuple[np.ndarray, int | None, float | None, int],
    gpu: "torch.device",
) -> list[tuple[np.ndarray, ...]]:
    """The same found on a GPU."""
    from graphkoopman.graphs._gpu_fields import device_fields, frames_at_a_time

    size = frames_at_a_time(trajectory.n_atoms, how[1], gpu)
    chunks = []
    for frames in _chunks(trajectory, size):
        cells, periodic = _lattice(trajectory, frames)
        fields = device_fields(trajectory.positions[frames], cells, periodic, *how, gpu)
        chunks.append(fields.columns(trajectory.n_atoms))
    return chunks


@lru_cache
def gpu_of(device: str) -> "torch.device | None":
    """The GPU behind a ``device`` parameter that Triton runs on; None takes the CPU.

    Where torch sees a GPU that Triton does not run on, a warning says so, once.
    """
    if device == "cpu":
        return None
    place = device_of(device)
    if place.type != "cuda":
        return None
    try:
        from graphkoopman.graphs._gpu_fields import device_fields

        # one atom among its own images: what is compiled for it serves whatever comes
        device_fields(np.zeros((1, 1, 3)), np.eye(3)[None], True, ONE_ATOM, 1, None, 1, place)
    except Exception as error:  # no Triton, no compiler or headers for it, a GPU it does not know
        warn_without_triton(
            place,
            error,
            "neighbours are searched on the CPU; install what is missing, or pass device='cpu'",
        )
        return None
    return place


def _lattice(trajectory: Trajectory, frames: slice) -> tuple[np.ndarray, bool]:
    """Cells (n_frames or 1, 3, 3), zeros where there is none, and whether there is one."""
    if trajectory.cell is None:
        return np.zeros((1, 3, 3)), False
    cells = trajectory.cell[None] if trajectory.cell.ndim == 2 else trajectory.cell[frames]
    return np.ascontiguousarray(cells), True


def check_searchable(trajectory: Trajectory, n_neighbors: int | None) -> None:
    """Raise if atoms are fewer than neighbours, or seem to be in nm."""
    if n_neighbors is not None:
        _check_enough_atoms(trajectory, n_neighbors)
    _check_angstrom(trajectory)


def _check_enough_atoms(trajectory: Trajectory, n_neighbors: int) -> None:
    if trajectory.cell is None and trajectory.n_atoms < n_neighbors + 1:
        raise ValueError(
            f"n_neighbors={n_neighbors} needs at least {n_neighbors + 1} atoms without a periodic "
            f"cell, got {trajectory.n_atoms}; lower n_neighbors or give the cell"
        )


def _check_angstrom(trajectory: Trajectory) -> None:
    # before any graph: a cutoff meant in Å would find a thousand times too many neighbours in nm
    if trajectory.cell is None and trajectory.n_atoms == 1:
        return
    check_not_fractional(trajectory)
    cell = None if trajectory.cells is None else trajectory.cells[0]
    check_not_nanometre(k_nearest(trajectory.positions[0], cell, 1)[1])


def offsets_of(counts: np.ndarray) -> np.ndarray:
    """Where each of consecutive blocks starts, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _chunks(trajectory: Trajectory, size: int) -> Iterator[slice]:
    size = max(1, size)
    for begin in range(0, trajectory.n_frames, size):
        yield slice(begin, min(begin + size, trajectory.n_frames))


def _chunk_of_graphs(
    trajectory: Trajectory,
    frames: slice,
    target_atoms: np.ndarray,
    k: int | None,
    cutoff: float | None,
    kinds: np.ndarray,
    n_per_species: int,
    n_hops: int,
) -> tuple[np.ndarray, ...]:
    positions = np.ascontiguousarray(trajectory.positions[frames], dtype=np.float64)
    n_frames, n_atoms, _ = positions.shape
    system = positions, *_lattice(trajectory, frames), target_atoms.astype(np.int64)
    # None, not an empty list: what is not asked for is not compiled
    of_species = nearest_of_species(*system, kinds, n_per_species) if n_per_species else None
    hop_counts = np.empty((n_frames, n_hops + 1), np.int32)
    atoms = np.empty(n_frames * n_atoms, np.uint32)
    degrees = np.empty(n_frames * n_atoms, np.int32)
    capacity = n_frames * n_atoms * (k or 64)
    while True:
        neighbors = np.empty(capacity, np.uint32)
        distances = np.empty(capacity, np.float32)
        n_stored, n_rows, n_edges = _receptive_fields(
            *system,
            k or 64,
            cutoff,
            of_species,
            np.full(n_atoms, -1),
            hop_counts,
            atoms,
            degrees,
            neighbors,
            distances,
        )
        if n_edges <= capacity:
            break
        capacity = n_edges  # of radius graphs and whole shells: now their number is known
    # the smallest types per chunk keep the peak low; chunks are brought to one type at the end
    small = np.min_scalar_type(n_atoms - 1)
    return (
        hop_counts,
        atoms[:n_stored].astype(small),
        neighbors[:n_edges].astype(small),
        distances[:n_edges].copy(),
        degrees[:n_rows].copy(),
    )


@njit(cache=True, nogil=True)
def _receptive_fields(
    positions, cells, periodic, targets, size, cutoff, of_species, local, hop_counts, atoms,
    degrees, neighbors, distances,
):  # fmt: skip
    """Fill hop-ordered atoms and edges of a chunk of frames; return how many there are.

    A frame's atoms are a growing queue: the targets, then every neighbour not seen before in the
    order found. Atoms up to hop ``n_hops - 1`` are searched, atoms at hop ``n_hops`` only listed.
    ``size`` is the number of neighbours of every atom, and ``cutoff`` None, which leaves the other
    search out of what is compiled; or there is a cutoff, and room for so many at first.
    ``of_species`` is what `nearest_of_species` found, or None. ``local`` is -1 for all atoms of the
    system. The numbers returned are of atoms, of rows (atoms that were searched) and of edges,
    which may exceed the room there is.
    """
    n_frames, n_atoms, _ = positions.shape
    n_hops, capacity = hop_counts.shape[1] - 1, len(neighbors)
    # of nearest neighbours one more than asked for, to see whether it is of the last one's shell
    index, distance = np.empty(size + 1, np.int64), np.empty(size + 1, np.float64)
    n_stored, n_rows, n_edges = 0, 0, 0
    for f in range(n_frames):
        cell = cells[min(f, len(cells) - 1)]
        if cutoff is None:
            occupancy = occupancy_for_nearest(size)
        else:
            occupancy = occupancy_for_cutoff(n_atoms, cell, periodic, cutoff)
        grid = build_grid(positions[f], cell, periodic, occupancy)
        # hop 0: the targets themselves, numbered in their own order
        for i in range(len(targets)):
            atoms[n_stored + i] = targets[i]
            local[targets[i]] = i
        queue = len(targets)
        hop_counts[f, 0] = queue
        row = 0
        for hop in range(1, n_hops + 1):
            # search every atom that the hop before has listed; it may list new ones
            while row < hop_counts[f, hop - 1]:
                atom = np.int64(atoms[n_stored + row])
                if cutoff is None:
                    found = nearest_shells(atom, grid, size, index, distance)
                    others, lengths = index, distance
                    if found == 0:
                        found, others, lengths = whole_shells(atom, grid, size)
                else:
                    found = within_of(atom, grid, cutoff, index, distance)
                    if found > len(index):
                        index = np.empty(2 * found, np.int64)
                        distance = np.empty(2 * found, np.float64)
                        found = within_of(atom, grid, cutoff, index, distance)
                    others, lengths = index, distance
                if of_species is not None and row < len(targets):
                    found, others, lengths = with_species(
                        f, row, of_species, size, cutoff, found, others, lengths
                    )
                for j in range(found):
                    neighbor = others[j]
                    # not seen before in this frame: next place in the queue
                    if local[neighbor] < 0:
                        local[neighbor] = queue
                        atoms[n_stored + queue] = neighbor
                        queue += 1
                    # without room, edges are counted only, and the caller makes room for all
                    if n_edges < capacity:
                        neighbors[n_edges] = local[neighbor]
                        distances[n_edges] = lengths[j]
                    n_edges += 1
                degrees[n_rows] = found
                n_rows += 1
                row += 1
            hop_counts[f, hop] = queue
        # leave `local` as it came, at the cost of the atoms seen, not of all atoms
        for i in range(queue):
            local[atoms[n_stored + i]] = -1
        n_stored += queue
    return n_stored, n_rows, n_edges
