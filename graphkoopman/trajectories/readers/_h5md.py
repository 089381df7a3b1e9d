"""H5MD: frames by MDAnalysis, lattice vectors as they are stored.

MDAnalysis turns vectors into lengths and angles, which have no orientation, while positions keep
theirs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories.readers._contents import FileFormatError, FrameBlock

# units of H5MD's own module, in the spelling that MDAnalysis writes and reads
LENGTHS = {"Angstrom": 1.0, "angstrom": 1.0, "nm": 10.0, "pm": 0.01, "fm": 1e-5, "m": 1e10}


def with_own_cells(path: Path, blocks: Iterator[FrameBlock]) -> Iterator[FrameBlock]:
    """Blocks whose cells are those of the file, where it has lattice vectors."""
    edges = _edges(path)
    done = 0
    for block in blocks:
        stop = done + len(block.positions)
        if edges is not None:
            part = (
                edges[done:stop] if edges.ndim == 3 else np.broadcast_to(edges, (stop - done, 3, 3))
            )
            if len(part) != len(block.positions):
                raise FileFormatError(
                    f"path must hold a cell for every frame, got {len(edges)} cells in {path}; "
                    "give the cell with cell= (--cell)"
                )
            block = block._replace(cells=np.array(part))
        yield block
        done = stop


def _edges(path: Path) -> NDArray[np.float64] | None:
    """Lattice vectors in Å, (n_frames, 3, 3) or (3, 3); None where there are only lengths."""
    import h5py

    with h5py.File(path, "r") as file:
        groups: Any = list(file["particles"].values())
        if not groups or "box" not in groups[0] or "edges" not in groups[0]["box"]:
            return None
        edges = groups[0]["box/edges"]
        values = edges["value"] if isinstance(edges, h5py.Group) else edges
        unit = values.attrs.get("unit", "Angstrom")
        unit = unit.decode() if isinstance(unit, bytes) else str(unit)
        cells = np.asarray(values, dtype=np.float64)
    if cells.shape[-2:] != (3, 3):
        return None  # lengths of an orthogonal box, which MDAnalysis reads right
    if unit not in LENGTHS:
        raise FileFormatError(
            f"path must name a unit of length of the cell, got {unit!r} in {path}, of "
            f"{', '.join(LENGTHS)}; give the cell with cell= (--cell)"
        )
    # six digits are what single precision holds of Å
    scale = LENGTHS[unit]
    return cells if scale == 1.0 else np.round(cells * scale, 6)
