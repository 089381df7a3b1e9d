"""Targets: the atoms or molecules whose states are learned.

`resolve_targets` turns every spelling of them into one `Targets`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphkoopman.trajectories._like import TargetsLike
from graphkoopman.trajectories._species import species_label
from graphkoopman.trajectories._trajectory import Trajectory

ELEMENT_SELECTION = re.compile(r"element((?:\s+[A-Za-z][\w:]*)+)")
INDEX_SELECTION = re.compile(r"index((?:\s+\d+)+)")
MOLECULES_SELECTION = re.compile(r"\s*(molecules|residues|fragments)\b(.*)")
RANGE_SELECTION = re.compile(r"index\s+(\d+)\s+to\s+(\d+)")


@dataclass(frozen=True, eq=False)
class Targets:
    """Groups of atoms, stored flat.

    Attributes
    ----------
    atoms : ndarray of shape (n_target_atoms,)
        int64 indices of the atoms of all targets, target by target.
    offsets : ndarray of shape (n_targets + 1,)
        int64; target ``i`` is ``atoms[offsets[i]:offsets[i + 1]]``.
    """

    atoms: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @property
    def n_targets(self) -> int:
        """Number of targets."""
        return len(self.offsets) - 1

    def groups(self) -> list[NDArray[np.int64]]:
        """Atom indices of each target."""
        return np.split(self.atoms, self.offsets[1:-1])


def resolve_targets(targets: TargetsLike, trajectory: Trajectory) -> Targets:
    """Atom groups from any spelling of targets.

    Parameters
    ----------
    targets : str, array-like, list of array-like, callable, Targets or None
        None is the trajectory's own. A string is an mdtraj selection, one target per atom;
        without a topology only ``element X [Y ...]``, ``index i [j ...]`` and ``index i to j``
        (j included) work. With ``molecules``, ``residues`` or ``fragments`` ahead of it, it is
        one target per molecule, see `molecules`: ``"molecules resname HOH"``. Indices of shape
        (n,) and boolean masks of shape (n_atoms,) are single-atom targets, (n, k) are n targets
        of k atoms, a list of index arrays holds targets of different sizes. A callable gets the
        trajectory and returns any of these.
    trajectory : Trajectory

    Returns
    -------
    targets : Targets

    Raises
    ------
    ValueError
        If nothing is selected, an index is out of range, or an atom is in two targets.
    TypeError
        For indices that are not integers.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.trajectories import Trajectory, resolve_targets
    >>> trajectory = Trajectory(np.zeros((1, 4, 3)), None, [3, 16, 3, 16], timestep=1.0)
    >>> resolve_targets("element Li", trajectory).atoms
    array([0, 2])
    """
    if targets is None:
        targets = trajectory.targets
    if callable(targets):
        targets = targets(trajectory)
    if targets is None:
        raise ValueError(
            "targets must be given, got None and the trajectory has none of its own; "
            'pass a selection such as "element Li" or atom indices'
        )
    if isinstance(targets, str) and (match := MOLECULES_SELECTION.fullmatch(targets)):
        from graphkoopman.trajectories._molecules import molecules

        division, selection = match[1].removesuffix("s"), match[2].strip() or None
        found = molecules(trajectory, selection, by=division)  # type: ignore[arg-type]
        groups = [group[None] for group in found]
    elif isinstance(targets, str):
        groups = [_select(targets, trajectory)[:, None]]
    else:
        groups = _index_groups(targets, trajectory.n_atoms)
    sizes = np.concatenate([np.full(len(group), group.shape[1]) for group in groups])
    atoms = np.concatenate([group.ravel() for group in groups])
    _check_disjoint(atoms, sizes)
    return Targets(atoms=atoms, offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def check_indices(atoms: ArrayLike, n_atoms: int, name: str = "targets") -> NDArray[np.int64]:
    """Atom indices of any shape as int64, within range; a boolean mask becomes indices."""
    indices = np.asarray(atoms)
    if indices.dtype.kind == "b":
        if indices.shape != (n_atoms,):
            raise ValueError(
                f"{name} as a boolean mask must have shape ({n_atoms},), got {indices.shape}"
            )
        indices = np.flatnonzero(indices)
    if indices.size == 0:
        raise ValueError(f"{name} must select at least one atom, got an empty selection")
    if indices.dtype.kind not in "iu":
        raise TypeError(
            f"{name} must be integer atom indices, got dtype {indices.dtype}; "
            "cast them with .astype(int)"
        )
    outside = (indices < 0) | (indices >= n_atoms)
    if outside.any():
        raise ValueError(
            f"{name} must be atom indices from 0 to {n_atoms - 1}, got {indices[outside][0]}"
        )
    return indices.astype(np.int64)


def _index_groups(targets: Any, n_atoms: int) -> list[NDArray[np.int64]]:
    """Arrays of shape (n_targets, size), one for all targets or one for each of them."""
    if isinstance(targets, Targets):
        return [check_indices(group, n_atoms)[None] for group in targets.groups()]
    nested = isinstance(targets, list | tuple) and any(np.ndim(group) for group in targets)
    if nested:
        groups = [check_indices(group, n_atoms) for group in targets]
        if any(group.ndim != 1 for group in groups):
            raise ValueError(
                "targets as a list must hold one 1-D index array per target, "
                f"got dimensions {sorted({group.ndim for group in groups})}"
            )
        return [group[None] for group in groups]
    indices = check_indices(targets, n_atoms)
    if indices.ndim not in (1, 2):
        raise ValueError(
            "targets as an array must have shape (n_targets,) or (n_targets, n_atoms_of_target), "
            f"got {indices.shape}"
        )
    return [indices[:, None] if indices.ndim == 1 else indices]


def _check_disjoint(atoms: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
    values, counts = np.unique(atoms, return_counts=True)
    if counts.max() > 1:
        atom = values[np.argmax(counts > 1)]
        owners = np.repeat(np.arange(len(sizes)), sizes)[atoms == atom]
        raise ValueError(
            f"targets must not overlap, got atom {atom} in targets {owners[0]} and {owners[1]}"
        )


def _select(selection: str, trajectory: Trajectory) -> NDArray[np.int64]:
    atoms = _simple_selection(selection.strip(), trajectory.species, trajectory.topology)
    if atoms is None:
        atoms = _topology_selection(selection, trajectory.topology)
    if atoms.size == 0:
        symbols = [species_label(n) for n in np.unique(trajectory.species)]
        raise ValueError(
            f"targets must select at least one atom, got none for {selection!r}; "
            f"the elements present are {', '.join(symbols)}"
        )
    return check_indices(atoms, trajectory.n_atoms)


def select_atoms(selection: str, topology: md.Topology) -> NDArray[np.int64]:
    """Atoms of a topology that a selection names, as targets are selected; maybe none."""
    elements = [atom.element for atom in topology.atoms]
    species = np.array([0 if element is None else element.number for element in elements])
    atoms = _simple_selection(selection.strip(), species, topology)
    if atoms is None:
        return _topology_selection(selection, topology)
    return atoms[atoms < topology.n_atoms]


def species_labels(trajectory: Trajectory, selections: Mapping[str, str]) -> NDArray[np.str_]:
    """Node type of every atom: its element, or a label where a selection holds.

    For the same element in roles that matter, such as the oxygen of ethers and of an anion.

    Parameters
    ----------
    trajectory : Trajectory
    selections : mapping of str to str
        Label → mdtraj selection. Atoms of none keep the symbol of their element.

    Returns
    -------
    labels : ndarray of shape (n_atoms,) of str
        For ``GraphFeaturizer(species_labels=…)``, which also takes a function of the trajectory.

    Raises
    ------
    ValueError
        If a selection is empty, or an atom is in two of them.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.trajectories import Trajectory, species_labels
    >>> trajectory = Trajectory(np.zeros((1, 4, 3)), None, [3, 16, 3, 16], timestep=1.0)
    >>> species_labels(trajectory, {"Sa": "index 1"}).tolist()
    ['Li', 'Sa', 'Li', 'S']
    """
    labels = np.array([species_label(number) for number in trajectory.species], dtype=object)
    taken = np.zeros(trajectory.n_atoms, dtype=bool)
    for label, selection in selections.items():
        atoms = _select(selection, trajectory)
        if taken[atoms].any():
            atom = int(atoms[taken[atoms]][0])
            raise ValueError(
                f"selections of labels must not overlap, got atom {atom} for {label!r} and "
                f"{labels[atom]!r}"
            )
        labels[atoms], taken[atoms] = label, True
    return labels.astype(str)


def _simple_selection(
    selection: str, species: NDArray[np.int64], topology: md.Topology | None
) -> NDArray[np.int64] | None:
    """Selections that need no topology; None for all others."""
    if match := RANGE_SELECTION.fullmatch(selection):
        return np.arange(int(match[1]), int(match[2]) + 1)
    if match := INDEX_SELECTION.fullmatch(selection):
        return np.array(match[1].split(), dtype=np.int64)
    if (match := ELEMENT_SELECTION.fullmatch(selection)) is None:
        return None
    words = match[1].split()
    present = {species_label(n).upper(): int(n) for n in np.unique(species) if n}
    known = {word: present.get(word.upper()) or _atomic_number(word) for word in words}
    numbers = [number for number in known.values() if number]
    if None in known.values():
        longer = any(len(word) > 2 and number is None for word, number in known.items())
        if topology is not None or longer:
            return None  # "element C or N": a keyword, not a symbol
        unknown = next(word for word in words if not known[word])
        raise ValueError(
            f"targets must name elements by their symbols, got {unknown!r} in {selection!r}"
        )
    return np.flatnonzero(np.isin(species, numbers))


def _atomic_number(symbol: str) -> int | None:
    try:
        return md.element.Element.getBySymbol(symbol.capitalize()).number
    except KeyError:
        return None


def _topology_selection(selection: str, topology: md.Topology | None) -> NDArray[np.int64]:
    if topology is None:
        raise ValueError(
            "targets without a topology must be 'element X [Y ...]' or 'index i [j ...]' or "
            f"'index i to j', got {selection!r}; give the trajectory a topology (top=), or pass "
            "atom indices"
        )
    try:
        return np.asarray(topology.select(selection))
    except Exception as error:  # pyparsing's and ast's own errors, by way of mdtraj
        raise ValueError(
            f"targets must be a valid mdtraj selection, got {selection!r} ({error})"
        ) from error
