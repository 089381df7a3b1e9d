"""Koopman models of state dynamics: estimates, uncertainty, comparison and reconstruction.

Everything here is a function of state probabilities, arrays of shape
(n_frames, n_targets, n_states); no network and no trajectory is needed.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.koopman._align import align_states, state_correlation
    from graphkoopman.koopman._bootstrap import BootstrapKoopmanModel
    from graphkoopman.koopman._chapman_kolmogorov import StateObservable
    from graphkoopman.koopman._ck_error import (
        ChapmanKolmogorovError as ChapmanKolmogorovError,
        ck_error,
        markov_verdict,
    )
    from graphkoopman.koopman._consumers import as_target_trajectories
    from graphkoopman.koopman._estimate import estimate_koopman, model_of_moments
    from graphkoopman.koopman._exchange import ExchangeTimes as ExchangeTimes, exchange_times
    from graphkoopman.koopman._limits import (
        DataLimits,
        count_exchanges,
        data_limits,
        warn_of_limits as warn_of_limits,
    )
    from graphkoopman.koopman._model import KoopmanModel
    from graphkoopman.koopman._moments import LaggedMoments, lagged_moments, shared_moments
    from graphkoopman.koopman._sites import (
        GlobalKoopman as GlobalKoopman,
        SiteGraph,
        fcc_site_graph,
        global_koopman,
    )
    from graphkoopman.koopman._states import (
        StateMap as StateMap,
        identify_states,
        inner_simplex,
        singular_functions,
    )
    from graphkoopman.koopman._warnings import (
        BeyondDataWarning as BeyondDataWarning,
        FewUnitsWarning as FewUnitsWarning,
        FixedStateWarning as FixedStateWarning,
        InvalidTimescaleWarning as InvalidTimescaleWarning,
        OscillatingTimescaleWarning as OscillatingTimescaleWarning,
        RankDeficientWarning as RankDeficientWarning,
        SkippedTrajectoryWarning as SkippedTrajectoryWarning,
        StationaryDistributionWarning as StationaryDistributionWarning,
        UnsupportedRateWarning as UnsupportedRateWarning,
    )
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "BootstrapKoopmanModel",
    "KoopmanModel",
    "SiteGraph",
    "align_states",
    "as_target_trajectories",
    "ck_error",
    "estimate_koopman",
    "exchange_times",
    "fcc_site_graph",
    "global_koopman",
    "identify_states",
    "markov_verdict",
]
