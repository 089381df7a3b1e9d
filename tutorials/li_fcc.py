# %% [markdown]
# # Lithium in an FCC lattice: local against global dynamics
#
# **Why a graph network, where a VAMPnet would do?** One lithium ion hops between the octahedral and
# tetrahedral sites of a frozen lattice of sulphur (Fig. 2 of
# [Xie et al.](https://doi.org/10.1038/s41467-019-10663-6)). A graph network sees what surrounds the
# ion; a plain VAMPnet sees where in the cell it is. Both learn two states from the same frames, and
# both are judged on frames that they have not seen.
#
# ![The ion in the cell, coloured by the state that the graph network gives it](attachment:answer.png)
#
# *The ion in the cell, coloured by the probability of a state of the graph network; squares are
# centres of octahedral sites, triangles those of tetrahedral ones. The states are the two kinds of
# site, wherever in the cell they are. Those of a VAMPnet, below, are halves of the cell.*
#
# The potential is a stand-in for the paper's, so the paper's numbers are not expected, only its
# findings.

# %%
import os

SMALL = os.environ.get("GRAPHKOOPMAN_TUTORIAL_SIZE") == "small"  # True: a try of seconds
SEEN, UNSEEN = (2_000.0, 6_000.0) if SMALL else (10_000.0, 50_000.0)  # ps
SEEDS = (0,) if SMALL else (0, 1)
MAX_EPOCHS, VAMPNET_EPOCHS, N_BOOTSTRAP = (2, 2, 50) if SMALL else (30, 10, 100)
LAG = 100  # frames of 0.1 ps: the paper's 10 ps
LAGS = [50, 100, 200, 300, 400, 500]

# %% [markdown]
# ## In ten lines
#
# The paper trains on one half of 200 ns and tests on the other. Here are two independent runs.

# %% tags=["answer"]
import warnings

import numpy as np
import torch
from deeptime.decomposition.deep import VAMPNet
from deeptime.util.data import TrajectoryDataset
from deeptime.util.torch import MLP
from deeptime.util.validation import implied_timescales
from matplotlib import pyplot as plt
from sklearn.base import BaseEstimator, TransformerMixin, clone
from torch.utils.data import DataLoader

from graphkoopman import GDyNetEstimator, GraphFeaturizer, estimate_koopman
from graphkoopman.datasets import fcc_sites, simulate_li_fcc
from graphkoopman.koopman import ck_error, fcc_site_graph, global_koopman, identify_states
from graphkoopman.plotting import plot_ck_test, plot_global_timescales, plot_timescales
from graphkoopman.tables import with_interval

if SMALL:  # a few epochs are not meant to converge
    warnings.simplefilter("ignore")

seen, unseen = (simulate_li_fcc(time, random_state=seed) for seed, time in ((1, SEEN), (2, UNSEEN)))
graphs = GraphFeaturizer(n_neighbors=12).fit_transform([seen.trajectory, unseen.trajectory])
estimator = GDyNetEstimator(2, LAG, max_epochs=MAX_EPOCHS, n_init=1, random_state=SEEDS[0])
(states,) = estimator.fit(graphs[0]).transform(graphs[1:])
lithium, sites = unseen.trajectory.positions[::200, 0] % 6.5, fcc_sites(6.5)


def draw_sites(ax, states, title):
    """The ion in the cell, coloured by its state, and the centres of the sites."""
    drawn = ax.scatter(*lithium[:, :2].T, c=states[::200, 0, 0], s=4, cmap="cividis")
    for kind, marker in ((0, "s"), (1, "^")):
        centres = sites.positions[sites.types == kind, :2]
        ax.plot(*centres.T, marker, mfc="none", mec="#D55E00", ms=10, mew=1.5)
    ax.set(title=title, xlabel="x / Å", ylabel="y / Å", aspect="equal")
    ax.set(xlim=(-0.5, 7.0), ylim=(-0.5, 7.0))
    return drawn


figure, ax = plt.subplots(figsize=(4.4, 3.6), layout="constrained")
figure.colorbar(draw_sites(ax, states, "GDyNet"), label="probability of state 0")

# %%
lagged = unseen.reference.at_lag(LAG)
multiplet = unseen.reference.global_reference
print(f"Sites visited in {UNSEEN / 1000:g} ns, at a lag of 10 ps:")
print(f"  octahedral and tetrahedral exchange in {lagged.timescales[0]:.1f} ps")
print(f"  the three slowest of 12 sites in {multiplet.multiplet:.0f} ps on average")

# %% [markdown]
# ## A VAMPnet as a scikit-learn estimator
#
# deeptime's `VAMPNet` trains the network it is given. Built inside `fit`, and with
# `transform` giving probabilities of states, it can stand wherever `GDyNetEstimator` does. Its
# input are the same positions, as sines and cosines of fractional coordinates, so that no jump at
# the boundary of the cell gives it a handicap.


# %%
class PositionVAMPNet(TransformerMixin, BaseEstimator):
    """States of one trajectory from where the atoms are in the cell."""

    def __init__(self, n_states=2, lagtime=1, *, n_epochs=10, random_state=0):
        self.n_states = n_states
        self.lagtime = lagtime
        self.n_epochs = n_epochs
        self.random_state = random_state

    def fit(self, X, y=None):
        features = [self._features(trajectory) for trajectory in X]
        pairs = torch.utils.data.ConcatDataset(
            [TrajectoryDataset(self.lagtime, array) for array in features]
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            units = [features[0].shape[1], 64, 64, self.n_states]
            lobe = MLP(units, output_nonlinearity=lambda: torch.nn.Softmax(dim=1))
            net = VAMPNet(lobe, learning_rate=1e-3)
            net.fit(DataLoader(pairs, batch_size=5000, shuffle=True), n_epochs=self.n_epochs)
        self.model_ = net.fetch_model()
        outputs = np.concatenate([self.model_.transform(array) for array in features])
        # the same choice of states that GDyNetEstimator ends with
        self.state_map_ = identify_states(outputs[: -self.lagtime], outputs[self.lagtime :])
        return self

    def transform(self, X):
        outputs = [self.model_.transform(self._features(trajectory)) for trajectory in X]
        return [self.state_map_(array)[:, None] for array in outputs]

    def score(self, X, y=None):
        return estimate_koopman(self.transform(X), self.lagtime).score(2)

    def _features(self, trajectory):
        phase = 2 * np.pi * trajectory.positions @ np.linalg.inv(trajectory.cell)
        flat = phase.reshape(len(phase), -1)  # (n_frames, 3 n_atoms)
        return np.concatenate([np.sin(flat), np.cos(flat)], axis=1).astype(np.float32)


# %% [markdown]
# ## One loop over both
#
# Times and Chapman–Kolmogorov errors (observed minus predicted probability to be in the state one
# started from, up to 50 ps) of the trajectory that neither has seen, over several seeds.

# %%
LEARNERS = {
    "GDyNet": (estimator, graphs),
    "VAMPnet": (
        PositionVAMPNet(2, LAG, n_epochs=VAMPNET_EPOCHS),
        [seen.trajectory, unseen.trajectory],
    ),
}
probabilities, times, errors = {}, {}, {}
for name, (estimator, data) in LEARNERS.items():
    probabilities[name], times[name], errors[name] = [], [], []
    for seed in SEEDS:
        learner = clone(estimator).set_params(random_state=seed)
        learner.fit(data[:1])
        probs = learner.transform(data[1:])
        model = estimate_koopman(probs, LAG, timestep=0.1, n_bootstrap=N_BOOTSTRAP, random_state=0)
        error = ck_error(probs, LAG, 500)
        probabilities[name].append(probs)
        times[name].append(model.prior.timescales_ps()[0])
        errors[name].append(error.error)
        time = with_interval(times[name][-1], model.timescales_ps_interval()[0])
        deviation = with_interval(error.error, error.interval())
        print(
            f"{name} seed {seed}: {time} ps; CK error {deviation}, largest deviation "
            f"{error.largest:.3f}"
        )

# %% [markdown]
# ## Timescales over the lag
#
# A line that is flat above the shaded region belongs to a Markovian model (Fig. 2b).

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained", sharey=True)
axes[0].set_ylim(5.0 / 0.1, 2000.0 / 0.1)  # the axis counts frames
models = {}
for ax, name in zip(axes, LEARNERS, strict=True):
    models[name] = [
        estimate_koopman(
            probabilities[name][0], lag, timestep=0.1, n_bootstrap=N_BOOTSTRAP, random_state=0
        )
        for lag in LAGS
    ]
    plot_timescales(implied_timescales(models[name]), ax, timestep=0.1)
    ax.set_title(name)
axes[1].set_ylabel("")

# %% [markdown]
# ## Where the states are
#
# Fig. 2c: the states of both in the cell, with the centres of octahedral sites as squares and those
# of tetrahedral sites as triangles.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
for ax, name in zip(axes, LEARNERS, strict=True):
    drawn = draw_sites(ax, probabilities[name][0][0], name)
figure.colorbar(drawn, ax=axes, label="probability of state 0")

# %% [markdown]
# ## Chapman–Kolmogorov test
#
# Fig. 2d, for the graph network and for the VAMPnet.

# %%
for name in LEARNERS:
    multiples = [model for model in models[name] if model.lagtime % LAG == 0]
    base = multiples[0]
    figure = plot_ck_test(base.ck_test(multiples), timestep=0.1)

# %% [markdown]
# ## From local to global
#
# Sites and their bonds are known, so exchange between two kinds of site gives the dynamics over all
# twelve. Its slowest mode is threefold; data split the three, so their mean is compared.

# %%
local = models["GDyNet"][LAGS.index(LAG)]
rebuilt = global_koopman(local, fcc_site_graph())
figure, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
plot_global_timescales(rebuilt, ax)
slowest = unseen.reference.global_timescales[:3]
ax.plot(np.zeros(len(slowest)), slowest, "x", color="black", label="between sites visited")
ax.legend()

# %% [markdown]
# ## What was found

# %%
local_times, global_times = times["GDyNet"], times["VAMPnet"]
bias = np.mean(local_times) / lagged.timescales[0] - 1
deviation = rebuilt.timescales_ps[0] / multiplet.multiplet - 1
print(
    f"Seeds {SEEDS}. GDyNet: {min(local_times):.1f} to {max(local_times):.1f} ps, {bias:+.1%} from "
    f"the sites on average, CK error {np.mean(errors['GDyNet']):.4f}.\n"
    f"VAMPnet: {min(global_times):.0f} to {max(global_times):.0f} ps, "
    f"{np.mean(global_times) / np.mean(local_times):.1f} times as long, CK error "
    f"{np.mean(errors['VAMPnet']):.4f}; its states are places, not kinds of site.\n"
    "Slowest exchange over 12 sites, rebuilt from the GDyNet's two states: "
    f"{with_interval(rebuilt.timescales_ps[0], rebuilt.timescales_ps_interval[0])} ps; seen in "
    f"the same frames: {multiplet.multiplet:.0f} ± {multiplet.multiplet_error:.0f} ps "
    f"({deviation:+.1%})."
)
