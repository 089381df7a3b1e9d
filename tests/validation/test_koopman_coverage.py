"""Coverage of the intervals on a known chain; `python -m benchmarks.coverage` is the full study."""

import warnings

import numpy as np
import pytest

from graphkoopman.koopman import FewUnitsWarning, estimate_koopman

STAY, LEAVE = 0.98, 0.02
TIMESCALE = -1.0 / np.log(STAY - LEAVE)
N_SETS = 60


def data_sets(n_frames, n_targets, shared):
    """Crisp symmetric two-state chains, (n_sets, n_frames, n_targets, 2)."""
    rng = np.random.default_rng(0)
    width = 1 if shared else n_targets
    flips = rng.random((N_SETS, n_frames, width)) < LEAVE
    flips[:, 0] = rng.random((N_SETS, width)) < 0.5
    states = np.cumsum(flips, axis=1) % 2
    return np.eye(2)[np.broadcast_to(states, (N_SETS, n_frames, n_targets))]


@pytest.mark.parametrize("unit", ["auto", "chunks"])
@pytest.mark.parametrize(
    ("n_frames", "n_targets", "shared"),
    [(600, 10, False), (4000, 3, True)],
    ids=["independent targets", "common mode"],
)
def test_intervals_hold_the_truth_as_often_as_they_say(unit, n_frames, n_targets, shared):
    held = []
    for probs in data_sets(n_frames, n_targets, shared):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewUnitsWarning)
            model = estimate_koopman(probs, 1, n_bootstrap=50, unit=unit, random_state=0)
        low, high = model.timescales_interval()[0]
        below, above = model.populations_interval()[0]
        held.append([low < TIMESCALE < high, below < 0.5 < above])
    # 0.95 less the 0.03 that few events cost, and three standard errors of 60 sets (0.1).
    assert np.mean(held, axis=0).min() > 0.82


def test_resampling_targets_with_a_common_mode_is_overconfident():
    """The reason for time blocks: five copies of one target look like five times the data."""
    held = []
    for probs in data_sets(2000, 5, shared=True)[:30]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewUnitsWarning)
            model = estimate_koopman(probs, 1, n_bootstrap=50, unit="targets", random_state=0)
        low, high = model.timescales_interval()[0]
        held.append(low < TIMESCALE < high)
    assert np.mean(held) < 0.2
