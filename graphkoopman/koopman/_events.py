"""What the number of events alone leaves open about a model: `error_of_counts`."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from graphkoopman.koopman._model import KoopmanModel

__all__ = ["error_of_counts"]

Array = NDArray[np.float64]

STEP = 1e-2  # of a probability, each way, for the derivative with its logarithm


def error_of_counts(
    quantity: Callable[[KoopmanModel], Array],
    model: KoopmanModel,
    exchanges: NDArray[np.int64],
) -> Array:
    r"""Standard error of a quantity of K if exchanges between states were a Poisson process.

    A number of N events is known to :math:`1/\sqrt N`, and so is the probability of the
    transition, :math:`K_{ij}`. Errors of the transitions are independent of one another:

    .. math::
        \sigma^2 = \sum_{i\ne j}\Big(\frac{\partial q}{\partial\ln K_{ij}}\Big)^2\frac{1}{N_{ij}}

    Events that come in bunches, targets that move together and states that are not Markovian leave
    more open, nothing leaves less: two visits of a state that happen to last equally long say as
    little about its lifetime as any two.

    Parameters
    ----------
    quantity : callable
        From a `KoopmanModel` to an array.
    model : KoopmanModel
    exchanges : ndarray of shape (n_states, n_states)
        Number of events :math:`N_{ij}`, see `count_exchanges`. Transitions without any are left
        out: states that overlap exchange without a certain event.

    Returns
    -------
    ndarray, as the quantity
        Zero where it is not finite.

    Examples
    --------
    Four visits of a state in which a target is for one frame in two: the relaxation time, half
    from either rate, is known to :math:`1/\sqrt 8`.

    >>> import numpy as np
    >>> from graphkoopman.koopman import KoopmanModel
    >>> from graphkoopman.koopman._events import error_of_counts
    >>> model = KoopmanModel([[0.999, 0.001], [0.001, 0.999]], lagtime=1)
    >>> events = np.array([[0, 4], [4, 0]])
    >>> round(float(error_of_counts(lambda m: np.log(m.timescales()), model, events)[0]), 3)
    0.354
    """
    variance = np.zeros(np.shape(quantity(model)))
    for i, j in np.argwhere(exchanges > 0):
        ends = [quantity(_changed(model, i, j, step)) for step in (STEP, -STEP)]
        with np.errstate(invalid="ignore"):
            slope = (ends[0] - ends[1]) / (2.0 * STEP)
        variance += np.where(np.isfinite(slope), slope, 0.0) ** 2 / exchanges[i, j]
    return np.sqrt(variance)


def _changed(model: KoopmanModel, i: int, j: int, step: float) -> KoopmanModel:
    """The model with a little more or less of one transition; rows still sum to one."""
    matrix = model.koopman_matrix.copy()
    change = step * matrix[i, j]
    matrix[i, j] += change
    matrix[i, i] -= change
    return KoopmanModel(matrix, lagtime=model.lagtime, timestep=model.timestep)
