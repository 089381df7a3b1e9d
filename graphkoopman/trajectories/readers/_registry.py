"""`reader`: the decorator that adds a file format, and `find_reader`, which picks one."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from graphkoopman.trajectories.readers._contents import Contents, Structure

COMPRESSION = re.compile(r"\.(gz|bz2|xz)$")
SNIFFED_BYTES = 4096


class ReadFunction(Protocol):
    """Opens a file: everything but its frames is read at once, the frames as they are asked for."""

    def __call__(self, path: Path, structure: Structure | None, chunk: int) -> Contents:
        """Contents of a file.

        Parameters
        ----------
        path : Path
        structure : Structure or None
            What the topology of the user says, for formats that do not name their atoms.
        chunk : int
            Frames per block.
        """


class Reader(NamedTuple):
    """A file format.

    Attributes
    ----------
    format : str
    read : callable
        ``read(path, structure, chunk) -> Contents``.
    pattern : re.Pattern
        Of file names, in lower case and without the suffix of a compression.
    sniff : callable or None
        Whether the first bytes of a file are of this format.
    compressed : bool
        Whether it reads .gz, .bz2 and .xz itself; others get a decompressed copy.
    names_atoms : bool
        Whether files of this format say which atoms they hold; False asks for a topology.
    holds_times : bool
        Whether files of this format may hold times in a known unit; False asks for a timestep.
    """

    format: str
    read: ReadFunction
    pattern: re.Pattern[str]
    sniff: Callable[[bytes], bool] | None
    compressed: bool
    names_atoms: bool
    holds_times: bool


READERS: dict[str, Reader] = {}


def reader(
    format: str,
    pattern: str,
    *,
    sniff: Callable[[bytes], bool] | None = None,
    compressed: bool = False,
    names_atoms: bool = True,
    holds_times: bool = True,
) -> Callable[[ReadFunction], ReadFunction]:
    """Register a function as the reader of a file format, see `Reader`.

    Later registrations come first: a format of one's own takes precedence.

    Parameters
    ----------
    format : str
        What ``read_trajectory(…, format=)`` calls it.
    pattern : str
        Regular expression that matches whole file names, lower case, without compression.
    sniff : callable or None
        Takes the first bytes of a file, decompressed; for files whose name says nothing.
    compressed, names_atoms, holds_times : bool

    Examples
    --------
    >>> from graphkoopman.trajectories.readers import Contents, reader
    >>> @reader("mine", r".*\\.mine")
    ... def read_mine(path, structure, chunk):
    ...     blocks = iter(())  # of FrameBlock
    ...     return Contents("mine", n_atoms=0, blocks=blocks)
    """

    def register(function: ReadFunction) -> ReadFunction:
        READERS[format] = Reader(
            format, function, re.compile(pattern), sniff, compressed, names_atoms, holds_times
        )
        return function

    return register


def find_reader(path: Path, format: str | None = None) -> Reader:
    """The reader of a format, else of a file's name, else of what its first bytes look like.

    Raises
    ------
    ValueError
        For an unknown format, and a file that no reader knows.
    """
    if format is not None:
        return _reader_of_format(format)
    plain = COMPRESSION.sub("", path.name.lower())
    for candidate in reversed(READERS.values()):
        if candidate.pattern.fullmatch(plain):
            return candidate
    head = first_bytes(path)
    for candidate in reversed(READERS.values()):
        if candidate.sniff is not None and candidate.sniff(head):
            return candidate
    raise ValueError(
        f"path must have a format known by its name, got {path.name}; say which with format= "
        f"(--format): {', '.join(sorted(READERS))}"
    )


def _reader_of_format(format: str) -> Reader:
    if not isinstance(format, str):
        raise TypeError(f"format must be a str or None, got {type(format).__name__}")
    from graphkoopman.trajectories.readers._ase_formats import ase_format
    from graphkoopman.trajectories.readers._mdanalysis_formats import mdanalysis_format

    found = READERS.get(format) or READERS.get(format.lower())
    found = found or ase_format(format) or mdanalysis_format(format)
    if found is None:
        raise ValueError(
            f"format must be one of {', '.join(sorted(READERS))}, or a format of ASE or MDAnalysis "
            f"in their spelling where these are installed, got {format!r}"
        )
    return found


def first_bytes(path: Path) -> bytes:
    """The beginning of a file, decompressed; empty where that fails."""
    from graphkoopman.trajectories.readers._text import open_binary

    try:
        with open_binary(path) as file:
            return file.read(SNIFFED_BYTES)
    except Exception:  # each compression fails in its own way; then the file is of no known format
        return b""
