"""
Molecules as targets: water
===========================

A target may be several atoms: eq. (10) averages their vectors, and everything that needs a place
takes the centre of mass, put together across the boundary of the cell. Here every target is one
SPC/E molecule. Liquid water has no long-lived states, and the tutorial shows how that looks. The
trajectory is read, not bundled: see ``--help``.

``GRAPHKOOPMAN_TUTORIAL_SIZE=small`` runs a short version.
"""

import warnings

import numpy as np
from _real_data import SMALL, folders, save, with_interval
from matplotlib import pyplot as plt
from sklearn.exceptions import ConvergenceWarning

from graphkoopman import (
    GDyNetEstimator,
    GraphFeaturizer,
    align_states,
    estimate_koopman,
    read_trajectory,
)
from graphkoopman.lobes import GatedEncoder
from graphkoopman.plotting import plot_state_rdf, plot_transition_msd
from graphkoopman.structure import state_rdf
from graphkoopman.transport import transition_diffusion, transition_displacements

data, out = folders("md", __doc__)
STRIDE, LAG = 5, 5  # frames of 0.2 ps: a lag of 1 ps
SEEDS, MAX_EPOCHS = ((0,), 3) if SMALL else ((0, 1, 2), 60)
DIFFUSION_LAG = 20  # frames: 4 ps, where the cage of the neighbours is left behind

# %%
# One group of atoms for each molecule
# ------------------------------------
# The file's own times are wrong (1 ps where 0.04 ps are meant), so the timestep is given and they
# are ignored.

run = read_trajectory(
    data / "water.xtc", top=data / "water.pdb", timestep=0.04, ignore_times=True, stride=STRIDE
)
if SMALL:
    run = run[:120]
molecules = [[atom.index for atom in residue.atoms] for residue in run.topology.residues]
print(
    f"{len(run)} frames of {run.timestep:g} ps, {len(molecules)} molecules of {len(molecules[0])}"
)

graphs = GraphFeaturizer(molecules, n_neighbors=12, n_hops=2).fit_transform(run)
print(graphs[0])

# %%
# Two states, several networks
# ----------------------------
# A warning is expected: without metastable states the memberships of crisp states would overlap by
# a fifth.

reference = None
for seed in SEEDS:
    estimator = GDyNetEstimator(
        2, LAG, encoder=GatedEncoder(n_conv=2), max_epochs=MAX_EPOCHS, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(graphs)
    probabilities = estimator.transform(graphs)
    reference = probabilities if reference is None else reference
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

# %%
# What surrounds the states, and how they move
# --------------------------------------------
# Distances are from the centre of mass of a molecule. Displacements of a transition are large where
# it starts or ends in a looser cage.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
plot_state_rdf(state_rdf(run, reference, molecules, r_max=8.0, n_bins=80, species=["O"]), axes[0])
lags = np.unique(np.linspace(1, 2 * DIFFUSION_LAG, 12).astype(int))
plot_transition_msd(transition_displacements(run, reference, molecules, lags), axes[1])
save(figure, out / "water.png")

# %%
# What was found
# --------------

fit = transition_diffusion(run, reference, molecules, DIFFUSION_LAG)
total = with_interval(10 * fit.total, 10 * fit.total_interval)
print(
    f"Diffusion of the centres of mass: {total} 1e-5 cm²/s.\n"
    f"The slowest process takes {time} ps, at a lag of {LAG * run.timestep:g} ps, and the "
    "states overlap: local order in water decays as fast as it is looked at. A model of two states "
    "is a description of it, not a Markov model."
)
