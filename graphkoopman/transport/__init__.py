"""Transport of the states: displacements, diffusion and conduction of transitions, lifetimes.

Everything here is a function of trajectories and of state probabilities, eqs. (13)-(16) of
T. Xie et al., Nat. Commun. 10, 2667 (2019). Lengths in Å, times in ps, charges in e, lag times in
frames, conductivities in S/cm.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.transport._arrhenius import Arrhenius as Arrhenius, arrhenius
    from graphkoopman.transport._carriers import check_carriers
    from graphkoopman.transport._conduction import (
        NERNST_EINSTEIN,
        Conduction as Conduction,
        conduction_contributions,
        number_density,
    )
    from graphkoopman.transport._diffusion import (
        TransitionDiffusion as TransitionDiffusion,
        transition_diffusion,
    )
    from graphkoopman.transport._displacements import (
        TransitionMSD as TransitionMSD,
        transition_displacements,
    )
    from graphkoopman.transport._drift import Drift
    from graphkoopman.transport._einstein import (
        EinsteinConductivity as EinsteinConductivity,
        einstein_conductivity,
    )
    from graphkoopman.transport._finite_size import yeh_hummer
    from graphkoopman.transport._inputs import (
        ModelLike,
        check_charges,
        check_model,
        check_runs,
        check_temperature,
    )
    from graphkoopman.transport._intervals import UNITS, Units, jackknife
    from graphkoopman.transport._onsager import (
        OnsagerContributions as OnsagerContributions,
        onsager_contributions,
    )
    from graphkoopman.transport._residence import ResidenceTimes as ResidenceTimes, residence_times
    from graphkoopman.transport._runs import TransportRun, longer_than, prepare_runs
    from graphkoopman.transport._steps import StepSums, collective_step_sums, step_sums
    from graphkoopman.transport._warnings import (
        NegativeConductivityWarning as NegativeConductivityWarning,
        ShortTrajectoryWarning as ShortTrajectoryWarning,
        UnobservedTransitionWarning as UnobservedTransitionWarning,
        UnvisitedStateWarning as UnvisitedStateWarning,
    )
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "arrhenius",
    "conduction_contributions",
    "einstein_conductivity",
    "onsager_contributions",
    "residence_times",
    "transition_diffusion",
    "transition_displacements",
    "yeh_hummer",
]
