"""Warnings of the generation layer."""

__all__ = ["ClosureWarning"]


class ClosureWarning(UserWarning):
    """An assumption behind a prediction does not hold for the data, or not exactly."""
