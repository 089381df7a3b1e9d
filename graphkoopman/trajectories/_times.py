"""The timestep of frames that carry times, steps, or nothing.

Files store times in single precision: at 10 µs a float32 resolves 1 ps. What differs by less than
that is rounding, and nothing else is.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

REMEDY = "pass timestep= (ps per frame, --timestep)"
AGREEMENT = 1e-3  # relative, of a timestep and the file's: units of time are rounded to less


def real_times(times: ArrayLike) -> NDArray[np.float64] | None:
    """Times in ps, or None for integers: mdtraj numbers the frames of files that hold no time."""
    times = np.asarray(times)
    return times.astype(np.float64) if times.dtype.kind == "f" else None


def timestep_from_times(times: NDArray[np.float64] | None, source: str) -> float:
    """Spacing of evenly spaced times.

    Parameters
    ----------
    times : ndarray of shape (n_frames,) or None
        Times in ps; None where the source holds no time.
    source : str
        Where the times come from, for the message.

    Returns
    -------
    float
        The number of fewest digits that the rounding of the times allows: 0.1 ps, not 0.0999948.

    Raises
    ------
    ValueError
        Without times, for a single frame, and for uneven, repeated or falling times.
    """
    if times is None:
        raise ValueError(f"timestep must be given for {source}: it carries no time; {REMEDY}")
    if len(times) < 2:
        raise ValueError(f"timestep must be given for {source}: it holds a single frame; {REMEDY}")
    check_even(times, source)
    return _simplest(*_spacing(times))


def frame_spacing(
    times: NDArray[np.float64] | None,
    steps: NDArray[np.number] | None,
    timestep: float | None,
    source: str,
) -> float:
    """ps between the frames of a file, of which nothing contradicts anything.

    Parameters
    ----------
    times : ndarray of shape (n_frames,) or None
        ps, as the file has them.
    steps : ndarray of shape (n_frames,) or None
        Numbers without a unit of time.
    timestep : float or None
        What the user says.
    source : str
        For messages.

    Raises
    ------
    ValueError
        For uneven, repeated or falling times and steps, with or without a timestep; for a
        timestep that contradicts the times; where neither gives a time.
    """
    if times is not None and not np.isfinite(times).all():
        times = None
    resolved = times is not None and len(times) > 1 and _resolves(times)
    counted = steps is not None and len(steps) > 1 and bool(np.any(np.diff(steps)))
    if steps is not None and counted and not resolved:
        check_even(steps, source, "steps")
    if times is None or len(times) < 2 or not (np.any(np.diff(times)) or counted):
        if timestep is not None:
            return timestep
        # times that never change are none
        single = times is not None and len(times) < 2
        return timestep_from_times(times if single else None, source)
    # times that stand still within their rounding are even if the steps are
    if resolved or not counted:
        check_even(times, source)
    spacing, error = _spacing(times)
    if timestep is None:
        return _simplest(spacing, error)
    if abs(timestep - spacing) > AGREEMENT * spacing + error:
        raise ValueError(
            f"timestep must agree with the times of {source}, got {timestep:g} ps for frames "
            f"that are {_simplest(spacing, error):g} ps apart; leave timestep out, or, where "
            "the file's times are wrong, pass ignore_times=True (--ignore-times)"
        )
    return timestep


def check_even(values: NDArray[np.number], source: str, what: str = "times") -> None:
    """Raise unless times in single precision, or whole steps, rise evenly.

    Raises
    ------
    ValueError
        With the first pair of frames that is another distance apart.
    """
    steps = np.diff(values)
    spacing = (float(values[-1]) - float(values[0])) / len(steps)
    # frames are as far apart as most of them are, whatever is in between
    usual = float(np.median(steps))
    uneven = ~(np.abs(steps - usual) <= _tolerance(values, usual))
    drifting = ~(abs(spacing - usual) <= _tolerance(values, usual).max())
    if not uneven.any() and not drifting and usual > 0:
        return
    frame = int(np.argmax(np.where(uneven, np.abs(steps - usual), 0.0)))
    unit = " ps" if what == "times" else ""
    n_uneven = int(uneven.sum())
    at = f"{values[frame]:.10g} and {values[frame + 1]:.10g}{unit}"
    raise ValueError(
        f"frames of {source} must follow each other evenly: its {what} are not evenly spaced, "
        f"frames {frame} and {frame + 1} are at {at} where most are {usual:g}{unit} apart "
        f"({n_uneven} of {len(steps)} steps are uneven); cut or thin the run to even frames, drop "
        f"repeated ones, or, where the {what} are wrong, pass timestep= and ignore_times=True "
        "(--timestep, --ignore-times)"
    )


def _tolerance(values: NDArray[np.number], usual: float) -> NDArray[np.float64]:
    """How far rounding takes each step from the usual one."""
    if values.dtype.kind in "iu":
        return np.zeros(len(values) - 1)
    return 1e-3 * abs(usual) + 1.01 * _resolution(values)


def _resolution(times: NDArray[np.number]) -> NDArray[np.float64]:
    """Rounding of the difference of every two consecutive times in single precision."""
    spacing = np.spacing(np.abs(times).astype(np.float32)).astype(np.float64)
    return np.maximum(spacing[1:], spacing[:-1])


def _resolves(times: NDArray[np.float64]) -> bool:
    """Whether single precision tells frames apart, so that a doubled one would show."""
    steps = np.abs(np.diff(times))
    return bool(np.median(steps) > 4 * _resolution(times).max())


def _spacing(times: NDArray[np.float64]) -> tuple[float, float]:
    """Mean spacing, and how far rounding may have moved it."""
    n_steps = len(times) - 1
    spacing = (times[-1] - times[0]) / n_steps
    ends = np.spacing(np.abs(times[[0, -1]]).astype(np.float32)).astype(np.float64)
    return float(spacing), float(ends.sum() / 2 / n_steps) + 1e-7 * abs(float(spacing))


def _simplest(value: float, error: float) -> float:
    """The number of fewest significant digits within the error; six are what float32 supports."""
    if not value > 0 or not math.isfinite(value):
        return value
    for digits in range(1, 7):
        short = float(f"{value:.{digits}g}")
        if abs(short - value) <= error:
            return short
    return float(f"{value:.6g}")
