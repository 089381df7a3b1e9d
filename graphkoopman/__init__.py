"""Graph dynamical networks for molecular dynamics: states, their exchange, and what they carry.

Data flows one way: trajectories → neighbors → graphs → lobes → objectives → training → estimator →
koopman → analyses → plots. Lengths are in Å, times in ps, lag times in frames.
"""

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
