# %% [markdown]
# # Molecules as targets: water
#
# **Does a liquid without long-lived surroundings have states, and would the method say so?** A
# target may be several atoms: eq. (10) of the paper averages their vectors, and everything that
# needs a place takes the centre of mass, put together across the boundary of the cell. Here every
# target is one SPC/E molecule.
#
# ![Oxygen around molecules in two states](attachment:answer.png)
#
# *Oxygen around the centres of mass of molecules in either state. The states differ in their shells,
# overlap, and last for about as long as the lag: a description of the liquid, not a Markov model.*

# %%
import os

SMALL = os.environ.get("GRAPHKOOPMAN_TUTORIAL_SIZE") == "small"  # True: a try of seconds
DATA = None  # folder of the trajectories; None takes that of GRAPHKOOPMAN_DATA, or a sample
LAG = 5  # frames of 0.2 ps: 1 ps
SEEDS, MAX_EPOCHS = ((0,), 3) if SMALL else ((0, 1), 40)
DIFFUSION_LAG = 20  # frames: 4 ps, where the cage of the neighbours is left behind

# %% [markdown]
# ## In ten lines
#
# A list of atoms for each molecule is all that it takes to make molecules targets.

# %% tags=["answer"]
import warnings

import numpy as np
from matplotlib import pyplot as plt

from graphkoopman import GDyNetEstimator, GraphFeaturizer, align_states, estimate_koopman
from graphkoopman.datasets import load_example
from graphkoopman.lobes import GatedEncoder
from graphkoopman.plotting import plot_state_rdf, plot_transition_msd
from graphkoopman.structure import state_rdf
from graphkoopman.tables import with_interval
from graphkoopman.transport import transition_diffusion, transition_displacements

# without metastable states crisp ones would overlap, which fit warns of; this tutorial is about it
warnings.simplefilter("ignore")

example = load_example("water", folder=DATA, sample=SMALL)
print(example)
(run,) = example.trajectories
molecules = [[atom.index for atom in residue.atoms] for residue in run.topology.residues]
graphs = GraphFeaturizer(molecules, n_neighbors=12, n_hops=2).fit_transform(run)
estimator = GDyNetEstimator(
    2, LAG, encoder=GatedEncoder(n_conv=2), max_epochs=MAX_EPOCHS, n_init=1, random_state=SEEDS[0]
).fit(graphs)
reference = estimator.transform(graphs)
rdf = state_rdf(run, reference, molecules, r_max=8.0, n_bins=80, species=["O"])
figure, ax = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
plot_state_rdf(rdf, ax)

# %%
graphs[0]

# %% [markdown]
# ## Two states, several networks
#
# The overlap is what `fit` warns of: without metastable states the memberships of crisp states
# would overlap by so much. The correlation says how far another network finds the same two.

# %%
for seed in SEEDS:
    if seed != SEEDS[0]:
        estimator.set_params(random_state=seed).fit(graphs)
    probabilities = estimator.transform(graphs)
    order = align_states(reference, probabilities)
    aligned = [array[..., order] for array in probabilities]
    model = estimate_koopman(aligned, LAG, timestep=run.timestep, n_bootstrap=50, random_state=0)
    time = with_interval(model.prior.timescales_ps()[0], model.timescales_ps_interval()[0])
    share = with_interval(model.prior.empirical_populations[1], model.populations_interval()[1])
    agreement = np.corrcoef(reference[0][..., 0].ravel(), aligned[0][..., 0].ravel())[0, 1]
    print(
        f"seed {seed}: {time} ps, population of state 1 {share}, overlap "
        f"{estimator.state_map_.overlap:.1%}, correlation with seed {SEEDS[0]} {agreement:.2f}"
    )

# %% [markdown]
# ## How the molecules move
#
# Displacements of a transition are large where it starts or ends in a looser cage.

# %%
figure, ax = plt.subplots(figsize=(5, 3.6), layout="constrained")
lags = np.unique(np.linspace(1, 2 * DIFFUSION_LAG, 12).astype(int))
plot_transition_msd(transition_displacements(run, reference, molecules, lags), ax)

# %% [markdown]
# ## What was found

# %%
fit = transition_diffusion(run, reference, molecules, DIFFUSION_LAG)
total = with_interval(10 * fit.total, 10 * fit.total_interval)
print(
    f"Diffusion of the centres of mass: {total} 1e-5 cm²/s.\n"
    f"The slowest process takes {time} ps, at a lag of {LAG * run.timestep:g} ps, and the "
    "states overlap: local order in water decays as fast as it is looked at. A model of two states "
    "is a description of it, not a Markov model."
)
