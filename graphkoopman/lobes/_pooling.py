"""From the atoms of a target to the target: `MeanPooling` (10) and `AttentionPooling`."""

import numpy as np
import torch
from torch import Tensor, nn

from graphkoopman.checks import WrongArgument, check_integer
from graphkoopman.lobes._parts import PartSettings, register
from graphkoopman.lobes._segments import group_sum, segment_softmax, segment_sum
from graphkoopman.samples import Batch

MOST_HIDDEN, MOST_HEADS = 10_000, 1_000


def pool_targets(atoms: Tensor, batch: Batch) -> Tensor:
    """Mean over the atoms of each target, eq. (10).

    Parameters
    ----------
    atoms : Tensor of shape (n_target_atoms, n_features)
    batch : Batch

    Returns
    -------
    Tensor of shape (n_frames * n_targets, n_features)
    """
    if batch.target_of_atom is None:  # every target is one atom
        return atoms
    n_groups = batch.n_frames * batch.n_targets
    size = segment_sum(torch.ones_like(atoms[:, :1]), batch.target_of_atom, n_groups)
    return segment_sum(atoms, batch.target_of_atom, n_groups) / size


@register("pooling")
class MeanPooling(PartSettings):
    """Mean over the atoms of a target, eq. (10) of the paper; the default.

    Parameters
    ----------
    variance : bool
        Whether the variance over the atoms is put beside the mean. It pays where a whole system is
        one target and its atoms are alike: how unlike their surroundings are tells more than what
        they are on average.
    """

    def __init__(self, variance: bool = False) -> None:
        self.variance = variance

    def build(self, n_features: int) -> nn.Module:
        """The module; ``n_features`` is the length of an atom's vector."""
        if not isinstance(self.variance, bool | np.bool_):
            raise WrongArgument(f"variance must be True or False, got {self.variance!r}")
        return _Mean(n_features, bool(self.variance))


class _Mean(nn.Module):
    def __init__(self, n_features: int, variance: bool) -> None:
        super().__init__()
        self.n_features = (1 + variance) * n_features
        self.variance = variance

    def forward(self, atoms: Tensor, batch: Batch) -> Tensor:
        mean = pool_targets(atoms, batch)
        if not self.variance:
            return mean
        if batch.target_of_atom is None:
            return torch.cat([mean, torch.zeros_like(mean)], dim=1)
        # of differences: float32 would lose a small variance in the difference of two squares
        deviation = atoms - mean[batch.target_of_atom]
        return torch.cat([mean, pool_targets(deviation**2, batch)], dim=1)

    def weights(self, atoms: Tensor, batch: Batch) -> Tensor:
        """Share of every atom in its target, (n_target_atoms,)."""
        one = atoms.new_ones(len(atoms))
        if batch.target_of_atom is None:
            return one
        n_groups = batch.n_frames * batch.n_targets
        return one / segment_sum(one, batch.target_of_atom, n_groups)[batch.target_of_atom]


@register("pooling")
class AttentionPooling(PartSettings):
    """Weighted means over the atoms of a target, with learned weights.

    Atom ``i`` of a target has the share ``softmax_i(w · tanh(V v_i + b))``. With one head, training
    starts from equal shares, ``w = 0``, which is `MeanPooling`. Several heads have a ``w`` each,
    which start at random; their means go side by side into the head of the network, which so gets
    several weighted sums of atoms that differ from each other. Of a fitted estimator the shares,
    the mean over the heads, are read by `GDyNetEstimator.pooling_weights`.

    Parameters
    ----------
    n_hidden : int
        Rows of ``V``.
    n_heads : int
        Weighted means per target; the pooled vector is so many times as long as that of an atom.

    References
    ----------
    Ilse, Tomczak and Welling, ICML (2018), eq. (8).
    """

    def __init__(self, n_hidden: int = 16, n_heads: int = 1) -> None:
        self.n_hidden = n_hidden
        self.n_heads = n_heads

    def build(self, n_features: int) -> nn.Module:
        """The module; ``n_features`` is the length of an atom's vector."""
        n_hidden = check_integer(self.n_hidden, "n_hidden of AttentionPooling", 1, MOST_HIDDEN)
        n_heads = check_integer(self.n_heads, "n_heads of AttentionPooling", 1, MOST_HEADS)
        return _Attention(n_features, n_hidden, n_heads)


class Shares(nn.Module):
    """Shares of the members of a group: equal ones, or the softmax of a learned score.

    Parameters
    ----------
    n_features : int
        Length of a member's vector.
    n_hidden : int or None
        Rows of ``V``; None gives equal shares.
    n_heads : int
        Different shares of one member.
    """

    def __init__(self, n_features: int, n_hidden: int | None, n_heads: int = 1) -> None:
        super().__init__()
        self.learned = n_hidden is not None
        if n_hidden is not None:
            self.hidden = nn.Linear(n_features, n_hidden)
            self.logit = nn.Linear(n_hidden, n_heads, bias=False)
            if n_heads == 1:  # several equal heads would stay equal
                nn.init.zeros_(self.logit.weight)

    def of(self, members: Tensor, group: Tensor, n_groups: int) -> Tensor:
        """Shares (n_members, n_heads), whose sum over a group is one.

        Parameters
        ----------
        members : Tensor of shape (n_members, n_features)
        group : Tensor of shape (n_members,), int64
        n_groups : int
        """
        if not self.learned:
            one = torch.ones_like(members[:, :1])
            return one / group_sum(one, group, n_groups)[group]
        return segment_softmax(self.logit(torch.tanh(self.hidden(members))), group, n_groups)


class _Attention(Shares):
    def __init__(self, n_features: int, n_hidden: int, n_heads: int) -> None:
        super().__init__(n_features, n_hidden, n_heads)
        self.n_features = n_heads * n_features
        self.n_heads = n_heads

    def forward(self, atoms: Tensor, batch: Batch) -> Tensor:
        if batch.target_of_atom is None:
            return atoms.repeat(1, self.n_heads)
        n_groups = batch.n_frames * batch.n_targets
        shares = self.of(atoms, batch.target_of_atom, n_groups)
        weighted = (shares.unsqueeze(2) * atoms.unsqueeze(1)).flatten(1)
        return group_sum(weighted, batch.target_of_atom, n_groups)

    def weights(self, atoms: Tensor, batch: Batch) -> Tensor:
        """Share of every atom in its target, the mean over the heads, (n_target_atoms,)."""
        if batch.target_of_atom is None:
            return atoms.new_ones(len(atoms))
        n_groups = batch.n_frames * batch.n_targets
        return self.of(atoms, batch.target_of_atom, n_groups).mean(dim=1)
