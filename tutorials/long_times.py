"""
Long times from short runs, and a current with its correlations
================================================================

How far does lithium get in a time that was never simulated? The first third of two runs of a
polymer electrolyte is all that is learned from; the rest says whether the prediction holds. The
second question is which transitions of lithium are correlated with the anions, and what that does
to its transference number.

The trajectories are read, not bundled: see ``--help``. ``GRAPHKOOPMAN_TUTORIAL_SIZE=small`` runs it
in seconds, on pieces too short to learn from.
"""

import warnings

import numpy as np
from _real_data import SMALL, folders, save, stated, with_interval
from matplotlib import pyplot as plt
from sklearn.exceptions import ConvergenceWarning

from graphkoopman import GDyNetEstimator, GraphFeaturizer, estimate_koopman, read_trajectory
from graphkoopman.generation import predict_displacements
from graphkoopman.lobes import GatedEncoder
from graphkoopman.plotting import COLORS, plot_onsager, plot_predicted_msd
from graphkoopman.transport import onsager_contributions, transition_displacements

data, out = folders("md", __doc__)
LITHIUM, TEMPERATURE, LAG = "element Li", 500.0, 20  # K, frames of 1 ps
ION_SCALE = 0.75  # e; the runs were made with scaled charges
N_FRAMES, MAX_EPOCHS = (450, 3) if SMALL else (None, 60)

# %%
# The first third
# ---------------
# States, their model and the steps of the ions all come from here.

runs = [
    read_trajectory(data / name, top=data / "peo_litfsi.pdb")[:N_FRAMES]
    for name in ("peo_litfsi.npz", "peo_litfsi_seed8.npz")
]
first = [run[: len(run) // 3] for run in runs]
rest = [run[len(run) // 3 :] for run in runs]
featurizer = GraphFeaturizer(LITHIUM, n_neighbors=8, n_hops=2)
estimator = GDyNetEstimator(
    2, LAG, encoder=GatedEncoder(n_conv=2), max_epochs=MAX_EPOCHS, random_state=0
)
with warnings.catch_warnings():
    if SMALL:  # three epochs are not meant to converge
        warnings.simplefilter("ignore", ConvergenceWarning)
    graphs = featurizer.fit_transform(first)
    states = estimator.fit(graphs).transform(graphs)
model = estimate_koopman(states, LAG, timestep=1.0, constraint="stochastic")

# %%
# Prediction and truth
# --------------------
# Steps of a lag time remember their direction for a few of them: a chain pulls lithium back. The
# prediction rests on that memory and on the frequencies of the model. The rest of the runs has an
# uncertainty of its own.

longest = max(len(run) for run in rest) // 2
lags = np.unique(np.geomspace(2 * LAG, longest, 8).round().astype(int))
predicted = predict_displacements(first, states, LITHIUM, model, lags.astype(float), drift="system")
one_state = [np.ones((len(run), 7, 1)) for run in rest]
reaching = [i for i, run in enumerate(rest) if len(run) > longest]
measured = transition_displacements(
    [rest[i] for i in reaching], [one_state[i] for i in reaching], LITHIUM, lags, drift="system"
)
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
plot_predicted_msd(predicted, ax)
arms = np.abs(measured.total_interval.T - measured.total)
ax.errorbar(lags, measured.total, arms, fmt="s", color=COLORS[1], capsize=3, label="the rest")
ax.set_xscale("log")
ax.set_yscale("log")
ax.legend()
save(figure, out / "displacement.png")
print(f"memory of {predicted.memory} lag times; shown by the data: {predicted.memory_holds}")
for k, time in enumerate(predicted.times):
    low, high = predicted.msd_interval[k]
    inside = "inside" if low <= measured.total[k] <= high else "outside"
    print(
        f"  {time:5.0f} ps: predicted {with_interval(predicted.msd[k], (low, high))} Å², the rest "
        f"{with_interval(measured.total[k], measured.total_interval[k])} Å², {inside}"
    )
print(f"D at long times: {stated(predicted, 'diffusion')} Å²/ps")

# %%
# Which transitions are correlated
# --------------------------------
# All of both runs, with the anions as carriers: one charge each, on the nitrogen. The centre of
# mass of the box is at rest. There are seven ions of each kind; a correlation is one number per
# frame, and most intervals hold zero.

whole = featurizer.fit_transform(runs)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
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
save(figure, out / "onsager.png")
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
    f"conductivity: {stated(result, 'total')} S/cm of all ions, {stated(result, 'einstein')} S/cm "
    f"of lithium; its transference number "
    f"{with_interval(result.transference[0], result.transference_interval[0])}"
)
verdict = "is not seen" if result.transference_interval[0, 0] <= 0 else "is excluded"
print(f"A negative transference number {verdict} here: few of the lithium ions are paired.")
