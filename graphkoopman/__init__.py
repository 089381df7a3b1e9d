"""Graph dynamical networks for molecular dynamics: states, their exchange, and what they carry.

Data flows one way: trajectories → neighbors → graphs → lobes → objectives → training → estimator →
koopman → analyses → plots. Lengths are in Å, times in ps, lag times in frames.

The packages below are attributes, too, imported when first used: ``graphkoopman.structure``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman import callbacks as callbacks
    from graphkoopman import datasets as datasets
    from graphkoopman import generation as generation
    from graphkoopman import graphs as graphs
    from graphkoopman import koopman as koopman
    from graphkoopman import lobes as lobes
    from graphkoopman import model_selection as model_selection
    from graphkoopman import neighbors as neighbors
    from graphkoopman import objectives as objectives
    from graphkoopman import plotting as plotting
    from graphkoopman import probabilities as probabilities
    from graphkoopman import structure as structure
    from graphkoopman import training as training
    from graphkoopman import trajectories as trajectories
    from graphkoopman import transport as transport
    from graphkoopman import uncertainty as uncertainty
    from graphkoopman.estimator import GDyNetEstimator
    from graphkoopman.graphs import GraphFeaturizer, GraphTrajectory
    from graphkoopman.koopman import (
        BootstrapKoopmanModel,
        KoopmanModel,
        align_states,
        as_target_trajectories,
        estimate_koopman,
    )
    from graphkoopman.trajectories import Trajectory, load_gdynet_npz, read_trajectory, segments
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__version__ = "0.1.0.dev0"

__all__ = [
    "BootstrapKoopmanModel",
    "GDyNetEstimator",
    "GraphFeaturizer",
    "GraphTrajectory",
    "KoopmanModel",
    "Trajectory",
    "align_states",
    "as_target_trajectories",
    "estimate_koopman",
    "load_gdynet_npz",
    "read_trajectory",
    "segments",
]
