# %% [markdown]
# # Long times from short runs, and a current with its correlations
#
# **How far does lithium get in a time that was never simulated?** The first third of two runs of a
# polymer electrolyte is all that is learned from; the rest says whether the prediction holds. The
# second question is which transitions of lithium are correlated with the anions, and what that does
# to its transference number.
#
# ![Predicted displacement, beside the rest of the runs](attachment:answer.png)
#
# *Mean squared displacement of lithium: predicted from the first third of the runs, with its 95 %
# band, and measured in the rest (squares).*

# %%
import os

SMALL = os.environ.get("GRAPHKOOPMAN_TUTORIAL_SIZE") == "small"  # True: a try of seconds
DATA = None  # folder of the trajectories; None takes that of GRAPHKOOPMAN_DATA, or a sample
LITHIUM, TEMPERATURE, LAG = "element Li", 500.0, 10 if SMALL else 20  # K, frames of 1 ps
ION_SCALE = 0.75  # e; the runs were made with scaled charges
MAX_EPOCHS = 3 if SMALL else 60

# %% [markdown]
# ## In ten lines
#
# States, their model and the steps of the ions all come from the first third. Steps of a lag time
# remember their direction for a few of them: a chain pulls lithium back. The prediction rests on
# that memory and on the frequencies of the model. The rest of the runs has an uncertainty of its
# own.

# %% tags=["answer"]
import warnings

import numpy as np
from matplotlib import pyplot as plt

from graphkoopman import GDyNetEstimator, GraphFeaturizer, estimate_koopman
from graphkoopman.datasets import load_example
from graphkoopman.generation import predict_displacements
from graphkoopman.lobes import GatedEncoder
from graphkoopman.plotting import COLORS, plot_onsager, plot_predicted_msd
from graphkoopman.tables import with_interval
from graphkoopman.transport import onsager_contributions, transition_displacements

if SMALL:  # three epochs are not meant to converge
    warnings.simplefilter("ignore")

example = load_example("peo_litfsi", folder=DATA, sample=SMALL)
print(example)
runs = example.trajectories
first = [run[: len(run) // 3] for run in runs]
rest = [run[len(run) // 3 :] for run in runs]
featurizer = GraphFeaturizer(LITHIUM, n_neighbors=8, n_hops=2)
graphs = featurizer.fit_transform(first)
estimator = GDyNetEstimator(
    2, LAG, encoder=GatedEncoder(n_conv=2), max_epochs=MAX_EPOCHS, random_state=0
)
states = estimator.fit(graphs).transform(graphs)
model = estimate_koopman(states, LAG, timestep=1.0, constraint="stochastic")

longest = max(len(run) for run in rest) // 2
lags = np.unique(np.geomspace(2 * LAG, longest, 8).round().astype(int))
predicted = predict_displacements(first, states, LITHIUM, model, lags.astype(float), drift="system")
long_ones = [run for run in rest if len(run) > longest]
one_state = [np.ones((len(run), 7, 1)) for run in long_ones]
measured = transition_displacements(long_ones, one_state, LITHIUM, lags, drift="system")
figure, ax = plt.subplots(figsize=(4.8, 3.4), layout="constrained")
plot_predicted_msd(predicted, ax)
arms = np.abs(measured.total_interval.T - measured.total)
ax.errorbar(lags, measured.total, arms, fmt="s", color=COLORS[1], capsize=3, label="the rest")
ax.set(xscale="log", yscale="log", ylim=(None, 3 * predicted.msd_interval.max()))
ax.legend(loc="upper left", fontsize="small")

# %% [markdown]
# ## Prediction and truth

# %%
print(f"memory of {predicted.memory} lag times; shown by the data: {predicted.memory_holds}")
for k, time in enumerate(predicted.times):
    low, high = predicted.msd_interval[k]
    inside = "inside" if low <= measured.total[k] <= high else "outside"
    print(
        f"  {time:5.0f} ps: predicted {with_interval(predicted.msd[k], (low, high))} Å², the rest "
        f"{with_interval(measured.total[k], measured.total_interval[k])} Å², {inside}"
    )
print(f"D at long times: {with_interval(predicted.diffusion, predicted.diffusion_interval)} Å²/ps")

# %% [markdown]
# ## Which transitions are correlated
#
# All of both runs, with the anions as carriers: one charge each, on the nitrogen. The centre of
# mass of the box is at rest. There are seven ions of each kind; a correlation is one number per
# frame, and most intervals hold zero.

# %%
whole = featurizer.fit_transform(runs)
everywhere = estimator.transform(whole)
result = onsager_contributions(
    runs,
    everywhere,
    LITHIUM,
    estimate_koopman(everywhere, LAG, timestep=1.0, constraint="stochastic"),
    state_charges=ION_SCALE,
    temperature=TEMPERATURE,
    others={"resname TFS and element N": -ION_SCALE},
    drift="system",
)
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
plot_onsager(result, ax)
for i in range(2):
    for j in range(2):
        part = with_interval(result.distinct[i, j], result.distinct_interval[i, j])
        anions = with_interval(
            result.distinct_others[0, i, j], result.distinct_others_interval[0, i, j]
        )
        print(
            f"  {i}→{j}: self {result.self_[i, j]:.3g}, distinct {part}, of that with anions "
            f"{anions} S/cm"
        )
print(
    f"conductivity: {with_interval(result.total, result.total_interval)} S/cm of all ions, {with_interval(result.einstein, result.einstein_interval)} S/cm "
    f"of lithium; its transference number "
    f"{with_interval(result.transference[0], result.transference_interval[0])}"
)
verdict = "is not seen" if result.transference_interval[0, 0] <= 0 else "is excluded"
print(f"A negative transference number {verdict} here: few of the lithium ions are paired.")
