"""From trajectories to a validated model, on a system whose answer is known.

Ions sit in cages that switch between three shapes. The shape is hidden under vibration and random
rotation of every frame; rates between shapes are given, so relaxation times are known exactly.
``GRAPHKOOPMAN_TUTORIAL_SIZE=small`` runs it in seconds.
"""

import os
import warnings

from deeptime.util.validation import implied_timescales
from matplotlib import pyplot as plt
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline

from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.datasets import chain_rates, label_timescales, make_hopping
from graphkoopman.plotting import plot_ck_test, plot_timescales

SMALL = os.environ.get("GRAPHKOOPMAN_TUTORIAL_SIZE") == "small"
N_FRAMES, MAX_EPOCHS = (1500, 5) if SMALL else (6000, 50)
LAG = 5  # frames of 1 ps

# Two independent runs: one to learn from, one to judge with.
rates = chain_rates(3, slowest=100.0)
seen, unseen = (make_hopping(rates, N_FRAMES, random_state=seed) for seed in (0, 1))
print("exact relaxation times / ps:", seen.timescales.round(1))

# Every ion's cage is a graph; the network learns three states from how cages change in time.
pipe = make_pipeline(
    GraphFeaturizer(n_neighbors=8, n_hops=2),
    GDyNetEstimator(3, LAG, n_conv=2, max_epochs=MAX_EPOCHS, random_state=0),
)
with warnings.catch_warnings():
    if SMALL:  # five epochs are not meant to converge
        warnings.simplefilter("ignore", ConvergenceWarning)
    pipe.fit(seen.trajectory)

# The model of data it has not seen, with error bars, beside the same estimate from true labels.
graphs = pipe[0].transform(unseen.trajectory)
models = pipe[-1].koopman_models(graphs, [LAG, 2 * LAG, 3 * LAG], n_bootstrap=100)
truth = label_timescales(unseen.labels, LAG, 1.0)
print("learned / ps:", models[0].prior.timescales_ps().round(1))
print("95 % interval / ps:", models[0].timescales_ps_interval().round(1).tolist())
print("from true labels / ps:", truth.timescales.round(1))

# Flat timescales and matching curves mean that the model is Markovian at this lag.
plot_timescales(implied_timescales(models), timestep=1.0)
plot_ck_test(models[0].ck_test(models), timestep=1.0)
plt.show() if plt.get_backend().lower() != "agg" else plt.close("all")
