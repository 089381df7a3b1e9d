"""Checks of the arrays a trajectory is made of, one clear error each.

Every ``check_*`` returns the array in the dtype the package works with.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.checks import check_integer as check_integer
from graphkoopman.trajectories._species import N_ELEMENTS, is_species

# a cell whose volume is below this fraction of |a||b||c| is flat within rounding
MIN_RELATIVE_VOLUME = 1e-6
CHUNK_ELEMENTS = 3_000_000


def frame_chunks(n_frames: int, n_atoms: int, first: int = 0) -> Iterator[tuple[int, int]]:
    """Frame ranges ``(start, stop)`` small enough for temporaries of a few ten MB."""
    step = max(1, CHUNK_ELEMENTS // (3 * max(n_atoms, 1)))
    for start in range(first, n_frames, step):
        yield start, min(start + step, n_frames)


def check_positions(positions: Any) -> NDArray[np.floating]:
    """Finite positions of shape (n_frames, n_atoms, 3); float32 stays, integers become float64."""
    positions = np.asarray(positions)
    if positions.dtype.kind not in "iuf":
        raise TypeError(
            f"positions must be real numbers in Å, got dtype {positions.dtype}; "
            "convert them to float32 or float64"
        )
    if positions.ndim != 3 or positions.shape[2] != 3:
        raise ValueError(
            f"positions must have shape (n_frames, n_atoms, 3), got {positions.shape}; "
            "reshape them, or add a frame axis with positions[None] for a single frame"
        )
    if 0 in positions.shape:
        raise ValueError(
            f"positions must hold at least one frame and one atom, got shape {positions.shape}"
        )
    if positions.dtype not in (np.float32, np.float64):
        positions = positions.astype(np.float64)
    _check_finite(positions)
    return positions


def _check_finite(positions: NDArray[np.floating]) -> None:
    for start, stop in frame_chunks(*positions.shape[:2]):
        finite = np.isfinite(positions[start:stop])
        if not finite.all():
            frame, atom, axis = np.argwhere(~finite)[0]
            value = positions[start + frame, atom, axis]
            raise ValueError(
                f"positions must be finite, got {value} at frame {start + frame}, atom {atom}; "
                "drop or repair the frames the simulation broke in"
            )


def check_cell(cell: Any, n_frames: int) -> NDArray[np.float64] | None:
    """Right-handed cells of shape (3, 3) or (n_frames, 3, 3) in Å; None is a non-periodic system.

    Raises
    ------
    ValueError
        For wrong shapes, values that are not finite, and flat or left-handed cells.
    """
    if cell is None:
        return None
    cell = np.asarray(cell)
    if cell.dtype.kind not in "iuf":
        raise TypeError(f"cell must be real numbers in Å or None, got dtype {cell.dtype}")
    if cell.shape[-2:] != (3, 3) or cell.ndim not in (2, 3):
        raise ValueError(
            "cell must have shape (3, 3) or (n_frames, 3, 3) with lattice vectors as rows, "
            f"got {cell.shape}; use np.diag(lengths) for an orthogonal box"
        )
    if cell.ndim == 3 and len(cell) != n_frames:
        raise ValueError(
            f"cell must have one matrix per frame ({n_frames} frames), got {len(cell)}; "
            "pass a single (3, 3) matrix for a constant cell"
        )
    cell = cell.astype(np.float64, copy=False)
    _check_volumes(cell)
    return cell


def _check_volumes(cell: NDArray[np.float64]) -> None:
    cells = cell.reshape(-1, 3, 3)

    def where(bad: Any) -> str:
        frame = int(np.argmax(bad))
        name = "cell" if cell.ndim == 2 else f"cell of frame {frame}"
        return f"{name}, got {cells[frame].tolist()}"

    infinite = ~np.isfinite(cells).all(axis=(1, 2))
    if infinite.any():
        raise ValueError(f"cell must be finite: {where(infinite)}")
    volumes = np.linalg.det(cells)
    flat = np.abs(volumes) <= MIN_RELATIVE_VOLUME * np.linalg.norm(cells, axis=2).prod(axis=1)
    if flat.any():
        raise ValueError(
            f"cell must have a volume: singular {where(flat)}; "
            "pass cell=None for a non-periodic system"
        )
    left = volumes < 0
    if left.any():
        raise ValueError(
            f"cell must be right-handed: negative volume for the {where(left)}; "
            "swap two lattice vectors or flip the sign of one"
        )


def check_species(species: Any, n_atoms: int) -> NDArray[np.int64]:
    """Atomic numbers 1 to 116, or numbers of labels (`species_number`), one per atom."""
    species = np.asarray(species)
    if species.dtype.kind not in "iu":
        raise TypeError(
            f"species must be integer atomic numbers, got dtype {species.dtype}; "
            "translate symbols first, e.g. Li to 3"
        )
    if species.shape != (n_atoms,):
        raise ValueError(
            f"species must hold one atomic number per atom, shape ({n_atoms},), got {species.shape}"
        )
    unknown = np.array([not is_species(number) for number in np.unique(species).tolist()])
    if unknown.any():
        unknown = np.isin(species, np.unique(species)[unknown])
        atom = int(np.argmax(unknown))
        raise ValueError(
            f"species must be atomic numbers from 1 to {N_ELEMENTS}, "
            f"got {species[atom]} for atom {atom}; drop virtual sites, map atom types to elements"
        )
    return species.astype(np.int64, copy=False)


def check_timestep(timestep: Any) -> float:
    """A positive number of ps per frame."""
    if isinstance(timestep, bool) or not isinstance(timestep, int | float | np.number):
        raise TypeError(f"timestep must be a number of ps per frame, got {type(timestep).__name__}")
    if not (math.isfinite(timestep) and timestep > 0):
        raise ValueError(f"timestep must be > 0 ps per frame, got {timestep}")
    return float(timestep)
