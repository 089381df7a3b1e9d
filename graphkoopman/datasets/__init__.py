"""Systems with known answers: simulated, constructed, or published."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.datasets._chain_molecule import (
        ChainMolecule as ChainMolecule,
        make_chain_molecule,
    )
    from graphkoopman.datasets._chains import (
        chain_rates,
        projected_transition_matrix,
        relaxation_timescales,
        stationary_distribution,
    )
    from graphkoopman.datasets._examples import Example as Example, load_example
    from graphkoopman.datasets._fetch import GDYNET_TIMESTEPS, fetch_gdynet
    from graphkoopman.datasets._hopping import Hopping as Hopping, make_arrangement, make_hopping
    from graphkoopman.datasets._labels import (
        LabelTimescales as LabelTimescales,
        TooFewTransitionsError as TooFewTransitionsError,
        label_timescales,
    )
    from graphkoopman.datasets._li_fcc import LiFCC as LiFCC, simulate_li_fcc
    from graphkoopman.datasets._lj7 import LJ7 as LJ7, simulate_lj7
    from graphkoopman.datasets._references import (
        GlobalReference,
        SiteReference,
        TwoStateReference,
        global_reference,
        li_fcc_reference,
        two_state_reference,
    )
    from graphkoopman.datasets._sites import FCCSites, assign_sites, fcc_sites
    from graphkoopman.datasets._symmetry import (
        Ammonia as Ammonia,
        make_polar_cages,
        simulate_ammonia,
    )
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "chain_rates",
    "fetch_gdynet",
    "label_timescales",
    "load_example",
    "make_arrangement",
    "make_chain_molecule",
    "make_hopping",
    "make_polar_cages",
    "simulate_ammonia",
    "simulate_li_fcc",
    "simulate_lj7",
]
