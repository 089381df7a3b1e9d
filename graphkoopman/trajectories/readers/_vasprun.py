"""VASP's vasprun.xml, structure by structure, ab initio and machine-learned steps alike."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories.readers._contents import (
    Atoms,
    Contents,
    FileFormatError,
    FrameBlock,
    Structure,
)
from graphkoopman.trajectories.readers._elements import UNKNOWN, atoms_from_guesses, parse_symbol
from graphkoopman.trajectories.readers._registry import reader
from graphkoopman.trajectories.readers._text import COMPRESSION_ERRORS, open_binary

FS_TO_PS = 1e-3
MOLECULAR_DYNAMICS = 0  # IBRION
BYTES = 1 << 20


def _is_vasprun(head: bytes) -> bool:
    return head.lstrip().startswith(b"<?xml") and b"<modeling>" in head


@reader("vasprun", r".*vasprun.*\.xml", sniff=_is_vasprun, compressed=True)
def read_vasprun(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """Times from POTIM where the run is molecular dynamics (IBRION = 0)."""
    parser = _Parser(path)
    blocks = parser.blocks(chunk)
    first = next(blocks)
    return Contents("vasprun", len(parser.names), _chain(first, blocks), parser.atoms())


def _chain(first: FrameBlock, rest: Iterator[FrameBlock]) -> Iterator[FrameBlock]:
    yield first
    yield from rest


class _Parser:
    """Collects what stands above the frames while they are read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        self.settings: dict[str, str] = {}
        self.n_read = 0

    def atoms(self) -> Atoms:
        """Symbols of the section atominfo."""
        known = {name: parse_symbol(name) for name in set(self.names)}
        guesses = [(known[name], "stated") if known[name] else UNKNOWN for name in self.names]
        return atoms_from_guesses(self.names, guesses)

    def blocks(self, chunk: int) -> Iterator[FrameBlock]:
        """Blocks of so many frames; the first comes alone."""
        frames: list[tuple[Any, Any]] = []
        for cell, positions in self._structures():
            if len(positions) != len(self.names):
                raise FileFormatError(
                    f"frames must hold the same atoms, got {len(positions)} positions in frame "
                    f"{self.n_read} of {self.path} and {len(self.names)} atoms"
                )
            frames.append((cell, positions @ cell))
            self.n_read += 1
            if len(frames) == chunk or self.n_read == 1:
                yield self._block(frames)
                frames = []
        if self.n_read == 0:
            raise FileFormatError(
                f"path must hold the steps of a run, got {self.path} without a <calculation>"
            )
        if frames:
            yield self._block(frames)

    def _block(self, frames: list[tuple[Any, Any]]) -> FrameBlock:
        cells, positions = zip(*frames, strict=True)
        first = self.n_read - len(frames)
        times: Any = None
        step = self._step()
        if step is not None:
            times = np.arange(first + 1, self.n_read + 1) * step
        return FrameBlock(np.array(positions), np.array(cells), times)

    def _step(self) -> float | None:
        """ps from one structure to the next, where the file says so."""
        try:
            if int(self.settings.get("IBRION", "0")) != MOLECULAR_DYNAMICS:
                return None
            every = int(self.settings.get("ML_OUTBLOCK", "1"))
            step = float(self.settings["POTIM"]) * max(every, 1) * FS_TO_PS
        except (KeyError, ValueError):
            return None
        return step if step > 0 else None

    def _structures(self) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Cell and fractional positions of every structure without a name.

        Frames with a name are the first and the last one again.
        """
        depth = 0  # inside atominfo, whose rows are kept until it ends
        try:
            with open_binary(self.path) as file:
                for event, element in _events(file):
                    if element.tag in ("atominfo", "structure"):
                        depth += 1 if event == "start" else -1
                    if event == "start":
                        continue
                    if element.tag == "i" and element.get("name") in SETTINGS:
                        self.settings.setdefault(
                            element.get("name", ""), (element.text or "").strip()
                        )
                    elif element.tag == "atominfo":
                        self.names = _names(element)
                    elif element.tag == "structure" and element.get("name") is None:
                        yield self._structure(element)
                    if depth == 0:
                        element.clear()
        except ElementTree.ParseError as error:
            raise FileFormatError(
                f"path must be a complete vasprun.xml, got {self.path}: truncated or damaged after "
                f"frame {self.n_read}, line {error.position[0]} ({error}); if the run was "
                "interrupted, cut the file after its last whole </calculation> and close it with "
                "</modeling>"
            ) from error
        except COMPRESSION_ERRORS as error:
            raise FileFormatError(
                f"path must be a complete vasprun.xml, got {self.path}: truncated after frame "
                f"{self.n_read}, the compressed file breaks off ({error})"
            ) from error

    def _structure(self, element: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        arrays = {}
        for array in element.iter("varray"):
            if array.get("name") in ("basis", "positions"):
                rows = [(row.text or "").split() for row in array.iter("v")]
                try:
                    arrays[array.get("name")] = np.array(rows, dtype=np.float64).reshape(-1, 3)
                except ValueError:
                    raise FileFormatError(
                        f"path must be a complete vasprun.xml, got {self.path}: damaged numbers of "
                        f"{array.get('name')} in the structure after frame {self.n_read}"
                    ) from None
        if set(arrays) != {"basis", "positions"} or arrays["basis"].shape != (3, 3):
            raise FileFormatError(
                f"path must be a complete vasprun.xml, got {self.path}: the structure after frame "
                f"{self.n_read} has no basis or no positions"
            )
        return arrays["basis"], arrays["positions"]


SETTINGS = ("POTIM", "IBRION", "ML_OUTBLOCK")


def _events(file: Any) -> Iterator[tuple[str, Any]]:
    parser: Any = ElementTree.XMLPullParser(events=("start", "end"))
    while data := file.read(BYTES):
        parser.feed(data)
        yield from parser.read_events()
    parser.close()
    yield from parser.read_events()


def _names(atominfo: Any) -> list[str]:
    """First column of the array "atoms"."""
    for array in atominfo.iter("array"):
        if array.get("name") == "atoms":
            return [(row.find("c").text or "").strip() for row in array.iter("rc") if len(row)]
    return []
