"""Callbacks of scikit-learn (1.9 and later) in our fits; older versions have none.

`CallbackSupport` gives an estimator ``set_callbacks``, `with_callbacks` ends them with its fit,
and `FitTask` tells them of the fit and of its steps.
"""

from collections.abc import Callable, Sequence
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupport, with_callbacks
except ImportError:

    class CallbackSupport:  # type: ignore[no-redef]
        """Nothing: this scikit-learn has no callbacks."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """The method as it is: this scikit-learn has no callbacks."""
        return method


class FitTask:
    """A fit and its steps, one after the other, as the callbacks of an estimator see them.

    Parameters
    ----------
    estimator : CallbackSupport
        Its ``fit`` is decorated by `with_callbacks`.
    X : sequence
        What the estimator learns from.
    n_steps : int
        Largest number of steps.
    step_name : str
        What a step is called on a progress bar.
    """

    def __init__(
        self, estimator: Any, X: Sequence[Any], n_steps: int = 0, step_name: str = "step"
    ) -> None:
        self.step_name = step_name
        self._context = None
        # scikit-learn's ScoringMonitor scores nothing where y is None
        self._what = {"estimator": estimator, "X": X, "y": [None] * len(X)}
        if hasattr(estimator, "_init_callback_context"):
            self._context = estimator._init_callback_context(max_subtasks=n_steps)
            self._context.call_on_fit_task_begin(**self._what)

    def step(self, learned: Callable[[], dict[str, Any]]) -> bool:
        """Tell of a step that is done.

        Parameters
        ----------
        learned : callable
            Returns the attributes of the estimator as if the fit had ended here, by name; called
            only if a callback asks for them.

        Returns
        -------
        bool
            Whether a callback wants the fit to stop.
        """
        if self._context is None:
            return False
        step = self._context.subcontext(task_name=self.step_name)
        step.call_on_fit_task_begin(**self._what)
        return step.call_on_fit_task_end(**self._what, reconstruction_attributes=learned)

    def end(self, learned: Callable[[], dict[str, Any]] | None = None) -> None:
        """Tell that the fit is done; ``learned`` as for `step`."""
        if self._context is not None:
            self._context.call_on_fit_task_end(**self._what, reconstruction_attributes=learned)
