# %% [markdown]
# # From gdynet to graphkoopman
#
# **I have files and settings of the original code: what becomes of them here, and do both give the
# same times?** The `.npz` files of `gdynet` are read as they are; graphs are built when they are
# needed, so `preprocess.py` and its graph files have no counterpart.
#
# ![Relaxation times by the paper's equations and by the authors' settings](attachment:answer.png)
#
# *Relaxation time of lithium in an FCC lattice, on a run that no network has seen: by the paper's
# equations and by the settings of the authors' code, one point with its 95 % interval for each
# network. The dashed line is counted from the sites visited.*
#
# | gdynet | graphkoopman |
# |---|---|
# | `preprocess.py traj.npz graph.npz` | `load_gdynet_npz("traj.npz", timestep=...)` and `GraphFeaturizer`; `cache_dir` keeps the graphs |
# | `--n-nbrs`, `--n-workers` | `GraphFeaturizer(n_neighbors=..., n_jobs=...)` |
# | `--radius`, `--backend` | not needed: neighbours are exact in any cell |
# | `--mode` | not needed; for `vanilla` see [lithium in an FCC lattice](li_fcc.ipynb) |
# | `--n-classes`, `--tau` | `GDyNetEstimator(n_states, lagtime)` |
# | `--n-conv`, `--atom-fea-len` | `encoder=GatedEncoder(n_conv, n_features)`; graphs need `n_hops=n_conv` |
# | `--lr`, `--n-epoch` | `learning_rate`, `max_epochs`; not the same scale |
# | `--batch-size` | `batch_size`: frames per estimate of the score; 16 is far too few for one |
# | `--no-bn` | the default; `GatedEncoder(normalization="batch")` is the other one |
# | `--k-eig`, `--no-shuffle` | no counterpart |
# | `--train-flist`, `--val-flist` | `fit`, which sets blocks of its frames aside |
# | `--test-flist` | `koopman_models` on any data |
# | `--job-dir` | `checkpoint_dir`, and `save` |
# | `--random-seed` | `random_state` |

# %%
import os

SMALL = os.environ.get("GRAPHKOOPMAN_TUTORIAL_SIZE") == "small"  # True: a try of seconds
SEEN, UNSEEN = (1_000.0, 3_000.0) if SMALL else (5_000.0, 20_000.0)  # ps
SEEDS, MAX_EPOCHS = ((0,), 1) if SMALL else ((0, 1), 10)
LAG = 100  # frames of 0.1 ps

# %% [markdown]
# ## In ten lines
#
# A file as gdynet wants it, written here; those of the paper come from
# `datasets.fetch_gdynet("toy")`. It carries no time, so its frames need a `timestep`; the targets
# are those of the file.

# %%
import tempfile
import warnings
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from graphkoopman import GDyNetEstimator, GraphFeaturizer, load_gdynet_npz
from graphkoopman.datasets import simulate_li_fcc
from graphkoopman.lobes import GatedEncoder
from graphkoopman.plotting import COLORS
from graphkoopman.tables import with_interval

if SMALL:  # a few epochs are not meant to converge
    warnings.simplefilter("ignore")

folder = Path(tempfile.mkdtemp())
runs = [simulate_li_fcc(time, random_state=seed) for seed, time in enumerate((SEEN, UNSEEN))]
for name, run in zip(("train", "test"), runs, strict=True):
    trajectory = run.trajectory
    np.savez_compressed(
        folder / f"{name}.npz",
        traj_coords=trajectory.positions,
        lattices=np.broadcast_to(trajectory.cell, (len(trajectory), 3, 3)),
        atom_types=trajectory.species,
        target_index=trajectory.targets,
    )

seen, unseen = (load_gdynet_npz(folder / f"{name}.npz", timestep=0.1) for name in ("train", "test"))
nearest = GraphFeaturizer(n_neighbors=12, n_hops=3).fit_transform([seen, unseen])
nearest[0]

# %% [markdown]
# The lattice of this system does not move: each of its atoms has twelve others at exactly one
# distance. Together with the lithium in between, that is more than twelve neighbours, and which
# ones of the lattice gdynet leaves out depends on how atoms are numbered. From that a network can
# learn in which of the equivalent sites the lithium is, and find that exchange, which is slower.
# Here a shell at one distance is taken whole, which is why atoms above have more than twelve
# neighbours; where atoms vibrate there are no ties.

# %% [markdown]
# ## The paper's equations, and the authors' code
#
# The code differs from eq. (9): it averages over neighbours and normalises by batches. It trains in
# three stages, with 16 units in front of the softmax and distances expanded up to 7 Å. Both are
# here. States of a score are not unique, so this package chooses them after training; raw softmax
# outputs of gdynet are not comparable with them, timescales are.

# %%
SETTINGS = {
    "paper": {},
    "authors' code": {
        "encoder": GatedEncoder(r_max=7.0, normalization="batch", aggregation="mean"),
        "n_hidden": 16,
        "objective": ("VAMP2", "VAMP1", "VAMP2"),
    },
}
reference = runs[1].reference.at_lag(LAG).timescales[0]
print(f"sites visited: {reference:.1f} ps")
times = {}
for name, settings in SETTINGS.items():
    times[name] = []
    for seed in SEEDS:
        estimator = GDyNetEstimator(
            2,
            LAG,
            batch_size=1000,
            max_epochs=MAX_EPOCHS,  # per stage
            n_init=1,
            random_state=seed,
            **settings,
        )
        estimator.fit(nearest[0])
        model = estimator.koopman_model(nearest[1], n_bootstrap=100)
        time, limits = model.prior.timescales_ps()[0], model.timescales_ps_interval()[0]
        times[name].append((time, *limits))
        print(
            f"{name}, seed {seed}: {with_interval(time, limits)} ps, "
            f"{model.prior.empirical_populations[1]:.3f} in state 1"
        )

# %% [markdown]
# ## What was found
#
# Both find the exchange between octahedral and tetrahedral sites, and its time.

# %% tags=["answer"]
figure, ax = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
for k, (name, found) in enumerate(times.items()):
    values, low, high = np.array(found).T
    places = k + 0.12 * (np.arange(len(values)) - (len(values) - 1) / 2)
    ax.errorbar(places, values, [values - low, high - values], fmt="o", color=COLORS[k], capsize=3)
    print(f"{name}: {values.min():.1f} to {values.max():.1f} ps; sites {reference:.1f} ps")
ax.axhline(reference, color="black", linestyle="--", linewidth=1)
ax.set_xticks(range(len(times)), list(times))
ax.set(ylabel="relaxation time / ps", xlim=(-0.6, 1.6), ylim=(0, None))
