"""Sites of a face-centred cubic lattice and which of them an ion is in.

Public: :func:`fcc_sites`, :func:`assign_sites`, :class:`FCCSites`. Lattice atoms sit at the origin
and the face centres of a cube of edge ``a``; lengths are in Å.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CORE_RADIUS = (1.0, 0.6)  # Å, octahedral and tetrahedral
_CHUNK = 65_536


@dataclass(frozen=True)
class FCCSites:
    """Interstitial sites of one cubic cell.

    Attributes
    ----------
    positions : ndarray of shape (12, 3)
        Site centres in Å; the 4 octahedral sites come first.
    types : ndarray of shape (12,)
        0 octahedral, 1 tetrahedral.
    edges : ndarray of shape (32, 2)
        Face-sharing (octahedral, tetrahedral) pairs. In the cubic cell every octahedral site
        meets all 8 tetrahedral ones and every tetrahedral site all 4 octahedral ones.
    """

    positions: FloatArray
    types: IntArray
    edges: IntArray


def fcc_sites(a: float) -> FCCSites:
    """Octahedral and tetrahedral sites of the cubic cell.

    Parameters
    ----------
    a
        Lattice parameter in Å.

    Returns
    -------
    FCCSites
        4 octahedral sites (the body centre and the edge centres) and 8 tetrahedral ones.

    Examples
    --------
    >>> from graphkoopman.datasets import fcc_sites
    >>> fcc_sites(6.5).types
    array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1])
    """
    octahedral = [(0.5, 0.5, 0.5), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)]
    tetrahedral = list(product((0.25, 0.75), repeat=3))
    types = np.repeat([0, 1], [len(octahedral), len(tetrahedral)])
    edges = np.argwhere((types[:, None] == 0) & (types[None, :] == 1))
    return FCCSites(np.array(octahedral + tetrahedral) * a, types, edges)


def assign_sites(
    li_positions: ArrayLike, a: float, core_radius: tuple[float, float] = CORE_RADIUS
) -> IntArray:
    """Assign every frame to the last site whose core was visited.

    A core is a ball around the centre of a site. Counting transitions between cores only keeps
    fast recrossings of the barrier out of the rates. Frames before the first core take that core.

    Parameters
    ----------
    li_positions : array-like of shape (n_frames, 3)
        Positions in Å relative to a lattice atom, wrapped or not.
    a
        Lattice parameter in Å.
    core_radius
        Radii in Å of octahedral and tetrahedral cores.

    Returns
    -------
    ndarray of int of shape (n_frames,)
        Site of every frame, numbered as in :func:`fcc_sites`.

    Raises
    ------
    ValueError
        If cores overlap or no frame is inside one.

    Notes
    -----
    For the 64 K, 6.5 Å system the choice hardly matters. With radii of 0.8 to 1.4 Å (octahedral)
    and 0.4 to 0.6 Å (tetrahedral) 200 ns give octahedral populations of 0.927 to 0.931 and a
    two-state relaxation time at a lag of 10 ps that stays within 3 %; the one from counted
    transitions stays within 10 %, and agrees with the lagged one on average for the defaults.
    """
    sites = fcc_sites(a)
    radii = np.asarray(core_radius, dtype=np.float64)
    if radii.shape != (2,) or (radii <= 0).any() or radii.sum() >= np.sqrt(3) / 4 * a:
        raise ValueError(
            "core_radius must be two positive radii that add up to less than the distance "
            f"between neighbouring sites ({np.sqrt(3) / 4 * a:.2f} Å), got {core_radius}"
        )
    core = _core_of(np.asarray(li_positions), sites, a, radii)
    inside = np.flatnonzero(core >= 0)
    if len(inside) == 0:
        raise ValueError(
            f"no frame of li_positions is inside a core of radius {core_radius} Å; check that "
            "positions are in Å and relative to a lattice atom, or widen core_radius"
        )
    last_inside = np.maximum.accumulate(np.where(core >= 0, np.arange(len(core)), inside[0]))
    return core[last_inside]


def _core_of(positions: FloatArray, sites: FCCSites, a: float, radii: FloatArray) -> IntArray:
    """Site whose core holds each frame, -1 between cores."""
    core = np.full(len(positions), -1, dtype=np.int64)
    limit = radii[sites.types]
    for start in range(0, len(positions), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        offset = positions[chunk, None, :] - sites.positions  # (n_frames, 12, 3)
        offset -= a * np.round(offset / a)
        distance = np.linalg.norm(offset, axis=-1)
        nearest = distance.argmin(axis=1)
        inside = distance.min(axis=1) < limit[nearest]
        core[chunk] = np.where(inside, nearest, -1)
    return core
