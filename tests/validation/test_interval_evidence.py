"""Intervals where targets share modes and runs are short, on chains with exact answers."""

import warnings

import numpy as np
import pytest

from graphkoopman.koopman import FewUnitsWarning, estimate_koopman

STAY = 0.5 * (1.0 + np.exp(-1.0 / 50.0))  # symmetric: relaxation time of 50 frames
N_SETS = 80


def six_groups(n_frames, seed):
    """Sixty targets in six groups that each follow one chain, (n_frames, 60, 2)."""
    rng = np.random.default_rng(seed)
    flips = rng.random((n_frames, 6)) >= STAY
    flips[0] = rng.random(6) < 0.5
    states = np.cumsum(flips, axis=0) % 2
    return np.eye(2)[np.repeat(states, 10, axis=1)]


def intervals(probs, unit="auto", n_bootstrap=50):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewUnitsWarning)
        model = estimate_koopman(probs, 1, n_bootstrap=n_bootstrap, unit=unit, random_state=0)
    return model.timescales_interval()[0], model.populations_interval()[0]


def held(unit):
    found = [intervals(six_groups(500, seed), unit) for seed in range(N_SETS)]
    return np.mean([[t[0] < 50 < t[1], p[0] < 0.5 < p[1]] for t, p in found], axis=0)


def test_sixty_targets_in_six_groups():
    """Ten correlation times: as many intervals hold the truth as they say."""
    # three standard errors of 80 sets around 0.95 (0.073)
    assert held("auto").min() > 0.87


def test_sixty_targets_taken_for_sixty_sources_are_overconfident():
    assert held("blocks+targets").max() < 0.75


@pytest.mark.filterwarnings("ignore::graphkoopman.koopman.BeyondDataWarning")
@pytest.mark.parametrize("n_times", [1.0, 2.5])
def test_few_correlation_times_leave_few_degrees_of_freedom(n_times):
    """As 768 atoms at two faces in 714 frames: no count of atoms makes up for time."""
    probs = six_groups(round(50 * n_times), seed=3)
    with pytest.warns(FewUnitsWarning, match="correlation times"):
        model = estimate_koopman(probs, 1, n_bootstrap=50, random_state=0)
    assert model.means.degrees < 3.5
    assert model.dynamics.degrees <= 2.0 * n_times + 1.0
