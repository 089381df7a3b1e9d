"""`GraphFeaturizer`: trajectories to neighbour graphs, as a scikit-learn transformer."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, TransformerMixin

from graphkoopman.callbacks import CallbackSupport, FitTask, with_callbacks
from graphkoopman.checks import check_integer, is_integer, is_positive
from graphkoopman.devices import check_device
from graphkoopman.graphs._axes import axes_of_targets
from graphkoopman.graphs._build import build_graphs, check_searchable
from graphkoopman.graphs._levels import levels_of
from graphkoopman.graphs._stream import write_graph_file
from graphkoopman.graphs._trajectory import GRAPHS, GraphTrajectory
from graphkoopman.storage import digest
from graphkoopman.trajectories import (
    Targets,
    TargetsLike,
    TrajectoriesLike,
    Trajectory,
    as_trajectories,
    resolve_targets,
)

if TYPE_CHECKING:
    from graphkoopman.graphs._unstored import UnstoredGraphs

# least and most; the latter is far beyond use, more is a slip and would ask for all memory
BOUNDS = {"n_neighbors": (1, 10_000), "n_per_species": (0, 1000), "n_hops": (1, 100)}
MAX_THREADS = 1024
DEFAULT_BUDGET = 2**30


class GraphFeaturizer(CallbackSupport, TransformerMixin, BaseEstimator):
    """Turn trajectories into neighbour graphs of the targets' receptive fields.

    Parameters
    ----------
    targets : str, array, list of arrays, callable or None
        Whose states are wanted: an mdtraj selection (one target per atom), an index array
        ``(n,)``, a ``(n, k)`` array or a list of index arrays (one per molecule), or a function
        of the trajectory that returns one of these. None takes the trajectory's own targets.
    n_neighbors : int or None
        M of the M-nearest graph (the paper's). Periodic images count one by one.
    cutoff : float or None
        Å, of a radius graph instead; exactly one of ``n_neighbors`` and ``cutoff`` is set.
    n_per_species : int
        Neighbours of every node type that the atoms of targets have at least, wherever they are.
        Where an ion is rare, what it waits for may be the next ion, far beyond M neighbours: with
        1 or 2 the targets see it. Give the encoder an ``r_max`` that reaches as far. More to see is
        more to overfit.
    n_hops : int
        Number of convolutions that the graphs must support. Atoms out of reach of a target are
        neither searched nor stored.
    directions : bool
        Whether to store the unit vector of every edge, from an atom to its neighbour, for encoders
        that need ``"direction"``. Graphs then take twice the memory or more.
    levels : sequence of str or of arrays of shape (n_atoms,), or a mapping of names to arrays
        Groups of atoms for hierarchical pooling: ``"residue"`` and ``"chain"`` of the topology, or
        labels of one's own.
    species_labels : array of shape (n_atoms,), callable or None
        Node type of every atom (integers or strings), in place of the element, or a function of
        the trajectory that returns them.
    axes : array of shape (n_targets, 3) or (n_frames, n_targets, 3), callable or None
        A direction per target, of any length but zero, for encoders that need ``"axis"``: a
        displacement, a dipole, a normal. A function of the trajectory that returns them serves
        several trajectories.
    cache_dir : path or None
        Folder that keeps graphs between calls; a trajectory seen before with the same settings is
        mapped from there. Graphs go to the file piece by piece and are never all in memory;
        after a kill the pieces that are there are used.
    memory_budget : int or None
        Bytes that graphs may take while they are built, with ``cache_dir``; None is 1 GiB. At
        least one frame is built at a time.
    n_jobs : int or None
        Threads over chunks of frames, joblib's convention.
    device : str
        Where neighbours are searched, ``"cpu"`` or ``"cuda"``; ``"auto"`` takes a GPU where there
        is one. Graphs are the same everywhere, to the last bit. ``n_per_species`` is searched on
        the CPU whatever the device.
    store : bool
        Whether graphs are kept. False gives `UnstoredGraphs`, which are searched again for every
        batch, for runs whose graphs do not fit on disk; a GPU makes that bearable.

    Notes
    -----
    Stateless: ``fit`` only checks its input. Where several atoms are equally far and only some
    are among the M nearest, as in a rigid lattice, the shell is taken whole: an atom then has more
    than M neighbours, and sites that are alike have the same graph however atoms are numbered.

    References
    ----------
    Xie et al., Nat. Commun. 10, 2667 (2019), Methods, "Construction of the graphs".

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman import GraphFeaturizer, Trajectory
    >>> positions = np.random.default_rng(0).uniform(0, 10, (7, 30, 3))
    >>> trajectory = Trajectory(positions, 10 * np.eye(3), np.full(30, 3), timestep=1.0)
    >>> graphs = GraphFeaturizer(targets=[0, 1], n_neighbors=6, n_hops=2).fit_transform(trajectory)
    >>> len(graphs[0]), graphs[0].n_targets
    (7, 2)
    """

    def __init__(
        self,
        targets: TargetsLike = None,
        *,
        n_neighbors: int | None = 20,
        cutoff: float | None = None,
        n_per_species: int = 0,
        n_hops: int = 3,
        directions: bool = False,
        levels: Any = (),
        species_labels: Any = None,
        axes: Any = None,
        cache_dir: str | os.PathLike[str] | None = None,
        memory_budget: int | None = None,
        n_jobs: int | None = None,
        device: str = "cpu",
        store: bool = True,
    ) -> None:
        self.targets = targets
        self.n_neighbors = n_neighbors
        self.cutoff = cutoff
        self.n_per_species = n_per_species
        self.n_hops = n_hops
        self.directions = directions
        self.levels = levels
        self.species_labels = species_labels
        self.axes = axes
        self.cache_dir = cache_dir
        self.memory_budget = memory_budget
        self.n_jobs = n_jobs
        self.device = device
        self.store = store

    @with_callbacks
    def fit(self, X: TrajectoriesLike, y: object = None) -> "GraphFeaturizer":
        """Check settings and trajectories; nothing is learned.

        Parameters
        ----------
        X : Trajectory, md.Trajectory or a list or other container of them
        y : None
            Ignored.

        Returns
        -------
        GraphFeaturizer
            Itself.
        """
        self._check_settings()
        trajectories = as_trajectories(X)
        task = FitTask(self, trajectories)
        for trajectory in trajectories:
            targets, *_ = self._resolve(trajectory)
            axes_of_targets(self.axes, trajectory, targets.n_targets)
        task.end()
        return self

    def transform(self, X: TrajectoriesLike) -> list[Any]:
        """Graphs of every trajectory.

        Parameters
        ----------
        X : Trajectory, md.Trajectory or a list or other container of them

        Returns
        -------
        list of GraphTrajectory, or of UnstoredGraphs without ``store``

        Raises
        ------
        ValueError
            On bad settings, empty or overlapping targets, too few atoms, positions in nm.
        """
        self._check_settings()
        trajectories = as_trajectories(X)
        resolved = [self._resolve(trajectory) for trajectory in trajectories]
        axes = [
            axes_of_targets(self.axes, trajectory, targets.n_targets)
            for trajectory, (targets, *_) in zip(trajectories, resolved, strict=True)
        ]
        if not self.store:
            return [
                self._unstored(trajectory, *found, vectors)
                for trajectory, found, vectors in zip(trajectories, resolved, axes, strict=True)
            ]
        # tasks of joblib, so that the workers of a cluster may write the files of a shared folder;
        # without one, graphs would have to be sent back
        parallel = Parallel() if self.cache_dir is not None else _one_after_the_other
        graphs: list[GraphTrajectory] = parallel(
            delayed(self._graphs)(trajectory, *found)
            for trajectory, found in zip(trajectories, resolved, strict=True)
        )
        # beside the files of graphs, not in them: axes are small and take no search
        return [replace(item, axes=vectors) for item, vectors in zip(graphs, axes, strict=True)]

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _check_settings(self) -> None:
        if (self.n_neighbors is None) == (self.cutoff is None):
            raise ValueError(
                "give exactly one of n_neighbors and cutoff, got "
                f"n_neighbors={self.n_neighbors} and cutoff={self.cutoff}; set the other to None"
            )
        for name, bounds in BOUNDS.items():
            value = getattr(self, name)
            if name == "n_neighbors" and value is None:
                continue
            check_integer(value, name, *bounds)
        for name in ("directions", "store"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
        if not self.store and self.cache_dir is not None:
            raise ValueError(
                f"store=False keeps no graphs, got cache_dir={self.cache_dir!r}; leave one of "
                "them out"
            )
        threads = self.n_jobs
        if threads is not None and (
            not is_integer(threads, -MAX_THREADS) or not 0 < abs(int(threads)) <= MAX_THREADS
        ):
            raise ValueError(
                f"n_jobs must be None, a number of threads up to {MAX_THREADS} or -1 for all "
                f"processors, got {threads!r}"
            )
        self._check_budget()
        check_device(self.device)
        if self.cutoff is not None and not is_positive(self.cutoff):
            raise ValueError(f"cutoff must be a positive distance in Å, got {self.cutoff!r}")

    def _check_budget(self) -> None:
        budget = self.memory_budget
        if budget is None:
            return
        if not is_integer(budget, 1):
            raise ValueError(
                f"memory_budget must be a number of bytes (int >= 1) or None, got {budget!r}"
            )
        if self.cache_dir is None:
            raise ValueError(
                f"memory_budget={budget} needs a folder for the graphs that do not fit into it; "
                "give cache_dir, too"
            )

    def _resolve(self, trajectory: Trajectory) -> tuple[Targets, np.ndarray, dict[str, np.ndarray]]:
        labels = trajectory.species
        if self.species_labels is not None:
            own = self.species_labels
            labels = np.asarray(own(trajectory) if callable(own) else own)
            if labels.shape != (trajectory.n_atoms,):
                raise ValueError(
                    f"species_labels must hold one label per atom ({trajectory.n_atoms}), got "
                    f"shape {labels.shape}"
                )
            if labels.dtype.kind not in "biuU":
                raise ValueError(
                    f"species_labels must be integers or strings, got dtype {labels.dtype}; "
                    "convert them with .astype(int) or .astype(str)"
                )
        levels = levels_of(self.levels, trajectory)
        return resolve_targets(self.targets, trajectory), labels, levels

    def _unstored(
        self,
        trajectory: Trajectory,
        targets: Targets,
        labels: np.ndarray,
        levels: dict[str, np.ndarray],
        axes: np.ndarray | None,
    ) -> "UnstoredGraphs":
        from graphkoopman.graphs._unstored import UnstoredGraphs

        check_searchable(trajectory, self.n_neighbors)
        return UnstoredGraphs(
            positions=trajectory.positions,
            cells=trajectory.cells,
            species=labels,
            atoms=targets.atoms,
            target_offsets=targets.offsets,
            n_neighbors=self.n_neighbors,
            cutoff=self.cutoff,
            n_hops=self.n_hops,
            timestep=trajectory.timestep,
            n_per_species=self.n_per_species,
            with_directions=bool(self.directions),
            parent=trajectory.parent,
            start=trajectory.start,
            levels=np.stack(list(levels.values())) if levels else None,
            level_names=np.array(list(levels)) if levels else None,
            axes=axes,
            device=self.device,
        )

    def _graphs(
        self,
        trajectory: Trajectory,
        targets: Targets,
        labels: np.ndarray,
        levels: dict[str, np.ndarray],
    ) -> GraphTrajectory:
        settings: dict[str, Any] = {
            "n_neighbors": self.n_neighbors,
            "cutoff": self.cutoff,
            "n_per_species": self.n_per_species,
            "n_hops": self.n_hops,
            "directions": bool(self.directions),
        }
        how: dict[str, Any] = {"species": labels, "levels": levels, "n_jobs": self.n_jobs}
        how["device"] = self.device
        if self.cache_dir is None:
            return build_graphs(trajectory, targets, **settings, **how)
        folder = Path(self.cache_dir)
        folder.mkdir(parents=True, exist_ok=True)
        name = _fingerprint(trajectory, targets, labels, levels, tuple(settings.values()))
        path = folder / f"{name}.graphs"
        if not path.exists():
            budget = DEFAULT_BUDGET if self.memory_budget is None else int(self.memory_budget)
            write_graph_file(path, trajectory, targets, budget, **settings, **how)
        return GraphTrajectory.load(path, mmap=True)


def _one_after_the_other(tasks: Iterable[Any]) -> list[Any]:
    return [function(*args, **kwargs) for function, args, kwargs in tasks]


def _fingerprint(
    trajectory: Trajectory,
    targets: Targets,
    labels: np.ndarray,
    levels: dict[str, np.ndarray],
    settings: tuple[Any, ...],
) -> str:
    """Name of a cache file: a hash of everything that the graphs depend on."""
    run = (trajectory.timestep, trajectory.parent, trajectory.start)
    header = (settings, *run, list(levels), GRAPHS.version)
    arrays = [trajectory.positions, targets.atoms, targets.offsets, labels, *levels.values()]
    if trajectory.cell is not None:
        arrays.append(trajectory.cell)
    return digest(repr(header), arrays)
