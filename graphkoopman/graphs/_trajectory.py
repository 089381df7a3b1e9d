"""`GraphTrajectory`: the receptive fields of all frames of one trajectory, flat and sliceable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from graphkoopman.samples import (
    FRAME,
    OF_A_RUN,
    OFFSETS,
    SYSTEM,
    Column,
    ColumnSamples,
    Scalar,
    is_int,
    is_positive,
)
from graphkoopman.storage import FileKind
from graphkoopman.tables import html_table, symbol

if TYPE_CHECKING:
    from graphkoopman.graphs._batch import GraphBatch

GRAPHS = FileKind("graphkoopman-graphs", 3, "graph file", "delete it and featurize again", oldest=3)
ATOM, EDGE, ROW = "atom", "edge", "row"  # stored atoms, edges, atoms that have edges
SETTINGS = (  # of the search, which all samples of a fit share
    Scalar("n_neighbors", lambda k: k is None or (is_int(k) and k > 0)),
    Scalar("cutoff", lambda cutoff: cutoff is None or is_positive(cutoff)),
    Scalar("n_per_species", lambda n: is_int(n) and n >= 0),
)


@dataclass(frozen=True, eq=False, repr=False)
class GraphTrajectory(ColumnSamples):
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
    species : ndarray of shape (n_atoms,)
        Node type of every atom of the trajectory: atomic numbers or labels.
    target_offsets : ndarray of shape (n_targets + 1,), int64
        Where a target starts among the target atoms.
    n_neighbors : int or None
        M of the M-nearest graph.
    cutoff : float or None
        Å, of the radius graph; exactly one of the two is set.
    n_per_species : int
        Neighbours that the atoms of targets have of every node type at least.
    timestep : float
        ps per frame.
    parent, start : str or None, int
        The run this is a piece of, and the frame of the run it starts at.
    degrees : ndarray of shape (n_rows,) or None
        Number of neighbours of every atom that has edges; None where it is ``n_neighbors``.
    directions : ndarray of shape (n_edges, 3), float32, or None
        Unit vectors from the atom to its neighbour; zero where both are at one place.
    levels : ndarray of shape (n_levels, n_atoms), int64, or None
        Group of every atom, residues say, one row per level.
    level_names : ndarray of shape (n_levels,), str, or None
    axes : ndarray of shape (n_frames, n_targets, 3), float32, or None
        Unit vector of every target, given from outside.
    """

    hop_counts: np.ndarray
    atom_offsets: np.ndarray
    edge_offsets: np.ndarray
    atoms: np.ndarray
    neighbors: np.ndarray
    distances: np.ndarray
    species: np.ndarray
    target_offsets: np.ndarray
    n_neighbors: int | None
    cutoff: float | None
    timestep: float
    n_per_species: int = 0
    parent: str | None = None
    start: int = 0
    degrees: np.ndarray | None = None
    directions: np.ndarray | None = None
    levels: np.ndarray | None = None
    level_names: np.ndarray | None = None
    axes: np.ndarray | None = None

    columns: ClassVar = (
        Column("hop_counts", FRAME, "i", (None,)),
        Column("atom_offsets", OFFSETS, "i"),
        Column("edge_offsets", OFFSETS, "i"),
        Column("atoms", ATOM, "u"),
        Column("neighbors", EDGE, "u"),
        Column("distances", EDGE, "f"),
        Column("directions", EDGE, "f", (3,), optional=True),
        Column("degrees", ROW, "i", optional=True),
        Column("species", SYSTEM, "biuU"),
        Column("levels", SYSTEM, "i", (None,), optional=True),
        Column("level_names", SYSTEM, "U", optional=True),
        Column("axes", FRAME, "f", (None, 3), optional=True),
        Column("target_offsets", SYSTEM, "i"),
    )
    scalars: ClassVar = (*SETTINGS, *OF_A_RUN)
    shared: ClassVar = tuple(setting.name for setting in SETTINGS)
    file: ClassVar = GRAPHS
    made_by: ClassVar = "GraphFeaturizer"

    def __len__(self) -> int:
        return len(self.hop_counts)

    @property
    def n_hops(self) -> int:
        """Number of convolutions that the graphs support."""
        return self.hop_counts.shape[1] - 1

    @property
    def n_targets(self) -> int:
        """Number of targets per frame."""
        return len(self.target_offsets) - 1

    @property
    def offers(self) -> frozenset[str]:
        """What an encoder can read of an edge and of a target."""
        optional = {"direction": self.directions, "axis": self.axes}
        return frozenset({"distance"} | {k for k, column in optional.items() if column is not None})

    @property
    def cost(self) -> float:
        """Mean number of edges of a frame."""
        return len(self.distances) / max(1, len(self))

    @property
    def target_atoms(self) -> np.ndarray:
        """Atoms of all targets."""
        return self.atoms[: self.hop_counts[0, 0]]

    @property
    def row_offsets(self) -> np.ndarray:
        """Where a frame starts in ``degrees``, (n_frames + 1,) int64."""
        return np.concatenate([[0], np.cumsum(self.hop_counts[:, -2], dtype=np.int64)])

    def extent(self, axis: str, begin: int, stop: int) -> slice:
        """Rows of a range of frames along an axis, see `ColumnSamples.extent`."""
        if axis in (ATOM, EDGE):
            offsets = self.atom_offsets if axis == ATOM else self.edge_offsets
            return slice(int(offsets[begin]), int(offsets[stop]))
        if axis == ROW:
            rows = self.row_offsets
            return slice(int(rows[begin]), int(rows[stop]))
        return super().extent(axis, begin, stop)

    def batch(
        self, frames: np.ndarray, species_rows: np.ndarray, n_hops: int, *, pin_memory: bool = False
    ) -> "GraphBatch":
        """Some frames as one batch, see `collate`."""
        from graphkoopman.graphs._batch import collate

        return collate(self, frames, species_rows, n_hops, pin_memory=pin_memory)

    def still_targets(self) -> list[int]:
        """Targets with neighbours whose distances are the same in every frame.

        Frozen atoms, or one frame over and over. Looks at as many frames as it takes to see all
        move.
        """
        atoms = list(range(self.hop_counts[0, 0]))
        first = self._target_distances(0)
        still = [a for a in atoms if len(first[a])]
        for frame in range(1, len(self)):
            if not still:
                return []
            now = self._target_distances(frame)
            still = [a for a in still if np.array_equal(first[a], now[a])]
        moving = set(atoms) - set(still)
        offsets = self.target_offsets
        groups = (range(offsets[i], offsets[i + 1]) for i in range(self.n_targets))
        return [i for i, group in enumerate(groups) if len(self) > 1 and moving.isdisjoint(group)]

    def _target_distances(self, frame: int) -> list[np.ndarray]:
        """Distances of the neighbours of every target atom in a frame, Å."""
        n_atoms, begin = self.hop_counts[frame, 0], self.edge_offsets[frame]
        if self.degrees is None:
            degrees = np.full(n_atoms, self.n_neighbors)
        else:
            row = self.hop_counts[:frame, -2].sum(dtype=np.int64)
            degrees = self.degrees[row : row + n_atoms]
        ends = np.cumsum(degrees)
        return np.split(self.distances[begin : begin + ends[-1]], ends[:-1])

    def with_degrees(self) -> "GraphTrajectory":
        """The same graphs with ``degrees``, which are left out where all are ``n_neighbors``."""
        if self.degrees is not None:
            return self
        n_rows = int(self.hop_counts[:, -2].sum(dtype=np.int64))
        return replace(self, degrees=np.full(n_rows, self.n_neighbors, np.int32))

    def joined(self, others: "Sequence[GraphTrajectory]") -> "GraphTrajectory":
        """These frames and those of the pieces that follow them; shells may be in some of them."""
        pieces = [self, *others]
        if any(piece.degrees is not None for piece in pieces):
            pieces = [piece.with_degrees() for piece in pieces]
        first, *rest = pieces
        return super(GraphTrajectory, first).joined(rest)

    def __repr__(self) -> str:
        kind = f"n_neighbors={self.n_neighbors}" if self.n_neighbors else f"cutoff={self.cutoff} Å"
        kind += f", n_per_species={self.n_per_species}" if self.n_per_species else ""
        return (
            f"GraphTrajectory({len(self)} frames of {self.timestep:g} ps, {self.n_targets} "
            f"targets, {kind}, n_hops={self.n_hops}, {self.nbytes / 2**20:.1f} MiB)"
        )

    def _repr_html_(self) -> str:
        kinds, counts = np.unique(self.species, return_counts=True)
        named = zip(kinds.tolist(), counts.tolist(), strict=True)
        edges = len(self.distances) / len(self)
        near = f"{self.n_neighbors} nearest" if self.n_neighbors else f"within {self.cutoff:g} Å"
        if self.n_per_species:
            near += f" and {self.n_per_species} of every species"
        rows = [
            ["frames", f"{len(self)}, {self.timestep:g} ps apart"],
            ["targets", f"{self.n_targets}"],
            ["atoms", f"{len(self.species)}: " + ", ".join(f"{symbol(z)} {n}" for z, n in named)],
            ["neighbours", f"{near}, {self.n_hops} hops, {edges:.0f} edges per frame"],
            ["direction of edges", "no" if self.directions is None else "yes"],
            ["memory / MiB", f"{self.nbytes / 2**20:.1f}"],
        ]
        return html_table(["GraphTrajectory", ""], rows)

    @classmethod
    def check_columns(cls, arrays: Mapping[str, Any], scalars: Mapping[str, Any]) -> None:
        """Offsets against what they point into; costs a pass over frames, not over edges."""
        hop_counts, degrees, k = arrays["hop_counts"], arrays["degrees"], scalars["n_neighbors"]
        if (k is None) == (scalars["cutoff"] is None):
            raise ValueError(f"n_neighbors is {k!r} and cutoff {scalars['cutoff']!r}")
        n_frames, n_columns = hop_counts.shape
        if n_frames < 1 or n_columns < 2 or np.any(np.diff(hop_counts, axis=1, prepend=0) < 0):
            raise ValueError("hop_counts do not grow with the hops")
        rows = hop_counts[:, -2].astype(np.int64)
        expected = {"atom_offsets": hop_counts[:, -1].astype(np.int64)}
        if degrees is None:
            if k is None:
                raise ValueError("degrees are missing")
            expected["edge_offsets"] = rows * k
        else:
            if len(degrees) != rows.sum() or np.any(degrees < 0):
                raise ValueError("degrees do not fit to hop_counts")
            ends = np.concatenate([[0], np.cumsum(degrees, dtype=np.int64)])
            expected["edge_offsets"] = np.diff(ends[np.concatenate([[0], np.cumsum(rows)])])
        for name, sizes in expected.items():
            if not np.array_equal(arrays[name], np.concatenate([[0], np.cumsum(sizes)])):
                raise ValueError(f"{name} do not fit to hop_counts")
        ends_of = {ATOM: arrays["atom_offsets"][-1], EDGE: arrays["edge_offsets"][-1]}
        for column in cls.columns:
            array = arrays[column.name]
            if column.axis in ends_of and array is not None and len(array) != ends_of[column.axis]:
                raise ValueError(
                    f"{column.name} hold {len(array)} values in place of {ends_of[column.axis]}"
                )
        targets = arrays["target_offsets"]
        one_per_target = targets[0] == 0 and np.all(np.diff(targets) >= 1)
        if not one_per_target or np.any(hop_counts[:, 0] != targets[-1]):
            raise ValueError("target_offsets do not fit to hop_counts")
        axes = arrays["axes"]
        if axes is not None and axes.shape[:2] != (n_frames, len(targets) - 1):
            raise ValueError("axes do not fit to frames and targets")
        check_levels(arrays["levels"], arrays["level_names"], len(arrays["species"]))


def check_levels(levels: Any, names: Any, n_atoms: int) -> None:
    """Raise ValueError unless groups of atoms are of all levels and all atoms."""
    if levels is None and names is None:
        return
    if levels is None or names is None or levels.shape != (len(names), n_atoms):
        raise ValueError("levels do not fit to level_names and species")
