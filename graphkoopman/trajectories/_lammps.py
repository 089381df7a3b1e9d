"""`lammps_header`: what a LAMMPS text dump says about its columns and boundaries."""

import bz2
import gzip
import lzma
from pathlib import Path
from typing import IO, NamedTuple

HEADER_LINES = 20


class LammpsHeader(NamedTuple):
    """Columns and boundaries of the first frame."""

    columns: frozenset[str]
    periodic: bool

    @property
    def scaled(self) -> bool:
        """Whether positions are in fractions of the cell only."""
        return not self.columns & {"x", "xu"}

    @property
    def names_elements(self) -> bool:
        """Whether elements can be told, rather than bare atom types."""
        return bool(self.columns & {"element", "mass"})


def lammps_header(path: Path) -> LammpsHeader:
    """Read the header of the first frame.

    Raises
    ------
    ValueError
        If the file does not begin like a LAMMPS text dump.
    """
    boundaries: list[str] = []
    try:
        with open_text(path) as file:
            for _ in range(HEADER_LINES):
                line = file.readline()
                if line.startswith("ITEM: BOX BOUNDS"):
                    boundaries = line.split()[-3:]
                if line.startswith("ITEM: ATOMS"):
                    periodic = all(flag in ("p", "pp") for flag in boundaries)
                    return LammpsHeader(frozenset(line.split()[2:]), periodic)
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError) as error:
        raise ValueError(f"path must be a readable LAMMPS dump, got {path}: {error}") from error
    raise ValueError(f"path must be a LAMMPS text dump, got {path} without an 'ITEM: ATOMS' line")


def open_text(path: Path) -> IO[str]:
    """Open a text file, compressed or not."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return gzip.open(path, "rt")
    if suffix == ".bz2":
        return bz2.open(path, "rt")
    if suffix == ".xz":
        return lzma.open(path, "rt")
    return open(path)
