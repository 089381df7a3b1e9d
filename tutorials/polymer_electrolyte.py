"""Where lithium sits in a polymer electrolyte, how fast it changes places, and what conducts.

PEO chains with LiTFSI, seven lithium ions in each of two independent runs. Seven ions and a few
dozen exchanges support two states and wide intervals, not the four states of the paper, whose runs
are a hundred times longer. The data are read, not bundled: see ``--help``.

``GRAPHKOOPMAN_TUTORIAL_SIZE=small`` runs it in seconds, on pieces too short to learn from.
"""

import warnings

import numpy as np
from _real_data import SMALL, folders, save, stated, with_interval
from deeptime.util.validation import implied_timescales
from matplotlib import pyplot as plt
from sklearn.exceptions import ConvergenceWarning

from graphkoopman import GDyNetEstimator, GraphFeaturizer, read_trajectory
from graphkoopman.koopman import align_states, estimate_koopman
from graphkoopman.plotting import (
    plot_charge_integral,
    plot_ck_test,
    plot_conduction,
    plot_coordination,
    plot_eigenvectors,
    plot_populations,
    plot_residence_times,
    plot_state_rdf,
    plot_timescales,
    plot_transition_diffusion,
    plot_transition_msd,
)
from graphkoopman.structure import charge_integral, representative_frames, state_rdf
from graphkoopman.transport import (
    conduction_contributions,
    residence_times,
    transition_diffusion,
    transition_displacements,
)

LITHIUM, TEMPERATURE = "element Li", 500.0  # K
LAG, LONG_LAG = 10, 50  # frames of 1 ps
SHELL, CONTACT = 5.0, 3.0  # Å: centres of bound anions are inside, and their bound oxygens
SEEDS = (0,) if SMALL else (0, 1, 2)
N_FRAMES, MAX_EPOCHS, N_BOOTSTRAP = (300, 3, 20) if SMALL else (None, 100, 200)
MODEL_LAGS = [LAG * n for n in range(1, 3 if SMALL else 6)]
OXYGENS = {
    "O of PEO": "resname PEO and element O",
    "O of TFSI": "resname TFS and element O",
}
# e; OPLS-AA ether with CL&P anion, ions scaled by 0.75, as the runs were made
ION_SCALE = 0.75
ANION = {"N": -0.66, "S": 1.02, "C": 0.35, "O": -0.53, "F": -0.16}
ETHER = {"O": -0.40, "H": 0.03}


def atom_charges(topology):
    """Charge of every atom of the force field, in e."""
    charges = []
    for atom in topology.atoms:
        symbol, residue = atom.element.symbol, atom.residue
        if residue.name == "LI":
            charges.append(ION_SCALE)
        elif residue.name == "TFS":
            charges.append(ION_SCALE * ANION[symbol])
        elif symbol == "C":  # the carbons at both ends carry a third hydrogen
            carbons = [other.index for other in residue.atoms if other.element.symbol == "C"]
            charges.append(0.11 if atom.index in (carbons[0], carbons[-1]) else 0.14)
        else:
            charges.append(ETHER[symbol])
    return np.array(charges)


def ion_charges(topology):
    """Charges of whole ions, those of anions on their nitrogen, in e."""
    symbols = [atom.element.symbol for atom in topology.atoms]
    return ION_SCALE * np.array([{"Li": 1.0, "N": -1.0}.get(symbol, 0.0) for symbol in symbols])


def learn(graphs, seed):
    """Two kinds of surroundings of lithium, from how they change in time."""
    estimator = GDyNetEstimator(
        2, LAG, n_conv=2, max_epochs=MAX_EPOCHS, patience=20, random_state=seed
    )
    with warnings.catch_warnings():
        if SMALL:  # three epochs are not meant to converge
            warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(graphs)


def contacts(trajectory):
    """Whether an oxygen of an anion is bound to each lithium, (n_frames, n_ions)."""
    topology = trajectory.topology
    lithium, oxygen = topology.select(LITHIUM), topology.select(OXYGENS["O of TFSI"])
    edges = np.diag(trajectory.cell)
    arms = trajectory.positions[:, lithium, None] - trajectory.positions[:, None, oxygen]
    arms = arms - edges * np.rint(arms / edges)
    return np.linalg.norm(arms, axis=-1).min(axis=2) < CONTACT


def figure_of_model(path, models):
    """Relaxation time over the lag, the process of the states, and the CK test."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    plot_timescales(implied_timescales(models), axes[0], timestep=1.0)
    plot_eigenvectors(models[0], axes[1])
    save(figure, path / "model.png")
    test = models[0].ck_test(models)
    save(plot_ck_test(test, timestep=1.0), path / "ck_test.png")
    times = ", ".join(
        f"{with_interval(m.prior.timescales_ps()[0], m.timescales_ps_interval()[0])} at {m.lagtime}"
        for m in models
    )
    print(f"  relaxation time / ps over the lag / ps: {times}")
    print(f"  CK test: largest deviation {np.abs(test.estimates - test.predictions).max():.2f}")
    if not models[-1].prior.timescales_ps()[0] < models[0].timescales_ps_interval()[0, 1]:
        print("  the relaxation time grows with the lag: two states are not Markovian at 10 ps")


def figure_of_structure(path, model, rdf, charges, residence):
    """What surrounds lithium in each state, what charge it carries along, and for how long."""
    figure, axes = plt.subplots(2, 3, figsize=(14, 8), layout="constrained")
    plot_state_rdf(rdf, axes[0, 0])
    plot_coordination(rdf, axes[0, 1])
    plot_populations(model, axes[0, 2])
    for name, charge, ax in zip(("atoms", "whole ions"), charges, axes[1], strict=False):
        plot_charge_integral(charge, ax)
        ax.set_title(f"charges of {name}")
    plot_residence_times(residence, axes[1, 2])
    save(figure, path / "structure.png")


def figure_of_transport(path, curves, diffusion, conduction):
    """Displacement, diffusion and share in the current of every transition."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    plot_transition_msd(curves, axes[0])
    plot_transition_diffusion(diffusion, axes[1])
    plot_conduction(conduction, axes[2])
    save(figure, path / "transport.png")


def report_states(model, rdf, residence):
    """Population, surroundings and lifetime of each state."""
    shell = rdf.edges[1:].searchsorted(CONTACT - 1e-9)
    for state in range(2):
        population = with_interval(
            model.prior.empirical_populations[state], model.populations_interval()[state]
        )
        around = [
            f"{with_interval(rdf.coordination[state, i, shell], limits[shell])} {name}"
            for i, (name, limits) in enumerate(
                zip(rdf.species, rdf.coordination_interval[state], strict=True)
            )
        ]
        stay = with_interval(residence.mean[state], residence.mean_interval[state])
        print(
            f"  state {state}: population {population}; within {CONTACT:g} Å {' and '.join(around)}"
            f"; residence {stay} ps, {residence.n_exits[state]} exits seen"
        )
    time = with_interval(model.prior.timescales_ps()[0], model.timescales_ps_interval()[0])
    print(f"  relaxation time {time} ps, {model.n_units} independent units ({model.unit})")


def report_transport(title, conduction):
    """Conductivity, and shares of the transitions with their intervals."""
    shares = [
        f"{i}→{j} {with_interval(conduction.percent[i, j], conduction.percent_interval[i, j])}"
        for i in range(2)
        for j in range(2)
    ]
    print(f"  {title}: shares / %: {', '.join(shares)}")
    print(
        f"    conductivity / S/cm: {stated(conduction, 'total')} of all transitions, "
        f"{stated(conduction, 'nernst_einstein')} of single ions, {stated(conduction, 'einstein')} "
        f"of all together; closure {stated(conduction, 'closure')}"
    )


def conduct(runs, states, charges):
    """Conduction at the long lag; the wandering centre of mass of the box is taken out."""
    return conduction_contributions(
        runs,
        states,
        LITHIUM,
        estimate_koopman(states, LONG_LAG, timestep=1.0),
        state_charges=charges,
        temperature=TEMPERATURE,
        drift="system",
    )


def analyse(path, runs, states, models):
    """Everything that one network says of the two runs."""
    rdf = state_rdf(runs, states, LITHIUM, r_max=8.0, n_bins=80, species=OXYGENS)
    # spheres cut anions, so charges of atoms swing with r and those of whole ions do not
    charges = [
        charge_integral(runs, states, LITHIUM, of(runs[0].topology), r_max=10.0, n_bins=100)
        for of in (atom_charges, ion_charges)
    ]
    residence = residence_times(states, timestep=1.0)
    report_states(models[0], rdf, residence)
    figure_of_model(path, models)
    figure_of_structure(path, models[0], rdf, charges, residence)
    shell = charges[1].within(SHELL)
    print(f"  charge with whole anions within {SHELL:g} Å / e: {shell.round(2).tolist()}")

    lags = np.unique(np.geomspace(1, 1.5 * LONG_LAG, 12).astype(int))
    curves = transition_displacements(runs, states, LITHIUM, lags, drift="system")
    diffusion = transition_diffusion(runs, states, LITHIUM, LONG_LAG, drift="system")
    bare = conduct(runs, states, ION_SCALE)
    figure_of_transport(path, curves, diffusion, bare)
    report_transport("bare ions", bare)
    report_transport("with bound anions", conduct(runs, states, shell))
    raw = transition_diffusion(runs, states, LITHIUM, LONG_LAG)
    held, left = stated(diffusion, "total"), stated(raw, "total")
    print(f"  D of lithium at {LONG_LAG} ps / Å²/ps: {held}; {left} with the drift of the box")
    for state in range(2):
        (cut,) = representative_frames(runs, states, LITHIUM, state, radius=5.0)
        cut.save_pdb(path / f"state_{state}.pdb")
    print(f"wrote neighbourhoods of both states to {path}")


def summary(runs, states, model, bound):
    """Population, relaxation time, likeness to bound anions, and share of ions in state 0."""
    rare = np.concatenate([array[..., 1].ravel() for array in states])
    return (
        model.prior.empirical_populations[1],
        model.prior.timescales_ps()[0],
        np.corrcoef(rare, bound)[0, 1],
        conduct(runs, states, ION_SCALE).percent[0, 0],
    )


def conclude(found):
    """What all networks say."""
    low, high = np.min(found, axis=0), np.max(found, axis=0)
    print(
        f"Over {len(found)} network(s): lithium is in state 1 for {low[0]:.1%} to {high[0]:.1%} of "
        f"the time and relaxes in {low[1]:.1f} to {high[1]:.1f} ps; the state correlates with a "
        f"bound anion by {low[2]:.2f} to {high[2]:.2f}.\n"
        f"Ions that start and end {LONG_LAG} ps in state 0 carry {low[3]:.0f} to {high[3]:.0f} % "
        "of the current."
    )


def main():
    """Both runs, one network after the other."""
    data, path = folders("md", __doc__)
    runs = [
        read_trajectory(data / name, top=data / "peo_litfsi.pdb")[:N_FRAMES]
        for name in ("peo_litfsi.npz", "peo_litfsi_seed8.npz")
    ]
    bound = np.concatenate([contacts(run).ravel() for run in runs])
    print(f"an oxygen of an anion is within {CONTACT:g} Å of {bound.mean():.1%} of the lithium")
    graphs = GraphFeaturizer(LITHIUM, n_neighbors=8, n_hops=2).fit_transform(runs)
    reference, found = None, []
    for seed in SEEDS:
        estimator = learn(graphs, seed)
        states = estimator.transform(graphs)
        reference = states if reference is None else reference
        order = align_states(reference, states)
        states = [array[..., order] for array in states]
        models = [
            estimate_koopman(states, lag, timestep=1.0, n_bootstrap=N_BOOTSTRAP, random_state=0)
            for lag in MODEL_LAGS
        ]
        found.append(summary(runs, states, models[0], bound))
        print(
            "seed {}: population of state 1 {:.3f}, relaxation {:.1f} ps, correlation with bound "
            "anions {:.2f}, 0→0 carries {:.0f} %, validation {:.3f}, {:.1%} cut off".format(
                seed, *found[-1], estimator.validation_score_, estimator.clipped_mass_
            )
        )
        if seed == SEEDS[0]:
            analyse(path, runs, states, models)
    conclude(found)


if __name__ == "__main__":
    main()
