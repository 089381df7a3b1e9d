"""Kinds of atoms as numbers: elements, and node types of their own for what is no element.

An element is its atomic number. A united atom ("CH2") or a coarse bead ("BB") is a larger number
that spells its label, so that the same label is the same number in every file.
"""

import mdtraj as md

N_ELEMENTS = 116  # mdtraj's table of elements ends there
FIRST_LABEL = 1000
LONGEST_LABEL = 6
# mass of united atoms, from standard atomic weights
UNITED_ATOMS = {"CH": 13.019, "CH2": 14.027, "CH3": 15.035, "CH4": 16.043}
BEAD_MASS = 72.0  # of four water molecules, the regular bead of the Martini force field

SYMBOLS = {
    md.element.Element.getByAtomicNumber(number).symbol: number
    for number in range(1, N_ELEMENTS + 1)
}
SYMBOLS |= {"D": 1, "T": 1}


def species_number(label: str) -> int:
    """Number of an element's symbol, or of any other label of up to six ASCII characters.

    Examples
    --------
    >>> from graphkoopman.trajectories._species import species_label, species_number
    >>> species_number("Li")
    3
    >>> species_label(species_number("CH2"))
    'CH2'
    """
    if label in SYMBOLS:
        return SYMBOLS[label]
    if not (label.isascii() and label.isprintable() and 0 < len(label) <= LONGEST_LABEL):
        raise ValueError(
            f"a node type must be named by 1 to {LONGEST_LABEL} ASCII characters, got {label!r}"
        )
    return FIRST_LABEL + int.from_bytes(label.encode("ascii"), "big")


def is_species(number: int) -> bool:
    """Whether a number stands for an element or a label."""
    if 1 <= number <= N_ELEMENTS:
        return True
    if not FIRST_LABEL < number < FIRST_LABEL + 256**LONGEST_LABEL:
        return False
    label = _label_bytes(number)
    return all(32 <= letter < 127 for letter in label)


def species_label(number: int) -> str:
    """Symbol of an element, label of any other node type; the number where it is neither."""
    number = int(number)
    if not is_species(number):  # numbers of the user, or a damaged file that is mapped
        return str(number)
    if number <= N_ELEMENTS:
        return md.element.Element.getByAtomicNumber(number).symbol
    return _label_bytes(number).decode("ascii")


def species_mass(number: int) -> float:
    """Standard atomic weight, the sum of these for a united atom, 72 for any other bead."""
    number = int(number)
    if number <= N_ELEMENTS:
        return md.element.Element.getByAtomicNumber(number).mass
    return UNITED_ATOMS.get(species_label(number), BEAD_MASS)


def _label_bytes(number: int) -> bytes:
    value = int(number) - FIRST_LABEL
    return value.to_bytes((value.bit_length() + 7) // 8, "big")
