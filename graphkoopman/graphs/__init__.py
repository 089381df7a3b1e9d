"""Neighbour graphs of the targets' receptive field.

Public: :class:`GraphFeaturizer`, the :class:`GraphTrajectory` that it makes, or
:class:`UnstoredGraphs`, which are not kept, and the :class:`GraphBatch` that a network gets.

A frame's atoms are stored in the order in which messages reach the targets: the target atoms
first, then atoms first reached by one hop, then by two, and so on. The last of ``n_conv``
convolutions updates the first group only, the one before the first two groups, so neighbours are
kept for all groups but the outermost. This is exact, nothing is sampled.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.graphs._batch import GraphBatch, collate
    from graphkoopman.graphs._build import build_graphs
    from graphkoopman.graphs._featurizer import GraphFeaturizer
    from graphkoopman.graphs._trajectory import GraphTrajectory
    from graphkoopman.graphs._unstored import UnstoredGraphs
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "GraphBatch",
    "GraphFeaturizer",
    "GraphTrajectory",
    "UnstoredGraphs",
]
