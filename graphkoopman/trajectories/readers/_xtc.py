"""GROMACS' xtc and trr: times, steps and the nine numbers of every cell, as they are stored."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mdtraj.formats import XTCTrajectoryFile

from graphkoopman.trajectories.readers._contents import (
    Contents,
    FileFormatError,
    FrameBlock,
    Structure,
)
from graphkoopman.trajectories.readers._gromacs import check_gromacs, gromacs_atoms
from graphkoopman.trajectories.readers._identity import other_atoms
from graphkoopman.trajectories.readers._registry import reader

NM_TO_ANGSTROM = 10.0
MOST_DECIMALS = 6  # of a float32
STEPS = 2**32  # that a file can number


@reader("xtc", r".*\.xtc", names_atoms=False)
def read_xtc(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """Decoded by mdtraj, after a walk over the frames: its decoder trusts what a file says."""
    n_atoms = _checked_atoms(path, structure, ".xtc")
    return Contents("xtc", n_atoms, _continued(_xtc_blocks(path, chunk)))


def _checked_atoms(path: Path, structure: Structure | None, suffix: str) -> int:
    n_atoms = gromacs_atoms(path, suffix)
    n_top = None if structure is None else structure.n_atoms
    if n_top is not None and n_atoms is not None and n_top != n_atoms:
        raise other_atoms(path, n_top, n_atoms)
    n_atoms = n_atoms or n_top or 0
    check_gromacs(path, n_atoms, suffix)
    return n_atoms


def _xtc_blocks(path: Path, chunk: int) -> Iterator[FrameBlock]:
    with XTCTrajectoryFile(str(path)) as file:
        while True:
            positions, times, steps, cells = file.read(chunk)
            if len(positions) == 0:
                return
            # in place: the chunk is ours, and a second copy of it would count
            positions *= np.float32(NM_TO_ANGSTROM)
            yield FrameBlock(
                positions, angstrom(cells), times.astype(np.float64), np.asarray(steps, np.int64)
            )


def _continued(blocks: Iterator[FrameBlock]) -> Iterator[FrameBlock]:
    """Steps that go on where 32 bits begin again at the bottom."""
    last = None
    for block in blocks:
        steps: Any = block.steps
        jumps = np.diff(steps, prepend=steps[0] if last is None else last)
        jumps = (jumps + STEPS // 2) % STEPS - STEPS // 2
        whole = (steps[0] if last is None else last) + np.cumsum(jumps)
        last = whole[-1]
        yield block._replace(steps=whole)


def angstrom(cells: Any) -> Any:
    """Cells in Å of cells in nm and single precision: 1.2345 nm is 12.345 Å."""
    if cells is None:
        return None
    cells = np.asarray(cells)
    if cells.dtype == np.float64:
        return cells * NM_TO_ANGSTROM
    return np.round(cells.astype(np.float64) * NM_TO_ANGSTROM, MOST_DECIMALS)


TRR_HEADER = struct.Struct(">i20x13i")


@reader("trr", r".*\.trr", names_atoms=False)
def read_trr(path: Path, structure: Structure | None, chunk: int) -> Contents:
    """In the precision of the file; frames of velocities or forces alone are passed over."""
    n_atoms = _checked_atoms(path, structure, ".trr")
    notes: list[str] = []
    blocks = _continued(_trr_blocks(path, n_atoms, chunk, notes))
    return Contents("trr", n_atoms, blocks, notes=notes)


def _trr_blocks(path: Path, n_atoms: int, chunk: int, notes: list[str]) -> Iterator[FrameBlock]:
    n_passed = n_found = 0
    frames: list[tuple[Any, ...]] = []
    with path.open("rb") as file:
        while header := file.read(76):
            frame = _trr_frame(file, header, n_atoms)
            if frame is None:
                n_passed += 1
                continue
            n_found += 1
            frames.append(frame)
            if len(frames) == chunk:
                yield _trr_block(frames)
                frames = []
    if frames:
        yield _trr_block(frames)
    if n_found == 0:
        raise FileFormatError(
            f"path must hold positions, got {path}: its {n_passed} frames are without positions "
            "(nstxout = 0); read the xtc of the run, or write positions"
        )
    if n_passed:
        notes.append(f"{n_passed} of {n_passed + n_found} frames hold no positions")


def _trr_frame(file: Any, header: bytes, n_atoms: int) -> tuple[Any, ...] | None:
    sizes = TRR_HEADER.unpack_from(header)[1:11]
    step = TRR_HEADER.unpack_from(header)[12]
    of_box, of_positions = sizes[2], sizes[7]
    real = next(sizes[k] // m for k, m in _counts(n_atoms) if sizes[k])
    kind = ">f4" if real == 4 else ">f8"
    time = float(np.frombuffer(file.read(2 * real), kind)[0])
    box = np.frombuffer(file.read(of_box), kind).reshape(-1, 3, 3)
    file.seek(sizes[3] + sizes[4], 1)
    positions = np.frombuffer(file.read(of_positions), kind).reshape(-1, n_atoms, 3)
    file.seek(sizes[8] + sizes[9], 1)
    if len(positions) == 0:
        return None
    cell = box[0] if len(box) else np.zeros((3, 3), kind)
    return positions[0], cell, time, step


def _counts(n_atoms: int) -> tuple[tuple[int, int], ...]:
    """Which sizes tell the precision, and of how many numbers they are."""
    return (2, 9), (7, 3 * n_atoms), (8, 3 * n_atoms), (9, 3 * n_atoms), (3, 9), (4, 9)


def _trr_block(frames: list[tuple[Any, ...]]) -> FrameBlock:
    positions, cells, times, steps = zip(*frames, strict=True)
    native: Any = np.float32 if positions[0].dtype.itemsize == 4 else np.float64
    scaled: Any = np.array(positions, dtype=native)
    scaled *= native(NM_TO_ANGSTROM)
    boxes = angstrom(np.array(cells, dtype=native))
    return FrameBlock(scaled, boxes, np.array(times), np.asarray(steps, np.int64))
