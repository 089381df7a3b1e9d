"""Extended and plain xyz, frame by frame; the comment lines are parsed by ASE."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphkoopman._optional import missing
from graphkoopman.trajectories.readers._cell import cell_of_lengths_angles
from graphkoopman.trajectories.readers._contents import (
    Atoms,
    Contents,
    FileFormatError,
    FrameBlock,
    Structure,
)
from graphkoopman.trajectories.readers._elements import atoms_from_guesses, atoms_from_symbols
from graphkoopman.trajectories.readers._registry import reader
from graphkoopman.trajectories.readers._text import Lines, lines_of, open_binary

# "i = 12, time = 6.000, E = …" of CP2K; a step and a time in a unit that is not stated
CP2K = re.compile(r"\bi\s*=\s*(\d+)\s*,\s*time\s*=\s*([-+.\deE]+)")
# "Atoms. Timestep: 1000" of LAMMPS, "MD iter: 12" of DFTB+, "Step: 12" of i-PI, "step 12"
COUNTED = re.compile(r"\b(?:timestep|step|iter|iteration)\b\s*[:=]?\s*(\d+)\b", re.IGNORECASE)
IPI = re.compile(r"CELL\((abcABC|H|GENH)\):\s*((?:[-+.\deE]+\s+)+)")
IPI_UNIT = re.compile(r"\b(positions|cell)\{(\w+)\}")
BOHR = 0.529177210903
IPI_LENGTHS = {"angstrom": 1.0, "atomic_unit": BOHR, "automatic": BOHR, "meter": 1e10}
PLAIN = (("species", "S", 1), ("pos", "R", 3))
STEP_KEYS = ("step", "frame", "timestep", "md_step")
TIME_KEYS = ("time", "time_fs", "time_ps")


class Comment(NamedTuple):
    """What the second line of a frame says."""

    cell: NDArray[np.float64] | None
    columns: tuple[tuple[str, str, int], ...]
    step: float | None
    length: float = 1.0  # Å per unit of the positions


def _is_xyz(head: bytes) -> bool:
    lines = head.split(b"\n", 2)
    return len(lines) == 3 and lines[0].strip().isdigit() and b"=" in lines[1]


@reader("extxyz", r".*\.(ext)?xyz", sniff=_is_xyz, compressed=True, holds_times=False)
def read_xyz(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """Steps from the keys Step and Time; Time has no unit in this format."""
    try:
        import ase.io  # noqa: F401
        from ase.io.extxyz import key_val_str_to_dict
    except ImportError as error:
        raise missing("ase", f"reading {path}") from error
    blocks = _blocks(path, chunk, key_val_str_to_dict)
    first, atoms = next(blocks)
    periodic = True if first.cells is not None else False if _says_free(path) else None
    return Contents("extxyz", len(atoms.names), _rest(first, blocks), atoms, periodic=periodic)


def _says_free(path: Path) -> bool:
    """Whether the first frame is marked as not periodic, rather than without a word."""
    with open_binary(path) as file:
        comment = [file.readline(), file.readline()][1]
    return re.search(rb'pbc\s*=\s*"?\s*F\s+F\s+F\b', comment, re.IGNORECASE) is not None


def _rest(first: FrameBlock, blocks: Iterator[tuple[FrameBlock, Atoms]]) -> Iterator[FrameBlock]:
    yield first
    for block, _ in blocks:
        yield block


def _blocks(path: Path, chunk: int, parse: Any) -> Iterator[tuple[FrameBlock, Atoms]]:
    with lines_of(path, "xyz") as lines:
        frames: list[tuple[Any, ...]] = []
        names: list[str] = []
        atoms: Atoms | None = None
        while (head := _head(lines)) is not None:
            n_atoms, comment = head
            parsed = _comment(lines, comment, parse)
            found, positions = _atom_lines(lines, n_atoms, parsed)
            if atoms is None:
                names, atoms = found, _atoms(found, parsed)
            _check_same(path, lines, names, found)
            frames.append((positions * parsed.length, parsed.cell, parsed.step))
            lines.frame += 1
            if len(frames) == chunk or lines.frame == 1:
                yield _block(path, frames), atoms
                frames = []
        if atoms is None:
            raise lines.ended("a number of atoms")
        if frames:
            yield _block(path, frames), atoms


def _head(lines: Lines) -> tuple[int, str] | None:
    """Number of atoms and comment of the next frame; None at the end."""
    while (line := lines.next()) is not None:
        if not line.strip():
            continue
        text = line.strip()
        if not text.isdigit() or not 0 < len(text) < 12 or int(text) < 1:
            raise lines.error(f"a number of atoms expected, got {text[:60]!r}", lines.number)
        return int(text), lines.need("a comment")
    return None


def _comment(lines: Lines, text: str, parse: Any) -> Comment:
    cp2k = CP2K.search(text)
    if cp2k is not None:
        return Comment(None, PLAIN, float(cp2k[2]))
    if "CELL" in text and (match := IPI.search(text)) is not None:
        return _ipi_comment(lines, text, match)
    if "=" not in text:
        counted = COUNTED.search(text)
        return Comment(None, PLAIN, None if counted is None else float(counted[1]))
    try:
        keys = {key.lower(): value for key, value in parse(text).items()}
    except Exception as error:  # ASE's parser fails in its own ways
        raise lines.error(f"the comment is no extended xyz ({error})", lines.number) from None
    cell = _cell(lines, keys.get("lattice"))
    pbc = keys.get("pbc")
    periodic = [cell is not None] * 3 if pbc is None else np.ravel(pbc).astype(bool).tolist()
    if len(set(periodic)) > 1:
        raise FileFormatError(
            f"frames must be periodic in all directions or none, got pbc={periodic} in frame "
            f"{lines.frame} of {lines.path}; enlarge the cell with vacuum and mark it periodic "
            "throughout"
        )
    cell = cell if periodic[0] else None
    columns = _columns(lines, keys.get("properties", "species:S:1:pos:R:3"))
    step = next((_number(keys[key]) for key in (*STEP_KEYS, *TIME_KEYS) if key in keys), None)
    return Comment(cell, columns, step)


def _ipi_comment(lines: Lines, text: str, match: re.Match[str]) -> Comment:
    """i-PI names the cell, and units, which are atomic units unless it says otherwise."""
    found = dict(IPI_UNIT.findall(text))
    units = [found.get(name, "atomic_unit").lower() for name in ("positions", "cell")]
    if not set(units) <= set(IPI_LENGTHS):
        raise lines.error(f"units of i-PI {found}, of {', '.join(IPI_LENGTHS)}", lines.number)
    of_positions, of_cell = (IPI_LENGTHS[unit] for unit in units)
    numbers = [float(word) for word in match[2].split() if _is_number(word)]
    if len(numbers) != (6 if match[1] == "abcABC" else 9):
        raise lines.error(f"numbers of the cell expected, got {match[2][:60]!r}", lines.number)
    values = np.array(numbers)
    if match[1] == "abcABC":
        cell = cell_of_lengths_angles(values[:3], values[3:])
    else:  # i-PI has lattice vectors in columns
        cell = values.reshape(3, 3).T
    counted = COUNTED.search(text)
    step = None if counted is None else float(counted[1])
    return Comment(cell * of_cell, PLAIN, step, of_positions)


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float | np.number) else None


def _cell(lines: Lines, lattice: Any) -> NDArray[np.float64] | None:
    if lattice is None:
        return None
    values = np.asarray(lattice)
    # ASE's parser gives the nine numbers of a lattice in columns
    if values.shape == (3, 3):
        values = values.T
    if values.dtype.kind not in "iuf" or values.size != 9:
        raise lines.error("Lattice must hold nine numbers", lines.number)
    cell = values.astype(np.float64).reshape(3, 3)
    return cell if np.any(cell) else None


def _columns(lines: Lines, properties: Any) -> tuple[tuple[str, str, int], ...]:
    words = str(properties).split(":")
    triples = list(zip(words[::3], words[1::3], words[2::3], strict=False))
    if len(words) % 3 or not all(n.isdigit() and kind in "SRIL" for _, kind, n in triples):
        raise lines.error(
            f"Properties={str(properties)[:60]!r} is no list of columns", lines.number
        )
    columns = tuple((name.lower(), kind, int(n)) for name, kind, n in triples)
    names = {name for name, _, _ in columns}
    if "pos" not in names or not names & {"species", "z"}:
        raise lines.error("Properties name no pos, or neither species nor Z", lines.number)
    return columns


def _atom_lines(
    lines: Lines, n_atoms: int, comment: Comment
) -> tuple[list[str], NDArray[np.float64]]:
    starts = dict(_starts(comment.columns))
    width = sum(n for _, _, n in comment.columns)
    label, pos = starts.get("species", starts.get("z", 0)), starts["pos"]
    above = lines.number
    body = lines.need_text(n_atoms, "the lines of the atoms")
    words = body.split()
    # plain xyz may carry any columns behind the positions
    n_columns, rest = divmod(len(words), n_atoms)
    if rest == 0 and n_columns >= width:
        columns = [words[i::n_columns] for i in range(pos, pos + 3)]
        try:
            return words[label::n_columns], np.array([list(map(float, c)) for c in columns]).T
        except ValueError:
            pass
    raise _bad_line(lines, body, above, width, pos)


def _bad_line(lines: Lines, body: str, above: int, width: int, pos: int) -> FileFormatError:
    """The first line that is no atom, or has another number of columns than the first."""
    rows = [line.split() for line in body.split("\n")]
    for number, row in enumerate(rows, start=above + 1):
        try:
            good = len(row) == len(rows[0]) >= width and bool(list(map(float, row[pos : pos + 3])))
        except ValueError:
            good = False
        if not good:
            problem = f"an atom in {width} columns expected, got {' '.join(row)[:60]!r}"
            return lines.error(problem, number)
    return lines.error("columns of the atoms", above + 1)


def _starts(columns: tuple[tuple[str, str, int], ...]) -> Iterator[tuple[str, int]]:
    start = 0
    for name, _, n in columns:
        yield name, start
        start += n


def _atoms(names: list[str], comment: Comment) -> Atoms:
    if "species" not in {name for name, _, _ in comment.columns}:  # Z:I:1
        numbers = [int(name) if name.isdigit() and 0 < int(name) < 117 else 0 for name in names]
        return atoms_from_guesses(names, [(n, "stated" if n else "unknown") for n in numbers])
    return atoms_from_symbols(names)


def _check_same(path: Path, lines: Lines, first: list[str], found: list[str]) -> None:
    if len(found) != len(first):
        raise FileFormatError(
            f"frames must hold the same atoms, got {len(found)} atoms in frame {lines.frame} of "
            f"{path} and {len(first)} in the first; the file is truncated, or not one run"
        )
    if found != first:
        atom = next(
            i for i, pair in enumerate(zip(first, found, strict=True)) if pair[0] != pair[1]
        )
        raise FileFormatError(
            f"frames must hold the same atoms, got other elements in frame {lines.frame} of "
            f"{path}: {found[atom]} for atom {atom}, which is {first[atom]} in the first; write "
            "the atoms in one order throughout"
        )


def _block(path: Path, frames: list[tuple[Any, ...]]) -> FrameBlock:
    positions, cells, steps = zip(*frames, strict=True)
    present = {cell is not None for cell in cells}
    if len(present) > 1:
        raise FileFormatError(
            f"frames must be periodic throughout or not at all, got both in {path}"
        )
    return FrameBlock(
        np.array(positions),
        np.array(cells) if present == {True} else None,
        None,
        None if None in steps else np.array(steps),
    )
