"""Objects of other packages as trajectories: `converter`, `as_trajectory`.

A converter is registered for classes by name, so that nothing is imported before an object of
that class has been seen; one more package is one more decorated function.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.trajectories.objects._registry import as_trajectory, converter, one_trajectory
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = ["as_trajectory", "converter", "one_trajectory"]
