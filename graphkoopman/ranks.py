"""Sums over the processes of a ``torch.distributed`` group: ``Reducer``, ``joined``, `alone`.

Training on several processes ("ranks") needs three things of the others: sums of a few numbers,
small values of every rank, and the word of the first one. ``OneProcess`` answers for a process by
itself, ``ProcessGroup`` for an initialised group; whoever computes does not tell them apart.

Only ``GDyNetEstimator.fit`` joins a group. Everything else works on what it is given,
on the rank that calls it.
"""

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import torch

__all__ = ["RankError", "alone"]

T = TypeVar("T")


class RankError(ConnectionError):
    """Another process of the group has ended, has failed, or no longer answers."""


class Reducer(Protocol):
    """What a computation asks of the processes that share it.

    Attributes
    ----------
    rank, size : int
        Number of this process, from zero, and of all.
    bytes_added : int
        Handed to `add` so far, which is what every rank has to send at least.
    """

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def bytes_added(self) -> int: ...

    def add(self, *tensors: "torch.Tensor") -> None:
        """Sum tensors of one shape and type over all ranks, in place; all get the same bits."""
        ...

    def gather(self, value: T) -> list[T]:
        """Small values of all ranks, by rank."""
        ...

    def same(self, value: T) -> T:
        """The value of rank 0."""
        ...

    def send(self, value: T | None, source: int, target: int) -> T | None:
        """The value of one rank on another one, which gets it; None on all others."""
        ...


class OneProcess:
    """A process by itself: every sum is complete."""

    rank, size, bytes_added = 0, 1, 0

    def add(self, *tensors: "torch.Tensor") -> None:
        """Nothing to add."""

    def gather(self, value: T) -> list[T]:
        """The value alone."""
        return [value]

    def same(self, value: T) -> T:
        """The value."""
        return value

    def send(self, value: T | None, source: int, target: int) -> T | None:
        """The value."""
        return value


ALONE = OneProcess()


class ProcessGroup:
    """A group of processes of its own, of the same ranks as the initialised one.

    It is closed when a computation is left, so that an error on one rank ends the others at once
    even where the process of that rank goes on.

    Parameters
    ----------
    timeout : timedelta or None
        How long to wait for others; None is that of the initialised group. A process that has
        died is known at once, and none of them has to wait that long.
    """

    def __init__(self, timeout: Any = None) -> None:
        import torch
        from torch import distributed

        self._distributed = distributed
        on_gpus = torch.cuda.is_available() and distributed.is_nccl_available()
        backend = "cpu:gloo,cuda:nccl" if on_gpus else "gloo"
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.bytes_added = 0
        with self._said():
            self._group: Any = distributed.new_group(backend=backend, timeout=timeout)

    def add(self, *tensors: "torch.Tensor") -> None:
        """Sum tensors of one shape and type over all ranks, in place; all get the same bits."""
        for tensor in tensors:
            if tensor.numel():
                self.bytes_added += tensor.numel() * tensor.element_size()
                with self._said():
                    self._distributed.all_reduce(tensor, group=self._group)

    def gather(self, value: T) -> list[T]:
        """Small values of all ranks, by rank; pickled, as between the processes of one program."""
        values: list[Any] = [None] * self.size
        with self._said():
            self._distributed.all_gather_object(values, value, group=self._group)
        return values

    def same(self, value: T) -> T:
        """The value of rank 0."""
        values = [value if self.rank == 0 else None]
        with self._said():
            self._distributed.broadcast_object_list(values, 0, group=self._group)
        received: Any = values[0]
        return received

    def send(self, value: T | None, source: int, target: int) -> T | None:
        """The value of one rank on another one, which gets it; None on all others."""
        import torch

        if source == target or self.rank not in (source, target):
            return value if self.rank == target else None
        with self._said():
            if self.rank == source:
                self._distributed.send_object_list([value], target, group=self._group)
                return None
            received: list[Any] = [None]
            device = torch.device("cpu")
            self._distributed.recv_object_list(received, source, group=self._group, device=device)
        found: T | None = received[0]
        return found

    def close(self) -> None:
        """Leave the group; ranks that still wait for this one get an error."""
        self._distributed.destroy_process_group(self._group)

    @contextmanager
    def _said(self) -> Iterator[None]:
        """One error of our own for what the layers below say in many words."""
        try:
            yield
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
            raise RankError(
                f"rank {self.rank} of {self.size} has lost the others: one of them has ended, has "
                f"failed or no longer answers ({reason}). Its own message says why. Start all of "
                "them again; a fit with a checkpoint_dir goes on from there"
            ) from error


_stay_alone: ContextVar[bool] = ContextVar("_stay_alone", default=False)


@contextmanager
def joined() -> Iterator[Reducer]:
    """The reducer of a computation in which all processes of the initialised group take part.

    Without a group, or inside `alone`, a process by itself. All ranks have to enter it.

    Yields
    ------
    Reducer

    Raises
    ------
    RankError
        On ranks that wait for another one that has left with an error, or died.
    """
    if _stay_alone.get() or not group_is_initialised():
        yield ALONE
        return
    group = ProcessGroup()
    token = _stay_alone.set(True)  # a fit within this one is of this process
    try:
        yield group
    finally:
        _stay_alone.reset(token)
        group.close()


@contextmanager
def alone() -> Iterator[None]:
    """Fits inside are those of this process by itself, even in an initialised group.

    Examples
    --------
    >>> from graphkoopman import ranks
    >>> with ranks.alone(), ranks.joined() as reducer:
    ...     reducer.size
    1
    """
    token = _stay_alone.set(True)
    try:
        yield
    finally:
        _stay_alone.reset(token)


def group_is_initialised() -> bool:
    """Whether there is a group of more than one process; torch is not imported to find out."""
    import sys

    if "torch" not in sys.modules:
        return False
    from torch import distributed

    ready = distributed.is_available() and distributed.is_initialized()
    return ready and distributed.get_world_size() > 1


def agree(reducer: Reducer, call: Callable[[], T]) -> T:
    """Result of a call on this rank, if it has succeeded on all of them.

    Raises
    ------
    Exception
        The same one on all ranks: that of the first rank on which the call has failed.
    """
    if reducer.size == 1:
        return call()
    result, failure = None, None
    try:
        result = call()
    except Exception as error:
        failure = error
    for rank, other in enumerate(reducer.gather(_portable(failure))):
        if other is not None:
            raise _of_all(failure if rank == reducer.rank and failure is not None else other)
    done: Any = result
    return done


def in_two(values: "torch.Tensor") -> "torch.Tensor":
    """Numbers as sums of two with 24 and 29 bits: their sums do not depend on the order.

    A float64 holds 53 bits, so that sums of a few numbers of about one size, with so many bits
    each, have no rounding. It comes in only where the two sums are put together.

    Parameters
    ----------
    values : Tensor, float64

    Returns
    -------
    Tensor of shape (2, ...)
        The leading bits, and what they leave.

    References
    ----------
    Dekker, Numer. Math. 18, 224 (1971), section 5.
    """
    import torch

    scaled = values * (2.0**29 + 1.0)
    leading = scaled - (scaled - values)
    return torch.stack([leading, values - leading])


def _of_all(error: Exception) -> Exception:
    error.__dict__["of_all_ranks"] = True
    return error


def any_of(reducer: Reducer, flag: bool) -> bool:
    """Whether a flag is set on any rank."""
    if reducer.size == 1:
        return flag
    import torch

    count = torch.tensor([float(flag)])
    reducer.add(count)
    return bool(count.item() > 0.0)


def _portable(error: Exception | None) -> Exception | None:
    """An error that can be sent to other processes."""
    if error is None:
        return None
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


@contextmanager
def launched() -> Iterator[bool]:
    """A group of the processes that a launcher such as ``torchrun`` has started, while it lasts.

    Yields
    ------
    bool
        Whether there are several.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        yield False
        return
    from torch import distributed

    distributed.init_process_group("gloo")
    try:
        yield True
    finally:
        distributed.destroy_process_group()


def local_rank() -> int:
    """Number of this process on its machine, as launchers say it; 0 where none does."""
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0
