"""Choosing the lag and the number of states: lag-safe folds, scorers, the selection rule.

Folds: :class:`SegmentKFold`, :class:`SegmentShuffleSplit`, :class:`LeaveOneTrajectoryOut`,
:class:`TargetKFold`; :func:`cross_val_transform` with any of them.
Scores: :class:`KoopmanScorer`, :func:`markov_scorer` and ready-made scorers.
Choice: :func:`select_markovian`, :func:`explain_selection`, :func:`selection_report`,
:func:`select_model`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.estimator import MixedLagWarning as MixedLagWarning
    from graphkoopman.model_selection._candidates import LagChoice
    from graphkoopman.model_selection._cross_val import cross_val_transform
    from graphkoopman.model_selection._report import selection_report
    from graphkoopman.model_selection._scorers import (
        SCORER_NAMES,
        SELECTION_SCORES,
        KoopmanScorer,
        ck_scorer,
        markov_scorer,
        timescale_scorer,
        vamp1_scorer,
        vamp2_scorer,
        vampe_scorer,
    )
    from graphkoopman.model_selection._select_model import (
        ModelSelection as ModelSelection,
        select_model,
        time_pieces,
    )
    from graphkoopman.model_selection._selection import (
        Selection as Selection,
        SelectionWarning as SelectionWarning,
        StateChoice,
        explain_selection,
        select_markovian,
    )
    from graphkoopman.model_selection._splitters import (
        LeaveOneTrajectoryOut,
        SegmentKFold,
        SegmentShuffleSplit,
        TargetKFold,
    )
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "KoopmanScorer",
    "LeaveOneTrajectoryOut",
    "SegmentKFold",
    "SegmentShuffleSplit",
    "TargetKFold",
    "cross_val_transform",
    "markov_scorer",
    "select_markovian",
    "select_model",
    "selection_report",
]
