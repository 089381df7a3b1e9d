"""
A system whose answer is known
==============================

From trajectories to a validated model. Ions sit in cages that switch between three shapes. The
shape is hidden under vibration and a random rotation of every frame; the rates between shapes are
given, so relaxation times are known exactly.

``GRAPHKOOPMAN_TUTORIAL_SIZE=small`` runs it in seconds.
"""

import warnings

from _real_data import SMALL, figure_folder, save, with_interval
from deeptime.util.validation import implied_timescales
from matplotlib import pyplot as plt
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline

from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.datasets import chain_rates, label_timescales, make_hopping
from graphkoopman.lobes import GatedEncoder
from graphkoopman.plotting import plot_ck_test, plot_timescales

out = figure_folder(__doc__)
N_FRAMES, MAX_EPOCHS = (1500, 5) if SMALL else (6000, 50)
SEEDS = (0,) if SMALL else (0, 1, 2)
LAG = 5  # frames of 1 ps

# %%
# Two independent runs
# --------------------
# One to learn from, one to judge with.

rates = chain_rates(3, slowest=100.0)
seen, unseen = (make_hopping(rates, N_FRAMES, random_state=seed) for seed in (0, 1))
print("exact relaxation times / ps:", seen.timescales.round(1).tolist())

# %%
# A pipeline
# ----------
# Every ion's cage is a graph; the network learns three states from how cages change in time.

pipe = make_pipeline(
    GraphFeaturizer(n_neighbors=8, n_hops=2),
    GDyNetEstimator(3, LAG, encoder=GatedEncoder(n_conv=2), max_epochs=MAX_EPOCHS),
)

# %%
# What it finds in data that it has not seen
# ------------------------------------------
# Several networks, with error bars, beside the same estimate from true labels of the same frames.

truth = label_timescales(unseen.labels, LAG, 1.0)
print("from true labels / ps:", truth.timescales.round(1).tolist())
LAGS = [LAG, 2 * LAG, 3 * LAG, 4 * LAG]
for seed in SEEDS:
    pipe.set_params(gdynetestimator__random_state=seed)
    with warnings.catch_warnings():
        if SMALL:  # five epochs are not meant to converge
            warnings.simplefilter("ignore", ConvergenceWarning)
        pipe.fit(seen.trajectory)
    graphs = pipe[0].transform(unseen.trajectory)
    models = pipe[-1].koopman_models(graphs, LAGS, n_bootstrap=100)
    times = zip(models[0].prior.timescales_ps(), models[0].timescales_ps_interval(), strict=True)
    print(f"network {seed} / ps: {', '.join(with_interval(*pair) for pair in times)}")

# %%
# When to trust it
# ----------------
# Flat timescales and matching curves mean that the model is Markovian at this lag.

figure, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
plot_timescales(implied_timescales(models), ax, timestep=1.0)
save(figure, out / "timescales.png")
save(plot_ck_test(models[0].ck_test(models), timestep=1.0), out / "ck_test.png")
