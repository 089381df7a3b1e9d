"""From atoms by way of residues, monomers or windows to the target: `HierarchicalPooling`."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from graphkoopman.checks import check_integer
from graphkoopman.lobes._parts import PartSettings, register
from graphkoopman.lobes._pooling import MOST_HIDDEN, Shares
from graphkoopman.lobes._segments import group_sum
from graphkoopman.lobes._whitening import slow_layer
from graphkoopman.samples import Batch

MOST_LEVELS, LARGEST_WINDOW = 10, 10**6
METHODS = ("mean", "attention")


@register("pooling")
class HierarchicalPooling(PartSettings):
    """Atom → level → … → target, with a hidden layer at every level.

    Vectors ``v`` of the members of a group are pooled, standardised and given units of a hidden
    layer, ``g = [h, relu(W h + b)]`` with ``h = (Σ a_i v_i - mean) / scale``; groups are then
    pooled in the same way. The share ``a_i`` of a member is one over their number, or learned as in
    `AttentionPooling`. What tells apart the states of one residue of a long chain is decided within
    the residue, before the mean over all of them is taken; one mean over all atoms would drown it
    in their vibrations.

    Parameters
    ----------
    n_levels : int
        Levels between atom and target: as many as the graphs have
        (``GraphFeaturizer(levels=("residue",))`` has one), from fine to coarse.
    method : {"mean", "attention"} or sequence of n_levels + 1 of them
        How members of a group are weighted, of every level and of the target.
    window : int or None
        Levels are windows of so many consecutive atoms, windows of so many windows, and so on, for
        chains without residues; graphs then need no levels.
    n_hidden : int
        Units of the hidden layer of a level.

    Notes
    -----
    Costs a few operations per atom, whatever the number of levels. Windows go by the order of a
    target's atoms: reordered atoms are another system.

    References
    ----------
    Pengmei, Lorpaiboon, Guo, Weare and Dinner, "geom2vec", J. Chem. Theory Comput. (2025), for
    the merging of tokens by windows.

    Examples
    --------
    >>> from graphkoopman.lobes import HierarchicalPooling
    >>> HierarchicalPooling(method=("mean", "attention")).build(16).n_features
    32
    """

    def __init__(
        self,
        n_levels: int = 1,
        method: str | Sequence[str] = "mean",
        window: int | None = None,
        n_hidden: int = 16,
    ) -> None:
        self.n_levels = n_levels
        self.method = method
        self.window = window
        self.n_hidden = n_hidden

    def build(self, n_features: int) -> nn.Module:
        """The module; ``n_features`` is the length of an atom's vector.

        Raises
        ------
        ValueError
            If a setting cannot work.
        """
        n_levels = check_integer(self.n_levels, "n_levels", 1, MOST_LEVELS)
        n_hidden = check_integer(self.n_hidden, "n_hidden of HierarchicalPooling", 1, MOST_HIDDEN)
        window = self.window
        if window is not None:
            window = check_integer(window, "window", 2, LARGEST_WINDOW)
        return _Hierarchy(n_features, n_hidden, _methods(self.method, n_levels), window)


def _methods(method: Any, n_levels: int) -> list[str]:
    """How each of the steps weights its members."""
    methods = [method] * (n_levels + 1) if isinstance(method, str) else list(method)
    if len(methods) != n_levels + 1 or not set(methods) <= set(METHODS):
        raise ValueError(
            f"method must be one of {METHODS}, or one of them for each of {n_levels} levels and "
            f"the target, got {method!r}"
        )
    return methods


class _Level(nn.Module):
    """Hidden layer of the groups of a level, in front of which they are standardised."""

    mean: Tensor
    scale: Tensor

    def __init__(self, n_features: int, n_hidden: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.hidden = nn.Linear(n_features, n_hidden)

    def forward(self, groups: Tensor) -> Tensor:
        standard = (groups - self.mean) / self.scale
        return torch.cat([standard, torch.relu(self.hidden(standard))], dim=1)

    @torch.no_grad()
    def adapt(self, ends: Sequence[Tensor]) -> None:
        """Units of groups (n_pairs, 2, n_groups, n_features) of every run, and a layer for them."""
        random = self.hidden.weight.detach().double().cpu().numpy()
        layer = slow_layer([pairs.double().cpu().numpy() for pairs in ends], random)
        places = self.mean, self.scale, self.hidden.weight, self.hidden.bias
        for place, value in zip(places, layer, strict=True):
            place.copy_(torch.as_tensor(value))


class _Hierarchy(nn.Module):
    slow_first = True  # the vector of a target has the noise of all its groups in many directions

    def __init__(
        self, n_features: int, n_hidden: int, methods: Sequence[str], window: int | None
    ) -> None:
        super().__init__()
        widths = [n_features + level * n_hidden for level in range(len(methods))]
        self.n_features = widths[-1]
        self.window = window
        self.shares = nn.ModuleList(
            Shares(width, n_hidden if method == "attention" else None)
            for width, method in zip(widths, methods, strict=True)
        )
        self.levels = nn.ModuleList(_Level(width, n_hidden) for width in widths[:-1])

    def forward(self, atoms: Tensor, batch: Batch) -> Tensor:
        return self._pooled(atoms, batch)[0]

    def weights(self, atoms: Tensor, batch: Batch) -> Tensor:
        """Share of every atom in its target, (n_target_atoms,): the product over the levels."""
        return self._pooled(atoms, batch)[1]

    @torch.no_grad()
    def adapt(self, seen: Iterable[tuple[Tensor, Batch]]) -> None:
        """Set the units of every level, from fine to coarse.

        Parameters
        ----------
        seen : iterable of (Tensor, Batch)
            Vectors of atoms, and the batches that they are of; frames come in pairs a lag apart.
        """
        batches = list(seen)
        for depth, level in enumerate(self.levels):
            groups = [self._pooled(*batch, depth)[0] for batch in batches]
            # (n_pairs, 2, groups of a frame, n_features): every frame has as many
            ends = [
                group.reshape(batch.n_frames // 2, 2, -1, group.shape[1])
                for group, (_, batch) in zip(groups, batches, strict=True)
            ]
            cast(_Level, level).adapt(ends)

    def _pooled(
        self, atoms: Tensor, batch: Batch, depth: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Vectors of the targets and shares of the atoms; with ``depth`` of that level's groups."""
        members, share = atoms, atoms.new_ones(len(atoms))
        member_of_atom = torch.arange(len(atoms), device=atoms.device)
        steps = _groups(batch, len(self.levels), self.window, atoms.device)
        for i, (group, n_groups) in enumerate(steps):
            shares = cast(Shares, self.shares[i]).of(members, group, n_groups)
            share = share * shares[member_of_atom, 0]
            members = group_sum(shares * members, group, n_groups)
            member_of_atom = group[member_of_atom]
            if i == depth:
                break
            if i < len(self.levels):
                members = self.levels[i](members)
        return members, share


def _groups(
    batch: Batch, n_levels: int, window: int | None, device: torch.device
) -> list[tuple[Tensor, int]]:
    """Of every step: group of each member, and the number of groups; targets last."""
    n_targets = batch.n_frames * batch.n_targets
    target = batch.target_of_atom
    if target is None:  # every target is one atom
        target = torch.arange(n_targets, device=device)
    steps = []
    for level in range(n_levels):
        group = _level(batch, level, n_levels) if window is None else _windows(target, window)
        if window is None and level > 0:
            below = _level(batch, level - 1, n_levels)
            group = _by_group(group, below)
            if not torch.equal(group[below], _level(batch, level, n_levels)):
                raise ValueError(
                    "levels must be nested from fine to coarse, got groups that lie in several "
                    "groups of the next level; reorder the levels of GraphFeaturizer"
                )
        steps.append((group, int(group.max()) + 1))
        target = _by_group(target, group)
    return [*steps, (target, n_targets)]


def _level(batch: Any, level: int, n_levels: int) -> Tensor:
    """Group of every target atom at a level of the graphs."""
    levels: Any = getattr(batch, "levels", None)
    n_found = 0 if levels is None else len(levels)
    if n_found != n_levels:
        raise ValueError(
            f"HierarchicalPooling with n_levels={n_levels} needs samples with as many levels, got "
            f"{n_found}; give GraphFeaturizer levels, ('residue',) say, set n_levels, or window "
            "for chains without"
        )
    found: Tensor = levels[level]
    return found


def _by_group(values: Tensor, group: Tensor) -> Tensor:
    """What the members of a group have in common, (n_groups,)."""
    found = values.new_zeros(int(group.max()) + 1)
    found[group] = values
    return found


def _windows(target: Tensor, window: int) -> Tensor:
    """Windows of consecutive rows of each target; ``target`` is ascending."""
    sizes = torch.bincount(target)
    start = torch.cumsum(sizes, 0) - sizes
    n_windows = -(-sizes // window)
    first = torch.cumsum(n_windows, 0) - n_windows
    place = torch.arange(len(target), device=target.device) - start[target]
    return first[target] + place // window
