"""The cell of a run that is read: `as_cell`, `CellSource`, `MissingCellWarning`.

The file's comes first, then the topology's; a cell that is given replaces both.
"""

import re
import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._validation import check_cell
from graphkoopman.trajectories.readers._cell import cell_of_lengths_angles

RIGHT_ANGLES = np.full(3, 90.0)
AGREEMENT = 0.01  # relative difference of lengths that is worth a word


class MissingCellWarning(UserWarning):
    """A file without a cell is read as not periodic, one without angles as orthogonal."""


class OtherCellWarning(UserWarning):
    """A cell that was given is not the file's."""


def as_cell(cell: Any, name: str = "cell") -> NDArray[np.float64] | None:
    """Lattice vectors from any spelling of a cell.

    Parameters
    ----------
    cell : array-like of shape (3,), (6,) or (3, 3), or str
        Lengths in Å, with or without the angles alpha, beta and gamma in degrees, or lattice
        vectors as rows. As a string numbers between blanks or commas, or "none".
    name : str
        Of the argument, for messages.

    Returns
    -------
    cell : ndarray of shape (3, 3) or None
        None for "none": not periodic.

    Raises
    ------
    ValueError
        For anything else.
    """
    if isinstance(cell, str):
        words = [word for word in re.split(r"[\s,;x×]+", cell.strip()) if word]
        if words == ["none"]:
            return None
        try:
            cell = [float(word) for word in words]
        except ValueError:
            cell = words
    try:
        numbers = np.asarray(cell, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape == (9,):
        numbers = numbers.reshape(3, 3)
    if numbers.shape == (3,):
        numbers = np.concatenate([numbers, RIGHT_ANGLES])
    if numbers.shape == (6,) and _spans_a_cell(numbers):
        numbers = cell_of_lengths_angles(numbers[:3], numbers[3:])
    if numbers.shape != (3, 3):
        raise ValueError(
            f"{name} must be three lengths in Å, three lengths and three angles in degrees, "
            f"lattice vectors of shape (3, 3), or 'none' for a system that is not periodic, got "
            f"{cell!r}"
        )
    return check_cell(numbers, 1)


def _spans_a_cell(numbers: NDArray[np.float64]) -> bool:
    lengths, angles = numbers[:3], numbers[3:]
    if not (np.isfinite(numbers).all() and (lengths > 0).all()):
        return False
    around = angles.sum()
    return bool((angles > 0).all() and around < 360 and (2 * angles < around).all())


class CellSource:
    """Decides on the cell of every block of a file.

    Parameters
    ----------
    given : array-like, str or None
        See `as_cell`; None is what file and topology say.
    topology : ndarray of shape (3, 3) or None
        Cell that came with the topology.

    Attributes
    ----------
    used : {"file", "topology", "cell=", "none"}
        What it was in the end.
    """

    def __init__(self, given: Any, topology: NDArray[np.float64] | None) -> None:
        self._is_given = given is not None
        self._cell = as_cell(given) if self._is_given else topology
        self.used: Literal["file", "topology", "cell=", "none"] = "none"
        self._said = False
        self._in_file: bool | None = None

    def of(
        self, cells: NDArray[np.float64] | None, n_frames: int, periodic: bool | None
    ) -> NDArray[np.float64] | None:
        """Cells of a block, (n_frames, 3, 3) in Å or None, from those that the file has.

        Raises
        ------
        ValueError
            If some frames have a cell and some have none.
        """
        if (
            self._in_file is not None
            and self._in_file != (cells is not None)
            and not self._is_given
        ):
            raise ValueError(
                "frames must be periodic throughout or not at all, got both; give the cell of all "
                "of them with cell= (--cell), or 'none'"
            )
        self._in_file = cells is not None
        if cells is not None and not self._is_given:
            self.used = "file"
            return cells
        if self._cell is None or (periodic is False and not self._is_given):
            self.used = "none"
            return None
        self.used = "cell=" if self._is_given else "topology"
        if cells is not None:
            self._compare(cells[0], self._cell)
        return np.broadcast_to(self._cell, (n_frames, 3, 3))

    def _compare(self, own: NDArray[np.float64], given: NDArray[np.float64]) -> None:
        lengths = np.linalg.norm(own, axis=1), np.linalg.norm(given, axis=1)
        if not self._said and np.abs(lengths[0] - lengths[1]).max() > AGREEMENT * lengths[1].max():
            warnings.warn(
                f"cell replaces that of the file, lengths {lengths[1].round(3).tolist()} in place "
                f"of {lengths[0].round(3).tolist()} Å",
                OtherCellWarning,
                stacklevel=6,
            )
        self._said = True

    def warn_if_missing(
        self, source: str, periodic: bool | None, angles_assumed: bool = False
    ) -> None:
        """Say that a run is read as not periodic, or orthogonal, unless file or user say so."""
        if angles_assumed and self.used == "file":
            warnings.warn(
                f"{source} holds the lengths of its cell and no angles, and no topology with a "
                "cell was given: right angles are assumed; pass a topology with the cell (a pdb "
                "with CRYST1, a prmtop with a box), or give it with cell= (--cell)",
                MissingCellWarning,
                stacklevel=3,
            )
        if self.used != "none" or self._is_given or periodic is False:
            return
        warnings.warn(
            f"{source} holds no cell, and no topology with one was given: it is read as not "
            "periodic; give the cell with cell= (--cell 23.3 23.3 23.3), or say cell='none' "
            "(--cell none)",
            MissingCellWarning,
            stacklevel=3,
        )
