# %% [markdown]
# # Order and disorder in a superionic conductor
#
# **Which conducts more, an ordered or a disordered solid electrolyte, and through which states?** The
# data are ab-initio trajectories of Li6PS5X, with the halide X = Cl or I on sites of its own (0 %),
# on the sites of sulfur (100 %), or on both (50 %). Two kinds of surroundings of lithium are learned
# where both exist, at 50 %, and looked for in all three.
#
# ![Diffusion of lithium against disorder](attachment:answer.png)
#
# *Diffusion of lithium in Li6PS5Cl, with 95 % intervals: half of the halide on sites of sulfur makes
# it mobile.*

# %%
import os

SMALL = os.environ.get("GRAPHKOOPMAN_TUTORIAL_SIZE") == "small"  # True: a try of seconds
DATA = None  # folder of the trajectories; None takes that of GRAPHKOOPMAN_DATA, or a sample
TEMPERATURE = 500.0  # K, not stated with the data; scales conductivities, not ratios and shares
LITHIUM, FIRST_SHELL = "element Li", 3.2  # Å
LAG, LONG_LAG = (10, 50) if SMALL else (20, 100)  # frames of 0.1 ps
MOBILITY_LAGS = LONG_LAG, 2 * LONG_LAG
HALIDES, SEEDS = (("Cl",), (0,)) if SMALL else (("Cl", "I"), (0, 1))
MAX_EPOCHS, N_BOOTSTRAP, N_FOLDS = (1, 50, 2) if SMALL else (40, 100, 2)
ORDERED, MIXED, EXCHANGED = DISORDER = ("0p", "50p", "100p")

# %% [markdown]
# ## In ten lines
#
# How fast lithium is needs no network: slopes of the squared displacement around two lags, with the
# framework held at rest. Every target is in one state here.
#
# The files of one composition look like repeats and are not: from the end of one to the beginning
# of the next atoms move as far as from frame to frame, with one exception. They are pieces of
# one run, and so they are joined before anything is learned or cross-validated.

# %% tags=["answer"]
import warnings

import numpy as np
from deeptime.util.validation import implied_timescales
from matplotlib import pyplot as plt
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from graphkoopman import GDyNetEstimator, GraphFeaturizer, align_states, estimate_koopman
from graphkoopman.datasets import load_example
from graphkoopman.koopman import BeyondDataWarning
from graphkoopman.lobes import GatedEncoder
from graphkoopman.model_selection import KoopmanScorer, SegmentKFold, time_pieces
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
from graphkoopman.tables import with_interval
from graphkoopman.trajectories import find_seams, join_runs
from graphkoopman.transport import (
    conduction_contributions,
    transition_diffusion,
    transition_displacements,
)

# the slowest times are about as long as these runs, which every model would say again: their
# intervals show how far they are known
warnings.simplefilter("ignore", BeyondDataWarning)
if SMALL:  # an epoch is not meant to converge
    warnings.simplefilter("ignore")


def runs_of(name):
    """The files of one composition as the trajectories that they are consecutive pieces of."""
    example = load_example(name, folder=DATA, sample=SMALL)
    print(example)
    for seam in find_seams(example.trajectories):
        if not seam.follows:
            print(
                f"  atoms move {seam.across:.1f} Å between two files, {seam.inside:.1f} in a frame"
            )
    return join_runs(example.trajectories)


def diffusion(runs, lag):
    """Diffusion of lithium around a lag, which needs no network."""
    ones = [np.ones((len(run), np.count_nonzero(run.species == 3), 1)) for run in runs]
    window = (lag - LONG_LAG // 2, lag + LONG_LAG // 2)
    return transition_diffusion(runs, ones, LITHIUM, lag, window=window, drift="framework")


def draw_diffusion(ax, halide):
    """Diffusion against disorder, around two lags."""
    for k, lag in enumerate(MOBILITY_LAGS):
        values, limits = zip(*(totals[halide][name][k] for name in DISORDER), strict=True)
        arms = np.abs(np.array(limits).T - values)
        places = np.arange(3) + 0.4 * k - 0.2
        label = f"at {lag / 10:g} ps"
        ax.bar(places, values, 0.4, yerr=arms, capsize=4, color=COLORS[k], label=label)
    ax.legend()
    ax.set_xticks(range(3), [name.replace("p", " %") for name in DISORDER])
    ax.set_xlabel(f"share of {halide} on sites of sulfur")
    ax.set_ylabel("diffusion of Li / 10⁻⁶ cm²/s")


runs, totals = {}, {}
for halide in HALIDES:
    runs[halide] = {name: runs_of(f"Li6PS5{halide}_{name}") for name in DISORDER}
    totals[halide] = {}
    for name in DISORDER:
        fits = [diffusion(runs[halide][name], lag) for lag in MOBILITY_LAGS]
        totals[halide][name] = [(1e2 * fit.total, 1e2 * fit.total_interval) for fit in fits]
figure, ax = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
draw_diffusion(ax, HALIDES[0])

# %% [markdown]
# ## Two kinds of surroundings
#
# Learned in the crystal where the halide is on both kinds of site, from how surroundings change in
# time; nothing is said of halides. States of further networks are matched to those of the first.


# %%
network = GDyNetEstimator(2, LAG, encoder=GatedEncoder(n_conv=2), max_epochs=MAX_EPOCHS, n_init=1)
featurizer = GraphFeaturizer(LITHIUM, n_neighbors=16, n_hops=2)
graphs = {
    halide: {name: featurizer.fit_transform(runs[halide][name]) for name in DISORDER}
    for halide in HALIDES
}
estimators, states = {}, {}
for halide in HALIDES:
    for seed in SEEDS:
        estimator = clone(network).set_params(random_state=seed).fit(graphs[halide][MIXED])
        found = {name: estimator.transform(graphs[halide][name]) for name in DISORDER}
        reference = states[halide, SEEDS[0]][MIXED] if seed != SEEDS[0] else found[MIXED]
        order = align_states(reference, found[MIXED])
        estimators[halide, seed] = estimator
        states[halide, seed] = {
            name: [array[..., order] for array in found[name]] for name in DISORDER
        }

# %% [markdown]
# ## Scores on frames that were not seen
#
# Folds are stretches of the run with a piece of more than a lag left out at both sides. A score of
# 1 would be no process at all, 2 two states that last for ever.

# %%
for halide in HALIDES:
    pieces = time_pieces(graphs[halide][MIXED], N_FOLDS, LAG, 2 * LAG)
    scores = cross_val_score(
        clone(network).set_params(random_state=0),
        pieces,
        scoring=KoopmanScorer("vamp2"),
        cv=SegmentKFold(N_FOLDS, gap=1),
    )
    print(
        f"Li6PS5{halide}, 50 %: VAMP-2 of {N_FOLDS} folds {', '.join(map('{:.3f}'.format, scores))}"
    )

# %% [markdown]
# ## What the states are
#
# Neighbours within the first shell tell which state is rich in the halide, and a layer of the
# crystal whether it belongs to places.


# %%
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


def figures_of_states(halide, rdf, runs, graphs, estimator, probabilities):
    """What the states of the half-disordered crystal are, and whether the model holds."""
    models = estimator.koopman_models(graphs, [LAG * n for n in range(1, 6)], N_BOOTSTRAP)
    _, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    plot_timescales(implied_timescales(models), axes[0], timestep=0.1)
    plot_state_rdf(rdf, axes[1])
    _, ax = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
    plot_spatial_map(spatial_map(runs, probabilities, LITHIUM, n_bins=24), ax, state=1)
    test = models[0].ck_test(models)
    plot_ck_test(test, timestep=0.1)
    print(f"  CK test: largest deviation {np.abs(test.estimates - test.predictions).max():.3f}")


shells = {}
for halide in HALIDES:
    print(f"Li6PS5{halide}, 50 %")
    shells[halide] = []
    for seed in SEEDS:
        mixed = runs[halide][MIXED], states[halide, seed][MIXED]
        rdf, shell = surroundings(halide, *mixed)
        shells[halide].append(shell)
        if seed == SEEDS[0]:
            half = mixed[0], graphs[halide][MIXED], estimators[halide, seed], mixed[1]
            figures_of_states(halide, rdf, *half)

# %% [markdown]
# ## Which transitions carry the current
#
# At 0 and 100 % there is one kind of site, and what the network calls the second state there is a
# fluctuation.


# %%
def conduction_of(runs, probabilities):
    """Conduction of every transition at the long lag, where vibration no longer counts.

    Slopes leave out what is left of the vibration. The framework is held at rest.
    """
    model = estimate_koopman(probabilities, LONG_LAG, timestep=0.1)
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
        alone, together = (
            with_interval(conduction.nernst_einstein, conduction.nernst_einstein_interval),
            with_interval(conduction.einstein, conduction.einstein_interval),
        )
        print(f"        conductivity / S/cm: {alone} of single ions, {together} of all together")


def figure_of_transport(halide, runs, probabilities, conduction):
    """Mobility against disorder, and where the current flows in the half-disordered crystal."""
    _, axes = plt.subplots(2, 2, figsize=(9, 7.5), layout="constrained")
    draw_diffusion(axes[0, 0], halide)
    lags = np.unique(np.linspace(1, 1.5 * LONG_LAG, 12).astype(int))
    curves = transition_displacements(runs, probabilities, LITHIUM, lags, drift="framework")
    plot_transition_msd(curves, axes[0, 1])
    fit = transition_diffusion(runs, probabilities, LITHIUM, LONG_LAG, drift="framework")
    plot_transition_diffusion(fit, axes[1, 0])
    plot_conduction(conduction, axes[1, 1])


shares, flicker = {}, {}
for halide in HALIDES:
    print(f"Li6PS5{halide}")
    shares[halide], flicker[halide] = [], []
    for seed in SEEDS:
        for name in DISORDER:
            run, found = runs[halide][name], states[halide, seed][name]
            model = estimate_koopman(
                found, LAG, timestep=0.1, n_bootstrap=N_BOOTSTRAP, random_state=0
            )
            conduction = conduction_of(run, found)
            report(name, seed, model, conduction)
            if name != MIXED:
                prior = model.prior
                flicker[halide].append([prior.empirical_populations[1], *prior.timescales_ps()])
                continue
            shares[halide].append(conduction.percent)
            if seed == SEEDS[0]:
                figure_of_transport(halide, run, found, conduction)

# %% [markdown]
# ## What was found


# %%
def ratio(one, other):
    """Quotient of two independent estimates; relative errors add in quadrature."""
    relative = [np.ptp(limits) / 2 / value for value, limits in (one, other)]
    value, half = one[0] / other[0], np.hypot(*relative)
    return with_interval(value, (value * (1 - half), value * (1 + half)))


def conclude(halide, totals, shares, shells, flicker):
    """What the numbers above say."""
    lag = LONG_LAG * 0.1
    exchange = shares[:, 0, 1] + shares[:, 1, 0]
    longest = np.nan_to_num(flicker[:, 1]).max()  # NaN is too fast to see
    (mixed, ordered, exchanged) = (totals[name][-1] for name in (MIXED, ORDERED, EXCHANGED))
    print(
        f"Li6PS5{halide}: at {MOBILITY_LAGS[-1] * 0.1:g} ps lithium of the mixed crystal has "
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
        f"relaxation of at most {longest:.2g} ps is "
        f"{'below' if longest < LAG * 0.1 else 'above'} the lag of "
        f"{LAG * 0.1:g} ps."
    )


for halide in HALIDES:
    conclude(
        halide,
        totals[halide],
        np.array(shares[halide]),
        np.array(shells[halide]),
        np.array(flicker[halide]),
    )
