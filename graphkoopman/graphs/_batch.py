"""`GraphBatch`: the graphs of some frames as the tensors of one forward pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from graphkoopman._compiling import njit
from graphkoopman.graphs._trajectory import GraphTrajectory
from graphkoopman.samples import tensors_to
from graphkoopman.threads import over_parts

if TYPE_CHECKING:
    from graphkoopman.graphs._gpu_fields import DeviceFields
    from graphkoopman.graphs._unstored import UnstoredGraphs

MIN_EDGES_PER_THREAD = 100_000
DTYPES = {"species": torch.int32, "neighbors": torch.int32, "distances": torch.float32}
EXTRA_EDGES = ("directions",)  # float32 columns of edges, copied where graphs have them


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """Graphs of several frames, atoms in hop order over the whole batch.

    All target atoms of all frames come first, then all atoms first reached by one hop, and so on,
    so that every convolution works on leading rows.

    Attributes
    ----------
    species : Tensor of shape (n_atoms,), int32
        Index of the node type.
    neighbors : Tensor of shape (n_edges,), int32
        Atom of the batch at the far end of every edge; edges of atom 0, then of atom 1, …
    distances : Tensor of shape (n_edges,), float32, Å
    row_offsets : ndarray of shape (n_rows + 1,), int64, or None
        Where the edges of an atom start, for radius graphs.
    hop_counts : tuple of int
        Atoms of the batch within 0, 1, …, n_conv hops.
    target_of_atom : Tensor of shape (hop_counts[0],), int64, or None
        Target (numbered through all frames) of every target atom; None for single-atom targets.
    n_frames, n_targets : int
    n_neighbors : int or None
        Number of edges of every atom where it is one number.
    directions : Tensor of shape (n_edges, 3), float32, or None
        Unit vectors from the atom to its neighbour.
    levels : Tensor of shape (n_levels, hop_counts[0]), int64, or None
        Group of every target atom per level, numbered through all targets of all frames: atoms of
        two targets are never in one group.
    axes : Tensor of shape (n_frames * n_targets, 3), float32, or None
        Unit vector of every target.
    """

    species: Tensor
    neighbors: Tensor
    distances: Tensor
    row_offsets: np.ndarray | None
    hop_counts: tuple[int, ...]
    target_of_atom: Tensor | None
    n_frames: int
    n_targets: int
    n_neighbors: int | None
    directions: Tensor | None = None
    levels: Tensor | None = None
    axes: Tensor | None = None

    @property
    def n_target_atoms(self) -> int:
        """Number of target atoms of all frames; they are the first atoms."""
        return self.hop_counts[0]

    def offsets(self, n_rows: int) -> np.ndarray:
        """Where the edges of each of the first ``n_rows`` atoms start, (n_rows + 1,) int64."""
        if self.row_offsets is not None:
            return self.row_offsets[: n_rows + 1]
        return np.arange(n_rows + 1, dtype=np.int64) * (self.n_neighbors or 0)

    def offsets_on_device(self, n_rows: int) -> Tensor:
        """`offsets` where the batch is, (n_rows + 1,) int64."""
        if self.row_offsets is not None:
            return self._row_offsets_on_device[: n_rows + 1]
        return torch.arange(n_rows + 1, device=self.neighbors.device) * (self.n_neighbors or 0)

    @cached_property
    def _row_offsets_on_device(self) -> Tensor:
        """Copied once for all convolutions."""
        return torch.from_numpy(self.row_offsets).to(self.neighbors.device)

    @cached_property
    def crowd(self) -> Tensor:
        """Edges that end at one atom, at most, (), float32; found once for all convolutions."""
        return torch.bincount(self.neighbors, minlength=1).max().float()

    def n_edges(self, n_rows: int) -> int:
        """Number of edges of the first ``n_rows`` atoms."""
        if self.row_offsets is not None:
            return int(self.row_offsets[n_rows])
        return n_rows * (self.n_neighbors or 0)

    def degrees(self, n_rows: int) -> Tensor:
        """Number of edges of each of the first ``n_rows`` atoms, (n_rows,) int64."""
        return torch.from_numpy(np.diff(self.offsets(n_rows)))

    def rows(self, n_rows: int) -> Tensor:
        """Atom at the near end of every edge of the first ``n_rows`` atoms, (n_edges,) int64."""
        near = torch.repeat_interleave(torch.arange(n_rows), self.degrees(n_rows))
        return near.to(self.neighbors.device)

    def to(self, device: torch.device | str) -> "GraphBatch":
        """Copy of the tensors on a device; from pinned memory it does not wait for the copy."""
        return tensors_to(self, device)


def collate(
    graphs: GraphTrajectory,
    frames: np.ndarray,
    species_index: np.ndarray,
    n_conv: int,
    *,
    pin_memory: bool = False,
) -> GraphBatch:
    """Graphs of some frames as one batch.

    Parameters
    ----------
    graphs : GraphTrajectory
    frames : ndarray of shape (n_frames,), int
    species_index : ndarray of shape (n_atoms,), int
        Index of the node type of every atom of the trajectory.
    n_conv : int
        Number of convolutions, at most ``graphs.n_hops``; deeper atoms are left out.
    pin_memory : bool
        Into memory that a GPU reads by itself, so that a copy there runs beside everything else.

    Returns
    -------
    GraphBatch
    """
    frames = np.asarray(frames, dtype=np.int64)
    counts = np.ascontiguousarray(graphs.hop_counts[frames, : n_conv + 1], dtype=np.int64)
    before = _hop_starts(counts)
    hop_counts = tuple(int(n) for n in counts.sum(axis=0))
    k = graphs.n_neighbors if graphs.degrees is None else None
    row_offsets = None
    if k is None:
        row_offsets = _ragged_offsets(graphs, frames, counts, before, hop_counts[n_conv - 1])
    n_edges = hop_counts[n_conv - 1] * (k or 0) if row_offsets is None else int(row_offsets[-1])

    sizes = {"species": hop_counts[n_conv], "neighbors": n_edges, "distances": n_edges}
    tensors = {
        name: torch.empty(size, dtype=DTYPES[name], pin_memory=pin_memory)
        for name, size in sizes.items()
    }
    sound = _fill_on_threads(graphs, frames, counts, before, species_index, row_offsets, tensors)
    extra = {
        name: _extra_edges(graphs, frames, counts, before, row_offsets, name, n_edges, pin_memory)
        for name in EXTRA_EDGES
        if getattr(graphs, name) is not None
    }
    if not sound:
        raise ValueError(
            "graphs must hold the atoms they point to, at finite distances, got an index or a "
            "distance out of range in one of the frames: the file is damaged, featurize again"
        )
    return GraphBatch(
        **tensors,
        row_offsets=row_offsets,
        hop_counts=hop_counts,
        target_of_atom=_target_of_atom(graphs, len(frames)),
        n_frames=len(frames),
        n_targets=graphs.n_targets,
        n_neighbors=k,
        levels=_levels(graphs, len(frames)),
        axes=None if graphs.axes is None else _axes(graphs.axes[frames]),
        **extra,
    )


def batch_on_device(
    fields: "DeviceFields", graphs: "UnstoredGraphs", frames: np.ndarray, species_index: np.ndarray
) -> GraphBatch:
    """Graphs of some frames that were searched on a GPU as one batch there, see `collate`."""
    device, k = fields.atoms.device, graphs.n_neighbors
    ragged = k is None or bool((fields.degrees != k).any())
    rows = torch.from_numpy(np.asarray(species_index, np.int32)).to(device)
    batch = GraphBatch(
        species=rows[fields.atoms],
        neighbors=fields.neighbors.int(),
        distances=fields.distances.float(),
        row_offsets=_offsets(fields.degrees.cpu().numpy()) if ragged else None,
        hop_counts=tuple(fields.hop_counts.sum(dim=0).tolist()),
        target_of_atom=_target_of_atom(graphs, len(frames)),
        n_frames=len(frames),
        n_targets=graphs.n_targets,
        n_neighbors=None if ragged else k,
        levels=_levels(graphs, len(frames)),
        axes=None if graphs.axes is None else _axes(graphs.axes[frames]),
    )
    return batch.to(device)


def _fill_on_threads(
    graphs: GraphTrajectory,
    frames: np.ndarray,
    counts: np.ndarray,
    before: np.ndarray,
    species_index: np.ndarray,
    row_offsets: np.ndarray | None,
    tensors: Mapping[str, Tensor],
) -> bool:
    """`_fill` for parts of the frames, each of which is worth a thread."""
    atom_starts = np.ascontiguousarray(graphs.atom_offsets[frames])
    edge_starts = np.ascontiguousarray(graphs.edge_offsets[frames])

    def fill(begin: int, end: int) -> bool:
        return _fill(
            counts[begin:end],
            before[begin:end],
            atom_starts[begin:end],
            edge_starts[begin:end],
            graphs.atoms,
            graphs.neighbors,
            graphs.distances,
            species_index,
            (graphs.n_neighbors or 0) if row_offsets is None else 0,
            np.zeros(1, np.int64) if row_offsets is None else row_offsets,
            *(tensors[name].numpy() for name in DTYPES),
        )

    edges_per_frame = len(tensors["distances"]) // max(1, len(frames)) + 1
    return all(over_parts(fill, len(frames), -(-MIN_EDGES_PER_THREAD // edges_per_frame)))


def _extra_edges(
    graphs: GraphTrajectory,
    frames: np.ndarray,
    counts: np.ndarray,
    before: np.ndarray,
    row_offsets: np.ndarray | None,
    name: str,
    n_edges: int,
    pin_memory: bool,
) -> Tensor:
    """A column of edges in the order of the batch."""
    column = getattr(graphs, name)
    out = torch.empty((n_edges, *column.shape[1:]), dtype=torch.float32, pin_memory=pin_memory)
    _copy_edges(
        counts,
        before,
        np.ascontiguousarray(graphs.edge_offsets[frames]),
        (graphs.n_neighbors or 0) if row_offsets is None else 0,
        np.zeros(1, np.int64) if row_offsets is None else row_offsets,
        column.reshape(len(column), -1),
        out.numpy().reshape(n_edges, -1),
    )
    return out


def _levels(graphs: "GraphTrajectory | UnstoredGraphs", n_frames: int) -> Tensor | None:
    """Groups of the target atoms, (n_levels, n_target_atoms of all frames)."""
    if graphs.levels is None:
        return None
    atoms = graphs.target_atoms
    target = np.repeat(np.arange(graphs.n_targets), np.diff(graphs.target_offsets))
    numbered = []
    for groups in graphs.levels:
        # a residue that two targets share is a group of each
        _, group = np.unique(np.stack([target, groups[atoms]]), axis=1, return_inverse=True)
        shift = np.arange(n_frames)[:, None] * (group.max() + 1)
        numbered.append((group.reshape(-1) + shift).ravel())
    return torch.from_numpy(np.stack(numbered))


def _axes(axes: np.ndarray) -> Tensor:
    """Axes of all targets of the first frame, then of the second, …"""
    return torch.from_numpy(np.asarray(axes, np.float32).reshape(-1, 3).copy())


def _hop_starts(counts: np.ndarray) -> np.ndarray:
    """Batch position of a frame's first atom of every hop, (n_frames, n_conv + 1)."""
    # (n_frames, n_conv + 1) atoms that each hop adds; a batch holds hop 0 of all frames, then hop 1
    added = np.diff(counts, axis=1, prepend=0)
    within_hop = np.cumsum(added, axis=0) - added
    hop_start = np.concatenate([[0], np.cumsum(added.sum(axis=0))[:-1]])
    return within_hop + hop_start


def _ragged_offsets(
    graphs: GraphTrajectory,
    frames: np.ndarray,
    counts: np.ndarray,
    before: np.ndarray,
    n_rows: int,
) -> np.ndarray:
    degrees = np.empty(n_rows, np.int64)
    _scatter_degrees(counts, before, graphs.row_offsets[frames], graphs.degrees, degrees)
    return _offsets(degrees)


def _offsets(degrees: np.ndarray) -> np.ndarray:
    """Where the edges of every row start, (n_rows + 1,) int64."""
    return np.concatenate([[0], np.cumsum(degrees, dtype=np.int64)])


def _target_of_atom(graphs: "GraphTrajectory | UnstoredGraphs", n_frames: int) -> Tensor | None:
    sizes = np.diff(graphs.target_offsets)
    if np.all(sizes == 1):
        return None
    target = np.repeat(np.arange(graphs.n_targets), sizes)
    offsets = np.arange(n_frames)[:, None] * graphs.n_targets
    return torch.from_numpy((target + offsets).ravel())


@njit(cache=True, nogil=True)
def _scatter_degrees(counts, before, row_starts, degrees, out):
    n_frames, n_hops = counts.shape
    for f in range(n_frames):
        low = 0
        for hop in range(n_hops - 1):
            # rows of this hop stand together in the batch, in the order of the frame
            for a in range(low, counts[f, hop]):
                out[before[f, hop] + a - low] = degrees[row_starts[f] + a]
            low = counts[f, hop]


@njit(cache=True, nogil=True)
def _fill(
    counts,
    before,
    atom_starts,
    edge_starts,
    atoms,
    neighbors,
    distances,
    species_index,
    k,
    row_offsets,
    out_species,
    out_neighbors,
    out_distances,
):
    """Copy frames into hop order; ``place`` maps a frame's stored atoms to the batch.

    Returns whether all indices and distances are in range: mapped files come here unread.
    """
    sound = True
    n_frames, n_hops = counts.shape
    most = 0
    for f in range(n_frames):
        most = max(most, counts[f, n_hops - 1])
    place = np.empty(most, np.int32)
    for f in range(n_frames):
        low = 0
        for hop in range(n_hops):
            # atoms of one hop keep their order, so one number takes them to their place
            shift = before[f, hop] - low
            for a in range(low, counts[f, hop]):
                place[a] = a + shift
                atom = atoms[atom_starts[f] + a]
                if atom < len(species_index):
                    out_species[a + shift] = species_index[atom]
                else:
                    out_species[a + shift] = 0
                    sound = False
            low = counts[f, hop]
        edge = edge_starts[f]
        # the last hop sends messages and receives none: it has no edges
        for a in range(counts[f, n_hops - 2]):
            begin = np.int64(place[a]) * k if k > 0 else row_offsets[place[a]]
            degree = k if k > 0 else row_offsets[place[a] + 1] - begin
            # slices and unsigned indices leave nothing to check at an edge
            far, to_far = neighbors[edge : edge + degree], out_neighbors[begin : begin + degree]
            along, to_along = distances[edge : edge + degree], out_distances[begin : begin + degree]
            for j in range(degree):
                to_along[j] = along[j]
            for j in range(degree):
                neighbor, distance = far[j], along[j]
                # false for NaN
                if neighbor < low and 0.0 <= distance < np.inf:
                    to_far[j] = place[np.uint32(neighbor)]
                else:
                    sound = False
            edge += degree
    return sound


@njit(cache=True, nogil=True)
def _copy_edges(counts, before, edge_starts, k, row_offsets, column, out):
    """Copy a column of edges (n_edges, n) of frames into hop order."""
    n_frames, n_hops = counts.shape
    for f in range(n_frames):
        edge = edge_starts[f]
        low = 0
        for hop in range(n_hops - 1):
            for a in range(low, counts[f, hop]):
                row = before[f, hop] + a - low
                begin = row * k if k > 0 else row_offsets[row]
                degree = k if k > 0 else row_offsets[row + 1] - begin
                out[begin : begin + degree] = column[edge : edge + degree]
                edge += degree
            low = counts[f, hop]
