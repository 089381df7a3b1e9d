"""`trained_with`: fits whose training differs in what is no parameter of the estimator."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from graphkoopman.estimator import _fit


@contextmanager
def trained_with(**changes: Any) -> Iterator[None]:
    """Fits of this process with other `graphkoopman.training.TrainingSettings`.

    Parameters
    ----------
    **changes
        ``steps_per_epoch``, ``validation_fraction``, ``epsilon`` or ``checkpoint_interval``.
    """
    made = _fit.training_settings
    with patch.object(_fit, "training_settings", lambda *args: replace(made(*args), **changes)):
        yield
