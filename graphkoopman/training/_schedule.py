"""How the learning rate goes through a cycle of training."""

import math

WARM_UP = 0.1  # of a cycle; Adam's first steps are as long as its later ones, and know less


def rate_in_cycle(done: float) -> float:
    """Share of the full learning rate at a point of a cycle: a short rise, then half a cosine.

    The rate falls to nothing, so that a cycle ends with what its batches agree on; the next cycle
    begins at the full rate again and may leave a poor optimum (warm restarts).

    Parameters
    ----------
    done : float
        Share of the cycle's updates, from 0 to 1.

    Returns
    -------
    float
        Between 0 and 1.

    References
    ----------
    Loshchilov and Hutter, ICLR 2017, eq. (5).
    """
    return min(1.0, (done + 0.01) / WARM_UP) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
