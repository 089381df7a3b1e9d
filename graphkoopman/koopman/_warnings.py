"""Warnings of the Koopman layer, one class per condition a user may want to filter."""

__all__ = [
    "BeyondDataWarning",
    "FewUnitsWarning",
    "FixedStateWarning",
    "InvalidTimescaleWarning",
    "OscillatingTimescaleWarning",
    "RankDeficientWarning",
    "SkippedTrajectoryWarning",
    "StationaryDistributionWarning",
    "UnsupportedRateWarning",
]


class InvalidTimescaleWarning(UserWarning):
    """Eq. (11) gives an eigenvalue no relaxation time, or not one of plain relaxation."""


class OscillatingTimescaleWarning(InvalidTimescaleWarning):
    """Eigenvalues are complex: their time is the decay of the envelope of an oscillation."""


class RankDeficientWarning(UserWarning):
    """The data do not determine every row of the Koopman matrix (unvisited or dependent states)."""


class StationaryDistributionWarning(UserWarning):
    """The stationary distribution is not unique, or has negative entries."""


class SkippedTrajectoryWarning(UserWarning):
    """Trajectories without a single lagged pair were left out."""


class FewUnitsWarning(UserWarning):
    """There are too few independent units for a resampling distribution to be trusted."""


class UnsupportedRateWarning(UserWarning):
    """Local rates are negative, or lead to sites that no bond reaches, and were left out."""


class BeyondDataWarning(UserWarning):
    """A relaxation time is longer than the longest run, so that nobody has seen the process."""


class FixedStateWarning(UserWarning):
    """No target passes between groups of states: they tell kinds of targets apart."""
