"""`UnstoredGraphs`: neighbour graphs that are searched when they are asked for, and not kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from graphkoopman.graphs._batch import GraphBatch, batch_on_device, collate
from graphkoopman.graphs._build import gpu_of, graphs_of
from graphkoopman.graphs._trajectory import SETTINGS, GraphTrajectory, check_levels
from graphkoopman.samples import FRAME, OF_A_RUN, SYSTEM, Column, ColumnSamples, Scalar, is_int
from graphkoopman.storage import FileKind
from graphkoopman.trajectories import Targets, Trajectory

UNSTORED = FileKind("graphkoopman-unstored", 1, "file of unstored graphs", "featurize again")
PROBED = 3  # frames by which the edges of a frame are judged
TRIED_AT_FIRST, TIMES_MORE = 2, 8  # frames in which targets are seen to move


@dataclass(frozen=True, eq=False, repr=False)
class UnstoredGraphs(ColumnSamples):
    """The graphs of a trajectory, searched again for every batch.

    For trajectories whose graphs do not fit on disk: 10⁶ frames of 10⁵ atoms with 20 neighbours
    each have 12 TB of them. On a GPU the search costs about as much as a training step and a batch
    never leaves it; on a CPU it costs many times a step, and graphs in a ``cache_dir`` are faster.

    Attributes
    ----------
    positions : ndarray of shape (n_frames, n_atoms, 3)
        Å.
    cells : ndarray of shape (n_frames, 3, 3), float64, or None
        Lattice vectors in rows, Å.
    species : ndarray of shape (n_atoms,)
        Node type of every atom of the trajectory: atomic numbers or labels.
    atoms : ndarray of shape (n_target_atoms,), int64
        Of all targets, target after target.
    target_offsets : ndarray of shape (n_targets + 1,), int64
        Where a target starts among them.
    n_neighbors, cutoff, n_per_species, n_hops, with_directions
        Settings of the search, as of `GraphFeaturizer`.
    timestep : float
        ps per frame.
    parent, start : str or None, int
        The run this is a piece of, and the frame of the run it starts at.
    levels, level_names, axes
        As of `GraphTrajectory`.
    device : str
        Where neighbours are searched; graphs are the same everywhere.
    """

    positions: np.ndarray
    cells: np.ndarray | None
    species: np.ndarray
    atoms: np.ndarray
    target_offsets: np.ndarray
    n_neighbors: int | None
    cutoff: float | None
    n_hops: int
    timestep: float
    n_per_species: int = 0
    with_directions: bool = False
    parent: str | None = None
    start: int = 0
    levels: np.ndarray | None = None
    level_names: np.ndarray | None = None
    axes: np.ndarray | None = None
    device: str = "auto"

    columns: ClassVar = (
        Column("positions", FRAME, "f", (None, 3)),
        Column("cells", FRAME, "f", (3, 3), optional=True),
        Column("axes", FRAME, "f", (None, 3), optional=True),
        Column("species", SYSTEM, "biuU"),
        Column("atoms", SYSTEM, "i"),
        Column("target_offsets", SYSTEM, "i"),
        Column("levels", SYSTEM, "i", (None,), optional=True),
        Column("level_names", SYSTEM, "U", optional=True),
    )
    scalars: ClassVar = (
        *SETTINGS,
        Scalar("n_hops", lambda n: is_int(n) and n > 0),
        Scalar("with_directions", lambda value: isinstance(value, bool)),
        *OF_A_RUN,
    )
    shared: ClassVar = GraphTrajectory.shared
    class_name: ClassVar = GraphTrajectory.__name__  # for a network they are the same
    file: ClassVar = UNSTORED
    made_by: ClassVar = "GraphFeaturizer(store=False)"

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def n_targets(self) -> int:
        """Number of targets per frame."""
        return len(self.target_offsets) - 1

    @property
    def target_atoms(self) -> np.ndarray:
        """Atoms of all targets."""
        return self.atoms

    @property
    def offers(self) -> frozenset[str]:
        """What an encoder can read of an edge and of a target."""
        optional = {"direction": self.with_directions, "axis": self.axes is not None}
        return frozenset({"distance"} | {name for name, there in optional.items() if there})

    @cached_property
    def cost(self) -> float:
        """Mean number of edges of a frame, judged by a few."""
        probes = np.unique(np.linspace(0, len(self) - 1, PROBED).astype(np.int64))
        return self.graphs(probes).cost if len(self) else 0.0

    def graphs(self, frames: np.ndarray, n_hops: int | None = None) -> GraphTrajectory:
        """The graphs of some frames.

        Parameters
        ----------
        frames : ndarray of shape (n_frames,), int
        n_hops : int or None
            Convolutions to support, at most ``self.n_hops``, which None takes.
        """
        cells = None if self.cells is None else self.cells[frames]
        any_species = np.ones(len(self.species), np.int64)
        run = Trajectory(self.positions[frames], cells, any_species, timestep=self.timestep)
        levels = None
        if self.levels is not None and self.level_names is not None:
            levels = dict(zip(self.level_names.tolist(), self.levels, strict=True))
        graphs = graphs_of(
            run,
            Targets(self.atoms, self.target_offsets),
            n_neighbors=self.n_neighbors,
            cutoff=self.cutoff,
            n_per_species=self.n_per_species,
            n_hops=n_hops or self.n_hops,
            directions=self.with_directions,
            species=self.species,
            levels=levels,
            n_jobs=None,
            device=self.device,
        )
        return graphs if self.axes is None else graphs._with(axes=self.axes[frames])

    def batch(
        self, frames: np.ndarray, species_rows: np.ndarray, n_hops: int, *, pin_memory: bool = False
    ) -> GraphBatch:
        """Some frames as one batch, on the GPU where they are searched there, see `collate`."""
        frames = np.asarray(frames, dtype=np.int64)
        gpu = gpu_of(self.device)
        if gpu is None or self.n_per_species or self.with_directions:
            graphs = self.graphs(frames, n_hops)
            everything = np.arange(len(frames))
            return collate(graphs, everything, species_rows, n_hops, pin_memory=pin_memory)
        from graphkoopman.graphs._gpu_fields import device_fields

        periodic = self.cells is not None
        cells = self.cells[frames] if self.cells is not None else np.zeros((1, 3, 3))
        how = self.atoms, self.n_neighbors, self.cutoff, n_hops, gpu
        fields = device_fields(self.positions[frames], cells, periodic, *how)
        return batch_on_device(fields, self, frames, species_rows)

    def still_targets(self) -> list[int]:
        """Targets with neighbours whose distances are the same in every frame, as of graphs."""
        n = TRIED_AT_FIRST
        while True:
            still = self.graphs(np.arange(min(n, len(self))), 1).still_targets()
            if not still or n >= len(self):
                return still
            n *= TIMES_MORE

    def __repr__(self) -> str:
        kind = f"n_neighbors={self.n_neighbors}" if self.n_neighbors else f"cutoff={self.cutoff} Å"
        kind += f", n_per_species={self.n_per_species}" if self.n_per_species else ""
        return (
            f"UnstoredGraphs({len(self)} frames of {self.timestep:g} ps, {self.n_targets} "
            f"targets, {kind}, n_hops={self.n_hops}, searched on {self.device})"
        )

    @classmethod
    def check_columns(cls, arrays: Mapping[str, Any], scalars: Mapping[str, Any]) -> None:
        """Settings against each other, and what points at atoms."""
        if (scalars["n_neighbors"] is None) == (scalars["cutoff"] is None):
            raise ValueError("exactly one of n_neighbors and cutoff must be set")
        n_atoms, atoms = len(arrays["species"]), arrays["atoms"]
        if arrays["positions"].shape[1] != n_atoms:
            raise ValueError("positions and species are not of as many atoms")
        if len(np.unique(atoms)) != len(atoms) or atoms.min() < 0 or atoms.max() >= n_atoms:
            raise ValueError("atoms of targets are no atoms, or some of them twice")
        offsets = arrays["target_offsets"]
        if offsets[0] != 0 or offsets[-1] != len(atoms) or np.any(np.diff(offsets) < 1):
            raise ValueError("target_offsets do not fit to atoms")
        check_levels(arrays["levels"], arrays["level_names"], n_atoms)
