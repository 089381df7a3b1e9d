"""The network χ: neighbour graphs in, probabilities of the targets' states out.

Public are the exchangeable parts of a :class:`GDyNetLobe`. Encoders: :class:`Encoder`,
:class:`GatedEncoder`, :class:`SchNetEncoder`, :class:`PaiNNEncoder`, :class:`FeatureEncoder`.
Poolings: :class:`Pooling`, :class:`MeanPooling` (10), :class:`AttentionPooling`,
:class:`HierarchicalPooling`. Building blocks for encoders: :func:`gaussian_basis` (7),
:class:`SpeciesEmbedding`, :func:`segment_sum`. :func:`register` lets files name a part of one's
own. Equation numbers are those of Xie et al., Nat. Commun. 10, 2667 (2019).

The linear maps of (8) and (9) act on a concatenation, ``W [v_i, v_j, u_ij]``. It is never built:
``W [v_i, v_j, u_ij] = W₁ v_i + W₂ v_j + W₃ u_ij``, the two atom terms are computed once per atom,
and in the softmax (8) over ``j`` the term of ``v_i`` and the bias cancel, so they have no weights.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.lobes._basis import gaussian_basis
    from graphkoopman.lobes._convolution import GraphConvolution
    from graphkoopman.lobes._embedding import SpeciesEmbedding
    from graphkoopman.lobes._features import FeatureEncoder
    from graphkoopman.lobes._gated import GatedEncoder
    from graphkoopman.lobes._head import Head as Head
    from graphkoopman.lobes._hierarchical import HierarchicalPooling
    from graphkoopman.lobes._network import GDyNetLobe as GDyNetLobe, build_lobe, transfer_weights
    from graphkoopman.lobes._painn import PaiNNEncoder
    from graphkoopman.lobes._parts import (
        Encoder,
        Pooling,
        describe_part,
        needs_of,
        part_of,
        register,
    )
    from graphkoopman.lobes._pooling import AttentionPooling, MeanPooling, pool_targets
    from graphkoopman.lobes._schnet import SchNetEncoder
    from graphkoopman.lobes._segments import segment_softmax, segment_sum
    from graphkoopman.lobes._whitening import slow_layer, whitened_layer
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "AttentionPooling",
    "Encoder",
    "FeatureEncoder",
    "GatedEncoder",
    "HierarchicalPooling",
    "MeanPooling",
    "PaiNNEncoder",
    "Pooling",
    "SchNetEncoder",
    "SpeciesEmbedding",
    "gaussian_basis",
    "register",
    "segment_sum",
]
