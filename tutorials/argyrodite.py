"""Which conducts more, an ordered or a disordered solid electrolyte, and through which states?

Ab-initio trajectories of Li6PS5X, with X = Cl or I on sites of its own (0 %), on the sites of
sulfur (100 %), or on both (50 %). Neighbourhoods of lithium are learned where both kinds exist, at
50 %, and looked for in all three. The data are read, not bundled: see ``--help``.

``GRAPHKOOPMAN_TUTORIAL_SIZE=small`` runs it in seconds, on pieces too short to learn from.
"""

import warnings

import numpy as np
from _real_data import SMALL, folders, save, with_interval
from deeptime.util.validation import implied_timescales
from matplotlib import pyplot as plt
from sklearn.exceptions import ConvergenceWarning

from graphkoopman import GDyNetEstimator, GraphFeaturizer, Trajectory, read_trajectory
from graphkoopman.koopman import align_states, estimate_koopman
from graphkoopman.plotting import (
    plot_ck_test,
    plot_conduction,
    plot_spatial_map,
    plot_state_rdf,
    plot_timescales,
    plot_transition_msd,
)
from graphkoopman.structure import spatial_map, state_rdf
from graphkoopman.transport import (
    conduction_contributions,
    transition_diffusion,
    transition_displacements,
)

TIMESTEP = 0.1  # ps; the files carry no time
TEMPERATURE = 500.0  # K; scales conductivities, not their ratios and shares
LITHIUM = "element Li"
LAG = 20  # frames: 2 ps
LONG_LAG = 100  # frames: 10 ps, when vibration no longer shows in displacements
HALIDES, SEEDS = (("Cl",), (0,)) if SMALL else (("Cl", "I"), (0, 1, 2))
DISORDER = ("0p", "50p", "100p")
N_FRAMES, MAX_EPOCHS = (260, 3) if SMALL else (None, 50)
N_BOOTSTRAP = 100

data, out = folders("argyrodite", __doc__.splitlines()[0])


def lithium_step(before, after, trajectory):
    """Mean distance that lithium moves between two frames, in Å."""
    fractions = (after - before) @ np.linalg.inv(trajectory.cell)
    step = (fractions - np.rint(fractions)) @ trajectory.cell
    return np.linalg.norm(step[trajectory.species == 3], axis=1).mean()


def joined(name):
    """The files of one composition as the trajectories that they are pieces of."""
    files = sorted(data.glob(f"Li6PS5{name}_run*.XDATCAR.gz"))
    pieces = [read_trajectory(path, timestep=TIMESTEP) for path in files]
    runs = [[pieces[0]]]
    for piece in pieces[1:]:
        last = runs[-1][-1]
        inside = lithium_step(last.positions[-2], last.positions[-1], last)
        seam = lithium_step(last.positions[-1], piece.positions[0], last)
        if seam < 1.5 * inside:
            runs[-1].append(piece)
        else:
            runs.append([piece])
    print(f"Li6PS5{name}: {len(pieces)} files are {len(runs)} run(s): at all other seams lithium "
          "moves as between two frames")  # fmt: skip
    return [
        Trajectory(
            np.concatenate([piece.positions for piece in run])[:N_FRAMES],
            run[0].cell,
            run[0].species,
            timestep=TIMESTEP,
        )
        for run in runs
    ]


def learn(graphs, seed):
    """Two kinds of surroundings of lithium, learned from how they change in time."""
    estimator = GDyNetEstimator(2, LAG, n_conv=2, max_epochs=MAX_EPOCHS, random_state=seed)
    with warnings.catch_warnings():
        if SMALL:  # three epochs are not meant to converge
            warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(graphs)


def transport(runs, probabilities):
    """Tracer diffusion, and conduction of every transition, at the long lag.

    Slopes leave out the vibration that secants contain. The framework is held at rest.
    """
    tracer = transition_diffusion(runs, probabilities, LITHIUM, LONG_LAG, drift="framework")
    model = estimate_koopman(probabilities, LONG_LAG, timestep=TIMESTEP)
    conduction = conduction_contributions(
        runs,
        probabilities,
        LITHIUM,
        model,
        state_charges=1.0,
        temperature=TEMPERATURE,
        drift="framework",
    )
    return tracer, conduction


def report(halide, name, seed, model, tracer, conduction):
    """One composition, as one network sees it."""
    (population, _), (limits, _) = model.prior.empirical_populations, model.populations_interval()
    time, ends = model.prior.timescales_ps()[0], model.timescales_ps_interval()[0]
    exchange = conduction.percent[0, 1] + conduction.percent[1, 0]
    print(
        f"  {halide} {name:>4} seed {seed}: population of state 0 {with_interval(population, limits)}"
        f", relaxation {with_interval(time, ends)} ps\n"
        f"    D {with_interval(1e2 * tracer.total, 1e2 * tracer.total_interval)} 1e-6 cm²/s"
        f", Nernst-Einstein {with_interval(conduction.nernst_einstein, conduction.nernst_einstein_interval)} S/cm"
        f", with correlation {with_interval(conduction.einstein, conduction.einstein_interval)} S/cm\n"
        f"    shares of the current / %: 0→0 {conduction.percent[0, 0]:.0f}, exchange {exchange:.0f}"
        f", 1→1 {conduction.percent[1, 1]:.0f}; closure {conduction.closure:.2f}"
    )


def figures_of_states(halide, runs, graphs, estimator, probabilities):
    """What the states of the half-disordered crystal are, and whether the model holds."""
    lags = [LAG * n for n in range(1, 6)]
    models = estimator.koopman_models(graphs, lags, n_bootstrap=N_BOOTSTRAP)
    figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    plot_timescales(implied_timescales(models), axes[0], timestep=TIMESTEP)
    rdf = state_rdf(runs, probabilities, LITHIUM, r_max=6.0, n_bins=60, species=["S", halide])
    plot_state_rdf(rdf, axes[1])
    plot_spatial_map(spatial_map(runs, probabilities, LITHIUM, n_bins=24), axes[2], state=1)
    save(figure, out / f"states_{halide}.png")
    test = models[0].ck_test(models)
    save(plot_ck_test(test, timestep=TIMESTEP), out / f"ck_test_{halide}.png")
    shell = rdf.edges[1:].searchsorted(3.2)
    for state, (sulfur, other) in enumerate(rdf.coordination[:, :, shell]):
        print(f"  state {state}: {sulfur:.2f} S and {other:.2f} {halide} within 3.2 Å")
    print(f"  CK test: largest deviation {np.abs(test.estimates - test.predictions).max():.3f}")


def figure_of_transport(halide, runs, probabilities, results):
    """Mobility against disorder, and where the current flows in the half-disordered crystal."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    totals = np.array([1e2 * results[name][0].total for name in DISORDER])
    limits = 1e2 * np.array([results[name][0].total_interval for name in DISORDER])
    axes[0].bar(DISORDER, totals, yerr=np.abs(limits.T - totals), capsize=4)
    axes[0].set_xticks(range(3), [name.replace("p", " %") for name in DISORDER])
    axes[0].set_xlabel(f"sites of sulfur and {halide} exchanged")
    axes[0].set_ylabel("diffusion of Li / 10⁻⁶ cm²/s")
    lags = np.unique(np.linspace(1, 1.5 * LONG_LAG, 12).astype(int))
    plot_transition_msd(
        transition_displacements(runs, probabilities, LITHIUM, lags, drift="framework"), axes[1]
    )
    plot_conduction(results["50p"][1], axes[2])
    save(figure, out / f"transport_{halide}.png")


def study(halide):
    """All three degrees of disorder of one compound, with the states of several networks."""
    runs = {name: joined(f"{halide}_{name}") for name in DISORDER}
    featurizer = GraphFeaturizer(LITHIUM, n_neighbors=16, n_hops=2)
    graphs = {name: featurizer.fit_transform(runs[name]) for name in DISORDER}
    reference = None
    for seed in SEEDS:
        estimator = learn(graphs["50p"], seed)
        probabilities = {name: estimator.transform(graphs[name]) for name in DISORDER}
        reference = probabilities["50p"] if reference is None else reference
        order = align_states(reference, probabilities["50p"])
        probabilities = {k: [p[..., order] for p in v] for k, v in probabilities.items()}
        results = {name: transport(runs[name], probabilities[name]) for name in DISORDER}
        for name in DISORDER:
            model = estimate_koopman(
                probabilities[name], LAG, timestep=TIMESTEP, n_bootstrap=N_BOOTSTRAP, random_state=0
            )
            report(halide, name, seed, model, *results[name])
        if seed == SEEDS[0]:
            half = runs["50p"], graphs["50p"], estimator, probabilities["50p"]
            figures_of_states(halide, *half)
            figure_of_transport(halide, runs["50p"], probabilities["50p"], results)


for halide in HALIDES:
    study(halide)
