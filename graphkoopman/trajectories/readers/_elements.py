"""Elements from what files hold in their place: symbols, names in residues, masses.

Names are not elements: NA in a residue NA is sodium, NA in a haem is nitrogen, C1 may be a carbon
or a bead of four of them. What residues or masses settle is known; what only a name suggests is a
guess, and said.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from graphkoopman.trajectories._species import (
    SYMBOLS,
    UNITED_ATOMS,
    species_mass,
    species_number,
)
from graphkoopman.trajectories.readers._contents import Atoms
from graphkoopman.trajectories.readers._residues import (
    BIOPOLYMERS,
    ION_ELEMENTS,
    ION_RESIDUES,
    IONS,
    LIPID_BEADS,
    PROTEIN_BEADS,
    SELENIUM,
    VIRTUAL,
    WATER_BEADS,
    WATERS,
)

Guess = tuple[int, str]  # number of a species, and its origin
UNKNOWN: Guess = (0, "unknown")
# "Li", "Li_sv", "Li_sv/5e0f28cc669", "Li+", "O2-", "Na1+", "Fe 2+"
SYMBOL = re.compile(r"([A-Z][a-z]?)(?:[_/.].*)?(?:\s?\d*[+-]\d*)?")
CHARGE = re.compile(r"\d*[+-]+\d*$")
# relative; rounding to two digits is inside, a united atom beside an element is not
MASS_TOLERANCE = 1e-3
ELEMENT_MASSES = np.array([species_mass(number) for number in range(1, 104)])
UNITED_LABELS = list(UNITED_ATOMS)
UNITED_MASSES = np.array(list(UNITED_ATOMS.values()))
# two letters that are rarely a label after one of the elements that molecules are made of
_PLAIN_PAIRS = """
Li Be Mg Al Si Cl Ti Mn Fe Zn Ga Ge As Se Br Rb Zr Mo Ru Rh Ag Xe La Ta Au Tl Bi Eu Gd Kr Ar
Te Tb Yb Lu Er Dy Tm
"""
PLAIN_PAIRS = frozenset(_PLAIN_PAIRS.split())
_MOLECULAR = "H C N O F P S B I K V W Y U"
MOLECULAR = frozenset(_MOLECULAR.split())


def parse_symbol(text: str) -> int:
    """Atomic number of a symbol as codes write them, with a potential, a hash or a charge.

    0 where it is none.
    """
    match = SYMBOL.fullmatch(text.strip())
    if match is None:
        return 0
    return SYMBOLS.get(match[1], 0)


def element_of_mass(mass: float) -> int:
    """Number of the element or united atom of a mass; 0 where neither is that near.

    Hydrogens that took over mass from their neighbours (3.024) are near nothing.
    """
    united = int(np.argmin(np.abs(UNITED_MASSES - mass)))
    element = int(np.argmin(np.abs(ELEMENT_MASSES - mass)))
    from_united = abs(UNITED_MASSES[united] - mass)
    from_element = abs(ELEMENT_MASSES[element] - mass)
    if min(from_united, from_element) > max(0.005, MASS_TOLERANCE * mass):
        return 1 if abs(mass - 2.014) < 0.005 else 0  # deuterium
    if from_united < from_element:
        return species_number(UNITED_LABELS[united])
    return element + 1


def elements_of_residue(residue: str, names: Sequence[str]) -> list[Guess]:
    """Species and origins of the atoms of one residue, from its name and theirs.

    Parameters
    ----------
    residue : str
        Empty where there are no residues: nothing but the names then.
    names : sequence of str

    Returns
    -------
    guesses : list of (int, str)
    """
    return list(_elements_of_residue(residue, tuple(names)))


@lru_cache(maxsize=4096)  # a solvent is thousands of the same residue
def _elements_of_residue(residue: str, names: tuple[str, ...]) -> tuple[Guess, ...]:
    kind = residue.strip().upper()
    upper = {name.strip().upper() for name in names}
    if upper & PROTEIN_BEADS or len(upper & LIPID_BEADS) > 1:
        return tuple(_bead(name) for name in names)
    drude = {name for name in upper if name[:1] == "D" and name[1:] in upper}
    guesses = _guesses(kind, names)
    return tuple(
        UNKNOWN if name.strip().upper() in drude else guess
        for name, guess in zip(names, guesses, strict=True)
    )


def _guesses(kind: str, names: Sequence[str]) -> list[Guess]:
    if len(names) == 1 and kind not in WATERS and kind not in BIOPOLYMERS:
        return [_single_atom(kind, names[0])]
    if kind in WATERS:
        return [_of_water(name) for name in names]
    if kind in BIOPOLYMERS:
        return [_of_biopolymer(kind, name) for name in names]
    if kind in ION_RESIDUES:
        return [_single_atom(kind, name) for name in names]
    guesses = [_of_name(name) for name in names]
    has_hydrogen = any(number == 1 for number, _ in guesses)
    return [
        _united(name) or guess if not has_hydrogen else guess
        for name, guess in zip(names, guesses, strict=True)
    ]


def _bead(name: str) -> Guess:
    label = name.strip()
    if not (label.isascii() and label.isprintable() and 0 < len(label) <= 4) or label.isdigit():
        return UNKNOWN
    # W is a bead of water here, not tungsten
    return species_number(f"b:{label}" if label in SYMBOLS else label), "guessed"


def _united(name: str) -> Guess | None:
    """A carbon whose name counts its hydrogens, where there are no hydrogens."""
    match = re.fullmatch(r"\d*(CH[1-4])[A-Z]?\d*", name.strip().upper())
    if match is None:
        return None
    label = "CH" if match[1] == "CH1" else match[1]
    return species_number(label), "guessed"


def _single_atom(residue: str, name: str) -> Guess:
    bare = CHARGE.sub("", name.strip()) or name.strip()
    upper = re.sub(r"\d+$", "", bare).upper() or bare.upper()
    if upper in IONS:
        return SYMBOLS[IONS[upper]], "known"
    if upper in WATER_BEADS:
        return _bead(upper)
    if upper in VIRTUAL:
        return UNKNOWN
    symbol = upper.capitalize()
    residue_symbol = re.sub(r"\d+$", "", CHARGE.sub("", residue)).capitalize()
    if symbol in SYMBOLS:
        is_ion = symbol in ION_ELEMENTS and residue in ION_RESIDUES
        settled = residue_symbol == symbol or is_ion or residue in IONS
        return SYMBOLS[symbol], "known" if settled else "guessed"
    return _of_name(name)


def _of_water(name: str) -> Guess:
    upper = re.sub(r"^\d+", "", name.strip().upper())
    if upper in VIRTUAL or upper[:1] in ("M", "E", "L"):
        return UNKNOWN
    number = {"H": 1, "D": 1, "O": 8}.get(upper[:1], 0)
    return (number, "known") if number else _of_name(name)


def _of_biopolymer(residue: str, name: str) -> Guess:
    upper = re.sub(r"^[\d*]+", "", name.strip().upper())
    if upper in VIRTUAL:
        return UNKNOWN
    if residue in SELENIUM and upper.startswith("SE"):
        return SYMBOLS["Se"], "known"
    if upper[:1] == "D":  # exchanged for deuterium
        return 1, "known"
    number = SYMBOLS[upper[:1]] if upper[:1] in ("H", "C", "N", "O", "S", "P") else 0
    return (number, "known") if number else _of_name(name)


def _of_name(name: str) -> Guess:
    """What a name alone suggests."""
    bare = CHARGE.sub("", name.strip()) or name.strip()
    letters = re.match(r"^[\d*'\"]*([A-Za-z]*)", bare)
    word = "" if letters is None else letters[1]
    if bare.upper() in VIRTUAL or word.upper().startswith("LP"):
        return UNKNOWN
    if word.upper() in IONS:
        return SYMBOLS[IONS[word.upper()]], "guessed"
    pair = word[:2].capitalize()
    # a lower-case second letter is a symbol, "Co"; capitals may be a label, "CO"
    if pair in SYMBOLS and len(word) > 1 and (word[1].islower() or pair in PLAIN_PAIRS):
        return SYMBOLS[pair], "guessed"
    first = word[:1].upper()
    if first == "D":
        return 1, "guessed"
    if first in MOLECULAR:
        return SYMBOLS[first], "guessed"
    return (SYMBOLS[pair], "guessed") if pair in SYMBOLS and len(word) > 1 else _bead(name)


def atoms_from_symbols(names: Sequence[str], **more: Any) -> Atoms:
    """Atoms of a file whose names are meant as symbols; those that are none are guessed."""
    by_name = {name: _of_symbol(name) for name in set(names)}
    return atoms_from_guesses(names, [by_name[name] for name in names], **more)


def _of_symbol(name: str) -> Guess:
    number = parse_symbol(name)
    if number:
        return number, "stated"
    if name.isalpha() and name.capitalize() in SYMBOLS:  # all in capitals, as some codes write
        return SYMBOLS[name.capitalize()], "guessed"
    return _united(name) or _of_name(name)


def atoms_from_guesses(names: Sequence[str], guesses: Iterable[Guess], **more: Any) -> Atoms:
    """Atoms of these names and guesses."""
    numbers, origins = zip(*guesses, strict=True)
    return Atoms(tuple(names), np.array(numbers, dtype=np.int64), np.array(origins), **more)


def atoms_from_masses(masses: Sequence[float], names: Sequence[str], **more: Any) -> Atoms:
    """Atoms of a file that gives masses; names are how its atoms are called, or their types.

    Where one mass is no element's, masses were repartitioned or united, and the others may be
    near an element by chance.
    """
    numbers = {mass: element_of_mass(mass) for mass in set(masses)}
    # a hydrogen of 4 u looks like helium, the carbon beside it like beryllium
    sound = all(0 < number < 1000 and number not in (2, 4) for number in numbers.values())
    origin = dict.fromkeys(numbers, "known" if sound else "guessed")
    guesses = [(numbers[m], origin[m]) if numbers[m] else UNKNOWN for m in masses]
    return atoms_from_guesses(names, guesses, **more)
