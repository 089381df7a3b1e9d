"""The timestep of frames that carry times, and of those that only carry frame numbers."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
        Where they come from, for the message.

    Raises
    ------
    ValueError
        Without times, for a single frame, and for uneven or falling times.
    """
    remedy = "pass timestep= (ps per frame)"
    if times is None:
        raise ValueError(f"timestep must be given for {source}: it carries no time; {remedy}")
    if len(times) < 2:
        raise ValueError(f"timestep must be given for {source}: it holds a single frame; {remedy}")
    steps = np.diff(times)
    timestep = (times[-1] - times[0]) / len(steps)
    # files store times in single precision
    tolerance = 1e-3 * abs(timestep) + 4 * np.finfo(np.float32).eps * np.abs(times).max()
    uneven = ~(np.abs(steps - timestep) <= tolerance)
    if uneven.any() or not timestep > 0:
        frame = int(np.argmax(np.where(uneven, np.abs(steps - np.median(steps)), 0.0)))
        raise ValueError(
            f"timestep must be given for {source}: its times are not evenly spaced, frames {frame} "
            f"and {frame + 1} are at {times[frame]:g} and {times[frame + 1]:g} ps; cut or thin the "
            f"run to even frames, or {remedy} if the times are wrong"
        )
    # six digits are what single precision supports: 0.1 ps, not 0.10000002
    return float(f"{timestep:.6g}")
