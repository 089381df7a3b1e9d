"""The network χ: neighbour graphs in, probabilities of the targets' states out.

Public: :func:`gaussian_basis` (7), :class:`GraphConvolution` (8)(9), :func:`pool_targets` (10),
:class:`GDyNetLobe`. Equation numbers are those of Xie et al., Nat. Commun. 10, 2667 (2019).

The linear maps of (8) and (9) act on a concatenation, ``W [v_i, v_j, u_ij]``. It is never built:
``W [v_i, v_j, u_ij] = W₁ v_i + W₂ v_j + W₃ u_ij``, the two atom terms are computed once per atom,
and in the softmax (8) over ``j`` the term of ``v_i`` and the bias cancel, so they have no weights.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.lobes._convolution import GraphConvolution, gaussian_basis
    from graphkoopman.lobes._network import GDyNetLobe, pool_targets
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = ["GDyNetLobe", "GraphConvolution", "gaussian_basis", "pool_targets"]
