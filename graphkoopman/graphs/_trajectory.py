"""`GraphTrajectory`: the receptive fields of all frames of one trajectory, flat and sliceable."""

import os
from dataclasses import dataclass, replace

import numpy as np

from graphkoopman.graphs._file import KINDS, SCALARS, read_graphs, write_graphs
from graphkoopman.storage import digest
from graphkoopman.trajectories import adjacent_runs


@dataclass(frozen=True, eq=False, repr=False)
class GraphTrajectory:
    """Neighbour graphs of the targets' receptive field, frame after frame.

    Flat arrays with offsets, so that a contiguous slice is a view and a file can be mapped.

    Attributes
    ----------
    hop_counts : ndarray of shape (n_frames, n_hops + 1), int32
        Atoms within 0, 1, … hops of a target; column 0 is the number of target atoms.
    atom_offsets, edge_offsets : ndarray of shape (n_frames + 1,), int64
        Where a frame starts in ``atoms`` and in ``neighbors``.
    atoms : ndarray of shape (n_stored_atoms,), unsigned integer
        Atom of the trajectory behind every stored atom, in hop order within a frame.
    neighbors : ndarray of shape (n_edges,), unsigned integer
        Position of the neighbour among the frame's stored atoms; edges of the first
        ``hop_counts[:, -2]`` atoms of the frame, one atom after the other, nearest first.
    distances : ndarray of shape (n_edges,), float32
        Å.
    degrees : ndarray of shape (n_rows,) or None
        Number of neighbours of every atom that has edges; None where it is ``n_neighbors``.
    species : ndarray of shape (n_atoms,)
        Node type of every atom of the trajectory: atomic numbers or labels.
    target_offsets : ndarray of shape (n_targets + 1,), int64
        Where a target starts among the target atoms.
    n_neighbors : int or None
        M of the M-nearest graph.
    cutoff : float or None
        Å, of the radius graph; exactly one of the two is set.
    timestep : float
        ps per frame.
    parent, start : str or None, int
        The run this is a piece of, and the frame of the run it starts at.
    """

    hop_counts: np.ndarray
    atom_offsets: np.ndarray
    edge_offsets: np.ndarray
    atoms: np.ndarray
    neighbors: np.ndarray
    distances: np.ndarray
    degrees: np.ndarray | None
    species: np.ndarray
    target_offsets: np.ndarray
    n_neighbors: int | None
    cutoff: float | None
    timestep: float
    parent: str | None = None
    start: int = 0

    def __len__(self) -> int:
        return len(self.hop_counts)

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self)

    @property
    def n_hops(self) -> int:
        """Number of convolutions that the graphs support."""
        return self.hop_counts.shape[1] - 1

    @property
    def n_targets(self) -> int:
        """Number of targets per frame."""
        return len(self.target_offsets) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, in memory or mapped."""
        return sum(array.nbytes for array in self._arrays().values())

    @property
    def row_offsets(self) -> np.ndarray:
        """Where a frame starts in ``degrees``, (n_frames + 1,) int64."""
        return np.concatenate([[0], np.cumsum(self.hop_counts[:, -2], dtype=np.int64)])

    def __repr__(self) -> str:
        kind = f"n_neighbors={self.n_neighbors}" if self.n_neighbors else f"cutoff={self.cutoff} Å"
        return (
            f"GraphTrajectory({len(self)} frames of {self.timestep:g} ps, {self.n_targets} "
            f"targets, {kind}, n_hops={self.n_hops}, {self.nbytes / 2**20:.1f} MiB)"
        )

    def __getitem__(self, index: slice) -> "GraphTrajectory":
        """Contiguous frames as a view.

        Raises
        ------
        TypeError
            If the index is not a slice of step one.
        """
        if not isinstance(index, slice) or index.step not in (None, 1):
            raise TypeError(
                f"GraphTrajectory takes contiguous slices, got {index!r}; use graphs[a:b], and "
                "thin out the Trajectory before building graphs"
            )
        begin, stop, _ = index.indices(len(self))
        stop = max(begin, stop)
        atom = self.atom_offsets[begin : stop + 1]
        edge = self.edge_offsets[begin : stop + 1]
        degrees = self.degrees
        if degrees is not None:
            rows = self.row_offsets
            degrees = degrees[rows[begin] : rows[stop]]
        return replace(
            self,
            hop_counts=self.hop_counts[begin:stop],
            atom_offsets=atom - atom[0],
            edge_offsets=edge - edge[0],
            atoms=self.atoms[atom[0] : atom[-1]],
            neighbors=self.neighbors[edge[0] : edge[-1]],
            distances=self.distances[edge[0] : edge[-1]],
            degrees=degrees,
            start=self.start + begin,
        )

    def save(self, path: str | os.PathLike) -> None:
        """Write one safetensors file, whole or not at all.

        Parameters
        ----------
        path : path
            Written beside itself first and then renamed, so an older file survives a failure.
        """
        write_graphs(path, self._arrays(), {name: getattr(self, name) for name in SCALARS})

    @classmethod
    def load(
        cls, path: str | os.PathLike, mmap: bool = False, verify: bool | None = None
    ) -> "GraphTrajectory":
        """Read a file written by `save`.

        Parameters
        ----------
        path : path
        mmap : bool
            Map the arrays instead of reading them, so that only the frames used enter memory.
        verify : bool or None
            Compare all arrays with their checksums. None does so unless the file is mapped, since
            that reads it all; its header and size are checked in any case.

        Returns
        -------
        GraphTrajectory

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is not one of ours, damaged, or of a newer version.
        """
        verify = not mmap if verify is None else verify
        return cls(**read_graphs(path, mmap=mmap, verify=verify))

    def digest(self) -> str:
        """Hash of frames and settings; which part of which run they are does not enter.

        Returns
        -------
        str
            32 hexadecimal digits.
        """
        arrays = self._arrays()
        scalars = (sorted(arrays), self.n_neighbors, self.cutoff, self.timestep)
        return digest(repr(scalars), [arrays[name] for name in sorted(arrays)])

    def _arrays(self) -> dict[str, np.ndarray]:
        values = {name: getattr(self, name) for name in KINDS}
        return {name: value for name, value in values.items() if value is not None}


def join_adjacent_graphs(pieces: list[GraphTrajectory]) -> list[GraphTrajectory]:
    """Merge pieces of one run that follow each other, so that no lagged pair is lost.

    Parameters
    ----------
    pieces : list of GraphTrajectory

    Returns
    -------
    list of GraphTrajectory
        Single pieces are returned as they are, without a copy.
    """
    runs = adjacent_runs(
        [piece.parent for piece in pieces],
        [piece.start for piece in pieces],
        [len(piece) for piece in pieces],
    )
    return [pieces[run[0]] if len(run) == 1 else _join([pieces[i] for i in run]) for run in runs]


def _join(pieces: list[GraphTrajectory]) -> GraphTrajectory:
    first = pieces[0]

    def stacked(name: str) -> np.ndarray:
        return np.concatenate([getattr(piece, name) for piece in pieces])

    def offsets(name: str) -> np.ndarray:
        sizes = np.concatenate([np.diff(getattr(piece, name)) for piece in pieces])
        return np.concatenate([[0], np.cumsum(sizes)])

    return replace(
        first,
        hop_counts=stacked("hop_counts"),
        atom_offsets=offsets("atom_offsets"),
        edge_offsets=offsets("edge_offsets"),
        atoms=stacked("atoms"),
        neighbors=stacked("neighbors"),
        distances=stacked("distances"),
        degrees=None if first.degrees is None else stacked("degrees"),
    )
