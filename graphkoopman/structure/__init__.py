"""What the surroundings of targets look like in each state.

Pure functions of trajectories and state probabilities: radial distribution functions and
coordination numbers (12), the charge around a target, profiles and maps of the cell,
representative neighbourhoods, bond order parameters, and what tells the states apart in words.
Lengths are in Å, charges in e; results carry 95 % intervals.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.structure._bond_order import bond_order
    from graphkoopman.structure._charge import ChargeIntegral as ChargeIntegral, charge_integral
    from graphkoopman.structure._describe import (
        StateDescription as StateDescription,
        describe_states,
    )
    from graphkoopman.structure._first_shell import first_shells, most_different
    from graphkoopman.structure._frames import (
        Representative as Representative,
        representative_frames,
        select_representatives,
    )
    from graphkoopman.structure._inputs import EmptyStateWarning as EmptyStateWarning
    from graphkoopman.structure._order_parameters import species_by_residue
    from graphkoopman.structure._profile import StateProfile as StateProfile, state_profile
    from graphkoopman.structure._rdf import StateRDF as StateRDF, state_rdf
    from graphkoopman.structure._spatial import SpatialMap as SpatialMap, spatial_map
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "bond_order",
    "charge_integral",
    "describe_states",
    "representative_frames",
    "spatial_map",
    "state_profile",
    "state_rdf",
]
