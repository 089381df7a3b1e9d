# %% [markdown]
# # A whole system as one target
#
# **Which shapes does a cluster take, and how fast does it change between them?** Seven
# Lennard-Jones discs in a plane have four stable shapes, in thousands of permutations. Nobody
# tells the network which; it sees the distances between the discs, all of which are alike. The
# right answer is known for every frame: follow the forces downhill, and see which minimum is there.
#
# ![The four learned states](attachment:answer.png)
#
# *A frame of each learned state, with its population and, in brackets, that of the minimum that its
# frames relax to.*

# %%
import os

SMALL = os.environ.get("GRAPHKOOPMAN_TUTORIAL_SIZE") == "small"  # True: a try of seconds
DURATION, MAX_EPOCHS = (2000.0, 2) if SMALL else (40_000.0, 60)  # ps
LAG = 10  # frames of 1 ps

# %% [markdown]
# ## In ten lines
#
# One target, all seven discs; every disc has all six others as neighbours, so that no edge comes or
# goes. `MeanPooling(variance=True)` puts the variance over the discs beside their mean: how unlike
# their surroundings are tells shapes apart.

# %% tags=["answer"]
import warnings

import numpy as np
from matplotlib import pyplot as plt
from sklearn.pipeline import make_pipeline

from graphkoopman import GDyNetEstimator, GraphFeaturizer, align_states
from graphkoopman.datasets import label_timescales, simulate_lj7
from graphkoopman.lobes import MeanPooling

if SMALL:  # a few epochs are not meant to converge
    warnings.simplefilter("ignore")

data = simulate_lj7(DURATION, random_state=0)
run, labels = data.trajectory, data.labels
estimator = GDyNetEstimator(
    4,
    LAG,
    pooling=MeanPooling(variance=True),
    n_hidden=32,
    n_init=1,
    max_epochs=MAX_EPOCHS,
    random_state=0,
)
pipe = make_pipeline(GraphFeaturizer([np.arange(7)], n_neighbors=6), estimator)
probs = pipe.fit(run).transform(run)[0]

true = np.eye(4)[labels]
probs = probs[..., align_states(true, probs)]  # in the order of the minima
figure, axes = plt.subplots(1, 4, figsize=(7.0, 2.1), layout="constrained")
for state, ax in enumerate(axes):
    frame = probs[:, 0, state].argmax()
    x, y, _ = run.positions[frame].T
    ax.scatter(x, y, s=330, color=f"C{state}", edgecolor="black")
    ax.set(xlim=(-8, 8), ylim=(-8, 8), aspect="equal", xticks=[], yticks=[])
    ax.set_title(f"{probs[..., state].mean():.2f} ({true[..., state].mean():.2f})")

# %% [markdown]
# ## Are the states those of the minima?

# %%
found = probs.argmax(axis=-1)
print(f"frames in the state of their minimum: {(found == labels).mean():.1%}")
for state, energy in enumerate((-12.53, -11.50, -11.48, -11.40)):
    right = (found == labels)[labels == state].mean()
    print(f"minimum at {energy} epsilon: {right:.1%} of its frames")

# %% [markdown]
# ## And the times?
#
# Beside the same estimate from the true states of the same frames, at the same lag. Learned states
# live a little longer: a frame on a ridge relaxes to one side now and to the other a picosecond
# later, which counts as an exchange for the true labels, while the network's probabilities are
# shared there.

# %%
truth = label_timescales(labels, LAG, run.timestep)
print("true labels / ps:", truth.timescales.round(1).tolist())
print("network / ps:    ", pipe[-1].fetch_model().timescales_ps(3).round(1).tolist())

# %% [markdown]
# ## What was found
#
# Four shapes and their times, from distances between discs that are all alike. The page on whole
# systems says which pooling suits molecules whose atoms have names, and long chains of residues.
