"""`split_targets`: one run as several, each with a share of the targets."""

import hashlib

import numpy as np

from graphkoopman.trajectories._like import TargetsLike
from graphkoopman.trajectories._segments import content_name
from graphkoopman.trajectories._targets import resolve_targets
from graphkoopman.trajectories._trajectory import Trajectory, as_trajectories
from graphkoopman.trajectories._validation import check_integer


def split_targets(traj: Trajectory, n: int, *, targets: TargetsLike = None) -> list[Trajectory]:
    """Share the targets of a run among several, for cross-validation over targets, not time.

    Parameters
    ----------
    traj : Trajectory or mdtraj.Trajectory
    n : int
        Number of shares; target i goes to share ``i % n``.
    targets : see `resolve_targets`
        None takes the trajectory's own.

    Returns
    -------
    shares : list of Trajectory
        All frames each, with ``targets`` set, as runs of their own: their ``parent`` names the run
        and the atoms. A `GraphFeaturizer` takes these targets if it has none itself.

    Raises
    ------
    ValueError
        For fewer targets than shares.

    Notes
    -----
    Training on some targets and testing on others asks whether the states carry over to other
    atoms of the same kind. It does not ask whether they carry over to other times: both sides see
    the same frames, neighbouring targets are each other's environment, and a slow or collective
    process that the run has seen once is on both sides. Scores are higher than over time, and are
    no ground to choose the lag or the number of states on. Targets that differ in kind by their
    place (those of an interface, say) should be in every share.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.trajectories import Trajectory, split_targets
    >>> run = Trajectory(np.zeros((9, 5, 3)), None, [3] * 5, timestep=1.0, targets="element Li")
    >>> [np.ravel(share.targets).tolist() for share in split_targets(run, 2)]
    [[0, 2, 4], [1, 3]]
    """
    (run,) = as_trajectories(traj)
    n = check_integer(n, "n", 1)
    groups = resolve_targets(targets, run).groups()
    if n > len(groups):
        raise ValueError(
            f"n must not exceed the number of targets ({len(groups)}), got {n}; use fewer shares"
        )
    parent = content_name(run) if run.parent is None else run.parent
    shares = [groups[i::n] for i in range(n)]
    return [run._with(targets=share, parent=f"{parent}-{_name(share)}") for share in shares]


def _name(share: list[np.ndarray]) -> str:
    """A name that any two equal shares have in common."""
    text = repr([group.tolist() for group in share])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
