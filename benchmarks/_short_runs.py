"""Coverage in runs of few correlation times: given and learned states, structure and transport.

Parts of ``python -m benchmarks.coverage``. Targets are independent, or come in groups of five that
each follow one chain (atoms at one face freeze together); a run lasts 5, 10 or 50 relaxation times
of the slowest process, and the number of groups is such that 50 or 200 exchanges happen in all.
"""

import warnings
from itertools import product

import numpy as np
from scipy.linalg import expm

from graphkoopman import GDyNetEstimator, Trajectory
from graphkoopman.descriptors import FeatureTrajectory
from graphkoopman.koopman import count_exchanges, estimate_koopman
from graphkoopman.structure import state_rdf
from graphkoopman.transport import transition_diffusion

LAGTIME = 2
SLOWEST = 50.0  # frames
EVENTS = (50, 200)
N_TIMES = (5, 10, 50)
GROUP = 5
# Name of a system: states and targets that share a mode.
SYSTEMS = {"two": (2, 1), "three": (3, 1), "three in groups": (3, GROUP)}
# Features are centres of the states 2 apart with Gaussian noise: one frame in 500 is mistaken.
SPREAD = 0.35
N_REFITS = 3
# Share of the frames in the state that is visited, and visits expected in a run.
RARE = {"5 % of frames": 0.05, "20 % of frames": 0.2, "50 % of frames": 0.5}
VISITS = (3, 10, 50)
N_BOOTSTRAP = 100
NEAR = np.array([0.9, 0.3, 0.6])  # probability that the one neighbour is within reach, by state
MOBILITY = np.array([0.1, 0.6, 0.3])  # Å²/frame, by state


def run_of(system, events, n_times, seed, chain, simulate):
    """States (n_frames, n_targets) of one data set, and the generator behind it."""
    n_states, size = SYSTEMS[system]
    populations, transition, crossings = chain(n_states)
    n_groups = max(1, round(events / (crossings * SLOWEST * n_times)))
    # another seed for each system, or groups would repeat the chains of single targets
    rng = np.random.default_rng([seed, list(SYSTEMS).index(system)])
    n_frames = round(SLOWEST * n_times) + LAGTIME
    states = simulate(transition, populations, n_frames, n_groups, 0.0, rng)
    return np.repeat(states, size, axis=1), rng


def exact_times(n_states, chain):
    """Relaxation times of the chain itself, frames."""
    _, transition, _ = chain(n_states)
    return -1.0 / np.log(np.sort(np.linalg.eigvals(transition).real)[::-1][1:])


def of_koopman(system, events, n_times, seed, chain, simulate):
    """Given states."""
    states, _ = run_of(system, events, n_times, seed, chain, simulate)
    n_states = SYSTEMS[system][0]
    model = estimate_koopman(
        np.eye(n_states)[states], LAGTIME, n_bootstrap=N_BOOTSTRAP, random_state=seed
    )
    return _of_model(model, exact_times(n_states, chain), chain(n_states)[0])


def of_learned(system, events, n_times, seed, chain, simulate):
    """States that a network learned from features, with refits in the intervals."""
    states, rng = run_of(system, events, n_times, seed, chain, simulate)
    n_states = SYSTEMS[system][0]
    features = 2.0 * np.eye(n_states)[states]
    features += SPREAD * rng.normal(size=features.shape)
    samples = [FeatureTrajectory(features.astype(np.float32), timestep=1.0)]
    # one start and a short training, so that many data sets can be had
    estimator = GDyNetEstimator(
        n_states, LAGTIME, n_hidden=12, n_init=1, max_epochs=10, patience=5, random_state=seed
    ).fit(samples)
    model = estimator.koopman_model(samples, n_bootstrap=N_BOOTSTRAP, n_refits=N_REFITS)
    overlap = np.zeros((n_states, n_states))
    np.add.at(overlap, states.ravel(), estimator.transform(samples)[0].reshape(-1, n_states))
    order = overlap.argmax(axis=1)
    if sorted(order) != list(range(n_states)):
        order = np.arange(n_states)  # other states were found: what they say is counted
    return _of_model(model.permute(order), exact_times(n_states, chain), chain(n_states)[0])


def of_structure(system, events, n_times, seed, chain, simulate):
    """Populations and coordination of each state, and of all targets, whose state is not given."""
    states, rng = run_of(system, events, n_times, seed, chain, simulate)
    n_states = SYSTEMS[system][0]
    n_frames, n_targets = states.shape
    near = rng.random(states.shape) < NEAR[states]
    grid = 12.0 * np.stack([np.arange(n_targets), np.zeros(n_targets), np.zeros(n_targets)], 1)
    grid = np.broadcast_to(grid, (n_frames, n_targets, 3))
    neighbours = grid + np.where(near, 2.0, 5.0)[..., None] * [0.0, 1.0, 0.0]
    run = Trajectory(
        np.concatenate([grid, neighbours], axis=1),
        np.diag([12.0 * max(n_targets, 2), 14.0, 14.0]),
        [3] * n_targets + [17] * n_targets,
        timestep=1.0,
    )
    rdf = state_rdf(run, np.eye(n_states)[states], "element Li", r_max=4.0, n_bins=1, species="Cl")
    return {
        "populations": _inside(rdf.populations_interval, chain(n_states)[0]),
        "coordination": _inside(rdf.coordination_interval[:, 0, 0], NEAR[:n_states]),
        "units": rdf.n_blocks,
    }


def of_transport(system, events, n_times, seed, chain, simulate):
    """Diffusion of all targets and of those that stay, whose mobility depends on their state."""
    states, rng = run_of(system, events, n_times, seed, chain, simulate)
    n_states = SYSTEMS[system][0]
    steps = rng.normal(size=(*states.shape, 3)) * np.sqrt(2.0 * MOBILITY[states])[..., None]
    run = Trajectory(np.cumsum(steps, axis=0), None, [3] * states.shape[1], timestep=1.0)
    # steps end in their frame: over one frame the state at the end says how large the step is
    result = transition_diffusion(run, np.eye(n_states)[states], "element Li", 1, method="secant")
    ends = result.diffusion_interval[np.arange(n_states), np.arange(n_states)]
    return {
        "total": _inside(result.total_interval[None], chain(n_states)[0] @ MOBILITY[:n_states]),
        "diffusion": _inside(ends, MOBILITY[:n_states]),
        "units": result.n_units,
    }


def of_visits(system, visits, n_times, seed, chain, simulate):
    """One target that visits a rare state a few times, and what blocks alone say of it."""
    rare = RARE[system]
    populations = np.array([1.0 - rare, rare])
    fluxes = np.array([[-rare, rare], [1.0 - rare, rare - 1.0]]) / SLOWEST
    transition = expm(fluxes)
    rng = np.random.default_rng([seed, visits, list(RARE).index(system)])
    n_frames = round(SLOWEST * n_times) + LAGTIME
    passes = np.zeros((2, 2), int)
    # of a run without a way there and back nothing can be said
    while not (passes[0, 1] and passes[1, 0]):
        states = simulate(transition, populations, n_frames, 1, 0.0, rng)
        passes = count_exchanges(np.eye(2)[states])
    model = estimate_koopman(np.eye(2)[states], LAGTIME, n_bootstrap=N_BOOTSTRAP, random_state=seed)
    with_events = _of_model(model, np.array([SLOWEST]), populations)
    model.exchanges = None
    alone = _of_model(model, np.array([SLOWEST]), populations)
    names = ("timescales", "populations")
    return with_events | {f"{name} by blocks alone": alone[name] for name in names}


PARTS = {
    "groups": of_koopman,
    "learned": of_learned,
    "structure": of_structure,
    "transport": of_transport,
    "visits": of_visits,
}


def cases_of(part):
    """Systems, numbers of exchanges and lengths in correlation times of a part."""
    if part != "visits":
        return list(product(SYSTEMS, EVENTS, N_TIMES))
    return [
        (system, visits, round(visits / (rare * (1.0 - rare))))
        for system, rare in RARE.items()
        for visits in VISITS
    ]


def one_set(part, system, events, n_times, seed, chain, simulate):
    """Which intervals of one data set hold the exact value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PARTS[part](system, events, n_times, seed, chain, simulate)


def _of_model(model, times, populations):
    interval = model.timescales_interval()
    return {
        "timescales": _inside(interval, times),
        "populations": _inside(model.populations_interval(), populations),
        "units": model.n_units,
        "width": float(np.log(interval[0, 1] / interval[0, 0])),
    }


def _inside(interval, value):
    return [bool(b) for b in (interval[..., 0] <= value) & (value <= interval[..., 1])]
