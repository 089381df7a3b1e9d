"""Which atoms count as which species: `resolve_species`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.structure._inputs import StructureRun
from graphkoopman.trajectories import resolve_targets, species_label

__all__ = ["other_atoms", "resolve_species"]


def resolve_species(
    runs: Sequence[StructureRun], species: Any
) -> tuple[tuple[str, ...], list[NDArray[np.int64]]]:
    """Names of the species and the column of every atom.

    Parameters
    ----------
    runs : sequence of StructureRun
    species : None, str, int, sequence of these, or mapping of name to selection
        See `state_rdf`.

    Returns
    -------
    names : tuple of n_species str
    columns : list of n_runs ndarray of shape (n_atoms,)
        int64; -1 for atoms of no species asked for.
    """
    if isinstance(species, Mapping):
        names = tuple(str(name) for name in species)
        columns = [_group_columns(run, species) for run in runs]
    else:
        numbers = _elements(runs, species)
        names = tuple(species_label(number) for number in numbers)
        columns = [_element_columns(run, numbers) for run in runs]
    seen = sum(
        other_atoms(run, column, len(names)).sum(axis=0)
        for run, column in zip(runs, columns, strict=True)
    )
    if species is None:
        # a lone ion has no neighbours of its own kind
        kept = np.flatnonzero(seen)
        order = np.full(len(names) + 1, -1, dtype=np.int64)
        order[kept] = np.arange(len(kept))
        names = tuple(names[i] for i in kept)
        columns = [order[column] for column in columns]
    if not names or (species is not None and np.any(seen == 0)):
        lonely = [name for name, n in zip(names, np.atleast_1d(seen), strict=True) if n == 0]
        raise ValueError(
            f"species must have atoms besides the targets' own, got none for {lonely or 'all'}; "
            "leave them out"
        )
    return names, columns


def other_atoms(run: StructureRun, columns: NDArray[np.int64], n_columns: int) -> NDArray[np.int64]:
    """Atoms in each column that are not the target's own, (n_targets, n_columns)."""
    everywhere = np.bincount(columns[columns >= 0], minlength=n_columns)
    own = np.zeros((run.targets.n_targets, n_columns), dtype=np.int64)
    atoms = run.targets.atoms
    counted = columns[atoms] >= 0
    np.add.at(own, (run.owners()[atoms][counted], columns[atoms][counted]), 1)
    return everywhere - own


def _elements(runs: Sequence[StructureRun], species: Any) -> list[int]:
    present = np.unique(np.concatenate([run.trajectory.species for run in runs])).tolist()
    if species is None:
        return present
    wanted = [species] if isinstance(species, str | int | np.integer) else list(species)
    numbers = [_number(name, present) for name in wanted]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"species must be different elements, got {wanted}")
    return numbers


def _number(name: Any, present: Sequence[int]) -> int:
    """Atomic number of an element, which must be among those present."""
    number = name
    if not isinstance(name, int | np.integer):
        symbols = {species_label(n).lower(): n for n in present}
        number = symbols.get(str(name).lower(), -1)
    if number not in present:
        known = ", ".join(species_label(n) for n in present)
        raise ValueError(
            f"species must be elements of the trajectories ({known}), got {name!r}; "
            "name groups of atoms with a dict of selections"
        )
    return int(number)


def _element_columns(run: StructureRun, numbers: list[int]) -> NDArray[np.int64]:
    columns = np.full(run.trajectory.n_atoms, -1, dtype=np.int64)
    for column, number in enumerate(numbers):
        columns[run.trajectory.species == number] = column
    return columns


def _group_columns(run: StructureRun, groups: Mapping[Any, Any]) -> NDArray[np.int64]:
    columns = np.full(run.trajectory.n_atoms, -1, dtype=np.int64)
    for column, (name, selection) in enumerate(groups.items()):
        atoms = resolve_targets(selection, run.trajectory).atoms
        if np.any(columns[atoms] >= 0):
            other = list(groups)[columns[atoms].max()]
            raise ValueError(
                f"species must not share atoms, got groups {other!r} and {name!r} that do; "
                "compute overlapping groups one at a time"
            )
        columns[atoms] = column
    return columns
