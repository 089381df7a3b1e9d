"""
Concerted hops in a superionic conductor
========================================

Does lithium in an argyrodite hop alone, or does one ion pull the next? The conductivity of all ions
together is split over transitions between their surroundings: what single ions carry, and what
their correlation adds or takes away, each with its interval. The data are ab-initio trajectories of
Li6PS5Cl in which half of the halide has changed places with sulphur.

The trajectories are read, not bundled: see ``--help``. ``GRAPHKOOPMAN_TUTORIAL_SIZE=small`` runs it
in seconds, on a piece too short to learn from.
"""

import warnings

import numpy as np
from _real_data import SMALL, folders, save, stated, with_interval
from matplotlib import pyplot as plt
from sklearn.exceptions import ConvergenceWarning

from graphkoopman import (
    GDyNetEstimator,
    GraphFeaturizer,
    Trajectory,
    estimate_koopman,
    read_trajectory,
)
from graphkoopman.generation import rewire
from graphkoopman.koopman import BeyondDataWarning
from graphkoopman.lobes import GatedEncoder
from graphkoopman.neighbors import within
from graphkoopman.plotting import COLORS, plot_onsager
from graphkoopman.transport import onsager_contributions, transition_diffusion

data, out = folders("argyrodite", __doc__)
LITHIUM, TIMESTEP, TEMPERATURE = "element Li", 0.1, 500.0  # ps, K
LAGS = (10, 20, 40)  # frames
N_FRAMES, MAX_EPOCHS = (150, 3) if SMALL else (None, 60)
BOND = 2.6  # Å, of phosphorus and sulphur

# The slowest times are about as long as these runs, which every model would say again: their
# intervals show how far they are known.
warnings.simplefilter("ignore", BeyondDataWarning)

# %%
# Surroundings of lithium
# -----------------------
# The files are consecutive pieces of one run. Two states are learned from how surroundings change;
# the tutorial on order and disorder says what they are.

files = sorted(data.glob("Li6PS5Cl_50p_run*.XDATCAR.gz"))
pieces = [read_trajectory(path, timestep=TIMESTEP) for path in files]
run = Trajectory(
    np.concatenate([piece.positions for piece in pieces])[:N_FRAMES],
    pieces[0].cell,
    pieces[0].species,
    timestep=TIMESTEP,
)
graphs = GraphFeaturizer(LITHIUM, n_neighbors=16, n_hops=2).fit_transform(run)
estimator = GDyNetEstimator(
    2, 20, encoder=GatedEncoder(n_conv=2), max_epochs=MAX_EPOCHS, random_state=0
)
with warnings.catch_warnings():
    if SMALL:  # three epochs are not meant to converge
        warnings.simplefilter("ignore", ConvergenceWarning)
    states = estimator.fit(graphs).transform(graphs)

# %%
# Alone or together
# -----------------
# Self and distinct parts sum to the Einstein conductivity exactly. A Haven ratio below one says
# that ions help each other along; above one, that they get in each other's way. The longer the lag,
# the less vibration is in either, and the less certain the correlation.


def split(lag):
    """Onsager coefficients of every transition at a lag, with the framework at rest."""
    model = estimate_koopman(states, lag, timestep=TIMESTEP, constraint="stochastic")
    return onsager_contributions(
        run,
        states,
        LITHIUM,
        model,
        state_charges=1.0,
        temperature=TEMPERATURE,
        drift="framework",
    )


results = {lag: split(lag) for lag in LAGS}
figure, axes = plt.subplots(1, len(LAGS), figsize=(12, 3.8), layout="constrained", sharey=True)
for ax, (lag, result) in zip(axes, results.items(), strict=True):
    plot_onsager(result, ax)
    ax.set_title(f"{lag * TIMESTEP:g} ps: {ax.get_title()}", fontsize="small")
    print(
        f"{lag * TIMESTEP:g} ps: single ions {stated(result, 'nernst_einstein')} S/cm, all of them "
        f"{stated(result, 'einstein')} S/cm, Haven ratio {stated(result, 'total_haven')}"
    )
    for i in range(2):
        for j in range(2):
            share = with_interval(result.distinct[i, j], result.distinct_interval[i, j])
            print(f"    {i}→{j}: self {result.self_[i, j]:.3g}, distinct {share} S/cm")
save(figure, out / "onsager.png")
shortest = results[LAGS[0]]
off = abs(shortest.self_.sum() + shortest.distinct.sum() - shortest.einstein)
print(f"parts and total differ by {off / shortest.einstein:.0e} of it")

# %%
# With whom
# ---------
# The distinct part of a transition is a sum over what the other ions did at the same time.

pairs = results[20].distinct_pairs.reshape(4, 4)
names = [f"{i}→{j}" for i in range(2) for j in range(2)]
figure, ax = plt.subplots(figsize=(4.6, 3.8), layout="constrained")
limit = np.abs(pairs).max()
picture = ax.imshow(pairs, cmap="RdBu_r", vmin=-limit, vmax=limit)
ax.set_xticks(range(4), names)
ax.set_yticks(range(4), names)
ax.set_xlabel("transition of another ion")
ax.set_ylabel("transition of an ion")
figure.colorbar(picture, label="distinct conductivity / S/cm")
save(figure, out / "pairs.png")

# %%
# Against the framework
# ---------------------
# Chloride, sulphide and PS4 carry charge, too, but stay where they are: with the centre of mass at
# rest they recoil a little, and lithium is nearly all of the current. All charges sum to zero, so
# the total does not depend on what is held at rest. PS4 counts with its phosphorus, and sulphur
# without a phosphorus beside it is sulphide.

sulphur = np.flatnonzero(run.species == 16)
center, neighbor, _ = within(run.positions[0], run.cell, BOND, centers=sulphur)
sulphide = np.setdiff1d(sulphur, center[run.species[neighbor] == 15])
with_anions = onsager_contributions(
    run,
    states,
    LITHIUM,
    estimate_koopman(states, 20, timestep=TIMESTEP, constraint="stochastic"),
    state_charges=1.0,
    temperature=TEMPERATURE,
    drift="system",
    others=[("element Cl", -1.0), ("element P", -3.0), (sulphide, -2.0)],
)
for name, number, limits in zip(
    ("Li", "Cl", "PS4", "S"),
    with_anions.transference,
    with_anions.transference_interval,
    strict=True,
):
    print(f"transference number of {name}: {with_interval(number, limits)}")
diffusion = transition_diffusion(run, states, LITHIUM, LAGS[-1], method="secant", drift="framework")
print(f"D of single ions at {LAGS[-1] * TIMESTEP:g} ps / Å²/ps: {stated(diffusion, 'total')}")

# %%
# A sequence that was not simulated
# ---------------------------------
# Environments of the run in an order that has the kinetics of the model, one lag time apart: what
# an ion sees on its way, for longer than the run.

model = estimate_koopman(states, 20, timestep=TIMESTEP, constraint="stochastic")
sequence = rewire(run, states, model, 2000, 20, random_state=0)
again = estimate_koopman(sequence.probs, 1, timestep=sequence.timestep)
print(
    f"relaxation time: {again.timescales_ps()[0]:.3g} ps of the sequences, "
    f"{model.timescales_ps()[0]:.3g} ps of the model"
)
movie = sequence.environments(run, LITHIUM, n_neighbors=12)
distances = np.array([np.linalg.norm(atoms.positions[1:], axis=1).min() for atoms in movie])
figure, (upper, lower) = plt.subplots(2, 1, figsize=(8, 4), layout="constrained", sharex=True)
times = np.arange(len(movie)) * sequence.timestep
upper.plot(times[:300], sequence.probs[:300, 0, 1], color=COLORS[0])
upper.set_ylabel("probability of state 1")
lower.plot(times[:300], distances[:300], color=COLORS[1])
lower.set_ylabel("nearest neighbour / Å")
lower.set_xlabel("time / ps")
save(figure, out / "sequence.png")
