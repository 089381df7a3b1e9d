# %% [markdown]
# # States that are mirror images
#
# **What does it take to see a molecule turn inside out?** The nitrogen of ammonia goes through the
# plane of its hydrogens. Both sides have the same distances, so a network of distances cannot see the
# flip. Four networks on simulated molecules whose rate is known exactly: two must find it, and two
# must find nothing.
#
# ![Held-out scores of four networks, and the times of those that find the flip](attachment:answer.png)
#
# *Left, VAMP-2 less one in a simulation that the networks have not seen: zero is nothing. Right, the
# relaxation time of the flip where it is found; the dashed line is the exact one.*

# %%
import os

SMALL = os.environ.get("GRAPHKOOPMAN_TUTORIAL_SIZE") == "small"  # True: a try of seconds
N_FRAMES, N_MOLECULES, MAX_EPOCHS = (400, 8, 3) if SMALL else (3000, 40, 60)
LAG = 20  # frames of 0.1 ps

# %% [markdown]
# ## Molecules that tumble and flip
#
# Two simulations: one to learn from, one to judge with.

# %%
from graphkoopman.datasets import simulate_ammonia

seen, unseen = (
    simulate_ammonia(N_FRAMES, n_molecules=N_MOLECULES, random_state=seed) for seed in (0, 1)
)
print(f"exact relaxation time of the flip: {seen.relaxation_time:.2f} ps")

# %% [markdown]
# ## Four networks
#
# Handedness needs hydrogens that can be told apart: with equal ones, the two sides differ by a
# rotation and an exchange of hydrogens, and nothing that is invariant to both can see them. An axis
# of the molecule, which tumbles but does not flip with it, will do, too.

# %%
import warnings

from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.lobes import GatedEncoder

CASES = {
    "distances": ({}, {}),
    "handedness, equal hydrogens": ({"handedness": True}, {}),
    "handedness, labelled hydrogens": (
        {"handedness": True},
        {"species_labels": seen.hydrogen_labels},
    ),
    "axis of the molecule": ({"axis": "per target"}, {"axes": True}),
}
scores, times = {}, {}
for name, (encoder, graph) in CASES.items():
    graphs = []
    for data in (seen, unseen):
        settings = {**graph, "axes": data.axes_of} if "axes" in graph else graph
        featurizer = GraphFeaturizer(n_neighbors=3, n_hops=1, directions=True, **settings)
        graphs += featurizer.fit_transform(data.trajectory)
    estimator = GDyNetEstimator(
        2, LAG, encoder=GatedEncoder(1, **encoder), max_epochs=MAX_EPOCHS, n_init=1, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two of the four have nothing to find, and say so
        estimator.fit(graphs[0])
        scores[name] = estimator.score(graphs[1])
        if scores[name] > 1.02:
            times[name] = estimator.koopman_model(graphs[1]).timescales_ps()[0]
    print(f"{name}: held-out VAMP-2 {scores[name]:.3f}")

# %% [markdown]
# ## What they found

# %% tags=["answer"]
from matplotlib import pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.2), sharey=True, layout="constrained")
left.barh(list(scores), [score - 1.0 for score in scores.values()])
left.set(xlabel="held-out VAMP-2 less one")
left.invert_yaxis()
right.plot(list(times.values()), list(times), "o")
right.axvline(unseen.relaxation_time, ls="--", color="0.5")
right.set(xlabel="relaxation time / ps", xlim=(0.0, 3.0))
