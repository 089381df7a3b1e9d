"""Samples that a network learns from: the protocol, a base class by columns, runs joined again.

Public: :class:`Samples`, what training, estimator and model selection ask of frames of one run;
:class:`Batch`, what they hand to a network; :class:`Column`, :class:`Scalar` and
:class:`ColumnSamples`, from whose table slices, files, hashes and joints follow;
:func:`join_adjacent_samples`.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np

from graphkoopman.storage import (
    FileKind,
    StreamedArray,
    by_path,
    digest,
    mapped_again,
    read_arrays,
    write_arrays,
)
from graphkoopman.trajectories import adjacent_runs

__all__ = ["Batch", "Column", "ColumnSamples", "FileKind", "Samples", "SamplesLike", "Scalar"]

if TYPE_CHECKING:
    import torch

FRAME, SYSTEM, OFFSETS = "frame", "system", "offsets"


@runtime_checkable
class Batch(Protocol):
    """Frames as the tensors of one forward pass.

    Attributes
    ----------
    n_frames, n_targets : int
    n_target_atoms : int
        Vectors that an encoder gives, of all frames.
    target_of_atom : Tensor of shape (n_target_atoms,), int64, or None
        Target (numbered through all frames) of each, ascending; None where each is a target.
    """

    @property
    def n_frames(self) -> int: ...

    @property
    def n_targets(self) -> int: ...

    @property
    def n_target_atoms(self) -> int: ...

    @property
    def target_of_atom(self) -> "torch.Tensor | None": ...

    def to(self, device: "torch.device | str") -> "Batch":
        """The same on a device."""
        ...


@runtime_checkable
class Samples(Protocol):
    """Consecutive frames of one run, each with the same targets: what a network learns from.

    `graphkoopman.graphs.GraphTrajectory` and `graphkoopman.descriptors.FeatureTrajectory` are the
    two kinds of this package. Another one is easiest made with `ColumnSamples`.

    Attributes
    ----------
    timestep : float
        ps per frame.
    parent, start : str or None, int
        The run this is a piece of, and the frame of the run it starts at.
    species : ndarray of shape (n_atoms,)
        What the inputs are, by which an encoder is built: kinds of atoms, or columns of features.
    n_targets : int
    n_hops : int
        How far an encoder can look.
    offers : set of str
        What an encoder can read: ``"distance"``, ``"direction"``, ``"features"``.
    kind : dict
        Settings that all samples of a fit share.
    cost : float
        Work of a forward pass over a frame, in edges of a graph.
    nbytes : int
    target_atoms : ndarray of int, or None
        Atoms of all targets where they are known.
    """

    @property
    def timestep(self) -> float: ...

    @property
    def parent(self) -> str | None: ...

    @property
    def start(self) -> int: ...

    @property
    def species(self) -> np.ndarray: ...

    @property
    def n_targets(self) -> int: ...

    @property
    def n_hops(self) -> int: ...

    @property
    def offers(self) -> frozenset[str]: ...

    @property
    def kind(self) -> dict[str, Any]: ...

    @property
    def cost(self) -> float: ...

    @property
    def nbytes(self) -> int: ...

    @property
    def target_atoms(self) -> np.ndarray | None: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice) -> Self:
        """Contiguous frames as a view."""
        ...

    def batch(
        self, frames: np.ndarray, species_rows: np.ndarray, n_hops: int, *, pin_memory: bool = False
    ) -> Batch:
        """Some frames as one batch on the CPU.

        Parameters
        ----------
        frames : ndarray of shape (n_frames,), int
        species_rows : ndarray of shape (n_atoms,), int
            Row of the encoder's species for each of ``species``.
        n_hops : int
            How far the encoder looks.
        pin_memory : bool
            Into memory that a GPU reads by itself.
        """
        ...

    def still_targets(self) -> list[int]:
        """Targets whose input is the same in every frame, of which nothing can be learned."""
        ...

    def of_run(self, parent: str) -> Self:
        """The same frames as a piece of a named run."""
        ...

    def joined(self, others: Sequence[Any]) -> Self:
        """These frames and those of the pieces that follow them."""
        ...

    def digest(self) -> str:
        """Hash of frames and settings; which part of which run they are does not enter."""
        ...

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file, whole or not at all."""
        ...


# one run, or one entry for each of several
SamplesLike: TypeAlias = Samples | Sequence[Samples]


def class_name(item: Any) -> str:
    """What samples are for a network: their class, or the one that they stand for."""
    return str(getattr(item, "class_name", type(item).__name__))


def join_adjacent_samples(pieces: Sequence[Any]) -> list[Any]:
    """Merge pieces of one run that follow each other, so that no lagged pair is lost.

    Parameters
    ----------
    pieces : sequence of Samples

    Returns
    -------
    list of Samples
        Single pieces are returned as they are, without a copy.
    """
    runs = adjacent_runs(
        [piece.parent for piece in pieces],
        [piece.start for piece in pieces],
        [len(piece) for piece in pieces],
    )
    return [
        pieces[first] if not rest else pieces[first].joined([pieces[i] for i in rest])
        for first, *rest in runs
    ]


@dataclass(frozen=True)
class Column:
    """An array of `ColumnSamples`.

    Attributes
    ----------
    name : str
        Attribute that holds it.
    axis : str
        What its first axis counts: ``"frame"``; ``"system"`` where it is the same for all frames;
        ``"offsets"`` where it says where the rows of a frame start along another axis, with one
        value more than frames; or an axis of its class, see `ColumnSamples.extent`.
    kinds : str
        Kinds of its type: signed, unsigned, boolean, float, string, ``"iubfU"``.
    shape : tuple
        Shape of a row; None is any length.
    optional : bool
        Whether it may be None.
    """

    name: str
    axis: str
    kinds: str
    shape: tuple[int | None, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Scalar:
    """A value of `ColumnSamples` that is no array.

    Attributes
    ----------
    name : str
    check : callable
        Whether a value read from a file can be it.
    """

    name: str
    check: Callable[[Any], bool]


def is_int(value: Any) -> bool:
    """Whether a JSON value is an int of 64 bits; by its exact type, since true is an int, too."""
    return type(value) is int and abs(value) <= np.iinfo(np.int64).max


def is_positive(value: Any) -> bool:
    """Whether a JSON value is a positive number."""
    return (is_int(value) or type(value) is float) and 0 < value < np.inf


OF_A_RUN = (
    Scalar("timestep", is_positive),
    Scalar("parent", lambda value: isinstance(value, str | None)),
    Scalar("start", is_int),
)


class ColumnSamples(ABC):
    """Base of samples that are arrays: slices, joints, files and hashes follow from one table.

    A class derived from it is a frozen dataclass with a field for every column and scalar. It has
    `batch` and the properties of `Samples` to write, and may have checks for what is read from
    files. A new column is a field, and an entry in ``columns``.

    Attributes
    ----------
    columns : tuple of Column
    scalars : tuple of Scalar
    shared : tuple of str
        Scalars that all samples of a fit must share.
    file : FileKind
        What its files are called.
    made_by : str
        What makes such samples, for messages.
    """

    columns: ClassVar[tuple[Column, ...]]
    scalars: ClassVar[tuple[Scalar, ...]] = OF_A_RUN
    shared: ClassVar[tuple[str, ...]] = ()
    file: ClassVar[FileKind]
    made_by: ClassVar[str]

    if TYPE_CHECKING:  # fields of every derived class
        timestep: float
        parent: str | None
        start: int

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, in memory or mapped."""
        return sum(array.nbytes for array in self.arrays().values())

    @property
    def kind(self) -> dict[str, Any]:
        """Settings that all samples of a fit share."""
        return {name: getattr(self, name) for name in self.shared}

    @property
    def target_atoms(self) -> np.ndarray | None:
        """Atoms of all targets; None where they are not known."""
        return None

    def extent(self, axis: str, begin: int, stop: int) -> slice:
        """Rows of a range of frames along an axis.

        Parameters
        ----------
        axis : str
            Any but ``"frame"``, ``"system"`` and ``"offsets"`` is for a derived class to know.
        begin, stop : int
            Frames.
        """
        if axis == FRAME:
            return slice(begin, stop)
        raise NotImplementedError(f"{type(self).__name__} has no axis {axis!r}")

    def arrays(self) -> dict[str, np.ndarray]:
        """Columns by name, those that are None left out."""
        values = {column.name: getattr(self, column.name) for column in self.columns}
        return {name: value for name, value in values.items() if value is not None}

    def __getitem__(self, index: slice) -> Self:
        """Contiguous frames as a view.

        Raises
        ------
        TypeError
            If the index is not a slice of step one.
        """
        if not isinstance(index, slice) or index.step not in (None, 1):
            raise TypeError(
                f"{type(self).__name__} takes contiguous slices, got {index!r}; use [a:b], and "
                "thin out the Trajectory before building from it"
            )
        begin, stop, _ = index.indices(len(self))
        stop = max(begin, stop)
        sliced = {
            column.name: self._frames_of(column, begin, stop)
            for column in self.columns
            if column.axis != SYSTEM and getattr(self, column.name) is not None
        }
        return self._with(start=self.start + begin, **sliced)

    def _frames_of(self, column: Column, begin: int, stop: int) -> np.ndarray:
        array = getattr(self, column.name)
        if column.axis == OFFSETS:
            offsets = array[begin : stop + 1]
            return offsets - offsets[0]
        return array[self.extent(column.axis, begin, stop)]

    def joined(self, others: Sequence[Self]) -> Self:
        """These frames and those of the pieces that follow them.

        Parameters
        ----------
        others : sequence of the same class

        Returns
        -------
        of the same class
        """
        pieces = [self, *others]
        return self._with(
            **{
                column.name: join_columns(column, [getattr(p, column.name) for p in pieces])
                for column in self.columns
                if column.axis != SYSTEM and getattr(self, column.name) is not None
            }
        )

    def of_run(self, parent: str) -> Self:
        """The same frames as a piece of a named run."""
        return self._with(parent=parent)

    def __getstate__(self) -> dict[str, Any]:
        # other processes map the same file in place of being sent its contents
        return {name: by_path(value) for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update((name, mapped_again(value)) for name, value in state.items())

    def _with(self, **changes: Any) -> Self:
        copied: Any = self  # a dataclass: derived classes are
        return replace(copied, **changes)

    def digest(self) -> str:
        """Hash of frames and settings; which part of which run they are does not enter.

        Returns
        -------
        str
            32 hexadecimal digits.
        """
        arrays = self.arrays()
        names = [s.name for s in self.scalars if s.name not in ("parent", "start")]
        settings = (sorted(arrays), *(getattr(self, name) for name in names))
        return digest(repr(settings), [arrays[name] for name in sorted(arrays)])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file, whole or not at all.

        Parameters
        ----------
        path : path
            Written beside itself first and then renamed, so an older file survives a failure.
        """
        write_columns(path, self.file, self.arrays(), self.settings())

    def settings(self) -> dict[str, Any]:
        """Scalars by name."""
        return {scalar.name: getattr(self, scalar.name) for scalar in self.scalars}

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], mmap: bool = False, verify: bool | None = None
    ) -> Self:
        """Read a file written by `save`.

        Parameters
        ----------
        path : path
        mmap : bool
            Map the arrays instead of reading them, so that only the frames used enter memory.
        verify : bool or None
            Compare all arrays with their checksums. None does so unless the file is mapped, since
            that reads it all; its header and size are checked in any case.

        Returns
        -------
        of this class

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is not one of ours, damaged, or of another version.
        """
        verify = not mmap if verify is None else verify
        arrays, header = read_arrays(path, cls.file, mmap=mmap, verify=verify)
        try:
            for name, labels in header.get("labels", {}).items():
                arrays[name] = np.array(labels)
            values = {scalar.name: header[scalar.name] for scalar in cls.scalars}
            cls._check_types(arrays, values)
            columns: dict[str, Any] = {c.name: arrays.get(c.name) for c in cls.columns}
            cls.check_columns(columns, values)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is not a consistent {cls.file.noun} ({error}); {cls.file.remedy}"
            ) from error
        return cls(**columns, **values)

    @classmethod
    def _check_types(cls, arrays: Mapping[str, np.ndarray], values: Mapping[str, Any]) -> None:
        known = {column.name: column for column in cls.columns}
        needed = {name for name, column in known.items() if not column.optional}
        unknown, missing = set(arrays) - set(known), needed - set(arrays)
        if unknown or missing:
            raise ValueError(f"arrays {sorted(unknown)} are unknown, {sorted(missing)} missing")
        for name, array in arrays.items():
            column = known[name]
            lengths = zip(column.shape, array.shape[1:], strict=False)
            fits = array.ndim == 1 + len(column.shape) and all(
                expected in (None, found) for expected, found in lengths
            )
            if array.dtype.kind not in column.kinds or not fits:
                raise ValueError(f"{name} has dtype {array.dtype} and shape {array.shape}")
        for scalar in cls.scalars:
            if not scalar.check(values[scalar.name]):
                raise ValueError(f"{scalar.name} is {values[scalar.name]!r}")

    @classmethod
    def check_columns(cls, arrays: Mapping[str, Any], scalars: Mapping[str, Any]) -> None:
        """Raise ValueError unless what was read from a file fits together.

        Here, that columns have as many frames as each other; derived classes know more.
        """
        lengths = {
            column.name: len(arrays[column.name]) - (column.axis == OFFSETS)
            for column in cls.columns
            if column.axis in (FRAME, OFFSETS) and arrays[column.name] is not None
        }
        if len(set(lengths.values())) > 1:
            raise ValueError(f"numbers of frames are {lengths}")


def join_columns(column: Column, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """A column of consecutive pieces."""
    if column.axis == OFFSETS:
        sizes = np.concatenate([np.diff(array) for array in arrays])
        return np.concatenate([[0], np.cumsum(sizes)])
    return np.concatenate(arrays)


def write_columns(
    path: str | os.PathLike[str],
    file: FileKind,
    arrays: Mapping[str, np.ndarray | StreamedArray],
    scalars: Mapping[str, Any],
) -> None:
    """Write columns and scalars of samples to a file that `ColumnSamples.load` reads.

    Parameters
    ----------
    path : path
    file : FileKind
    arrays : mapping of str to ndarray or StreamedArray
    scalars : mapping of str to what JSON holds
    """
    # strings are no arrays of safetensors
    labels = {
        name: array.tolist()
        for name, array in arrays.items()
        if isinstance(array, np.ndarray) and array.dtype.kind == "U"
    }
    numbers = {name: array for name, array in arrays.items() if name not in labels}
    write_arrays(path, file, numbers, {**scalars, "labels": labels})


def tensors_to(batch: Any, device: "torch.device | str") -> Any:
    """Copy of a dataclass with its tensors on a device; from pinned memory without waiting."""
    import torch

    moved = {
        field.name: getattr(batch, field.name).to(device, non_blocking=True)
        for field in fields(batch)
        if isinstance(getattr(batch, field.name), torch.Tensor)
    }
    return replace(batch, **moved)
