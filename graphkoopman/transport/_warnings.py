"""Warnings of the transport layer, one class per condition a user may want to filter."""

__all__ = [
    "NegativeConductivityWarning",
    "ShortTrajectoryWarning",
    "UnobservedTransitionWarning",
    "UnvisitedStateWarning",
]


class ShortTrajectoryWarning(UserWarning):
    """Trajectories no longer than the longest lag were left out."""


class UnobservedTransitionWarning(UserWarning):
    """A transition never occurs in the data, so it has no displacement of its own."""


class NegativeConductivityWarning(UserWarning):
    """The contributions sum to zero or less, so percentages of the sum mean nothing."""


class UnvisitedStateWarning(UserWarning):
    """No target is ever in the state, so it has no residence time."""
