"""Figures: one ``plot_*(result, ax=None) -> ax`` per result, nothing is estimated here.

Models: :func:`plot_timescales`, :func:`plot_ck_test` (a figure of many panels),
:func:`plot_eigenvectors`, :func:`plot_populations`, :func:`plot_global_timescales`,
:func:`plot_history`, :func:`plot_exchange`.
Structure: :func:`plot_state_rdf`, :func:`plot_coordination`, :func:`plot_charge_integral`,
:func:`plot_state_profile`, :func:`plot_spatial_map`, :func:`plot_state_description`.
Selection: :func:`plot_state_scores`, :func:`plot_ck_errors`,
:func:`plot_selection_timescales` (a figure of one panel per number of states).
Transport: :func:`plot_transition_msd`, :func:`plot_transition_diffusion`,
:func:`plot_conduction`, :func:`plot_residence_times`.
Predictions: :func:`plot_onsager`, :func:`plot_predicted_msd`, :func:`plot_arrhenius`.

Lengths are in Å, times in ps; bands and error bars are 95 % intervals. Where an interval has no
end, it is not drawn. ``COLORS`` are those of states and transitions in all figures, a palette that
colour-blind readers can tell apart.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.plotting._axes import COLORS
    from graphkoopman.plotting._koopman import (
        plot_ck_test,
        plot_eigenvectors,
        plot_exchange,
        plot_global_timescales,
        plot_history,
        plot_populations,
        plot_timescales,
    )
    from graphkoopman.plotting._prediction import (
        plot_arrhenius,
        plot_onsager,
        plot_predicted_msd,
    )
    from graphkoopman.plotting._selection import (
        plot_ck_errors,
        plot_selection_timescales,
        plot_state_scores,
    )
    from graphkoopman.plotting._structure import (
        plot_charge_integral,
        plot_coordination,
        plot_spatial_map,
        plot_state_description,
        plot_state_profile,
        plot_state_rdf,
    )
    from graphkoopman.plotting._transport import (
        plot_conduction,
        plot_residence_times,
        plot_transition_diffusion,
        plot_transition_msd,
    )
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "COLORS",
    "plot_arrhenius",
    "plot_charge_integral",
    "plot_ck_errors",
    "plot_ck_test",
    "plot_conduction",
    "plot_coordination",
    "plot_eigenvectors",
    "plot_exchange",
    "plot_global_timescales",
    "plot_history",
    "plot_onsager",
    "plot_populations",
    "plot_predicted_msd",
    "plot_residence_times",
    "plot_selection_timescales",
    "plot_spatial_map",
    "plot_state_description",
    "plot_state_profile",
    "plot_state_rdf",
    "plot_state_scores",
    "plot_timescales",
    "plot_transition_diffusion",
    "plot_transition_msd",
]
