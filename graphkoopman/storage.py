"""Files of arrays: written whole or not at all, checked when read, never executed.

Public: :class:`FileKind`, :class:`StreamedArray`, :func:`write_arrays`, :func:`read_arrays`,
:func:`replacing`, :func:`digest`; :func:`by_path` and :func:`mapped_again`, for arrays that other
processes map themselves.

A file is a safetensors file: 8 bytes of length, a JSON header, the arrays. The header's metadata
name the format and its version, carry one JSON text of everything that is not an array, and a
checksum of every array and of the header itself.
"""

import hashlib
import json
import math
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

# safetensors' names of the types that our arrays can have
DTYPES = {"BOOL": "|b1", "F32": "<f4", "F64": "<f8"}
DTYPES |= {f"{kind.upper()}{8 * n}": f"<{kind}{n}" for kind in "iu" for n in (1, 2, 4, 8)}
NAMES = {np.dtype(numpy): name for name, numpy in DTYPES.items()}
ALIGNMENT = 8
MAX_DIMENSIONS = 8
BLOCK_BYTES = 2**24  # of an array that may have to be copied to be written or hashed
MAX_HEADER = 100_000_000  # safetensors' own limit
LEAST_MAPPED = 2**16  # bytes; shorter arrays are sent
ABANDONED_SECONDS = 3600.0  # a partial file not written to for this long has no writer any more


@dataclass(frozen=True)
class FileKind:
    """What a file holds, in its header and in messages.

    Attributes
    ----------
    format : str
        Name in the header.
    version : int
        Newest version of the format that is read.
    noun : str
        "model file", for messages.
    remedy : str
        What to do about a bad file, for messages.
    oldest : int
        Oldest version that is read.
    """

    format: str
    version: int
    noun: str
    remedy: str
    oldest: int = 1


@dataclass(frozen=True)
class StreamedArray:
    """An array that is written block by block, never whole in memory.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
        Blocks of narrower types are widened.
    blocks : callable
        Returns an iterator over its blocks along the first axis. Called twice.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    blocks: Callable[[], Iterable[np.ndarray]]

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return math.prod(self.shape) * self.dtype.itemsize

    def bytes(self) -> Iterator[memoryview]:
        """Bytes of one block after the other."""
        for block in self.blocks():
            yield _bytes_of(np.asarray(block, dtype=self.dtype))


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Write a file whole or not at all.

    Bytes go to a new file beside the target, which takes the target's name once they are on disk.
    Whatever fails before that, a full disk or a kill, leaves the earlier file as it was.

    Parameters
    ----------
    path : path

    Yields
    ------
    binary file

    Raises
    ------
    OSError
        If anything could not be written; the earlier file is untouched.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        _remove_abandoned(path)
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(
            error.errno,
            f"could not write ({error.strerror or error}); an earlier file of this name is "
            "untouched, free space or choose another folder",
            str(path),
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _remove_abandoned(path: Path) -> None:
    for other in path.parent.glob(f".{path.name}.*.partial"):
        with suppress(OSError):  # another writer may be faster
            if time.time() - other.stat().st_mtime > ABANDONED_SECONDS:
                other.unlink()


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power failure, where the file system knows how."""
    with suppress(OSError, AttributeError):  # Windows has no O_DIRECTORY
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_arrays(
    path: str | os.PathLike[str],
    kind: FileKind,
    arrays: Mapping[str, np.ndarray | StreamedArray],
    header: Any,
) -> None:
    """Write arrays and a JSON header, whole or not at all.

    Parameters
    ----------
    path : path
    kind : FileKind
    arrays : mapping of str to ndarray or StreamedArray
        Arrays of booleans, integers or floats by name.
    header : dict
        Anything JSON holds.

    Raises
    ------
    OSError
        If the file could not be written; an earlier one is untouched.
    """
    # widest types first, so that every array of a mapped file is aligned
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    plain = {name: _streamed(arrays[name]) for name in order}
    metadata = {
        "format": kind.format,
        "version": str(kind.version),
        "header": json.dumps(header),
        "checksums": json.dumps({name: _checksum(array) for name, array in plain.items()}),
    }
    entries: dict[str, Any] = {}
    end = 0
    for name, array in plain.items():
        begin, end = end, end + array.nbytes
        dtype = NAMES[array.dtype]
        entries[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [begin, end]}
    metadata["checksum"] = _header_checksum(metadata, entries)
    text = json.dumps({"__metadata__": metadata, **entries}).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with replacing(path) as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for array in plain.values():
            for block in array.bytes():
                file.write(block)


def read_arrays(
    path: str | os.PathLike[str], kind: FileKind, *, mmap: bool = False, verify: bool = True
) -> tuple[dict[str, np.ndarray], Any]:
    """Read what `write_arrays` wrote.

    Parameters
    ----------
    path : path
    kind : FileKind
    mmap : bool
        Map the arrays instead of reading them.
    verify : bool
        Compare every array with its checksum, which reads the whole file. The header is always
        checked, and that the file is as long as it says.

    Returns
    -------
    arrays : dict of str to ndarray
    header : dict

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is of another kind, of a newer version, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no {kind.noun} at {path}; {kind.remedy}")
    # opened once: another process may put a new file of this name in place at any moment
    with path.open("rb") as file:
        metadata, entries, data_start = _read_header(file, path, kind)
        data = np.memmap(file, np.uint8, "r")[data_start:]
    if metadata.get("format") != kind.format:
        raise ValueError(f"{path} is not a graphkoopman {kind.noun}; {kind.remedy}")
    _check_version(path, kind, metadata.get("version", ""))
    if metadata.get("checksum") != _header_checksum(metadata, entries):
        raise ValueError(f"{path} is a damaged {kind.noun}: its header changed; {kind.remedy}")
    try:
        checksums, header = json.loads(metadata["checksums"]), json.loads(metadata["header"])
        expected = {name: checksums[name] for name in entries}
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is a damaged {kind.noun} ({error}); {kind.remedy}") from error
    arrays = {}
    for name, entry in entries.items():
        array = data[slice(*entry["data_offsets"])].view(DTYPES[entry["dtype"]])
        array = array.reshape(entry["shape"])
        arrays[name] = array if mmap else np.array(array)
        if verify and _checksum(_streamed(arrays[name])) != expected[name]:
            raise ValueError(
                f"{path} is a damaged {kind.noun}: the values of {name!r} changed; {kind.remedy}"
            )
    return arrays, header


def _read_header(
    file: BinaryIO, path: Path, kind: FileKind
) -> tuple[dict[str, str], dict[str, Any], int]:
    """Metadata, entry of every array, and where the arrays start."""
    try:
        size = os.fstat(file.fileno()).st_size
        n_header = int.from_bytes(file.read(8), "little")
        if not 0 < n_header <= min(MAX_HEADER, size - 8):
            raise ValueError(f"a header of {n_header} bytes in a file of {size}")
        entries = json.loads(file.read(n_header))
        metadata = entries.pop("__metadata__", {})
        if not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError("metadata that are not text")
        _check_layout(entries, size - 8 - n_header)
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not a readable {kind.noun} ({error}); {kind.remedy}"
        ) from error
    return metadata, entries, 8 + n_header


def _check_layout(entries: Mapping[str, Any], n_bytes: int) -> None:
    """Raise unless the arrays follow each other, each as long as its shape, up to the end."""
    end = 0
    for name, entry in entries.items():
        dtype, shape = np.dtype(DTYPES[entry["dtype"]]), entry["shape"]
        sound = isinstance(shape, list) and len(shape) <= MAX_DIMENSIONS
        if not sound or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError(f"{name!r} has shape {shape}")
        begin, end = end, end + math.prod(shape) * dtype.itemsize
        if entry["data_offsets"] != [begin, end] or begin % dtype.itemsize:
            raise ValueError(f"{name!r} is not where it should be")
    if end != n_bytes:
        raise ValueError(f"arrays of {end} bytes in place of {n_bytes}")


def _check_version(path: Path, kind: FileKind, version: str) -> None:
    if not (version.isdecimal() and len(version) < 10):
        raise ValueError(f"{path} is a damaged {kind.noun}: no format version; {kind.remedy}")
    if int(version) > kind.version:
        raise ValueError(
            f"{path} has format version {version}, this version of graphkoopman reads {kind.noun}s "
            f"up to {kind.version}; upgrade graphkoopman"
        )
    if int(version) < kind.oldest:
        raise ValueError(
            f"{path} has format version {version} of an earlier graphkoopman, this version reads "
            f"{kind.noun}s from {kind.oldest} on; {kind.remedy}"
        )


def digest(text: str, arrays: Iterable[np.ndarray]) -> str:
    """Hash of a text and of the shapes, types and values of arrays, strings among them.

    Parameters
    ----------
    text : str
    arrays : iterable of ndarray

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    return _digest(text, (StreamedArray(a.shape, a.dtype, partial(_blocks_of, a)) for a in arrays))


def _digest(text: str, arrays: Iterable[StreamedArray]) -> str:
    total = hashlib.blake2b(text.encode(), digest_size=16)
    for array in arrays:
        total.update(repr((array.shape, array.dtype.str)).encode())
        for block in array.bytes():
            total.update(block)
    return total.hexdigest()


def _streamed(array: np.ndarray | StreamedArray) -> StreamedArray:
    """The array as a file holds it, little-endian."""
    dtype = array.dtype.newbyteorder("<")
    if isinstance(array, StreamedArray):
        return StreamedArray(array.shape, dtype, array.blocks)
    return StreamedArray(array.shape, dtype, partial(_blocks_of, array))


def _blocks_of(array: np.ndarray) -> Iterator[np.ndarray]:
    """Views of a few rows each."""
    if array.ndim == 0:
        yield array
        return
    n_rows = max(1, BLOCK_BYTES // max(1, array[:1].nbytes))
    for begin in range(0, len(array), n_rows):
        yield array[begin : begin + n_rows]


def _bytes_of(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _checksum(array: StreamedArray) -> str:
    return _digest("", [array])


def _header_checksum(metadata: Mapping[str, str], entries: Mapping[str, Any]) -> str:
    described = {name: value for name, value in metadata.items() if name != "checksum"}
    text = json.dumps([described, entries], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class MappedArray:
    """Where the values of a mapped array are on disk.

    Attributes
    ----------
    path : str
    offset : int
        Bytes.
    shape, strides : tuple of int
    dtype : dtype
    written : (int, int)
        Bytes and time (ns) of the file.
    """

    path: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    written: tuple[int, int]


def by_path(value: Any) -> Any:
    """What stands for a value in a pickle: where it is mapped from, for larger mapped arrays.

    Another process, perhaps on another machine that sees the same folder, maps it again in place of
    being sent a copy.

    Parameters
    ----------
    value : any

    Returns
    -------
    MappedArray, or the value itself
    """
    if not isinstance(value, np.ndarray) or value.nbytes < LEAST_MAPPED:
        return value
    file: Any = value
    while isinstance(file, np.ndarray) and not _has_file(file):
        file = file.base
    if not isinstance(file, np.ndarray):
        return value
    # the array that was made by mapping: views of it remember its file, but not where they begin
    while isinstance(file.base, np.ndarray) and _has_file(file.base):
        file = file.base
    mapping: Any = file
    begins = [array.__array_interface__["data"][0] for array in (value, file)]
    offset = mapping.offset + begins[0] - begins[1]
    path = os.fspath(mapping.filename)
    try:
        written = _written(path)
    except OSError:  # removed since: mapped pages live on, but only here
        return value
    return MappedArray(path, offset, value.shape, value.strides, value.dtype, written)


def mapped_again(value: Any) -> Any:
    """Undo `by_path`.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is not there, or not the one that it was.
    """
    if not isinstance(value, MappedArray):
        return value
    if _written(value.path) != value.written:
        raise ValueError(f"{value.path} has changed since its arrays were mapped; map it again")
    data = np.memmap(value.path, np.uint8, "r", offset=value.offset)
    return np.ndarray(value.shape, value.dtype, data, strides=value.strides)


def _has_file(array: np.ndarray) -> bool:
    return isinstance(array, np.memmap) and getattr(array, "filename", None) is not None


def _written(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns
