"""Periodic neighbours of atoms: `k_nearest`, `within`, and `check_not_nanometre`.

Exact for any cell: triclinic, strongly skewed, smaller than the search radius, or none at all. An
atom counts once per image, its own images included, and never itself. Pure functions of one frame.

From compiled code
------------------
Code that needs a few atoms of a frame, or a set that grows as neighbours are found, calls the
numba functions that these are made of. They release the GIL and keep no state::

    @njit(nogil=True)
    def first_shells(positions, cell, periodic, targets, indices, distances):
        k = indices.shape[1]
        grid = build_grid(positions, cell, periodic, occupancy_for_nearest(k))
        for row, atom in enumerate(targets):
            nearest_of(atom, grid, indices[row], distances[row])

- ``build_grid(positions, cell, periodic, occupancy) -> Grid``: once per frame.
- ``build_grid_around(positions, n_atoms, cell, periodic, occupancy) -> Grid``: of some atoms, to
  search from other points as well.
- ``nearest_of(atom, grid, out_index, out_distance) -> int``: as many as the outputs hold.
- ``within_of(atom, grid, cutoff, out_index, out_distance) -> int``: all below the cutoff; a
  returned count above the outputs' size asks for larger ones.
- ``occupancy_for_nearest(k)``, ``occupancy_for_cutoff(n_atoms, cell, periodic, cutoff)``.

On a GPU
--------
``device_grid`` takes many frames at a time, and ``nearest_on`` and ``within_on`` find there what
``nearest_of`` and ``within_of`` find, bit by bit, in Triton.

Compiled code takes positions and cell as C-contiguous float64 of shapes (n_atoms, 3) and (3, 3);
the cell is any (3, 3) array when ``periodic`` is false. It checks nothing: `check_frame`
does, once.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.neighbors._frame import check_frame, check_not_nanometre, k_nearest, within
    from graphkoopman.neighbors._gpu_search import (
        Neighbors,
        device_grid,
        nearest_on,
        within_on,
    )
    from graphkoopman.neighbors._grid import Grid, build_grid, build_grid_around
    from graphkoopman.neighbors._search import (
        nearest_of,
        occupancy_for_cutoff,
        occupancy_for_nearest,
        within_of,
    )
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "k_nearest",
    "within",
]
