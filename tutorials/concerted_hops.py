# %% [markdown]
# # Concerted hops in a superionic conductor
#
# **Does lithium in an argyrodite hop alone, or does one ion pull the next?** The conductivity of all
# ions together is split over transitions between their surroundings: what single ions carry, and
# what their correlation adds or takes away, each with its interval. The data are ab-initio
# trajectories of Li6PS5Cl in which half of the halide has changed places with sulphur.
#
# ![Self and distinct conductivity of each transition](attachment:answer.png)
#
# *What single ions carry in each transition between two states (self) and what correlation with
# other ions adds (distinct), at a lag of 2 ps. The title gives their sum and the Haven ratio, below
# one where ions help each other along.*

# %%
import os

SMALL = os.environ.get("GRAPHKOOPMAN_TUTORIAL_SIZE") == "small"  # True: a try of seconds
DATA = None  # folder of the trajectories; None takes that of GRAPHKOOPMAN_DATA, or a sample
LITHIUM, TEMPERATURE = "element Li", 500.0  # K
LAGS = (10, 20, 40)  # frames of 0.1 ps
MAX_EPOCHS, N_FRAMES = (1, 200) if SMALL else (60, 2000)  # of the sequence
BOND = 2.6  # Å, of phosphorus and sulphur

# %% [markdown]
# ## In ten lines
#
# The files are consecutive pieces of one run. Two states are learned from how surroundings change;
# the tutorial on [order and disorder](argyrodite.ipynb) says what they are.

# %% tags=["answer"]
import warnings

import numpy as np
from matplotlib import pyplot as plt

from graphkoopman import GDyNetEstimator, GraphFeaturizer, estimate_koopman
from graphkoopman.datasets import load_example
from graphkoopman.generation import rewire
from graphkoopman.koopman import BeyondDataWarning
from graphkoopman.lobes import GatedEncoder
from graphkoopman.neighbors import within
from graphkoopman.plotting import COLORS, plot_onsager
from graphkoopman.tables import with_interval
from graphkoopman.trajectories import join_runs
from graphkoopman.transport import onsager_contributions, transition_diffusion

# the slowest times are about as long as this run, which every model would say again
warnings.simplefilter("ignore", BeyondDataWarning)
if SMALL:  # three epochs are not meant to converge
    warnings.simplefilter("ignore")

example = load_example("Li6PS5Cl_50p", folder=DATA, sample=SMALL)
print(example)
(run,) = join_runs(example.trajectories)
graphs = GraphFeaturizer(LITHIUM, n_neighbors=16, n_hops=2).fit_transform(run)
network = GDyNetEstimator(
    2, 20, encoder=GatedEncoder(n_conv=2), max_epochs=MAX_EPOCHS, n_init=1, random_state=0
)
states = network.fit(graphs).transform(graphs)
model = estimate_koopman(states, 20, timestep=run.timestep, constraint="stochastic")
ions = {"state_charges": 1.0, "temperature": TEMPERATURE}
result = onsager_contributions(run, states, LITHIUM, model, **ions, drift="framework")
figure, ax = plt.subplots(figsize=(4.8, 3.4), layout="constrained")
plot_onsager(result, ax)

# %%
result

# %% [markdown]
# ## Alone or together
#
# Self and distinct parts sum to the Einstein conductivity exactly. A Haven ratio below one says
# that ions help each other along; above one, that they get in each other's way. The longer the lag,
# the less vibration is in either, and the less certain the correlation.


# %%
def split(lag):
    """Onsager coefficients of every transition at a lag, with the framework at rest."""
    model = estimate_koopman(states, lag, timestep=run.timestep, constraint="stochastic")
    return onsager_contributions(run, states, LITHIUM, model, **ions, drift="framework")


results = {lag: split(lag) for lag in LAGS}
figure, axes = plt.subplots(1, len(LAGS), figsize=(12, 3.8), layout="constrained", sharey=True)
for ax, (lag, result) in zip(axes, results.items(), strict=True):
    plot_onsager(result, ax)
    ax.set_title(f"{lag * run.timestep:g} ps: {ax.get_title()}", fontsize="small")
    print(
        f"{lag * run.timestep:g} ps: single ions {with_interval(result.nernst_einstein, result.nernst_einstein_interval)} S/cm, all of them "
        f"{with_interval(result.einstein, result.einstein_interval)} S/cm, Haven ratio {with_interval(result.total_haven, result.total_haven_interval)}"
    )
    for i in range(2):
        for j in range(2):
            share = with_interval(result.distinct[i, j], result.distinct_interval[i, j])
            print(f"    {i}→{j}: self {result.self_[i, j]:.3g}, distinct {share} S/cm")
shortest = results[LAGS[0]]
off = abs(shortest.self_.sum() + shortest.distinct.sum() - shortest.einstein)
print(f"parts and total differ by {off / shortest.einstein:.0e} of it")

# %% [markdown]
# ## With whom
#
# The distinct part of a transition is a sum over what the other ions did at the same time.

# %%
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

# %% [markdown]
# ## Against the framework
#
# Chloride, sulphide and PS4 carry charge, too, but stay where they are: with the centre of mass at
# rest they recoil a little, and lithium is nearly all of the current. All charges sum to zero, so
# the total does not depend on what is held at rest. PS4 counts with its phosphorus, and sulphur
# without a phosphorus beside it is sulphide.

# %%
sulphur = np.flatnonzero(run.species == 16)
center, neighbor, _ = within(run.positions[0], run.cell, BOND, centers=sulphur)
sulphide = np.setdiff1d(sulphur, center[run.species[neighbor] == 15])
with_anions = onsager_contributions(
    run,
    states,
    LITHIUM,
    estimate_koopman(states, 20, timestep=run.timestep, constraint="stochastic"),
    **ions,
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
print(
    f"D of single ions at {LAGS[-1] * run.timestep:g} ps / Å²/ps: {with_interval(diffusion.total, diffusion.total_interval)}"
)

# %% [markdown]
# ## A sequence that was not simulated
#
# Environments of the run in an order that has the kinetics of the model, one lag time apart: what
# an ion sees on its way, for longer than the run.

# %%
model = estimate_koopman(states, 20, timestep=run.timestep, constraint="stochastic")
sequence = rewire(run, states, model, N_FRAMES, 20, random_state=0)
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
