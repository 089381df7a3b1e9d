"""`GraphTrajectory`: the receptive fields of all frames of one trajectory, flat and sliceable."""

import json
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from graphkoopman.trajectories import adjacent_runs

FORMAT = "graphkoopman-graphs"
FORMAT_VERSION = 1
ARRAYS = (
    "hop_counts",
    "atom_offsets",
    "edge_offsets",
    "atoms",
    "neighbors",
    "distances",
    "degrees",
    "species",
    "target_offsets",
)
# safetensors' names of the types that our arrays, labels among them, can have
DTYPES = {"BOOL": "?", "F32": "<f4"}
DTYPES |= {f"{kind.upper()}{8 * n}": f"<{kind}{n}" for kind in "iu" for n in (1, 2, 4, 8)}
SCALARS = ("n_neighbors", "cutoff", "timestep", "parent", "start")


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
        path = Path(path)
        header = {name: getattr(self, name) for name in SCALARS}
        metadata = {"format": FORMAT, "version": str(FORMAT_VERSION), "scalars": json.dumps(header)}
        arrays = {name: np.ascontiguousarray(array) for name, array in self._arrays().items()}
        if arrays["species"].dtype.kind == "U":
            metadata["species_labels"] = json.dumps(arrays.pop("species").tolist())
        partial = path.with_name(path.name + ".partial")
        save_file(arrays, partial, metadata=metadata)
        os.replace(partial, path)

    @classmethod
    def load(cls, path: str | os.PathLike, mmap: bool = False) -> "GraphTrajectory":
        """Read a file written by `save`.

        Parameters
        ----------
        path : path
        mmap : bool
            Map the arrays instead of reading them, so that only the frames used enter memory.

        Returns
        -------
        GraphTrajectory

        Raises
        ------
        ValueError
            If the file is not one of ours, damaged, or of a newer version.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                names = [name for name in file.keys() if name in ARRAYS]  # noqa: SIM118
                _check_header(path, metadata)
                arrays: dict[str, Any] = {}
                if not mmap:
                    arrays = {name: file.get_tensor(name) for name in names}
        except (OSError, FileNotFoundError):
            raise
        except Exception as error:
            if isinstance(error, ValueError):
                raise
            raise ValueError(
                f"{path} is not a readable graph file ({error}); write it again"
            ) from (error)
        if mmap:
            arrays = _map_arrays(Path(path), names)
        if "species_labels" in metadata:
            arrays["species"] = np.array(json.loads(metadata["species_labels"]))
        return cls(**{"degrees": None, **arrays, **json.loads(metadata["scalars"])})

    def _arrays(self) -> dict[str, np.ndarray]:
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name in ARRAYS}
        return {name: value for name, value in values.items() if value is not None}


def _check_header(path: str | os.PathLike, metadata: dict[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} was not written by GraphTrajectory.save; featurize again")
    if int(metadata["version"]) > FORMAT_VERSION:
        raise ValueError(
            f"{path} has graph format {metadata['version']}, this version reads up to "
            f"{FORMAT_VERSION}; upgrade graphkoopman or featurize again"
        )


def _map_arrays(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Memory maps of the tensors of a safetensors file: 8 bytes of length, JSON header, data."""
    with path.open("rb") as file:
        n_header = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(n_header))
    arrays = {}
    for name in names:
        entry = header[name]
        begin, end = entry["data_offsets"]
        dtype = np.dtype(DTYPES[entry["dtype"]])
        shape = tuple(entry["shape"])
        if begin == end:
            arrays[name] = np.empty(shape, dtype)
            continue
        arrays[name] = np.memmap(path, dtype, "r", offset=8 + n_header + begin, shape=shape)
    return arrays


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
