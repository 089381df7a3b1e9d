"""Which conducts more, an ordered or a disordered solid electrolyte, and through which states?

Ab-initio trajectories of Li6PS5X, with the halide X = Cl or I on sites of its own (0 %), on the
sites of sulfur (100 %), or on both (50 %). Two kinds of surroundings of lithium are learned where
both exist, at 50 %, and looked for in all three. The data are read, not bundled: see ``--help``.

``GRAPHKOOPMAN_TUTORIAL_SIZE=small`` runs it in seconds, on a piece too short to learn from.
"""

import itertools
import warnings

import numpy as np
from _real_data import SMALL, folders, save, stated, with_interval
from deeptime.util.validation import implied_timescales
from matplotlib import pyplot as plt
from sklearn.exceptions import ConvergenceWarning

from graphkoopman import GDyNetEstimator, GraphFeaturizer, Trajectory, read_trajectory
from graphkoopman.koopman import align_states, estimate_koopman
from graphkoopman.plotting import (
    COLORS,
    plot_ck_test,
    plot_conduction,
    plot_spatial_map,
    plot_state_rdf,
    plot_timescales,
    plot_transition_diffusion,
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
LITHIUM, FIRST_SHELL = "element Li", 3.2  # Å
LAG = 20  # frames: 2 ps
HALIDES, SEEDS = (("Cl",), (0,)) if SMALL else (("Cl", "I"), (0, 1, 2))
N_FRAMES, MAX_EPOCHS, LONG_LAG = (200, 3, 50) if SMALL else (None, 80, 100)
ORDERED, MIXED, EXCHANGED = DISORDER = ("0p", "50p", "100p")
MOBILITY_LAGS = LONG_LAG, 2 * LONG_LAG
N_BOOTSTRAP = 100


def lithium_step(before, after, trajectory):
    """Mean distance that lithium moves between two frames, in Å."""
    fractions = (after - before) @ np.linalg.inv(trajectory.cell)
    step = (fractions - np.rint(fractions)) @ trajectory.cell
    return np.linalg.norm(step[trajectory.species == 3], axis=1).mean()


def joined(folder, name):
    """The files of one composition as the trajectories that they are consecutive pieces of."""
    files = sorted(folder.glob(f"Li6PS5{name}_run*.XDATCAR.gz"))
    pieces = [read_trajectory(path, timestep=TIMESTEP) for path in files]
    runs = [[pieces[0]]]
    for before, after in itertools.pairwise(pieces):
        inside = lithium_step(before.positions[-2], before.positions[-1], before)
        seam = lithium_step(before.positions[-1], after.positions[0], before)
        if seam < 1.5 * inside:
            runs[-1].append(after)
        else:
            print(f"  lithium jumps {seam:.1f} Å between two files, and {inside:.1f} Å in a frame")
            runs.append([after])
    print(f"Li6PS5{name}: {len(files)} files are consecutive pieces of {len(runs)} run(s)")
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
    """Two kinds of surroundings of lithium, from how they change in time."""
    estimator = GDyNetEstimator(2, LAG, n_conv=2, max_epochs=MAX_EPOCHS, random_state=seed)
    with warnings.catch_warnings():
        if SMALL:  # three epochs are not meant to converge
            warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(graphs)


def conduction_of(runs, probabilities):
    """Conduction of every transition at the long lag, where vibration no longer counts.

    Slopes leave out what is left of the vibration. The framework is held at rest.
    """
    model = estimate_koopman(probabilities, LONG_LAG, timestep=TIMESTEP)
    return conduction_contributions(
        runs,
        probabilities,
        LITHIUM,
        model,
        state_charges=1.0,
        temperature=TEMPERATURE,
        drift="framework",
    )


def report(name, seed, model, conduction):
    """One composition, as one network sees it."""
    population, time = model.prior.empirical_populations[1], model.prior.timescales_ps()[0]
    percent = conduction.percent
    print(
        f"  {name:>4} seed {seed}: population of state 1 "
        f"{with_interval(population, model.populations_interval()[1])}, relaxation "
        f"{with_interval(time, model.timescales_ps_interval()[0])} ps; shares of the current / %: "
        f"0→0 {percent[0, 0]:.0f}, 0→1 and 1→0 {percent[0, 1] + percent[1, 0]:.0f}, "
        f"1→1 {percent[1, 1]:.0f} (closure {conduction.closure:.2f})"
    )
    if seed == SEEDS[0]:
        alone, together = stated(conduction, "nernst_einstein"), stated(conduction, "einstein")
        print(f"        conductivity / S/cm: {alone} of single ions, {together} of all together")


def mobility(runs):
    """Diffusion around two lags, which needs no network: value and limits in 1e-6 cm²/s."""
    results = {}
    for name in DISORDER:
        ones = [np.ones((len(run), np.count_nonzero(run.species == 3), 1)) for run in runs[name]]
        fits = [
            transition_diffusion(
                runs[name],
                ones,
                LITHIUM,
                lag,
                window=(lag - LONG_LAG // 2, lag + LONG_LAG // 2),
                drift="framework",
            )
            for lag in MOBILITY_LAGS
        ]
        results[name] = [(1e2 * fit.total, 1e2 * fit.total_interval) for fit in fits]
        texts = [
            f"{with_interval(*one)} at {lag * TIMESTEP:g} ps"
            for lag, one in zip(MOBILITY_LAGS, results[name], strict=True)
        ]
        print(f"  {name:>4}: D / 1e-6 cm²/s {', '.join(texts)}")
    return results


def ratio(one, other):
    """Quotient of two independent estimates; relative errors add in quadrature."""
    relative = [np.ptp(limits) / 2 / value for value, limits in (one, other)]
    value, half = one[0] / other[0], np.hypot(*relative)
    return with_interval(value, (value * (1 - half), value * (1 + half)))


def surroundings(halide, runs, probabilities):
    """Radial distributions of each state, and the numbers of neighbours in the first shell."""
    rdf = state_rdf(runs, probabilities, LITHIUM, r_max=6.0, n_bins=60, species=["S", halide])
    shell = rdf.edges[1:].searchsorted(FIRST_SHELL - 1e-9)
    for state, (around, limits) in enumerate(
        zip(rdf.coordination[:, :, shell], rdf.coordination_interval[:, :, shell], strict=True)
    ):
        sulfur, other = (with_interval(*pair) for pair in zip(around, limits, strict=True))
        print(f"        state {state}: {sulfur} S and {other} {halide} within {FIRST_SHELL} Å")
    return rdf, rdf.coordination[:, 1, shell]


def figures_of_states(path, halide, rdf, runs, graphs, estimator, probabilities):
    """What the states of the half-disordered crystal are, and whether the model holds."""
    models = estimator.koopman_models(graphs, [LAG * n for n in range(1, 6)], N_BOOTSTRAP)
    figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    plot_timescales(implied_timescales(models), axes[0], timestep=TIMESTEP)
    plot_state_rdf(rdf, axes[1])
    plot_spatial_map(spatial_map(runs, probabilities, LITHIUM, n_bins=24), axes[2], state=1)
    save(figure, path / f"states_{halide}.png")
    test = models[0].ck_test(models)
    save(plot_ck_test(test, timestep=TIMESTEP), path / f"ck_test_{halide}.png")
    print(f"  CK test: largest deviation {np.abs(test.estimates - test.predictions).max():.3f}")


def figure_of_transport(path, halide, runs, probabilities, totals, conduction):
    """Mobility against disorder, and where the current flows in the half-disordered crystal."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
    for k, lag in enumerate(MOBILITY_LAGS):
        values, limits = zip(*(totals[name][k] for name in DISORDER), strict=True)
        arms = np.abs(np.array(limits).T - values)
        places = np.arange(3) + 0.4 * k - 0.2
        label = f"at {lag * TIMESTEP:g} ps"
        axes[0, 0].bar(places, values, 0.4, yerr=arms, capsize=4, color=COLORS[k], label=label)
    axes[0, 0].legend()
    axes[0, 0].set_xticks(range(3), [name.replace("p", " %") for name in DISORDER])
    axes[0, 0].set_xlabel(f"share of {halide} on sites of sulfur")
    axes[0, 0].set_ylabel("diffusion of Li / 10⁻⁶ cm²/s")
    lags = np.unique(np.linspace(1, 1.5 * LONG_LAG, 12).astype(int))
    curves = transition_displacements(runs, probabilities, LITHIUM, lags, drift="framework")
    plot_transition_msd(curves, axes[0, 1])
    fit = transition_diffusion(runs, probabilities, LITHIUM, LONG_LAG, drift="framework")
    plot_transition_diffusion(fit, axes[1, 0])
    plot_conduction(conduction, axes[1, 1])
    save(figure, path / f"transport_{halide}.png")


def study(folder, path, halide):
    """All three degrees of disorder of one compound, with the states of several networks."""
    runs = {name: joined(folder, f"{halide}_{name}") for name in DISORDER}
    totals = mobility(runs)
    featurizer = GraphFeaturizer(LITHIUM, n_neighbors=16, n_hops=2)
    graphs = {name: featurizer.fit_transform(runs[name]) for name in DISORDER}
    reference, shares, shells, flicker = None, [], [], []
    for seed in SEEDS:
        estimator = learn(graphs[MIXED], seed)
        probabilities = {name: estimator.transform(graphs[name]) for name in DISORDER}
        reference = probabilities[MIXED] if reference is None else reference
        order = align_states(reference, probabilities[MIXED])
        for name in DISORDER:
            states = [array[..., order] for array in probabilities[name]]
            model = estimate_koopman(
                states, LAG, timestep=TIMESTEP, n_bootstrap=N_BOOTSTRAP, random_state=0
            )
            conduction = conduction_of(runs[name], states)
            report(name, seed, model, conduction)
            if name != MIXED:
                ordered = model.prior
                flicker.append([ordered.empirical_populations[1], *ordered.timescales_ps()])
            else:
                rdf, shell = surroundings(halide, runs[name], states)
                shares.append(conduction.percent)
                shells.append(shell)
                if seed == SEEDS[0]:
                    figure_of_transport(path, halide, runs[name], states, totals, conduction)
        if seed == SEEDS[0]:
            half = runs[MIXED], graphs[MIXED], estimator, probabilities[MIXED]
            figures_of_states(path, halide, rdf, *half)
    conclude(halide, totals, np.array(shares), np.array(shells), np.array(flicker))


def conclude(halide, totals, shares, shells, flicker):
    """What the numbers above say."""
    lag = LONG_LAG * TIMESTEP
    exchange = shares[:, 0, 1] + shares[:, 1, 0]
    (mixed, ordered, exchanged) = (totals[name][-1] for name in (MIXED, ORDERED, EXCHANGED))
    print(
        f"Li6PS5{halide}: at {MOBILITY_LAGS[-1] * TIMESTEP:g} ps lithium of the mixed crystal has "
        f"{ratio(mixed, ordered)} times the diffusion of 0 % and {ratio(mixed, exchanged)} times "
        "that of 100 %.\n"
        f"  There lithium has {shells[:, 0].min():.2f} to {shells[:, 0].max():.2f} {halide} in its "
        f"first shell in state 0 and {shells[:, 1].min():.2f} to {shells[:, 1].max():.2f} in "
        f"state 1 ({len(shares)} networks).\n"
        f"  Ions that start and end a time of {lag:g} ps in state 0 carry "
        f"{shares[:, 0, 0].min():.0f} to {shares[:, 0, 0].max():.0f} % of the current, those "
        f"that exchange states {exchange.min():.0f} to {exchange.max():.0f} % and those in state 1 "
        f"{shares[:, 1, 1].min():.0f} to {shares[:, 1, 1].max():.0f} %.\n"
        f"  At 0 and 100 % at most {flicker[:, 0].max():.1%} of the ions are in state 1, and its "
        f"relaxation of at most {flicker[:, 1].max():.2g} ps is "
        f"{'below' if flicker[:, 1].max() < LAG * TIMESTEP else 'above'} the lag of "
        f"{LAG * TIMESTEP:g} ps."
    )


data, out = folders("argyrodite", __doc__)
for name_of_halide in HALIDES:
    study(data, out, name_of_halide)
