"""Files, compressed or not: `open_binary`, `decompressed`, and `Lines` that know their number."""

import bz2
import gzip
import lzma
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

from graphkoopman.trajectories.readers._contents import FileFormatError

OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
COMPRESSION_ERRORS = (EOFError, OSError, lzma.LZMAError, zlib.error)


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading, compressed or not."""
    return OPENERS.get(path.suffix.lower(), open)(path, "rb")


@contextmanager
def decompressed(path: Path, as_is: bool = False) -> Iterator[Path]:
    """A file that a parser can open: the file itself, or a copy where it is compressed.

    Parameters
    ----------
    path : Path
    as_is : bool
        True for parsers that read compressed files themselves.

    Raises
    ------
    FileFormatError
        Where the compressed data break off. Errors inside the context name ``path``.
    """
    if as_is or path.suffix.lower() not in OPENERS:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="graphkoopman-") as folder:
        plain = Path(folder) / path.stem
        try:
            with open_binary(path) as packed, plain.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
        except COMPRESSION_ERRORS as error:
            raise FileFormatError(
                f"path must be a complete, readable file, got {path}: the compressed file breaks "
                f"off ({error}); copy it again"
            ) from error
        try:
            yield plain
        except ValueError as error:
            if str(plain) not in str(error):
                raise
            raise type(error)(str(error).replace(str(plain), str(path))) from error


class Lines:
    """Lines of a text file, which know where they are.

    Attributes
    ----------
    number : int
        Of the line read last, from 1.
    frame : int
        Whole frames read so far; the parser counts it up.
    """

    def __init__(self, path: Path, file: IO[bytes], kind: str) -> None:
        self.path, self.kind = path, kind
        self.number = self.frame = 0
        self._file = file
        self._returned: list[str] = []

    def next(self) -> str | None:
        """The next line; None at the end of the file."""
        lines = self.take(1)
        return lines[0].decode("utf-8", "replace") if lines else None

    def take(self, n: int) -> list[bytes]:
        """The next n lines, fewer at the end of the file."""
        lines = [line.encode() for line in self._returned[:n]]
        self._returned = self._returned[n:]
        try:
            lines += islice(self._file, n - len(lines))
        except COMPRESSION_ERRORS as error:
            raise self.error(f"the compressed file breaks off ({error})", self.number + 1) from None
        self.number += len(lines)
        return lines

    def give_back(self, line: str) -> None:
        """Read a line again."""
        self._returned.insert(0, line)
        self.number -= 1

    def need(self, what: str) -> str:
        """The next line, which has to be there."""
        line = self.next()
        if line is None:
            raise self.ended(what)
        return line

    def need_text(self, n: int, what: str) -> str:
        """The next n lines in one piece, which have to be there."""
        lines = self.take(n)
        if len(lines) < n:
            raise self.ended(f"{what} ({n} lines, {len(lines)} are there)")
        return b"".join(lines).decode("utf-8", "replace")

    def need_many(self, n: int, what: str) -> list[str]:
        """The next n lines, which have to be there."""
        return self.need_text(n, what).split("\n")[:n]

    def ended(self, what: str) -> FileFormatError:
        """The error of a file that breaks off inside a frame."""
        return self.error(f"the file ends at line {self.number} where there should be {what}")

    def error(self, problem: str, line: int | None = None, remedy: str = "") -> FileFormatError:
        """An error that says after which frame, in which line, and what to do."""
        where = "" if line is None else f"line {line}: "
        return FileFormatError(
            f"path must be a complete, readable {self.kind} file, got {self.path}: damaged or "
            f"truncated after frame {self.frame}: {where}{problem}; "
            f"{remedy or 'cut it to whole frames or write it again'}"
        )


@contextmanager
def lines_of(path: Path, kind: str) -> Iterator[Lines]:
    """The lines of a text file."""
    with open_binary(path) as file:
        yield Lines(path, file, kind)
