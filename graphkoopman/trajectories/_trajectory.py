"""`Trajectory`: positions, cell, species and timestep of one run, immutable.

Also `as_trajectories`, the door through which every other layer takes trajectories, and
`height_limit`.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from graphkoopman.storage import by_path, mapped_again
from graphkoopman.tables import html_table, symbol
from graphkoopman.trajectories._mdtraj import (
    check_elements,
    constant_or_per_frame,
    make_topology,
    standard_orientation,
)
from graphkoopman.trajectories._source import Source
from graphkoopman.trajectories._steps import LongSteps, StepTracker
from graphkoopman.trajectories._times import real_times, timestep_from_times
from graphkoopman.trajectories._validation import (
    check_cell,
    check_integer,
    check_positions,
    check_species,
    check_timestep,
    frame_chunks,
)

NM_TO_ANGSTROM = 10.0


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory:
    """One molecular dynamics run, sampled at a constant timestep.

    Arrays are held as read-only views, without copies where the dtype fits; whoever keeps a
    writable reference to the original must not change it.

    Parameters
    ----------
    positions : array-like of shape (n_frames, n_atoms, 3)
        Å, wrapped or unwrapped; float32 and float64 are kept, integers become float64.
    cell : array-like of shape (3, 3) or (n_frames, 3, 3), or None
        Lattice vectors as rows, Å; constant or per frame; None for a non-periodic system.
    species : array-like of shape (n_atoms,)
        Atomic numbers, 1 to 116; united atoms and coarse beads have numbers of their own.
    timestep : float
        ps per frame.
    topology : mdtraj.Topology or None
        Needed only for selections beyond ``element`` and ``index``.
    targets : str, array-like, list of array-like, callable or None
        The atoms or molecules of interest, see `resolve_targets`.
    parent : str or None
        Name of the run that this is a contiguous piece of, see `segments`.
    start : int
        Frame of the parent at which this piece begins.
    unwrapped : bool
        Whether positions follow the atoms through the boundaries, by whole lattice vectors of
        their frame, as LAMMPS' ``xu`` do. Steps between frames are then taken as they are;
        otherwise as their minimum images.
    long_steps : LongSteps or None
        Set by strides: steps that the frames left out show to be no minimum images. None is a
        trajectory of which nothing in between is known.
    source : Source or None
        Set by `read_trajectory`: the file, and how timestep, cell and elements are known.

    Raises
    ------
    ValueError, TypeError
        For wrong shapes and dtypes, positions or cells that are not finite, flat or left-handed
        cells, unknown elements, a timestep that is not positive, a topology of other atoms.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.trajectories import Trajectory
    >>> trajectory = Trajectory(np.zeros((5, 2, 3)), 4 * np.eye(3), [3, 16], timestep=0.1)
    >>> len(trajectory[1:4]), trajectory[1:4].start, trajectory[::2].timestep
    (3, 1, 0.2)
    """

    positions: NDArray[np.floating]
    cell: NDArray[np.float64] | None
    species: NDArray[np.int64]
    timestep: float = field(kw_only=True)
    topology: md.Topology | None = field(default=None, kw_only=True)
    targets: Any = field(default=None, kw_only=True)
    parent: str | None = field(default=None, kw_only=True)
    start: int = field(default=0, kw_only=True)
    unwrapped: bool = field(default=False, kw_only=True)
    long_steps: LongSteps | None = field(default=None, kw_only=True)
    source: Source | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        positions = check_positions(self.positions)
        n_frames, n_atoms = positions.shape[:2]
        checked = {
            "positions": positions,
            "cell": check_cell(self.cell, n_frames),
            "species": check_species(self.species, n_atoms),
            "timestep": check_timestep(self.timestep),
            "start": check_integer(self.start, "start", 0),
        }
        _check_topology(self.topology, n_atoms)
        if self.parent is not None and not isinstance(self.parent, str):
            raise TypeError(f"parent must be a str or None, got {type(self.parent).__name__}")
        if not isinstance(self.unwrapped, bool | np.bool_):
            raise TypeError(f"unwrapped must be True or False, got {self.unwrapped!r}")
        self.__setstate__(self.__dict__ | checked)

    def __getstate__(self) -> dict[str, Any]:
        # other processes map the same file in place of being sent its contents
        return {name: by_path(value) for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # pickles forget that arrays were read-only
        for name, value in state.items():
            object.__setattr__(self, name, _read_only(mapped_again(value)))

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.positions.shape[0]

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return self.positions.shape[1]

    @property
    def cells(self) -> NDArray[np.float64] | None:
        """Cell of every frame, read-only ndarray of shape (n_frames, 3, 3) in Å, or None."""
        return None if self.cell is None else np.broadcast_to(self.cell, (self.n_frames, 3, 3))

    def __len__(self) -> int:
        return self.n_frames

    def __getitem__(self, frames: slice) -> Self:
        """Frames as a view; a contiguous slice remembers its parent and its start.

        With a step the timestep grows and the memory of the parent ends; how atoms moved through
        the frames left out is kept, so that displacements do not depend on the step.
        """
        if not isinstance(frames, slice):
            raise TypeError(
                f"a Trajectory is indexed with slices of frames, got {type(frames).__name__}; "
                "use trajectory[i:i + 1] for one frame"
            )
        first, stop, step = frames.indices(self.n_frames)
        if step < 1 or stop <= first:
            raise ValueError(
                "a slice of a Trajectory must run forward and hold at least one frame, "
                f"got {frames} of {self.n_frames} frames"
            )
        frames = slice(first, stop, step)
        cell = self.cell[frames] if self.cell is not None and self.cell.ndim == 3 else self.cell
        changes: dict[str, Any] = {"positions": self.positions[frames], "cell": cell}
        if self.source is not None and stop - first < self.n_frames:
            changes["source"] = replace(self.source, times=None)
        if step == 1:
            changes["start"] = self.start + first
            if self.long_steps is not None:
                changes["long_steps"] = self.long_steps.of_frames(first, stop)
        else:
            changes |= {"timestep": self.timestep * step, "parent": None, "start": 0}
            changes["long_steps"] = self._long_steps_of(first, stop, step)
        return self._with(**changes)

    def _long_steps_of(self, first: int, stop: int, step: int) -> LongSteps | None:
        if self.cell is None or self.unwrapped:
            return None
        tracker = StepTracker(step)
        for start, end in frame_chunks(stop, self.n_atoms, first):
            cells = self.cell if self.cell.ndim == 2 else self.cell[start:end]
            begin = max(start, first + 1)  # nothing leads to the first frame
            known = None if self.long_steps is None else self.long_steps.of_frames(begin, end)
            tracker.feed(self.positions[start:end], cells, known)
        return tracker.long_steps()

    def __repr__(self) -> str:
        cell = "none" if self.cell is None else ("constant", "per frame")[self.cell.ndim == 3]
        piece = "" if self.parent is None else f", start={self.start} of {self.parent[:8]}"
        return (
            f"{type(self).__name__}(n_frames={self.n_frames}, n_atoms={self.n_atoms}, "
            f"timestep={self.timestep:g} ps, cell={cell}{piece})"
        )

    def _repr_html_(self) -> str:
        elements, counts = np.unique(self.species, return_counts=True)
        named = zip(elements.tolist(), counts.tolist(), strict=True)
        length = (self.n_frames - 1) * self.timestep
        rows = [
            ["frames", f"{self.n_frames}, {self.timestep:g} ps apart, {length:g} ps in all"],
            ["atoms", f"{self.n_atoms}: " + ", ".join(f"{symbol(z)} {n}" for z, n in named)],
            ["cell / Å", _cell_text(self.cell)],
        ]
        return html_table(["Trajectory", ""], rows)

    @classmethod
    def from_mdtraj(
        cls, traj: md.Trajectory, *, targets: Any = None, timestep: float | None = None
    ) -> Self:
        """Convert an `mdtraj.Trajectory`: nm to Å, cell from its unit cell vectors.

        Parameters
        ----------
        traj : mdtraj.Trajectory
            With a topology, from which the elements come. mdtraj guesses some of them: an ion
            that is alone in a residue of its name is what that says, with a warning.
        targets : str, array-like, list of array-like, callable or None
            See `resolve_targets`.
        timestep : float or None
            ps per frame; overrides the times of ``traj``.

        Raises
        ------
        ValueError
            If ``timestep`` is not given and ``traj.time`` is no evenly spaced time: a single
            frame, or the integer frame numbers that mdtraj fills in for formats without time.
        """
        if not isinstance(traj, md.Trajectory):
            raise TypeError(f"traj must be an mdtraj.Trajectory, got {type(traj).__name__}")
        from graphkoopman.trajectories.readers._identity import identify
        from graphkoopman.trajectories.readers._topology import atoms_of_topology

        if timestep is None:
            timestep = timestep_from_times(real_times(traj.time), "this mdtraj.Trajectory")
        check_elements(traj.topology)
        atoms = atoms_of_topology(traj.topology)
        check_elements(traj.topology, atoms.species)
        identity = identify("this mdtraj.Trajectory", traj.n_atoms, None, atoms)
        return cls(
            positions=traj.xyz * np.float32(NM_TO_ANGSTROM),
            cell=constant_or_per_frame(traj.unitcell_vectors, NM_TO_ANGSTROM),
            species=identity.species,
            timestep=timestep,
            topology=identity.topology,
            targets=targets,
        )

    def to_mdtraj(self) -> md.Trajectory:
        """Convert to an `mdtraj.Trajectory` in nm, in single precision.

        mdtraj stores cells as lengths and angles, so the system is rotated where needed: a along
        x and b in the xy plane. Without a topology every atom becomes a residue of its own.
        """
        positions, cell = standard_orientation(self.positions, self.cell)
        traj = md.Trajectory(
            positions / NM_TO_ANGSTROM,
            make_topology(self.species) if self.topology is None else self.topology,
            time=np.arange(self.n_frames) * self.timestep,
        )
        if cell is not None:
            traj.unitcell_vectors = np.broadcast_to(cell, (self.n_frames, 3, 3)) / NM_TO_ANGSTROM
        return traj

    def _with(self, **changes: Any) -> Self:
        """A copy with other attributes, trusted as valid: no second pass over the positions."""
        other = object.__new__(type(self))
        other.__setstate__(
            {f.name: changes.get(f.name, getattr(self, f.name)) for f in fields(self)}
        )
        return other


def _cell_text(cell: NDArray[np.float64] | None) -> str:
    if cell is None:
        return "none"
    first = cell if cell.ndim == 2 else cell[0]
    lengths = " × ".join(f"{length:.4g}" for length in np.linalg.norm(first, axis=1))
    return lengths + ("" if cell.ndim == 2 else ", changing")


def height_limit(trajectory: Trajectory, frames: slice = slice(None)) -> float:
    """Half the smallest height of the cell over frames, Å: how far analyses of pairs may reach.

    Parameters
    ----------
    trajectory : Trajectory
    frames : slice
        All by default.

    Returns
    -------
    float
        Infinite without a cell.
    """
    if trajectory.cell is None:
        return np.inf
    cells = trajectory.cell[frames] if trajectory.cell.ndim == 3 else trajectory.cell[None]
    # the rows of the inverse transpose are the face normals over the heights
    return float(0.5 / np.linalg.norm(np.linalg.inv(cells), axis=1).max())


def as_trajectories(X: Any) -> list[Trajectory]:
    """Trajectories from whatever a user may pass for them.

    Parameters
    ----------
    X : Trajectory, mdtraj.Trajectory, any other object that `as_trajectory` takes, or list or \
other container of these

    Returns
    -------
    trajectories : list of Trajectory

    Raises
    ------
    TypeError
        For anything else, naming what came.
    ValueError
        For an empty list, and for an mdtraj trajectory without a usable time.
    """
    from graphkoopman.trajectories.objects._registry import as_trajectory, one_trajectory

    one = isinstance(X, Trajectory) or one_trajectory(X) is not None
    items = [X] if one else items_of(X, Trajectory)
    if not items:
        raise ValueError("trajectories must hold at least one trajectory, got an empty list")
    return [as_trajectory(item) for item in items]


def items_of(X: Any, one: Any) -> list[Any]:
    """What is in a container, or X itself in a list.

    Parameters
    ----------
    X : object
        A container has a length and can be iterated over, as scikit-learn's samples.
    one : type or union of types
        Of which X is no container, although its frames may make it look like one.

    Returns
    -------
    list
    """
    if isinstance(X, one) or not hasattr(X, "__len__"):
        return [X]
    try:
        return list(X)
    except TypeError:
        return [X]


def _check_topology(topology: Any, n_atoms: int) -> None:
    if topology is None:
        return
    if not isinstance(topology, md.Topology):
        raise TypeError(
            f"topology must be an mdtraj.Topology or None, got {type(topology).__name__}; "
            "use mdtraj.load_topology for a file"
        )
    if topology.n_atoms != n_atoms:
        raise ValueError(
            f"topology must describe the {n_atoms} atoms of positions, got {topology.n_atoms}; "
            "cut it with topology.subset"
        )


def _read_only(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    view = value.view()
    view.flags.writeable = False
    return view
