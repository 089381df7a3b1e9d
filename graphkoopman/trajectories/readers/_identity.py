"""Who the atoms of a run are: what its file and its topology say, and what the user settles."""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._species import (
    SYMBOLS,
    UNITED_ATOMS,
    species_label,
    species_number,
)
from graphkoopman.trajectories.readers._contents import Atoms
from graphkoopman.trajectories.readers._elements import parse_symbol
from graphkoopman.trajectories.readers._topology import with_species

SHOWN = 12  # names in a message
CERTAIN = ("stated", "known")


class Identity(NamedTuple):
    """Species of the atoms that are kept, their topology, and which of the file's atoms they are.

    Attributes
    ----------
    species : ndarray of shape (n_kept,)
    topology : mdtraj.Topology or None
    kept : ndarray of shape (n_kept,) or None
        Indices into the atoms of the file; None is all.
    guesses : dict of str to str
        Name → element, for those that only a name suggests.
    """

    species: NDArray[np.int64]
    topology: md.Topology | None
    kept: NDArray[np.int64] | None
    guesses: dict[str, str]


def identify(
    path: Path | str,
    n_atoms: int,
    in_file: Atoms | None,
    in_top: Atoms | None,
    elements: Mapping[str, str] | None = None,
    exclude: Any = None,
) -> Identity:
    """Species and topology of a run.

    Parameters
    ----------
    path : Path or str
        Of the trajectory, for messages.
    n_atoms : int
        Of the trajectory.
    in_file, in_top : Atoms or None
        What the trajectory and the topology say.
    elements : dict of str to str or None
        Name or type of an atom → element, ahead of both.
    exclude : str, array-like of int or None
        Atoms to leave out.

    Raises
    ------
    ValueError
        For another number of atoms, a contradiction between file and topology, names in
        ``elements`` that no atom has, and atoms that stay unknown.

    Warns
    -----
    UserWarning
        With the list name → element of those that are guesses.
    """
    base = in_top if in_top is not None else in_file
    if base is None:
        raise ValueError(
            f"top must be given for {path}: the file does not name its atoms; pass a pdb, gro or "
            "other topology file (--top), or an mdtraj.Topology"
        )
    if len(base.names) != n_atoms:
        raise other_atoms(path, len(base.names), n_atoms)
    species, origins = base.species.copy(), base.origins.astype("U8")
    settled = _apply(elements, in_file, base, species)
    origins[settled] = "stated"
    if in_top is not None and in_file is not None:
        _reconcile(path, in_file, species, origins, settled)
    kept = _kept(exclude, base, in_file, species)
    _check_types(path, in_file, species, kept)
    shown = np.arange(n_atoms) if kept is None else kept
    _check_known(path, base, in_file, species, shown)
    guessed = shown[origins[shown] == "guessed"]
    guesses = {base.names[i]: species_label(species[i]) for i in guessed}
    if guesses:
        warnings.warn(guess_message(guesses, path), UserWarning, stacklevel=3)
    topology = None if base.topology is None else with_species(base.topology, species)
    if kept is not None:
        species = species[kept]
        topology = None if topology is None else topology.subset(kept)
    return Identity(species, topology, kept, guesses)


def other_atoms(path: Path | str, n_top: int, n_file: int | None) -> ValueError:
    """The error of a topology of another number of atoms."""
    got = "another number" if n_file is None else n_file
    return ValueError(
        f"top must describe the atoms of {path}, got {n_top} atoms for frames of {got}; "
        "use the topology that the run was written with"
    )


def guess_message(guesses: Mapping[str, str], source: Any) -> str:
    """What a warning says about elements that are guesses."""
    pairs = [f"{name} → {label}" for name, label in sorted(guesses.items())]
    more = "" if len(pairs) <= SHOWN else f" and {len(pairs) - SHOWN} more"
    name, label = min(guesses.items())
    return (
        f"elements of {source} were guessed from names: {', '.join(pairs[:SHOWN])}{more}; settle "
        f"them with elements={{{name!r}: {label!r}, …}} (--elements {name}={label}), or give a "
        "topology that states them"
    )


def _apply(
    elements: Any, in_file: Atoms | None, base: Atoms, species: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Set the species that the user names, in place; which atoms these are."""
    settled = np.zeros(len(species), dtype=bool)
    if elements is None:
        return settled
    if not isinstance(elements, Mapping):
        raise TypeError(
            f"elements must be a dict of name to element or None, got {type(elements).__name__}"
        )
    called = [np.array(names) for names in _callings(in_file, base)]
    for key, label in elements.items():
        number = _species_of_user(str(key), label)
        atoms = np.any([names == str(key) for names in called], axis=0)
        if not atoms.any():
            present = sorted({name for names in called for name in names.tolist()})
            raise ValueError(
                f"elements must name atoms of the run, got {key!r}; its names and types are "
                f"{', '.join(present[:SHOWN])}{' …' if len(present) > SHOWN else ''}"
            )
        species[atoms] = number
        settled |= atoms
    return settled


def _callings(in_file: Atoms | None, base: Atoms) -> list[Sequence[str]]:
    """Every way to call the atoms: names, residue:name, types."""
    callings: list[Sequence[str]] = [base.names]
    if base.topology is not None:
        callings.append([f"{a.residue.name}:{a.name}" for a in base.topology.atoms])
    if in_file is not None and len(in_file.names) == len(base.names):
        callings.append(in_file.names)
        if in_file.types is not None:
            callings.append(in_file.types)
    return callings


def _species_of_user(key: str, label: Any) -> int:
    if not isinstance(label, str):
        raise TypeError(f"elements must map to symbols, got {type(label).__name__} for {key!r}")
    number = SYMBOLS.get(label) or parse_symbol(label)
    if number:
        return number
    # a misspelt element must not become a node type of its own
    if label in UNITED_ATOMS or label == key or label.startswith("b:"):
        return species_number(label)
    raise ValueError(
        f"elements must map to symbols of elements, got {label!r} for {key!r}; a united atom is "
        f"one of {', '.join(UNITED_ATOMS)}, a bead is its own name ({key}={key}) or b:NAME"
    )


def _reconcile(
    path: Path | str,
    in_file: Atoms,
    species: NDArray[np.int64],
    origins: NDArray[np.str_],
    settled: NDArray[np.bool_],
) -> None:
    """Compare with the file, whose knowledge is ahead of guesses of the topology."""
    file_knows = np.isin(in_file.origins, CERTAIN) & ~settled
    top_knows = np.isin(origins, CERTAIN)
    differs = file_knows & top_knows & (in_file.species != species)
    if differs.any():
        atom = int(np.argmax(differs))
        raise ValueError(
            f"top must describe the atoms of {path} in the order of the file, got "
            f"{species_label(species[atom])} for atom {atom}, which is "
            f"{species_label(in_file.species[atom])} in the file; use the topology that the run "
            "was written with, or leave top out"
        )
    taken = file_knows & ~top_knows
    species[taken] = in_file.species[taken]
    origins[taken] = in_file.origins[taken]


def _check_types(
    path: Path | str,
    in_file: Atoms | None,
    species: NDArray[np.int64],
    kept: NDArray[np.int64] | None,
) -> None:
    """A type of LAMMPS is one element."""
    # one type for everything is what writers put that know no types
    if in_file is None or in_file.types is None or len(set(in_file.types)) == 1:
        return
    first: dict[str, int] = {}
    for atom in range(len(species)) if kept is None else kept.tolist():
        kind = in_file.types[atom]
        other = first.setdefault(kind, atom)
        if species[other] != species[atom]:
            names = [
                species_label(species[i]) if species[i] else "no element" for i in (other, atom)
            ]
            raise ValueError(
                f"top must describe the atoms of {path} in the order of their ids, got {names[0]} "
                f"for atom {other} and {names[1]} for atom {atom}, which are both of type {kind} "
                "in the file; use the topology that the run was written with"
            )


def _check_known(
    path: Path | str,
    base: Atoms,
    in_file: Atoms | None,
    species: NDArray[np.int64],
    shown: NDArray[np.int64],
) -> None:
    unknown = shown[species[shown] == 0]
    if len(unknown) == 0:
        return
    names = sorted({base.names[i] for i in unknown})
    first = names[0]
    if base.topology is not None:
        atom = base.topology.atom(int(unknown[0]))
        raise ValueError(
            f"topology must know the element of every atom, got none for atom {atom.index} "
            f"({atom}) of {path}; set it with elements={{{first!r}: …}} (--elements {first}=…), or "
            f"leave virtual sites out with exclude='name {' '.join(names[:SHOWN])}' (--exclude), "
            "or with atom_slice in mdtraj"
        )
    raise ValueError(
        f"top must be given for {path}: it holds atom types but no elements (types "
        f"{', '.join(names[:SHOWN])}); pass a topology, settle them with "
        f"elements={{{first!r}: 'Li', …}} (--elements {first}=Li), or write the column with "
        "LAMMPS' dump_modify element"
    )


def _kept(
    exclude: Any, base: Atoms, in_file: Atoms | None, species: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Indices of the atoms that stay; None is all."""
    if exclude is None:
        return None
    n_atoms = len(species)
    if isinstance(exclude, str):
        out = _excluded(exclude, base, in_file, species)
        if out.size == 0:
            raise ValueError(f"exclude must select at least one atom, got none for {exclude!r}")
    else:
        out = np.asarray(exclude)
        whole = out.ndim == 1 and out.size > 0 and out.dtype.kind in "iu"
        if not whole or out.min() < 0 or out.max() >= n_atoms:
            raise ValueError(
                f"exclude must be a selection or atom indices from 0 to {n_atoms - 1}, got "
                f"{exclude!r}"
            )
    kept = np.setdiff1d(np.arange(n_atoms), out)
    if kept.size == 0:
        raise ValueError(f"exclude must leave at least one atom, got {exclude!r} for all")
    return kept


def _excluded(
    selection: str, base: Atoms, in_file: Atoms | None, species: NDArray[np.int64]
) -> NDArray[np.int64]:
    match = re.fullmatch(r"\s*(name|type|element|index)\s+(.+?)\s*", selection)
    words = [] if match is None else match[2].split()
    plain = match is not None and not {"and", "or", "not", "to", "=", "=="} & set(words)
    if plain and match is not None:
        if match[1] == "element":
            return np.flatnonzero(np.isin(species, [SYMBOLS.get(word, -1) for word in words]))
        if match[1] == "index" and all(word.isdigit() for word in words):
            return np.array([int(w) for w in words if int(w) < len(species)], dtype=np.int64)
        types = None if in_file is None else in_file.types
        called = types if match[1] == "type" else base.names
        if called is not None and match[1] in ("name", "type"):
            return np.flatnonzero(np.isin(called, words))
    if base.topology is None:
        raise ValueError(
            "exclude without a topology must be 'name X', 'type X', 'element X' or 'index i', got "
            f"{selection!r}; give a topology (top=), or atom indices"
        )
    try:
        return np.asarray(with_species(base.topology, species).select(selection))
    except Exception as error:  # pyparsing's and ast's own errors, by way of mdtraj
        raise ValueError(
            f"exclude must be a valid mdtraj selection, got {selection!r} ({error})"
        ) from error
