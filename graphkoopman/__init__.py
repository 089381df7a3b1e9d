"""Graph dynamical networks for molecular dynamics: states, their exchange, and what they carry.

Data flows one way: trajectories → neighbors → graphs → lobes → objectives → training → estimator →
koopman → analyses → plots. Lengths are in Å, times in ps, lag times in frames.

The packages below are attributes, too, imported when first used: ``graphkoopman.structure``.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"  # before the packages below: with EAGER_IMPORT they ask for it

if TYPE_CHECKING:
    from graphkoopman import (
        callbacks as callbacks,
        cli as cli,
        datasets as datasets,
        descriptors as descriptors,
        estimator as estimator,
        export as export,
        generation as generation,
        graphs as graphs,
        koopman as koopman,
        lobes as lobes,
        model_selection as model_selection,
        neighbors as neighbors,
        objectives as objectives,
        plotting as plotting,
        probabilities as probabilities,
        report as report,
        samples as samples,
        structure as structure,
        training as training,
        trajectories as trajectories,
        transport as transport,
        uncertainty as uncertainty,
    )
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
