"""Files of graphs, and whether what was read can be graphs at all."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from graphkoopman.storage import FileKind, StreamedArray, read_arrays, write_arrays

GRAPHS = FileKind("graphkoopman-graphs", 1, "graph file", "delete it and featurize again")
# what every array holds, by the kind of its type: signed, unsigned, boolean, float, string
KINDS = {
    "hop_counts": "i",
    "atom_offsets": "i",
    "edge_offsets": "i",
    "atoms": "u",
    "neighbors": "u",
    "distances": "f",
    "degrees": "i",
    "species": "biuU",
    "target_offsets": "i",
}
OPTIONAL = {"degrees"}
SCALARS = ("n_neighbors", "cutoff", "timestep", "parent", "start")


def write_graphs(
    path: str | os.PathLike,
    arrays: Mapping[str, np.ndarray | StreamedArray],
    scalars: Mapping[str, Any],
) -> None:
    """Write the attributes of a `GraphTrajectory`, whole or not at all."""
    header = dict(scalars)
    # strings are no arrays of safetensors
    species = arrays["species"]
    if isinstance(species, np.ndarray) and species.dtype.kind == "U":
        header["species_labels"] = species.tolist()
        arrays = {name: array for name, array in arrays.items() if name != "species"}
    write_arrays(path, GRAPHS, arrays, header)


def read_graphs(path: str | os.PathLike, *, mmap: bool, verify: bool) -> dict[str, Any]:
    """Attributes of the `GraphTrajectory` in a file, consistent with each other.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is not one of ours, damaged, or of a newer version.
    """
    arrays, header = read_arrays(path, GRAPHS, mmap=mmap, verify=verify)
    try:
        if "species_labels" in header:
            arrays["species"] = np.array(header["species_labels"])
        scalars = {name: header[name] for name in SCALARS}
        _check_types(arrays, scalars)
        values: dict[str, Any] = {"degrees": None, **arrays}
        _check_sizes(values, scalars["n_neighbors"])
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is not a consistent {GRAPHS.noun} ({error}); {GRAPHS.remedy}"
        ) from error
    return values | scalars


def _check_types(arrays: dict[str, np.ndarray], scalars: dict[str, Any]) -> None:
    unknown, missing = set(arrays) - set(KINDS), set(KINDS) - set(arrays) - OPTIONAL
    if unknown or missing:
        raise ValueError(f"arrays {sorted(unknown)} are unknown, {sorted(missing)} missing")
    for name, array in arrays.items():
        n_dimensions = 2 if name == "hop_counts" else 1
        if array.dtype.kind not in KINDS[name] or array.ndim != n_dimensions:
            raise ValueError(f"{name} has dtype {array.dtype} and shape {array.shape}")
    k, cutoff = scalars["n_neighbors"], scalars["cutoff"]
    nearest = _is_int(k) and k > 0 and cutoff is None
    radius = _is_positive(cutoff) and k is None
    if not nearest and not radius:
        raise ValueError(f"n_neighbors is {k!r} and cutoff {cutoff!r}")
    if not _is_positive(scalars["timestep"]):
        raise ValueError(f"timestep is {scalars['timestep']!r}")
    if not isinstance(scalars["parent"], str | None) or not _is_int(scalars["start"]):
        raise ValueError(f"parent is {scalars['parent']!r} and start {scalars['start']!r}")


def _is_int(value: Any) -> bool:
    """Whether a JSON value is an int of 64 bits; by its exact type, since true is an int, too."""
    return type(value) is int and abs(value) <= np.iinfo(np.int64).max


def _is_positive(value: Any) -> bool:
    """Whether a JSON value is a positive number."""
    return (_is_int(value) or type(value) is float) and 0 < value < np.inf


def _check_sizes(arrays: dict[str, Any], n_neighbors: int | None) -> None:
    """Offsets against what they point into; costs a pass over frames, not over edges."""
    hop_counts, degrees = arrays["hop_counts"], arrays["degrees"]
    n_frames, n_columns = hop_counts.shape
    if n_frames < 1 or n_columns < 2 or np.any(np.diff(hop_counts, axis=1, prepend=0) < 0):
        raise ValueError("hop_counts do not grow with the hops")
    rows = hop_counts[:, -2].astype(np.int64)
    expected = {"atom_offsets": hop_counts[:, -1].astype(np.int64)}
    if degrees is None:
        if n_neighbors is None:
            raise ValueError("degrees are missing")
        expected["edge_offsets"] = rows * n_neighbors
    else:
        if n_neighbors is not None or len(degrees) != rows.sum() or np.any(degrees < 0):
            raise ValueError("degrees do not fit to hop_counts")
        ends = np.concatenate([[0], np.cumsum(degrees, dtype=np.int64)])
        expected["edge_offsets"] = np.diff(ends[np.concatenate([[0], np.cumsum(rows)])])
    for name, sizes in expected.items():
        if not np.array_equal(arrays[name], np.concatenate([[0], np.cumsum(sizes)])):
            raise ValueError(f"{name} do not fit to hop_counts")
    lengths = {
        "atoms": arrays["atom_offsets"][-1],
        "neighbors": arrays["edge_offsets"][-1],
        "distances": arrays["edge_offsets"][-1],
    }
    for name, length in lengths.items():
        if len(arrays[name]) != length:
            raise ValueError(f"{name} hold {len(arrays[name])} values in place of {length}")
    targets = arrays["target_offsets"]
    if targets[0] != 0 or np.any(np.diff(targets) < 1) or np.any(hop_counts[:, 0] != targets[-1]):
        raise ValueError("target_offsets do not fit to hop_counts")
