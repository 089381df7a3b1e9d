"""LAMMPS text dumps: any columns and boundaries, the units that they name, atoms by their ids.

After LAMMPS' documentation of ``dump custom`` and ``dump_modify``. Positions are those of the
columns that say most: unwrapped ahead of wrapped, with image flags where these are there.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories.readers._contents import (
    Atoms,
    Contents,
    FileFormatError,
    FrameBlock,
    Structure,
)
from graphkoopman.trajectories.readers._elements import (
    UNKNOWN,
    atoms_from_guesses,
    atoms_from_masses,
    atoms_from_symbols,
)
from graphkoopman.trajectories.readers._registry import reader
from graphkoopman.trajectories.readers._text import Lines, lines_of

# of LAMMPS' styles of units: Å per unit of length, ps per unit of time
UNITS = {
    "real": (1.0, 1e-3),
    "metal": (1.0, 1.0),
    "si": (1e10, 1e12),
    "cgs": (1e8, 1e12),
    "electron": (0.529177210903, 1e-3),
    "micro": (1e4, 1e6),
    "nano": (10.0, 1e3),
}
# columns of positions, the best first: names, in fractions of the cell, unwrapped
POSITIONS = (
    (("xu", "yu", "zu"), False, True),
    (("xsu", "ysu", "zsu"), True, True),
    (("x", "y", "z"), False, False),
    (("xs", "ys", "zs"), True, False),
)
IMAGES = ("ix", "iy", "iz")


class Box(NamedTuple):
    """Cell (3, 3) and origin (3,) in the file's unit of length, and which directions repeat."""

    cell: NDArray[np.float64]
    origin: NDArray[np.float64]
    periodic: list[bool]


class Header(NamedTuple):
    """What stands above the atoms of a frame."""

    step: int
    time: float | None
    n_atoms: int
    box: Box
    columns: tuple[str, ...]


class Layout(NamedTuple):
    """Where the columns are that matter; they stay the same throughout a file."""

    columns: tuple[str, ...]
    positions: tuple[int, ...]
    scaled: bool
    unwrapped: bool
    images: tuple[int, ...]
    id: int


def _is_dump(head: bytes) -> bool:
    return head.startswith((b"ITEM: TIMESTEP", b"ITEM: UNITS", b"ITEM: TIME"))


@reader("lammps-dump", r".*\.(dump|lammpstrj)", sniff=_is_dump, compressed=True)
def read_lammps_dump(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """Positions in Å; steps, and times where the file names its units."""
    frames = DumpFrames(path)
    blocks = frames.blocks(chunk)
    first = next(blocks)
    periodic = frames.first.box.periodic
    return Contents(
        "lammps-dump",
        len(first.positions[0]),
        _chain(first, blocks),
        frames.atoms(),
        unwrapped=frames.layout.unwrapped,
        periodic=all(periodic),
    )


def _chain(first: FrameBlock, rest: Iterator[FrameBlock]) -> Iterator[FrameBlock]:
    yield first
    yield from rest


class DumpFrames:
    """Frames of a dump, their atoms in the order of their ids.

    Attributes
    ----------
    first : Header
        Of the first frame, once that has been read.
    layout : Layout
    """

    first: Header
    layout: Layout

    def __init__(self, path: Path) -> None:
        self.path = path
        self.units: str | None = None
        self._labels: dict[str, list[str]] = {}
        self._id_words: list[str] | None = None
        self._order: NDArray[np.int64] | None = None
        self._ids: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def blocks(self, chunk: int) -> Iterator[FrameBlock]:
        """Blocks of so many frames."""
        with lines_of(self.path, "LAMMPS dump") as lines:
            frames: list[tuple[Any, ...]] = []
            while (header := self._header(lines)) is not None:
                frames.append(self._frame(lines, header))
                lines.frame += 1
                # the first frame comes alone: who the atoms are must be known before the others
                if len(frames) == chunk or lines.frame == 1:
                    yield self._block(frames)
                    frames = []
            if lines.frame == 0:
                raise FileFormatError(
                    f"path must be a LAMMPS text dump, got {self.path} without an 'ITEM: ATOMS' "
                    "line"
                )
            if frames:
                yield self._block(frames)

    def atoms(self) -> Atoms:
        """Who the atoms are, by what the first frame says of them."""
        types = self._labels.get("type")
        names = types or [str(i) for i in self._ids]
        more = {"types": None if types is None else tuple(types), "ids": self._ids}
        if "element" in self._labels:
            symbols = self._labels["element"]
            # LAMMPS writes C for every type unless dump_modify names the elements
            if set(symbols) == {"C"} and types is not None and len(set(types)) > 1:
                return atoms_from_guesses(names, [(6, "guessed")] * len(names), **more)
            return atoms_from_symbols(symbols, **more)
        if "mass" in self._labels:
            return atoms_from_masses([float(m) for m in self._labels["mass"]], names, **more)
        if types is not None and not any(kind.isdigit() for kind in types):
            return atoms_from_symbols(types, **more)  # labels of types
        return atoms_from_guesses(names, [UNKNOWN] * len(names), **more)

    def _header(self, lines: Lines) -> Header | None:
        """The header of the next frame; None at the end of the file."""
        step = time = n_atoms = box = None
        while (line := lines.next()) is not None:
            if not line.strip():
                continue
            item = line.strip()
            if item.startswith("ITEM: UNITS"):
                self._set_units(lines)
            elif item.startswith("ITEM: TIMESTEP"):
                step = self._number(lines, int, "a step number")
            elif item.startswith("ITEM: TIME"):
                time = self._number(lines, float, "a time")
            elif item.startswith("ITEM: NUMBER OF ATOMS"):
                n_atoms = self._number(lines, int, "a number of atoms")
            elif item.startswith("ITEM: BOX BOUNDS"):
                box = self._box(lines, item.split()[3:])
            elif item.startswith("ITEM: ATOMS"):
                if step is None or n_atoms is None or box is None:
                    raise lines.error("ITEM: ATOMS without a header above it", lines.number)
                if n_atoms < 1:
                    raise lines.error(f"{n_atoms} atoms", lines.number)
                return Header(step, time, n_atoms, box, tuple(item.split()[2:]))
            elif not item.startswith("ITEM:"):
                raise lines.error(f"a line ITEM: expected, got {item[:60]!r}", lines.number)
            else:
                lines.need("a value")  # an item of a newer LAMMPS
        if step is not None or n_atoms is not None:
            raise lines.ended("the rest of a header")
        return None

    def _set_units(self, lines: Lines) -> None:
        units = lines.need("units").strip()
        if units == "lj":
            raise FileFormatError(
                f"path must hold lengths, got {self.path} in LAMMPS units lj, which have no scale; "
                "multiply positions and cell by σ in Å and pass them to Trajectory, or write the "
                "dump in other units"
            )
        if units not in UNITS:
            raise lines.error(f"units {units!r}, of {', '.join(UNITS)}", lines.number)
        if self.units not in (None, units):
            raise lines.error(f"units {units} after {self.units}", lines.number)
        self.units = units

    @staticmethod
    def _number(lines: Lines, kind: Any, what: str) -> Any:
        text = lines.need(what)
        try:
            return kind(text)
        except ValueError:
            message = f"{what} expected, got {text.strip()[:60]!r}"
            raise lines.error(message, lines.number) from None

    @staticmethod
    def _box(lines: Lines, words: list[str]) -> Box:
        """Orthogonal, tilted (lo_bound hi_bound tilt) and general (a vector and the origin)."""
        general = words[:2] == ["abc", "origin"]
        tilted = words[:3] == ["xy", "xz", "yz"]
        flags = words[2 if general else 3 if tilted else 0 :]
        n_values = 4 if general else 3 if tilted else 2
        rows = []
        for _ in range(3):
            text = lines.need("three lines of the box")
            try:
                rows.append([float(word) for word in text.split()])
            except ValueError:
                rows.append([])
            if len(rows[-1]) != n_values:
                message = f"{n_values} numbers of the box expected, got {text.strip()[:60]!r}"
                raise lines.error(message, lines.number)
        values = np.array(rows)
        # old dumps name no boundaries: they are periodic unless they say otherwise
        periodic = [flag in ("p", "pp") for flag in flags] or [True] * 3
        if len(periodic) != 3:
            raise lines.error(f"three boundaries expected, got {flags}", lines.number - 3)
        if general:
            return Box(values[:, :3], values[:, 3], periodic)
        low, high = values[:, 0].copy(), values[:, 1].copy()
        xy, xz, yz = values[:, 2] if tilted else (0.0, 0.0, 0.0)
        low[0] -= min(0.0, xy, xz, xy + xz)
        high[0] -= max(0.0, xy, xz, xy + xz)
        low[1] -= min(0.0, yz)
        high[1] -= max(0.0, yz)
        # the same lengths at another origin differ in the last bits
        digits = 12 - int(np.ceil(np.log10(max(np.abs(values).max(), 1e-300))))
        cell = np.diag(np.round(high - low, digits))
        cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
        return Box(cell, low, periodic)

    def _frame(self, lines: Lines, header: Header) -> tuple[Any, ...]:
        """Positions, cell, time and step of the frame below a header."""
        if lines.frame == 0:
            self.first, self.layout = header, self._layout(lines, header.columns)
        first = self.first
        if header.n_atoms != first.n_atoms:
            raise FileFormatError(
                f"frames must hold the same atoms, got {header.n_atoms} atoms in frame "
                f"{lines.frame} of {self.path} and {first.n_atoms} in the first; the file is "
                "damaged, or atoms come and go: dump a group that stays"
            )
        if header.columns != first.columns or header.box.periodic != first.box.periodic:
            raise lines.error("other columns or boundaries than in the first frame", lines.number)
        above = lines.number
        body = lines.need_text(header.n_atoms, "the lines of the atoms")
        words = body.split()
        n_columns = len(header.columns)
        if len(words) != header.n_atoms * n_columns:
            raise self._bad_line(lines, body, above, n_columns)
        try:
            order = self._sort(words, lines)
            positions = self._positions(words, header.box)
        except (ValueError, OverflowError) as error:
            if isinstance(error, FileFormatError):
                raise
            raise self._bad_line(lines, body, above, n_columns) from None
        if order is not None:
            positions = positions[order]
        self._check_labels(words, order, lines)
        return positions, header.box, header.time, header.step

    def _layout(self, lines: Lines, columns: tuple[str, ...]) -> Layout:
        place = {name: i for i, name in enumerate(columns)}
        if "id" not in place:
            raise FileFormatError(
                f"path must tell which atom is which, got the dump {self.path} without a column "
                "id: LAMMPS writes atoms in another order in every frame; write it with dump "
                "custom … id"
            )
        for names, scaled, unwrapped in POSITIONS:
            if set(names) <= set(place):
                images = IMAGES if set(IMAGES) <= set(place) and not unwrapped else ()
                return Layout(
                    columns,
                    tuple(place[name] for name in names),
                    scaled,
                    unwrapped or bool(images),
                    tuple(place[name] for name in images),
                    place["id"],
                )
        raise lines.error(
            f"no columns of positions among {' '.join(columns)}", lines.number,
            "write x y z, xs ys zs, xu yu zu or xsu ysu zsu",
        )  # fmt: skip

    def _sort(self, words: list[str], lines: Lines) -> NDArray[np.int64] | None:
        """The order of the ids; the same ids in every frame."""
        id_words = words[self.layout.id :: len(self.layout.columns)]
        if id_words == self._id_words:
            return self._order
        ids = np.array([int(word) for word in id_words], dtype=np.int64)
        order = np.argsort(ids, kind="stable")
        ids = ids[order]
        if lines.frame == 0:
            twice = np.flatnonzero(np.diff(ids) == 0)
            if len(twice):
                raise lines.error(f"two atoms of id {ids[twice[0]]}", lines.number)
            self._ids = ids
        elif not np.array_equal(ids, self._ids):
            gone, came = np.setdiff1d(self._ids, ids), np.setdiff1d(ids, self._ids)
            what = f"id {gone[0]} is gone" if len(gone) else "an id is there twice"
            what += f" and id {came[0]} is new" if len(came) else ""
            raise FileFormatError(
                f"frames must hold the same atoms, got other ids in frame {lines.frame} of "
                f"{self.path}: {what}; dump a group of atoms that stay"
            )
        sorted_already = bool(np.array_equal(order, np.arange(len(order))))
        self._id_words, self._order = id_words, None if sorted_already else order
        return self._order

    def _positions(self, words: list[str], box: Box) -> NDArray[np.float64]:
        layout, n = self.layout, len(self.layout.columns)
        values = np.array([list(map(float, words[i::n])) for i in layout.positions]).T
        if layout.scaled:
            values = box.origin + values @ box.cell
        if layout.images:
            shifts = np.array([list(map(int, words[i::n])) for i in layout.images]).T
            values = values + shifts @ box.cell
        return values * self._length

    @property
    def _length(self) -> float:
        return 1.0 if self.units is None else UNITS[self.units][0]

    def _check_labels(
        self, words: list[str], order: NDArray[np.int64] | None, lines: Lines
    ) -> None:
        """Types, elements and masses stay with their atoms."""
        n = len(self.layout.columns)
        for name in ("element", "type", "mass"):
            if name not in self.layout.columns:
                continue
            labels = words[self.layout.columns.index(name) :: n]
            if order is not None:
                labels = [labels[i] for i in order.tolist()]
            known = self._labels.setdefault(name, labels)
            if labels != known:
                atom = next(i for i, pair in enumerate(zip(labels, known, strict=True))
                            if pair[0] != pair[1])  # fmt: skip
                raise FileFormatError(
                    f"frames must hold the same atoms, got other elements in frame {lines.frame} "
                    f"of {self.path}: {name} {labels[atom]} for id {self._ids[atom]}, which was "
                    f"{known[atom]} in the first; dump atoms that keep their types"
                )

    def _bad_line(self, lines: Lines, body: str, above: int, n_columns: int) -> FileFormatError:
        """The first line of atoms that is none."""
        layout = self.layout
        for number, line in enumerate(body.split("\n"), start=above + 1):
            words = line.split()
            try:
                if len(words) != n_columns:
                    raise ValueError
                [float(words[i]) for i in layout.positions]
                [int(words[i]) for i in (layout.id, *layout.images)]
            except ValueError:
                what = f"{n_columns} columns of an atom expected, got {line.strip()[:60]!r}"
                return lines.error(what, number)
        return lines.error("columns of the atoms", above + 1)

    def _block(self, frames: list[tuple[Any, ...]]) -> FrameBlock:
        positions, boxes, times, steps = zip(*frames, strict=True)
        periodic = self.first.box.periodic
        if any(periodic) and not all(periodic):
            raise FileFormatError(
                f"frames must be periodic in all directions or none, got pbc={periodic} in "
                f"{self.path}; enlarge the cell with vacuum and mark it periodic throughout"
            )
        cells = np.array([box.cell for box in boxes]) * self._length if all(periodic) else None
        clock = np.array(steps, dtype=np.int64)
        if None in times:
            return FrameBlock(np.array(positions), cells, None, clock)
        if self.units is None:  # times of an unknown unit still have to be even
            return FrameBlock(np.array(positions), cells, None, np.array(times))
        picoseconds = np.array(times) * UNITS[self.units][1]
        return FrameBlock(np.array(positions), cells, picoseconds, clock)
