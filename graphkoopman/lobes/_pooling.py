"""From the atoms of a target to the target: `MeanPooling` (10) and `AttentionPooling`."""

import torch
from torch import Tensor, nn

from graphkoopman.checks import check_integer
from graphkoopman.lobes._parts import PartSettings, register
from graphkoopman.lobes._segments import segment_softmax, segment_sum
from graphkoopman.samples import Batch

MOST_HIDDEN = 10_000


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
    """Mean over the atoms of a target, eq. (10) of the paper; the default."""

    def build(self, n_features: int) -> nn.Module:
        """The module; ``n_features`` is the length of an atom's vector."""
        return _Mean(n_features)


class _Mean(nn.Module):
    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.n_features = n_features

    def forward(self, atoms: Tensor, batch: Batch) -> Tensor:
        return pool_targets(atoms, batch)

    def weights(self, atoms: Tensor, batch: Batch) -> Tensor:
        """Share of every atom in its target, (n_target_atoms,)."""
        one = atoms.new_ones(len(atoms))
        if batch.target_of_atom is None:
            return one
        n_groups = batch.n_frames * batch.n_targets
        return one / segment_sum(one, batch.target_of_atom, n_groups)[batch.target_of_atom]


@register("pooling")
class AttentionPooling(PartSettings):
    """Weighted mean over the atoms of a target, with learned weights.

    Atom ``i`` of a target has the share ``softmax_i(w · tanh(V v_i + b))``. Training starts from
    equal shares, ``w = 0``, which is `MeanPooling`. Of a fitted estimator the shares are read by
    `GDyNetEstimator.pooling_weights`.

    Parameters
    ----------
    n_hidden : int
        Rows of ``V``.

    References
    ----------
    Ilse, Tomczak and Welling, ICML (2018), eq. (8).
    """

    def __init__(self, n_hidden: int = 16) -> None:
        self.n_hidden = n_hidden

    def build(self, n_features: int) -> nn.Module:
        """The module; ``n_features`` is the length of an atom's vector."""
        n_hidden = check_integer(self.n_hidden, "n_hidden of AttentionPooling", 1, MOST_HIDDEN)
        return _Attention(n_features, n_hidden)


class _Attention(nn.Module):
    def __init__(self, n_features: int, n_hidden: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.hidden = nn.Linear(n_features, n_hidden)
        self.logit = nn.Linear(n_hidden, 1, bias=False)
        nn.init.zeros_(self.logit.weight)

    def forward(self, atoms: Tensor, batch: Batch) -> Tensor:
        if batch.target_of_atom is None:
            return atoms
        shares = self.weights(atoms, batch).unsqueeze(1)
        return segment_sum(shares * atoms, batch.target_of_atom, batch.n_frames * batch.n_targets)

    def weights(self, atoms: Tensor, batch: Batch) -> Tensor:
        """Share of every atom in its target, (n_target_atoms,)."""
        if batch.target_of_atom is None:
            return atoms.new_ones(len(atoms))
        logits = self.logit(torch.tanh(self.hidden(atoms))).squeeze(1)
        return segment_softmax(logits, batch.target_of_atom, batch.n_frames * batch.n_targets)
