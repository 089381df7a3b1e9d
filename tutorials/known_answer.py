# %% [markdown]
# # A system whose answer is known
#
# **Does the method find exchange times that nobody told it?** Ions sit in cages that switch between
# three shapes. The shape is hidden under vibration and a random rotation of every frame; the rates
# between shapes were given to the simulation, so relaxation times are known exactly.
#
# ![Relaxation times over the lag, beside the exact ones](attachment:answer.png)
#
# *Relaxation times of a learned model, in a run that it has not seen, over the lag time; bands are
# 95 % intervals, dashed lines the exact times. In the shaded region a time is shorter than the lag.*

# %%
import os

SMALL = os.environ.get("GRAPHKOOPMAN_TUTORIAL_SIZE") == "small"  # True: a try of seconds
N_FRAMES, MAX_EPOCHS = (1500, 5) if SMALL else (6000, 50)
SEEDS = (0,) if SMALL else (0, 1, 2)
LAG = 5  # frames of 1 ps
LAGS = [LAG, 2 * LAG, 3 * LAG, 4 * LAG]

# %% [markdown]
# ## In ten lines
#
# Two independent runs: one to learn from, one to judge with. Every ion's cage is a graph; the
# network learns three states from how cages change in time.

# %% tags=["answer"]
import warnings

from deeptime.util.validation import implied_timescales
from matplotlib import pyplot as plt
from sklearn.pipeline import make_pipeline

from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.datasets import chain_rates, label_timescales, make_hopping
from graphkoopman.lobes import GatedEncoder
from graphkoopman.plotting import plot_ck_test, plot_timescales
from graphkoopman.tables import with_interval

if SMALL:  # a few epochs are not meant to converge
    warnings.simplefilter("ignore")

rates = chain_rates(3, slowest=100.0)
seen, unseen = (make_hopping(rates, N_FRAMES, random_state=seed) for seed in (0, 1))
pipe = make_pipeline(
    GraphFeaturizer(n_neighbors=8, n_hops=2),
    GDyNetEstimator(3, LAG, encoder=GatedEncoder(n_conv=2), max_epochs=MAX_EPOCHS, random_state=0),
)
pipe.fit(seen.trajectory)
models = pipe[-1].koopman_models(pipe[0].transform(unseen.trajectory), LAGS, n_bootstrap=100)
figure, ax = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
plot_timescales(implied_timescales(models), ax, timestep=1.0)
ax.hlines(seen.timescales, 0, LAGS[-1], color="black", linestyle="--", linewidth=1)

# %% [markdown]
# `fit` took trajectories and `koopman_models` gave one deeptime model for each lag. Such a model
# says what it is:

# %%
models[0]

# %% [markdown]
# ## How much is chance
#
# Several networks, with error bars, beside the same estimate from true labels of the same frames,
# and the exact times.

# %%
truth = label_timescales(unseen.labels, LAG, 1.0)
print("exact / ps:           ", seen.timescales.round(1).tolist())
print("from true labels / ps:", truth.timescales.round(1).tolist())
for seed in SEEDS:
    pipe.set_params(gdynetestimator__random_state=seed)
    pipe.fit(seen.trajectory)
    model = pipe[-1].koopman_model(pipe[0].transform(unseen.trajectory), n_bootstrap=100)
    times = zip(model.prior.timescales_ps(), model.timescales_ps_interval(), strict=True)
    print(f"network {seed} / ps:       ", ", ".join(with_interval(*pair) for pair in times))

# %% [markdown]
# ## When to trust it
#
# Flat timescales, in the figure above, and curves that match in a Chapman–Kolmogorov test mean that
# the model is Markovian at this lag: probabilities at multiples of the lag are those that the
# model of one lag predicts.

# %%
figure = plot_ck_test(models[0].ck_test(models), timestep=1.0)

# %% [markdown]
# ## What was found
#
# Three states, and both exchange times within their intervals, from positions of atoms alone. Next:
# [choosing the lag and the number of states](choosing_lag_and_states.ipynb), which were known here,
# and [lithium in an FCC lattice](li_fcc.ipynb), a system with sites.
