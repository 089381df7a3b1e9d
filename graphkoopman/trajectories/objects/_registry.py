"""`converter`, the decorator that teaches another class of objects, and `as_trajectory`."""

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from graphkoopman.trajectories._like import TargetsLike
from graphkoopman.trajectories._trajectory import Trajectory
from graphkoopman.trajectories._validation import check_timestep

UNKNOWN_TIMESTEP = 1.0  # ps
OWN_CONVERTERS = ("_mdtraj", "_ase", "_pymatgen", "_mdanalysis")


class UnknownTimestepWarning(UserWarning):
    """An object carries no time, and frames stand for ps."""


class ConvertFunction(Protocol):
    """Makes a trajectory of an object, or of the list of frames that it is registered for."""

    def __call__(self, X: Any, *, timestep: float | None, targets: TargetsLike) -> Trajectory:
        """``timestep`` in ps per frame and ``targets``; None is what the object says."""


class Converter(NamedTuple):
    """What is known of a class of objects.

    Attributes
    ----------
    name : str
        For messages.
    classes : tuple of type or str
        Classes or their dotted names.
    frames : bool
        Whether an object is one frame, and a list of them a trajectory.
    convert : callable
    """

    name: str
    classes: tuple[type | str, ...]
    frames: bool
    convert: ConvertFunction

    def knows(self, X: Any) -> bool:
        """Whether an object is of one of the classes, or of a subclass."""
        kinds = type(X).__mro__
        names = {f"{kind.__module__}.{kind.__qualname__}" for kind in kinds}
        return any(one in names if isinstance(one, str) else one in kinds for one in self.classes)


CONVERTERS: list[Converter] = []


def converter(
    name: str, *classes: type | str, frames: bool = False
) -> Callable[[ConvertFunction], ConvertFunction]:
    """Register a function that makes a `Trajectory` of objects of some classes.

    Such objects are then accepted wherever trajectories are. Later registrations come first.

    Parameters
    ----------
    name : str
        What messages call them.
    classes : type or str
        Classes, or their full names, which import nothing: ``"ase.atoms.Atoms"``.
    frames : bool
        True where an object is a single frame. The function then gets a list of frames.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman import Trajectory
    >>> from graphkoopman.trajectories import as_trajectories
    >>> from graphkoopman.trajectories import converter
    >>> class Walk:
    ...     path = np.zeros((5, 1, 3))
    >>> @converter("a Walk", Walk)
    ... def from_walk(X, *, timestep, targets):
    ...     return Trajectory(X.path, None, [3], timestep=timestep or 1.0, targets=targets)
    >>> as_trajectories(Walk())
    [Trajectory(n_frames=5, n_atoms=1, timestep=1 ps, cell=none)]
    """

    def register(function: ConvertFunction) -> ConvertFunction:
        CONVERTERS.insert(0, Converter(name, classes, frames, function))
        return function

    return register


def as_trajectory(
    X: Any, *, timestep: float | None = None, targets: TargetsLike = None
) -> Trajectory:
    """One trajectory from an object of another package.

    Parameters
    ----------
    X : Trajectory, mdtraj.Trajectory, MDAnalysis.Universe or AtomGroup, ase.io.Trajectory, \
pymatgen Trajectory, ase.Atoms, pymatgen Structure or Molecule, or list of the last three
        Atoms of an AtomGroup become the targets, one each; all atoms of its Universe are read.
    timestep : float or None
        ps per frame; None is what the object says.
    targets : str, array-like, list of array-like, callable or None
        See `resolve_targets`; None is what the object says.

    Returns
    -------
    trajectory : Trajectory

    Raises
    ------
    TypeError
        For an object that no converter knows.

    Warns
    -----
    UnknownTimestepWarning
        If neither ``timestep`` nor the object tells the time between frames; they are then
        taken to be 1 ps apart.
    """
    timestep = None if timestep is None else check_timestep(timestep)
    if isinstance(X, Trajectory):
        given = {"timestep": timestep, "targets": targets}
        changes = {name: value for name, value in given.items() if value is not None}
        return X._with(**changes) if changes else X
    found = one_trajectory(X)
    if found is None:
        raise TypeError(not_a_trajectory(X))
    frames = [X] if found.frames and found.knows(X) else X
    return found.convert(frames, timestep=timestep, targets=targets)


def one_trajectory(X: Any) -> Converter | None:
    """The converter of an object, or of the frames in a list; None for anything else."""
    _load_own()
    for candidate in CONVERTERS:
        if candidate.knows(X):
            return candidate
        if not candidate.frames or not isinstance(X, list | tuple) or len(X) == 0:
            continue
        if all(candidate.knows(frame) for frame in X):
            return candidate
    return None


def not_a_trajectory(X: Any) -> str:
    """The error of an object that is none, and what to do."""
    _load_own()
    known = ", ".join(dict.fromkeys(item.name for item in reversed(CONVERTERS)))
    return (
        f"trajectories must be a Trajectory, {known}, or a list of these, got {type(X).__name__}; "
        "load files with read_trajectory, and build a Trajectory from arrays with "
        "Trajectory(positions in Å, cell, atomic numbers, timestep=ps)"
    )


def unknown_timestep(what: str) -> float:
    """Warn that times are not known; returns what stands for them."""
    warnings.warn(
        f"{what} carries no time: frames are taken to be {UNKNOWN_TIMESTEP:g} ps apart, so times "
        "in ps are numbers of frames; pass as_trajectory(…, timestep=ps per frame) instead",
        UnknownTimestepWarning,
        stacklevel=4,
    )
    return UNKNOWN_TIMESTEP


def _load_own() -> None:
    # each registers itself; they import nothing of the package that they are for
    for module in OWN_CONVERTERS:
        import_module(f"graphkoopman.trajectories.objects.{module}")
