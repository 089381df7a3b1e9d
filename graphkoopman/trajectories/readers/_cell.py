"""Lattice vectors from the ways in which files spell cells."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

NM_TO_ANGSTROM = 10.0


def cell_of_lengths_angles(lengths: Any, angles: Any) -> NDArray[np.float64]:
    """Lattice vectors as rows, a along x and b in the xy plane, of lengths and angles in degrees.

    Arrays of shape (…, 3) give cells of shape (…, 3, 3); right angles are exact.
    """
    lengths, angles = np.asarray(lengths, np.float64), np.asarray(angles, np.float64)
    cosines = np.where(angles == 90.0, 0.0, np.cos(np.deg2rad(angles)))
    cos_alpha, cos_beta, cos_gamma = np.moveaxis(cosines, -1, 0)
    a, b, c = np.moveaxis(lengths, -1, 0)
    cell = np.zeros((*lengths.shape, 3))
    sin_gamma = np.sqrt(1 - cos_gamma**2)
    cell[..., 0, 0] = a
    cell[..., 1, 0], cell[..., 1, 1] = b * cos_gamma, b * sin_gamma
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = cos_beta, (cos_alpha - cos_beta * cos_gamma) / sin_gamma
        z = np.sqrt(1 - x**2 - y**2)
    cell[..., 2, 0], cell[..., 2, 1], cell[..., 2, 2] = c * x, c * y, c * z
    return cell


def cryst1_cell(line: str) -> NDArray[np.float64] | None:
    """Cell of a CRYST1 record; None for the unit cube of files that have no cell."""
    columns = ((6, 15), (15, 24), (24, 33), (33, 40), (40, 47), (47, 54))
    values = [float(line[first:last]) for first, last in columns]
    if values[:3] == [1.0, 1.0, 1.0] or not any(values[:3]):
        return None
    return cell_of_lengths_angles(np.array(values[:3]), np.array(values[3:]))


def gro_box(line: str) -> NDArray[np.float64] | None:
    """Cell in Å of the last line of a gro frame: three lengths or nine numbers, in nm."""
    words = [float(word) for word in line.split()]
    if len(words) not in (3, 9):
        raise ValueError(f"a box of three or nine numbers expected, got {line.strip()!r}")
    if not any(words):
        return None
    xx, yy, zz, xy, xz, yx, yz, zx, zy = [*words, *[0.0] * 6][:9]
    cell = np.array([[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]])
    # decimal digits stay what they are: 2.33 nm is 23.3 Å
    return np.round(cell * NM_TO_ANGSTROM, 9)
