"""Which frames an estimator was trained on, and whether others are far enough to be scored."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphkoopman.samples import Samples
from graphkoopman.trajectories import Trajectory

if TYPE_CHECKING:
    from graphkoopman.estimator._estimator import GDyNetEstimator

FrameRange = tuple[str, int, int]


def frame_ranges(pieces: Sequence[Samples | Trajectory]) -> list[FrameRange]:
    """Run, first frame and end of all pieces of a named run, in order.

    Parameters
    ----------
    pieces : sequence of Samples or Trajectory

    Returns
    -------
    list of (str, int, int)
        Ranges of one run that touch or overlap are merged.
    """
    ranges: list[FrameRange] = []
    named = [item for item in pieces if item.parent is not None]
    for run, start, stop in sorted((str(p.parent), p.start, p.start + len(p)) for p in named):
        if ranges and ranges[-1][0] == run and start <= ranges[-1][2]:
            ranges[-1] = (run, ranges[-1][1], max(stop, ranges[-1][2]))
        else:
            ranges.append((run, start, stop))
    return ranges


def check_gap(
    estimator: "GDyNetEstimator",
    pieces: Sequence[Samples | Trajectory],
    lagtime: int | None = None,
) -> None:
    """Raise ValueError where pieces are too close in time to training frames of their run.

    Frames closer than a lag are correlated with the training data, and a score on them is too
    good. Training data itself may be scored: that is a training score. Pieces without a parent
    are taken as runs of their own.

    Parameters
    ----------
    estimator : GDyNetEstimator
        Fitted.
    pieces : sequence of Samples or Trajectory
        To be scored.
    lagtime : int or None
        Frames that must lie between; None takes the estimator's lag.

    Raises
    ------
    ValueError
        Naming the frames.
    """
    lagtime = estimator.lagtime if lagtime is None else lagtime
    for run, start, stop in frame_ranges(pieces):
        trained = [(a, b) for name, a, b in estimator.training_frames_ if name == run]
        if any(a <= start and stop <= b for a, b in trained):
            continue
        for a, b in trained:
            between = max(a - stop, start - b)
            if between >= lagtime:
                continue
            where = "overlap" if between < 0 else f"are only {between} frames away from"
            raise ValueError(
                f"X must be training data or at least lagtime={lagtime} frames away from it, got "
                f"frames {start}-{stop} of a run that {where} the training frames {a}-{b}; split "
                "with more segments in the gap (SegmentKFold(gap=...)), or longer ones"
            )
