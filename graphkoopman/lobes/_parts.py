"""Exchangeable parts of the network: what an encoder and a pooling are, and which a file can name.

A part is a small object of settings, which `GDyNetEstimator` takes, clones and searches over like
any of scikit-learn's. It builds the torch module once the data are known. A file holds the name of
a registered class and its settings, never code.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from sklearn.base import BaseEstimator
from torch import nn

NEEDS = frozenset({"distance", "direction", "axis", "features"})
Part = TypeVar("Part", bound=type)
_CLASSES: dict[str, dict[str, type]] = {"encoder": {}, "pooling": {}}


@runtime_checkable
class Encoder(Protocol):
    """Settings of the part that sees a target atom's surroundings.

    Any class with these members will do; with scikit-learn's ``BaseEstimator`` as its base, which
    brings ``get_params`` and ``set_params``, a search reaches its settings as ``encoder__name``.
    `register` lets files name it.

    Attributes
    ----------
    n_hops : int
        Neighbour shells that a message crosses: how deep the graphs of a forward pass must be.
    needs : set of str
        What it reads: ``"distance"`` and ``"direction"`` of an edge, ``"axis"`` of a target, or
        ``"features"``.

    Notes
    -----
    The module may have ``n_features``, the length of its vectors, which is found by trying
    otherwise, and a method ``adapt(batches)``, called once before training with some frames of the
    data, for constants such as units.
    """

    @property
    def n_hops(self) -> int: ...

    @property
    def needs(self) -> frozenset[str]: ...

    def build(self, species: Sequence[Any]) -> nn.Module:
        """A network with random weights, drawn from torch's global generator.

        Parameters
        ----------
        species : sequence of n_species labels
            Kinds of atoms, rising: atomic numbers or labels. An atom of a batch is of kind
            ``species[batch.species[i]]``. For a `FeatureTrajectory`, its columns.

        Returns
        -------
        Module
            Maps a batch to vectors of its target atoms, (n_target_atoms, n_features).
        """
        ...


@runtime_checkable
class Pooling(Protocol):
    """Settings of the part that makes one vector of the atoms of a target."""

    def build(self, n_features: int) -> nn.Module:
        """A network with random weights, drawn from torch's global generator.

        Parameters
        ----------
        n_features : int
            Length of an atom's vector.

        Returns
        -------
        Module
            Maps vectors of target atoms, (n_target_atoms, n_features), and their batch to vectors
            of targets, (n_frames * n_targets, n_pooled). ``batch.target_of_atom`` says whose atom
            each is; None where every target is one atom. It may have a method ``adapt(seen)``,
            called once before training with a list of such arguments, whose frames come in
            pairs a lag apart, one end after the other, and a method
            ``weights`` of the arguments of the call, for `GDyNetEstimator.pooling_weights`. An
            attribute ``slow_first = True`` lets the head start from what is slow in the vectors of
            the targets; it pays where noise has many directions, and little else does.
        """
        ...


class PartSettings(BaseEstimator):
    """Base of our own parts: equal where class and settings are."""

    def __eq__(self, other: Any) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _plain(self.get_params()) == _plain(other.get_params())

    def __hash__(self) -> int:
        return hash(repr(_plain(self.get_params())))


def register(kind: str, name: str | None = None) -> Any:
    """Let files name a class of encoders or poolings; a decorator.

    Models with a part of the class can then be saved, and read again wherever the module that
    registers it has been imported.

    Parameters
    ----------
    kind : {"encoder", "pooling"}
    name : str or None
        In files; None is the name of the class.

    Returns
    -------
    callable
        Takes a class and returns it.

    Raises
    ------
    ValueError
        If the name is taken by another class, the class has no ``get_params`` or ``build``, or the
        kind is unknown.

    Examples
    --------
    >>> from sklearn.base import BaseEstimator
    >>> from torch import nn
    >>> from graphkoopman.lobes import register
    >>> @register("pooling")
    ... class FirstAtom(BaseEstimator):
    ...     def build(self, n_features):
    ...         return nn.Identity()
    """
    if kind not in _CLASSES:
        raise ValueError(f"kind must be one of {sorted(_CLASSES)}, got {kind!r}")

    def decorate(cls: Part) -> Part:
        if not hasattr(cls, "get_params") or not hasattr(cls, "build"):
            raise ValueError(
                f"a class of {kind}s must have get_params and build, got {_place(cls)}; derive it "
                "from sklearn.base.BaseEstimator and give it a method build"
            )
        key = cls.__name__ if name is None else name
        known = _CLASSES[kind].get(key)
        # a notebook's cell that is run again defines the same class anew
        if known is not None and _place(known) != _place(cls):
            raise ValueError(
                f"{kind} {key!r} is registered as {_place(known)}; give {_place(cls)} another "
                f"name, register({kind!r}, name=...)"
            )
        _CLASSES[kind][key] = cls
        return cls

    return decorate


def _classes(kind: str) -> dict[str, type]:
    """Classes of a kind by name; our own register themselves when their modules are imported."""
    for module in ("_gated", "_schnet", "_painn", "_features", "_pooling", "_hierarchical"):
        import_module(f"graphkoopman.lobes.{module}")
    return _CLASSES[kind]


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def describe_part(kind: str, part: Any) -> dict[str, Any] | None:
    """Class and settings of a part as JSON holds them; None stays None.

    Raises
    ------
    ValueError
        If the class is not registered.
    """
    if part is None:
        return None
    names = {cls: name for name, cls in _classes(kind).items()}
    if type(part) in names:
        name, settings = names[type(part)], part.get_params(deep=False)
        return {"class": name, "settings": _plain(settings)}
    raise ValueError(
        f"{kind} must be of a class that files can name, got {_place(type(part))}; decorate a "
        f"settings class with graphkoopman.lobes.register({kind!r}), one of "
        f"{sorted(_classes(kind))} needs nothing"
    )


def part_of(kind: str, described: Any) -> Any:
    """The part behind what `describe_part` gave.

    Raises
    ------
    ValueError
        If no class of the name is registered.
    """
    if described is None:
        return None
    cls = _classes(kind).get(described["class"])
    if cls is None:
        raise ValueError(
            f"{kind} {described['class']!r} is not registered, known are {sorted(_CLASSES[kind])}; "
            "import the module that defines it first"
        )
    settings = described["settings"].items()
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings})


def _plain(value: Any) -> Any:
    """A setting as JSON holds it."""
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value


def needs_of(encoder: Any) -> frozenset[str]:
    """What an encoder, or a module in its place, reads.

    Raises
    ------
    ValueError
        If it is nothing that samples have.
    """
    needs = frozenset(getattr(encoder, "needs", {"distance"}))
    if not needs <= NEEDS:
        raise ValueError(
            f"needs of an encoder must be among {sorted(NEEDS)}, got {sorted(needs - NEEDS)}"
        )
    return needs
